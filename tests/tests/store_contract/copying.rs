//! Copying a history from store to store: embedded to PostgreSQL and back, stopped and gone on,
//! and refused where the target is another history.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::BoxFuture;
use hakken_adapters::{
    copy::{Common, CopyError, chain, compare, copy},
    memory::MemoryStore,
};
use hakken_commands::store::{
    Append, Appended, EventStore, EventStream, Imported, NewEvent, StoreError, StoreErrorKind,
};
use hakken_domain::{
    chain::Chain,
    codec,
    envelope::{Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};
use hakken_projections::feed::EventFeed;
use hakken_tests::stores::{append, at, event, stream};

use super::{Opened, embedded, embedded_small_runs, memory, on_a_server};

/// Draws numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A random history: streams of every kind, odd bytes, batches of any size, a clock that jumps.
async fn random(store: &dyn EventStore, seed: u64, batches: u64) {
    let mut dice = Dice(seed);
    let mut versions = [0_u64; 30];
    let kinds = ["seats-held", "ticket-issued", "order-paid", "key-created"];
    for _ in 0..batches {
        let first = dice.below(30);
        let appends = (0..=dice.below(8)).map(|n| {
            let number = (first + n) % 30;
            let version = &mut versions[number as usize];
            let events = (0..=dice.below(4)).map(|_| {
                let length = dice.below(200);
                let data: Vec<u8> = (0..length).map(|_| dice.below(256) as u8).collect();
                let kind = kinds[dice.below(4) as usize];
                let kind = codec::known_kind(kind).unwrap_or("seats-held");
                NewEvent { kind, schema: dice.below(3) as u16 + 1, ..event(data) }
            });
            let append =
                Append { stream: stream(number), expected: *version, events: events.collect() };
            *version += append.events.len() as u64;
            append
        });
        let appends: Vec<_> = appends.collect();
        let answers = store.append(appends, at(dice.below(1_000) as i64)).await.unwrap();
        assert!(answers.iter().all(|answer| matches!(answer, Appended::Written(_))));
    }
}

/// All of a store, copied behind what the target has.
async fn all(source: &Opened, target: &Opened) -> Result<Common, CopyError> {
    let (ours, theirs): (&dyn EventFeed, &dyn EventFeed) = (&*source.store, &*target.store);
    let head = ours.head().await.unwrap();
    let common = compare(ours, head, theirs, |_| ()).await?;
    copy(ours, common.source, head, &*target.store, |_| ()).await?;
    compare(ours, head, theirs, |_| ()).await
}

async fn chain_of(opened: &Opened) -> Chain {
    let feed: &dyn EventFeed = &*opened.store;
    chain(feed, feed.head().await.unwrap(), |_| ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_go_to_postgres_and_back_and_are_the_same() {
    for seed in 1..=8 {
        let source = embedded_small_runs().await;
        random(&*source.store, seed, 40).await;
        let Some(middle) = on_a_server().await else { return };
        let back = embedded().await;
        let there = all(&source, &middle).await.unwrap();
        let here = all(&middle, &back).await.unwrap();
        assert!(there.chain.events() > 100, "seed {seed}");
        assert_eq!(there.chain, here.chain, "seed {seed}");
        assert_eq!(chain_of(&back).await, chain_of(&source).await, "seed {seed}");
    }
}

#[tokio::test]
async fn a_copy_that_was_stopped_goes_on_where_it_was() {
    let (source, target) = (memory().await, embedded().await);
    random(&*source.store, 7, 60).await;
    let feed: &dyn EventFeed = &*source.store;
    for part in [1, 2, 50, 51, 120] {
        let done = compare(feed, Position(part), &*target.store, |_| ()).await.unwrap();
        copy(feed, done.source, Position(part), &*target.store, |_| ()).await.unwrap();
        assert_eq!(EventStore::head(&*target.store).await.unwrap(), Position(part));
    }
    let common = all(&source, &target).await.unwrap();
    assert_eq!(common.chain, chain_of(&source).await);
    // Once more changes nothing.
    assert_eq!(all(&source, &target).await.unwrap(), common);
}

#[tokio::test]
async fn another_history_is_refused_with_the_place_of_the_first_difference() {
    let source = memory().await;
    let batch = (0..9).map(|n| append(stream(n), 0, ["as it was"])).collect();
    source.store.append(batch, at(5)).await.unwrap();
    let history = EventStore::read_all(&*source.store, Position(0), 99).await.unwrap();
    type Change = fn(&mut StoredEvent);
    let changes: [(&str, Change); 5] = [
        ("data", |event| event.data = (&b"as it waS"[..]).into()),
        ("metadata", |event| event.meta = (&b"{}"[..]).into()),
        ("schema version", |event| event.schema = 9),
        ("kind", |event| event.kind = "seats-sold".into()),
        ("recorded time", |event| event.recorded_at = at(6)),
    ];
    for (what, change) in changes {
        let target = memory().await;
        let mut other = history[..6].to_vec();
        let mut event = copy_of(&other[5]);
        change(&mut event);
        other[5] = Arc::new(event);
        target.store.import(other).await.unwrap();
        let before = chain_of(&target).await;
        let Err(CopyError::Differs(found)) = all(&source, &target).await else {
            panic!("another {what} went unnoticed");
        };
        assert_eq!((found.place, found.source, found.what), (6, Some(Position(6)), what));
        assert_eq!(chain_of(&target).await, before);
    }
    let target = memory().await;
    all(&source, &target).await.unwrap();
    target.store.append(vec![append(stream(50), 0, ["foreign"])], at(9)).await.unwrap();
    let Err(CopyError::Differs(found)) = all(&source, &target).await else {
        panic!("a foreign event went unnoticed");
    };
    assert_eq!((found.place, found.source, found.target), (10, None, Position(10)));
    assert!(found.to_string().contains("the first that the source does not have"), "{found}");
}

fn copy_of(event: &StoredEvent) -> StoredEvent {
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
        cache: event.cache.clone(),
    }
}

/// A store that can nothing but append, and fails after some appends.
struct Plain {
    inner: MemoryStore,
    left: AtomicUsize,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl EventStore for Plain {
    fn append(&self, batch: Vec<Append>, now: Timestamp) -> Answer<'_, Vec<Appended>> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_err() {
            let kind = StoreErrorKind::Unavailable;
            return Box::pin(async move { Err(StoreError { kind, source: "cut off".into() }) });
        }
        self.inner.append(batch, now)
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<StoredEvent>>> {
        EventStore::read_stream(&self.inner, stream, after, limit)
    }

    fn read_all(&self, after: Position, limit: usize) -> Answer<'_, Vec<Arc<StoredEvent>>> {
        EventStore::read_all(&self.inner, after, limit)
    }

    fn head(&self) -> Answer<'_, Position> {
        EventStore::head(&self.inner)
    }

    fn follow(&self, after: Position) -> EventStream {
        EventStore::follow(&self.inner, after)
    }
}

#[tokio::test]
async fn a_store_that_can_only_append_takes_a_history_too_and_goes_on_after_a_cut() {
    let source = memory().await;
    random(&*source.store, 3, 30).await;
    let feed: &dyn EventFeed = &*source.store;
    let head = feed.head().await.unwrap();
    let target = Plain { inner: MemoryStore::new(), left: AtomicUsize::new(11) };
    let cut = copy(feed, Position(0), head, &target, |_| ()).await;
    assert!(matches!(cut, Err(CopyError::Target(_))), "{cut:?}");
    target.left.store(usize::MAX, Ordering::SeqCst);
    let common = compare(feed, head, &target.inner, |_| ()).await.unwrap();
    assert!(common.chain.events() >= 11);
    copy(feed, common.source, head, &target, |_| ()).await.unwrap();
    assert_eq!(chain(&target.inner, head, |_| ()).await.unwrap(), chain_of(&source).await);
    // It refuses what does not follow, as every store does.
    let history = EventStore::read_all(&*source.store, Position(0), 1).await.unwrap();
    let again = target.import(history.clone()).await.unwrap();
    assert_eq!(again, Imported::DoesNotFollow(history[0].position));
}
