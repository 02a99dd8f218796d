//! What tells one history from another: a chain of digests over every event in order. Two stores
//! with the same chain hold the same events, byte for byte, in the same order, wherever each of
//! them counts its positions from.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::envelope::StoredEvent;

/// A chain of digests. It begins with 32 zero bytes. Each event makes the next link: the SHA-256
/// of the link before it and of its canonical form. That is, all numbers with the most significant
/// byte first: its place among all events (1, 2, 3, …, in 8 bytes; not its position, which is the
/// store's own), its version (8), when it was recorded in microseconds since 1970 (8), its schema
/// version (2), its id (16), and then stream, kind, metadata and data, each behind its length (4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    events: u64,
    link: [u8; 32],
}

impl Chain {
    /// The chain of a history whose newest link is known. None if that is no digest.
    pub fn resumed(events: u64, digest: &str) -> Option<Self> {
        let link = HEXLOWER.decode(digest.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { events, link })
    }

    /// Adds the event that comes next.
    pub fn add(&mut self, event: &StoredEvent) {
        self.events += 1;
        let mut hash = Sha256::new();
        hash.update(self.link);
        hash.update(self.events.to_be_bytes());
        hash.update(event.version.to_be_bytes());
        hash.update(event.recorded_at.as_micros().to_be_bytes());
        hash.update(event.schema.to_be_bytes());
        hash.update(event.id.0.to_bytes());
        let stream = event.stream.to_string();
        for part in [stream.as_bytes(), event.kind.as_bytes(), &event.meta[..], &event.data[..]] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            hash.update(length.to_be_bytes());
            hash.update(part);
        }
        self.link = hash.finalize().into();
    }

    /// So many events are in it.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The newest link, as 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        HEXLOWER.encode(&self.link)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use ulid::Ulid;

    use super::*;
    use crate::{
        envelope::{Position, StreamId, StreamKind},
        names::EventId,
        time::Timestamp,
    };

    fn event(position: u64) -> StoredEvent {
        StoredEvent {
            position: Position(position),
            stream: StreamId { kind: StreamKind::Order, id: Ulid(7) },
            version: 3,
            id: EventId(Ulid(9)),
            kind: "order-paid".into(),
            schema: 1,
            recorded_at: Timestamp::from_micros(1_000_000),
            meta: (&b"{}"[..]).into(),
            data: (&b"{\"a\":1}"[..]).into(),
            cache: OnceLock::new(),
        }
    }

    fn digest(events: &[StoredEvent]) -> String {
        let mut chain = Chain::default();
        events.iter().for_each(|event| chain.add(event));
        assert_eq!(chain.events(), events.len() as u64);
        chain.digest()
    }

    #[test]
    fn a_chain_is_the_same_for_ever() {
        assert_eq!(digest(&[]), "0".repeat(64));
        let expected = "8c75c7c7fb2bac1df7ff38e6f662bdf13c496e4c0ac97c7eee07bcb4dbd80b58";
        assert_eq!(digest(&[event(1)]), expected);
    }

    #[test]
    fn a_chain_goes_on_from_a_link_that_is_known() {
        let mut whole = Chain::default();
        whole.add(&event(1));
        let mut resumed = Chain::resumed(1, &whole.digest()).unwrap();
        assert_eq!(resumed, whole);
        resumed.add(&event(2));
        whole.add(&event(2));
        assert_eq!(resumed, whole);
        assert_eq!(Chain::resumed(1, "00"), None);
    }

    #[test]
    fn every_part_of_an_event_counts_and_its_position_does_not() {
        let one = digest(&[event(1)]);
        assert_eq!(digest(&[event(77)]), one);
        let changes: [fn(&mut StoredEvent); 8] = [
            |event| event.stream.kind = StreamKind::Ticket,
            |event| event.version = 4,
            |event| event.id = EventId(Ulid(8)),
            |event| event.kind = "order-placed".into(),
            |event| event.schema = 2,
            |event| event.recorded_at = Timestamp::from_micros(1_000_001),
            |event| event.meta = (&b"{}{"[..]).into(),
            |event| event.data = (&b"\"a\":1}"[..]).into(),
        ];
        for change in changes {
            let mut other = event(1);
            change(&mut other);
            assert_ne!(digest(&[other]), one);
        }
        let mut second = event(2);
        second.version = 4;
        assert_ne!(digest(&[event(1), second]), one);
    }
}
