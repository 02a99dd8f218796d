//! A part of a backup: a file of events.
//!
//! | bytes | what (little-endian) |
//! |---|---|
//! | 8 | `HkBackup` |
//! | 4 | format, 1 |
//! | 4 | checksum of the 12 bytes above |
//!
//! then blocks to the end of the file:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `HkBl` |
//! | 4 | bytes of the payload |
//! | 8 | position of its first event |
//! | 8 | position of its last event |
//! | 4 | checksum of the payload |
//! | 4 | checksum of the 28 bytes above |
//!
//! each followed by its payload: the records of its events, as `embedded/log/record.rs` describes
//! them. Checksums are CRC-32. They find the place of a damage; that nothing was exchanged is what
//! the SHA-256 in the manifest is for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use hakken_domain::{
    chain::Chain,
    envelope::{Position, StoredEvent},
    time::Timestamp,
};
use sha2::{Digest as _, Sha256};

use super::{BackupError, FORMAT, hex, manifest::Part};
use crate::{
    data_dir::sync_dir,
    embedded::{decode_records, encode_record},
};

const MAGIC: [u8; 8] = *b"HkBackup";
const BLOCK_MAGIC: [u8; 4] = *b"HkBl";
const HEADER_BYTES: usize = 16;
const BLOCK_HEADER_BYTES: usize = 32;

/// A block is closed once its payload has so many bytes.
const BLOCK_BYTES: usize = 256 * 1024;

/// What the name of a part ends with, and that of one which is being written.
pub(super) const ENDING: &str = ".part";
pub(super) const DRAFT_ENDING: &str = ".draft";

fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    let crc = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// A part that is being written. Nobody sees it before its end.
pub(super) struct PartWriter {
    draft: PathBuf,
    name: String,
    file: File,
    hasher: Sha256,
    pub(super) bytes: u64,
    first: Position,
    last: Position,
    last_recorded_at: Timestamp,
    block: Vec<u8>,
    block_first: Position,
}

impl PartWriter {
    /// A part whose first event will have this position.
    pub(super) fn create(dir: &Path, first: Position) -> Result<Self, BackupError> {
        let name = format!("{:020}{ENDING}", first.0);
        let draft = dir.join(format!("{:020}{DRAFT_ENDING}", first.0));
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).open(&draft);
        let file = file.map_err(|error| BackupError::io(&draft, error))?;
        let mut part = Self {
            draft,
            name,
            file,
            hasher: Sha256::new(),
            bytes: 0,
            first,
            last: Position(first.0 - 1),
            last_recorded_at: Timestamp::default(),
            block: vec![0; BLOCK_HEADER_BYTES],
            block_first: first,
        };
        part.write(&header())?;
        Ok(part)
    }

    /// Adds the next event.
    pub(super) fn add(&mut self, event: &StoredEvent) -> Result<(), BackupError> {
        encode_record(event, &mut self.block);
        self.last = event.position;
        self.last_recorded_at = event.recorded_at;
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<(), BackupError> {
        if self.block.len() == BLOCK_HEADER_BYTES {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        let (header, payload) = block.split_at_mut(BLOCK_HEADER_BYTES);
        let length = u32::try_from(payload.len()).map_err(|_| {
            let large = io::Error::new(io::ErrorKind::FileTooLarge, "an event is beyond 4 GiB");
            BackupError::io(&self.draft, large)
        })?;
        header[..4].copy_from_slice(&BLOCK_MAGIC);
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..16].copy_from_slice(&self.block_first.0.to_le_bytes());
        header[16..24].copy_from_slice(&self.last.0.to_le_bytes());
        header[24..28].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        let crc = crc32fast::hash(&header[..28]);
        header[28..].copy_from_slice(&crc.to_le_bytes());
        self.write(&block)?;
        block.truncate(BLOCK_HEADER_BYTES);
        self.block = block;
        self.block_first = Position(self.last.0 + 1);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.file.write_all(bytes).map_err(|error| BackupError::io(&self.draft, error))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes it durable and gives it its name. `chain` is the digest of the history up to here.
    pub(super) fn finish(mut self, dir: &Path, chain: &Chain) -> Result<Part, BackupError> {
        self.end_block()?;
        let path = dir.join(&self.name);
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.draft, &path))
            .and_then(|()| sync_dir(dir))
            .map_err(|error| BackupError::io(&path, error))?;
        Ok(Part {
            file: self.name,
            bytes: self.bytes,
            sha256: hex(self.hasher),
            first: self.first,
            last: self.last,
            last_recorded_at: self.last_recorded_at,
            chain: chain.digest(),
        })
    }
}

/// A part that is being read, from its beginning.
pub(super) struct PartReader<'a> {
    part: &'a Part,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    offset: u64,
    after: Position,
}

impl<'a> PartReader<'a> {
    /// Opens it; it must be there and have its length.
    pub(super) fn open(dir: &Path, part: &'a Part) -> Result<Self, BackupError> {
        let path = dir.join(&part.file);
        let Part { bytes, first, last, .. } = *part;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::PartMissing { file: path, first, last });
            }
            Err(error) => return Err(BackupError::io(&path, error)),
        };
        let found = file.metadata().map_err(|error| BackupError::io(&path, error))?.len();
        if found != bytes {
            return Err(BackupError::PartLength { file: path, found, bytes, first, last });
        }
        let after = Position(first.0 - 1);
        let mut reader = Self { part, path, file, hasher: Sha256::new(), offset: 0, after };
        let head = reader.take(HEADER_BYTES)?;
        if head != header() {
            return Err(reader.damaged(0, "it does not begin as a part of a backup".to_owned()));
        }
        Ok(reader)
    }

    /// The events of the next block; none at the end.
    pub(super) fn next_block(&mut self) -> Result<Vec<Arc<StoredEvent>>, BackupError> {
        if self.offset == self.part.bytes {
            return Ok(Vec::new());
        }
        let start = self.offset;
        let header = self.take(BLOCK_HEADER_BYTES)?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if header[..4] != BLOCK_MAGIC || crc32fast::hash(&header[..28]) != word(28) {
            return Err(self.damaged(start, "the head of a block does not match".to_owned()));
        }
        let payload: Bytes = self.take(word(4) as usize)?.into();
        if crc32fast::hash(&payload) != word(24) {
            let reason =
                format!("the events {} to {} do not match their checksum", long(8), long(16));
            return Err(self.damaged(start, reason));
        }
        let events = decode_records(&payload, long(8), long(16))
            .map_err(|reason| self.damaged(start, reason))?;
        self.after = events.last().map_or(self.after, |event| event.position);
        Ok(events)
    }

    /// At the end: whether the bytes were those that were written, and the events too.
    pub(super) fn finish(self, chain: &Chain) -> Result<(), BackupError> {
        let Part { sha256, last, chain: known, .. } = self.part;
        let other = |what| BackupError::Other { file: self.path.clone(), last: *last, what };
        if hex(self.hasher) != *sha256 {
            return Err(other("its SHA-256"));
        }
        if self.after != *last || chain.digest() != *known {
            return Err(other("the digest of the history"));
        }
        Ok(())
    }

    /// How many bytes were read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, BackupError> {
        if count as u64 > self.part.bytes - self.offset {
            return Err(self.damaged(self.offset, "a block goes beyond the end".to_owned()));
        }
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes).map_err(|error| BackupError::io(&self.path, error))?;
        self.hasher.update(&bytes);
        self.offset += count as u64;
        Ok(bytes)
    }

    fn damaged(&self, offset: u64, reason: String) -> BackupError {
        BackupError::Damaged { file: self.path.clone(), after: self.after, offset, reason }
    }
}
