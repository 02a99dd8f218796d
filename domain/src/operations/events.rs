//! What operators decide. THESE NAMES ARE THE STORAGE FORMAT: a stored event is for ever. A
//! changed shape is a new schema version with an upcaster in `codec.rs`.

use serde::{Deserialize, Serialize};

use crate::{
    envelope::Position,
    names::{EventId, ProjectionName, Reason},
};

/// A fact about how the engine is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A read model leaves an event out.
    EventSkipped(EventSkipped),
    /// It is to fold that event after all.
    SkipWithdrawn(SkipWithdrawn),
}

/// `event-skipped`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSkipped {
    /// Which read model.
    pub projection: ProjectionName,
    /// The event: its id, since its position may be another one in a copy of the store.
    pub event: EventId,
    /// Where the event stood when this was decided.
    pub position: Position,
    /// The kind of the event, as stored, or the beginning of it.
    pub kind: String,
    /// Why.
    pub reason: Reason,
}

/// `skip-withdrawn`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipWithdrawn {
    /// Which read model.
    pub projection: ProjectionName,
    /// The event.
    pub event: EventId,
    /// Why.
    pub reason: Reason,
}
