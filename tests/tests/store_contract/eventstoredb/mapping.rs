//! How events stand there, and which position they have.

use bytes::Bytes;
use eventstore::{Client, EventData, ReadStreamOptions, RecordedEvent, StreamPosition};
use hakken_adapters::eventstoredb::{EventStoreDb, OpenError};
use hakken_commands::store::{EventStore, NewEvent, StoreErrorKind};
use hakken_domain::envelope::{Fingerprint, Position};
use hakken_tests::{
    eventstoredb::TestStore,
    stores::{append, at, event, first_disorder, stream, written},
};

use super::everything;

/// The namespace of a test's store.
fn namespace(test: &TestStore) -> &str {
    test.url.rsplit_once("streams=").unwrap().1
}

/// The client itself, beside the adapter.
fn client(test: &TestStore) -> Client {
    let (address, _) = test.url.rsplit_once("streams=").unwrap();
    Client::new(address.trim_end_matches(['?', '&']).parse().unwrap()).unwrap()
}

async fn as_stored(test: &TestStore, name: &str) -> Vec<RecordedEvent> {
    let options = ReadStreamOptions::default().position(StreamPosition::Start);
    let mut read = client(test).read_stream(name, &options).await.unwrap();
    let mut found = Vec::new();
    while let Some(event) = read.next().await.unwrap() {
        found.extend(event.event);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stands_there_as_the_page_about_it_says() {
    let test = TestStore::new();
    let store = test.open("one").await;
    let data: [&'static [u8]; 5] =
        [br#"{"seats": ["A1"]}"#, b" {} ", b"", b"\xff\0", "発券".as_bytes()];
    let events: Vec<NewEvent> = data.iter().map(|data| event(Bytes::from_static(data))).collect();
    let mut one = append(stream(1), 0, Vec::<Bytes>::new());
    one.events = events.clone();
    one.events[0].schema = 7;
    written(&store.append(vec![one], at(5)).await.unwrap()[0]);
    let name = format!("{}.{}", namespace(&test), stream(1));
    let found = as_stored(&test, &name).await;
    assert_eq!(found.len(), data.len());
    for (n, (found, new)) in found.iter().zip(&events).enumerate() {
        assert_eq!(found.id.into_bytes(), new.id.0.to_bytes());
        assert_eq!((found.revision, &*found.event_type), (n as u64, "seats-held"));
        assert_eq!(found.data, new.data);
        assert_eq!(found.is_json, n == 0, "{:?}", new.data);
        let schema = if n == 0 { 7 } else { 1 };
        let told = format!(
            r#"{{"schema":{schema},"recordedAt":5000000,"meta":{{"actor":"system:test"}}}}"#
        );
        assert_eq!(found.custom_metadata, told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_others_have_no_position_and_end_no_page() {
    let mut test = TestStore::on(hakken_tests::eventstoredb::Double::start());
    let store = test.open("one").await;
    let namespace = namespace(&test).to_owned();
    for n in 0..40 {
        let other = if n % 2 == 0 { "inventory-of-others" } else { "$projections-x" };
        for _ in 0..n {
            test.double().write_foreign(other, b"{}");
            test.double().write_foreign(&format!("{namespace}x.{}", stream(n)), b"{}");
        }
        let answer = store.append(vec![append(stream(n), 0, ["a", "b"])], at(0)).await.unwrap();
        assert_eq!(written(&answer[0])[1].position, Position(2 * n + 2));
    }
    for _ in 0..2_000 {
        test.double().write_foreign("later", b"{}");
    }
    let all = everything(&store).await;
    assert_eq!((all.len(), first_disorder(Position(0), &all)), (80, None));
    for after in 0..80 {
        let page = EventStore::read_all(&*store, Position(after), 3).await.unwrap();
        let expected: Vec<u64> = (after + 1..=80).take(3).collect();
        let found: Vec<u64> = page.iter().map(|event| event.position.0).collect();
        assert_eq!(found, expected, "after {after}");
    }
    assert!(EventStore::read_all(&*store, Position(80), 3).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_are_the_same_whoever_counts_them_and_when() {
    let mut test = TestStore::on(hakken_tests::eventstoredb::Double::start());
    let store = test.open("one").await;
    for n in 0..70 {
        test.double().write_foreign("others", b"{}");
        let batch = (0..3).map(|s| append(stream(s), n * 2, ["a", "b"])).collect();
        // The clock goes backwards half of the time.
        store.append(batch, at(1_000 - (n % 2) as i64 * n as i64)).await.unwrap();
    }
    let all = everything(&store).await;
    assert_eq!((all.len(), first_disorder(Position(0), &all)), (420, None));
    let of_one = EventStore::read_stream(&*store, stream(1), 0, 999).await.unwrap();
    assert!(all.iter().filter(|event| event.stream == stream(1)).eq(&of_one));
    // From memory, from the file, from another process that comes later, and without the file.
    std::sync::Arc::try_unwrap(store)
        .unwrap_or_else(|_| panic!("nobody else has it"))
        .close()
        .await;
    let again = test.open("one").await;
    assert_eq!(everything(&again).await, all);
    assert_eq!(EventStore::read_stream(&*again, stream(1), 0, 999).await.unwrap(), of_one);
    for after in [0, 1, 5, 63, 64, 65, 100, 139] {
        let found = EventStore::read_stream(&*again, stream(1), after, 7).await.unwrap();
        assert_eq!(found, of_one[after as usize..].iter().take(7).cloned().collect::<Vec<_>>());
    }
    assert_eq!(everything(&*test.open("two").await).await, all);
    drop(again);
    std::fs::remove_file(test.dir("one").root.join("positions.db")).unwrap();
    assert_eq!(everything(&*test.open("one").await).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_backup_that_is_put_back_is_noticed_and_counted_anew() {
    let mut test = TestStore::on(hakken_tests::eventstoredb::Double::start());
    let store = test.open("one").await;
    store.append(vec![append(stream(1), 0, ["a", "b"])], at(0)).await.unwrap();
    let kept = test.double().len();
    store.append(vec![append(stream(2), 0, ["c", "d", "e"])], at(0)).await.unwrap();
    std::sync::Arc::try_unwrap(store)
        .unwrap_or_else(|_| panic!("nobody else has it"))
        .close()
        .await;
    test.double().put_back(kept);
    let store = test.open("one").await;
    assert_eq!(everything(&store).await.len(), 2);
    let answer = store.append(vec![append(stream(3), 0, ["f"])], at(0)).await.unwrap();
    assert_eq!(written(&answer[0])[0].position, Position(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_into_our_streams_is_told_and_not_passed_over() {
    let test = TestStore::new();
    let store = test.open("one").await;
    store.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    let name = format!("{}.{}", namespace(&test), stream(2));
    let theirs = EventData::binary("x", Bytes::new());
    client(&test).append_to_stream(name, &Default::default(), theirs).await.unwrap();
    let refused = EventStore::head(&*store).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Corrupt);
    let words = refused.to_string();
    assert!(words.contains("was not written by this engine"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_belongs_to_one_secret() {
    let test = TestStore::new();
    let (one, two) = (test.open("one").await, test.open("two").await);
    let (first, second) =
        tokio::join!(one.bind_secret(Fingerprint(1)), two.bind_secret(Fingerprint(1)));
    first.unwrap();
    second.unwrap();
    one.bind_secret(Fingerprint(1)).await.unwrap();
    let refused = two.bind_secret(Fingerprint(2)).await;
    assert!(matches!(refused, Err(OpenError::OtherSecret { .. })), "{refused:?}");
    // Another engine may live beside it.
    let other = EventStoreDb::open(&format!("{}_b", test.url), &test.dir("three")).await.unwrap();
    other.bind_secret(Fingerprint(2)).await.unwrap();
    one.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    assert!(EventStore::read_all(&other, Position(0), 9).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_too_large_for_the_server_is_refused_with_words() {
    let mut test = TestStore::on(hakken_tests::eventstoredb::Double::start());
    test.double().faults().limit_appends(1024 * 1024);
    let store = test.open("one").await;
    let large = append(stream(1), 0, [vec![b'x'; 2 * 1024 * 1024]]);
    let refused = store.append(vec![large], at(0)).await.unwrap_err();
    assert!(refused.to_string().contains("Maximum Append Size"), "{refused}");
    written(&store.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap()[0]);
}
