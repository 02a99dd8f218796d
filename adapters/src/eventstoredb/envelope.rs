//! How an event of ours stands in EventStoreDB, and back.
//!
//! | ours | there |
//! |---|---|
//! | id (ULID) | event id: the same 128 bits as a UUID |
//! | stream `inventory-01J…` | stream `hakken.inventory-01J…`: the category is `hakken.inventory` |
//! | version 1, 2, 3, … | revision 0, 1, 2, … |
//! | kind | event type |
//! | data | data, byte for byte; `application/json` if it is JSON without white space around it, else `application/octet-stream` |
//! | schema version, recorded time, metadata | custom metadata: `{"schema":1,"recordedAt":1764000000000000,"meta":…}` |
//!
//! `recordedAt` counts microseconds since 1970. Our metadata stands in the custom metadata byte
//! for byte, between a head and one closing brace whose shapes are fixed, so what comes back is
//! what went in, whatever it is; and if it is JSON, as the engine's is, the whole is JSON that the
//! store's own tools show.

use bytes::{BufMut, Bytes, BytesMut};
use eventstore::{EventData, RecordedEvent};
use hakken_commands::store::NewEvent;
use hakken_domain::{
    envelope::{StreamId, Version},
    names::EventId,
    time::Timestamp,
};
use serde_json::value::RawValue;
use ulid::Ulid;
use uuid::Uuid;

const SCHEMA: &[u8] = b"{\"schema\":";
const RECORDED: &[u8] = b",\"recordedAt\":";
const META: &[u8] = b",\"meta\":";
const END: &[u8] = b"}";

/// What a stream is called there.
pub(super) fn stream_name(namespace: &str, stream: StreamId) -> String {
    format!("{namespace}.{stream}")
}

/// The event as the client sends it.
pub(super) fn proposed(event: &NewEvent, now: Timestamp) -> EventData {
    let as_json = serde_json::from_slice::<&RawValue>(&event.data)
        .ok()
        // White space around a value does not survive.
        .filter(|value| value.get().len() == event.data.len())
        .and_then(|value| EventData::json(event.kind, &value).ok());
    let proposed = as_json.unwrap_or_else(|| EventData::binary(event.kind, event.data.clone()));
    proposed.id(uuid_of(event.id)).metadata(custom_metadata(event.schema, now, &event.meta))
}

pub(super) fn uuid_of(id: EventId) -> Uuid {
    Uuid::from_bytes(id.0.to_bytes())
}

pub(super) fn event_id(id: Uuid) -> EventId {
    EventId(Ulid::from_bytes(id.into_bytes()))
}

fn custom_metadata(schema: u16, now: Timestamp, meta: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(meta.len() + 64);
    bytes.put_slice(SCHEMA);
    bytes.put_slice(schema.to_string().as_bytes());
    bytes.put_slice(RECORDED);
    bytes.put_slice(now.as_micros().to_string().as_bytes());
    bytes.put_slice(META);
    bytes.put_slice(meta);
    bytes.put_slice(END);
    bytes.freeze()
}

/// Why an event in one of our streams is none of ours.
#[derive(Debug, thiserror::Error)]
#[error(
    "event {revision} of the stream {stream} ({kind}) was not written by this engine, or by a newer version of it: {what}. Nobody else may write, truncate or delete streams whose names begin so"
)]
pub(super) struct Foreign {
    stream: String,
    revision: u64,
    kind: String,
    what: &'static str,
}

/// What custom metadata holds.
struct Head {
    schema: u16,
    recorded_at: Timestamp,
    meta: Bytes,
}

/// An event that was read, without its place among all events.
pub(super) struct Read {
    pub(super) stream: StreamId,
    pub(super) version: Version,
    pub(super) id: EventId,
    pub(super) schema: u16,
    /// As its writer said.
    pub(super) recorded_at: Timestamp,
    pub(super) meta: Bytes,
    pub(super) kind: String,
    pub(super) data: Bytes,
}

/// Reads an event of a stream that begins with the namespace; `name` is what comes after it.
pub(super) fn read(event: RecordedEvent, name: &str) -> Result<Read, Foreign> {
    let foreign = |what| Foreign {
        stream: event.stream_id.clone(),
        revision: event.revision,
        kind: event.event_type.clone(),
        what,
    };
    let stream = name.parse().map_err(|_| foreign("its stream is of no kind that is known"))?;
    let head = head(&event.custom_metadata).ok_or_else(|| foreign("it has no schema and time"))?;
    Ok(Read {
        stream,
        version: event.revision.saturating_add(1),
        id: event_id(event.id),
        schema: head.schema,
        recorded_at: head.recorded_at,
        meta: head.meta,
        kind: event.event_type,
        data: event.data,
    })
}

fn head(metadata: &Bytes) -> Option<Head> {
    let rest = metadata.strip_prefix(SCHEMA)?;
    let (schema, rest) = number(rest)?;
    let (recorded_at, rest) = number(rest.strip_prefix(RECORDED)?)?;
    let meta = rest.strip_prefix(META)?.strip_suffix(END)?;
    Some(Head {
        schema,
        recorded_at: Timestamp::from_micros(recorded_at),
        meta: metadata.slice_ref(meta),
    })
}

/// The number at the beginning, and what comes after it.
fn number<N: std::str::FromStr>(bytes: &[u8]) -> Option<(N, &[u8])> {
    let end = bytes.iter().position(|b| !b.is_ascii_digit() && *b != b'-')?;
    let (digits, rest) = bytes.split_at(end);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn comes_back(schema: u16, at: i64, meta: &'static [u8]) {
        let at = Timestamp::from_micros(at);
        let bytes = custom_metadata(schema, at, meta);
        let found = head(&bytes).unwrap_or_else(|| panic!("{bytes:?} is not understood"));
        assert_eq!((found.schema, found.recorded_at, &found.meta[..]), (schema, at, meta));
    }

    #[test]
    fn metadata_comes_back_byte_for_byte() {
        comes_back(1, 0, br#"{"actor":"system:test"}"#);
        comes_back(u16::MAX, i64::MIN, b"");
        comes_back(0, i64::MAX, b"}");
        comes_back(7, -1, b"{\"schema\":9,\"recordedAt\":3,\"meta\":}");
        comes_back(7, 1, b"\0\xff\xfe } \r\n");
    }

    #[test]
    fn metadata_that_is_json_stays_json() {
        let bytes = custom_metadata(3, Timestamp::from_micros(-5), br#"{"actor":"a"}"#);
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read["schema"], 3);
        assert_eq!(read["recordedAt"], -5);
        assert_eq!(read["meta"]["actor"], "a");
    }

    #[test]
    fn what_others_wrote_is_not_mistaken_for_ours() {
        for other in [
            &b""[..],
            b"{}",
            b"{\"schema\":1}",
            b"{\"schema\":70000,\"recordedAt\":1,\"meta\":{}}",
            b"{\"schema\":1,\"recordedAt\":99999999999999999999,\"meta\":{}}",
            b"{\"schema\":1,\"recordedAt\":,\"meta\":{}}",
            b"{\"schema\":1,\"recordedAt\":1,\"meta\":{} ",
        ] {
            assert!(head(&Bytes::from_static(other)).is_none(), "{other:?}");
        }
    }
}
