//! A run: the index of a range of the log, sorted by stream and never changed once written.
//!
//! Its entries (a stream, a first version, and the positions of that version and the next ones)
//! stand in blocks of about a page, each with a checksum. In memory a run keeps its fences (the
//! first entry of each block) and a Bloom filter of its streams: about 2.2 bytes for each stream,
//! and a stream that is not in the run costs no read.

use hakken_domain::envelope::{StreamId, StreamKind};

/// A block is closed once it has so many bytes: it then fits a page of SQLite.
const BLOCK_BYTES: usize = 3_400;

/// Most positions in an entry; a stream with more has several entries.
pub(super) const ENTRY_POSITIONS: usize = 512;

/// Bits of the filter for each stream, and bits set by each: about 0.1 % of the streams that are
/// not in the run look as if they were.
const FILTER_BITS: u64 = 16;
const FILTER_PROBES: u64 = 7;

/// A stream, as it is sorted.
pub(super) type Key = [u8; 17];

/// The key of a stream.
pub(super) fn key(stream: StreamId) -> Key {
    let mut key = [0; 17];
    key[0] = match stream.kind {
        StreamKind::Inventory => 1,
        StreamKind::Order => 2,
        StreamKind::Ticket => 3,
        StreamKind::Show => 4,
        StreamKind::Venue => 5,
        StreamKind::Organizer => 6,
        StreamKind::Key => 7,
        StreamKind::Gate => 8,
        StreamKind::Operations => 9,
    };
    key[1..].copy_from_slice(&stream.id.to_bytes());
    key
}

/// Some events of a stream, of successive versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) first_version: u64,
    pub(super) positions: Vec<u64>,
}

/// The index cannot be what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stream index is damaged ({0}): stop the server, delete index.db and start again; it is rebuilt from the events"
)]
pub(crate) struct IndexDamage(pub(super) String);

/// A run, as it is kept in memory.
#[derive(Debug)]
pub(in crate::embedded) struct Run {
    pub(super) run: u32,
    pub(super) level: u32,
    /// The positions that it covers.
    pub(super) first: u64,
    pub(in crate::embedded) last: u64,
    /// The checksum of the log's chunk that ends at `last`.
    pub(super) log_crc: u32,
    /// Streams in it.
    pub(super) streams: u64,
    pub(super) fences: Vec<(Key, u64)>,
    pub(super) filter: Filter,
}

impl Run {
    /// The blocks that can hold versions of a stream from `version` on.
    pub(super) fn blocks_from(&self, key: &Key, version: u64) -> impl Iterator<Item = i64> {
        let start = self.fences.partition_point(|fence| *fence <= (*key, version)).max(1) - 1;
        let end = self.fences.partition_point(|(fence, _)| fence <= key).max(start);
        (start..end).map(|block| block_id(self.run, block))
    }

    /// The block that holds the newest version of a stream, if the run has the stream.
    pub(super) fn newest_block(&self, key: &Key) -> Option<i64> {
        let end = self.fences.partition_point(|(fence, _)| fence <= key);
        Some(block_id(self.run, end.checked_sub(1)?))
    }
}

/// Where a block of a run stands in the table of blocks.
pub(super) fn block_id(run: u32, block: usize) -> i64 {
    (i64::from(run) << 32) | i64::try_from(block).unwrap_or(i64::MAX)
}

/// A block as it is stored.
pub(super) struct Block {
    pub(super) id: i64,
    pub(super) bytes: Vec<u8>,
}

impl Block {
    pub(super) fn checksum(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.id.to_le_bytes());
        crc.update(&self.bytes);
        crc.finalize()
    }

    /// The entries of a block that was read with this checksum.
    pub(super) fn decode(&self, crc: i64) -> Result<Vec<Entry>, IndexDamage> {
        self.decode_some(crc, |_| true)
    }

    /// Those of the entries that are wanted.
    pub(super) fn decode_some(
        &self,
        crc: i64,
        wanted: impl Fn(&Key) -> bool,
    ) -> Result<Vec<Entry>, IndexDamage> {
        let damaged = || IndexDamage(format!("block {:#x}", self.id));
        if i64::from(self.checksum()) != crc {
            return Err(damaged());
        }
        let mut rest = self.bytes.as_slice();
        let mut entries = Vec::new();
        while !rest.is_empty() {
            entries.extend(decode_entry(&mut rest, &wanted).ok_or_else(damaged)?);
        }
        Ok(entries)
    }
}

/// The next entry, or nothing in its place if it is not wanted.
fn decode_entry(rest: &mut &[u8], wanted: impl Fn(&Key) -> bool) -> Option<Option<Entry>> {
    let (key, after) = rest.split_first_chunk()?;
    *rest = after;
    let first_version = take_number(rest)?;
    let count = usize::try_from(take_number(rest)?).ok()?;
    if !wanted(key) {
        for _ in 0..count {
            take_number(rest)?;
        }
        return Some(None);
    }
    let mut positions = Vec::with_capacity(count.min(ENTRY_POSITIONS));
    let mut position = 0u64;
    for _ in 0..count {
        position = position.checked_add(take_number(rest)?)?;
        positions.push(position);
    }
    Some(Some(Entry { key: *key, first_version, positions }))
}

/// A number in LEB128: 7 bits a byte, the lowest first.
fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Builds a run from entries in order.
pub(super) struct RunBuilder {
    run: u32,
    filter: Filter,
    fences: Vec<(Key, u64)>,
    block: Vec<u8>,
    /// The next entry, which the one after it may still join.
    pending: Option<Entry>,
    streams: u64,
    /// Full blocks, for the caller to write.
    pub(super) blocks: Vec<Block>,
}

impl RunBuilder {
    /// A run of at most so many streams.
    pub(super) fn new(run: u32, streams: u64) -> Self {
        Self {
            run,
            filter: Filter::for_streams(streams),
            fences: Vec::new(),
            block: Vec::with_capacity(BLOCK_BYTES * 2),
            pending: None,
            streams: 0,
            blocks: Vec::new(),
        }
    }

    /// Adds an entry. Entries come in order of key and version; those of a stream without a gap.
    pub(super) fn push(&mut self, entry: Entry) -> Result<(), IndexDamage> {
        if let Some(pending) = &mut self.pending {
            let next = pending.first_version + pending.positions.len() as u64;
            let joins = pending.key == entry.key;
            if entry.key < pending.key || (joins && entry.first_version != next) {
                return Err(IndexDamage(format!("run {} is out of order", self.run)));
            }
            if joins && pending.positions.len() + entry.positions.len() <= ENTRY_POSITIONS {
                pending.positions.extend(entry.positions);
                return Ok(());
            }
            if !joins {
                self.streams += 1;
            }
        }
        if let Some(pending) = self.pending.replace(entry) {
            self.write(&pending);
        }
        Ok(())
    }

    fn write(&mut self, entry: &Entry) {
        if self.block.is_empty() {
            self.fences.push((entry.key, entry.first_version));
        }
        self.filter.insert(&entry.key);
        self.block.extend_from_slice(&entry.key);
        put_number(entry.first_version, &mut self.block);
        put_number(entry.positions.len() as u64, &mut self.block);
        let mut before = 0;
        for position in &entry.positions {
            put_number(position.saturating_sub(before), &mut self.block);
            before = *position;
        }
        if self.block.len() >= BLOCK_BYTES {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        if !self.block.is_empty() {
            let id = block_id(self.run, self.fences.len() - 1);
            self.blocks.push(Block { id, bytes: std::mem::take(&mut self.block) });
        }
    }

    /// The finished run, and the blocks that are not written yet.
    pub(super) fn finish(
        mut self,
        level: u32,
        (first, last): (u64, u64),
        log_crc: u32,
    ) -> (Run, Vec<Block>) {
        if let Some(pending) = self.pending.take() {
            self.streams += 1;
            self.write(&pending);
        }
        self.close_block();
        let Self { run, filter, fences, streams, blocks, .. } = self;
        (Run { run, level, first, last, log_crc, streams, fences, filter }, blocks)
    }
}

/// A Bloom filter: never says no to a stream that is in it. All bits of a stream stand in one
/// block of 512, so that asking costs one look at memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter(Vec<[u64; 8]>);

impl Filter {
    fn for_streams(streams: u64) -> Self {
        let blocks = (streams.max(1) * FILTER_BITS).div_ceil(512);
        Self(vec![[0; 8]; usize::try_from(blocks).expect("a filter fits memory")])
    }

    fn insert(&mut self, key: &Key) {
        let (block, bits) = self.place(key);
        for bit in bits {
            self.0[block][bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Whether the stream may be in it.
    pub(super) fn may_contain(&self, key: &Key) -> bool {
        let (block, mut bits) = self.place(key);
        let block = &self.0[block];
        bits.all(|bit| block[bit / 64] & (1 << (bit % 64)) != 0)
    }

    /// The block of a stream and its bits there.
    fn place(&self, key: &Key) -> (usize, impl Iterator<Item = usize> + use<>) {
        let half = |at: usize| {
            let mut half = [0; 8];
            half.copy_from_slice(&key[at..at + 8]);
            u64::from_le_bytes(half)
        };
        // Half of a ULID may be nothing but time: both halves go into both hashes.
        let kind = u64::from(key[0]).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let hash = mix(half(1) ^ mix(half(9) ^ kind));
        // The high half of the product is evenly spread over the blocks.
        let block = ((u128::from(hash) * self.0.len() as u128) >> 64) as usize;
        let bits = mix(hash);
        (block, (0..FILTER_PROBES).map(move |probe| (bits >> (9 * probe)) as usize & 511))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.as_flattened().iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, no_more_bytes) = bytes.as_chunks();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let (blocks, no_more_words) = words.as_chunks();
        (no_more_bytes.is_empty() && no_more_words.is_empty() && !blocks.is_empty())
            .then(|| Self(blocks.to_vec()))
    }
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    value = (value ^ (value >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    value ^ (value >> 33)
}

/// The fences as they are stored.
pub(super) fn encode_fences(fences: &[(Key, u64)]) -> Vec<u8> {
    fences
        .iter()
        .flat_map(|(key, version)| key.iter().copied().chain(version.to_le_bytes()))
        .collect()
}

pub(super) fn decode_fences(bytes: &[u8]) -> Option<Vec<(Key, u64)>> {
    let (fences, rest) = bytes.as_chunks::<25>();
    rest.is_empty().then(|| {
        let number = |fence: &[u8; 25]| {
            let mut version = [0; 8];
            version.copy_from_slice(&fence[17..]);
            u64::from_le_bytes(version)
        };
        let key = |fence: &[u8; 25]| {
            let mut key = [0; 17];
            key.copy_from_slice(&fence[..17]);
            key
        };
        fences.iter().map(|fence| (key(fence), number(fence))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stream: u64, first_version: u64, positions: impl Into<Vec<u64>>) -> Entry {
        let mut key = [3; 17];
        key[9..].copy_from_slice(&mix(stream).to_be_bytes());
        Entry { key, first_version, positions: positions.into() }
    }

    fn build(mut entries: Vec<Entry>) -> (Run, Vec<Block>) {
        entries.sort_by_key(|entry| (entry.key, entry.first_version));
        let mut builder = RunBuilder::new(7, entries.len() as u64);
        for entry in entries {
            builder.push(entry).unwrap();
        }
        builder.finish(0, (1, 1), 0)
    }

    #[test]
    fn every_stream_is_found_and_others_are_mostly_not_looked_for() {
        let (run, blocks) = build((0..5_000).map(|n| entry(n, n + 1, [n + 1, n + 900])).collect());
        assert_eq!(run.streams, 5_000);
        assert!(blocks.len() > 20 && blocks.len() == run.fences.len(), "{} blocks", blocks.len());
        for n in 0..5_000 {
            let wanted = entry(n, n + 1, [n + 1, n + 900]);
            assert!(run.filter.may_contain(&wanted.key));
            let id = run.newest_block(&wanted.key).unwrap();
            let block = blocks.iter().find(|block| block.id == id).unwrap();
            assert!(block.decode(block.checksum().into()).unwrap().contains(&wanted));
            assert!(run.blocks_from(&wanted.key, 1).any(|found| found == id));
        }
        let false_hits =
            (5_000..105_000).filter(|n| run.filter.may_contain(&entry(*n, 1, []).key)).count();
        assert!(false_hits < 300, "{false_hits} of 100,000");
    }

    #[test]
    fn a_long_stream_has_several_entries_and_is_found_from_any_version() {
        let positions: Vec<u64> = (0..9_000).map(|n| n * 1_000 + 1).collect();
        let parts = positions.chunks(100).enumerate();
        let (run, blocks) = build(
            parts
                .map(|(n, part)| entry(1, n as u64 * 100 + 1, part))
                .chain([entry(2, 1, [5])])
                .collect(),
        );
        assert_eq!(run.streams, 2);
        let key = entry(1, 1, []).key;
        for from in [1, 2, 511, 512, 513, 5_000, 9_000] {
            let ids: Vec<_> = run.blocks_from(&key, from).collect();
            let found: Vec<u64> = blocks
                .iter()
                .filter(|block| ids.contains(&block.id))
                .flat_map(|block| block.decode(block.checksum().into()).unwrap())
                .filter(|entry| entry.key == key)
                .flat_map(|entry| (entry.first_version..).zip(entry.positions))
                .filter(|(version, _)| *version >= from)
                .map(|(_, position)| position)
                .collect();
            assert_eq!(found, positions[from as usize - 1..]);
        }
    }

    #[test]
    fn a_block_that_changed_or_moved_is_noticed() {
        let (_, mut blocks) = build(vec![entry(1, 1, [300])]);
        let crc = i64::from(blocks[0].checksum());
        blocks[0].bytes[18] ^= 1;
        assert!(blocks[0].decode(crc).is_err());
        blocks[0].bytes[18] ^= 1;
        blocks[0].id += 1;
        assert!(blocks[0].decode(crc).is_err());
    }

    #[test]
    fn a_gap_in_a_stream_is_refused() {
        let mut builder = RunBuilder::new(1, 1);
        builder.push(entry(1, 1, [1, 2])).unwrap();
        assert!(builder.push(entry(1, 4, [9])).is_err());
    }

    #[test]
    fn filters_and_fences_come_back() {
        let (run, _) = build((0..500).map(|n| entry(n, 1, [n + 1])).collect());
        assert_eq!(Filter::from_bytes(&run.filter.to_bytes()), Some(run.filter.clone()));
        assert_eq!(decode_fences(&encode_fences(&run.fences)), Some(run.fences));
        assert_eq!(Filter::from_bytes(&[1]), None);
        assert_eq!(decode_fences(&[1]), None);
    }
}
