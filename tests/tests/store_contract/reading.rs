//! Reading: pages of a stream and of everything.

use std::sync::Arc;

use hakken_commands::store::{EventStore, FULL_PAGE_EVENTS, is_last};
use hakken_domain::envelope::{Position, StoredEvent};
use hakken_projections::feed::EventFeed;
use hakken_tests::stores::{append, at, first_disorder, stream};

use super::Store;

type Opened = Arc<dyn Store>;

fn events(store: &Opened) -> &dyn EventStore {
    &**store
}

/// Reads everything in pages of `limit`.
pub async fn read_everything(store: &Opened, limit: usize) -> Vec<Arc<StoredEvent>> {
    let mut all: Vec<Arc<StoredEvent>> = Vec::new();
    loop {
        let after = all.last().map_or(Position(0), |event| event.position);
        let page = events(store).read_all(after, limit).await.unwrap();
        assert!(page.len() <= limit);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

pub async fn a_stream_is_read_in_pages(store: &Opened) {
    for n in 0..20 {
        let batch = vec![append(stream(n % 2), n / 2 * 3, ["a", "b", "c"])];
        events(store).append(batch, at(0)).await.unwrap();
    }
    for (after, limit, versions) in
        [(0, 5, 1..=5), (5, 5, 6..=10), (28, 5, 29..=30), (0, 30, 1..=30), (29, 1_000, 30..=30)]
    {
        let found = events(store).read_stream(stream(1), after, limit).await.unwrap();
        assert!(found.iter().all(|event| event.stream == stream(1)));
        assert_eq!(
            found.iter().map(|event| event.version).collect::<Vec<_>>(),
            versions.collect::<Vec<_>>(),
            "after {after}, at most {limit}"
        );
    }
}

pub async fn everything_is_read_in_pages_in_order(store: &Opened) {
    for batch in 0..15 {
        let batch = (0..batch).map(|n| append(stream(batch * 100 + n), 0, ["a", "b"])).collect();
        events(store).append(batch, at(0)).await.unwrap();
    }
    let all = read_everything(store, 1_000).await;
    assert_eq!(all.len(), 210);
    assert_eq!(first_disorder(Position(0), &all), None);
    for limit in [1, 7, 209, 210, 211] {
        assert_eq!(read_everything(store, limit).await, all);
    }
    for after in 0..=210 {
        let page = events(store).read_all(Position(after), 3).await.unwrap();
        assert_eq!(page, all[after as usize..].iter().take(3).cloned().collect::<Vec<_>>());
    }
}

pub async fn a_page_is_bounded_in_bytes_and_still_goes_on(store: &Opened) {
    let mebibyte = vec![b'x'; 1024 * 1024];
    for n in 0..3 {
        let large = (0..8).map(|_| mebibyte.clone());
        events(store).append(vec![append(stream(1), n * 8, large)], at(0)).await.unwrap();
    }
    let all = read_everything(store, usize::MAX).await;
    assert_eq!(first_disorder(Position(0), &all), None);
    assert_eq!(all.len(), 24);
    let mut version = 0;
    while version < 24 {
        let page = events(store).read_stream(stream(1), version, usize::MAX).await.unwrap();
        let first = page.first().expect("a page is empty only at the end").version;
        assert_eq!(first, version + 1);
        version += page.len() as u64;
        assert!(version == 24 || !is_last(&page, usize::MAX), "{version} is not the end");
    }
}

pub async fn a_page_that_is_not_full_ends_where_its_stream_ends(store: &Opened) {
    const EVENTS: u64 = 4_500;
    let small = (0..EVENTS).map(|n| n.to_string());
    events(store).append(vec![append(stream(1), 0, small)], at(0)).await.unwrap();
    for limit in [700, FULL_PAGE_EVENTS, usize::MAX] {
        let (mut version, mut is_over) = (0, false);
        while !is_over {
            let page = events(store).read_stream(stream(1), version, limit).await.unwrap();
            version += page.len() as u64;
            is_over = is_last(&page, limit);
            assert!(is_over || !page.is_empty());
        }
        assert_eq!(version, EVENTS, "by {limit}");
    }
    let nothing = events(store).read_stream(stream(2), 0, 1).await.unwrap();
    assert!(nothing.is_empty() && is_last(&nothing, 1));
}

pub async fn reading_past_the_end_finds_nothing(store: &Opened) {
    assert_eq!(events(store).head().await.unwrap(), Position(0));
    for after in [0, 1, u64::MAX] {
        assert!(events(store).read_all(Position(after), 10).await.unwrap().is_empty());
        assert!(events(store).read_stream(stream(1), after, 10).await.unwrap().is_empty());
    }
    events(store).append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    for after in [1, 2, u64::MAX] {
        assert!(events(store).read_all(Position(after), 10).await.unwrap().is_empty());
        assert!(events(store).read_stream(stream(1), after, 10).await.unwrap().is_empty());
    }
    assert!(events(store).read_all(Position(0), 0).await.unwrap().is_empty());
    assert!(events(store).read_stream(stream(1), 0, 0).await.unwrap().is_empty());
}

pub async fn the_feed_of_the_read_side_shows_the_same(store: &Opened) {
    events(store).append(vec![append(stream(1), 0, ["a", "b", "c"])], at(0)).await.unwrap();
    let feed: &dyn EventFeed = &**store;
    assert_eq!(feed.head().await.unwrap(), Position(3));
    assert_eq!(
        feed.read_all(Position(1), 9).await.unwrap(),
        events(store).read_all(Position(1), 9).await.unwrap()
    );
    assert_eq!(
        feed.read_stream(stream(1), 2, 9).await.unwrap(),
        events(store).read_stream(stream(1), 2, 9).await.unwrap()
    );
    let mut follower = feed.follow(Position(2));
    let batch = futures_util::StreamExt::next(&mut follower).await.unwrap().unwrap();
    assert_eq!(batch[0].position, Position(3));
}

pub async fn a_long_stream_among_many_is_read_from_any_version(store: &Opened) {
    let mut version = 0;
    for n in 0..40 {
        let long = append(stream(0), version, (0..50).map(|n| n.to_string()));
        version += 50;
        let short = (1..20).map(|s| append(stream(n * 100 + s), 0, ["a"]));
        let again = append(stream(7), n, ["again"]);
        let batch = short.filter(|a| a.stream != stream(7)).chain([long, again]).collect();
        for answer in events(store).append(batch, at(0)).await.unwrap() {
            hakken_tests::stores::written(&answer);
        }
    }
    for after in [0, 1, 49, 50, 51, 1_000, 1_999, 2_000] {
        let found = events(store).read_stream(stream(0), after, 60).await.unwrap();
        let versions: Vec<u64> = found.iter().map(|event| event.version).collect();
        let expected: Vec<u64> = (after + 1..=2_000).take(60).collect();
        assert_eq!(versions, expected, "after {after}");
    }
    let all = events(store).read_stream(stream(0), 0, usize::MAX).await.unwrap();
    assert_eq!(all.len(), 2_000);
    assert_eq!(events(store).read_stream(stream(7), 0, 99).await.unwrap().len(), 40);
    assert_eq!(events(store).read_stream(stream(3_905), 0, 99).await.unwrap().len(), 1);
    assert!(events(store).read_stream(stream(4_005), 0, 99).await.unwrap().is_empty());
}
