//! A frame: some events of one batch, with checksums that also tell what came before it.
//!
//! | bytes | what (little-endian) |
//! |---|---|
//! | 4 | `HkFr` |
//! | 4 | bytes of the payload |
//! | 8 | position of its first event |
//! | 8 | position of its last event |
//! | 8 | position of the first event of its batch |
//! | 4 | checksum of the frame before it in the log; 0 for the first |
//! | 4 | checksum of the payload |
//! | 4 | 1 if it is the last of its batch, else 0 |
//! | 4 | checksum of the 44 bytes above: the frame's checksum |
//!
//! then the payload, and one to eight bytes `A5` that bring the whole to a multiple of eight.
//! Checksums are CRC-32 (ISO 3309, as in zip files). The bytes at the end are never zero, so that
//! a frame that was cut off while it was written can be told from one that was damaged later.

use std::sync::Arc;

use hakken_domain::envelope::StoredEvent;

use super::record;

pub(super) const HEADER_BYTES: usize = 48;
const MAGIC: [u8; 4] = *b"HkFr";
const PADDING: [u8; 8] = [0xa5; 8];

/// A frame is closed once its payload has so many bytes. Bigger ones are faster to scan; one
/// event of a stream costs reading one frame.
const FRAME_BYTES: usize = 32 * 1024;

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: usize,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) batch: u64,
    pub(super) previous: u32,
    pub(super) payload_crc: u32,
    pub(super) ends_batch: bool,
    pub(super) crc: u32,
}

fn padding(length: usize) -> usize {
    8 - length % 8
}

impl Frame {
    /// The frame that begins here, if one does. Its payload is not looked at.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let frame = Self {
            length: word(4) as usize,
            first: long(8),
            last: long(16),
            batch: long(24),
            previous: word(32),
            payload_crc: word(36),
            ends_batch: word(40) == 1,
            crc: word(44),
        };
        let is_frame = header[..4] == MAGIC
            && crc32fast::hash(&header[..44]) == frame.crc
            && frame.batch <= frame.first
            && frame.first <= frame.last;
        is_frame.then_some(frame)
    }

    /// Bytes from its header to the next frame's.
    pub(super) fn extent(&self) -> usize {
        HEADER_BYTES + self.length + padding(self.length)
    }

    /// Whether these bytes, from the header on, are the whole frame as it was written.
    pub(super) fn is_whole(&self, bytes: &[u8]) -> bool {
        let payload_end = HEADER_BYTES + self.length;
        bytes.get(HEADER_BYTES..payload_end).is_some_and(|payload| {
            crc32fast::hash(payload) == self.payload_crc
                && bytes.get(payload_end..self.extent()) == Some(&PADDING[..padding(self.length)])
        })
    }

    fn header(&mut self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&(self.length as u32).to_le_bytes());
        header[8..16].copy_from_slice(&self.first.to_le_bytes());
        header[16..24].copy_from_slice(&self.last.to_le_bytes());
        header[24..32].copy_from_slice(&self.batch.to_le_bytes());
        header[32..36].copy_from_slice(&self.previous.to_le_bytes());
        header[36..40].copy_from_slice(&self.payload_crc.to_le_bytes());
        header[40..44].copy_from_slice(&u32::from(self.ends_batch).to_le_bytes());
        self.crc = crc32fast::hash(&header[..44]);
        header[44..].copy_from_slice(&self.crc.to_le_bytes());
        header
    }
}

/// A batch as it is written.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    /// Where each frame begins among the bytes.
    pub(super) frames: Vec<(usize, Frame)>,
}

/// Encodes a batch of events with successive positions that follows a frame with this checksum.
pub(super) fn encode(events: &[Arc<StoredEvent>], mut previous: u32) -> Encoded {
    let payload: usize = events.iter().map(|event| event.data.len() + event.meta.len()).sum();
    let mut bytes = Vec::with_capacity(payload + events.len() * 112 + 2 * HEADER_BYTES);
    let mut frames = Vec::with_capacity(payload / FRAME_BYTES + 1);
    let batch = events.first().map_or(0, |event| event.position.0);
    let mut rest = events;
    while let Some(first) = rest.first() {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; HEADER_BYTES]);
        let body = bytes.len();
        let mut count = 0;
        while count < rest.len() && bytes.len() - body < FRAME_BYTES {
            record::encode(&rest[count], &mut bytes);
            count += 1;
        }
        let length = bytes.len() - body;
        let mut frame = Frame {
            length,
            first: first.position.0,
            last: rest[count - 1].position.0,
            batch,
            previous,
            payload_crc: crc32fast::hash(&bytes[body..]),
            ends_batch: count == rest.len(),
            crc: 0,
        };
        bytes[start..body].copy_from_slice(&frame.header());
        bytes.extend_from_slice(&PADDING[..padding(length)]);
        previous = frame.crc;
        frames.push((start, frame));
        rest = &rest[count..];
    }
    Encoded { bytes, frames }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::log::record::tests::event;

    #[test]
    fn the_format_is_what_the_table_says() {
        let Encoded { bytes, frames } = encode(&[event(258, b"{}")], 7);
        let payload = &bytes[48..bytes.len() - padding(bytes[4] as usize)];
        let mut expected = Vec::new();
        expected.extend_from_slice(b"HkFr");
        expected.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        for position in [258_u64; 3] {
            expected.extend_from_slice(&position.to_le_bytes());
        }
        expected.extend_from_slice(&7_u32.to_le_bytes());
        expected.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        expected.extend_from_slice(&1_u32.to_le_bytes());
        expected.extend_from_slice(&crc32fast::hash(&expected).to_le_bytes());
        assert_eq!(bytes[..48], expected);
        assert!(bytes.len().is_multiple_of(8) && bytes.ends_with(&[0xa5]));
        assert_eq!((frames[0].1.extent(), frames[0].0), (bytes.len(), 0));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let Encoded { bytes, .. } = encode(&[event(1, b"{}"), event(2, b"[]")], 0);
        let is_good = |bytes: &[u8]| Frame::parse(bytes).is_some_and(|frame| frame.is_whole(bytes));
        assert!(is_good(&bytes));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_good(&bad), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(!is_good(&bytes[..length]), "{length} bytes");
        }
    }

    #[test]
    fn a_large_batch_is_several_frames_of_which_the_last_says_so() {
        let events: Vec<_> = (1..=2_000).map(|n| event(n, &[b'x'; 100])).collect();
        let Encoded { bytes, frames } = encode(&events, 0);
        assert!(frames.len() > 5, "{} frames", frames.len());
        let mut previous = 0;
        for (at, (start, frame)) in frames.iter().enumerate() {
            assert_eq!(Frame::parse(&bytes[*start..]), Some(*frame));
            assert!(frame.is_whole(&bytes[*start..]));
            assert_eq!((frame.previous, frame.batch), (previous, 1));
            assert_eq!(frame.ends_batch, at + 1 == frames.len());
            previous = frame.crc;
        }
    }
}
