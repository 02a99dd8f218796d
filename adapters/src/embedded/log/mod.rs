//! The log of events: files of frames, in the order of their positions.
//!
//! A batch is written behind the last one and synced once. Files begin small and double up to
//! `segment_bytes`; each has its full size from the beginning (see `segment`). What a crash cut
//! off is dropped at the next start, and damage is told from that (see `recover`).

mod cursor;
mod fault;
mod frame;
pub(super) mod record;
mod recover;
mod segment;
mod spare;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use hakken_commands::store::StoreError;
use hakken_domain::envelope::{Position, StoredEvent, StreamKind};
use hakken_projections::feed::Interest;

pub(super) use self::{
    fault::{Damage, LogFault},
    recover::Tail,
    segment::FORMAT,
};
use self::{
    frame::Frame,
    segment::{Header, Segment},
    spare::Spare,
};
use crate::{
    data_dir::sync_dir,
    fault::{fatal, unavailable},
};

/// A page ends with the event that brings it to so many bytes, whatever its limit.
pub(super) const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of the first file; each further one has twice as many, up to the usual size.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;

/// Files from this size on are prepared ahead: a small store does not take room for more.
const PREPARED_BYTES: u64 = 16 << 20;

/// Blocks in which single frames are looked for.
const SEEK_BYTES: usize = 64 * 1024;

type Events = Vec<Arc<StoredEvent>>;

/// The log. Cheap to clone.
#[derive(Clone)]
pub(super) struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    store: [u8; 16],
    segment_bytes: u64,
    /// Most bytes of frames, in all files together.
    max_bytes: Option<u64>,
    /// Held while new frames and files are looked for; only where another process writes.
    refreshing: Option<Mutex<()>>,
    segments: RwLock<Vec<Arc<Segment>>>,
    spare: Spare,
    closed: AtomicBool,
}

/// How a log is opened for writing.
pub(super) struct LogOptions {
    pub(super) segment_bytes: u64,
    pub(super) max_bytes: Option<u64>,
}

impl Log {
    /// Opens the log for writing; makes it if there is none. Answers also what a crash had left,
    /// which must be dropped (see [`Log::drop_cut_off`]) before anything is appended.
    pub(super) fn open(dir: &Path, options: &LogOptions) -> Result<(Self, Tail), LogFault> {
        let io = |error| LogFault::io(dir, error);
        if !dir.is_dir() {
            fs::create_dir(dir).map_err(io)?;
            sync_dir(dir.parent().unwrap_or(dir)).map_err(io)?;
        }
        remove_drafts(dir).map_err(io)?;
        let mut segments = open_segments(dir, true)?;
        if segments.is_empty() {
            let mut store = [0; 16];
            getrandom::fill(&mut store).map_err(|error| io(io::Error::other(error)))?;
            let size = FIRST_SEGMENT_BYTES.min(options.segment_bytes);
            let header = Header { store, first: 1, previous: 0, size };
            segments.push(Arc::new(Segment::create(dir, header, None).map_err(io)?));
        }
        let newest = Arc::clone(segments.last().expect("there is one"));
        let tail = recover::recover(&newest)?;
        sync_found(&newest)?;
        let inner = Inner {
            dir: dir.to_owned(),
            store: newest.header.store,
            segment_bytes: options.segment_bytes,
            max_bytes: options.max_bytes,
            refreshing: None,
            segments: RwLock::new(segments),
            spare: Spare::default(),
            closed: AtomicBool::new(false),
        };
        Ok((Self { inner: Arc::new(inner) }, tail))
    }

    /// Prepares the file after the newest.
    pub(super) fn prepare(&self) {
        self.inner.prepare_after(&self.inner.newest());
    }

    /// Drops what a crash had cut off behind the last whole batch, up to this offset.
    pub(super) fn drop_cut_off(&self, used_end: u64) -> Result<(), LogFault> {
        let newest = self.inner.newest();
        newest.clear(used_end).map_err(|error| newest.io(error))
    }

    /// The newest file.
    pub(super) fn newest_file(&self) -> PathBuf {
        self.inner.newest().path.clone()
    }

    /// Opens a log that another process may be writing. None if there is nothing.
    pub(super) fn open_read_only(dir: &Path) -> Result<Option<Self>, LogFault> {
        if !dir.is_dir() {
            return Ok(None);
        }
        let segments = open_segments(dir, false)?;
        let Some(newest) = segments.last() else { return Ok(None) };
        recover::recover(newest)?;
        sync_found(newest)?;
        let inner = Inner {
            dir: dir.to_owned(),
            store: newest.header.store,
            segment_bytes: 0,
            max_bytes: None,
            refreshing: Some(Mutex::new(())),
            segments: RwLock::new(segments),
            spare: Spare::default(),
            closed: AtomicBool::new(false),
        };
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// Tells stores apart.
    pub(super) fn store_id(&self) -> [u8; 16] {
        self.inner.store
    }

    /// Reads that come later fail.
    pub(super) fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.spare.discard();
    }

    /// The newest position.
    pub(super) async fn head(&self) -> Result<Position, StoreError> {
        self.run(|log| {
            log.refresh()?;
            Ok(Position(log.newest().table().last))
        })
        .await
    }

    /// The checksum of the frame that ends at a position, if one does.
    pub(super) async fn checksum_at(&self, last: u64) -> Result<Option<u32>, StoreError> {
        self.run(move |log| {
            if last == 0 || last > log.newest().table().last {
                return Ok(None);
            }
            let (frame, _) = log.frame_with(last)?;
            Ok((frame.last == last).then_some(frame.crc))
        })
        .await
    }

    /// Events after a position, at most `limit` and about [`PAGE_BYTES`].
    pub(super) async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Events, StoreError> {
        self.run(move |log| {
            let mut page = Page { events: Vec::new(), after: after.0, bytes: 0, limit };
            log.refresh()?;
            log.read_frames(after.0, |frame, payload| {
                let after = page.after;
                for event in
                    record::decode(&payload, frame.first, frame.last, |position| position > after)?
                {
                    if !page.is_full() {
                        page.push(event);
                    }
                }
                Ok(!page.is_full())
            })?;
            Ok(page.events)
        })
        .await
    }

    /// Whole frames from the one with the next position on, until they have `limit` positions or
    /// about [`PAGE_BYTES`]; of each the events that are wanted, and the last.
    pub(super) async fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        interest: Interest,
    ) -> Result<Events, StoreError> {
        self.run(move |log| {
            log.refresh()?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            log.read_frames(after.0, |frame, payload| {
                let is_wanted = |position: u64, name: &[u8], kind: &[u8]| {
                    position == frame.last
                        || position > after.0 && is_of_interest(interest, name, kind)
                };
                let wanted = record::decode_where(&payload, frame.first, frame.last, is_wanted)?;
                events.extend(wanted);
                bytes += payload.len();
                Ok(bytes < PAGE_BYTES && frame.last - after.0 < limit as u64)
            })?;
            Ok(events)
        })
        .await
    }

    /// Some whole frames after one that ends at `after`, and the checksum of the last.
    pub(super) async fn read_indexable(
        &self,
        after: Position,
    ) -> Result<(Events, u32), StoreError> {
        self.run(move |log| {
            let limit = usize::MAX;
            let mut page = Page { events: Vec::new(), after: after.0, bytes: 0, limit };
            let mut crc = 0;
            log.read_frames(after.0, |frame, payload| {
                if frame.first != page.after + 1 {
                    return Err(Damage::Gap { after: page.after, first: frame.first });
                }
                crc = frame.crc;
                record::decode(&payload, frame.first, frame.last, |_| true)?
                    .into_iter()
                    .for_each(|event| page.push(event));
                Ok(!page.is_full())
            })?;
            Ok((page.events, crc))
        })
        .await
    }

    /// The events at these ascending positions, or as many of the first of them as make about
    /// [`PAGE_BYTES`].
    pub(super) async fn read_at(&self, positions: &[u64]) -> Result<Events, StoreError> {
        let positions = positions.to_vec();
        self.run(move |log| {
            log.refresh()?;
            let mut events: Events = Vec::with_capacity(positions.len());
            let mut wanted = positions.iter().copied().peekable();
            let mut bytes = 0;
            while bytes < PAGE_BYTES
                && let Some(position) = wanted.peek().copied()
            {
                let (frame, payload) = log.frame_with(position)?;
                let is_wanted = |position| wanted.next_if_eq(&position).is_some();
                let found = record::decode(&payload, frame.first, frame.last, is_wanted)?;
                if found.is_empty() {
                    return Err(Damage::Missing { after: position - 1 }.into());
                }
                bytes += found.iter().map(|event| event_bytes(event)).sum::<usize>();
                events.extend(found);
            }
            Ok(events)
        })
        .await
    }

    /// Writes a batch durably. Answers the checksum of its last frame. After an error nothing
    /// more may be written.
    pub(super) async fn append(&self, events: Events) -> Result<u32, StoreError> {
        self.run(move |log| log.write(&events).map_err(fatal)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        if inner.closed.load(Ordering::Acquire) {
            return Err(unavailable("it was closed"));
        }
        tokio::task::spawn_blocking(move || work(&inner)).await.unwrap_or_else(|e| Err(fatal(e)))
    }
}

impl Inner {
    fn newest(&self) -> Arc<Segment> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(segments.last().expect("a log has a file"))
    }

    /// The file that has a position.
    fn segment_with(&self, position: u64) -> Result<Arc<Segment>, Damage> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let at = segments.partition_point(|segment| segment.header.first <= position);
        let segment = at.checked_sub(1).and_then(|at| segments.get(at));
        segment.cloned().ok_or(Damage::Missing { after: position.saturating_sub(1) })
    }

    /// Gives every whole frame that ends after a position, with its payload, until told to stop.
    fn read_frames(
        &self,
        after: u64,
        mut take: impl FnMut(&Frame, Bytes) -> Result<bool, Damage>,
    ) -> Result<(), StoreError> {
        let mut after = after;
        loop {
            let segment = self.segment_with(after.saturating_add(1))?;
            let (mut offset, end, last) = {
                let table = segment.table();
                (table.offset_before(after.saturating_add(1)), table.end, table.last)
            };
            if last <= after {
                return Ok(());
            }
            let mut cursor = segment.cursor();
            while offset < end {
                let frame = header_at(&segment, &mut cursor, offset, after)?;
                let start = offset;
                offset += frame.extent() as u64;
                if frame.last <= after {
                    continue;
                }
                if frame.first > after + 1 {
                    return Err(damaged(&segment, Damage::Gap { after, first: frame.first }));
                }
                let payload = payload_at(&segment, &mut cursor, start, &frame)?;
                let goes_on = take(&frame, payload).map_err(|damage| damaged(&segment, damage))?;
                after = frame.last;
                if !goes_on {
                    return Ok(());
                }
            }
        }
    }

    /// The frame that has a position, and a payload that shares memory with nothing else.
    fn frame_with(&self, position: u64) -> Result<(Frame, Bytes), StoreError> {
        let segment = self.segment_with(position)?;
        let (mut offset, end) = {
            let table = segment.table();
            (table.offset_before(position), table.end)
        };
        let mut cursor = segment.cursor().with_block(SEEK_BYTES);
        while offset < end {
            let frame = header_at(&segment, &mut cursor, offset, position - 1)?;
            if frame.last >= position {
                if frame.first > position {
                    break;
                }
                let payload = payload_at(&segment, &mut cursor, offset, &frame)?;
                return Ok((frame, Bytes::copy_from_slice(&payload)));
            }
            offset += frame.extent() as u64;
        }
        Err(damaged(&segment, Damage::Missing { after: position - 1 }))
    }

    /// Looks for what another process has written since. What it has written and not synced yet is
    /// synced here before anybody sees it.
    fn refresh(&self) -> Result<(), StoreError> {
        let Some(refreshing) = &self.refreshing else { return Ok(()) };
        let _one_at_a_time = refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        while self.refresh_newest()? {}
        Ok(())
    }

    /// Takes in what the newest file has; whether there is a newer one.
    fn refresh_newest(&self) -> Result<bool, StoreError> {
        let newest = self.newest();
        let known = newest.table().last;
        // Only where something stands behind the last frame can something be wrong or new.
        let end = newest.table().end;
        let mut cursor = newest.cursor().with_block(frame::HEADER_BYTES);
        let more = cursor.get(end, frame::HEADER_BYTES).map_err(|error| newest.io(error))?;
        if more.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0)) {
            recover::recover(&newest)?;
            if newest.table().last > known {
                newest.file.sync_data().map_err(|error| newest.io(error))?;
            }
        }
        let next = self.dir.join(segment::name(newest.table().last + 1));
        if next != newest.path && next.is_file() {
            let segment = Segment::open(&next, false)?;
            follows(&newest, &segment)?;
            self.segments.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(segment));
            return Ok(true);
        }
        Ok(false)
    }

    fn write(&self, events: &[Arc<StoredEvent>]) -> Result<u32, LogFault> {
        let mut segment = self.newest();
        let previous = segment.table().crc;
        let batch = frame::encode(events, previous);
        if let Some(most) = self.max_bytes
            && self.used_bytes() + batch.bytes.len() as u64 > most
        {
            let full = io::Error::new(io::ErrorKind::StorageFull, format!("{most} bytes are all"));
            return Err(segment.io(full));
        }
        if !segment.has_room(batch.bytes.len()) {
            segment = self.roll(&segment, batch.bytes.len())?;
        }
        segment.write(&batch).map_err(|error| segment.io(error))?;
        Ok(segment.table().crc)
    }

    fn used_bytes(&self) -> u64 {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.iter().map(|segment| segment.table().end).sum()
    }

    /// Of the file after this one, if no batch needs more.
    fn usual_size(&self, segment: &Segment) -> u64 {
        segment.header.size.saturating_mul(2).min(self.segment_bytes)
    }

    /// Prepares the file after this one, unless it is so small that it is made at once.
    fn prepare_after(&self, segment: &Segment) {
        let size = self.usual_size(segment);
        if size >= PREPARED_BYTES {
            self.spare.prepare(&self.dir, size);
        }
    }

    /// Begins the next file.
    fn roll(&self, full: &Segment, batch_bytes: usize) -> Result<Arc<Segment>, LogFault> {
        full.seal().map_err(|error| full.io(error))?;
        let usual = self.usual_size(full);
        let header = {
            let table = full.table();
            Header {
                store: self.store,
                first: table.last + 1,
                previous: table.crc,
                size: Segment::size_for_batch(batch_bytes, usual),
            }
        };
        let made = Segment::create(&self.dir, header, self.spare.take(header.size));
        let segment = Arc::new(made.map_err(|error| LogFault::io(&self.dir, error))?);
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.push(Arc::clone(&segment));
        drop(segments);
        self.prepare_after(&segment);
        Ok(segment)
    }
}

/// A page of the log that is being filled.
struct Page {
    events: Events,
    after: u64,
    bytes: usize,
    limit: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= PAGE_BYTES
    }

    fn push(&mut self, event: Arc<StoredEvent>) {
        self.after = event.position.0;
        self.bytes += event_bytes(&event);
        self.events.push(event);
    }
}

pub(super) fn event_bytes(event: &StoredEvent) -> usize {
    event.data.len() + event.meta.len()
}

fn is_of_interest(interest: Interest, name: &[u8], kind: &[u8]) -> bool {
    let is_of = |wanted: &StreamKind| {
        name.strip_prefix(wanted.as_str().as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b'-'))
    };
    interest.streams.iter().any(is_of)
        && !interest.passes_over.iter().any(|over| over.as_bytes() == kind)
}

fn damaged(segment: &Segment, damage: Damage) -> StoreError {
    LogFault::damaged(&segment.path, damage).into()
}

/// The header of a frame that must be there.
fn header_at(
    segment: &Segment,
    cursor: &mut cursor::Cursor<'_>,
    offset: u64,
    after: u64,
) -> Result<Frame, StoreError> {
    let bytes = cursor.get(offset, frame::HEADER_BYTES).map_err(|error| segment.io(error))?;
    let frame = bytes.and_then(Frame::parse);
    frame.ok_or_else(|| damaged(segment, Damage::Checksum { after, offset }))
}

/// The payload of a frame that must be whole.
fn payload_at(
    segment: &Segment,
    cursor: &mut cursor::Cursor<'_>,
    offset: u64,
    frame: &Frame,
) -> Result<Bytes, StoreError> {
    let whole = cursor.share(offset, frame.extent()).map_err(|error| segment.io(error))?;
    match whole.filter(|bytes| frame.is_whole(bytes)) {
        Some(bytes) => Ok(bytes.slice(frame::HEADER_BYTES..frame::HEADER_BYTES + frame.length)),
        None => Err(damaged(segment, Damage::Checksum { after: frame.first - 1, offset })),
    }
}

/// Makes what was found durable. A process that is killed between a write and its sync leaves a
/// whole batch that only the system's memory has: whoever shows it, or builds on it, answers for
/// it.
fn sync_found(newest: &Segment) -> Result<(), LogFault> {
    newest.file.sync_data().map_err(|error| newest.io(error))
}

/// Opens every file of a log, oldest first, and sees that each follows the one before. The newest
/// is not looked into.
fn open_segments(dir: &Path, writable: bool) -> Result<Vec<Arc<Segment>>, LogFault> {
    let io = |error| LogFault::io(dir, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "events") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(paths.len());
    for (at, path) in paths.iter().enumerate() {
        let segment = Segment::open(path, writable && at + 1 == paths.len())?;
        if at + 1 < paths.len() && !segment.load_table()? {
            // Its table was not written before a crash: its frames tell as much.
            segment.scan()?;
        }
        match segments.last() {
            Some(before) => follows(before, &segment)?,
            None if segment.header.first == 1 => {}
            None => {
                let damage = Damage::Gap { after: 0, first: segment.header.first };
                return Err(LogFault::damaged(path, damage));
            }
        }
        segments.push(Arc::new(segment));
    }
    Ok(segments)
}

fn follows(before: &Segment, segment: &Segment) -> Result<(), LogFault> {
    let (last, crc) = {
        let table = before.table();
        (table.last, table.crc)
    };
    let Header { store, first, previous, .. } = segment.header;
    if first == last + 1 && previous == crc && store == before.header.store {
        return Ok(());
    }
    let damage = if first > last + 1 {
        Damage::Gap { after: last, first }
    } else {
        Damage::Order { after: last, first }
    };
    Err(LogFault::damaged(&segment.path, damage))
}

/// Files that a crash left half made.
fn remove_drafts(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "draft") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
