//! What the rules of an organizer remember, and what others may ask of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::events::Event;
use crate::names::Label;

/// What the rules remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    name: Option<Label>,
    /// The newest code key, which signs; those before it only verify. They are numbered from 1.
    signing_key: Option<u8>,
    disabled: BTreeSet<u8>,
}

impl State {
    /// What people call it; nothing before it is registered.
    pub fn name(&self) -> Option<&Label> {
        self.name.as_ref()
    }

    /// The key that signs new ticket codes; none before the organizer is registered.
    pub fn signing_key(&self) -> Option<u8> {
        self.signing_key
    }

    /// There is such a key.
    pub fn has_key(&self, code_key: u8) -> bool {
        self.signing_key.is_some_and(|newest| (1..=newest).contains(&code_key))
    }

    /// Codes signed with this key are accepted.
    pub fn may_verify(&self, code_key: u8) -> bool {
        self.has_key(code_key) && !self.disabled.contains(&code_key)
    }
}

/// Folds one event in.
pub(super) fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::OrganizerRegistered(e) => state.name = Some(e.name.clone()),
        Event::CodeKeyAdded(e) => state.signing_key = Some(e.code_key),
        Event::CodeKeyDisabled(e) => {
            state.disabled.insert(e.code_key);
        }
    }
}
