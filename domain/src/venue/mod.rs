//! A venue and its seat map.

mod command;
mod decide;
mod events;
mod state;
#[cfg(test)]
mod tests;

pub use command::*;
pub use events::*;
pub use state::State;
