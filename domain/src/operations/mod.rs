//! What operators decide about the engine itself, and must be able to account for: which events
//! a read model leaves out. One stream has all of it.

mod command;
mod decide;
mod events;
mod state;
#[cfg(test)]
mod tests;

pub use command::*;
pub use events::*;
pub use state::{Skip, State};
