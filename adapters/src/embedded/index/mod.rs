//! The stream index: where in the log the events of a stream are.
//!
//! A unique index over (stream, version) inside the database would be the obvious way, and costs
//! most of the write speed: streams are random ids, so every event of a batch dirties a page of
//! its own (figures in the parent module). So the index is a log-structured merge tree:
//!
//! - the newest events are indexed in memory, as they are appended;
//! - every so many events (`flush_events`) that part is written to `index.db` as a sorted run,
//!   in the background;
//! - eight runs of a level are merged into one of the next level, in the background.
//!
//! Everything here is derived from the log: `index.db` may be deleted while no server runs, and a
//! start indexes what is missing. What guards (stream, version) against being given twice is that
//! one process writes (it holds the lock), and that the index of what it wrote is never behind.

mod merge;
mod run;
pub(super) mod runs;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hakken_commands::store::StoreError;
use hakken_domain::envelope::{Position, StoredEvent, StreamId, Version};
use sqlx::{Connection, SqliteConnection, SqlitePool, sqlite::SqliteSynchronous};
use tokio::sync::Notify;

use self::run::{ENTRY_POSITIONS, Entry, IndexDamage, Run, RunBuilder, key};
use super::{
    db::{self, DerivedError, DerivedOpenError},
    fault::write_failed,
    log::Log,
};
use crate::fault::unavailable;

/// Appends wait when so many times `flush_events` are not in a run yet.
const MAX_BEHIND: usize = 16;

/// Most streams whose head is remembered after it was looked up in the runs.
const MAX_LOOKED_UP: usize = 65_536;

/// Successive versions of a stream.
struct Recent {
    first_version: Version,
    positions: Vec<u64>,
}

impl Recent {
    fn head(&self) -> Version {
        self.first_version + self.positions.len() as u64 - 1
    }
}

/// A range of the log, indexed in memory.
#[derive(Default)]
struct Part {
    streams: HashMap<StreamId, Recent>,
    events: usize,
    first: u64,
    last: u64,
    log_crc: u32,
}

#[derive(Default)]
struct State {
    /// What is not being written yet.
    newest: Part,
    /// What is being written.
    flushing: Option<Arc<Part>>,
    /// What was written last: its streams are likely to be asked for again.
    flushed: Option<Arc<Part>>,
    /// Oldest first.
    runs: Arc<Vec<Arc<Run>>>,
    /// Heads that were looked up in the runs, of streams that got no event since.
    looked_up: HashMap<StreamId, Version>,
    /// How often a part was flushed: a look-up that straddles a flush is not remembered.
    flushes: u64,
    /// The runs cannot be written, or nobody writes them any more.
    failing: bool,
}

impl State {
    /// Parts in memory, oldest first.
    fn parts(&self) -> impl DoubleEndedIterator<Item = &Part> {
        self.flushed.as_deref().into_iter().chain(self.flushing.as_deref()).chain([&self.newest])
    }

    fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        self.parts()
            .rev()
            .find_map(|part| part.streams.get(&stream))
            .map(Recent::head)
            .or_else(|| self.looked_up.get(&stream).copied())
    }
}

/// The index of the process that writes.
pub(super) struct Index {
    state: Mutex<State>,
    readers: SqlitePool,
    flush_events: usize,
    /// Tells the keeper that there is something to write.
    full: Notify,
    /// Tells appends that there is room again.
    room: Notify,
}

impl Index {
    /// Opens the index and indexes what the log has beyond it. The connection is for the
    /// [`Keeper`].
    pub(super) async fn open(
        path: &Path,
        log: &Log,
        head: Position,
        flush_events: usize,
    ) -> Result<(Arc<Self>, Keeper), DerivedOpenError> {
        let mut writer = db::open_derived(path, &runs::SCHEMA, SqliteSynchronous::Normal).await?;
        let mut readers = db::readers(path);
        let runs = match usable_runs(&readers, log, head).await? {
            Ok(runs) => runs,
            Err(reason) => {
                tracing::warn!(%reason, "the stream index is rebuilt from the events");
                readers.close().await;
                writer.close().await.map_err(DerivedError::from)?;
                db::remove(path).map_err(DerivedError::from)?;
                writer = db::open_derived(path, &runs::SCHEMA, SqliteSynchronous::Normal).await?;
                readers = db::readers(path);
                Vec::new()
            }
        };
        let indexed = runs.last().map_or(0, |run| run.last);
        let next_run = remove_unlisted(&mut writer, &runs).await.map_err(DerivedError::from)?;
        let index = Arc::new(Self {
            state: Mutex::new(State { runs: Arc::new(runs), ..State::default() }),
            readers,
            flush_events,
            full: Notify::new(),
            room: Notify::new(),
        });
        let mut keeper =
            Keeper { index: Arc::clone(&index), writer, next_run, retired: Vec::new() };
        let mut after = Position(indexed);
        while after < head {
            let (events, crc) = log.read_indexable(after).await?;
            let Some(last) = events.last() else {
                return Err(
                    StoreError::from(IndexDamage(format!("the log ends at {after}"))).into()
                );
            };
            after = last.position;
            index.record(&events, crc);
            if index.wants_flush() {
                keeper.flush().await?;
                keeper.merge_all().await?;
            }
        }
        Ok((index, keeper))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connections that read.
    pub(super) async fn close(&self) {
        self.readers.close().await;
    }

    /// Indexes events that follow each other in the log, the last of which ends a frame with this
    /// checksum.
    pub(super) fn record(&self, events: &[Arc<StoredEvent>], log_crc: u32) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let mut state = self.state();
        let State { newest, looked_up, .. } = &mut *state;
        if newest.events == 0 {
            newest.first = first.position.0;
        }
        newest.last = last.position.0;
        newest.log_crc = log_crc;
        newest.events += events.len();
        for event in events {
            if !looked_up.is_empty() {
                looked_up.remove(&event.stream);
            }
            newest
                .streams
                .entry(event.stream)
                .or_insert_with(|| Recent { first_version: event.version, positions: Vec::new() })
                .positions
                .push(event.position.0);
        }
        if newest.events >= self.flush_events {
            self.full.notify_one();
        }
    }

    fn wants_flush(&self) -> bool {
        self.state().newest.events >= self.flush_events
    }

    /// Waits until the runs are not too far behind what is in memory.
    pub(super) async fn room(&self) -> Result<(), StoreError> {
        loop {
            let room = self.room.notified();
            {
                let state = self.state();
                if state.newest.events < self.flush_events.saturating_mul(MAX_BEHIND) {
                    return Ok(());
                }
                if state.failing {
                    return Err(unavailable("index.db is not being written (see the log)"));
                }
            }
            room.await;
        }
    }

    /// The newest version of each stream.
    pub(super) async fn heads(&self, streams: &[StreamId]) -> Result<Vec<Version>, StoreError> {
        let (mut heads, unknown, runs, flushes) = {
            let state = self.state();
            let mut unknown = Vec::new();
            let heads: Vec<Version> = streams
                .iter()
                .enumerate()
                .map(|(at, stream)| {
                    state.head_in_memory(*stream).unwrap_or_else(|| {
                        unknown.push(at);
                        0
                    })
                })
                .collect();
            (heads, unknown, Arc::clone(&state.runs), state.flushes)
        };
        if !unknown.is_empty() && !runs.is_empty() {
            let asked: Vec<StreamId> = unknown.iter().map(|at| streams[*at]).collect();
            let found = runs::heads(&self.readers, &runs, &asked).await?;
            for (at, head) in unknown.into_iter().zip(found) {
                heads[at] = head;
                self.remember(streams[at], head, flushes);
            }
        }
        Ok(heads)
    }

    /// Remembers a head from the runs, unless the stream may have got an event meanwhile.
    fn remember(&self, stream: StreamId, head: Version, flushes: u64) {
        let mut state = self.state();
        if head == 0 || state.flushes != flushes || state.head_in_memory(stream).is_some() {
            return;
        }
        if state.looked_up.len() >= MAX_LOOKED_UP {
            state.looked_up.clear();
        }
        state.looked_up.insert(stream, head);
    }

    /// The positions of a stream's versions after `after`; at most `limit`.
    pub(super) async fn find(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let mut next = after.saturating_add(1);
        let (parts, runs, flushes) = {
            let state = self.state();
            let parts: Vec<(Version, Vec<u64>)> = state
                .parts()
                .filter_map(|part| part.streams.get(&stream))
                .map(|recent| {
                    let skip = usize::try_from(next.saturating_sub(recent.first_version));
                    let skip = skip.unwrap_or(usize::MAX).min(recent.positions.len());
                    let wanted = recent.positions[skip..].iter().take(limit).copied();
                    (recent.first_version + skip as u64, wanted.collect())
                })
                .collect();
            (parts, Arc::clone(&state.runs), state.flushes)
        };
        let mut positions = Vec::new();
        let reaches_back = parts.first().is_some_and(|(first, _)| *first <= next);
        if !reaches_back && !runs.is_empty() {
            positions = runs::find(&self.readers, &runs, stream, after, limit).await?;
            next += positions.len() as u64;
            if parts.is_empty() && positions.len() < limit && next > 1 && !positions.is_empty() {
                self.remember(stream, next - 1, flushes);
            }
        }
        for (first, part) in parts {
            // What was flushed last is in the runs too.
            let skip = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
            if first > next && positions.len() < limit && !part.is_empty() {
                return Err(IndexDamage(format!("version {next} of {stream} is missing")).into());
            }
            if let Some(part) = part.get(skip..) {
                positions.extend(part);
                next += part.len() as u64;
            }
        }
        positions.truncate(limit);
        Ok(positions)
    }
}

/// How far an index has seen the events of this log. None if there is no telling.
pub(super) async fn seen(path: &Path, log: &Log, head: Position) -> Option<Position> {
    if !path.is_file() {
        return None;
    }
    let readers = db::readers(path);
    let runs = runs::load(&readers).await;
    readers.close().await;
    let runs = runs.ok()?;
    // One of other events has nothing to say.
    if let Some(run) = runs.iter().rev().find(|run| run.last <= head.0) {
        let found = log.checksum_at(run.last).await.ok()?;
        found.filter(|crc| *crc == run.log_crc)?;
    }
    runs.last().map(|run| Position(run.last))
}

/// The runs that fit the log; if they do not, why.
pub(super) async fn usable_runs(
    pool: &SqlitePool,
    log: &Log,
    head: Position,
) -> Result<Result<Vec<Arc<Run>>, String>, StoreError> {
    let runs = match runs::load(pool).await {
        Ok(runs) => runs,
        Err(error) if error.source.is::<IndexDamage>() => return Ok(Err(error.to_string())),
        Err(error) => return Err(error),
    };
    let Some(newest) = runs.last() else { return Ok(Ok(runs)) };
    if newest.last > head.0 {
        return Ok(Err(format!("it goes to {}, the events only to {head}", newest.last)));
    }
    if log.checksum_at(newest.last).await? != Some(newest.log_crc) {
        return Ok(Err(format!("other events stand at position {}", newest.last)));
    }
    Ok(Ok(runs))
}

/// Removes the blocks of runs that are not listed: merges that were not finished, or whose inputs
/// were not removed yet. Answers the number of the next run.
async fn remove_unlisted(
    writer: &mut SqliteConnection,
    runs: &[Arc<Run>],
) -> Result<u32, sqlx::Error> {
    let mut listed: Vec<u32> = runs.iter().map(|run| run.run).collect();
    listed.sort_unstable();
    let mut next = 0;
    for run in listed {
        if next < run {
            runs::delete_blocks(writer, next, run).await?;
        }
        next = run + 1;
    }
    runs::delete_blocks(writer, next, i32::MAX as u32).await?;
    Ok(next)
}

/// Writes the index, in the background.
pub(super) struct Keeper {
    index: Arc<Index>,
    writer: SqliteConnection,
    next_run: u32,
    /// Runs that were merged; their blocks are deleted once nobody looks into them.
    retired: Vec<Arc<Run>>,
}

impl Drop for Keeper {
    /// However it ends, nobody waits for it.
    fn drop(&mut self) {
        self.index.state().failing = true;
        self.index.room.notify_waiters();
    }
}

impl Keeper {
    /// Writes runs and merges them, for ever.
    pub(super) async fn keep(mut self) {
        loop {
            self.index.full.notified().await;
            while self.index.wants_flush() {
                let failed = self.flush().await.err();
                self.index.state().failing = failed.is_some();
                self.index.room.notify_waiters();
                if let Some(error) = failed {
                    tracing::error!(%error, "the stream index cannot be written; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            if let Err(error) = self.merge_all().await {
                tracing::error!(%error, "the stream index cannot be merged; look-ups get slower");
            }
        }
    }

    fn take_run_number(&mut self) -> u32 {
        self.next_run += 1;
        self.next_run - 1
    }

    /// Writes what is in memory as a run.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let part = {
            let mut state = self.index.state();
            let part = match state.flushing.clone() {
                // It could not be written before.
                Some(part) => part,
                None => Arc::new(std::mem::take(&mut state.newest)),
            };
            state.flushing = Some(Arc::clone(&part));
            part
        };
        let number = self.take_run_number();
        let mut streams: Vec<_> = part.streams.iter().map(|(id, s)| (key(*id), s)).collect();
        streams.sort_unstable_by_key(|(key, _)| *key);
        let mut builder = RunBuilder::new(number, streams.len() as u64);
        for (key, recent) in streams {
            let mut first_version = recent.first_version;
            for positions in recent.positions.chunks(ENTRY_POSITIONS) {
                builder.push(Entry { key, first_version, positions: positions.to_vec() })?;
                first_version += positions.len() as u64;
            }
        }
        let (run, blocks) = builder.finish(0, (part.first, part.last), part.log_crc);
        let mut transaction = self.writer.begin().await.map_err(write_failed)?;
        runs::insert_blocks(&mut transaction, &blocks).await.map_err(write_failed)?;
        runs::insert_run(&mut transaction, &run).await.map_err(write_failed)?;
        transaction.commit().await.map_err(write_failed)?;
        let mut state = self.index.state();
        Arc::make_mut(&mut state.runs).push(Arc::new(run));
        state.flushed = state.flushing.take();
        state.flushes += 1;
        drop(state);
        self.index.room.notify_waiters();
        Ok(())
    }
}
