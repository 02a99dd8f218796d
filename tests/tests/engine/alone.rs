//! The write loop of a process that is the only writer of its store: what lies ready, glances, and
//! what must not be built upon them.

use std::{sync::Arc, time::Duration};

use hakken_commands::{
    desk::{DeskError, Line, PlaceOrder},
    engine::{CommandError, Health, Limits, Receipt, Tenant},
    store::StoreErrorKind,
};
use hakken_domain::{
    envelope::StreamId,
    names::{HoldId, OrderId, OrganizerId, ShowId},
    show,
};
use hakken_tests::{
    faults::{Fault, FaultyStore},
    world::{Setup, World, asker, hall, name, open_rules},
};

/// A process that writes alone, whose appends take long, and a show in it.
async fn slow_and_alone() -> (World, ShowId) {
    let memory = Setup::default().memory;
    let store =
        FaultyStore::new(
            memory.clone(),
            |number| {
                if number < 5 { Fault::None } else { Fault::Slow(100) }
            },
        );
    let store = Arc::new(store.claiming_sole_writer());
    let world = World::with(Setup { store: Some(store), memory, ..Setup::default() });
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    (world, show)
}

/// Nothing was asked of the loop: its answer would not have been there at once.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    futures_util::FutureExt::now_or_never(future)
}

#[tokio::test]
async fn what_lies_ready_to_be_seen_is_never_older_than_an_answer() {
    let (world, show) = slow_and_alone().await;
    let (engine, stream) = (world.write.engine(), StreamId::show(show));
    let version = || engine.read(Tenant::Any, stream, |_, version| version);
    let before = version().await.unwrap();
    assert_eq!(at_once(version()), Some(Ok(before)), "it lies ready");
    let stranger = Tenant::Of(Some(OrganizerId::derived("test", "stranger")));
    let seen = engine.read(stranger, stream, |_, version| version);
    assert_eq!(at_once(seen), Some(Err(CommandError::NotYours)));

    let withdraw = show::Command::WithdrawTicketType { ticket_type: name("adult") };
    let (withdrawn, seen) = tokio::join!(world.ask(stream, withdraw), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(at_once(version()), None, "it is being changed");
        version().await
    });
    withdrawn.unwrap();
    assert_eq!(version().await, Ok(before + 1));
    assert_eq!(seen, Ok(before + 1), "whoever asks meanwhile waits for what is durable");
    assert_eq!(at_once(version()), Some(Ok(before + 1)), "it lies ready again");
    engine.stop().await;
    assert_eq!(version().await, Err(CommandError::Unavailable));
}

#[tokio::test]
async fn a_glance_waits_for_nobody_and_a_look_for_what_is_durable() {
    let (world, show) = slow_and_alone().await;
    let (engine, stream) = (world.write.engine(), StreamId::inventory(show));
    let held = world.hold(show, "b", &["A1"], "k");
    let looks = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let glance = engine.glance(Tenant::Any, stream, |_, version| version).await;
        let head = world.head().await;
        let look = engine.read(Tenant::Any, stream, |_, version| version).await;
        (glance, head, look, world.head().await)
    };
    let (held, (glance, before, look, after)) = tokio::join!(held, looks);
    held.unwrap();
    assert_eq!((glance, look), (Ok(2), Ok(2)));
    assert_eq!(after.0, before.0 + 1, "the hold was seen before it was durable");
}

#[tokio::test]
async fn an_order_for_a_hold_that_others_hide_behind_waits_for_its_own_answer_alone() {
    let (world, show) = slow_and_alone().await;
    let hold = world.hold(show, "b", &["A1"], "k").await.unwrap();
    let others = world.hold(show, "c", &["A2"], "other");
    let order = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.order(show, hold, "b").await
    };
    let (other, order) = tokio::join!(others, order);
    other.unwrap();
    assert_eq!(world.order_state(order).await.due_minor(), 5_000);
    let unknown = world.desk().place_order(
        asker("nothing"),
        OrderId::derived("test", "nothing"),
        PlaceOrder {
            buyer: name("b"),
            lines: vec![Line {
                show,
                hold: HoldId::derived("x", "y"),
                ticket_type: Some(name("adult")),
                tickets: Vec::new(),
            }],
        },
    );
    let refused = unknown.await.unwrap_err();
    assert!(format!("{refused:?}").contains("HoldUnknown"), "{refused:?}");
}

/// Somebody orders what he holds, or thinks that he holds.
async fn order(world: &World, show: ShowId, hold: HoldId) -> Result<Receipt, DeskError> {
    let ticket_type = Some(name("adult"));
    let wanted = PlaceOrder {
        buyer: name("b"),
        lines: vec![Line { show, hold, ticket_type, tickets: Vec::new() }],
    };
    let order = OrderId::derived("test", "order");
    world.desk().place_order(asker("order"), order, wanted).await
}

async fn orders(world: &World) -> usize {
    world.events().await.iter().filter(|event| event.kind == "order-placed").count()
}

#[tokio::test(start_paused = true)]
async fn an_order_never_stands_on_a_hold_that_failed() {
    let memory = Setup::default().memory;
    let failing = Fault::FailSlowly(StoreErrorKind::Unavailable, 100);
    let plan = move |number| if number == 5 { failing } else { Fault::None };
    let store = Arc::new(FaultyStore::new(memory.clone(), plan).claiming_sole_writer());
    let limits = Limits { attempts: 1, ..Limits::default() };
    let world = World::with(Setup { store: Some(store), memory, limits, ..Setup::default() });
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let late = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        order(&world, show, HoldId::derived(&show.to_string(), "k")).await
    };
    let (held, ordered) = tokio::join!(world.hold(show, "b", &["A1"], "k"), late);
    assert_eq!(held, Err(CommandError::Unavailable));
    // It was seen when it was asked for, and may not be durable.
    assert_eq!(ordered.unwrap_err(), DeskError::Command(CommandError::Unavailable));
    assert_eq!(orders(&world).await, 0);
    assert_eq!(*world.write.engine().health().borrow(), Health::Failed, "nothing may follow it");
}

#[tokio::test(start_paused = true)]
async fn a_failed_append_that_nobody_has_glanced_at_is_tried_again() {
    let memory = Setup::default().memory;
    let failing = Fault::FailSlowly(StoreErrorKind::Unavailable, 100);
    let plan = move |number| if number == 5 { failing } else { Fault::None };
    let store = Arc::new(FaultyStore::new(memory.clone(), plan).claiming_sole_writer());
    let world = World::with(Setup { store: Some(store), memory, ..Setup::default() });
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let hold = world.hold(show, "b", &["A1"], "k").await.unwrap();
    order(&world, show, hold).await.unwrap();
    assert_eq!(*world.write.engine().health().borrow(), Health::Working);
}

#[tokio::test(start_paused = true)]
async fn an_order_never_stands_on_a_stream_that_was_taken_as_empty() {
    let before = World::start();
    let show = before.show("concert", hall(2, 10, 0), &[]).await;
    before.hold(show, "rival", &["A1"], "rival").await.unwrap();
    let memory = before.memory.clone();
    before.stop().await;
    // A process that has just started is told to open the sales once more.
    let store = FaultyStore::new(memory.clone(), |_| Fault::Slow(100));
    let store = Arc::new(store.claiming_sole_writer());
    let world = World::with(Setup { store: Some(store), memory, ..Setup::default() });
    let later = |millis| tokio::time::sleep(Duration::from_millis(millis));
    let hold = async {
        later(10).await;
        world.hold(show, "b", &["A1"], "k").await
    };
    let late = async {
        later(20).await;
        order(&world, show, HoldId::derived(&show.to_string(), "k")).await
    };
    let opened = world.desk().open_sales(asker("again"), show, open_rules());
    let (opened, held, ordered) = tokio::join!(opened, hold, late);
    assert!(opened.unwrap().events.is_empty(), "they are open already");
    assert!(matches!(held, Err(CommandError::Rejected(_))), "{held:?}");
    let words = format!("{:?}", ordered.unwrap_err());
    assert!(words.contains("HoldUnknown"), "{words}");
    assert_eq!(orders(&world).await, 0);
}
