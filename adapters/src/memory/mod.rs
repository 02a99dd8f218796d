//! An event store in memory, with the exact semantics of the durable ones. For tests and
//! simulation; what it holds is gone with the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{self, BoxFuture, FutureExt};
use hakken_commands::store::{
    Append, Appended, EventStore, EventStream, Imported, MAX_CONFLICT_EVENTS, SideStore, Snapshot,
    StoreError, Turn,
};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};

use crate::{
    feed::feed_from_store,
    live::{self, LiveFeed},
    plan::{Plan, Planned, follow_on, plan},
};

type Events = Vec<Arc<StoredEvent>>;

/// An event store in memory.
pub struct MemoryStore {
    log: Log,
    side: Mutex<Side>,
}

/// The events, and who may write them. Cheap to clone.
#[derive(Clone)]
struct Log {
    events: Arc<Mutex<Recorded>>,
    live: Arc<LiveFeed>,
    /// Held by whoever writes, in the order in which they came.
    turns: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Recorded {
    all: Events,
    streams: HashMap<StreamId, Events>,
    last_recorded_at: Timestamp,
}

#[derive(Default)]
struct Side {
    snapshots: HashMap<StreamId, Snapshot>,
    checkpoints: HashMap<&'static str, Position>,
}

impl Recorded {
    fn head(&self) -> Position {
        Position(self.all.len() as u64)
    }

    fn stream_after(&self, stream: StreamId, after: Version, limit: usize) -> Events {
        let Some(events) = self.streams.get(&stream) else { return Vec::new() };
        page(events, after, limit)
    }
}

/// Versions and positions are dense here, so either is also an index.
fn page(events: &[Arc<StoredEvent>], after: u64, limit: usize) -> Events {
    let skip = usize::try_from(after).unwrap_or(usize::MAX).min(events.len());
    events[skip..].iter().take(limit).cloned().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_live(LiveFeed::new(Position(0)))
    }

    /// An empty store whose live feed keeps only so many bytes of newest events: slow followers
    /// soon read from the store.
    pub fn with_live_bytes(bytes: usize) -> Self {
        Self::with_live(LiveFeed::with_ring_bytes(Position(0), bytes))
    }

    fn with_live(live: LiveFeed) -> Self {
        let log = Log { events: Arc::default(), live: Arc::new(live), turns: Arc::default() };
        Self { log, side: Mutex::default() }
    }
}

impl Log {
    fn append_now(&self, batch: Vec<Append>, now: Timestamp) -> Vec<Appended> {
        let mut recorded = lock(&self.events);
        let heads: Vec<Version> = batch
            .iter()
            .map(|append| recorded.streams.get(&append.stream).map_or(0, |s| s.len() as Version))
            .collect();
        let recorded_at = now.max(recorded.last_recorded_at);
        let Plan { events, outcomes } = plan(batch, &heads, recorded.head(), recorded_at);
        let answers = outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Planned::Write(range) => Appended::Written(events[range].to_vec()),
                Planned::Conflict { stream, expected } => Appended::Conflict {
                    newer: recorded.stream_after(stream, expected, MAX_CONFLICT_EVENTS),
                },
            })
            .collect();
        self.record(&mut recorded, events);
        answers
    }

    fn import_now(&self, events: Events) -> Imported {
        let mut recorded = lock(&self.events);
        let mut heads = HashMap::new();
        for stream in events.iter().map(|event| event.stream) {
            let version = recorded.streams.get(&stream).map_or(0, |s| s.len() as Version);
            heads.insert(stream, version);
        }
        match follow_on(events, &mut heads, recorded.head(), recorded.last_recorded_at) {
            Ok(events) => self.record(&mut recorded, events),
            Err(position) => return Imported::DoesNotFollow(position),
        }
        Imported::Taken
    }

    fn record(&self, recorded: &mut Recorded, events: Events) {
        for event in &events {
            recorded.last_recorded_at = event.recorded_at;
            recorded.streams.entry(event.stream).or_default().push(Arc::clone(event));
            recorded.all.push(Arc::clone(event));
        }
        // Announced under the lock, so that batches are announced in order.
        self.live.publish(events.into());
    }
}

impl EventStore for MemoryStore {
    fn append(
        &self,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        async move {
            let _turn = self.log.turns.lock().await;
            Ok(self.log.append_now(batch, now))
        }
        .boxed()
    }

    fn turn(
        &self,
        known: Vec<(StreamId, Version)>,
    ) -> Option<BoxFuture<'static, Result<Turn, StoreError>>> {
        let log = self.log.clone();
        let turn = async move {
            let held = Arc::clone(&log.turns).lock_owned().await;
            let newer = known.into_iter().map(|(stream, version)| {
                let newer = lock(&log.events).stream_after(stream, version, MAX_CONFLICT_EVENTS);
                (newer.len() < MAX_CONFLICT_EVENTS).then_some(newer)
            });
            let newer = newer.collect();
            let append = move |batch, now| {
                async move {
                    let _held = held;
                    Ok(log.append_now(batch, now))
                }
                .boxed()
            };
            Ok(Turn::new(newer, append))
        };
        Some(turn.boxed())
    }

    fn import(&self, events: Events) -> BoxFuture<'_, Result<Imported, StoreError>> {
        async move {
            let _turn = self.log.turns.lock().await;
            Ok(self.log.import_now(events))
        }
        .boxed()
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Events, StoreError>> {
        future::ready(Ok(lock(&self.log.events).stream_after(stream, after, limit))).boxed()
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Events, StoreError>> {
        future::ready(Ok(page(&lock(&self.log.events).all, after.0, limit))).boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        future::ready(Ok(lock(&self.log.events).head())).boxed()
    }

    fn follow(&self, after: Position) -> EventStream {
        let events = Arc::clone(&self.log.events);
        live::follow(&self.log.live, after, move |after, limit| {
            future::ready(Ok(page(&lock(&events).all, after.0, limit)))
        })
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.log.live.end();
    }
}

feed_from_store!(MemoryStore);

impl SideStore for MemoryStore {
    fn load_snapshot(
        &self,
        stream: StreamId,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        future::ready(Ok(lock(&self.side).snapshots.get(&stream).cloned())).boxed()
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        snapshot: Snapshot,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        lock(&self.side).snapshots.insert(stream, snapshot);
        future::ready(Ok(())).boxed()
    }

    fn load_checkpoint(
        &self,
        process: &'static str,
    ) -> BoxFuture<'_, Result<Position, StoreError>> {
        let position = lock(&self.side).checkpoints.get(process).copied().unwrap_or_default();
        future::ready(Ok(position)).boxed()
    }

    fn save_checkpoint(
        &self,
        process: &'static str,
        position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        lock(&self.side).checkpoints.insert(process, position);
        future::ready(Ok(())).boxed()
    }
}
