//! Engines that sell one show through three processes: EventStoreDB has no lock that would make
//! them wait for each other, and still none of them starves.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use eventstore::Client;
use futures_util::future::join_all;
use hakken_commands::{
    engine::{CommandError, Tenant},
    store::{Appended, EventStore},
};
use hakken_domain::{
    envelope::{Position, StreamId},
    names::ShowId,
};
use hakken_tests::{
    eventstoredb::{Double, TestStore},
    faults::{Fault, FaultyStore},
    stores::{append, at, first_disorder, stream},
    world::{Setup, World, hall},
};
use tokio::time::timeout;

use super::{PATIENCE, append_surely, everything};

const PROCESSES: usize = 3;
const CALLERS: usize = 8;
/// Holds of all processes, after which nobody asks any more.
const HOLDS: usize = 1_200;

/// Seats of a row, which is one caller's own.
const ROW: u32 = 140;
/// How many milliseconds longer all but the first process need to read a stream.
const LATE: u64 = 10;

/// What three processes sold of one show, each by itself.
struct Sales {
    sold: Vec<usize>,
    /// Holds that were given up because others came in between too often.
    contended: usize,
}

/// Whether everybody had a fifth of an even part at least.
fn is_fair(sold: &[usize]) -> bool {
    sold.iter().all(|sold| *sold >= HOLDS / PROCESSES / 5)
}

/// Sells one show through three processes at once, of which only the first reads fast: alone among
/// themselves, it would come through nearly always.
async fn sell(test: TestStore, with_turns: bool) -> Sales {
    let mut worlds = Vec::new();
    for process in 0..PROCESSES as u64 {
        let store: Arc<dyn EventStore> = test.open(&process.to_string()).await;
        let late = if process == 0 { 0 } else { LATE };
        let store = FaultyStore::new(store, |_| Fault::None).with_slow_reads(move || late);
        let store = if with_turns { store } else { store.without_turns() };
        let (store, seed): (Option<Arc<dyn EventStore>>, _) = (Some(Arc::new(store)), process + 1);
        worlds.push(World::with(Setup { store, seed, ..Setup::default() }));
    }
    let show = worlds[0].show("concert", hall(26, ROW, 0), &[]).await;
    let left = AtomicUsize::new(HOLDS);
    let told = join_all(worlds.iter().enumerate().map(|(at, world)| {
        let left = &left;
        join_all((0..CALLERS).map(move |caller| call(world, show, at * CALLERS + caller, left)))
    }));
    let told = timeout(PATIENCE * 2, told).await.expect("nobody waits for ever");
    let sold: Vec<usize> =
        told.iter().map(|told| told.iter().map(|(sold, _)| sold).sum()).collect();
    let contended = told.iter().flatten().map(|(_, contended)| contended).sum();
    assert_eq!(held(&worlds[0], show).await, sold.iter().sum::<usize>(), "all was told");
    Sales { sold, contended }
}

/// One caller, who holds a seat of a row of theirs after the other, as long as any hold is left:
/// how many it got, and how often it was told that others came in between.
async fn call(world: &World, show: ShowId, caller: usize, left: &AtomicUsize) -> (usize, usize) {
    let (mut sold, mut contended) = (0, 0);
    let row = char::from(b'A' + u8::try_from(caller).expect("few callers"));
    for number in 1..=ROW {
        let take = |left: usize| left.checked_sub(1);
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            break;
        }
        let seat = format!("{row}{number}");
        match world.hold(show, "b", &[&seat], &seat).await {
            Ok(_) => sold += 1,
            Err(CommandError::Contended { .. }) => contended += 1,
            Err(error) => panic!("{seat}: {error}"),
        }
    }
    (sold, contended)
}

/// Holds of a show: the first event of its stream opens the sales, each other one is a hold.
async fn held(world: &World, show: ShowId) -> usize {
    let stream = StreamId::inventory(show);
    let version = world.write.engine().read(Tenant::Any, stream, |_, version| version);
    version.await.expect("it can be read") as usize - 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_that_sell_one_show_all_get_on() {
    let Sales { sold, contended } = sell(TestStore::new(), true).await;
    println!("sold {sold:?}, given up {contended}");
    assert_eq!(contended, 0);
    assert!(is_fair(&sold), "{sold:?}");
}

/// The negative control: nobody is told that others want to come through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_manners_those_who_read_slowly_starve() {
    let double = Double::start();
    double.faults().deny("-turns");
    let Sales { sold, contended } = sell(TestStore::on(double), false).await;
    println!("sold {sold:?}, given up {contended}");
    assert!(!is_fair(&sold), "{sold:?}");
}

/// Who may not say that it met a conflict sells all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_may_not_ask_others_goes_on() {
    let double = Double::start();
    double.faults().deny("-turns");
    let test = TestStore::on(double);
    let stores = [test.open("one").await, test.open("two").await];
    for n in 0..20_u64 {
        append_surely(&stores[n as usize % 2], append(stream(1), 0, ["a"])).await;
    }
    let all = everything(&stores[0]).await;
    assert_eq!((all.len(), first_disorder(Position(0), &all)), (20, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_processes_ask_each_other_is_no_event_of_the_engine() {
    let test = TestStore::new();
    let (one, two) = (test.open("one").await, test.open("two").await);
    one.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    let answer = two.append(vec![append(stream(1), 0, ["b"])], at(0)).await.unwrap();
    assert!(matches!(&answer[0], Appended::Conflict { newer } if newer.len() == 1));
    one.append(vec![append(stream(1), 1, ["c"])], at(0)).await.unwrap();
    // It was asked, and stands in no engine's way, nor in that of one that counts anew.
    let (address, namespace) = test.url.rsplit_once("streams=").unwrap();
    let client = Client::new(address.trim_end_matches(['?', '&']).parse().unwrap()).unwrap();
    let mut asked =
        client.read_stream(format!("{namespace}-turns"), &Default::default()).await.unwrap();
    let asked = asked.next().await.unwrap().expect("it met a conflict");
    assert_eq!(asked.get_original_event().event_type, "turn-wanted");
    let three = test.open("three").await;
    for store in [&one, &two, &three] {
        let all = everything(store).await;
        assert_eq!((all.len(), first_disorder(Position(0), &all)), (2, None));
    }
}
