//! A ticket: one live code, issued once, entered as its rules allow.

mod command;
mod decide;
mod events;
#[cfg(test)]
mod properties;
mod state;
#[cfg(test)]
mod tests;

pub use command::*;
pub use events::*;
pub use state::{State, TicketStatus};
