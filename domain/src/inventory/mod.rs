//! The inventory of a show: no seat given twice on any leg, no pool below zero.
//!
//! The state stands on tables: `layout.rs` (what never changes about the seats), `seats.rs` (who
//! may have which, and on which legs each is taken), `pools.rs` (counters for each leg and
//! quota). The rules of holds are in `holds.rs`, best available is `best.rs` and, for parties
//! that must be split, `split.rs`. What others may ask of the state is in `view.rs`.

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
pub use decide::{MAX_ALLOTMENTS, MAX_HOLD_SECONDS, MAX_PLACES_PER_HOLD, MAX_SEATS_AT_ONCE};
pub use events::*;
pub use state::State;
pub use view::HoldView;
