//! What one may ask of a venue, and why it may be refused.

use crate::{
    names::Label,
    seatmap::{SeatMap, SeatMapError},
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// There is such a place.
    RegisterVenue {
        /// What people call it.
        name: Label,
        /// Its seats and pools.
        seat_map: Box<SeatMap>,
    },
    /// Shows that go on sale from now on have this map; those on sale keep theirs.
    ReplaceSeatMap {
        /// Its seats and pools.
        seat_map: Box<SeatMap>,
    },
}

/// Why a command is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// No venue has this id.
    VenueUnknown,
    /// The venue is registered already, with other contents.
    VenueExists,
    /// The map breaks a rule of its own.
    SeatMapInvalid(Box<SeatMapError>),
}
