//! The storage format of an event in a frame's payload: 44 bytes in little-endian order, and then
//! what these count:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | version in the stream |
//! | 8 | recorded at, microseconds since 1970, signed |
//! | 16 | id, as a ULID's bytes |
//! | 2 | schema version |
//! | 1 | bytes of the stream's name |
//! | 1 | bytes of the kind |
//! | 4 | bytes of the metadata |
//! | 4 | bytes of the data |
//!
//! followed by the stream's name, the kind, the metadata and the data.

use std::{
    borrow::Cow,
    io::Write,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use hakken_domain::{
    codec,
    envelope::{Position, StoredEvent, StreamId},
    names::EventId,
    time::Timestamp,
};
use ulid::Ulid;

use super::Damage;

const HEADER_BYTES: usize = 44;

/// Adds an event to a payload.
pub(crate) fn encode(event: &StoredEvent, bytes: &mut Vec<u8>) {
    let header = bytes.len();
    bytes.extend_from_slice(&event.version.to_le_bytes());
    bytes.extend_from_slice(&event.recorded_at.as_micros().to_le_bytes());
    bytes.extend_from_slice(&event.id.0.to_bytes());
    bytes.extend_from_slice(&event.schema.to_le_bytes());
    bytes.push(0);
    bytes.push(u8::try_from(event.kind.len()).expect("a kind is a short literal"));
    let length = |part: &Bytes| u32::try_from(part.len()).expect("a batch is below 4 GiB");
    bytes.extend_from_slice(&length(&event.meta).to_le_bytes());
    bytes.extend_from_slice(&length(&event.data).to_le_bytes());
    let stream = bytes.len();
    let mut id = [0; ulid::ULID_LEN];
    let id = event.stream.id.array_to_str(&mut id);
    write!(bytes, "{}-{id}", event.stream.kind.as_str()).expect("memory takes every byte");
    bytes[header + 34] = u8::try_from(bytes.len() - stream).expect("the name of a stream is short");
    bytes.extend_from_slice(event.kind.as_bytes());
    bytes.extend_from_slice(&event.meta);
    bytes.extend_from_slice(&event.data);
}

/// All events of a payload that was kept elsewhere, or what is wrong with it.
pub(crate) fn decode_all(
    payload: &Bytes,
    first: u64,
    last: u64,
) -> Result<Vec<Arc<StoredEvent>>, String> {
    decode(payload, first, last, |_| true).map_err(|damage| damage.to_string())
}

/// Those events of a payload whose positions are wanted. They share its bytes.
pub(super) fn decode(
    payload: &Bytes,
    first: u64,
    last: u64,
    mut wanted: impl FnMut(u64) -> bool,
) -> Result<Vec<Arc<StoredEvent>>, Damage> {
    decode_where(payload, first, last, |position, _, _| wanted(position))
}

/// Those that are wanted by position, stream's name and kind.
pub(super) fn decode_where(
    payload: &Bytes,
    first: u64,
    last: u64,
    mut wanted: impl FnMut(u64, &[u8], &[u8]) -> bool,
) -> Result<Vec<Arc<StoredEvent>>, Damage> {
    let mut rest = &payload[..];
    let mut events = Vec::new();
    for position in first..=last {
        let record = split_record(position, &mut rest)?;
        let (name, kind) = (HEADER_BYTES..record.stream_end, record.stream_end..record.kind_end);
        if wanted(position, &record.bytes[name], &record.bytes[kind]) {
            events.push(Arc::new(record.decode(position, payload)?));
        }
    }
    if rest.is_empty() { Ok(events) } else { Err(Damage::TooLong { position: last }) }
}

/// The bytes of one event, and where its parts end.
struct Record<'a> {
    bytes: &'a [u8],
    stream_end: usize,
    kind_end: usize,
    meta_end: usize,
}

fn split_record<'a>(position: u64, rest: &mut &'a [u8]) -> Result<Record<'a>, Damage> {
    let cut_short = || Damage::CutShort { position };
    let header: &[u8; HEADER_BYTES] = rest.first_chunk().ok_or_else(cut_short)?;
    let stream_end = HEADER_BYTES + usize::from(header[34]);
    let kind_end = stream_end + usize::from(header[35]);
    let meta_end = kind_end + u32::from_le_bytes(field(header, 36)) as usize;
    let data_end = meta_end + u32::from_le_bytes(field(header, 40)) as usize;
    let (bytes, behind) = rest.split_at_checked(data_end).ok_or_else(cut_short)?;
    *rest = behind;
    Ok(Record { bytes, stream_end, kind_end, meta_end })
}

impl Record<'_> {
    /// `payload` is what this record is a part of: the event shares its bytes.
    fn decode(&self, position: u64, payload: &Bytes) -> Result<StoredEvent, Damage> {
        let Self { bytes, stream_end, kind_end, meta_end } = *self;
        let (header, _) = bytes.split_first_chunk().ok_or(Damage::CutShort { position })?;
        let bad = |what, found: &[u8]| {
            let found = String::from_utf8_lossy(found).into_owned();
            Damage::BadText { position, what, found }
        };
        let name = &bytes[HEADER_BYTES..stream_end];
        let stream: Option<StreamId> = str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        let kind = &bytes[stream_end..kind_end];
        let text = str::from_utf8(kind).map_err(|_| bad("kind", kind))?;
        Ok(StoredEvent {
            position: Position(position),
            stream: stream.ok_or_else(|| bad("stream", name))?,
            version: u64::from_le_bytes(field(header, 0)),
            id: EventId(Ulid::from_bytes(field(header, 16))),
            kind: match codec::known_kind(text) {
                Some(known) => Cow::Borrowed(known),
                None => Cow::Owned(text.to_owned()),
            },
            schema: u16::from_le_bytes(field(header, 32)),
            recorded_at: Timestamp::from_micros(i64::from_le_bytes(field(header, 8))),
            meta: payload.slice_ref(&bytes[kind_end..meta_end]),
            data: payload.slice_ref(&bytes[meta_end..]),
            cache: OnceLock::new(),
        })
    }
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::embedded::log) fn event(position: u64, data: &'static [u8]) -> Arc<StoredEvent> {
        Arc::new(StoredEvent {
            position: Position(position),
            stream: "ticket-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            version: position + 5,
            id: "01BX5ZZKBKACTAV9WEVGEMMVS0".parse().unwrap(),
            kind: "from-the-future".into(),
            schema: 513,
            recorded_at: Timestamp::from_micros(-7),
            meta: Bytes::from_static(b"\xff\x00"),
            data: Bytes::from_static(data),
            cache: OnceLock::new(),
        })
    }

    fn encoded(events: &[Arc<StoredEvent>]) -> Bytes {
        let mut bytes = Vec::new();
        events.iter().for_each(|event| encode(event, &mut bytes));
        bytes.into()
    }

    #[test]
    fn events_come_back_as_they_went_in() {
        let events: Vec<_> = (1..=200).map(|n| event(n, &[b'x'; 100])).collect();
        let payload = encoded(&events);
        assert_eq!(decode(&payload, 1, 200, |_| true).unwrap(), events);
        assert_eq!(decode(&payload, 1, 200, |at| at == 7).unwrap(), events[6..7]);
    }

    #[test]
    fn the_format_is_what_the_table_says() {
        let expected: Vec<u8> = [
            &263u64.to_le_bytes()[..],
            &(-7i64).to_le_bytes(),
            &"01BX5ZZKBKACTAV9WEVGEMMVS0".parse::<Ulid>().unwrap().to_bytes(),
            &[1, 2, 33, 15, 2, 0, 0, 0, 2, 0, 0, 0],
            b"ticket-01ARZ3NDEKTSV4RRFFQ69G5FAVfrom-the-future\xff\x00{}",
        ]
        .concat();
        assert_eq!(encoded(&[event(258, b"{}")]), expected);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_noticed_even_with_a_good_checksum() {
        let bytes = encoded(&[event(1, b"{}")]);
        for length in 0..bytes.len() {
            let error = decode(&bytes.slice(..length), 1, 1, |_| true).unwrap_err();
            assert_eq!(error, Damage::CutShort { position: 1 });
        }
        let longer: Bytes = [&bytes[..], b"!"].concat().into();
        assert_eq!(decode(&longer, 1, 1, |_| true), Err(Damage::TooLong { position: 1 }));
        let mut bad = bytes.to_vec();
        bad[HEADER_BYTES] = b'T';
        let error = decode(&bad.into(), 1, 1, |_| true).unwrap_err().to_string();
        assert!(error.starts_with("the event at position 1 has a bad stream"), "{error}");
    }
}
