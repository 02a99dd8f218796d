//! The storage format of the log: events back to back in chunks, each with a checksum.
//!
//! A chunk holds the events of positions `first..=last`. Each event is 44 bytes in little-endian
//! order, and then what these count:
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
//! followed by the stream's name, the kind, the metadata and the data. The checksum is the CRC-32
//! (ISO 3309, as in zip files) of `first`, `last` (8 bytes each) and the chunk's bytes.

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

/// A chunk is closed once it has so many bytes. Bigger ones are faster to scan; one event of a
/// stream costs reading one chunk.
const CHUNK_BYTES: usize = 32 * 1024;

const HEADER_BYTES: usize = 44;

/// A chunk as it stands in the log.
pub(super) struct Chunk {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) crc: u32,
    pub(super) bytes: Bytes,
}

/// Where a chunk stands among the bytes of its batch.
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) crc: u32,
    pub(super) start: usize,
    pub(super) length: usize,
}

/// Stored bytes that are no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("the events from position {first} to {last} do not match their checksum")]
    Checksum { first: u64, last: u64 },
    #[error("the event at position {position} is cut short")]
    CutShort { position: u64 },
    #[error("the event at position {position} has a bad {what}: {found:?}")]
    BadText { position: u64, what: &'static str, found: String },
    #[error("bytes follow the event at position {position}")]
    TooLong { position: u64 },
    #[error("the events after position {after} are missing: the next are those from {first}")]
    Gap { after: u64, first: u64 },
    #[error("position {position} should be version {version} of {stream}, but is not")]
    Misplaced { position: u64, stream: StreamId, version: u64 },
}

/// The bytes of a batch, and its chunks. The events have successive positions.
pub(super) fn encode(events: &[Arc<StoredEvent>]) -> (Vec<u8>, Vec<Span>) {
    let payload: usize = events.iter().map(|event| event.data.len() + event.meta.len()).sum();
    let mut bytes = Vec::with_capacity(payload + events.len() * 112);
    let mut spans = Vec::with_capacity(payload / CHUNK_BYTES + 1);
    let mut start = 0;
    let mut first = None;
    for (at, event) in events.iter().enumerate() {
        first.get_or_insert(event.position.0);
        encode_event(event, &mut bytes);
        let length = bytes.len() - start;
        if length >= CHUNK_BYTES || at + 1 == events.len() {
            let (first, last) = (first.take().unwrap_or(event.position.0), event.position.0);
            let crc = checksum(first, last, &bytes[start..]);
            spans.push(Span { first, last, crc, start, length });
            start = bytes.len();
        }
    }
    (bytes, spans)
}

fn encode_event(event: &StoredEvent, bytes: &mut Vec<u8>) {
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

fn checksum(first: u64, last: u64, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&first.to_le_bytes());
    crc.update(&last.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

impl Chunk {
    /// The events of the chunk, in order. They share its bytes.
    pub(super) fn decode(&self) -> Result<Vec<Arc<StoredEvent>>, Damage> {
        self.decode_some(|_| true)
    }

    /// Those events of the chunk whose positions are wanted.
    pub(super) fn decode_some(
        &self,
        mut wanted: impl FnMut(u64) -> bool,
    ) -> Result<Vec<Arc<StoredEvent>>, Damage> {
        self.decode_where(|position, _, _| wanted(position))
    }

    /// Those events of the chunk that are wanted, by position, stream's name and kind.
    pub(super) fn decode_where(
        &self,
        mut wanted: impl FnMut(u64, &[u8], &[u8]) -> bool,
    ) -> Result<Vec<Arc<StoredEvent>>, Damage> {
        let Self { first, last, crc, ref bytes } = *self;
        if first > last || first == 0 || checksum(first, last, bytes) != crc {
            return Err(Damage::Checksum { first, last });
        }
        let mut rest = &bytes[..];
        let mut events = Vec::new();
        for position in first..=last {
            let record = split_record(position, &mut rest)?;
            let (name, kind) =
                (HEADER_BYTES..record.stream_end, record.stream_end..record.kind_end);
            if wanted(position, &record.bytes[name], &record.bytes[kind]) {
                events.push(Arc::new(record.decode(position, bytes)?));
            }
        }
        if rest.is_empty() { Ok(events) } else { Err(Damage::TooLong { position: last }) }
    }
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
    /// `chunk` are the bytes that this record is a part of: the event shares them.
    fn decode(&self, position: u64, chunk: &Bytes) -> Result<StoredEvent, Damage> {
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
            meta: chunk.slice_ref(&bytes[kind_end..meta_end]),
            data: chunk.slice_ref(&bytes[meta_end..]),
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
mod tests {
    use super::*;

    fn event(position: u64, data: &'static [u8]) -> Arc<StoredEvent> {
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

    fn chunks(events: &[Arc<StoredEvent>]) -> Vec<Chunk> {
        let (bytes, spans) = encode(events);
        let cut = |span: &Span| Bytes::copy_from_slice(&bytes[span.start..][..span.length]);
        spans
            .iter()
            .map(|span| Chunk {
                first: span.first,
                last: span.last,
                crc: span.crc,
                bytes: cut(span),
            })
            .collect()
    }

    #[test]
    fn events_come_back_as_they_went_in() {
        let events: Vec<_> = (1..=2_000).map(|n| event(n, &[b'x'; 100])).collect();
        let chunks = chunks(&events);
        assert!(chunks.len() > 5, "{} chunks", chunks.len());
        let back: Vec<_> = chunks.iter().flat_map(|chunk| chunk.decode().unwrap()).collect();
        assert_eq!(back, events);
    }

    #[test]
    fn the_format_is_what_the_table_says() {
        let (bytes, spans) = encode(&[event(258, b"{}")]);
        let expected: Vec<u8> = [
            &263u64.to_le_bytes()[..],
            &(-7i64).to_le_bytes(),
            &"01BX5ZZKBKACTAV9WEVGEMMVS0".parse::<Ulid>().unwrap().to_bytes(),
            &[1, 2, 33, 15, 2, 0, 0, 0, 2, 0, 0, 0],
            b"ticket-01ARZ3NDEKTSV4RRFFQ69G5FAVfrom-the-future\xff\x00{}",
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!((spans[0].first, spans[0].last, spans[0].length), (258, 258, bytes.len()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let [mut chunk] = <[Chunk; 1]>::try_from(chunks(&[event(1, b"{}"), event(2, b"[]")]))
            .unwrap_or_else(|_| panic!("two small events are one chunk"));
        let good = chunk.bytes.clone();
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            chunk.bytes = bad.into();
            assert_eq!(chunk.decode(), Err(Damage::Checksum { first: 1, last: 2 }));
        }
        chunk.bytes = good;
        chunk.last = 3;
        assert_eq!(chunk.decode(), Err(Damage::Checksum { first: 1, last: 3 }));
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_noticed_even_with_a_good_checksum() {
        let (bytes, _) = encode(&[event(1, b"{}")]);
        let decode = |bytes: Vec<u8>| {
            Chunk { first: 1, last: 1, crc: checksum(1, 1, &bytes), bytes: bytes.into() }.decode()
        };
        for length in 0..bytes.len() {
            let cut = bytes[..length].to_vec();
            assert_eq!(decode(cut), Err(Damage::CutShort { position: 1 }));
        }
        assert_eq!(decode([&bytes[..], b"!"].concat()), Err(Damage::TooLong { position: 1 }));
        let mut bad = bytes.clone();
        bad[HEADER_BYTES] = b'T';
        let error = decode(bad).unwrap_err().to_string();
        assert!(error.starts_with("the event at position 1 has a bad stream"), "{error}");
    }
}
