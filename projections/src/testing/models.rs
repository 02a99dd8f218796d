//! What the engine and the read models must do over every row store.

use std::time::Duration;

use hakken_domain::{
    envelope::{Position, StreamId},
    names::OrganizerId,
    ticket,
};

use super::{Bench, PATIENCE, Store, hall};
use crate::{
    ALL, BuildPhase, PageRequest, RunState,
    models::{audit_log::AuditFilter, seat_availability::SeatStatus, tickets::TicketStatus},
    rows::{Key, Purpose, Query, Row, Table, TableChanges, Value},
};

pub(super) async fn lived(store: Store) -> Bench {
    let bench = Bench::start(store).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    bench
}

pub(super) async fn rebuild_all_and_verify(bench: &Bench) {
    for projection in ALL {
        let verified = bench.models.verify(projection.name).await.expect("verified");
        assert!(verified.equal(), "{}: {:?}", projection.name, verified.comparison);
        let rebuilt = bench.models.rebuild(projection.name).await.expect("rebuilt");
        assert!(rebuilt.equal(), "{}: {:?}", projection.name, rebuilt.comparison);
        assert_eq!(rebuilt.position, bench.feed.last());
    }
}

/// A rebuilt read model is the live one, and the live one goes on from there.
pub async fn rebuilt_is_live(store: Store) {
    let bench = lived(store).await;
    rebuild_all_and_verify(&bench).await;
    bench.feed.organizer(hall::organizer("one"));
    bench.feed.held("concert", "later", hall::seats(&["B5"]));
    bench.caught_up().await;
    rebuild_all_and_verify(&bench).await;
    let mut builds = bench.store.rows.builds().await.expect("builds");
    for _ in 0..1_000 {
        if builds.len() == 2 * ALL.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        builds = bench.store.rows.builds().await.expect("builds");
    }
    let kept = builds.iter().filter(|build| build.purpose == Purpose::Retired).count();
    assert_eq!((builds.len(), kept), (2 * ALL.len(), ALL.len()), "of each one former: {builds:?}");
}

/// However the events are cut into batches, the rows are the same.
pub async fn batches_do_not_matter(store: Store) {
    let whole = Bench::start(Store::in_memory()).await;
    whole.feed.whole_life();
    let bench = Bench::start(store).await;
    for event in whole.feed.events(Position(0), usize::MAX) {
        bench.feed.repeat(&event);
        let caught_up = bench.models.wait_for_all(event.position, PATIENCE).await;
        caught_up.expect("caught up");
    }
    rebuild_all_and_verify(&bench).await;
}

/// Every event counts once, though every batch is delivered twice.
pub async fn delivering_twice_changes_nothing(store: Store) {
    let feed = super::MemoryFeed::new();
    feed.stutter();
    let bench = Bench::start_with(store, feed).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    bench.feed.organizer(hall::organizer("one"));
    bench.feed.held("concert", "later", hall::seats(&["B5"]));
    bench.caught_up().await;
    rebuild_all_and_verify(&bench).await;
}

/// After a crash every projection goes on where it was.
pub async fn a_crash_loses_nothing(store: Store) {
    let bench = lived(store).await;
    let before = bench.served("orders").await;
    let bench = bench.crash().await;
    assert_eq!(bench.served("orders").await, before);
    bench.feed.organizer(hall::organizer("one"));
    bench.feed.held("concert", "later", hall::seats(&["B5"]));
    bench.caught_up().await;
    rebuild_all_and_verify(&bench).await;
}

/// A rebuild that dies goes on where it was.
pub async fn a_killed_rebuild_goes_on(store: Store) {
    let bench = lived(store).await;
    for n in 0..6_000 {
        let word = format!("n{n}");
        bench.feed.held("concert", &word, hall::seats(&["B1"]));
        bench.feed.expired("concert", &word, hall::seats(&["B1"]));
    }
    bench.caught_up().await;
    bench.feed.block_from(Some(Position(10_000)));
    bench.models.start_rebuild(&["seat_availability"]).expect("started");
    let progress = async |bench: &Bench| {
        let all = bench.models.status().await.expect("a status");
        all.into_iter().find(|one| one.name == "seat_availability").and_then(|one| one.build)
    };
    let mut seen = None;
    for _ in 0..2_000 {
        seen = progress(&bench).await;
        if seen.as_ref().is_some_and(|seen| seen.done == 10_000) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = seen.expect("a build");
    assert_eq!((seen.done, seen.total), (10_000, bench.feed.last().0));
    assert_eq!(seen.phase, BuildPhase::Folding);
    // Live events and queries go on meanwhile.
    bench.feed.held("concert", "meanwhile", hall::seats(&["B2"]));
    bench.caught_up().await;
    let show = hall::show("concert");
    let free = bench.models.availability(None, show, None, bench.feed.now()).await;
    assert!(free.expect("an answer").is_some());
    let Bench { feed, clock, store, models } = bench;
    drop(models);
    feed.block_from(None);
    let bench = Bench::start_with(store, feed).await;
    bench.clock.set(clock_now(&clock));
    let report = bench.models.rebuild("seat_availability").await.expect("rebuilt");
    assert!(report.equal(), "{:?}", report.comparison);
    assert_eq!(report.folded, bench.feed.last().0 - 10_000, "it went on where it was");
}

fn clock_now(clock: &super::ManualClock) -> hakken_domain::time::Timestamp {
    crate::clock::Clock::now(clock)
}

/// A rebuild can be halted, and goes on when it is told to.
pub async fn a_rebuild_can_be_paused(store: Store) {
    let bench = lived(store).await;
    bench.feed.block_from(Some(Position(0)));
    bench.models.start_rebuild(&["orders"]).expect("started");
    assert_eq!(bench.models.pause_rebuild("orders"), Ok(true));
    bench.feed.block_from(None);
    tokio::time::sleep(Duration::from_millis(30)).await;
    let all = bench.models.status().await.expect("a status");
    let orders = all.into_iter().find(|one| one.name == "orders").expect("orders");
    if let Some(build) = orders.build {
        assert!(build.paused);
        assert_eq!(build.eta_seconds, None, "nobody can say while it is paused");
    }
    bench.models.resume_rebuild("orders").expect("a projection");
    assert!(bench.models.rebuild("orders").await.expect("rebuilt").equal());
}

/// An event that cannot be folded stops the projections that deal with it, and no others.
pub async fn a_poison_event_stops_its_projections_alone(store: Store) {
    let bench = lived(store).await;
    let good = bench.feed.last();
    let stream = StreamId::from(hall::ticket("t1"));
    let bad = bench.feed.record_raw(stream, "ticket-voided", 1, b"{\"why\":1}");
    bench.feed.held("match", "after", hall::seats(&["B5"]));
    for name in ["audit_log", "issuance_history", "tickets", "scans"] {
        bench.state_is(name, |state| matches!(state, RunState::Stopped(_))).await;
        let RunState::Stopped(poison) = bench.state(name).await else { unreachable!() };
        assert_eq!((poison.position, poison.kind.as_str()), (bad, "ticket-voided"));
        assert!(poison.reason.contains("missing field"), "{}", poison.reason);
        assert_eq!(bench.models.checkpoint(name).expect("a projection").position, good);
    }
    for name in ["seat_availability", "orders", "sales", "catalogue"] {
        let waited = bench.models.wait_for(name, bench.feed.last(), PATIENCE).await;
        assert_eq!(waited, Ok(()), "{name}");
    }
    // A rebuild meets it too, and what is served stays.
    let rebuilt = bench.models.rebuild("tickets").await;
    assert!(rebuilt.is_ok_and(|report| report.position == good), "up to where it is served");
    bench.models.resume("tickets").expect("a projection");
    bench.state_is("tickets", |state| matches!(state, RunState::Stopped(_))).await;
    assert!(bench.models.ticket(None, hall::ticket("t1")).await.expect("an answer").is_some());
}

/// A fold that finds events that do not fit together stops as well, and says what is wrong.
pub async fn events_that_do_not_fit_stop_a_projection(store: Store) {
    let bench = lived(store).await;
    bench.feed.entered("never-made", 1);
    bench.state_is("tickets", |state| matches!(state, RunState::Stopped(_))).await;
    let RunState::Stopped(poison) = bench.state("tickets").await else { unreachable!() };
    let ticket = hall::ticket("never-made");
    assert_eq!(poison.reason, format!("ticket {ticket} was never created"));
    assert_eq!(bench.state("audit_log").await, RunState::Running);
}

/// A paused projection stands still, says how far behind it is, and goes on.
pub async fn pause_and_resume(store: Store) {
    let bench = lived(store).await;
    let before = bench.feed.last();
    bench.models.pause("tickets").expect("a projection");
    bench.state_is("tickets", |state| *state == RunState::Paused).await;
    bench.clock.set(bench.feed.now().plus_seconds(5));
    bench.feed.voided("t1");
    bench.models.wait_for("orders", bench.feed.last(), PATIENCE).await.expect("caught up");
    let all = bench.models.status().await.expect("a status");
    let tickets = all.iter().find(|one| one.name == "tickets").expect("tickets");
    assert_eq!(tickets.checkpoint, before);
    assert_eq!((tickets.lag_positions, tickets.lag_seconds), (1, 5.0));
    let short = Duration::from_millis(20);
    let waited = bench.models.wait_for("tickets", bench.feed.last(), short).await;
    let error = waited.expect_err("it is paused").to_string();
    assert_eq!(
        error,
        format!("tickets is at position {before} and did not reach {} in time", bench.feed.last())
    );
    bench.models.resume("tickets").expect("a projection");
    bench.caught_up().await;
    assert_eq!(bench.state("tickets").await, RunState::Running);
}

/// Replaces a served row, as no event did.
pub(super) async fn plant(
    bench: &Bench,
    projection: &str,
    table: &str,
    key: Key,
    change: impl Fn(&mut Row),
) {
    let projection = ALL.iter().find(|one| one.name == projection).expect("a projection");
    let table: &'static Table =
        projection.tables.iter().find(|one| one.name == table).expect("a table");
    let build = bench.served(projection.name).await;
    let rows = bench.store.rows.as_ref();
    let mut found = rows.load(build.id, table, vec![key]).await.expect("rows");
    change(&mut found[0]);
    let changes = vec![TableChanges { table, upserts: found, deletes: Vec::new() }];
    let at = build.checkpoint;
    rows.commit(build.id, &changes, at.position, at).await.expect("a commit");
}

/// Verify finds a row that is not what the events say, and says so in words; a rebuild mends it.
pub async fn verify_names_the_first_difference(store: Store) {
    let bench = lived(store).await;
    let ticket = hall::ticket("t1");
    let key = || vec![Value::text(ticket)];
    plant(&bench, "tickets", "tickets", key(), |row| row[6] = Value::text("issued")).await;
    let verified = bench.models.verify("tickets").await.expect("verified");
    assert!(!verified.equal());
    assert_eq!(
        verified.comparison.first_difference,
        Some(format!("ticket {ticket} is served as issued, the events say used"))
    );
    let table = &verified.comparison.tables[0];
    assert_eq!((table.served_rows, table.rebuilt_rows, table.differences), (2, 2, 1));
    assert_ne!(table.served_digest, table.rebuilt_digest);
    let rebuilt = bench.models.rebuild("tickets").await.expect("rebuilt");
    assert!(!rebuilt.equal(), "it says that what was served was wrong");
    assert!(bench.models.verify("tickets").await.expect("verified").equal());
    plant(&bench, "tickets", "tickets", key(), |row| {
        let doc = row[7].as_text().expect("a document").replace("\"entries\":1", "\"entries\":2");
        row[7] = Value::text(doc);
    })
    .await;
    let verified = bench.models.verify("tickets").await.expect("verified");
    assert_eq!(
        verified.comparison.first_difference,
        Some(format!("ticket {ticket}: entries is served as 2, the events say 1"))
    );
}

/// Rows of another event store are not served.
pub async fn rows_of_other_events_are_built_again(store: Store) {
    let Bench { store, models, .. } = lived(store).await;
    models.shutdown().await;
    drop(models);
    let bench = Bench::start(store).await;
    bench.feed.organizer_registered("new");
    bench.caught_up().await;
    let organizers = bench.models.organizers(None, &PageRequest::first(10)).await.expect("a page");
    assert_eq!(organizers.edges.len(), 1);
    assert_eq!(organizers.edges[0].node.name.as_str(), "new");
}

/// A feed that fails is asked again.
pub async fn a_failing_feed_is_asked_again(store: Store) {
    let feed = super::MemoryFeed::new();
    feed.fail(10);
    let bench = Bench::start_with(store, feed).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    assert_eq!(bench.feed.failures_left(), 0, "every failure was met");
    rebuild_all_and_verify(&bench).await;
}

/// A tenant sees nothing of another.
pub async fn tenants_cannot_see_each_other(store: Store) {
    let bench = lived(store).await;
    let models = &bench.models;
    let (one, two, nobody) = (hall::organizer("one"), hall::organizer("two"), hall::organizer("?"));
    let page = PageRequest::first(100);
    let counts = async |tenant: Option<OrganizerId>| {
        [
            models.audit_log(tenant, &AuditFilter::default(), &page).await.expect("ok").edges.len(),
            models
                .issuance_history(tenant, &Default::default(), &page)
                .await
                .expect("ok")
                .edges
                .len(),
            models.orders(tenant, &Default::default(), &page).await.expect("ok").edges.len(),
            models.refunds(tenant, &Default::default(), &page).await.expect("ok").edges.len(),
            models.tickets(tenant, &Default::default(), &page).await.expect("ok").edges.len(),
            models.scans(tenant, &Default::default(), &page).await.expect("ok").edges.len(),
            models.holds(tenant, &Default::default(), &page).await.expect("ok").edges.len(),
            models.shows(tenant, &Default::default(), &page).await.expect("ok").edges.len(),
            models.venues(tenant, &page).await.expect("ok").edges.len(),
            models.organizers(tenant, &page).await.expect("ok").edges.len(),
            models.api_keys(tenant, &page).await.expect("ok").edges.len(),
            models.money(tenant).await.expect("ok").len(),
        ]
    };
    assert_eq!(counts(Some(nobody)).await, [0; 12]);
    assert_eq!(counts(Some(two)).await, [7, 0, 0, 0, 0, 0, 2, 1, 0, 1, 0, 0]);
    let all = bench.feed.last().0 as usize;
    assert_eq!(counts(None).await, [all, 5, 2, 1, 2, 3, 5, 3, 1, 2, 2, 1]);
    assert_eq!(counts(Some(one)).await, [all - 7 - 1, 5, 2, 1, 2, 3, 3, 2, 1, 1, 1, 1]);
    let (show, now) = (hall::show("concert"), bench.feed.now());
    for (tenant, seen) in [(None, true), (Some(one), true), (Some(two), false)] {
        let found = [
            models.availability(tenant, show, None, now).await.expect("ok").is_some(),
            models.show(tenant, show).await.expect("ok").is_some(),
            models.show_sales(tenant, show).await.expect("ok").is_some(),
            models.order(tenant, hall::order("h1")).await.expect("ok").is_some(),
            models.ticket(tenant, hall::ticket("t1")).await.expect("ok").is_some(),
            models.hold(tenant, hall::hold("h1")).await.expect("ok").is_some(),
            models.venue(tenant, hall::venue("hall")).await.expect("ok").is_some(),
            models.venue_seat_map(tenant, hall::venue("hall")).await.expect("ok").is_some(),
            models.organizer(tenant, one).await.expect("ok").is_some(),
        ];
        assert_eq!(found, [seen; 9], "{tenant:?}");
    }
}

/// Pages neither repeat nor miss anything, though rows come in between.
pub async fn pages_survive_inserts(store: Store) {
    let bench = lived(store).await;
    let filter = AuditFilter::default();
    let all = bench.feed.last().0;
    let mut seen = Vec::new();
    let mut request = PageRequest::first(7);
    loop {
        let page = bench.models.audit_log(None, &filter, &request).await.expect("a page");
        assert_eq!(page.has_previous, !seen.is_empty());
        seen.extend(page.edges.iter().map(|edge| edge.node.position.0));
        if seen.len() == 14 {
            bench.feed.voided("t1");
            bench.caught_up().await;
        }
        let Some(last) = page.edges.last() else { break };
        request = PageRequest::first(7).after(&last.cursor);
        if !page.has_next {
            break;
        }
    }
    assert_eq!(seen, (1..=all + 1).collect::<Vec<_>>());
    let newest = PageRequest::first(2).newest_first();
    let page = bench.models.audit_log(None, &filter, &newest).await.expect("a page");
    let cursor = page.edges[1].cursor.clone();
    let positions = |page: &crate::Page<crate::models::audit_log::AuditEntry>| {
        page.edges.iter().map(|edge| edge.node.position.0).collect::<Vec<_>>()
    };
    assert_eq!(positions(&page), [all + 1, all]);
    bench.feed.organizer_registered("three");
    bench.caught_up().await;
    let next = PageRequest::first(2).newest_first().after(&cursor);
    let page = bench.models.audit_log(None, &filter, &next).await.expect("a page");
    assert_eq!(positions(&page), [all - 1, all - 2]);
    let last = PageRequest::last(3).before(&page.edges[0].cursor);
    let page = bench.models.audit_log(None, &filter, &last).await.expect("a page");
    assert_eq!(positions(&page), [all - 4, all - 3, all - 2]);
    assert!(page.has_next && page.has_previous);
    let wrong = PageRequest::first(2).after("nonsense");
    assert!(bench.models.audit_log(None, &filter, &wrong).await.is_err());
    let none = bench.models.audit_log(None, &filter, &PageRequest::first(0)).await;
    assert!(none.is_err());
}

/// Availability follows the events in memory, is the same after a crash, and a hold whose time
/// has passed is free when it is read.
pub async fn availability_is_live(store: Store) {
    let bench = lived(store).await;
    let show = hall::show("concert");
    let status = async |bench: &Bench, seat: &str| {
        let now = bench.feed.now();
        let found = bench.models.availability(None, show, None, now).await;
        found.expect("ok").expect("on sale").seat(&hall::seat(seat)).expect("a seat")
    };
    assert_eq!(status(&bench, "A1").await, SeatStatus::Sold);
    assert_eq!(status(&bench, "A2").await, SeatStatus::Free);
    let watched = bench.models.watch_availability(None, show, bench.feed.now()).await;
    let mut versions = watched.expect("ok").expect("on sale");
    let two = Some(hall::organizer("two"));
    let other = bench.models.watch_availability(two, show, bench.feed.now()).await;
    assert!(other.expect("ok").is_none(), "it belongs to another");
    bench.feed.held("concert", "live", hall::seats(&["A2"]));
    bench.caught_up().await;
    assert!(versions.has_changed().expect("watched"));
    assert_eq!(*versions.borrow_and_update(), 7);
    assert_eq!(status(&bench, "A2").await, SeatStatus::Held);
    let now = bench.feed.now();
    let first = bench.models.availability(None, show, None, now).await.expect("ok");
    let again = bench.models.availability(None, show, None, now.plus_seconds(1)).await.expect("ok");
    let (first, again) = (first.expect("on sale"), again.expect("on sale"));
    assert!(std::sync::Arc::ptr_eq(&first, &again), "nothing changed, so nothing is computed");
    let later = now.plus_seconds(600);
    let over = bench.models.availability(None, show, None, later).await.expect("ok");
    let over = over.expect("on sale");
    assert_eq!(over.seat(&hall::seat("A2")), Some(SeatStatus::Free));
    assert_eq!(over.changed_since(&first).count(), 1);
    let bench = bench.crash().await;
    assert_eq!(status(&bench, "A2").await, SeatStatus::Held);
    bench.models.rebuild("seat_availability").await.expect("rebuilt");
    assert_eq!(status(&bench, "A2").await, SeatStatus::Held);
    assert_eq!(status(&bench, "A1").await, SeatStatus::Sold);
}

/// Shutting down finishes what is in hand and then ends every task.
pub async fn shutdown_ends_everything(store: Store) {
    let bench = lived(store).await;
    bench.feed.ticket("t1", ticket::Event::TicketReinstated(ticket::TicketReinstated {}));
    bench.models.shutdown().await;
    let ticket = bench.models.ticket(None, hall::ticket("t1")).await.expect("an answer");
    assert_eq!(ticket.expect("a ticket").status, TicketStatus::Used);
    let build = bench.served("tickets").await;
    let query = Query::all(&crate::models::tickets::TABLE, None, 10);
    assert_eq!(bench.store.rows.query(build.id, query).await.expect("rows").len(), 2);
}

/// Makes a test of each function of the suite. The expression makes a [`Store`].
#[macro_export]
macro_rules! read_model_suite {
    ($make:expr) => {
        $crate::each_test!($make, models: [
            rebuilt_is_live,
            batches_do_not_matter,
            delivering_twice_changes_nothing,
            a_crash_loses_nothing,
            a_killed_rebuild_goes_on,
            a_rebuild_can_be_paused,
            a_poison_event_stops_its_projections_alone,
            events_that_do_not_fit_stop_a_projection,
            pause_and_resume,
            verify_names_the_first_difference,
            rows_of_other_events_are_built_again,
            a_failing_feed_is_asked_again,
            tenants_cannot_see_each_other,
            pages_survive_inserts,
            availability_is_live,
            shutdown_ends_everything,
        ]);
    };
}
