//! PostgreSQL alone: several processes on one database, its order and what would break it, lost
//! connections, a server that dies, the lease.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use hakken_adapters::postgres::{OpenError, PostgresStore};
use hakken_commands::store::{Append, Appended, EventStore, StoreErrorKind};
use hakken_domain::{
    envelope::{Fingerprint, Position, StoredEvent, StreamId},
    names::EventId,
};
use hakken_tests::{
    postgres::{Postgres, TestDatabase},
    proxy::{Mood, Proxy},
    stores::{append, at, conflict, first_disorder, stream, written},
};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::{sync::watch, time::timeout};

const PATIENCE: Duration = Duration::from_secs(30);

type Events = Vec<Arc<StoredEvent>>;

async fn open(database: &TestDatabase) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(&database.url).await.unwrap())
}

async fn everything(store: &PostgresStore) -> Events {
    let mut all = Events::new();
    loop {
        let after = all.last().map_or(Position(0), |event| event.position);
        let page = EventStore::read_all(store, after, 1_000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn follow_until(store: Arc<PostgresStore>, until: watch::Receiver<Option<u64>>) -> Events {
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

/// Appends one event wherever the stream is by then, also while the server comes and goes: what
/// became of an append whose answer is lost, the stream tells.
async fn append_surely(store: &PostgresStore, mut append: Append) -> EventId {
    let id = append.events[0].id;
    loop {
        match store.append(vec![append.clone()], at(0)).await.as_deref() {
            Ok([Appended::Written(_)]) => return id,
            Ok([Appended::Conflict { newer }]) => {
                if newer.iter().any(|event| event.id == id) {
                    return id;
                }
                append.expected += newer.len() as u64;
            }
            Ok(_) => panic!("one append has one answer"),
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}"),
        }
    }
}

fn ids(events: &[Arc<StoredEvent>]) -> HashSet<EventId> {
    events.iter().map(|event| event.id).collect()
}

/// Many write through three stores, as three processes would, while `meanwhile` happens. All that
/// was acknowledged must be there once, in one order, for every reader and every follower.
async fn write_through_three<F: Future<Output = ()>>(
    database: &TestDatabase,
    writers: u64,
    each: u64,
    meanwhile: impl FnOnce(Arc<AtomicUsize>) -> F,
) {
    let stores = [open(database).await, open(database).await, open(database).await];
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
                let mut told = Vec::new();
                for n in 0..each {
                    let append = append(stream((writer + n) % 7), 0, ["a"]);
                    told.push(append_surely(&store, append).await);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                told
            })
        })
        .collect();
    meanwhile(done).await;
    let mut told = HashSet::new();
    for task in tasks {
        told.extend(timeout(PATIENCE * 2, task).await.expect("writers go on").unwrap());
    }
    let all = everything(&stores[0]).await;
    assert_eq!(first_disorder(Position(0), &all), None);
    assert_eq!((all.len() as u64, ids(&all)), (writers * each, told));
    over.send_replace(Some(all.len() as u64));
    for follower in followers {
        let seen = timeout(PATIENCE, follower).await.expect("followers go on").unwrap();
        assert!(seen == all, "a follower saw {} of {}", seen.len(), all.len());
    }
}

/// What a reader that goes on from its last position finds, when one writer takes its place first
/// and commits last: before, and after that commit.
async fn read_around(
    database: &TestDatabase,
    write: &'static str,
    read: &'static str,
) -> (Vec<i64>, Vec<i64>) {
    let mut reader = database.connect().await;
    let mut slow = database.connect().await;
    sqlx::query("BEGIN").execute(&mut slow).await.unwrap();
    sqlx::query(write).bind("order-00000000000000000000000001").execute(&mut slow).await.unwrap();
    let mut quick = database.connect().await;
    let quick = tokio::spawn(async move {
        let stream = "order-00000000000000000000000002";
        sqlx::query(write).bind(stream).execute(&mut quick).await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before: Vec<i64> =
        sqlx::query_scalar(read).bind(0_i64).fetch_all(&mut reader).await.unwrap();
    sqlx::query("COMMIT").execute(&mut slow).await.unwrap();
    quick.await.unwrap();
    let last = before.last().copied().unwrap_or(0);
    let after = sqlx::query_scalar(read).bind(last).fetch_all(&mut reader).await.unwrap();
    (before, after)
}

#[tokio::test]
async fn a_position_is_seen_only_when_all_before_it_are() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    open(&database).await;
    let write = "SELECT * FROM hakken.append_events(ARRAY[$1::text], ARRAY[0::bigint], ARRAY[1],
        ARRAY[$1::text], ARRAY[1::bigint], ARRAY['\\x00'::bytea], ARRAY['k'], ARRAY[1],
        ARRAY[''::bytea], ARRAY[''::bytea], 0, true)";
    let read = "SELECT position FROM hakken.events WHERE position > $1 ORDER BY position";
    assert_eq!(read_around(&database, write, read).await, (vec![], vec![1, 2]));
}

/// The control: with positions from an identity column the same reader never sees the first event.
#[tokio::test]
async fn an_identity_column_would_lose_an_event_for_a_reader() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let mut connection = database.connect().await;
    let table = "CREATE TABLE naive
        (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream text)";
    sqlx::query(table).execute(&mut connection).await.unwrap();
    let write = "INSERT INTO naive (stream) VALUES ($1)";
    let read = "SELECT position FROM naive WHERE position > $1 ORDER BY position";
    assert_eq!(read_around(&database, write, read).await, (vec![2], vec![]), "1 is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_writers_through_three_processes_make_one_order() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    write_through_three(&database, 100, 4, async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing_and_double_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let cut = AtomicUsize::new(0);
    write_through_three(&database, 12, 40, async |done| {
        while done.load(Ordering::Relaxed) < 400 {
            cut.fetch_add(database.cut().await as usize, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    })
    .await;
    assert!(cut.into_inner() > 3, "connections were cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_loses_nothing_that_was_acknowledged() {
    let Some(mut server) = Postgres::own(true) else { return };
    let database = server.database().await;
    let mut kills = 0;
    write_through_three(&database, 12, 40, async |done| {
        for part in [60, 200, 340] {
            while done.load(Ordering::Relaxed) < part {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            server.kill();
            server.begin();
            kills += 1;
        }
    })
    .await;
    assert_eq!(kills, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_told_in_time_and_found_again() {
    let Some(mut server) = Postgres::own(false) else { return };
    let database = server.database().await;
    let store = open(&database).await;
    server.kill();
    let told = timeout(PATIENCE, store.append(vec![append(stream(1), 0, ["a"])], at(0))).await;
    assert_eq!(told.expect("an answer in time").unwrap_err().kind, StoreErrorKind::Unavailable);
    let told = timeout(PATIENCE, EventStore::read_all(&*store, Position(0), 9)).await;
    assert_eq!(told.expect("an answer in time").unwrap_err().kind, StoreErrorKind::Unavailable);
    server.begin();
    let answer = store.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    assert_eq!(written(&answer[0])[0].position, Position(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_finds_what_nobody_told_of() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let store = open(&database).await;
    let mut feed = EventStore::follow(&*store, Position(0));
    let mut other = database.connect().await;
    sqlx::query(
        "INSERT INTO hakken.events
             (position, recorded_at, version, schema, stream, kind, id, meta, data, began)
         VALUES (1, 0, 1, 1, 'order-00000000000000000000000001', 'k', decode(repeat('00', 16), 'hex'), '', '', 1)",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let batch = timeout(PATIENCE, feed.next()).await.expect("it is found").unwrap().unwrap();
    assert_eq!(batch[0].position, Position(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_is_told_before_they_would_ask() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let (writer, reader) = (open(&database).await, open(&database).await);
    let mut feed = EventStore::follow(&*reader, Position(0));
    // The reader's connection for this is made beside its start.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut quick = 0;
    for n in 0..20 {
        let since = tokio::time::Instant::now();
        append_surely(&writer, append(stream(n), 0, ["a"])).await;
        timeout(PATIENCE, feed.next()).await.expect("it is found").unwrap().unwrap();
        quick += usize::from(since.elapsed() < Duration::from_millis(100));
    }
    assert!(quick >= 15, "{quick} of 20");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_open_at_once_make_the_tables_once() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let opening = (0..6).map(|_| open(&database));
    let stores = futures_util::future::join_all(opening).await;
    for (n, store) in stores.iter().enumerate() {
        append_surely(store, append(stream(n as u64), 0, ["a"])).await;
    }
    assert_eq!(everything(&stores[0]).await.len(), 6);
}

/// The tables of format 2, as a version before made them.
const FORMAT_2: [&str; 3] = [
    "CREATE SCHEMA hakken;
     CREATE TABLE hakken.migrations (
         format integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
     INSERT INTO hakken.migrations VALUES (1), (2)",
    include_str!("../../../adapters/src/postgres/schema.sql"),
    include_str!("../../../adapters/src/postgres/quiet.sql"),
];

/// An append of one event, as a process of that version makes it.
async fn append_as_before(connection: &mut PgConnection, stream: StreamId, expected: u64) -> i64 {
    let row = sqlx::query(
        "SELECT versions[1] FROM hakken.append_events(ARRAY[$1], ARRAY[$2], ARRAY[1], ARRAY[$1],
             ARRAY[$2 + 1], ARRAY[decode(repeat('00', 16), 'hex')], ARRAY['k'], ARRAY[1],
             ARRAY[''::bytea], ARRAY[convert_to($1, 'UTF8')], 0, true)",
    );
    row.bind(stream.to_string()).bind(expected as i64).fetch_one(connection).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_the_format_before_are_brought_up_to_date_with_what_is_in_them() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let mut before = database.connect().await;
    for statements in FORMAT_2 {
        sqlx::raw_sql(statements).execute(&mut before).await.unwrap();
    }
    let mut expected = Vec::new();
    for version in 0..3 {
        for number in 0..40 {
            if number % 3 <= version {
                continue;
            }
            append_as_before(&mut before, stream(number), version).await;
            expected.push((stream(number), version + 1));
        }
    }
    database.tell("GRANT SELECT ON hakken.events TO PUBLIC").await;
    let (store, other) = tokio::join!(open(&database), open(&database));
    let found = |events: Events| -> Vec<_> {
        events.iter().map(|event| (event.stream, event.version)).collect()
    };
    assert_eq!(found(everything(&store).await), expected);
    let of_one = EventStore::read_stream(&*other, stream(5), 0, 10).await.unwrap();
    assert_eq!(found(of_one), [(stream(5), 1), (stream(5), 2)]);
    // Processes of both versions go on beside each other.
    assert_eq!(append_as_before(&mut before, stream(5), 2).await, 2, "it fits");
    let late = store.append(vec![append(stream(5), 2, ["late"])], at(0)).await.unwrap();
    assert_eq!(conflict(&late[0]).len(), 1);
    append_surely(&store, append(stream(5), 3, ["a", "b"])).await;
    assert_eq!(append_as_before(&mut before, stream(5), 3).await, 5, "it is late");
    append_surely(&other, append(stream(99), 0, ["a"])).await;
    let all = found(everything(&other).await);
    let rest = [(stream(5), 3), (stream(5), 4), (stream(5), 5), (stream(99), 1)];
    assert_eq!(all[expected.len()..], rest);
    let granted = "SELECT count(*) FROM information_schema.role_table_grants
        WHERE table_name = 'events' AND grantee = 'PUBLIC'";
    assert_eq!(database.numbers(granted).await, [1], "what was granted stays");
}

/// A plan that was made while the tables were small must not be one that reads all of them.
#[tokio::test]
async fn tables_that_grow_fast_are_read_along_their_indexes() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    PostgresStore::open(&database.url).await.unwrap().close().await;
    database.tell("ANALYZE hakken.events, hakken.streams").await;
    let making = scans(&database).await;
    let store = PostgresStore::open(&database.url).await.unwrap();
    for number in 1..40 {
        append_surely(&store, append(stream(number), 0, ["a"])).await;
        EventStore::read_stream(&store, stream(number), 0, 10).await.unwrap();
    }
    store.close().await;
    assert_eq!(scans(&database).await, making);
    // The control: a session without the settings of the store's own.
    let mut other = database.connect().await;
    for number in 40..80 {
        append_as_before(&mut other, stream(number), 0).await;
    }
    other.close().await.unwrap();
    assert!(scans(&database).await > making);
}

/// How often a table was read from end to end, as sessions say when they end.
async fn scans(database: &TestDatabase) -> i64 {
    let sessions = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended = async {
        while database.numbers(sessions).await != [0] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("sessions end");
    let scans = "SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables
        WHERE schemaname = 'hakken' AND relname IN ('events', 'streams')";
    database.numbers(scans).await[0]
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_words() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let store = open(&database).await;
    store.bind_secret(Fingerprint(1)).await.unwrap();
    store.bind_secret(Fingerprint(1)).await.unwrap();
    let refused = store.bind_secret(Fingerprint(2)).await;
    assert!(matches!(refused, Err(OpenError::OtherSecret { .. })), "{refused:?}");
    append_surely(&store, append(stream(1), 0, ["a"])).await;
    let mut other = database.connect().await;
    for change in [
        "UPDATE hakken.events SET data = ''",
        "DELETE FROM hakken.events",
        "TRUNCATE hakken.events",
        "UPDATE hakken.streams SET began = 9",
        "DELETE FROM hakken.streams",
        "TRUNCATE hakken.streams",
    ] {
        let error = sqlx::query(change).execute(&mut other).await.unwrap_err().to_string();
        assert!(error.contains("events are never changed"), "{change}: {error}");
    }
    sqlx::query("INSERT INTO hakken.migrations (format) VALUES (99)")
        .execute(&mut other)
        .await
        .unwrap();
    let refused = PostgresStore::open(&database.url).await.map(drop);
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, .. })), "{refused:?}");
    let refused = PostgresStore::open("postgres://h:secret@127.0.0.1:port/x").await.map(drop);
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("postgres://USER") && !words.contains("secret@"), "{words}");
    let nowhere = server.url_at(server.port(), "no_such_database");
    let refused = PostgresStore::open(&nowhere).await.map(drop);
    assert!(matches!(refused, Err(OpenError::Unreachable { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_is_held_by_one_and_moves_when_that_one_is_gone() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let (one, two) = (open(&database).await, open(&database).await);
    let first = one.lease();
    let held = |lease: &hakken_adapters::postgres::Lease| {
        let mut held = lease.held();
        async move { timeout(PATIENCE, held.wait_for(|held| *held)).await.map(|_| ()) }
    };
    held(&first).await.expect("nobody else wants it");
    let second = two.lease();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(!*second.held().borrow() && *first.held().borrow());
    first.release().await;
    held(&second).await.expect("it was given up");
    // A session that is cut: whoever is first has it, and never two.
    let third = one.lease();
    let (mut seen, mut lost) = (0, second.held());
    database.cut().await;
    timeout(PATIENCE, lost.wait_for(|held| !*held)).await.expect("it is noticed").unwrap();
    for _ in 0..40 {
        let holders = usize::from(*second.held().borrow()) + usize::from(*third.held().borrow());
        assert!(holders <= 1);
        seen += holders;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(seen > 0, "somebody has it again");
}

/// As a holder does that stands still: its connection stays, and nothing comes over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_says_nothing_loses_the_lease_though_its_connection_stays() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let proxy = Proxy::before(server.port()).await;
    let one = PostgresStore::open(&server.url_at(proxy.port(), &database.name)).await.unwrap();
    let two = open(&database).await;
    let first = one.lease();
    let mut held = first.held();
    timeout(PATIENCE, held.wait_for(|held| *held)).await.expect("nobody else wants it").unwrap();
    let second = two.lease();
    proxy.set(Mood::Silent);
    let mut held = second.held();
    let moved = timeout(Duration::from_secs(15), held.wait_for(|held| *held)).await;
    moved.expect("the lease moves to who can answer").unwrap();
    // When it comes back it finds that it has it no more.
    proxy.set(Mood::Fair);
    let mut lost = first.held();
    timeout(PATIENCE, lost.wait_for(|held| !*held)).await.expect("it is noticed").unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(*second.held().borrow() && !*first.held().borrow());
}

/// An operator may let the whole server answer before it has synced. Events are not meant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_not_to_sync_still_syncs_events() {
    let Some(mut server) = Postgres::own(true) else { return };
    let database = server.database().await;
    let store = open(&database).await;
    append_surely(&store, append(stream(0), 0, ["a"])).await;
    // Now that it is connected. What is not synced at once is synced ten seconds later.
    for setting in [
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "ALTER SYSTEM SET wal_writer_flush_after = '1GB'",
        "SELECT pg_reload_conf()",
    ] {
        database.tell(setting).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for number in 1..20 {
        append_surely(&store, append(stream(number), 0, ["a"])).await;
    }
    server.kill();
    server.begin();
    assert_eq!(everything(&store).await.len(), 20, "all was acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_holds_up_other_processes_and_brings_what_they_wrote() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let (one, two) = (open(&database).await, open(&database).await);
    append_surely(&two, append(stream(1), 0, ["a"])).await;
    let turn = one.turn(vec![(stream(1), 0)]).expect("it gives turns").await.unwrap();
    assert_eq!(turn.newer[0].as_ref().map(Vec::len), Some(1));
    let rival = two.clone();
    let mut rival =
        tokio::spawn(async move { append_surely(&rival, append(stream(1), 1, ["rival"])).await });
    let waited = timeout(Duration::from_millis(300), &mut rival).await;
    assert!(waited.is_err(), "it appended within the turn of another process");
    let answer = turn.append(vec![append(stream(1), 1, ["b"])], at(0)).await.unwrap();
    assert_eq!(written(&answer[0])[0].version, 2);
    timeout(PATIENCE, rival).await.expect("it goes on").unwrap();
    assert_eq!(everything(&one).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_no_longer_waits_for_its_turn_holds_up_nobody() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let (one, two) = (open(&database).await, open(&database).await);
    let turn = one.turn(vec![(stream(1), 0)]).expect("it gives turns").await.unwrap();
    let waits = two.turn(vec![(stream(1), 0)]).expect("it gives turns");
    assert!(timeout(Duration::from_millis(300), waits).await.is_err());
    let answer = turn.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    written(&answer[0]);
    for (n, store) in [(2, &two), (3, &one)] {
        let append = append_surely(store, append(stream(n), 0, ["b"]));
        timeout(Duration::from_secs(5), append).await.expect("it goes on");
    }
}

/// As a process does that is stopped, or whose machine is gone, within its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_still_in_a_turn_loses_it() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let (one, two) = (open(&database).await, open(&database).await);
    let turn = one.turn(vec![(stream(1), 0)]).expect("it gives turns").await.unwrap();
    let began = tokio::time::Instant::now();
    append_surely(&two, append(stream(2), 0, ["a"])).await;
    assert!(began.elapsed() < Duration::from_secs(5), "after {:?}", began.elapsed());
    let late = turn.append(vec![append(stream(1), 0, ["late"])], at(0)).await;
    assert_eq!(late.unwrap_err().kind, StoreErrorKind::Unavailable);
    append_surely(&one, append(stream(1), 0, ["b"])).await;
    let all = everything(&two).await;
    assert_eq!(all.iter().map(|event| &event.data[..]).collect::<Vec<_>>(), [b"a", b"b"]);
}
