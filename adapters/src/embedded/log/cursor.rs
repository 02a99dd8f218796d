//! Reading a file in blocks.

use std::{
    fs::File,
    io, mem,
    os::unix::fs::FileExt,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

/// Read at once, or more if more is asked for.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Blocks that nobody reads any more are filled again: fresh memory costs a scan as much as what it
/// reads.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// Most of them.
const MOST_SPARE: usize = 8;

/// What was read at once. It comes back when the last event that shares it is dropped.
struct Block(Vec<u8>);

impl Block {
    /// One of so many bytes, which say nothing.
    fn of(length: usize) -> Self {
        if length == BLOCK_BYTES
            && let Some(spare) = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop()
        {
            return Self(spare);
        }
        Self(vec![0; length])
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.0.len() == BLOCK_BYTES {
            let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < MOST_SPARE {
                spare.push(mem::take(&mut self.0));
            }
        }
    }
}

/// A window of a file that moves on.
pub(super) struct Cursor<'a> {
    file: &'a File,
    end: u64,
    block: usize,
    start: u64,
    bytes: Bytes,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a File, end: u64) -> Self {
        Self { file, end, block: BLOCK_BYTES, start: 0, bytes: Bytes::new() }
    }

    /// The same with smaller blocks.
    pub(super) fn with_block(mut self, bytes: usize) -> Self {
        self.block = bytes;
        self
    }

    /// Nothing from here on is read.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes from an offset on; none if they go beyond the end.
    pub(super) fn get(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        Ok(self.range(offset, length)?.map(|range| &self.bytes[range]))
    }

    /// The same, sharing the memory of the whole block.
    pub(super) fn share(&mut self, offset: u64, length: usize) -> io::Result<Option<Bytes>> {
        Ok(self.range(offset, length)?.map(|range| self.bytes.slice(range)))
    }

    fn range(&mut self, offset: u64, length: usize) -> io::Result<Option<std::ops::Range<usize>>> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.end) {
            return Ok(None);
        }
        let known = self.start..self.start + self.bytes.len() as u64;
        if !known.contains(&offset) || offset + length as u64 > known.end {
            let most = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
            let mut block = Block::of(self.block.max(length).min(most));
            self.file.read_exact_at(&mut block.0, offset)?;
            self.bytes = Bytes::from_owner(block);
            self.start = offset;
        }
        let at = (offset - self.start) as usize;
        Ok(Some(at..at + length))
    }
}
