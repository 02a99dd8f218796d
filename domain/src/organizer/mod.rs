//! An organizer and its keys for ticket codes.

mod command;
mod decide;
mod events;
mod state;
#[cfg(test)]
mod tests;

pub use command::*;
pub use events::*;
pub use state::State;
