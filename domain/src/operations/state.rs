//! What the rules remember of operators' decisions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::events::Event;
use crate::names::{EventId, ProjectionName};

/// A read model and an event that it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Skip {
    /// Which read model.
    pub projection: ProjectionName,
    /// The event.
    pub event: EventId,
}

/// What the rules remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    skipped: BTreeSet<Skip>,
}

impl State {
    /// What is left out now.
    pub fn skipped(&self) -> &BTreeSet<Skip> {
        &self.skipped
    }
}

/// Folds one event in.
pub(super) fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::EventSkipped(e) => {
            state.skipped.insert(Skip { projection: e.projection.clone(), event: e.event });
        }
        Event::SkipWithdrawn(e) => {
            state.skipped.remove(&Skip { projection: e.projection.clone(), event: e.event });
        }
    }
}
