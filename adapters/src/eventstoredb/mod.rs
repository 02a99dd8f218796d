//! Events in EventStoreDB (KurrentDB), one server or a cluster, for several processes at once.
//!
//! Each stream of the engine is a stream there, and $all is the order of all events. How an event
//! stands there is told in `envelope`. What is ours is known by the name of its stream, which
//! begins with a namespace (`hakken.`, or another one that the address says): other applications
//! and other engines may use the same cluster. The engine's streams must never be truncated or
//! deleted, nor get a maximal age or count.
//!
//! **Positions** are 1, 2, 3, … without gaps: the number of an event among the engine's own in
//! $all. The places that EventStoreDB itself gives are byte offsets; readings that begin between
//! two of them are refused, and events that are read from a stream have none. So each process
//! counts, from the store's first event on, and keeps what it needs for it in `positions.db` in its
//! data directory (`index`); all count the same, since what stands in $all stays there in its
//! order. A first start reads all of $all from the store's beginning.
//!
//! **Reads go to the leader**, so what was acknowledged to anybody is seen, and an event is seen
//! only when a majority of the cluster has it. A reader that meets the end looks at the server
//! once more (`tail`). Whoever follows is fed by a task that looks some times a second, and at once
//! by what this process appends.
//!
//! **Appends** are made with each stream's version and are not atomic together. One whose answer
//! is lost is not sent again: the write loop reads the stream and decides again (`append`, `link`).
//!
//! **Turns** keep nobody from appending, because there is no lock: who came through gives way
//! (`turn`).
//!
//! **Recorded time** is what the appending process said, or the time of the event before it in
//! $all if that is later. The writer's word stands in the event; the rule is applied by whoever
//! counts, so it never runs backwards along positions, for any number of processes with clocks of
//! their own, and all see the same. What stands in the event itself may be earlier.
//!
//! **Snapshots and checkpoints** are in `side.db` in the data directory, as the embedded store's
//! are: each process has its own. There is no lease: every process answers events and sweeps, from
//! its own checkpoint. Whatever several do carries the same keys and happens once; more processes
//! cost more reads, and none waits for another one that died.
//!
//! A server takes appends of at most 1 MiB unless it is told otherwise; the map of a large hall is
//! one event. `MaxAppendSize` should be 16 MiB (16777216).

mod address;
mod append;
mod envelope;
mod index;
mod link;
mod marker;
mod pages;
mod tail;
mod turn;

use std::{path::PathBuf, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};
use hakken_commands::store::{
    Append, Appended, EventStore, EventStream, SideStore, Snapshot, StoreError, Turn,
};
use hakken_domain::{
    envelope::{Fingerprint, Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};
use tokio::{
    sync::{Mutex, OnceCell},
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};

use self::{
    address::Address,
    index::{Index, Mark},
    link::{Link, failed},
    marker::Marker,
    pages::{PAGE_BYTES, PAGE_EVENTS, Place},
    tail::Tail,
    turn::Manners,
};
use crate::{
    data_dir::DataDir,
    embedded::side::Side,
    fault::{corrupt, unavailable},
    feed::feed_from_store,
    live,
};

type Events = Vec<Arc<StoredEvent>>;

/// The file in the data directory that says which event has which position.
const POSITIONS: &str = "positions.db";

/// How long an event that was read from its stream may take to be seen in $all.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// The event store in EventStoreDB.
pub struct EventStoreDb {
    shared: Arc<Shared>,
    watcher: JoinHandle<()>,
    side: OnceCell<Side>,
    side_file: PathBuf,
}

/// What appends, reads and followers that are under way keep alive.
struct Shared {
    link: Link,
    index: Index,
    tail: Tail,
    marker: Marker,
    appending: Arc<Mutex<()>>,
    manners: Manners,
}

/// Why an EventStoreDB cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be read.
    #[error(
        "this is no address of an EventStoreDB: {reason}. One is esdb://HOST:2113?tls=false, or esdb://USER:PASSWORD@HOST1:2113,HOST2:2113,HOST3:2113 for a cluster with TLS"
    )]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// The server does not answer, or refuses.
    #[error(
        "the EventStoreDB at {server} cannot be used: {source}. Check that the server runs, that the address is right (tls=false for a server without TLS), and that this user may read $all"
    )]
    Unreachable {
        /// Which.
        server: String,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer version made the store.
    #[error(
        "the events at {server} have format {found}, which this version does not read: use the version of Hakken that wrote them, or a newer one"
    )]
    Newer {
        /// Which.
        server: String,
        /// The format it has.
        found: u32,
    },
    /// Another engine's events.
    #[error(
        "the events at {server} belong to an engine with another secret: with this one, every ticket code and API key that is in use would be refused. Copy the file `secret` from the data directory of a process that serves this store, or give this engine streams of its own with streams=NAME in the address"
    )]
    OtherSecret {
        /// Which.
        server: String,
    },
    /// A file in the data directory.
    #[error("{file} cannot be used: {source}")]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    fn unreachable(
        link: &Link,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unreachable { server: link.address().name.clone(), source: error.into() }
    }
}

impl EventStoreDb {
    /// Opens the store at an address, such as `esdb://localhost:2113?tls=false`; makes it if there
    /// is none. Any number of processes can, each with a data directory of its own.
    pub async fn open(address: &str, dir: &DataDir) -> Result<Self, OpenError> {
        let link = Link::new(Address::parse(address)?);
        let file = dir.root.join(POSITIONS);
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::File {
            file: file.clone(),
            source,
        };
        dir.create().map_err(|error| refused(error.into()))?;
        let marker = marker::ensure(&link).await?;
        let index = Index::open(&file, marker.store, marker.origin).await;
        let index = index.map_err(|error| refused(error.into()))?;
        if !is_known(&link, &index).await? {
            tracing::warn!(
                file = %file.display(),
                "the server has other events than were counted; all are counted again"
            );
            index.clear(marker.origin).await.map_err(|error| refused(error.into()))?;
        }
        let tail = Tail::new(index.reached().position);
        let manners = Manners::new(&link.address().namespace);
        let appending = Arc::default();
        let shared = Arc::new(Shared { link, index, tail, marker, appending, manners });
        shared.look().await.map_err(|error| OpenError::unreachable(&shared.link, error))?;
        let watcher = tail::start(&shared);
        let (side, side_file) = (OnceCell::new(), dir.side.clone());
        Ok(Self { shared, watcher, side, side_file })
    }

    /// Binds the store to an engine's secret. Every process of one store must have the same one:
    /// with another, it would refuse the codes and keys that the others gave out.
    pub async fn bind_secret(&self, check: Fingerprint) -> Result<(), OpenError> {
        marker::bind_secret(&self.shared.link, check).await
    }

    /// Waits for what is being appended, then closes its files.
    pub async fn close(mut self) {
        self.watcher.abort();
        // That it was cut off is no error: it only looked.
        let _ = (&mut self.watcher).await;
        drop(self.shared.appending.lock().await);
        self.shared.tail.live.end();
        self.shared.index.close().await;
        if let Some(side) = self.side.take() {
            side.close(self.shared.tail.live.head()).await;
        }
    }

    /// Opened when it is first needed: who only reads events needs none.
    async fn side(&self) -> Result<&Side, StoreError> {
        let open = || {
            Side::open(
                &self.side_file,
                self.shared.marker.store.as_bytes(),
                self.shared.tail.live.head(),
            )
        };
        self.side.get_or_try_init(open).await.map_err(unavailable)
    }
}

impl Drop for EventStoreDb {
    fn drop(&mut self) {
        self.watcher.abort();
        self.shared.tail.live.end();
    }
}

/// Whether the server still has the newest event of ours that was looked at.
async fn is_known(link: &Link, index: &Index) -> Result<bool, OpenError> {
    let reached = index.reached();
    match link.all(Some(reached.own), 1).await {
        Ok(page) => Ok(page.events.first().is_some_and(|event| event.id == reached.event)),
        // Its end comes before that place.
        Err(fault) if fault.is_refused() => Ok(false),
        Err(fault) => Err(OpenError::unreachable(link, fault)),
    }
}

impl Shared {
    /// Events of a stream with versions after `after`, each with its position.
    async fn stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Events, StoreError> {
        if limit == 0 || after == Version::MAX {
            return Ok(Events::new());
        }
        let name = envelope::stream_name(&self.link.address().namespace, stream);
        let page = self.link.stream(&name, after, limit).await.map_err(failed)?;
        let mut found = Vec::with_capacity(page.events.len());
        for (event, version) in page.events.into_iter().zip(after + 1..) {
            let read = self.ours(event)?.filter(|read| read.version == version);
            found.push(read.ok_or_else(|| {
                corrupt(format!("the stream {name} has no version {version}: was it truncated?"))
            })?);
        }
        let Some(last) = found.last().map(|read| read.version) else { return Ok(Events::new()) };
        let since = Instant::now();
        let positions = loop {
            match self.index.positions(stream, after + 1..=last).await? {
                Some(positions) => break positions,
                None if since.elapsed() > SEEN_WITHIN => {
                    return Err(unavailable("what was read is not in $all after ten seconds"));
                }
                None => self.look().await?,
            }
            sleep(Duration::from_millis(1)).await;
        };
        let with_position = |(read, (position, time)): (envelope::Read, (Position, Option<_>))| {
            let recorded_at = time.unwrap_or(read.recorded_at);
            tail::stored(read, position, recorded_at, None)
        };
        Ok(found.into_iter().zip(positions).map(with_position).collect())
    }

    /// The newest position, as the server has it now.
    async fn head(&self) -> Result<Position, StoreError> {
        self.look().await?;
        Ok(self.tail.live.head())
    }

    /// Events with positions after `after`.
    async fn all(&self, after: Position, limit: usize) -> Result<Events, StoreError> {
        let mut head = self.tail.live.head();
        if head <= after {
            head = self.head().await?;
        }
        if limit == 0 || head <= after {
            return Ok(Events::new());
        }
        let limit = limit.min(PAGE_EVENTS);
        // An event of ours at or before the first that is wanted, which is read again.
        let mut at = self.index.mark(Position(after.0 + 1)).await?;
        let (mut from, mut is_begun) = (at.place, false);
        let (mut found, mut bytes) = (Events::new(), 0);
        'pages: loop {
            let skipped = after.0.saturating_sub(at.position.0) as usize;
            let count = (skipped + limit - found.len() + 2).clamp(16, PAGE_EVENTS);
            let page = self.link.all(Some(from), count).await.map_err(failed)?;
            let mut is_further = false;
            for event in page.events {
                let place = Place::from(event.position);
                if place < from || is_begun && place == from {
                    continue;
                }
                (from, is_further) = (place, true);
                let Some(read) = self.ours(event)? else { continue };
                if is_begun {
                    let recorded_at = read.recorded_at.max(at.recorded_at);
                    at = Mark { position: Position(at.position.0 + 1), place, recorded_at };
                }
                is_begun = true;
                if at.position > after {
                    bytes += read.data.len() + read.meta.len();
                    found.push(tail::stored(read, at.position, at.recorded_at, None));
                }
                if found.len() >= limit || bytes >= PAGE_BYTES || at.position >= head {
                    break 'pages;
                }
            }
            if !is_further {
                return Err(unavailable("EventStoreDB shows fewer events than it did"));
            }
        }
        self.index.hint(at);
        Ok(found)
    }
}

impl EventStore for EventStoreDb {
    fn append(
        &self,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            // A task of its own, because it must not stop half-way when the caller goes away.
            let append = tokio::spawn(async move { append::append(&shared, batch, now).await });
            append.await.unwrap_or_else(|error| Err(unavailable(error)))
        }
        .boxed()
    }

    fn turn(
        &self,
        known: Vec<(StreamId, Version)>,
    ) -> Option<BoxFuture<'static, Result<Turn, StoreError>>> {
        Some(turn::turn(Arc::clone(&self.shared), known).boxed())
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Events, StoreError>> {
        self.shared.stream(stream, after, limit).boxed()
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Events, StoreError>> {
        self.shared.all(after, limit).boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        self.shared.head().boxed()
    }

    fn follow(&self, after: Position) -> EventStream {
        let shared = Arc::clone(&self.shared);
        live::follow(&self.shared.tail.live, after, move |after, limit| {
            let shared = Arc::clone(&shared);
            async move { shared.all(after, limit).await }
        })
    }
}

impl SideStore for EventStoreDb {
    fn load_snapshot(
        &self,
        stream: StreamId,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        async move { self.side().await?.load_snapshot(stream).await }.boxed()
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        snapshot: Snapshot,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let head = self.shared.tail.live.head();
            self.side().await?.save_snapshot(stream, snapshot, head).await
        }
        .boxed()
    }

    fn load_checkpoint(
        &self,
        process: &'static str,
    ) -> BoxFuture<'_, Result<Position, StoreError>> {
        async move { self.side().await?.load_checkpoint(process).await }.boxed()
    }

    fn save_checkpoint(
        &self,
        process: &'static str,
        position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        async move { self.side().await?.save_checkpoint(process, position).await }.boxed()
    }
}

feed_from_store!(EventStoreDb);
