//! Checkout, refunds and the sweeper: what they do, and that failing and repeating any step of
//! theirs changes nothing in the end.

mod restored;

use std::{sync::Arc, time::Duration};

use hakken_commands::{
    engine::{CommandError, Tenant},
    process::ticket_of,
    store::{EventStore, StoreErrorKind},
};
use hakken_domain::{
    State,
    envelope::StreamId,
    inventory,
    money::Currency,
    names::{CancellationId, OrderId, PaymentId, PaymentMethod, RefundId, ShowId},
    order::{self, OrderStatus, RefundPolicy, RefundState},
    ticket::{Direction, TicketStatus},
};
use hakken_tests::{
    audit::Audit,
    faults::{Fault, FaultyStore},
    world::{Setup, World, asker, hall, name},
};

async fn audit(world: &World) -> Audit {
    world.rest().await;
    let audit = Audit::read(&world.events().await).unwrap_or_else(|wrong| panic!("{wrong}"));
    audit.at_rest().unwrap_or_else(|wrong| panic!("{wrong}"));
    audit
}

async fn ticket_status(world: &World, order: OrderId, item: u16) -> TicketStatus {
    let stream = StreamId::from(ticket_of(order, item));
    let read = world.write.engine().read(Tenant::Any, stream, |state, _| {
        let State::Ticket(ticket) = state else { unreachable!() };
        ticket.status()
    });
    read.await.unwrap()
}

fn cancel(items: &[u16], key: &str) -> order::Command {
    order::Command::Cancel {
        cancellation: CancellationId::derived("test", key),
        items: items.to_vec(),
        refund: RefundPolicy::Full,
        even_if_used: false,
        reason: name("changed plans"),
    }
}

#[tokio::test]
async fn who_pays_gets_tickets_in_the_same_answer() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 50), &[]).await;
    let hold = world.hold(show, "b1", &["A1", "A2", "floor*3"], "h").await.unwrap();
    let order = world.order(show, hold, "b1").await;
    world.pay(order).await.unwrap();
    assert_eq!(world.order_state(order).await.status(), OrderStatus::Confirmed);
    for item in 1..=5 {
        assert_eq!(ticket_status(&world, order, item).await, TicketStatus::Issued);
    }
    let audit = audit(&world).await;
    assert_eq!((audit.sold(), audit.live_tickets(), audit.money()), (5, 5, (25_000, 0)));
}

#[tokio::test]
async fn late_money_seats_the_buyer_again_when_the_seats_are_free() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 50), &[]).await;
    let hold = world.hold(show, "b1", &["A1", "floor*2"], "h").await.unwrap();
    let order = world.order(show, hold, "b1").await;
    world.clock.advance_seconds(3_600);
    world.pay(order).await.unwrap();
    assert_eq!(world.order_state(order).await.status(), OrderStatus::Confirmed);
    assert_eq!(audit(&world).await.live_tickets(), 3);
}

#[tokio::test]
async fn late_money_goes_back_by_itself_when_a_seat_is_gone() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 50), &[]).await;
    let hold = world.hold(show, "b1", &["A1", "A2"], "h").await.unwrap();
    let order = world.order(show, hold, "b1").await;
    world.clock.advance_seconds(3_600);
    world.hold(show, "b2", &["A2"], "rival").await.unwrap();
    world.pay(order).await.unwrap();
    let audit = audit(&world).await;
    assert_eq!(audit.money(), (10_000, 10_000));
    let state = world.order_state(order).await;
    assert_eq!(state.status(), OrderStatus::Unfulfilled);
    assert!(matches!(state.refunds()[0].state, RefundState::Settled { .. }));
    assert_eq!(world.gateway.moved_minor(Currency::JPY), 10_000);
}

#[tokio::test]
async fn an_order_over_two_shows_is_sold_whole_or_not_at_all() {
    let world = World::start();
    let train = world.show("train", hall(2, 10, 0), &["Tokyo", "Nagoya", "Osaka"]).await;
    let concert = world.show("concert", hall(2, 10, 0), &[]).await;
    let ride = world.hold(train, "b1", &["A1"], "ride").await.unwrap();
    let seat = world.hold(concert, "b1", &["A1"], "seat").await.unwrap();
    let line = |show: ShowId, hold| hakken_commands::desk::Line {
        show,
        hold,
        ticket_type: Some(name("adult")),
        tickets: Vec::new(),
    };
    let order = OrderId::derived("test", "both");
    let wanted = hakken_commands::desk::PlaceOrder {
        buyer: name("b1"),
        lines: vec![line(train, ride), line(concert, seat)],
    };
    world.desk().place_order(asker("both"), order, wanted).await.unwrap();
    world.clock.advance_seconds(601);
    world.hold(concert, "b2", &["A1"], "rival").await.unwrap();
    world.pay(order).await.unwrap();
    let audit = audit(&world).await;
    assert_eq!((audit.sold(), audit.money()), (0, (10_000, 10_000)));
    world.hold(train, "b3", &["A1"], "free again").await.unwrap();
}

#[tokio::test]
async fn cancelling_one_ticket_frees_one_seat_and_returns_its_price() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let hold = world.hold(show, "b1", &["A1", "A2"], "h").await.unwrap();
    let order = world.order(show, hold, "b1").await;
    world.pay(order).await.unwrap();
    world.desk().cancel(asker("c"), order, cancel(&[2], "c")).await.unwrap();
    let audit = audit(&world).await;
    assert_eq!((audit.sold(), audit.live_tickets(), audit.money()), (1, 1, (10_000, 5_000)));
    world.hold(show, "b2", &["A2"], "free again").await.unwrap();
    assert_eq!(ticket_status(&world, order, 2).await, TicketStatus::Void);
}

#[tokio::test]
async fn a_used_ticket_is_not_cancelled() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let hold = world.hold(show, "b1", &["A1", "A2"], "h").await.unwrap();
    let order = world.order(show, hold, "b1").await;
    world.pay(order).await.unwrap();
    let code = world.desk().code_of(&asker("x"), ticket_of(order, 1)).await.unwrap();
    let scan = hakken_commands::desk::ScanRequest {
        show,
        gate: World::gate(),
        direction: Direction::Entry,
        code,
    };
    world.desk().scan(asker("scan"), scan).await.unwrap();
    world.desk().cancel(asker("c"), order, cancel(&[], "c")).await.unwrap();
    let audit = audit(&world).await;
    assert_eq!((audit.live_tickets(), audit.money()), (1, (10_000, 5_000)));
    assert_eq!(ticket_status(&world, order, 1).await, TicketStatus::Used);
}

#[tokio::test]
async fn a_chargeback_suspends_and_a_new_payment_reinstates() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let hold = world.hold(show, "b1", &["A1"], "h").await.unwrap();
    let order = world.order(show, hold, "b1").await;
    world.pay(order).await.unwrap();
    let payment: PaymentId = world.order_state(order).await.payments()[0].payment.clone();
    let reverse = order::Command::ReversePayment { payment, reason: name("chargeback") };
    world.ask(order, reverse).await.unwrap();
    world.rest().await;
    let code = world.desk().code_of(&asker("x"), ticket_of(order, 1)).await.unwrap();
    let scan = |key: &'static str| {
        let request = hakken_commands::desk::ScanRequest {
            show,
            gate: World::gate(),
            direction: Direction::Entry,
            code: code.clone(),
        };
        world.desk().scan(asker(key), request)
    };
    assert_eq!(scan("s1").await.unwrap().receipt.events[0].kind, "scan-refused");
    world.pay(order).await.unwrap();
    assert_eq!(scan("s2").await.unwrap().receipt.events[0].kind, "ticket-entered");
    audit(&world).await;
}

#[tokio::test]
async fn a_hold_expires_by_itself() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    world.hold(show, "b1", &["A1"], "h").await.unwrap();
    world.clock.advance_seconds(600);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let events = world.memory.read_stream(StreamId::inventory(show), 0, 100).await.unwrap();
        if events.iter().any(|event| event.kind == "hold-expired") {
            return;
        }
    }
    panic!("the sweeper recorded nothing");
}

#[tokio::test]
async fn a_provider_that_fails_is_asked_again_and_moves_money_once() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let hold = world.hold(show, "b1", &["A1"], "h").await.unwrap();
    let order = world.order(show, hold, "b1").await;
    world.pay(order).await.unwrap();
    world.gateway.fail_next(3);
    let refund = order::Command::RefundMoney {
        refund: RefundId::derived("test", "goodwill"),
        amount_minor: 1_000,
        currency: Currency::JPY,
    };
    world.ask(order, refund).await.unwrap();
    audit(&world).await;
    assert_eq!(world.gateway.moved_minor(Currency::JPY), 1_000);
}

/// A day in the life of an order, in which everything that the processes do is done: paid in
/// time, paid late with the seat free, paid late with the seat gone, cancelled in part and whole,
/// charged back and paid again.
async fn a_day(world: &World) {
    let show = world.show("concert", hall(4, 10, 20), &[]).await;
    let buy = async |buyer: &str, places: &[&str]| {
        let hold = world.hold(show, buyer, places, buyer).await.unwrap();
        world.order(show, hold, buyer).await
    };
    let in_time = buy("in-time", &["A1", "A2", "floor*2"]).await;
    let late = buy("late", &["B1", "B2"]).await;
    let gone = buy("gone", &["C1", "C2"]).await;
    let unpaid = buy("unpaid", &["D1"]).await;
    world.pay(in_time).await.unwrap();
    world.desk().cancel(asker("c0"), unpaid, cancel(&[], "c0")).await.unwrap();
    world.clock.advance_seconds(601);
    world.hold(show, "rival", &["C2"], "rival").await.unwrap();
    world.pay(late).await.unwrap();
    world.pay(gone).await.unwrap();
    world.desk().cancel(asker("c1"), in_time, cancel(&[2, 3], "c1")).await.unwrap();
    world.desk().cancel(asker("c2"), in_time, cancel(&[], "c2")).await.unwrap();
    let payment = world.order_state(late).await.payments()[0].payment.clone();
    let reverse = order::Command::ReversePayment { payment, reason: name("chargeback") };
    world.ask(late, reverse).await.unwrap();
    world.pay(late).await.unwrap();
}

#[tokio::test]
async fn the_day_ends_well() {
    let world = World::start();
    a_day(&world).await;
    let audit = audit(&world).await;
    assert_eq!((audit.live_tickets(), audit.sold()), (2, 2));
}

/// The store fails once at every append in turn, in two ways; and the whole process ends there
/// and starts again.
#[tokio::test]
async fn every_step_may_fail_or_be_repeated() {
    let counting = Arc::new(FaultyStore::new(Setup::default().memory, |_| Fault::None));
    let steps = {
        let setup = Setup::default();
        let counting = Arc::new(FaultyStore::new(setup.memory.clone(), |_| Fault::None));
        let world = World::with(Setup { store: Some(counting.clone()), ..setup });
        a_day(&world).await;
        world.rest().await;
        counting.appends()
    };
    drop(counting);
    assert!(steps > 30, "the day has {steps} appends");
    for fault in [Fault::LoseAnswer, Fault::Fail(StoreErrorKind::Unavailable)] {
        for step in 0..steps {
            let setup = Setup::default();
            let store = FaultyStore::new(setup.memory.clone(), move |number| {
                if number == step { fault } else { Fault::None }
            });
            let world = World::with(Setup { store: Some(Arc::new(store)), ..setup });
            a_day(&world).await;
            let audit = audit(&world).await;
            assert_eq!((audit.live_tickets(), audit.sold()), (2, 2), "{fault:?} at step {step}");
        }
    }
}

/// The process dies at every append of the checkout in turn; another takes over.
#[tokio::test]
async fn another_process_goes_on_where_one_died() {
    for dies_at in 0..12 {
        let first = World::start();
        let show = first.show("concert", hall(2, 10, 5), &[]).await;
        let hold = first.hold(show, "b1", &["A1", "A2", "floor*2"], "h").await.unwrap();
        let order = first.order(show, hold, "b1").await;
        let (memory, clock, gateway) =
            (first.memory.clone(), first.clock.clone(), first.gateway.clone());
        first.stop().await;

        let store = FaultyStore::new(memory.clone(), move |number| {
            if number >= dies_at { Fault::Fail(StoreErrorKind::Fatal) } else { Fault::None }
        });
        let dying = World::with(Setup {
            store: Some(Arc::new(store)),
            memory: memory.clone(),
            clock: clock.clone(),
            gateway: gateway.clone(),
            seed: 2,
            ..Setup::default()
        });
        let due = dying.order_state(order).await.due_minor();
        let payment = order::Payment {
            payment: PaymentId::new("p1").unwrap(),
            method: PaymentMethod::new("card").unwrap(),
            amount_minor: due,
        };
        let pay = |world: &World| {
            let desk = world.desk().clone();
            let payments = vec![payment.clone()];
            async move { desk.pay(asker("pay"), order, payments, Currency::JPY, false).await }
        };
        let _ = tokio::time::timeout(Duration::from_millis(300), pay(&dying)).await;
        drop(dying);

        let third = World::with(Setup { memory, clock, gateway, seed: 3, ..Setup::default() });
        pay(&third).await.unwrap();
        let audit = audit(&third).await;
        assert_eq!((audit.live_tickets(), audit.sold()), (4, 4), "died at {dies_at}");
        assert_eq!(audit.money(), (20_000, 0));
    }
}

#[tokio::test]
async fn a_scan_asked_again_is_answered_as_it_was_though_its_key_was_disabled() {
    let world = World::start();
    let show = world.show("concert", hall(2, 10, 0), &[]).await;
    let hold = world.hold(show, "b1", &["A1", "A2"], "h").await.unwrap();
    let order = world.order(show, hold, "b1").await;
    world.pay(order).await.unwrap();
    let scan = async |item: u16, key: &str| {
        let code = world.desk().code_of(&asker("x"), ticket_of(order, item)).await.unwrap();
        let (gate, direction) = (World::gate(), Direction::Entry);
        let request = hakken_commands::desk::ScanRequest { show, gate, direction, code };
        world.desk().scan(asker(key), request).await.unwrap().receipt
    };
    let before = scan(1, "s1").await;
    assert_eq!(before.events[0].kind, "ticket-entered");
    let organizer = hakken_tests::world::organizer_id();
    let rotate = hakken_domain::organizer::Command::RotateCodeKey;
    world.ask(organizer, rotate).await.unwrap();
    let disable = hakken_domain::organizer::Command::DisableCodeKey { code_key: 1 };
    world.ask(organizer, disable).await.unwrap();
    let again = scan(1, "s1").await;
    assert!(again.repeated && again.events == before.events, "{again:?}");
    assert_eq!(scan(2, "s2").await.events[0].kind, "scan-refused");
}

/// The process dies between calling the show off and closing its sales.
#[tokio::test]
async fn a_show_that_is_called_off_is_on_sale_no_more() {
    let first = World::start();
    let show = first.show("concert", hall(2, 10, 0), &[]).await;
    let reason: hakken_domain::names::Reason = name("台風");
    let cancel = hakken_domain::show::Command::CancelShow { reason };
    first.ask(StreamId::show(show), cancel).await.unwrap();
    audit(&first).await;
    let late = first.hold(show, "b1", &["A1"], "h").await.unwrap_err();
    assert_eq!(
        late,
        CommandError::Rejected(inventory::Rejection::SalesEnded.into()),
        "whoever dies in between, another one closes the sales"
    );
}
