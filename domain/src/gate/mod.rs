//! The gates of a show: codes that belong to no ticket.

mod decide;
mod events;

pub use decide::*;
pub use events::*;
