//! What one may ask of an organizer, and why it may be refused.

use crate::names::Label;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A new tenant, with a first key for ticket codes.
    RegisterOrganizer {
        /// What people call it.
        name: Label,
    },
    /// Sign new codes with a new key; older ones verify still.
    RotateCodeKey,
    /// Refuse codes signed with a key. The signing key cannot be disabled: rotate first.
    DisableCodeKey {
        /// Which.
        code_key: u8,
    },
}

/// Why a command is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// No organizer has this id.
    OrganizerUnknown,
    /// The organizer is registered already, with another name.
    OrganizerExists,
    /// All 255 key numbers are used.
    CodeKeysExhausted,
    /// No code key has this number.
    CodeKeyUnknown,
    /// It signs new codes: rotate first.
    CodeKeySigning,
}
