//! Opening: what was written is found again, and what is no store is refused.

use std::fs;

use futures_util::StreamExt;
use hakken_adapters::{
    data_dir::DataDir,
    embedded::{EmbeddedStore, OpenError},
};
use hakken_commands::store::{EventStore, SideStore, Snapshot};
use hakken_domain::envelope::Position;
use hakken_projections::feed::EventFeed;
use hakken_tests::stores::{append, at, conflict, first_disorder, stream, written};

use super::{copy, event_files, fill, open, read_everything};

#[tokio::test]
async fn a_reopened_store_has_everything_and_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..4 {
        let store = open(temp.path()).await;
        assert_eq!(read_everything(&store).await.unwrap(), all);
        all.extend(fill(&store, round * 20..round * 20 + 20).await);
        store.save_checkpoint("checkout", Position(round)).await.unwrap();
        store.close().await.unwrap();
    }
    let store = open(temp.path()).await;
    assert_eq!(EventStore::head(&store).await.unwrap().0, all.len() as u64);
    assert_eq!(store.load_checkpoint("checkout").await.unwrap(), Position(3));
    for n in 0..80 {
        let found = EventStore::read_stream(&store, stream(n), 0, 9).await.unwrap();
        assert_eq!(found.len() as u64, n % 3 + 1);
        let batch = vec![append(stream(n), 0, ["x"]), append(stream(n + 1_000), n % 3, ["x"])];
        let answer = store.append(batch, at(0)).await.unwrap();
        assert_eq!(conflict(&answer[0]), found);
        assert_eq!(matches!(answer[1], hakken_commands::store::Appended::Written(_)), n % 3 == 0);
    }
}

#[tokio::test]
async fn time_goes_on_from_the_newest_event_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    store.append(vec![append(stream(1), 0, ["a"])], at(500)).await.unwrap();
    store.close().await.unwrap();
    let store = open(temp.path()).await;
    let answer = store.append(vec![append(stream(2), 0, ["a"])], at(400)).await.unwrap();
    assert_eq!(written(&answer[0])[0].recorded_at, at(500));
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_closes() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path());
    let store = EmbeddedStore::open(&dir).await.unwrap();
    let error = EmbeddedStore::open(&dir).await.err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains("stop that one first"), "{error}");
    store.close().await.unwrap();
    EmbeddedStore::open(&dir).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_takes_nothing_and_its_followers_end() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let mut follower = EventStore::follow(&store, Position(0));
    let waiting = tokio::spawn(async move { follower.next().await.is_none() });
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    assert!(waiting.await.unwrap());
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path());
    fs::create_dir(&dir.events).unwrap();
    let file = dir.events.join("00000000000000000001.events");
    let text = "this is no file of events, but it is long enough to be looked at by anybody at all";
    fs::write(&file, text).unwrap();
    let error = EmbeddedStore::open(&dir).await.err().unwrap();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    let error = EmbeddedStore::open_read_only(&dir).await.err().unwrap();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_file_where_the_events_should_be_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path());
    fs::write(&dir.events, "bookmarks").unwrap();
    let error = EmbeddedStore::open(&dir).await.err().unwrap();
    assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
    assert_eq!(fs::read_to_string(&dir.events).unwrap(), "bookmarks");
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path());
    open(temp.path()).await.close().await.unwrap();
    let file = &event_files(temp.path())[0];
    let mut bytes = fs::read(file).unwrap();
    bytes[8] = 2;
    let crc = crc32fast::hash(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&crc);
    fs::write(file, bytes).unwrap();
    let error = EmbeddedStore::open(&dir).await.err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
}

#[tokio::test]
async fn events_in_an_older_form_are_not_taken_for_none() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path());
    fs::write(temp.path().join("events.db"), "events").unwrap();
    let error = EmbeddedStore::open(&dir).await.err().unwrap();
    assert!(matches!(error, OpenError::Older { .. }), "{error}");
    assert!(error.to_string().contains("use that version"), "{error}");
    assert!(!dir.events.exists());
}

#[tokio::test]
async fn nothing_to_read_is_said_so_and_makes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path().join("none"));
    let error = EmbeddedStore::open_read_only(&dir).await.err().unwrap();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert!(!dir.root.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_reads_while_the_server_writes() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let mut all = fill(&store, 0..40).await;
    let reader = EmbeddedStore::open_read_only(&DataDir::at(temp.path())).await.unwrap();
    let mut follower = reader.follow(Position(0));
    let mut followed = Vec::new();
    for n in 40..110 {
        all.extend(fill(&store, n..n + 1).await);
        let of_stream = reader.read_stream(stream(n), 0, 9).await.unwrap();
        assert_eq!(of_stream, all[all.len() - of_stream.len()..]);
        let old = reader.read_stream(stream(n - 40), 0, 9).await.unwrap();
        assert_eq!(old.len() as u64, (n - 40) % 3 + 1);
    }
    assert_eq!(reader.head().await.unwrap().0, all.len() as u64);
    assert_eq!(reader.read_all(Position(50), 10).await.unwrap(), all[50..60]);
    while followed.len() < all.len() {
        followed.extend(follower.next().await.unwrap().unwrap());
    }
    assert_eq!(first_disorder(Position(0), &followed), None);
    store.close().await.unwrap();
    assert_eq!(reader.read_stream(stream(5), 1, 1).await.unwrap()[0].version, 2);
    reader.close().await;
}

#[tokio::test]
async fn lost_and_broken_derived_files_are_made_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path());
    let store = open(temp.path()).await;
    let all = fill(&store, 0..100).await;
    let snapshot = Snapshot { version: 1, format: 1, bytes: "state".into() };
    store.save_snapshot(stream(1), snapshot.clone()).await.unwrap();
    store.close().await.unwrap();
    for file in [&dir.index, &dir.side] {
        for broken in [None, Some("not a database at all, and far too short to be one")] {
            match broken {
                None => fs::remove_file(file).unwrap(),
                Some(text) => fs::write(file, text).unwrap(),
            }
            let store = open(temp.path()).await;
            assert_eq!(read_everything(&store).await.unwrap(), all);
            assert_eq!(EventStore::read_stream(&store, stream(44), 0, 9).await.unwrap().len(), 3);
            let expected = (file == &dir.index).then_some(&snapshot);
            assert_eq!(store.load_snapshot(stream(1)).await.unwrap().as_ref(), expected);
            store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_older_backup_is_served_only_when_somebody_says_that_it_is_meant() {
    let temp = tempfile::tempdir().unwrap();
    let (live, backup) = (temp.path().join("live"), temp.path().join("backup"));
    let store = open(&live).await;
    let kept = fill(&store, 0..50).await;
    store.close().await.unwrap();
    copy(&live, &backup, &["events"]);
    let store = open(&live).await;
    let lost = fill(&store, 50..100).await;
    let snapshot = Snapshot { version: 2, format: 1, bytes: "state".into() };
    store.save_snapshot(stream(50), snapshot).await.unwrap();
    store.close().await.unwrap();
    copy(&backup, &live, &["events"]);

    let dir = DataDir::at(&live);
    let of_writer = EmbeddedStore::open(&dir).await.err().unwrap();
    let of_reader = EmbeddedStore::open_read_only(&dir).await.err().unwrap();
    for error in [of_writer, of_reader] {
        let words = error.to_string();
        let OpenError::Missed { head, seen, .. } = error else { panic!("{words}") };
        assert_eq!((head.0, seen.0), (kept.len() as u64, (kept.len() + lost.len()) as u64));
        assert!(words.contains("they were acknowledged, and are missing here"), "{words}");
        assert!(words.contains("remove index.db and side.db first"), "{words}");
    }
    // As the words say.
    for file in [&dir.index, &dir.side] {
        fs::remove_file(file).unwrap();
    }
    let store = open(&live).await;
    assert_eq!(read_everything(&store).await.unwrap(), kept);
    assert_eq!(store.load_snapshot(stream(50)).await.unwrap(), None);
    assert!(EventStore::read_stream(&store, stream(50), 0, 9).await.unwrap().is_empty());
    fill(&store, 50..60).await;
    assert_eq!(EventStore::read_stream(&store, stream(50), 0, 9).await.unwrap().len(), 3);
}
