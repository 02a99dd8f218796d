//! The write loop: keys, tenants, conflicts, lost answers, bounds, snapshots.

mod alone;
mod bounds;
mod turns;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use hakken_commands::{
    engine::{CommandError, Health, Limits, Tenant},
    store::{EventStore, SideStore, StoreErrorKind},
};
use hakken_domain::{
    Event, Rejection, State,
    envelope::StreamId,
    inventory::{self, HoldView},
    names::{OrganizerId, ShowId},
};
use hakken_tests::{
    faults::{Fault, FaultyStore},
    world::{Setup, World, asker_of, hall, name},
};

fn rejected(rejection: inventory::Rejection) -> CommandError {
    CommandError::Rejected(Rejection::Inventory(rejection))
}

/// Seats in live or confirmed holds by the store's own events; panics if one is given twice.
async fn seats_given(store: &dyn EventStore, show: ShowId) -> Result<BTreeSet<String>, String> {
    let events = store.read_stream(StreamId::inventory(show), 0, usize::MAX).await.unwrap();
    let mut given = BTreeSet::new();
    for event in events {
        match &event.decoded().unwrap().event {
            Event::Inventory(inventory::Event::SeatsHeld(held)) => {
                for seat in &held.places.seats {
                    if !given.insert(seat.to_string()) {
                        return Err(format!("{seat} was given twice"));
                    }
                }
            }
            Event::Inventory(
                inventory::Event::HoldReleased(over) | inventory::Event::HoldExpired(over),
            ) => {
                for seat in &over.places.seats {
                    given.remove(seat.as_str());
                }
            }
            _ => {}
        }
    }
    Ok(given)
}

#[tokio::test]
async fn the_same_key_at_once_does_it_once() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let answers = join_all((0..50).map(|_| world.hold(show, "b1", &["A1", "A2"], "k"))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.is_ok()), "{answers:?}");
    assert_eq!(seats_given(&*world.memory, show).await.unwrap().len(), 2);
    world.clock.advance_seconds(3_600);
    assert_eq!(world.hold(show, "b1", &["A1", "A2"], "k").await, answers[0], "for ever");
}

#[tokio::test]
async fn the_same_key_with_another_request_is_refused() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    world.hold(show, "b1", &["A1"], "k").await.unwrap();
    let mut other = hakken_tests::world::asker("k");
    other.key.as_mut().unwrap().1.0 += 1;
    let command =
        inventory::Command::ReleaseHold { hold: hakken_domain::names::HoldId::derived("x", "y") };
    let answer = world.desk().ask(other, StreamId::inventory(show), command).await;
    assert_eq!(answer.unwrap_err(), CommandError::KeyReused);
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    world.hold(show, "b1", &["A1"], "k1").await.unwrap();
    let taken = rejected(inventory::Rejection::SeatTaken(name("A1")));
    assert_eq!(world.hold(show, "b2", &["A1"], "k2").await, Err(taken));
    world.clock.advance_seconds(600);
    world.hold(show, "b2", &["A1"], "k2").await.expect("the first hold's time has passed");
}

#[tokio::test]
async fn another_organizer_finds_nothing() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let stranger = OrganizerId::derived("test", "stranger");
    let sweep = inventory::Command::Sweep;
    let answer = world.desk().ask(asker_of(stranger, "k"), StreamId::inventory(show), sweep).await;
    assert_eq!(answer.unwrap_err(), CommandError::NotYours);
    let engine = world.write.engine();
    let tenant = Tenant::Of(Some(stranger));
    let seen = engine.read(tenant, StreamId::inventory(show), |_, version| version).await;
    assert_eq!(seen.unwrap_err(), CommandError::NotYours);
}

#[tokio::test]
async fn a_thousand_buyers_for_a_hundred_seats() {
    let world = World::start();
    let show = world.show("concert", hall(5, 20, 0), &[]).await;
    let answers =
        join_all(
            (0..1_000_u32).map(|buyer| {
                let seat = format!(
                    "{}{}",
                    ["A", "B", "C", "D", "E"][buyer as usize % 5],
                    buyer / 5 % 20 + 1
                );
                let world = &world;
                async move {
                    world.hold(show, &format!("b{buyer}"), &[&seat], &format!("k{buyer}")).await
                }
            }),
        )
        .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 100);
    assert_eq!(seats_given(&*world.memory, show).await.unwrap().len(), 100);
}

/// Two processes on one store, fighting for the same seats.
async fn two_processes(ignore_versions: bool) -> Result<usize, String> {
    let first = World::start();
    let show = first.show("concert", hall(5, 20, 0), &[]).await;
    let make = |seed| {
        let fault = if ignore_versions { Fault::IgnoreVersions } else { Fault::None };
        World::with(Setup {
            store: Some(Arc::new(FaultyStore::new(first.memory.clone(), move |_| fault))),
            memory: first.memory.clone(),
            clock: first.clock.clone(),
            seed,
            ..Setup::default()
        })
    };
    let (one, two) = (make(2), make(3));
    let rows = ["A", "B", "C", "D", "E"];
    for row in rows {
        join_all((1..=20).flat_map(|number| [(&one, "p", number), (&two, "q", number)]).map(
            |(world, buyer, number)| async move {
                let seat = format!("{row}{number}");
                match world.hold(show, buyer, &[&seat], &format!("{buyer}{seat}")).await {
                    Ok(_) | Err(CommandError::Rejected(_) | CommandError::Contended { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            },
        ))
        .await;
    }
    seats_given(&*first.memory, show).await.map(|seats| seats.len())
}

#[tokio::test]
async fn two_processes_oversell_nothing() {
    assert_eq!(two_processes(false).await, Ok(100));
}

#[tokio::test]
async fn without_expected_versions_two_processes_would_oversell() {
    let broken = two_processes(true).await;
    assert!(broken.is_err(), "the control must see a seat given twice, saw {broken:?}");
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    let memory = Setup::default().memory;
    let store = Arc::new(FaultyStore::new(memory.clone(), |number| {
        if number % 3 == 2 { Fault::LoseAnswer } else { Fault::None }
    }));
    let world = World::with(Setup { store: Some(store), memory, ..Setup::default() });
    let show = world.show("concert", hall(5, 20, 0), &[]).await;
    for number in 1..=20 {
        world.hold(show, "b", &[&format!("A{number}")], &format!("k{number}")).await.unwrap();
    }
    assert_eq!(seats_given(&*world.memory, show).await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_delays_and_a_dead_one_is_told() {
    let memory = Setup::default().memory;
    let store = Arc::new(FaultyStore::new(memory.clone(), |number| match number {
        6 | 7 => Fault::Fail(StoreErrorKind::Unavailable),
        10.. => Fault::Fail(StoreErrorKind::Unavailable),
        _ => Fault::None,
    }));
    let limits = Limits { attempts: 3, ..Limits::default() };
    let world = World::with(Setup { store: Some(store), memory, limits, ..Setup::default() });
    let show = world.show("concert", hall(5, 20, 0), &[]).await;
    let answers: Vec<_> = {
        let mut answers = Vec::new();
        for number in 1..=6 {
            let seat = format!("A{number}");
            answers.push(world.hold(show, "b", &[&seat], &seat).await);
        }
        answers
    };
    let good = answers.iter().take_while(|answer| answer.is_ok()).count();
    assert!((1..6).contains(&good), "{answers:?}");
    assert!(answers[good..].iter().all(|a| *a == Err(CommandError::Unavailable)), "{answers:?}");
    assert_eq!(seats_given(&*world.memory, show).await.unwrap().len(), good);
}

#[tokio::test]
async fn a_failed_sync_stops_the_loop() {
    let memory = Setup::default().memory;
    let store = Arc::new(FaultyStore::new(memory.clone(), |number| {
        if number >= 6 { Fault::Fail(StoreErrorKind::Fatal) } else { Fault::None }
    }));
    let probe = store.clone();
    let world = World::with(Setup { store: Some(store), memory, ..Setup::default() });
    let show = world.show("concert", hall(5, 20, 0), &[]).await;
    let mut answers = Vec::new();
    for number in 1..=10 {
        let seat = format!("A{number}");
        answers.push(world.hold(show, "b", &[&seat], &seat).await);
    }
    assert_eq!(answers.last(), Some(&Err(CommandError::Unavailable)));
    assert_eq!(*world.write.engine().health().borrow(), Health::Failed);
    assert_eq!(probe.appends(), 7, "nothing is appended after the failure");
}

/// Of twenty who ask at once where so many may wait: how many are told that it is busy.
async fn busy(waiting: usize) -> usize {
    let memory = Setup::default().memory;
    let store = Arc::new(FaultyStore::new(memory.clone(), |n| {
        if n < 5 { Fault::None } else { Fault::Slow(200) }
    }));
    let limits = Limits { waiting, ..Limits::default() };
    let world = World::with(Setup { store: Some(store), memory, limits, ..Setup::default() });
    let show = world.show("concert", hall(5, 20, 0), &[]).await;
    let answers = join_all((1..=20).map(|number| {
        let world = &world;
        async move {
            let seat = format!("B{number}");
            world.hold(show, "b", &[&seat], &seat).await
        }
    }))
    .await;
    let again = world.hold(show, "b", &["C1"], "C1").await;
    assert!(again.is_ok(), "places in the queue come back: {again:?}");
    answers.iter().filter(|answer| **answer == Err(CommandError::Busy)).count()
}

#[tokio::test]
async fn the_surplus_is_told_busy_at_once() {
    assert_eq!(busy(10).await, 10);
    // The control: where the bound is out of reach nobody is told so.
    assert_eq!(busy(1_000).await, 0);
}

#[tokio::test]
async fn snapshots_shorten_the_way_back_and_broken_ones_do_no_harm() {
    let limits = Limits { snapshot_events: 10, snapshot_share: 4_096, ..Limits::default() };
    let setup = Setup { limits: limits.clone(), ..Setup::default() };
    let memory = setup.memory.clone();
    let world = World::with(setup);
    let show = world.show("concert", hall(10, 20, 0), &[]).await;
    for number in 1..=200 {
        let seat = format!("{}{}", char::from(b'A' + (number - 1) / 20), (number - 1) % 20 + 1);
        world.hold(show, "b", &[&seat], &seat).await.unwrap();
    }
    world.stop().await;
    let stream = StreamId::inventory(show);
    let snapshot = memory.load_snapshot(stream).await.unwrap().expect("a snapshot was kept");
    assert!(snapshot.version > 50);

    for broken in [false, true] {
        if broken {
            let mut bytes = snapshot.bytes.to_vec();
            bytes.truncate(bytes.len() / 2);
            let broken =
                hakken_commands::store::Snapshot { bytes: bytes.into(), ..snapshot.clone() };
            memory.save_snapshot(stream, broken).await.unwrap();
        }
        let world = World::with(Setup {
            memory: memory.clone(),
            limits: limits.clone(),
            ..Setup::default()
        });
        let taken = rejected(inventory::Rejection::SeatTaken(name("A1")));
        assert_eq!(world.hold(show, "c", &["A1"], "other").await, Err(taken));
        let hold = world.hold(show, "b", &["A1"], "A1").await.expect("keys are in the snapshot");
        let live = world.write.engine().read(Tenant::Any, stream, move |state, _| {
            let State::Inventory(inventory) = state else { unreachable!() };
            matches!(inventory.hold(hold), Some(HoldView::Live { .. }))
        });
        assert!(live.await.unwrap());
        world.stop().await;
    }
}

#[tokio::test]
async fn a_small_memory_only_costs_time() {
    let limits = Limits { cache_bytes: 20_000, ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() });
    let mut shows = Vec::new();
    for number in 0..20 {
        shows.push(world.show(&format!("show-{number}"), hall(2, 5, 0), &[]).await);
    }
    for seat in ["A1", "A2", "B3"] {
        for show in &shows {
            world.hold(*show, "b", &[seat], seat).await.unwrap();
        }
    }
    for show in shows {
        assert_eq!(seats_given(&*world.memory, show).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn stopping_answers_everybody_who_was_accepted() {
    let memory = Setup::default().memory;
    let store = Arc::new(FaultyStore::new(memory.clone(), |n| {
        if n < 5 { Fault::None } else { Fault::Slow(20) }
    }));
    let world = World::with(Setup { store: Some(store), memory, ..Setup::default() });
    let show = world.show("concert", hall(5, 20, 0), &[]).await;
    let engine = world.write.engine().clone();
    let holds = join_all((1..=20).map(|number| {
        let world = &world;
        async move {
            let seat = format!("B{number}");
            world.hold(show, "b", &[&seat], &seat).await
        }
    }));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        engine.stop().await;
    };
    let (answers, ()) = tokio::join!(holds, stop);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(world.hold(show, "b", &["C1"], "late").await, Err(CommandError::Unavailable));
}

/// Two processes on one store; the second one has the show in memory already.
async fn two_that_know() -> (World, World, ShowId) {
    let first = World::start();
    let show = first.show("concert", hall(2, 10, 0), &[]).await;
    let second = World::with(Setup {
        memory: first.memory.clone(),
        clock: first.clock.clone(),
        gateway: first.gateway.clone(),
        seed: 2,
        ..Setup::default()
    });
    second.hold(show, "b", &["B10"], "second").await.unwrap();
    (first, second, show)
}

#[tokio::test]
async fn nobody_is_refused_for_what_another_process_has_changed() {
    let (first, second, show) = two_that_know().await;
    let hold = first.hold(show, "b", &["A1"], "k1").await.unwrap();
    let order = second.order(show, hold, "b").await;
    let taken = rejected(inventory::Rejection::SeatTaken(name("A1")));
    assert_eq!(second.hold(show, "c", &["A1"], "k2").await, Err(taken));
    let release = inventory::Command::ReleaseHold { hold };
    first.ask(StreamId::inventory(show), release).await.unwrap();
    second.hold(show, "c", &["A1"], "k2").await.expect("it is free again");
    assert_eq!(first.order_state(order).await.due_minor(), 5_000);
}

#[tokio::test]
async fn a_key_is_remembered_by_a_process_that_did_not_see_it() {
    let (first, second, show) = two_that_know().await;
    let hold = first.hold(show, "b", &["A1"], "k1").await;
    first.clock.advance_seconds(700);
    first.hold(show, "c", &["A1"], "rival").await.unwrap();
    assert_eq!(second.hold(show, "b", &["A1"], "k1").await, hold, "the same answer for ever");
}

/// The one that took the money dies at once. The other one has never heard of the hold: it must
/// neither pass over the order nor think that its seat is gone.
#[tokio::test]
async fn another_process_finishes_what_it_has_not_seen_begin() {
    let first = World::start();
    let show = first.show("concert", hall(2, 10, 0), &[]).await;
    let dies = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let dead = dies.clone();
    let store = FaultyStore::new(first.memory.clone(), move |_| {
        match dead.load(std::sync::atomic::Ordering::SeqCst) {
            true => Fault::Fail(StoreErrorKind::Fatal),
            false => Fault::None,
        }
    });
    let mortal = World::with(Setup {
        store: Some(Arc::new(store)),
        memory: first.memory.clone(),
        clock: first.clock.clone(),
        gateway: first.gateway.clone(),
        seed: 2,
        ..Setup::default()
    });
    first.hold(show, "b", &["B10"], "first").await.unwrap();
    let hold = mortal.hold(show, "b", &["A1"], "k").await.unwrap();
    let order = mortal.order(show, hold, "b").await;
    assert_eq!(first.order_state(order).await.due_minor(), 5_000);
    // The payment is the last thing that it writes.
    let payment = hakken_domain::order::Payment {
        payment: name("p1"),
        method: name("card"),
        amount_minor: 5_000,
    };
    let command = hakken_domain::order::Command::CapturePayments {
        payments: vec![payment],
        currency: hakken_domain::money::Currency::JPY,
        partial: false,
    };
    mortal.ask(order, command).await.unwrap();
    dies.store(true, std::sync::atomic::Ordering::SeqCst);
    first.rest().await;
    let status = first.order_state(order).await.status();
    assert_eq!(status, hakken_domain::order::OrderStatus::Confirmed);
}

#[tokio::test]
async fn a_bug_that_ends_the_loop_is_told() {
    let world = World::start();
    let engine = world.write.engine();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let stream = StreamId::inventory(show);
    let bug = engine.read(Tenant::Any, stream, |_, _| -> u64 { panic!("a bug, told to happen") });
    assert_eq!(bug.await, Err(CommandError::Unavailable));
    let mut health = engine.health();
    health.wait_for(|health| *health == Health::Failed).await.unwrap();
    assert_eq!(world.hold(show, "b", &["A1"], "k").await, Err(CommandError::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_is_not_forgotten_for_an_older_reading() {
    older_reading().await.unwrap();
}

/// Two readings of one stream are under way at once, and the older one of them answers first: what
/// is wrong then, if anything.
pub async fn older_reading() -> Result<(), String> {
    let memory = Setup::default().memory;
    // Once both shows are on sale: the hold of A1 (slow), another show's hold (fails slowly), and
    // that again (slow).
    let began = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (has_begun, mut appends) = (began.clone(), 0);
    let store = FaultyStore::new(memory.clone(), move |_| {
        appends += u64::from(has_begun.load(std::sync::atomic::Ordering::Relaxed));
        match appends {
            1 => Fault::Slow(10),
            2 => Fault::FailSlowly(StoreErrorKind::Unavailable, 20),
            3 => Fault::Slow(100),
            _ => Fault::None,
        }
    });
    let slow = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let millis = slow.clone();
    let store = store.with_slow_reads(move || millis.load(std::sync::atomic::Ordering::Relaxed));
    // Each moment counts: no batch waits for anybody.
    let limits = Limits { gathers: false, ..Limits::default() };
    let store = Some(Arc::new(store) as _);
    let world = World::with(Setup { store, memory, limits, ..Setup::default() });
    let first = world.show("first", hall(1, 9, 0), &[]).await;
    let second = world.show("second", hall(1, 9, 0), &[]).await;
    began.store(true, std::sync::atomic::Ordering::Relaxed);
    let at = |millis| tokio::time::sleep(Duration::from_millis(millis));
    let hold = |show, seat: &'static str, key: &'static str| {
        let world = &world;
        async move { world.hold(show, "buyer", &[seat], key).await }
    };
    let later = |millis: u64, show, seat: &'static str, key: &'static str| async move {
        at(millis).await;
        hold(show, seat, key).await
    };
    let slowly = async {
        at(12).await;
        slow.store(15, std::sync::atomic::Ordering::Relaxed);
    };
    let answers = tokio::join!(
        hold(first, "A1", "k1"),
        later(1, first, "A1", "refused"),
        later(2, second, "A1", "other"),
        // Refused, so that it is looked at again what is stored: the first reading.
        later(15, first, "A1", "refused too"),
        later(16, first, "A2", "k2"),
        later(58, first, "A2", "k3"),
        later(62, first, "A2", "k4"),
        later(75, first, "A2", "k5"),
        slowly,
    );
    if answers.0.is_err() {
        return Err(format!("{answers:?}"));
    }
    world.rest().await;
    let given = seats_given(&*world.memory, first).await?;
    if given.len() != 2 {
        return Err(format!("given are {given:?}"));
    }
    // Nobody else writes: whoever is told of newer events has decided on older facts.
    let counters = world.write.engine().counters();
    match counters.conflicts.load(std::sync::atomic::Ordering::Relaxed) {
        0 => Ok(()),
        conflicts => Err(format!("{conflicts} decisions stood on older facts")),
    }
}
