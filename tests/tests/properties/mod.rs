//! Properties from end to end: random operations on the whole engine in calm weather, with
//! everything looked at after every few of them.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream};
use hakken_commands::store::{
    Append, Appended, EventStore, EventStream, SideStore, Snapshot, StoreError,
};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};
use hakken_projections::{
    ALL, ReadModels,
    feed::{self, EventFeed, FeedError},
    rows::MemoryRows,
};
use hakken_tests::{
    audit::Audit,
    sim::{Options, Report, compare, simulate},
    world::{Setup, World},
};

/// Some hundred operations, and what they left behind. On the way everything was looked at: the
/// audit after each step; at rest that nothing is half done, that every projection rebuilt is the
/// one that was served, that every seat, order and ticket reads as its own stream says; and at the
/// end that everything asked for again changes nothing.
async fn some_life(seed: u64) -> Report {
    let calm = Options { faults: false, steps: 40, rest_every: 5, ..Options::new(seed) };
    match simulate(calm).await {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_people_do_nothing_is_ever_wrong() {
    for seed in 101..=106 {
        let report = some_life(seed).await;
        assert_eq!(report.coverage.count("rest checked"), 8);
        assert!(report.coverage.count("event ticket-issued") > 0, "seed {seed} sold nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_calm_day_has_no_trouble_but_too_many_at_once() {
    let report = some_life(107).await;
    for trouble in ["trouble unavailable", "trouble contended"] {
        assert_eq!(report.coverage.count(trouble), 0, "{trouble}");
    }
}

/// Every batch of events comes twice to who follows.
struct Twice(Arc<dyn EventStore>);

impl EventStore for Twice {
    fn append(
        &self,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        self.0.append(batch, now)
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, StoreError>> {
        self.0.read_stream(stream, after, limit)
    }

    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, StoreError>> {
        self.0.read_all(after, limit)
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        self.0.head()
    }

    fn follow(&self, after: Position) -> EventStream {
        let twice = self.0.follow(after).flat_map(|batch| {
            let again = batch.as_ref().ok().map(|events| Ok(events.clone()));
            stream::iter(std::iter::once(batch).chain(again))
        });
        Box::pin(twice)
    }
}

fn feed_error(error: StoreError) -> FeedError {
    FeedError(Box::new(error))
}

impl EventFeed for Twice {
    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        let events = EventStore::read_all(self, after, limit);
        Box::pin(async { events.await.map_err(feed_error) })
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        let events = EventStore::read_stream(self, stream, after, limit);
        Box::pin(async { events.await.map_err(feed_error) })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, FeedError>> {
        let head = EventStore::head(self);
        Box::pin(async { head.await.map_err(feed_error) })
    }

    fn follow(&self, after: Position) -> feed::EventStream {
        Box::pin(EventStore::follow(self, after).map(|batch| batch.map_err(feed_error)))
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_delivered_twice_counts_once_in_every_read_model() {
    let report = some_life(108).await;
    let feed = Arc::new(Twice(report.memory.clone()));
    let rows = Arc::new(MemoryRows::new());
    let read = ReadModels::start(feed, rows, report.clock.clone()).await.unwrap();
    let head = EventStore::head(&*report.memory).await.unwrap();
    compare::caught_up(&read, head).await.unwrap();
    compare::verified(&read).await.unwrap();
    let folded = read.verify(ALL[0].name).await.unwrap().folded;
    assert_eq!(folded, head.0, "the comparison saw every event");
}

/// Forgets snapshots and checkpoints as soon as it is told.
struct Forgetful;

impl SideStore for Forgetful {
    fn load_snapshot(
        &self,
        _stream: StreamId,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn save_snapshot(
        &self,
        _stream: StreamId,
        _snapshot: Snapshot,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn load_checkpoint(
        &self,
        _process: &'static str,
    ) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async { Ok(Position(0)) })
    }

    fn save_checkpoint(
        &self,
        _process: &'static str,
        _position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(start_paused = true)]
async fn processes_that_answer_every_event_of_the_past_again_change_nothing() {
    for seed in 109..=112 {
        let report = some_life(seed).await;
        let moved = report.gateway.settled();
        let world = World::with(Setup {
            store: Some(Arc::new(Twice(report.memory.clone()))),
            memory: report.memory.clone(),
            side: Some(Arc::new(Forgetful)),
            clock: report.clock.clone(),
            gateway: report.gateway.clone(),
            seed: 99,
            ..Setup::default()
        });
        // Let the sweeper come round, too.
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.rest().await;
        let events = world.events().await;
        let new: Vec<_> = events[report.events..]
            .iter()
            .filter(|event| event.kind != "hold-expired")
            .map(|event| format!("{} {}", event.stream, event.kind))
            .collect();
        assert!(new.is_empty(), "seed {seed}: {new:?}");
        assert_eq!(report.gateway.settled(), moved, "seed {seed}: money moved again");
        Audit::read(&events).unwrap().at_rest().unwrap();
    }
}
