//! The inventory of a show: no seat given twice on any leg, no pool below zero.

mod command;
mod decide;
mod events;
mod state;
#[cfg(test)]
mod tests;

pub use command::*;
pub use events::*;
pub use state::State;
