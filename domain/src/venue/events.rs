//! What happens to a venue. THESE NAMES ARE THE STORAGE FORMAT: a stored event is for ever.
//! A changed shape is a new schema version with an upcaster in `codec.rs`.

use serde::{Deserialize, Serialize};

use crate::{names::Label, seatmap::SeatMap};

/// A fact about a venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is such a place.
    VenueRegistered(VenueRegistered),
    /// Shows that go on sale from now on have this map.
    SeatMapReplaced(SeatMapReplaced),
}

/// `venue-registered`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueRegistered {
    /// What people call it.
    pub name: Label,
    /// Its seats and pools.
    pub seat_map: SeatMap,
}

/// `seat-map-replaced`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatMapReplaced {
    /// Its seats and pools.
    pub seat_map: SeatMap,
}
