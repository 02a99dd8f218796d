//! One file of the log: a header, frames back to back, room for more, and once it is full a table
//! of where its frames are.
//!
//! | bytes | what (little-endian) |
//! |---|---|
//! | 8 | `Hakken\0\n` |
//! | 4 | format, 1 |
//! | 4 | checksum of the last frame of the file before; 0 in the first |
//! | 16 | the store's id |
//! | 8 | position of its first event |
//! | 8 | bytes of the whole file |
//! | 12 | zero |
//! | 4 | checksum of the 60 bytes above |
//!
//! A full file ends with its table: for each mark (a frame about every 64 KiB) 8 bytes of position
//! and 8 of offset; then `HkTb`, the number of marks (4), where the frames end (8), the newest
//! position (8), the checksum of the last frame (4), and the checksum of all that (4).
//!
//! The file has its full size from the beginning, and most of its blocks were written (see
//! `spare`), so that a sync moves data and nothing else; what is not written yet is zero.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    cursor::Cursor,
    fault::{Damage, LogFault},
    frame::{self, Encoded, Frame},
};
use crate::data_dir::sync_dir;

const MAGIC: [u8; 8] = *b"Hakken\0\n";
pub(in crate::embedded) const FORMAT: u32 = 1;
pub(super) const HEADER_BYTES: usize = 64;
const TABLE_MAGIC: [u8; 4] = *b"HkTb";
const TABLE_END_BYTES: usize = 32;
const MARK_BYTES: usize = 16;

/// Frames that begin so far apart are marked.
const STRIDE: u64 = 64 * 1024;

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: [u8; 16],
    pub(super) first: u64,
    pub(super) previous: u32,
    pub(super) size: u64,
}

/// Where frames are, and how far they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// Positions and offsets.
    marks: Vec<(u64, u64)>,
    pub(super) end: u64,
    pub(super) last: u64,
    pub(super) crc: u32,
}

/// An open file of the log.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) header: Header,
    table: Mutex<Table>,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.previous.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store);
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.size.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self, LogFault> {
        let fault = |damage: Damage| LogFault::damaged(path, damage);
        if !bytes.starts_with(&MAGIC) {
            return Err(LogFault::Foreign { file: path.to_owned() });
        }
        let bytes: &[u8; HEADER_BYTES] =
            bytes.first_chunk().ok_or_else(|| fault(Damage::Header))?;
        if crc32fast::hash(&bytes[..60]) != word(bytes, 60) {
            return Err(fault(Damage::Header));
        }
        let format = word(bytes, 8);
        if format != FORMAT {
            return Err(LogFault::OtherFormat { file: path.to_owned(), format });
        }
        let mut store = [0; 16];
        store.copy_from_slice(&bytes[16..32]);
        Ok(Self { store, first: long(bytes, 32), previous: word(bytes, 12), size: long(bytes, 40) })
    }

    /// Where the room for frames ends: behind it is the table.
    fn room_end(&self) -> u64 {
        let marks = self.size / STRIDE + 1;
        self.size.saturating_sub(marks * MARK_BYTES as u64 + TABLE_END_BYTES as u64)
    }

    /// The size of a file that has room for so many bytes of frames.
    fn size_for(bytes: u64) -> u64 {
        (bytes + bytes / 1_024 + 4_096).next_multiple_of(4_096)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

impl Table {
    fn empty(header: &Header) -> Self {
        let last = header.first.saturating_sub(1);
        Self { marks: Vec::new(), end: HEADER_BYTES as u64, last, crc: header.previous }
    }

    /// Takes the frame that begins where the frames end.
    pub(super) fn add(&mut self, frame: &Frame) {
        let offset = self.end;
        if self.marks.last().is_none_or(|(_, marked)| offset >= marked + STRIDE) {
            self.marks.push((frame.first, offset));
        }
        self.end += frame.extent() as u64;
        self.last = frame.last;
        self.crc = frame.crc;
    }

    /// Where to look for a position that is not beyond the last.
    pub(super) fn offset_before(&self, position: u64) -> u64 {
        let at = self.marks.partition_point(|(first, _)| *first <= position);
        at.checked_sub(1).map_or(HEADER_BYTES as u64, |at| self.marks[at].1)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.marks.len() * MARK_BYTES + TABLE_END_BYTES);
        for (position, offset) in &self.marks {
            bytes.extend_from_slice(&position.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes.extend_from_slice(&TABLE_MAGIC);
        bytes.extend_from_slice(&(self.marks.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.end.to_le_bytes());
        bytes.extend_from_slice(&self.last.to_le_bytes());
        bytes.extend_from_slice(&self.crc.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The table at the end of these bytes, if one is there.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.len().checked_sub(TABLE_END_BYTES)?;
        let fixed = &bytes[end..];
        let count = word(fixed, 4) as usize;
        let start = end.checked_sub(count.checked_mul(MARK_BYTES)?)?;
        let is_table = fixed[..4] == TABLE_MAGIC
            && crc32fast::hash(&bytes[start..bytes.len() - 4]) == word(fixed, 28);
        is_table.then(|| Self {
            marks: bytes[start..end]
                .chunks_exact(MARK_BYTES)
                .map(|mark| (long(mark, 0), long(mark, 8)))
                .collect(),
            end: long(fixed, 8),
            last: long(fixed, 16),
            crc: word(fixed, 24),
        })
    }
}

/// The name of the file whose first event has this position; names sort like positions.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}.events")
}

impl Segment {
    /// Makes a file, whole and durable, or leaves nothing. It may be prepared: of the right size,
    /// and zero.
    pub(super) fn create(
        dir: &Path,
        header: Header,
        prepared: Option<(PathBuf, File)>,
    ) -> io::Result<Self> {
        let path = dir.join(name(header.first));
        let (draft, file) = match prepared {
            Some(prepared) => prepared,
            None => {
                let draft = path.with_extension("draft");
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(true);
                let file = options.open(&draft)?;
                (draft, file)
            }
        };
        let made = reserve(&file, header.size)
            .and_then(|()| file.write_all_at(&header.encode(), 0))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&draft, &path))
            .and_then(|()| sync_dir(dir));
        if let Err(error) = made {
            // What is left of it is removed at the next start, too.
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        let table = Mutex::new(Table::empty(&header));
        Ok(Self { path, file, header, table })
    }

    /// A file of at least `usual` bytes that has room for a batch of so many.
    pub(super) fn size_for_batch(batch_bytes: usize, usual: u64) -> u64 {
        usual.max(Header::size_for(batch_bytes as u64 + HEADER_BYTES as u64))
    }

    /// Opens a file; its frames are not looked at.
    pub(super) fn open(path: &Path, writable: bool) -> Result<Self, LogFault> {
        let io = |error| LogFault::io(path, error);
        let file = OpenOptions::new().read(true).write(writable).open(path).map_err(io)?;
        let mut bytes = [0; HEADER_BYTES];
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], read as u64).map_err(io)? {
                0 => break,
                count => read += count,
            }
        }
        let header = Header::decode(path, &bytes[..read])?;
        let found = file.metadata().map_err(io)?.len();
        if found < header.size {
            let damage = Damage::FileCutShort { found, size: header.size };
            return Err(LogFault::damaged(path, damage));
        }
        let table = Mutex::new(Table::empty(&header));
        Ok(Self { path: path.to_owned(), file, header, table })
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the table of a full file from its end; whether there is one.
    pub(super) fn load_table(&self) -> Result<bool, LogFault> {
        let start = self.header.room_end();
        let mut bytes = vec![0; (self.header.size - start) as usize];
        self.file.read_exact_at(&mut bytes, start).map_err(|error| self.io(error))?;
        let found = Table::decode(&bytes);
        let is_found = found.is_some();
        if let Some(found) = found {
            *self.table() = found;
        }
        Ok(is_found)
    }

    /// Whether so many bytes have room.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.table().end + bytes as u64 <= self.header.room_end()
    }

    /// Writes a batch behind the last frame, durably.
    pub(super) fn write(&self, batch: &Encoded) -> io::Result<()> {
        let end = self.table().end;
        self.file.write_all_at(&batch.bytes, end)?;
        self.file.sync_data()?;
        let mut table = self.table();
        batch.frames.iter().for_each(|(_, frame)| table.add(frame));
        Ok(())
    }

    /// Writes the table: nothing more will be written. It is a help, not a fact.
    pub(super) fn seal(&self) -> io::Result<()> {
        let bytes = self.table().encode();
        self.file.write_all_at(&bytes, self.header.size - bytes.len() as u64)
    }

    /// Takes in the frames behind those that are known, as long as whole batches follow. Answers
    /// where the first frame is that does not.
    pub(super) fn scan(&self) -> Result<u64, LogFault> {
        let mut known = self.table().clone();
        let mut cursor = self.cursor();
        let mut next = known.clone();
        while let Some(bytes) = cursor.get(next.end, frame::HEADER_BYTES).map_err(|e| self.io(e))? {
            let Some(frame) = Frame::parse(bytes) else { break };
            let whole = cursor.get(next.end, frame.extent()).map_err(|error| self.io(error))?;
            if !whole.is_some_and(|bytes| frame.is_whole(bytes)) {
                break;
            }
            if frame.first != next.last + 1 || frame.previous != next.crc {
                let damage = Damage::Order { after: next.last, first: frame.first };
                return Err(LogFault::damaged(&self.path, damage));
            }
            next.add(&frame);
            if frame.ends_batch {
                known = next.clone();
            }
        }
        let stopped = next.end;
        *self.table() = known;
        Ok(stopped)
    }

    /// Makes everything behind the last frame zero again, durably.
    pub(super) fn clear(&self, used_end: u64) -> io::Result<()> {
        let start = self.table().end;
        let zeros = vec![0; usize::try_from(used_end.saturating_sub(start)).unwrap_or(0)];
        self.file.write_all_at(&zeros, start)?;
        self.file.sync_all()
    }

    /// Reads frames; nothing behind the room for them.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor::new(&self.file, self.header.room_end())
    }

    pub(super) fn io(&self, error: io::Error) -> LogFault {
        LogFault::io(&self.path, error)
    }
}

/// Gives a file its size and, where the file system can, its blocks.
pub(super) fn reserve(file: &File, size: u64) -> io::Result<()> {
    use rustix::{fs::FallocateFlags, io::Errno};
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
        // Then they are taken when they are written.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(size),
        done => done.map_err(io::Error::from),
    }
}
