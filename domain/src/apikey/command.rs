//! What one may ask of an API key, and why it may be refused.

use super::events::ApiKeyCreated;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make a key.
    CreateApiKey(Box<ApiKeyCreated>),
    /// Let it open nothing any more.
    RevokeApiKey,
}

/// Why a command is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// No key has this id.
    ApiKeyUnknown,
    /// The key exists already, with other contents.
    ApiKeyExists,
    /// An operator belongs to no organizer, everybody else to one.
    RoleNeedsOrganizer,
}
