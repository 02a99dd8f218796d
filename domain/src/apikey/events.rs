//! What happens to an API key. THESE NAMES ARE THE STORAGE FORMAT: a stored event is for ever.
//! A changed shape is a new schema version with an upcaster in `codec.rs`.

use serde::{Deserialize, Serialize};

use crate::names::{Label, OrganizerId};

/// What the holder of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything of one organizer.
    Organizer,
    /// Sell, issue, cancel and refund for one organizer.
    BoxOffice,
    /// Scan for one organizer.
    Gate,
    /// Read everything of one organizer, change nothing.
    Auditor,
    /// Run the engine: organizers, keys, projections. Belongs to no organizer.
    Operator,
}

/// A fact about an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key was made and shown once.
    ApiKeyCreated(ApiKeyCreated),
    /// It opens nothing any more.
    ApiKeyRevoked(ApiKeyRevoked),
}

/// `api-key-created`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// What people call it.
    pub label: Label,
    /// What it may do.
    pub role: Role,
    /// For whom; nobody for an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organizer: Option<OrganizerId>,
    /// HMAC-SHA256 of the key under the engine's secret, 64 hexadecimal digits.
    pub hash: String,
}

/// `api-key-revoked`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRevoked {}
