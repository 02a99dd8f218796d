//! The inventory of a show: no seat given twice on any leg, no pool below zero.

mod best;
mod command;
mod decide;
mod events;
mod holds;
mod layout;
mod pools;
mod seats;
mod split;
mod state;
mod view;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use command::*;
pub use decide::{MAX_HOLD_SECONDS, MAX_PLACES_PER_HOLD, MAX_SEATS_AT_ONCE};
pub use events::*;
pub use state::State;
pub use view::HoldView;
