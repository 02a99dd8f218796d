//! The faults of the client and the network that the adapter lives with. Where the client itself
//! is at fault, a test beside shows that it is: when that one fails, the fault is gone.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use eventstore::{
    BatchAppendOptions, Client, EventData, ExpectedRevision, ReadAllOptions, StreamPosition,
    SubscribeToAllOptions,
};
use hakken_commands::store::{EventStore, StoreErrorKind};
use hakken_domain::envelope::Position;
use hakken_tests::{
    eventstoredb::{Double, TestStore},
    stores::{append, at, conflict, first_disorder, stream, written},
};
use tokio::time::timeout;

use super::{PATIENCE, everything};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_told_in_time_and_found_again() {
    let mut test = TestStore::on(Double::start());
    let store = test.open("one").await;
    test.double().kill(0);
    let told = timeout(PATIENCE, store.append(vec![append(stream(1), 0, ["a"])], at(0))).await;
    assert_eq!(told.expect("an answer in time").unwrap_err().kind, StoreErrorKind::Unavailable);
    let told = timeout(PATIENCE, EventStore::read_all(&*store, Position(0), 9)).await;
    assert_eq!(told.expect("an answer in time").unwrap_err().kind, StoreErrorKind::Unavailable);
    test.double().start_again(0);
    let answer = store.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    assert_eq!(written(&answer[0])[0].position, Position(1));
}

/// The control: the client alone answers «closed» for ever after one connection that failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_alone_stays_closed_after_one_connection_that_failed() {
    let mut double = Double::start();
    let client = Client::new(double.url().parse().unwrap()).unwrap();
    double.kill(0);
    let options = ReadAllOptions::default();
    client.read_all(&options).await.map(drop).unwrap_err();
    double.start_again(0);
    for _ in 0..5 {
        let told = client.read_all(&options).await.map(drop).unwrap_err();
        assert!(matches!(told, eventstore::Error::ConnectionClosed), "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let another = Client::new(double.url().parse().unwrap()).unwrap();
    another.read_all(&options).await.map(drop).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_too_late_is_not_waited_for() {
    let mut test = TestStore::impatient(Double::start());
    let store = test.open("one").await;
    test.double().faults().answer_late(Duration::from_secs(600));
    let since = Instant::now();
    let told = store.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap_err();
    assert_eq!(told.kind, StoreErrorKind::Unavailable);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    test.double().faults().answer_late(Duration::ZERO);
    // It was written all the same, and the stream says so.
    let answer = store.append(vec![append(stream(1), 0, ["b"])], at(0)).await.unwrap();
    assert_eq!(conflict(&answer[0])[0].data, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_answer_is_lost_is_not_made_twice() {
    let mut test = TestStore::on(Double::start());
    let store = test.open("one").await;
    for n in 0..20 {
        test.double().faults().lose_answers(1);
        let asked = append(stream(1), n * 2, ["a", "b"]);
        let told = store.append(vec![asked.clone()], at(0)).await.unwrap_err();
        assert_eq!(told.kind, StoreErrorKind::Unavailable);
        // The same events at the same version are acknowledged again, at their positions, also
        // when others stand behind them by then.
        store.append(vec![append(stream(2), n, ["behind"])], at(0)).await.unwrap();
        let answer = store.append(vec![asked.clone()], at(0)).await.unwrap();
        let found: Vec<_> = written(&answer[0]).iter().map(|e| (e.id, e.version)).collect();
        let ids = asked.events.iter().map(|event| event.id).zip(n * 2 + 1..);
        assert_eq!(found, ids.collect::<Vec<_>>());
        assert_eq!(written(&answer[0])[0].position, Position(n * 3 + 1));
    }
    let all = everything(&store).await;
    assert_eq!((all.len(), first_disorder(Position(0), &all)), (60, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_ready_is_asked_again_for_reads_and_not_for_appends() {
    let mut test = TestStore::on(Double::start());
    let store = test.open("one").await;
    store.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    test.double().faults().refuse(4);
    assert_eq!(EventStore::read_stream(&*store, stream(1), 0, 9).await.unwrap().len(), 1);
    let mut refused = 0;
    for n in 0..10 {
        test.double().faults().refuse(1);
        let told = store.append(vec![append(stream(2 + n), 0, ["a"])], at(0)).await;
        refused += usize::from(told.is_err_and(|e| e.kind == StoreErrorKind::Unavailable));
    }
    // The task that looks at $all may have taken a fault now and then.
    assert!(refused > 0, "an append that may have been made is not repeated");
    test.double().faults().refuse(0);
    assert_eq!(everything(&store).await.len(), 11 - refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_cut_in_the_middle_is_made_again() {
    let mut test = TestStore::on(Double::start());
    let store = test.open("one").await;
    for n in 0..10 {
        let some = (0..20).map(|n| n.to_string());
        store.append(vec![append(stream(1), n * 20, some)], at(0)).await.unwrap();
    }
    test.double().faults().break_reads(5);
    assert_eq!(EventStore::read_stream(&*store, stream(1), 0, 999).await.unwrap().len(), 200);
    test.double().faults().break_reads(5);
    let all = everything(&store).await;
    assert_eq!((all.len(), first_disorder(Position(0), &all)), (200, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_is_followed_and_one_that_is_gone_is_looked_for() {
    let mut test = TestStore::on(Double::start_cluster(3));
    let store = test.open("one").await;
    for (version, leader) in (0..).zip([0, 1, 2, 0]) {
        test.double().elect(leader);
        let answer = store.append(vec![append(stream(1), version, ["a"])], at(0)).await.unwrap();
        assert_eq!(written(&answer[0])[0].version, version + 1);
        assert_eq!(EventStore::head(&*store).await.unwrap(), Position(version + 1));
    }
    // The node that leads dies, and another one takes over.
    test.double().kill(0);
    test.double().elect(2);
    let mut next = append(stream(1), 4, ["b"]);
    let answer = loop {
        match store.append(vec![next.clone()], at(0)).await {
            Ok(answer) => break answer,
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Unavailable),
        }
        next.expected = 4;
    };
    assert_eq!(written(&answer[0])[0].version, 5);
}

/// Runs one test of this program again, alone in a process of its own, as a child.
fn child(test: &str, url: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads", "1"]);
    command.env("HAKKEN_TEST_CHILD", url).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The control: the client's batch session ends with the first append that the server refuses, and
/// whoever uses it afterwards is told that it is closed. That is why each append is a call of its
/// own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_alone_loses_its_batch_session_with_the_first_refusal() {
    let double = Double::start();
    let client = Client::new(double.url().parse().unwrap()).unwrap();
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    let append = async |stream: &str, expected| {
        let events = vec![EventData::binary("a", Bytes::from_static(b"{}"))];
        session.append_to_stream(stream, expected, events).await
    };
    append("one", ExpectedRevision::NoStream).await.unwrap();
    append("two", ExpectedRevision::NoStream).await.unwrap();
    let refused = append("one", ExpectedRevision::NoStream).await.unwrap_err();
    assert!(!refused.to_string().contains("closed"), "{refused}");
    for _ in 0..3 {
        let closed = append("two", ExpectedRevision::Any).await.unwrap_err();
        assert!(closed.to_string().contains("closed"), "{closed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_refused_takes_no_other_along() {
    let test = TestStore::new();
    let store = test.open("one").await;
    written(&store.append(vec![append(stream(0), 0, ["taken"])], at(0)).await.unwrap()[0]);
    for n in 0..20 {
        let appends = vec![
            append(stream(1), n, ["a"]),
            append(stream(0), 0, ["late"]),
            append(stream(2), n, ["b"]),
        ];
        let answers = store.append(appends, at(0)).await.unwrap();
        assert_eq!(conflict(&answers[1])[0].data, "taken");
        for answer in [&answers[0], &answers[2]] {
            assert_eq!(written(answer)[0].version, n + 1);
        }
    }
    assert_eq!(everything(&store).await.len(), 41);
}

const OF_TLS: &str =
    "store_contract::eventstoredb::faults::a_tls_provider_of_somebody_else_is_told_with_words";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_provider_of_somebody_else_is_told_with_words() {
    // A provider is there for a whole process.
    if let Ok(url) = std::env::var("HAKKEN_TEST_CHILD") {
        rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
        let temp = tempfile::tempdir().unwrap();
        let dir = hakken_adapters::data_dir::DataDir::at(temp.path());
        let opened =
            timeout(PATIENCE, hakken_adapters::eventstoredb::EventStoreDb::open(&url, &dir));
        let refused = opened.await.expect("an answer in time").map(drop).unwrap_err();
        println!("refused: {refused}");
        return;
    }
    let double = Double::start();
    let output = child(OF_TLS, &double.url()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("refused:") && told.contains("installed a TLS provider"), "{told}");
    assert!(output.status.success());
}

const OF_SUBSCRIPTION: &str =
    "store_contract::eventstoredb::faults::the_client_alone_spins_when_a_subscription_ends";

/// Why $all is read and not subscribed to: the subscription of this client does not notice that
/// the server ended it in good order, and blocks its thread for ever.
#[tokio::test]
async fn the_client_alone_spins_when_a_subscription_ends() {
    if let Ok(url) = std::env::var("HAKKEN_TEST_CHILD") {
        let client = Client::new(url.parse().unwrap()).unwrap();
        let options = SubscribeToAllOptions::default().position(StreamPosition::Start);
        let mut subscription = client.subscribe_to_all(&options).await;
        println!("subscribed");
        let until_it_ends = async { while subscription.next().await.is_ok() {} };
        let _ = timeout(Duration::from_secs(3), until_it_ends).await;
        println!("came back");
        return;
    }
    let double = Double::start();
    let mut spinning = child(OF_SUBSCRIPTION, &double.url()).spawn().unwrap();
    // Long enough to have subscribed, and again in case it was not.
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        double.faults().end_subscriptions();
    }
    spinning.kill().unwrap();
    let output = spinning.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("subscribed"), "{told}");
    assert!(!told.contains("came back"), "it came back: subscriptions may be used now");
}
