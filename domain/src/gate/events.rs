//! What happens at the gates of a show beside its tickets. THESE NAMES ARE THE STORAGE FORMAT:
//! a stored event is for ever. A changed shape is a new schema version with an upcaster.

use serde::{Deserialize, Serialize};

use crate::{
    names::GateName,
    ticket::{Direction, ScanRefusal},
};

/// A fact about the gates of a show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A code was shown that belongs to no ticket of the organizer.
    CodeRefused(CodeRefused),
}

/// `code-refused`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRefused {
    /// Where.
    pub gate: GateName,
    /// Which way.
    pub direction: Direction,
    /// Why.
    pub reason: ScanRefusal,
    /// The first 16 hexadecimal digits of the SHA-256 of what was shown.
    pub code_digest: String,
}
