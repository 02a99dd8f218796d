//! What every row store must do.

use hakken_domain::{
    envelope::Position,
    names::{EventId, derived_ulid},
    time::Timestamp,
};

use super::Store;
use crate::rows::{
    BuildId, Changes, Checkpoint, Column, Filter, Key, Purpose, Query, Row, RowError, RowStore,
    Table, TableChanges, Tables, Value,
};

static PEOPLE: Table = Table {
    name: "people",
    noun: "person",
    columns: &[
        Column::text("town"),
        Column::int("number"),
        Column::text("order"),
        Column::int("age"),
        Column::doc("doc"),
    ],
    key: 2,
    indexes: &[&["age", "number"], &["order"]],
};

static EVENTS: Table = Table {
    name: "log",
    noun: "entry",
    columns: &[Column::int("position"), Column::text("what")],
    key: 1,
    indexes: &[],
};

const TABLES: Tables = &[&PEOPLE, &EVENTS];

fn person(town: &str, number: i64, age: Option<i64>) -> Row {
    vec![
        Value::text(town),
        Value::Int(number),
        Value::text(format!("\"{town}\"\\ {number}")),
        age.map_or(Value::Null, Value::Int),
        Value::text(format!("{{\"名\":\"{town}\",\"say\":\"a \\\"b\\\" \\n\"}}")),
    ]
}

fn key(town: &str, number: i64) -> Key {
    vec![Value::text(town), Value::Int(number)]
}

fn at(position: u64) -> Checkpoint {
    Checkpoint {
        position: Position(position),
        event: Some(EventId(derived_ulid(&[&position.to_string()]))),
        recorded_at: Timestamp::from_micros(position as i64),
    }
}

fn put(upserts: Vec<Row>, deletes: Vec<Key>) -> Changes {
    vec![TableChanges { table: &PEOPLE, upserts, deletes }]
}

async fn three(rows: &dyn RowStore) -> BuildId {
    let build = rows.create("p", 7, Purpose::Rebuild, TABLES).await.expect("a build");
    let people =
        vec![person("さいたま", 1, Some(30)), person("Oslo", 1, None), person("Oslo", 2, Some(40))];
    rows.commit(build, &put(people, Vec::new()), Position(0), at(3)).await.expect("a commit");
    build
}

/// A row comes back as it was put, whatever characters it has; another put replaces it, and a
/// delete takes it away.
pub async fn rows_come_back_as_they_were_put(store: Store) {
    let rows = store.rows.as_ref();
    let build = three(rows).await;
    let keys = vec![key("さいたま", 1), key("Oslo", 1), key("Oslo", 3)];
    let mut found = rows.load(build, &PEOPLE, keys.clone()).await.expect("rows");
    found.sort();
    assert_eq!(found, vec![person("Oslo", 1, None), person("さいたま", 1, Some(30))]);
    let changes = put(vec![person("Oslo", 1, Some(31))], vec![key("さいたま", 1)]);
    rows.commit(build, &changes, Position(3), at(5)).await.expect("a commit");
    let found = rows.load(build, &PEOPLE, keys).await.expect("rows");
    assert_eq!(found, vec![person("Oslo", 1, Some(31))]);
}

/// Rows and checkpoint change together or not at all, and only from where the writer left them.
pub async fn a_commit_from_elsewhere_changes_nothing(store: Store) {
    let rows = store.rows.as_ref();
    let build = three(rows).await;
    let changes = put(vec![person("Paris", 1, None)], Vec::new());
    let refused = rows.commit(build, &changes, Position(2), at(9)).await;
    assert!(
        matches!(refused, Err(RowError::Moved { found: Position(3), .. })),
        "{refused:?} instead of Moved"
    );
    assert_eq!(rows.count(build, &PEOPLE, Vec::new()).await.expect("a count"), 3);
    let builds = rows.builds().await.expect("builds");
    assert_eq!(builds.len(), 1);
    assert_eq!(builds[0].checkpoint, at(3));
    assert_eq!((builds[0].version, builds[0].projection.as_str()), (7, "p"));
}

/// Filters hold together; null meets none.
pub async fn queries_filter(store: Store) {
    let rows = store.rows.as_ref();
    let build = three(rows).await;
    rows.index(build, TABLES).await.expect("indexes");
    rows.index(build, TABLES).await.expect("indexes again");
    let count = async |filters| rows.count(build, &PEOPLE, filters).await.expect("a count");
    assert_eq!(count(vec![Filter::is("town", "Oslo")]).await, 2);
    assert_eq!(count(vec![Filter::is("town", "Oslo"), Filter::AtLeast("age", 1)]).await, 1);
    assert_eq!(count(vec![Filter::AtLeast("age", 30), Filter::AtMost("age", 39)]).await, 1);
    assert_eq!(count(vec![Filter::Equal("age", Value::Null)]).await, 0);
    let towns = vec![Value::text("さいたま"), Value::text("Paris")];
    assert_eq!(count(vec![Filter::OneOf("town", towns)]).await, 1);
    assert_eq!(count(vec![Filter::is("order", "\"Oslo\"\\ 1")]).await, 1);
}

/// An order over two columns goes on behind any place, in both directions.
pub async fn queries_go_on_behind_a_place(store: Store) {
    let rows = store.rows.as_ref();
    let build = three(rows).await;
    let query = |descending, after, limit| Query {
        table: &PEOPLE,
        filters: Vec::new(),
        order: vec!["number", "town"],
        descending,
        after,
        limit,
    };
    let names = |rows: Vec<Row>| {
        let name = |row: &Row| format!("{} {}", row[0], row[1]);
        rows.iter().map(name).collect::<Vec<_>>()
    };
    let asked = async |query| names(rows.query(build, query).await.expect("rows"));
    assert_eq!(asked(query(false, None, 9)).await, ["Oslo 1", "さいたま 1", "Oslo 2"]);
    assert_eq!(asked(query(true, None, 2)).await, ["Oslo 2", "さいたま 1"]);
    let place = Some(vec![Value::Int(1), Value::text("Pisa")]);
    assert_eq!(asked(query(false, place.clone(), 9)).await, ["さいたま 1", "Oslo 2"]);
    assert_eq!(asked(query(true, place, 9)).await, ["Oslo 1"]);
    let all = rows.query(build, Query::all(&PEOPLE, Some(key("Oslo", 1)), 9)).await;
    assert_eq!(names(all.expect("rows")), ["Oslo 2", "さいたま 1"]);
}

/// Two builds of a projection stand side by side; one is served at a time.
pub async fn builds_stand_side_by_side(store: Store) {
    let rows = store.rows.as_ref();
    let old = three(rows).await;
    rows.serve(old, at(7).recorded_at).await.expect("served");
    let new = rows.create("p", 8, Purpose::Rebuild, TABLES).await.expect("a build");
    let other = rows.create("q", 1, Purpose::Served, TABLES).await.expect("a build");
    rows.serve(new, at(9).recorded_at).await.expect("served");
    let purposes = async || {
        let builds = rows.builds().await.expect("builds");
        builds.iter().map(|b| (b.id, b.purpose, b.since.as_micros())).collect::<Vec<_>>()
    };
    let (kept, served) = ((old, Purpose::Retired, 9), (new, Purpose::Served, 9));
    assert_eq!(purposes().await, [kept, served, (other, Purpose::Served, 0)]);
    rows.mark(other, Purpose::Halted, at(11).recorded_at).await.expect("marked");
    rows.mark(BuildId(4_711), Purpose::Halted, at(11).recorded_at).await.expect("nothing to mark");
    assert_eq!(purposes().await, [kept, served, (other, Purpose::Halted, 11)]);
    assert_eq!(rows.count(old, &PEOPLE, Vec::new()).await.expect("a count"), 3);
    assert_eq!(rows.count(new, &PEOPLE, Vec::new()).await.expect("a count"), 0);
    rows.remove(old).await.expect("removed");
    rows.remove(old).await.expect("removed again");
    assert!(rows.count(old, &PEOPLE, Vec::new()).await.is_err());
    assert_eq!(rows.count(new, &PEOPLE, Vec::new()).await.expect("a count"), 0);
    assert_eq!(rows.builds().await.expect("builds").len(), 2);
}

/// Many rows go in and out at once.
pub async fn bulk_is_whole(store: Store) {
    let rows = store.rows.as_ref();
    let build = rows.create("p", 1, Purpose::Served, TABLES).await.expect("a build");
    let entry = |n: i64| vec![Value::Int(n), Value::text("x".repeat(500))];
    let upserts: Vec<Row> = (0..20_000).map(entry).collect();
    let changes = vec![TableChanges { table: &EVENTS, upserts, deletes: Vec::new() }];
    rows.commit(build, &changes, Position(0), at(1)).await.expect("a commit");
    let keys: Vec<Key> = (0..30_000).map(|n| vec![Value::Int(n)]).collect();
    let found = rows.load(build, &EVENTS, keys.clone()).await.expect("rows");
    assert_eq!(found.len(), 20_000);
    let deletes = keys[5_000..].to_vec();
    let changes = vec![TableChanges { table: &EVENTS, upserts: Vec::new(), deletes }];
    rows.commit(build, &changes, Position(1), at(2)).await.expect("a commit");
    assert_eq!(rows.count(build, &EVENTS, Vec::new()).await.expect("a count"), 5_000);
    let people: Vec<Row> = (1..=1_000).map(|n| person("さいたま", n, Some(n))).collect();
    rows.commit(build, &put(people.clone(), Vec::new()), Position(2), at(3)).await.expect("put");
    let found = rows.query(build, Query::all(&PEOPLE, None, 2_000)).await.expect("rows");
    assert!(found == people, "wide rows come back as they were put");
}

/// Makes a test of each function of the suite. The expression makes a [`Store`].
#[macro_export]
macro_rules! row_store_suite {
    ($make:expr) => {
        $crate::each_test!($make, rows: [
            rows_come_back_as_they_were_put,
            a_commit_from_elsewhere_changes_nothing,
            queries_filter,
            queries_go_on_behind_a_place,
            builds_stand_side_by_side,
            bulk_is_whole,
        ]);
    };
}

/// Makes a test of each of these functions.
#[macro_export]
macro_rules! each_test {
    ($make:expr, $suite:ident: [$($name:ident),* $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::testing::$suite::$name($make).await;
            }
        )*
    };
}
