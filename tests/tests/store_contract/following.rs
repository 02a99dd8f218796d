//! Following: what is stored, then what is appended, without a gap or a repetition.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use hakken_commands::store::{EventStore, EventStream};
use hakken_domain::envelope::{Position, StoredEvent};
use hakken_tests::stores::{append, at, first_disorder, stream, written};

use super::{Store, reading::read_everything};

type Opened = Arc<dyn Store>;

fn events(store: &Opened) -> &dyn EventStore {
    &**store
}

/// Long enough for any follower, short enough for a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes batches until the event at `until` came.
async fn follow_until(mut follower: EventStream, until: u64) -> Vec<Arc<StoredEvent>> {
    let mut seen: Vec<Arc<StoredEvent>> = Vec::new();
    while seen.last().is_none_or(|event| event.position.0 < until) {
        let next = tokio::time::timeout(PATIENCE, follower.next()).await;
        let batch = next.expect("the feed stands still").expect("the feed ended").unwrap();
        assert!(!batch.is_empty(), "an empty batch");
        seen.extend(batch);
    }
    seen
}

async fn append_each(store: &Opened, streams: std::ops::Range<u64>) {
    for n in streams {
        let batch = vec![append(stream(n), 0, ["a", "b"])];
        written(&events(store).append(batch, at(0)).await.unwrap()[0]);
    }
}

pub async fn a_follower_from_the_start_gets_everything_once(store: &Opened) {
    append_each(store, 0..50).await;
    let follower = tokio::spawn(follow_until(events(store).follow(Position(0)), 200));
    append_each(store, 50..100).await;
    let seen = follower.await.unwrap();
    assert_eq!(first_disorder(Position(0), &seen), None);
    assert_eq!(seen, read_everything(store, 1_000).await);
}

pub async fn a_follower_from_the_head_gets_only_what_is_new(store: &Opened) {
    append_each(store, 0..10).await;
    let from_middle = tokio::spawn(follow_until(events(store).follow(Position(7)), 60));
    let from_head = tokio::spawn(follow_until(events(store).follow(Position(20)), 60));
    append_each(store, 10..30).await;
    let seen = from_middle.await.unwrap();
    assert_eq!(first_disorder(Position(7), &seen), None);
    assert_eq!(seen.len(), 53);
    let seen = from_head.await.unwrap();
    assert_eq!(first_disorder(Position(20), &seen), None);
    assert_eq!(seen.len(), 40);
}

pub async fn a_follower_from_beyond_the_head_waits_for_what_is_after_it(store: &Opened) {
    append_each(store, 0..1).await;
    let follower = tokio::spawn(follow_until(events(store).follow(Position(5)), 8));
    append_each(store, 1..4).await;
    let seen = follower.await.unwrap();
    assert_eq!(seen.iter().map(|event| event.position.0).collect::<Vec<_>>(), [6, 7, 8]);
}

pub async fn a_slow_follower_misses_nothing(store: &Opened) {
    let mut follower = events(store).follow(Position(0));
    let mut seen = Vec::new();
    for round in 0..20 {
        append_each(store, round * 8..round * 8 + 8).await;
        let next = tokio::time::timeout(PATIENCE, follower.next()).await;
        seen.extend(next.expect("the feed stands still").expect("the feed ended").unwrap());
    }
    let until = events(store).head().await.unwrap().0;
    let rest = seen.last().is_none_or(|event| event.position.0 < until);
    if rest {
        seen.extend(follow_until(follower, until).await);
    }
    assert_eq!(first_disorder(Position(0), &seen), None);
    assert_eq!(seen.len() as u64, until);
}

pub async fn followers_and_writers_at_once_see_one_order(store: &Opened) {
    let followers: Vec<_> = [0, 0, 3, 100]
        .into_iter()
        .map(|after| {
            let follower = follow_until(events(store).follow(Position(after)), 320);
            (after, tokio::spawn(follower))
        })
        .collect();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move { append_each(&store, writer * 20..writer * 20 + 20).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let all = read_everything(store, 1_000).await;
    assert_eq!(all.len(), 320);
    for (after, follower) in followers {
        let seen = follower.await.unwrap();
        assert_eq!(first_disorder(Position(after), &seen), None);
        assert_eq!(seen, all[after as usize..]);
    }
}

pub async fn a_notified_reader_finds_the_event_in_the_store(store: &Opened) {
    let reader = {
        let store = Arc::clone(store);
        let mut follower = events(&store).follow(Position(0));
        tokio::spawn(async move {
            let mut last = 0;
            while last < 60 {
                for told in follower.next().await.unwrap().unwrap() {
                    last = told.position.0;
                    let found = events(&store).read_all(Position(last - 1), 1).await.unwrap();
                    assert_eq!(found, std::slice::from_ref(&told));
                    let stream = events(&store).read_stream(told.stream, told.version - 1, 1).await;
                    assert_eq!(stream.unwrap(), [told]);
                    assert!(events(&store).head().await.unwrap().0 >= last);
                }
            }
        })
    };
    append_each(store, 0..30).await;
    tokio::time::timeout(PATIENCE, reader).await.expect("the feed stands still").unwrap();
}
