//! Several processes that write one stream: after a conflict they take turns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use hakken_adapters::memory::MemoryStore;
use hakken_commands::{
    engine::{CommandError, Limits, Tenant},
    store::EventStore,
};
use hakken_domain::{
    envelope::StreamId,
    inventory,
    names::{HoldId, ShowId},
};
use hakken_tests::{
    faults::{Fault, FaultyStore},
    sim::mortal::{Death, Life, Mortal},
    world::{Setup, World, hall, name},
};
use tokio::time::timeout;

use super::{rejected, seats_given};

const PATIENCE: Duration = Duration::from_secs(20);

/// A process beside another one, and what it asked its store.
struct Beside {
    world: World,
    life: Arc<Life>,
    reads: Arc<AtomicU64>,
    /// So many of its next turns fail.
    failing: Arc<AtomicUsize>,
}

impl Beside {
    fn counted(&self) -> (u64, u64, u64) {
        let counters = self.world.write.engine().counters();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&counters.conflicts), load(&counters.turns), load(&self.reads))
    }
}

/// Another process on the store of `first`, whose appends meet this.
fn beside(first: &World, seed: u64, limits: Limits, fault: Fault) -> Beside {
    let (reads, failing) = (Arc::<AtomicU64>::default(), Arc::<AtomicUsize>::default());
    let (counted, fails) = (reads.clone(), failing.clone());
    let store = FaultyStore::new(first.memory.clone(), move |_| fault)
        .with_slow_reads(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            0
        })
        .with_turns(move || {
            fails
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
        });
    let life = Arc::<Life>::default();
    let store: Arc<dyn EventStore> = Arc::new(store);
    let world = World::with(Setup {
        store: Some(Arc::new(Mortal::new(store, life.clone()))),
        memory: first.memory.clone(),
        clock: first.clock.clone(),
        gateway: first.gateway.clone(),
        limits,
        seed,
        ..Setup::default()
    });
    Beside { world, life, reads, failing }
}

/// Two processes, of which the second has met a conflict on the show that both sell: by then it has
/// it in memory, and takes turns. `A1`, `A2` and `A3` are held.
async fn contended(limits: Limits, fault: Fault) -> (World, Beside, ShowId) {
    let first = World::start();
    let show = first.show("concert", hall(26, 50, 0), &[]).await;
    let second = beside(&first, 2, limits, fault);
    second.world.hold(show, "b", &["A1"], "k1").await.unwrap();
    first.hold(show, "b", &["A2"], "k2").await.unwrap();
    second.world.hold(show, "b", &["A3"], "k3").await.unwrap();
    assert_eq!(second.counted().0, 1, "it did not know of A2");
    (first, second, show)
}

/// Holds each seat by itself, all at once.
async fn hold_each(
    world: &World,
    show: ShowId,
    seats: &[String],
) -> Vec<Result<HoldId, CommandError>> {
    join_all(seats.iter().map(async |seat| world.hold(show, "b", &[seat], seat).await)).await
}

async fn given(memory: &MemoryStore, show: ShowId) -> usize {
    seats_given(memory, show).await.unwrap().len()
}

#[tokio::test]
async fn after_a_conflict_nothing_is_read_anew_and_none_is_met_again() {
    let (first, second, show) = contended(Limits::default(), Fault::None).await;
    let (conflicts, turns, reads) = second.counted();
    for number in 1..=20 {
        let seat = format!("B{number}");
        first.hold(show, "b", &[&seat], &seat).await.unwrap();
        let seat = format!("C{number}");
        second.world.hold(show, "b", &[&seat], &seat).await.unwrap();
    }
    assert_eq!(second.counted(), (conflicts, turns + 20, reads));
    assert_eq!(given(&first.memory, show).await, 43);
}

#[tokio::test]
async fn processes_that_sell_one_show_at_once_all_get_on() {
    let first = World::start();
    let show = first.show("concert", hall(26, 50, 0), &[]).await;
    let slow = || Limits { attempts: 3, ..Limits::default() };
    let all = [2, 3, 4].map(|seed| beside(&first, seed, slow(), Fault::Slow(2)));
    let answers = join_all(all.iter().enumerate().flat_map(|(at, process)| {
        (0..8).map(move |caller| async move {
            // As many as another process could sell while one of them is told of its conflict.
            let mut told = Vec::new();
            for row in ['A', 'B', 'C', 'D', 'E', 'F'] {
                let seat = format!("{row}{}", 8 * at + caller + 1);
                told.push(process.world.hold(show, "b", &[&seat], &seat).await.map(drop));
            }
            told
        })
    }));
    let answers = timeout(PATIENCE, answers).await.expect("nobody waits for ever").concat();
    assert_eq!(answers, vec![Ok(()); 144]);
    assert_eq!(given(&first.memory, show).await, 144);
    for process in &all {
        let (conflicts, turns, _) = process.counted();
        assert!(conflicts <= 1 && turns > 0, "{conflicts} conflicts, {turns} turns");
    }
}

#[tokio::test]
async fn who_is_alone_again_takes_no_turns_any_more() {
    let (first, second, show) = contended(Limits::default(), Fault::None).await;
    for number in 1..=98 {
        let seat = format!("{}{}", ['B', 'C'][number % 2], number / 2 + 1);
        second.world.hold(show, "b", &[&seat], &seat).await.unwrap();
    }
    let (conflicts, turns, _) = second.counted();
    assert_eq!((conflicts, turns), (1, 64));
    // And takes them again where it is needed.
    first.hold(show, "b", &["Z1"], "z1").await.unwrap();
    second.world.hold(show, "b", &["Z2"], "z2").await.unwrap();
    assert_eq!(second.counted().0, 2);
    assert!(second.counted().1 > turns);
}

#[tokio::test]
async fn whatever_is_answered_in_a_turn_is_as_fresh_as_a_read() {
    let (first, second, show) = contended(Limits::default(), Fault::None).await;
    let (_, _, reads) = second.counted();
    let hold = first.hold(show, "b", &["B1"], "held").await.unwrap();
    let taken = rejected(inventory::Rejection::SeatTaken(name("B1")));
    assert_eq!(second.world.hold(show, "c", &["B1"], "late").await, Err(taken));
    let stream = StreamId::inventory(show);
    first.ask(stream, inventory::Command::ReleaseHold { hold }).await.unwrap();
    let version = second.world.write.engine().read(Tenant::Any, stream, |_, version| version);
    let events = first.memory.read_stream(stream, 0, usize::MAX).await.unwrap();
    assert_eq!(version.await, Ok(events.len() as u64));
    assert_eq!(second.counted().2, reads, "nothing was read for that");
    // Of a key that another process was told.
    let hold = first.hold(show, "b", &["B2"], "known").await;
    assert_eq!(second.world.hold(show, "b", &["B2"], "known").await, hold);
}

#[tokio::test]
async fn other_streams_are_written_in_the_same_turn() {
    let (first, second, show) = contended(Limits::default(), Fault::Slow(5)).await;
    let other = second.world.show("other", hall(1, 9, 0), &[]).await;
    let (_, turns, _) = second.counted();
    let (one, two) = tokio::join!(
        second.world.hold(show, "b", &["B1"], "b1"),
        second.world.hold(other, "b", &["A1"], "other"),
    );
    assert!(one.is_ok() && two.is_ok(), "{one:?}, {two:?}");
    assert_eq!(given(&first.memory, other).await, 1);
    assert_eq!(second.counted().1, turns + 1);
}

#[tokio::test]
async fn a_turn_that_fails_is_asked_for_again_a_bounded_number_of_times() {
    let limits = Limits { attempts: 3, ..Limits::default() };
    let (first, second, show) = contended(limits, Fault::None).await;
    second.failing.store(2, Ordering::Relaxed);
    second.world.hold(show, "b", &["B1"], "b1").await.expect("the third one comes");
    second.failing.store(3, Ordering::Relaxed);
    let told = second.world.hold(show, "b", &["B2"], "b2").await;
    assert_eq!(told, Err(CommandError::Unavailable));
    second.world.hold(show, "b", &["B3"], "b3").await.unwrap();
    assert_eq!(given(&first.memory, show).await, 5);
}

#[tokio::test]
async fn a_stream_of_which_too_much_is_newer_is_read() {
    let (first, second, show) = contended(Limits::default(), Fault::None).await;
    let (_, _, reads) = second.counted();
    let seats: Vec<String> = ('B'..='Y')
        .flat_map(|row| (1..=50).map(move |number| format!("{row}{number}")))
        .take(1_100)
        .collect();
    let holds = hold_each(&first, show, &seats).await;
    assert!(holds.iter().all(Result::is_ok));
    second.world.hold(show, "b", &["Z1"], "z1").await.unwrap();
    let (conflicts, _, read) = second.counted();
    assert_eq!(conflicts, 1);
    assert!(read > reads);
    assert_eq!(given(&first.memory, show).await, 1_104);
}

#[tokio::test]
async fn a_process_that_dies_in_its_turn_holds_up_nobody() {
    for (death, is_written) in [(Death::Before, false), (Death::After, true)] {
        let (first, second, show) = contended(Limits::default(), Fault::Slow(5)).await;
        second.life.die_at_append(1, death);
        let held = second.world.hold(show, "b", &["B1"], "b1");
        let waited = second.life.unless_dead(held).await;
        assert_eq!(waited, None, "it died of {death:?}");
        assert_eq!(second.life.died().map(|(point, _)| point.port), Some("append"));
        let held = first.hold(show, "c", &["B1"], "c1");
        let held = timeout(PATIENCE, held).await.expect("others go on");
        assert_eq!(held.is_err(), is_written, "{death:?}");
    }
}

#[tokio::test]
async fn a_process_that_dies_before_it_appends_in_its_turn_holds_up_nobody() {
    let (first, second, show) = contended(Limits::default(), Fault::None).await;
    let turn = first.memory.turn(Vec::new()).expect("it gives turns").await.unwrap();
    let held = second.world.hold(show, "b", &["B1"], "b1");
    tokio::select! {
        biased;
        _ = held => panic!("it is not its turn"),
        () = tokio::time::sleep(Duration::from_millis(50)) => second.life.kill(),
    }
    drop(turn);
    let held = first.hold(show, "c", &["B1"], "c1");
    timeout(PATIENCE, held).await.expect("others go on").expect("nothing was written");
}

#[tokio::test]
async fn stopping_answers_those_who_wait_for_a_turn() {
    let (first, second, show) = contended(Limits::default(), Fault::Slow(20)).await;
    let turn = first.memory.turn(Vec::new()).expect("it gives turns").await.unwrap();
    let engine = second.world.write.engine().clone();
    let holds = join_all((1..=20).map(|number| {
        let world = &second.world;
        async move {
            let seat = format!("B{number}");
            world.hold(show, "b", &[&seat], &seat).await
        }
    }));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let others = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(turn);
        };
        tokio::join!(engine.stop(), others);
    };
    let both = async { tokio::join!(holds, stop) };
    let (answers, ()) = timeout(PATIENCE, both).await.expect("it stops");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(given(&first.memory, show).await, 23);
    let late = second.world.hold(show, "b", &["C1"], "late").await;
    assert_eq!(late, Err(CommandError::Unavailable));
}

#[tokio::test]
async fn a_turn_has_no_more_than_a_batch_and_the_rest_has_the_next() {
    let limits = Limits { batch_events: 4, ..Limits::default() };
    let (first, second, show) = contended(limits, Fault::None).await;
    let (_, turns, _) = second.counted();
    let seats: Vec<String> = (1..=20).map(|number| format!("B{number}")).collect();
    let holds = hold_each(&second.world, show, &seats);
    let answers = timeout(PATIENCE, holds).await.expect("all are decided");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(given(&first.memory, show).await, 23);
    assert!(second.counted().1 >= turns + 5);
}
