//! What surrounds an event: its stream, version, position, kind, and who did it and why.

use std::{borrow::Cow, fmt, str::FromStr, sync::OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::{
    Event,
    codec::{self, DecodeError},
    names::{ActorRef, CommandKey, EventId, OrganizerId, derived_ulid, read_ulid},
    text::shortened,
    time::Timestamp,
};

/// The place of an event in the order of all events; the first is 1. Not always dense, but a
/// reader that has seen n never later finds something before n.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of an event in its stream: 1, 2, 3, … without gaps. 0 is the empty stream.
pub type Version = u64;

/// What a stream is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StreamKind {
    /// Seats of a show.
    Inventory,
    /// An order.
    Order,
    /// A ticket.
    Ticket,
    /// A show.
    Show,
    /// A venue.
    Venue,
    /// An organizer.
    Organizer,
    /// An API key.
    Key,
    /// Gates of a show.
    Gate,
    /// What operators decide about the engine.
    Operations,
}

impl StreamKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Inventory,
        Self::Order,
        Self::Ticket,
        Self::Show,
        Self::Venue,
        Self::Organizer,
        Self::Key,
        Self::Gate,
        Self::Operations,
    ];

    /// As it stands before the hyphen of a stream's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Order => "order",
            Self::Ticket => "ticket",
            Self::Show => "show",
            Self::Venue => "venue",
            Self::Organizer => "organizer",
            Self::Key => "key",
            Self::Gate => "gate",
            Self::Operations => "operations",
        }
    }
}

/// The name of a stream: `inventory-01J…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// What it is about.
    pub kind: StreamKind,
    /// Which one.
    pub id: Ulid,
}

/// A text that names no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no stream: a kind (inventory, order, ticket, show, venue, organizer, key, gate, operations), a hyphen and a ULID"
)]
pub struct NotAStream(pub String);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.as_str(), self.id)
    }
}

impl FromStr for StreamId {
    type Err = NotAStream;
    fn from_str(text: &str) -> Result<Self, NotAStream> {
        let error = || NotAStream(shortened(text, 60));
        let (kind, id) = text.split_once('-').ok_or_else(error)?;
        let kind = StreamKind::ALL.into_iter().find(|k| k.as_str() == kind).ok_or_else(error)?;
        let id = read_ulid(id).ok_or_else(error)?;
        Ok(Self { kind, id })
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::from_text::deserialize(deserializer)
    }
}

macro_rules! stream_of {
    ($($id:ident => $kind:ident),* $(,)?) => {
        $(impl From<crate::names::$id> for StreamId {
            fn from(id: crate::names::$id) -> Self {
                Self { kind: StreamKind::$kind, id: id.0 }
            }
        })*
    };
}

stream_of!(
    OrderId => Order,
    TicketId => Ticket,
    VenueId => Venue,
    OrganizerId => Organizer,
    ApiKeyId => Key,
);

impl StreamId {
    /// The seats of a show.
    pub fn inventory(show: crate::names::ShowId) -> Self {
        Self { kind: StreamKind::Inventory, id: show.0 }
    }

    /// The show itself.
    pub fn show(show: crate::names::ShowId) -> Self {
        Self { kind: StreamKind::Show, id: show.0 }
    }

    /// What operators decided about the engine: there is one such stream.
    pub fn operations() -> Self {
        Self { kind: StreamKind::Operations, id: derived_ulid(&["operations"]) }
    }

    /// The gates of a show.
    pub fn gate(show: crate::names::ShowId) -> Self {
        Self { kind: StreamKind::Gate, id: show.0 }
    }
}

/// Tells two requests with the same key apart: the first 8 bytes of the SHA-256 of the request
/// in a canonical form. 16 hexadecimal digits in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Of a request in its canonical form.
    pub fn of(request: &[u8]) -> Self {
        let digest = Sha256::digest(request);
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(first))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::from_text::deserialize(deserializer)
    }
}

/// Who did it, for whom, and why. Stored as JSON beside the event. THESE NAMES ARE THE STORAGE
/// FORMAT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The tenant; nobody for what belongs to the engine (operator keys).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organizer: Option<OrganizerId>,
    /// Who asked.
    pub actor: ActorRef,
    /// The idempotency key of the command; none for what was due by time alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<CommandKey>,
    /// The request that came with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Fingerprint>,
    /// The event that a process answered with this command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<EventId>,
    /// The first event of the chain that led here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<EventId>,
}

/// An event and its metadata, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What happened.
    pub event: Event,
    /// Who did it.
    pub meta: Metadata,
}

/// An event as it is stored: the bytes never change.
#[derive(Debug)]
pub struct StoredEvent {
    /// Its place among all events.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// Its id.
    pub id: EventId,
    /// Its kind: `seats-held`.
    pub kind: Cow<'static, str>,
    /// The schema version of its data.
    pub schema: u16,
    /// When the store took it. Never earlier than that of the position before.
    pub recorded_at: Timestamp,
    /// [`Metadata`] as JSON.
    pub meta: Bytes,
    /// The event as JSON.
    pub data: Bytes,
    /// Decoded when first asked for, or by who wrote it.
    pub cache: OnceLock<Result<Decoded, DecodeError>>,
}

impl StoredEvent {
    /// The event and its metadata; decoded once.
    pub fn decoded(&self) -> Result<&Decoded, &DecodeError> {
        self.cache
            .get_or_init(|| codec::decode(&self.kind, self.schema, &self.data, &self.meta))
            .as_ref()
    }
}

impl PartialEq for StoredEvent {
    /// Equal when every stored byte is.
    fn eq(&self, other: &Self) -> bool {
        self.position == other.position
            && self.stream == other.stream
            && self.version == other.version
            && self.id == other.id
            && self.kind == other.kind
            && self.schema == other.schema
            && self.recorded_at == other.recorded_at
            && self.meta == other.meta
            && self.data == other.data
    }
}

impl Eq for StoredEvent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_a_name_and_a_name_has_a_stream() {
        for kind in StreamKind::ALL {
            let stream = StreamId { kind, id: Ulid(42) };
            assert_eq!(stream.to_string().parse(), Ok(stream));
            let json = serde_json::to_string(&stream).unwrap();
            assert_eq!(serde_json::from_str::<StreamId>(&json).unwrap(), stream);
        }
        let show = crate::names::ShowId(Ulid(42));
        let names = [StreamId::inventory(show), StreamId::show(show), StreamId::gate(show)];
        assert_eq!(names.map(|stream| stream.kind.as_str()), ["inventory", "show", "gate"]);
        for text in ["", "order", "order-", "order-1", "orders-0000000000000000000000001A"] {
            assert_eq!(text.parse::<StreamId>(), Err(NotAStream(text.to_owned())));
        }
    }

    #[test]
    fn a_fingerprint_is_the_same_for_ever() {
        let one = Fingerprint::of(b"hold A1");
        assert_eq!(one, Fingerprint::of(b"hold A1"));
        assert_ne!(one, Fingerprint::of(b"hold A2"));
        let empty = Fingerprint::of(b"");
        assert_eq!(empty.to_string(), "e3b0c44298fc1c14");
        let json = serde_json::to_string(&empty).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), empty);
    }
}
