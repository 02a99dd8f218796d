//! What an operator does after an incident, over every row store: halt, end and resume rebuilds,
//! serve former rows again, rebuild one show, and leave out an event that cannot be folded.

use std::time::Duration;

use hakken_domain::{
    Event, codec,
    envelope::{Position, StreamId},
    names::{EventId, ProjectionName, Reason},
    operations::{self, EventSkipped, SkipWithdrawn},
    ticket,
};

use super::{
    Bench, PATIENCE, Store, hall,
    models::{lived, plant, rebuild_all_and_verify},
};
use crate::{
    ALL, BuildError, BuildPhase, BuildProgress, BuildReport, FORMER_KEPT, ProjectionStatus,
    RunState, WaitError,
    models::tickets::TicketStatus,
    rows::{BuildId, Purpose, Row, TableChanges, Value},
};

async fn status(bench: &Bench, projection: &str) -> ProjectionStatus {
    let all = bench.models.status().await.expect("a status");
    all.into_iter().find(|one| one.name == projection).expect("a projection")
}

/// Waits until the build of a projection is like this.
async fn build_is(bench: &Bench, projection: &str, wanted: impl Fn(&BuildProgress) -> bool) {
    let mut last = None;
    for _ in 0..2_000 {
        last = status(bench, projection).await.build;
        if last.as_ref().is_some_and(&wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the build of {projection} is {last:?}");
}

async fn builds(bench: &Bench, projection: &str) -> Vec<(BuildId, Purpose)> {
    let builds = bench.store.rows.builds().await.expect("builds");
    let mine = builds.into_iter().filter(|build| build.projection == projection);
    mine.map(|build| (build.id, build.purpose)).collect()
}

async fn builds_are(bench: &Bench, projection: &str, wanted: &[(BuildId, Purpose)]) {
    let mut last = Vec::new();
    for _ in 0..2_000 {
        last = builds(bench, projection).await;
        if last == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(last, wanted);
}

/// Former rows are kept, listed with their position and age, and can be served again: they catch
/// up first, and what was served in between is the former one then.
pub async fn former_rows_are_served_again(store: Store) {
    let bench = lived(store).await;
    let old = bench.served("tickets").await.id;
    assert_eq!(status(&bench, "tickets").await.former, None);
    let none = bench.models.swap_back("tickets").await;
    assert_eq!(none, Err(BuildError::NoFormer("tickets")));

    let (rebuilt_at, position) = (bench.feed.now(), bench.feed.last());
    bench.clock.set(rebuilt_at);
    bench.models.rebuild("tickets").await.expect("rebuilt");
    let new = bench.served("tickets").await.id;
    bench.feed.voided("t1");
    bench.caught_up().await;
    bench.clock.set(rebuilt_at.plus_seconds(90));
    let former = status(&bench, "tickets").await.former.expect("former rows");
    assert_eq!((former.position, former.retired_at), (position, rebuilt_at));
    assert_eq!(former.age, Duration::from_secs(90));
    assert_eq!(former.removed_at, rebuilt_at.plus_seconds(FORMER_KEPT.as_secs()));

    // They are still there after a crash.
    let bench = bench.crash().await;
    let report = bench.models.swap_back("tickets").await.expect("swapped back");
    assert!(report.equal(), "{:?}", report.comparison);
    assert_eq!(report.position, bench.feed.last());
    assert_eq!(report.folded, 1, "it folded what came since");
    assert_eq!(bench.served("tickets").await.id, old);
    let kept = [(old, Purpose::Served), (new, Purpose::Retired)];
    assert_eq!(builds(&bench, "tickets").await, kept);
    let ticket = bench.models.ticket(None, hall::ticket("t1")).await.expect("an answer");
    assert_eq!(ticket.expect("a ticket").status, TicketStatus::Void);
    bench.feed.entered("t1", 1);
    bench.caught_up().await;
    assert!(bench.models.verify("tickets").await.expect("verified").equal(), "it goes on");

    // Another rebuild keeps the newest former rows alone.
    bench.models.rebuild("tickets").await.expect("rebuilt");
    let newest = bench.served("tickets").await.id;
    let kept = [(old, Purpose::Retired), (newest, Purpose::Served)];
    builds_are(&bench, "tickets", &kept).await;
}

/// Former rows go when their time has come, or when somebody says so.
pub async fn former_rows_are_removed_in_time(store: Store) {
    let bench = lived(store).await;
    let now = bench.feed.now();
    bench.clock.set(now);
    bench.models.rebuild("orders").await.expect("rebuilt");
    bench.models.rebuild("tickets").await.expect("rebuilt");
    assert_eq!(bench.models.remove_former("tickets").await, Ok(true));
    assert_eq!(bench.models.remove_former("tickets").await, Ok(false));
    let served = (bench.served("tickets").await.id, Purpose::Served);
    assert_eq!(builds(&bench, "tickets").await, [served]);
    bench.clock.set(now.plus_seconds(FORMER_KEPT.as_secs() - 1));
    let bench = bench.crash().await;
    assert!(status(&bench, "orders").await.former.is_some(), "their time has not come");
    bench.clock.set(now.plus_seconds(FORMER_KEPT.as_secs()));
    let bench = bench.crash().await;
    let served = (bench.served("orders").await.id, Purpose::Served);
    builds_are(&bench, "orders", &[served]).await;
    assert_eq!(status(&bench, "orders").await.former, None);
}

/// A rebuild that somebody halted is still halted after a crash, and tells no time left.
pub async fn a_halted_rebuild_stays_halted(store: Store) {
    let bench = lived(store).await;
    bench.feed.block_from(Some(Position(0)));
    bench.models.start_rebuild(&["orders"]).expect("started");
    assert_eq!(bench.models.pause_rebuild("orders"), Ok(true));
    bench.feed.block_from(None);
    let old = bench.served("orders").await.id;
    let halted = async |bench: &Bench| {
        for _ in 0..2_000 {
            if builds(bench, "orders").await.iter().any(|(_, of)| *of == Purpose::Halted) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    };
    // It may have ended before it heard of the pause.
    if status(&bench, "orders").await.build.is_some() && halted(&bench).await {
        let bench = bench.crash().await;
        build_is(&bench, "orders", |build| build.paused && build.eta_seconds.is_none()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(bench.served("orders").await.id, old, "nobody let it go on");
        assert_eq!(bench.models.resume_rebuild("orders"), Ok(true));
        assert!(bench.models.rebuild("orders").await.expect("rebuilt").equal());
        assert_ne!(bench.served("orders").await.id, old);
    }
}

/// A rebuild that somebody ends leaves nothing behind, and what is served as it was.
pub async fn a_cancelled_rebuild_leaves_nothing(store: Store) {
    let bench = lived(store).await;
    let served = bench.served("orders").await;
    for kind in ["rebuild", "verify"] {
        bench.feed.block_from(Some(Position(0)));
        let models = bench.models.clone();
        let build = tokio::spawn(async move {
            match kind {
                "rebuild" => models.rebuild("orders").await,
                _ => models.verify("orders").await,
            }
        });
        build_is(&bench, "orders", |build| build.phase == BuildPhase::Folding).await;
        let other = match kind {
            "rebuild" => bench.models.verify("orders").await,
            _ => bench.models.rebuild("orders").await,
        };
        assert_eq!(other, Err(BuildError::UnderWay("orders")));
        assert_eq!(bench.models.cancel_rebuild("orders").await, Ok(true));
        assert_eq!(build.await.expect("no panic"), Err(BuildError::Cancelled));
        bench.feed.block_from(None);
        assert_eq!(builds(&bench, "orders").await, [(served.id, Purpose::Served)]);
        let error = status(&bench, "orders").await.last_build_error;
        assert_eq!(error.as_deref(), Some("somebody ended it"));
    }
    assert_eq!(bench.models.cancel_rebuild("orders").await, Ok(false));
    rebuild_all_and_verify(&bench).await;
}

/// Rows that differ are swapped in only if a second fold of the same events says the same.
pub async fn damaged_rows_of_a_rebuild_are_never_served(store: Store) {
    let bench = lived(store).await;
    let served = bench.served("tickets").await;
    let error = rebuild_damaged(&bench).await.expect_err("the rows are damaged");
    let BuildError::Unconfirmed { difference } = &error else { panic!("{error}") };
    assert!(difference.contains("damaged"), "{difference}");
    assert_eq!(builds(&bench, "tickets").await, [(served.id, Purpose::Served)]);
    assert!(bench.models.verify("tickets").await.expect("verified").equal());
    assert!(bench.models.rebuild("tickets").await.expect("rebuilt from the first event").equal());
}

/// Rebuilds tickets; among their rows there comes to be one, on the way, that no event speaks of.
pub async fn rebuild_damaged(bench: &Bench) -> Result<BuildReport, BuildError> {
    bench.feed.block_from(Some(Position(0)));
    bench.models.start_rebuild(&["tickets"])?;
    assert_eq!(bench.models.pause_rebuild("tickets"), Ok(true));
    build_is(bench, "tickets", |build| build.paused).await;
    spoil(bench, "tickets").await;
    bench.feed.block_from(None);
    bench.models.resume_rebuild("tickets")?;
    bench.models.rebuild("tickets").await
}

/// Puts a row into what is being rebuilt that no event speaks of.
async fn spoil(bench: &Bench, projection: &str) {
    let rows = bench.store.rows.as_ref();
    let served = bench.served(projection).await;
    let table = &crate::models::tickets::TABLE;
    let query = crate::rows::Query::all(table, None, 1);
    let mut row: Row = rows.query(served.id, query).await.expect("rows").remove(0);
    row[0] = Value::text("damaged");
    for _ in 0..2_000 {
        let builds = rows.builds().await.expect("builds");
        let found = builds.iter().find(|build| {
            build.projection == projection
                && matches!(build.purpose, Purpose::Rebuild | Purpose::Halted)
        });
        if let Some(build) = found {
            let changes = vec![TableChanges { table, upserts: vec![row], deletes: Vec::new() }];
            let at = build.checkpoint;
            rows.commit(build.id, &changes, at.position, at).await.expect("a commit");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nothing is being rebuilt");
}

/// The rows of one show are compared and replaced, at once, and no others are touched.
pub async fn one_show_is_rebuilt_alone(store: Store) {
    let bench = lived(store).await;
    let (concert, game) = (hall::show("concert"), hall::show("match"));
    let separable: Vec<&str> =
        ALL.iter().filter(|each| each.by_show.is_some()).map(|each| each.name).collect();
    assert_eq!(separable, ["seat_availability", "holds", "tickets", "scans", "catalogue"]);
    for name in &separable {
        for show in [concert, game, hall::show("rival"), hall::show("never")] {
            let report = bench.models.rebuild_show(name, show).await.expect("rebuilt");
            assert!(report.equal(), "{name}: {:?}", report.comparison);
            assert_eq!(report.position, bench.feed.last());
        }
    }
    for name in ["orders", "sales", "audit_log", "issuance_history"] {
        let error = bench.models.rebuild_show(name, concert).await.expect_err("of several shows");
        let words = error.to_string();
        assert!(matches!(error, BuildError::NotByShow { .. }), "{words}");
        assert!(words.contains("tickets, scans, catalogue"), "{words}");
    }

    // A wrong row of the show, one of another show, and one that is missing.
    let (ticket, key) = (hall::ticket("t1"), |word| vec![Value::text(hall::hold(word))]);
    plant(&bench, "tickets", "tickets", vec![Value::text(ticket)], |row| {
        row[6] = Value::text("issued");
    })
    .await;
    let served = bench.served("tickets").await;
    let report = bench.models.rebuild_show("tickets", concert).await.expect("rebuilt");
    let words = format!("ticket {ticket} is served as issued, the events say used");
    assert_eq!(report.comparison.first_difference, Some(words));
    assert_eq!(bench.served("tickets").await.id, served.id, "the other rows are the same");
    assert!(bench.models.verify("tickets").await.expect("verified").equal());
    // Who follows live forgets what it knew of these rows.
    bench.feed.voided("t1");
    bench.caught_up().await;
    assert!(bench.models.verify("tickets").await.expect("verified").equal());

    for word in ["h2", "h3"] {
        plant(&bench, "holds", "holds", key(word), |row| row[4] = Value::text("held")).await;
    }
    let report = bench.models.rebuild_show("holds", concert).await.expect("rebuilt");
    assert_eq!(report.comparison.tables[0].differences, 1, "{:?}", report.comparison);
    let left = bench.models.verify("holds").await.expect("verified");
    let words = format!("hold {} is served as held, the events say confirmed", hall::hold("h3"));
    assert_eq!(left.comparison.first_difference, Some(words), "another show is left alone");
    bench.models.rebuild_show("holds", game).await.expect("rebuilt");
    assert!(bench.models.verify("holds").await.expect("verified").equal());
    let all = bench.store.rows.builds().await.expect("builds");
    assert_eq!(all.len(), ALL.len(), "nothing is left behind: {all:?}");
}

/// A show is rebuilt while others, and itself, go on.
pub async fn one_show_is_rebuilt_while_it_sells(store: Store) {
    let bench = lived(store).await;
    let models = bench.models.clone();
    let show = hall::show("concert");
    let rebuilding = tokio::spawn(async move {
        for _ in 0..5 {
            for name in ["seat_availability", "holds", "tickets", "scans"] {
                let report = models.rebuild_show(name, show).await.expect("rebuilt");
                assert!(report.equal(), "{name}: {:?}", report.comparison);
            }
        }
    });
    for n in 0..200 {
        let word = format!("n{n}");
        bench.feed.held("concert", &word, hall::seats(&["B1"]));
        bench.feed.expired("concert", &word, hall::seats(&["B1"]));
        tokio::task::yield_now().await;
    }
    rebuilding.await.expect("rebuilt");
    bench.caught_up().await;
    rebuild_all_and_verify(&bench).await;
}

fn skip_of(bench: &Bench, projection: &str, position: Position) -> EventSkipped {
    let event = bench.feed.events(Position(position.0 - 1), 1).remove(0);
    EventSkipped {
        projection: ProjectionName::new(projection).expect("a good name"),
        event: event.id,
        position,
        kind: event.kind.to_string(),
        reason: Reason::new("a gate on trial wrote it").expect("a good reason"),
    }
}

fn record(bench: &Bench, event: operations::Event) -> Position {
    bench.feed.record(StreamId::operations(), event)
}

const STOPPED: [&str; 4] = ["audit_log", "issuance_history", "tickets", "scans"];

/// Records an event that nobody can fold, and waits until its projections have stopped.
async fn poisoned(bench: &Bench, schema: u16, data: &[u8]) -> Position {
    let stream = StreamId::from(hall::ticket("t1"));
    let bad = bench.feed.record_raw(stream, "ticket-voided", schema, data);
    for name in STOPPED {
        bench.state_is(name, |state| matches!(state, RunState::Stopped(_))).await;
    }
    bad
}

/// An event that operators let a projection leave out is left out by every fold of it, and by no
/// other projection.
pub async fn a_skipped_event_is_left_out_by_every_fold(store: Store) {
    let bench = lived(store).await;
    let bad = poisoned(&bench, 1, b"{\"why\":1}").await;
    bench.feed.entered("t1", 1);
    let last = bench.feed.last();
    // Whoever waits hears at once that it is of no use.
    let waited = bench.models.wait_for("tickets", last, PATIENCE).await;
    let at = Position(bad.0 - 1);
    let stopped = WaitError::Stopped { projection: "tickets", at, wanted: last, stopped_at: bad };
    assert_eq!(waited, Err(stopped));

    let decided = record(&bench, operations::Event::EventSkipped(skip_of(&bench, "tickets", bad)));
    bench.models.resume("tickets").expect("a projection");
    bench.models.wait_for("tickets", decided, PATIENCE).await.expect("it goes on");
    let RunState::Stopped(poison) = bench.state("scans").await else { panic!("it goes on") };
    assert_eq!((poison.position, poison.event), (bad, skip_of(&bench, "scans", bad).event));
    let skipped = status(&bench, "tickets").await.skipped;
    assert_eq!(skipped.len(), 1);
    let skip = &skipped[0];
    assert_eq!((skip.position, skip.recorded, skip.kind.as_str()), (bad, decided, "ticket-voided"));
    assert_eq!((skip.reason.as_str(), skip.by.as_str()), ("a gate on trial wrote it", "test"));
    assert_eq!(status(&bench, "scans").await.skipped, []);

    // Another process may have recorded it: nobody tells this one to go on.
    for name in ["audit_log", "issuance_history", "scans"] {
        record(&bench, operations::Event::EventSkipped(skip_of(&bench, name, bad)));
    }
    for name in ["audit_log", "issuance_history", "scans"] {
        let goes_on = async {
            while matches!(bench.state(name).await, RunState::Stopped(_)) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, goes_on).await.expect("it looks again by itself");
    }
    bench.caught_up().await;
    for name in STOPPED {
        let verified = bench.models.verify(name).await.expect("verified");
        assert!(verified.equal(), "{name}: {:?}", verified.comparison);
        assert_eq!(verified.skipped, [bad], "{name}");
    }
    assert_eq!(bench.models.verify("orders").await.expect("verified").skipped, []);
    rebuild_all_and_verify(&bench).await;
    let bench = bench.crash().await;
    bench.feed.entered("t1", 1);
    bench.caught_up().await;
    rebuild_all_and_verify(&bench).await;
    let report = bench.models.rebuild_show("tickets", hall::show("concert")).await;
    assert!(report.expect("rebuilt").equal());

    // Taken back, the next rebuild folds it, and says what it thinks of it.
    let EventSkipped { projection, event, reason, .. } = skip_of(&bench, "tickets", bad);
    let back = SkipWithdrawn { projection, event, reason };
    record(&bench, operations::Event::SkipWithdrawn(back));
    bench.caught_up().await;
    assert_eq!(status(&bench, "tickets").await.skipped, []);
    let error = bench.models.rebuild("tickets").await.expect_err("it cannot be folded");
    assert!(matches!(error, BuildError::Poisoned { position, .. } if position == bad), "{error}");
    assert!(bench.models.ticket(None, hall::ticket("t1")).await.expect("an answer").is_some());
}

/// A decision about another event changes nothing, and neither does one that cannot be read.
pub async fn only_what_was_decided_is_left_out(store: Store) {
    let bench = lived(store).await;
    let bad = poisoned(&bench, 1, b"{}").await;
    let other = EventSkipped { event: EventId(ulid::Ulid(7)), ..skip_of(&bench, "tickets", bad) };
    record(&bench, operations::Event::EventSkipped(other));
    bench.feed.record_raw(StreamId::operations(), "event-skipped", 1, b"{}");
    bench.models.resume("tickets").expect("a projection");
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.state_is("tickets", |state| matches!(state, RunState::Stopped(_))).await;
    record(&bench, operations::Event::EventSkipped(skip_of(&bench, "tickets", bad)));
    bench.models.resume("tickets").expect("a projection");
    bench.models.wait_for("tickets", bench.feed.last(), PATIENCE).await.expect("it goes on");
}

/// A release whose upcaster reads the event lets its projections go on after a restart, by
/// themselves, and nothing has to be rebuilt.
pub async fn an_upcaster_lets_stopped_projections_go_on(store: Store) {
    let bench = lived(store).await;
    let bad = poisoned(&bench, 2, b"{\"because\":\"sold twice\"}").await;
    let RunState::Stopped(poison) = bench.state("tickets").await else { panic!("it goes on") };
    assert!(poison.reason.contains("schema version 2"), "{}", poison.reason);
    let same = bench.crash().await;
    same.state_is("tickets", |state| matches!(state, RunState::Stopped(_))).await;
    same.feed.upcast("ticket-voided", 2, |data| {
        let old: serde_json::Value = serde_json::from_slice(data).expect("JSON");
        let new = serde_json::json!({ "reason": old["because"] }).to_string();
        codec::decode_event("ticket-voided", 1, new.as_bytes()).expect("the newest shape")
    });
    let bench = same.crash().await;
    bench.caught_up().await;
    let ticket = bench.models.ticket(None, hall::ticket("t1")).await.expect("an answer");
    assert_eq!(ticket.expect("a ticket").status, TicketStatus::Void);
    let event = bench.feed.events(Position(bad.0 - 1), 1).remove(0);
    let voided = &event.decoded().expect("it is read now").event;
    assert!(matches!(voided, Event::Ticket(ticket::Event::TicketVoided(_))), "{voided:?}");
    rebuild_all_and_verify(&bench).await;
}

/// Makes a test of each function of the suite. The expression makes a [`Store`].
#[macro_export]
macro_rules! rebuild_suite {
    ($make:expr) => {
        $crate::each_test!($make, rebuilds: [
            former_rows_are_served_again,
            former_rows_are_removed_in_time,
            a_halted_rebuild_stays_halted,
            a_cancelled_rebuild_leaves_nothing,
            damaged_rows_of_a_rebuild_are_never_served,
            one_show_is_rebuilt_alone,
            one_show_is_rebuilt_while_it_sells,
            a_skipped_event_is_left_out_by_every_fold,
            only_what_was_decided_is_left_out,
            an_upcaster_lets_stopped_projections_go_on,
        ]);
    };
}
