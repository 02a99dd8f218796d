//! A ticket: one live code, issued once, entered as its rules allow.

mod command;
mod decide;
mod events;
mod state;
#[cfg(test)]
mod tests;

pub use command::*;
pub use events::*;
pub use state::State;
