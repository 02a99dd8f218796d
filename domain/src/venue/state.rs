//! What the rules of a venue remember, and what others may ask of it.

use serde::{Deserialize, Serialize};

use super::events::Event;
use crate::{names::Label, seatmap::SeatMap};

/// What the rules remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    name: Option<Label>,
    #[serde(with = "crate::as_json")]
    seat_map: Option<SeatMap>,
}

impl State {
    /// What people call it; nothing before it is registered.
    pub fn name(&self) -> Option<&Label> {
        self.name.as_ref()
    }

    /// Its seats and pools now; nothing before it is registered.
    pub fn seat_map(&self) -> Option<&SeatMap> {
        self.seat_map.as_ref()
    }
}

/// Folds one event in.
pub(super) fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::VenueRegistered(e) => {
            state.name = Some(e.name.clone());
            state.seat_map = Some(e.seat_map.clone());
        }
        Event::SeatMapReplaced(e) => state.seat_map = Some(e.seat_map.clone()),
    }
}
