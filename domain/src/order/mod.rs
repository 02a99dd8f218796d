//! An order: what was sold for how much, paid ≤ due, refunded ≤ paid.

mod command;
mod decide;
mod events;
mod state;
#[cfg(test)]
mod tests;

pub use command::*;
pub use events::*;
pub use state::State;
