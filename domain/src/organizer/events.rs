//! What happens to an organizer. THESE NAMES ARE THE STORAGE FORMAT: a stored event is for ever.
//! A changed shape is a new schema version with an upcaster in `codec.rs`.

use serde::{Deserialize, Serialize};

use crate::names::Label;

/// A fact about an organizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A tenant.
    OrganizerRegistered(OrganizerRegistered),
    /// A key that signs ticket codes from now on; the one before only verifies.
    CodeKeyAdded(CodeKeyAdded),
    /// Codes signed with it are refused from now on.
    CodeKeyDisabled(CodeKeyDisabled),
}

/// `organizer-registered`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizerRegistered {
    /// What people call it.
    pub name: Label,
}

/// `code-key-added`. The secret is derived from the engine's own and is in no event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeKeyAdded {
    /// 1 to 255, each once.
    pub code_key: u8,
}

/// `code-key-disabled`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeKeyDisabled {
    /// Which.
    pub code_key: u8,
}
