//! Many at once: nothing is lost, doubled or out of order.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hakken_commands::store::{Appended, EventStore};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    names::EventId,
};
use hakken_tests::stores::{append, at, first_disorder, stream};

use super::{Store, reading::read_everything};

type Opened = Arc<dyn Store>;

fn events(store: &Opened) -> &dyn EventStore {
    &**store
}

/// Appends one event, wherever the stream is by then.
async fn append_with_retry(store: &Opened, stream: StreamId) -> EventId {
    let mut append = append(stream, 0, ["a"]);
    loop {
        let answer = events(store).append(vec![append.clone()], at(0)).await.unwrap();
        match answer.into_iter().next().expect("one append has one answer") {
            Appended::Written(_) => return append.events[0].id,
            Appended::Conflict { newer } => append.expected += newer.len() as u64,
        }
    }
}

fn ids(events: &[Arc<StoredEvent>]) -> HashSet<EventId> {
    events.iter().map(|event| event.id).collect()
}

pub async fn a_hundred_writers_of_one_stream_all_land_once(store: &Opened) {
    let writers: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move { append_with_retry(&store, stream(1)).await })
        })
        .collect();
    let mut written = HashSet::new();
    for writer in writers {
        written.insert(writer.await.unwrap());
    }
    let all = read_everything(store, 1_000).await;
    assert_eq!(first_disorder(Position(0), &all), None);
    assert_eq!((all.len(), ids(&all)), (100, written));
    assert_eq!(events(store).read_stream(stream(1), 0, 1_000).await.unwrap(), all);
}

pub async fn writers_of_many_streams_all_land_once(store: &Opened) {
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut written = Vec::new();
                for n in 0..10 {
                    written.push(append_with_retry(&store, stream((writer * 7 + n) % 40)).await);
                }
                written
            })
        })
        .collect();
    let mut written = HashSet::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    let all = read_everything(store, 1_000).await;
    assert_eq!(first_disorder(Position(0), &all), None);
    assert_eq!((all.len(), ids(&all)), (160, written));
    for n in 0..40 {
        let found = events(store).read_stream(stream(n), 0, 1_000).await.unwrap();
        let of_stream = all.iter().filter(|event| event.stream == stream(n));
        assert!(of_stream.eq(&found));
    }
}

pub async fn readers_never_see_positions_out_of_order(store: &Opened) {
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (Arc::clone(store), Arc::clone(&done));
            tokio::spawn(async move {
                let mut seen: Vec<Arc<StoredEvent>> = Vec::new();
                loop {
                    let last_look = done.load(Ordering::SeqCst);
                    let after = seen.last().map_or(Position(0), |event| event.position);
                    let page = events(&store).read_all(after, 100).await.unwrap();
                    if page.is_empty() && last_look {
                        return seen;
                    }
                    seen.extend(page);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for n in 0..15 {
                    append_with_retry(&store, stream(writer % 4 * 100 + n)).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        let seen = reader.await.unwrap();
        assert_eq!(first_disorder(Position(0), &seen), None);
        assert_eq!(seen.len(), 120);
    }
}

pub async fn cancelled_appends_land_once_or_not_at_all(store: &Opened) {
    let writers: Vec<_> = (0..60)
        .map(|n| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let append = append(stream(n), 0, ["a", "b"]);
                let call = events(&store).append(vec![append], at(0));
                tokio::time::timeout(Duration::from_micros(n * 40), call).await.is_ok()
            })
        })
        .collect();
    let mut answered = Vec::new();
    for writer in writers {
        answered.push(writer.await.unwrap());
    }
    // Appends are made one after the other, so this one comes after all that were cancelled.
    append_with_retry(store, stream(1_000)).await;
    let all = read_everything(store, 1_000).await;
    assert_eq!(first_disorder(Position(0), &all), None);
    for (n, answered) in (0..).zip(answered) {
        let found = events(store).read_stream(stream(n), 0, 9).await.unwrap();
        assert!(found.len() == 2 || (found.is_empty() && !answered), "{n}: {}", found.len());
    }
}

/// The check that all of this rests on must itself notice each kind of disorder.
#[tokio::test]
async fn the_checker_notices_a_doctored_sequence() {
    let opened = super::memory().await;
    let store = &opened.store;
    for n in 0..6 {
        events(store)
            .append(vec![append(stream(n % 2), n / 2, ["a"])], at(n as i64))
            .await
            .unwrap();
    }
    let good = read_everything(store, 100).await;
    assert_eq!(first_disorder(Position(0), &good), None);
    assert_eq!(first_disorder(Position(2), &good[2..]), None);
    let doctored = |change: fn(&mut Vec<Arc<StoredEvent>>)| {
        let mut events = good.clone();
        change(&mut events);
        first_disorder(Position(0), &events)
    };
    assert_eq!(doctored(|e| e.swap(2, 3)).unwrap(), "position 4 instead of 3");
    assert_eq!(doctored(|e| drop(e.remove(2))).unwrap(), "position 4 instead of 3");
    assert_eq!(doctored(|e| e.insert(2, e[1].clone())).unwrap(), "position 2 instead of 3");
    assert_eq!(doctored(|e| drop(e.remove(0))).unwrap(), "position 2 instead of 1");
    let changed = |change: fn(&mut StoredEvent)| {
        let mut events = good.clone();
        let e = &events[3];
        let mut event = StoredEvent {
            position: e.position,
            stream: e.stream,
            version: e.version,
            id: e.id,
            kind: e.kind.clone(),
            schema: e.schema,
            recorded_at: e.recorded_at,
            meta: e.meta.clone(),
            data: e.data.clone(),
            cache: e.cache.clone(),
        };
        change(&mut event);
        events[3] = Arc::new(event);
        first_disorder(Position(0), &events)
    };
    assert_eq!(changed(|e| e.recorded_at = at(0)).unwrap(), "time runs backwards at 4");
    assert!(changed(|e| e.version = 1).unwrap().contains("twice or too late"));
}
