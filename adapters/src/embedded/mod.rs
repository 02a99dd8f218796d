//! The embedded event store: one process writes it, one batch and one sync at a time.
//!
//! `events/` is a log of checksummed frames (see `log`), `index.db` says where in it the events of
//! a stream are (see `index`), and `side.db` holds snapshots and checkpoints. Only `events/` must
//! be kept. Positions are 1, 2, 3, … without gaps.
//!
//! What damage is noticed: a file that is missing, cut short or of another store, and a changed
//! byte behind which later events stand, at the start; any other changed byte when it is read;
//! newest events that are missing, at the start, if `index.db` or `side.db` has seen them. These
//! take note of events only when they are durable, about once a second, so the store is refused
//! then, whether its last batch is cut off or not there at all. Not noticed: the loss of newest
//! events that neither of them has seen, or together with both.

pub(crate) mod db;
pub(crate) mod fault;
mod index;
mod inspect;
mod log;
mod open;
mod reader;
pub(crate) mod side;
mod unfinished;
mod writer;

use std::{path::PathBuf, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};
use hakken_commands::store::{
    Append, Appended, EventStore, EventStream, Imported, SideStore, Snapshot, StoreError,
};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};
use hakken_projections::feed::Interest;
pub use inspect::Derived;
pub(crate) use log::record::{decode_all as decode_records, encode as encode_record};
pub use open::{OpenError, OpenOptions};
pub use reader::EmbeddedReader;
use tokio::{sync::Mutex, task::JoinHandle};

use self::{
    index::Index,
    log::{Damage, Log},
    side::Side,
    writer::Writer,
};
use crate::{
    data_dir::DataDir,
    fault::fatal,
    feed::feed_from_store,
    live::{self, LiveFeed},
};

type Events = Vec<Arc<StoredEvent>>;

/// Positions of a stream that are looked up at once.
const STREAM_STEP: usize = 512;

/// The embedded event store, open for writing. Dropping it is a clean end too, but only
/// [`EmbeddedStore::close`] says when it is over.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

/// What appends and reads that are under way keep alive.
struct Shared {
    reads: Reads,
    writer: Mutex<Writer>,
    live: Arc<LiveFeed>,
    side: Side,
    /// The file that is there while a history is on its way here.
    unfinished: PathBuf,
}

/// What a read needs.
struct Reads {
    log: Log,
    index: Arc<Index>,
}

impl Reads {
    /// Events of a stream, at most `limit` and about a page of bytes.
    async fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Events, StoreError> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while events.len() < limit && bytes < log::PAGE_BYTES {
            let after = after.saturating_add(events.len() as u64);
            let step = STREAM_STEP.min(limit - events.len());
            let positions = self.index.find(stream, after, step).await?;
            let found = read_versions(&self.log, stream, after, &positions).await?;
            let is_end = positions.len() < step || found.is_empty();
            bytes += found.iter().map(|event| event.data.len() + event.meta.len()).sum::<usize>();
            if events.is_empty() {
                events = found;
            } else {
                events.extend(found);
            }
            if is_end {
                break;
            }
        }
        Ok(events)
    }
}

/// The events at these positions, which must be the versions of a stream after `after`.
async fn read_versions(
    log: &Log,
    stream: StreamId,
    after: Version,
    positions: &[u64],
) -> Result<Events, StoreError> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let events = log.read_at(positions).await?;
    let misplaced = |at: usize| Damage::Misplaced {
        position: positions[at],
        stream,
        version: after + 1 + at as u64,
    };
    if events.is_empty() {
        return Err(misplaced(0).into());
    }
    for (at, event) in events.iter().enumerate() {
        let version = after + 1 + at as u64;
        if event.position.0 != positions[at] || event.stream != stream || event.version != version {
            return Err(misplaced(at).into());
        }
    }
    Ok(events)
}

impl EmbeddedStore {
    /// Opens the store of a data directory; makes both if they do not exist. Only one process at
    /// a time can.
    pub async fn open(dir: &DataDir) -> Result<Self, OpenError> {
        Self::open_with(dir, &OpenOptions::default()).await
    }

    /// The same, with options.
    pub async fn open_with(dir: &DataDir, options: &OpenOptions) -> Result<Self, OpenError> {
        open::open(dir, options).await
    }

    /// Opens the store of a data directory for reading, also while a server writes it.
    pub async fn open_read_only(dir: &DataDir) -> Result<EmbeddedReader, OpenError> {
        open::open_read_only(dir).await
    }

    /// Waits for what is being appended, then closes every file and gives up the lock. Appends
    /// and reads that come later fail, and followers end.
    pub async fn close(mut self) -> Result<(), StoreError> {
        self.keeper.abort();
        // Its connection must be on its way out before anybody opens the files again. That it was
        // cut off is no error: what it had not written is found again in the log.
        let _ = (&mut self.keeper).await;
        let mut writer = self.shared.writer.lock().await;
        self.shared.live.end();
        self.shared.reads.index.close().await;
        self.shared.reads.log.close();
        self.shared.side.close(self.shared.live.head()).await;
        writer.close();
        Ok(())
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.keeper.abort();
        self.shared.live.end();
    }
}

impl EventStore for EmbeddedStore {
    fn append(
        &self,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            // A task of its own, because it must not stop half-way when the caller goes away.
            let append = tokio::spawn(async move {
                let mut writer = shared.writer.lock().await;
                writer.append(&shared.reads, &shared.live, batch, now).await
            });
            append.await.unwrap_or_else(|error| Err(fatal(error)))
        }
        .boxed()
    }

    fn import(&self, events: Events) -> BoxFuture<'_, Result<Imported, StoreError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            let import = tokio::spawn(async move {
                let mut writer = shared.writer.lock().await;
                writer.import(&shared.reads, &shared.live, events).await
            });
            import.await.unwrap_or_else(|error| Err(fatal(error)))
        }
        .boxed()
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Events, StoreError>> {
        self.shared.reads.read_stream(stream, after, limit).boxed()
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Events, StoreError>> {
        self.shared.reads.log.read_all(after, limit).boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        futures_util::future::ready(Ok(self.shared.live.head())).boxed()
    }

    /// The files are locked for this process alone.
    fn is_sole_writer(&self) -> bool {
        true
    }

    fn follow(&self, after: Position) -> EventStream {
        let log = self.shared.reads.log.clone();
        live::follow(&self.shared.live, after, move |after, limit| {
            let log = log.clone();
            async move { log.read_all(after, limit).await }
        })
    }
}

feed_from_store!(
    EmbeddedStore,
    fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        interest: Interest,
    ) -> crate::feed::FeedFuture<'_, Events> {
        let events = self.shared.reads.log.read_wanted(after, limit, interest);
        Box::pin(async { events.await.map_err(crate::feed::feed_error) })
    }
);

impl SideStore for EmbeddedStore {
    fn load_snapshot(
        &self,
        stream: StreamId,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        self.shared.side.load_snapshot(stream).boxed()
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        snapshot: Snapshot,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.shared.side.save_snapshot(stream, snapshot, self.shared.live.head()).boxed()
    }

    fn load_checkpoint(
        &self,
        process: &'static str,
    ) -> BoxFuture<'_, Result<Position, StoreError>> {
        self.shared.side.load_checkpoint(process).boxed()
    }

    fn save_checkpoint(
        &self,
        process: &'static str,
        position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.shared.side.save_checkpoint(process, position).boxed()
    }
}
