//! Events in memory, as the read side sees a store, and a clock that is set by hand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use hakken_domain::{
    Event, codec,
    envelope::{Decoded, Metadata, Position, StoredEvent, StreamId, Version},
    names::{ActorRef, CommandKey, EventId, OrganizerId, derived_ulid},
    time::Timestamp,
};
use tokio::sync::watch;

use crate::{
    clock::Clock,
    feed::{EventFeed, EventStream, FeedError},
};

/// The time at which tests begin: 2026-11-21T10:00:00Z.
pub const START: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

/// Most events that come at once to who follows.
const MAX_FOLLOWED: usize = 1_000;

#[derive(Debug)]
struct Recorded {
    events: Vec<Arc<StoredEvent>>,
    versions: HashMap<StreamId, Version>,
    organizer: Option<OrganizerId>,
    actor: ActorRef,
    now: Timestamp,
    /// So many reads fail before they work again.
    failures: u32,
    /// `read_all` from here on waits until the test lets it go on.
    blocked_from: Option<Position>,
    /// Whoever follows gets every batch twice.
    stutter: bool,
}

/// Recorded events; one second passes with each.
#[derive(Debug)]
pub struct MemoryFeed {
    recorded: Arc<Mutex<Recorded>>,
    head: watch::Sender<Position>,
}

impl Default for MemoryFeed {
    fn default() -> Self {
        let recorded = Recorded {
            events: Vec::new(),
            versions: HashMap::new(),
            organizer: None,
            actor: ActorRef::new("test").expect("a good name"),
            now: START,
            failures: 0,
            blocked_from: None,
            stutter: false,
        };
        Self { recorded: Arc::new(Mutex::new(recorded)), head: watch::Sender::new(Position(0)) }
    }
}

impl MemoryFeed {
    /// Nothing recorded.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        lock(&self.recorded)
    }

    /// From now on events are of this organizer.
    pub fn organizer(&self, organizer: OrganizerId) {
        self.lock().organizer = Some(organizer);
    }

    /// From now on this actor does things.
    pub fn actor(&self, actor: &str) {
        self.lock().actor = ActorRef::new(actor).expect("a good actor");
    }

    /// The recorded time of the next event.
    pub fn set_time(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// The recorded time of the next event.
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// The next reads fail.
    pub fn fail(&self, reads: u32) {
        self.lock().failures = reads;
    }

    /// How many reads will still fail.
    pub fn failures_left(&self) -> u32 {
        self.lock().failures
    }

    /// Reads of events behind this position wait; none lets them all go on.
    pub fn block_from(&self, position: Option<Position>) {
        self.lock().blocked_from = position;
        self.head.send_modify(|_| {});
    }

    /// From now on whoever follows gets every batch twice.
    pub fn stutter(&self) {
        self.lock().stutter = true;
    }

    /// The newest position.
    pub fn last(&self) -> Position {
        *self.head.borrow()
    }

    /// Records an event.
    pub fn record(&self, stream: impl Into<StreamId>, event: impl Into<Event>) -> Position {
        let event = event.into();
        let (kind, schema) = codec::kind_of(&event);
        self.record_raw(stream.into(), kind, schema, &codec::encode(&event))
    }

    /// Records bytes, whether they are an event or not.
    pub fn record_raw(
        &self,
        stream: StreamId,
        kind: &'static str,
        schema: u16,
        data: &[u8],
    ) -> Position {
        let mut recorded = self.lock();
        let position = Position(recorded.events.len() as u64 + 1);
        let version = recorded.versions.entry(stream).or_default();
        *version += 1;
        let version = *version;
        let meta = Metadata {
            organizer: recorded.organizer,
            actor: recorded.actor.clone(),
            key: CommandKey::new(&format!("key-{position}")).ok(),
            request: None,
            cause: None,
            correlation: None,
        };
        let event = StoredEvent {
            position,
            stream,
            version,
            id: EventId(derived_ulid(&["event", &position.to_string()])),
            kind: kind.into(),
            schema,
            recorded_at: recorded.now,
            meta: codec::encode_metadata(&meta).into(),
            data: data.to_vec().into(),
            cache: OnceLock::new(),
        };
        recorded.now = recorded.now.plus_seconds(1);
        recorded.events.push(Arc::new(event));
        drop(recorded);
        self.head.send_replace(position);
        position
    }

    /// From now on events of this kind and schema version are read like this, as a release with
    /// an upcaster does. What has decoded them before keeps what it found.
    pub fn upcast(&self, kind: &str, schema: u16, read: fn(&[u8]) -> Event) {
        for event in &mut self.lock().events {
            if event.kind == kind && event.schema == schema {
                let meta = codec::decode_metadata(kind, &event.meta).expect("metadata");
                let decoded = Decoded { event: read(&event.data), meta };
                *event = Arc::new(copy_of(event, OnceLock::from(Ok(decoded))));
            }
        }
    }

    /// Records the same again, byte for byte.
    pub fn repeat(&self, event: &StoredEvent) {
        let copy = copy_of(event, OnceLock::new());
        self.lock().events.push(Arc::new(copy));
        self.head.send_replace(event.position);
    }

    /// The events behind a position.
    pub fn events(&self, after: Position, limit: usize) -> Vec<Arc<StoredEvent>> {
        slice(&self.lock(), after, limit)
    }

    fn readable(&self) -> Result<(), FeedError> {
        let mut recorded = self.lock();
        if recorded.failures == 0 {
            return Ok(());
        }
        recorded.failures -= 1;
        Err(FeedError("a failure that the test wants".into()))
    }
}

impl EventFeed for MemoryFeed {
    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        async move {
            self.readable()?;
            let mut head = self.head.subscribe();
            while self.lock().blocked_from.is_some_and(|from| after >= from) {
                head.changed().await.map_err(|error| FeedError(Box::new(error)))?;
            }
            Ok(self.events(after, limit))
        }
        .boxed()
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        async move {
            self.readable()?;
            let recorded = self.lock();
            let events = recorded.events.iter();
            let mine = events.filter(|event| event.stream == stream && event.version > after);
            Ok(mine.take(limit).cloned().collect())
        }
        .boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, FeedError>> {
        async move { Ok(self.last()) }.boxed()
    }

    fn follow(&self, after: Position) -> EventStream {
        let failure = self.readable().err();
        let recorded = self.recorded.clone();
        let live = stream::unfold((self.head.subscribe(), after), move |(mut head, after)| {
            let recorded = recorded.clone();
            async move {
                let now = *head.wait_for(|head| *head > after).await.ok()?;
                let events = slice(&lock(&recorded), after, MAX_FOLLOWED);
                let last = events.last().map_or(now, |event| event.position);
                Some((Ok(events), (head, last)))
            }
        });
        let twice = |batch: Result<Vec<Arc<StoredEvent>>, FeedError>| {
            let events = batch.unwrap_or_default();
            stream::iter([Ok(events.clone()), Ok(events)])
        };
        match failure {
            Some(error) => stream::once(async move { Err(error) }).boxed(),
            None if self.lock().stutter => live.flat_map(twice).boxed(),
            None => live.boxed(),
        }
    }
}

fn copy_of(
    event: &StoredEvent,
    cache: OnceLock<Result<Decoded, codec::DecodeError>>,
) -> StoredEvent {
    StoredEvent {
        position: event.position,
        stream: event.stream,
        version: event.version,
        id: event.id,
        kind: event.kind.clone(),
        schema: event.schema,
        recorded_at: event.recorded_at,
        meta: event.meta.clone(),
        data: event.data.clone(),
        cache,
    }
}

fn lock(recorded: &Mutex<Recorded>) -> MutexGuard<'_, Recorded> {
    recorded.lock().unwrap_or_else(PoisonError::into_inner)
}

fn slice(recorded: &Recorded, after: Position, limit: usize) -> Vec<Arc<StoredEvent>> {
    let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(recorded.events.len());
    recorded.events[from..].iter().take(limit).cloned().collect()
}

/// A clock that is set by hand.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Mutex::new(START))
    }
}

impl ManualClock {
    /// Sets the time.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
