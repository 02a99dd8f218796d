//! What the rules of an API key remember, and what others may ask of it.

use serde::{Deserialize, Serialize};

use super::events::{ApiKeyCreated, Event};

/// What the rules remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    #[serde(with = "crate::as_json")]
    created: Option<ApiKeyCreated>,
    revoked: bool,
}

impl State {
    /// What it opens; nothing before it is made.
    pub fn created(&self) -> Option<&ApiKeyCreated> {
        self.created.as_ref()
    }

    /// It opens nothing any more.
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }
}

/// Folds one event in.
pub(super) fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::ApiKeyCreated(e) => state.created = Some(e.clone()),
        Event::ApiKeyRevoked(_) => state.revoked = true,
    }
}
