//! Several processes on one store, and a server that comes and goes under them.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use hakken_adapters::eventstoredb::EventStoreDb;
use hakken_commands::store::{Appended, EventStore};
use hakken_domain::{envelope::Position, names::EventId};
use hakken_tests::{
    eventstoredb::{Double, TestStore},
    stores::{append, at, first_disorder, stream},
};
use tokio::{sync::watch, time::timeout};

use super::{Events, PATIENCE, append_surely, everything};

async fn follow_until(store: Arc<EventStoreDb>, until: watch::Receiver<Option<u64>>) -> Events {
    let mut seen = Events::new();
    let mut after = Position(0);
    let is_over = |after: Position| until.borrow().is_some_and(|until| after.0 >= until);
    while !is_over(after) {
        let mut feed = EventStore::follow(&*store, after);
        while let Ok(Some(Ok(batch))) = timeout(Duration::from_millis(100), feed.next()).await {
            after = batch.last().unwrap().position;
            seen.extend(batch);
        }
    }
    seen
}

/// Many write through three stores, as three processes would, while `meanwhile` happens. All that
/// was acknowledged must be there once, in one order, for every reader and every follower.
async fn write_through_three<F: Future<Output = TestStore>>(
    test: TestStore,
    writers: u64,
    each: u64,
    meanwhile: impl FnOnce(TestStore, Arc<AtomicUsize>) -> F,
) {
    let stores = [test.open("one").await, test.open("two").await, test.open("three").await];
    let (over, until) = watch::channel(None);
    let followers: Vec<_> = stores
        .iter()
        .map(|store| tokio::spawn(follow_until(store.clone(), until.clone())))
        .collect();
    let done = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, done) = (stores[writer as usize % 3].clone(), done.clone());
            tokio::spawn(async move {
                let mut told = Vec::<EventId>::new();
                for n in 0..each {
                    let append = append(stream((writer + n) % 7), 0, ["a"]);
                    told.push(append_surely(&store, append).await);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                told
            })
        })
        .collect();
    let test = meanwhile(test, done).await;
    let mut told = HashSet::new();
    for task in tasks {
        told.extend(timeout(PATIENCE * 4, task).await.expect("writers go on").unwrap());
    }
    let all = everything(&stores[0]).await;
    assert_eq!(first_disorder(Position(0), &all), None);
    let ids: HashSet<EventId> = all.iter().map(|event| event.id).collect();
    assert_eq!((all.len() as u64, ids), (writers * each, told));
    over.send_replace(Some(all.len() as u64));
    for follower in followers {
        let seen = timeout(PATIENCE, follower).await.expect("followers go on").unwrap();
        assert!(seen == all, "a follower saw {} of {}", seen.len(), all.len());
    }
    drop(test);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_writers_through_three_processes_make_one_order() {
    write_through_three(TestStore::new(), 30, 4, async |test, _| test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_loses_nothing_that_was_acknowledged() {
    let test = TestStore::on(Double::start());
    write_through_three(test, 12, 12, async |mut test, done| {
        for part in [30, 70, 110] {
            while done.load(Ordering::Relaxed) < part {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            test.double().kill(0);
            tokio::time::sleep(Duration::from_millis(50)).await;
            test.double().start_again(0);
        }
        test
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_changes_and_dies_loses_nothing_that_was_acknowledged() {
    let test = TestStore::on(Double::start_cluster(3));
    write_through_three(test, 12, 12, async |mut test, done| {
        for (part, leader) in [(20, 1), (50, 2), (90, 0)] {
            while done.load(Ordering::Relaxed) < part {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // Once the old leader lives on as a follower, twice it is gone.
            let old = (leader + 2) % 3;
            if leader != 1 {
                test.double().kill(old);
            }
            test.double().elect(leader);
            if leader == 2 {
                tokio::time::sleep(Duration::from_millis(300)).await;
                test.double().start_again(old);
            }
        }
        test
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_make_one_time_that_all_see() {
    let test = TestStore::new();
    let stores = [test.open("one").await, test.open("two").await];
    let writers = stores.iter().zip([1_000_i64, -1_000]).map(|(store, clock)| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..40_u64 {
                let own = stream(clock.unsigned_abs() + n + u64::from(clock > 0) * 5_000);
                let now = at(clock + n as i64);
                let answer = store.append(vec![append(own, 0, ["a"])], now).await.unwrap();
                let Appended::Written(events) = &answer[0] else { panic!("nobody else writes it") };
                assert!(events[0].recorded_at >= now);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let all = everything(&stores[0]).await;
    assert_eq!((all.len(), first_disorder(Position(0), &all)), (80, None));
    assert_eq!(everything(&stores[1]).await, all);
    assert_eq!(all.last().unwrap().recorded_at, at(1_039));
    for event in all {
        let of_stream = EventStore::read_stream(&*stores[1], event.stream, 0, 9).await.unwrap();
        assert_eq!(of_stream, [event]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_is_told_what_another_process_appends() {
    let test = TestStore::new();
    let (writer, reader) = (test.open("one").await, test.open("two").await);
    let mut feed = EventStore::follow(&*reader, Position(0));
    for n in 0..10 {
        append_surely(&writer, append(stream(n), 0, ["a"])).await;
        let batch = timeout(PATIENCE, feed.next()).await.expect("it is found").unwrap().unwrap();
        assert_eq!(batch[0].position, Position(n + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_finds_the_store_whose_beginning_nobody_noted() {
    let test = TestStore::new();
    // As a process leaves it that dies between the first event and the second.
    let (address, namespace) = test.url.rsplit_once("streams=").unwrap();
    let address = address.trim_end_matches(['?', '&']);
    let client = eventstore::Client::new(address.parse().unwrap()).unwrap();
    let created =
        eventstore::EventData::json("store-created", &serde_json::json!({ "format": 1 })).unwrap();
    let name = format!("{namespace}.store");
    client.append_to_stream(name, &Default::default(), created).await.unwrap();
    let stores = futures_util::future::join_all(["one", "two", "three"].map(|p| test.open(p)));
    for (n, store) in stores.await.iter().enumerate() {
        append_surely(store, append(stream(n as u64), 0, ["a"])).await;
        assert_eq!(everything(store).await.len(), n + 1);
    }
}
