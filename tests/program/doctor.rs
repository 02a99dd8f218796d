//! `hakken doctor`: sound where all is well, and each check fails on a store that was damaged for
//! it on purpose.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hakken_adapters::{data_dir::DataDir, embedded::EmbeddedStore, rows::SqliteRows};
use hakken_commands::store::{Append, Appended, EventStore, NewEvent, SideStore};
use hakken_domain::{
    audit::{Audit, Part},
    envelope::{Position, StoredEvent, StreamId, StreamKind},
    names::{EventId, derived_ulid},
    time::Timestamp,
};
use hakken_projections::{
    ALL,
    rows::{Purpose, Query, RowStore, TableChanges, Value as Cell},
};
use hakken_tests::postgres::Postgres;
use serde_json::{Value, json};

use super::program::{OnSale, Server, copy, good, hakken, hall, run, text};

/// The data of a small demo, closed well; every case damages a copy.
struct Data {
    temp: tempfile::TempDir,
    copies: usize,
}

impl Data {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("hall.json");
        fs::write(&file, hall(12).to_string()).unwrap();
        let whole = temp.path().join("whole");
        let (file, data) = (file.to_str().unwrap(), whole.to_str().unwrap());
        good(&["demo", "--json", "--hall", file, "--buyers", "4", "--data", data]);
        Self { temp, copies: 0 }
    }

    fn copy(&mut self) -> PathBuf {
        let to = self.temp.path().join(format!("copy-{}", self.copies));
        self.copies += 1;
        copy(&self.temp.path().join("whole"), &to);
        // A copy of a file has the mode of the process that made it.
        #[cfg(unix)]
        fs::set_permissions(to.join("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        to
    }
}

/// What the doctor says of a directory, and its exit code.
fn examine(data: &Path, more: &[&str]) -> (Value, i32) {
    let data = data.to_str().unwrap();
    let usual = ["doctor", "--json", "--data", data];
    // How full the disk of the test is, is nobody's business.
    let any_disk = if more.contains(&"--least-free") { &[][..] } else { &["--least-free", "0"] };
    let output = run(&[&usual[..], any_disk, more].concat());
    let told = text(&output.stdout);
    let error = text(&output.stderr);
    assert!(!error.contains("panicked"), "{error}");
    let told = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{error}"));
    (told, output.status.code().unwrap())
}

/// A finding of this check has these words, and the exit code is as bad as that.
#[track_caller]
fn finds(data: &Path, more: &[&str], code: i32, check: &str, words: &[&str]) {
    let (told, exit) = examine(data, more);
    let findings = told["findings"].as_array().unwrap();
    let found = findings.iter().any(|finding| {
        let what = format!("{} -> {}", finding["what"], finding["mend"]);
        finding["check"] == check && words.iter().all(|word| what.contains(word))
    });
    assert!(found, "{check} {words:?}: {told:#}");
    assert_eq!(exit, code, "{told:#}");
}

async fn open(data: &Path) -> EmbeddedStore {
    EmbeddedStore::open(&DataDir::at(data)).await.unwrap()
}

async fn all(store: &EmbeddedStore) -> Vec<Arc<StoredEvent>> {
    EventStore::read_all(store, Position(0), usize::MAX).await.unwrap()
}

/// Appends to a stream what an event says, changed.
async fn forge(
    store: &EmbeddedStore,
    stream: StreamId,
    like: &StoredEvent,
    kind: &'static str,
    change: impl FnOnce(&mut Value),
) {
    let known = EventStore::read_stream(store, stream, 0, usize::MAX).await.unwrap();
    let mut data: Value = serde_json::from_slice(&like.data).unwrap();
    change(&mut data);
    let count = EventStore::head(store).await.unwrap().to_string();
    let event = NewEvent {
        id: EventId(derived_ulid(&["forged", &count])),
        kind,
        schema: 1,
        data: data.to_string().into(),
        meta: like.meta.clone(),
        decoded: None,
    };
    let expected = known.last().map_or(0, |event| event.version);
    let append = Append { stream, expected, events: vec![event] };
    let answers = store.append(vec![append], like.recorded_at).await.unwrap();
    assert!(matches!(answers[0], Appended::Written(_)));
}

fn of_kind<'e>(events: &'e [Arc<StoredEvent>], kind: &str) -> &'e StoredEvent {
    events.iter().find(|event| event.kind == kind).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sound_is_told_in_a_line_or_two_alone_and_beside_a_server() {
    let mut data = Data::new();
    let whole = data.copy();
    for more in [&[][..], &["--deep"]] {
        let (told, code) = examine(&whole, more);
        assert_eq!((&told["verdict"], code), (&json!("sound"), 0), "{told:#}");
        let notes = told["findings"].as_array().unwrap();
        assert!(notes.iter().all(|finding| finding["check"] == "server"), "{told:#}");
    }
    let words = good(&["doctor", "--least-free", "0", "--data", whole.to_str().unwrap()]);
    assert_eq!(words.lines().count(), 2, "{words}");
    assert!(words.contains("sound: looked at"), "{words}");

    let beside = data.temp.path().join("beside");
    let server = Server::start(&beside);
    let key = server.key.clone().unwrap();
    OnSale::open(&server.client(&key), 20).await;
    let (told, code) = examine(&beside, &["--url", &server.url, "--key", &key]);
    assert_eq!((&told["findings"], code), (&json!([]), 0), "{told:#}");
    assert!(told["looked_at"].to_string().contains("served by process"), "{told:#}");

    // A server that is killed leaves its name behind; the next start needs nobody's help.
    server.kill();
    finds(&beside, &[], 1, "server", &["did not close", "hakken serve"]);
}

/// A log has a file for each 64 MiB, and what a shell lets a program open is less than a large one.
#[cfg(unix)]
#[test]
fn the_soft_limit_of_open_files_is_none() {
    let mut data = Data::new();
    let sound = hakken(&["doctor", "--least-free", "0", "--data", data.copy().to_str().unwrap()]);
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "ulimit -S -n 12; exec \"$@\"", "bash"]);
    let output = shell.arg(sound.get_program()).args(sound.get_args()).output().unwrap();
    let (words, why) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && words.contains("sound: looked at"), "{words}{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_that_cannot_be_are_broken() {
    let mut data = Data::new();
    // A second time what happens once.
    let copy = data.copy();
    let store = open(&copy).await;
    let events = all(&store).await;
    let issued = of_kind(&events, "ticket-issued");
    forge(&store, issued.stream, issued, "ticket-issued", |_| ()).await;
    store.close().await.unwrap();
    let position = format!("position {}", events.len() + 1);
    finds(&copy, &[], 3, "facts", &[&position, "issued twice", "hakken replay"]);

    // A kind that nobody knows.
    let copy = data.copy();
    let store = open(&copy).await;
    let new = StreamId { kind: StreamKind::Order, id: derived_ulid(&["new"]) };
    forge(&store, new, issued, "from-the-future", |_| ()).await;
    store.close().await.unwrap();
    finds(&copy, &[], 3, "kinds", &[&position, "from-the-future", "newer"]);

    // A seat that is sold already, held for somebody else.
    let copy = data.copy();
    let store = open(&copy).await;
    let confirmed = of_kind(&events, "hold-confirmed");
    let sold: Value = serde_json::from_slice(&confirmed.data).unwrap();
    let of_seats = |event: &&Arc<StoredEvent>| {
        event.kind == "seats-held"
            && serde_json::from_slice::<Value>(&event.data).unwrap()["hold"] == sold["hold"]
    };
    let held = events.iter().find(of_seats).unwrap();
    let other = derived_ulid(&["other"]).to_string();
    forge(&store, held.stream, held, "seats-held", |data| data["hold"] = json!(other)).await;
    store.close().await.unwrap();
    finds(&copy, &[], 3, "folds", &[&position, "does not follow", "hakken replay"]);
    let stream = held.stream.to_string();
    let replay = run(&["replay", &stream, "--data", copy.to_str().unwrap()]);
    assert_eq!(replay.status.code(), Some(1));
    let error = text(&replay.stderr);
    assert!(error.contains("does not follow") && !error.contains("panicked"), "{error}");

    // A bit that is not what it was.
    let copy = data.copy();
    let files = fs::read_dir(copy.join("events")).unwrap().map(|entry| entry.unwrap().path());
    let is_whole = |file: &PathBuf| file.extension().is_none_or(|ending| ending != "draft");
    let file = files.filter(is_whole).min().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[2_000] ^= 4;
    fs::write(&file, bytes).unwrap();
    finds(&copy, &[], 3, "events", &["damaged", "backup"]);
}

/// All that an audit of one part finds.
fn audited(events: &[Arc<StoredEvent>], part: Part) -> Vec<String> {
    let mut audit = Audit::of(part);
    let wrong = |event: &Arc<StoredEvent>| audit.read_next(event).err();
    let mut found: Vec<String> = events.iter().filter_map(wrong).collect();
    found.extend(audit.unrest(Timestamp::MAX).into_iter().map(|(_, wrong)| wrong));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_read_in_parts_is_found_wrong_just_the_same() {
    let mut data = Data::new();
    let store = open(&data.copy()).await;
    let events = all(&store).await;
    for (n, placed) in events.iter().filter(|event| event.kind == "order-placed").enumerate() {
        let new = StreamId { kind: StreamKind::Order, id: derived_ulid(&["part", &n.to_string()]) };
        let half = [("order-placed", placed.stream), ("order-paid", placed.stream)];
        for (kind, stream) in half {
            let is_like = |event: &&Arc<StoredEvent>| event.stream == stream && event.kind == kind;
            if let Some(like) = events.iter().find(is_like) {
                forge(&store, new, like, kind, |_| ()).await;
            }
        }
        forge(&store, placed.stream, placed, "order-placed", |_| ()).await;
    }
    let events = all(&store).await;
    let mut whole = audited(&events, Part::WHOLE);
    whole.sort();
    assert!(whole.len() >= 6, "{whole:?}");
    for of in [2, 3, 7] {
        let parts = (0..of).flat_map(|index| audited(&events, Part { index, of }));
        let mut parts: Vec<String> = parts.collect();
        parts.sort();
        assert_eq!(parts, whole, "in {of} parts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_half_done_needs_attention() {
    let mut data = Data::new();
    let copy = data.copy();
    let store = open(&copy).await;
    let events = all(&store).await;
    let first = of_kind(&events, "order-paid").stream;
    let new = StreamId { kind: StreamKind::Order, id: derived_ulid(&["half done"]) };
    for event in events.iter().filter(|event| event.stream == first) {
        let kind = match &*event.kind {
            "order-placed" => "order-placed",
            "payment-captured" => "payment-captured",
            "order-paid" => "order-paid",
            _ => break,
        };
        forge(&store, new, event, kind, |_| ()).await;
    }
    store.close().await.unwrap();
    let words = [&*new.id.to_string(), "neither confirmed nor over", "start the server"];
    finds(&copy, &["--grace", "0"], 1, "orders", &words);
    // It may be under way still.
    let (told, _) = examine(&copy, &["--grace", "86400"]);
    assert!(!told.to_string().contains("neither confirmed"), "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_that_ended_long_ago_are_told_by_the_name_of_their_show() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let key = server.key.clone().unwrap();
    let on_sale = OnSale::open(&server.client(&key), 20).await;
    let input = json!({ "idempotencyKey": "h", "show": on_sale.show, "buyer": "b",
        "seats": ["S1"], "ttlSeconds": 600 });
    server.client(&on_sale.seller_key).tell("holdSeats", "hold { id }", input).await;
    server.kill();
    let store = open(temp.path()).await;
    let events = all(&store).await;
    let held = of_kind(&events, "seats-held");
    let other = derived_ulid(&["over"]).to_string();
    let stream = held.stream;
    forge(&store, stream, held, "seats-held", |data| {
        data["hold"] = json!(other);
        data["buyer"] = json!("c");
        data["seats"] = json!(["S7"]);
        data["expires_at"] = json!("2026-01-01T00:00:00Z");
    })
    .await;
    store.close().await.unwrap();
    let words = ["(Show)", "1 holds have ended since 2026-01-01T00:00:00Z"];
    finds(temp.path(), &[], 1, "holds", &words);
    // Nobody does it although a server runs.
    let lock = fs::File::open(temp.path().join("LOCK")).unwrap();
    lock.lock().unwrap();
    let words = ["1 holds have ended since", "the server should have done it"];
    finds(temp.path(), &[], 1, "holds", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_a_store_is_looked_at_too() {
    let mut data = Data::new();
    let copy = data.copy();
    finds(&copy, &["--least-free", "999999999"], 1, "disk", &["MiB are free", "make room"]);
    #[cfg(unix)]
    {
        let open: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(copy.join("secret"), open).unwrap();
        finds(&copy, &[], 1, "secret", &["mode 644", "chmod 600"]);
    }
    fs::write(copy.join("secret"), [1; 36]).unwrap();
    finds(&copy, &[], 3, "secret", &["does not match its checksum", "backup"]);
    fs::remove_file(copy.join("secret")).unwrap();
    finds(&copy, &[], 3, "secret", &["is missing", "backup"]);

    for (file, check) in [("index.db", "index"), ("side.db", "side.db")] {
        let copy = data.copy();
        for suffix in ["-wal", "-shm"] {
            // They are there only after some ends.
            let _ = fs::remove_file(copy.join(format!("{file}{suffix}")));
        }
        fs::write(copy.join(file), [7; 9_000]).unwrap();
        finds(&copy, &[], 1, check, &["delete", file]);
    }

    let copy = data.copy();
    let store = open(&copy).await;
    store.save_checkpoint("checkout", Position(1_000_000)).await.unwrap();
    store.close().await.unwrap();
    // Events that a process has answered were there.
    finds(&copy, &[], 3, "events", &["were acknowledged", "side.db", "backup"]);

    let copy = data.copy();
    let directory = copy.to_str().unwrap();
    let keys = good(&["keys", "list", "--json", "--data", directory]);
    for key in keys.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if key["role"] == "operator" {
            good(&["keys", "revoke", key["api_key"].as_str().unwrap(), "--data", directory]);
        }
    }
    finds(&copy, &[], 1, "keys", &["no operator's key", "keys create"]);

    let nowhere = data.temp.path().join("nowhere");
    let (told, code) = examine(&nowhere, &[]);
    assert_eq!((&told["verdict"], code), (&json!("unknown"), 4), "{told:#}");
    assert_eq!(run(&["doctor", "--grace", "soon"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_that_are_not_of_these_events_need_attention() {
    let (mut data, mut other) = (Data::new(), Data::new());
    let copy = data.copy();
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("read-models.db{suffix}");
        let _ = fs::remove_file(copy.join(&name));
        let theirs = other.copy().join(&name);
        if theirs.exists() {
            fs::copy(theirs, copy.join(&name)).unwrap();
        }
    }
    let (told, code) = examine(&copy, &[]);
    assert_eq!(code, 1, "{told:#}");
    let what = told["findings"].to_string();
    assert!(what.contains("other events") || what.contains("none behind"), "{told:#}");
    assert!(what.contains("hakken rebuild"), "{told:#}");

    // A row that nobody folded.
    let copy = data.copy();
    let rows = SqliteRows::open(&copy.join("read-models.db")).await.unwrap();
    let builds = rows.builds().await.unwrap();
    let sales = ALL.iter().find(|projection| projection.name == "tickets").unwrap();
    let build = builds.iter().find(|build| is_served(build, sales.name)).unwrap();
    let table = sales.tables[0];
    let query = Query {
        table,
        filters: Vec::new(),
        order: table.key_names(),
        descending: false,
        after: None,
        limit: 1,
    };
    let mut row = rows.query(build.id, query).await.unwrap().remove(0);
    let at = table.column("buyer");
    row[at] = Cell::text("somebody");
    let change = TableChanges { table, upserts: vec![row], deletes: Vec::new() };
    let checkpoint = build.checkpoint;
    rows.commit(build.id, &vec![change], checkpoint.position, checkpoint).await.unwrap();
    rows.close().await;
    // Of a table as short as this one, every row is in the sample.
    let words = ["tickets", "buyer is somebody", "its events say", "hakken rebuild tickets"];
    finds(&copy, &[], 1, "read models", &words);
    finds(&copy, &["--deep"], 1, "read models", &["tickets", "not what", "hakken rebuild tickets"]);
    good(&["rebuild", "tickets", "--data", copy.to_str().unwrap()]);
    let (told, code) = examine(&copy, &["--deep"]);
    assert_eq!(code, 0, "what it names has mended it: {told:#}");

    let copy = data.copy();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(copy.join(format!("read-models.db{suffix}")));
    }
    fs::write(copy.join("read-models.db"), [3; 20_000]).unwrap();
    finds(&copy, &[], 1, "read models", &["cannot be used", "delete read-models.db"]);
}

fn is_served(build: &hakken_projections::rows::Build, name: &str) -> bool {
    build.projection == name && build.purpose == Purpose::Served
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_in_a_database_are_looked_at_wherever_the_events_are() {
    let Some(postgres) = Postgres::shared() else { return };
    let mut data = Data::new();
    let node = data.copy();
    let node = node.to_str().unwrap();
    let events = postgres.database().await;
    let elsewhere = postgres.database().await;
    good(&["copy", "--from-data", node, "--to", &events.url, "--to-data", &format!("{node}-db")]);
    let other = format!("{node}-db");
    for (dir, database, store) in [
        (&*other, &events, &["--store", &*events.url, "--read-models", "one"][..]),
        (node, &elsewhere, &["--read-models", "one", "--read-models-in", &*elsewhere.url]),
    ] {
        let dir = Path::new(dir);
        let data = ["--data", dir.to_str().unwrap()];
        let (told, code) = examine(dir, store);
        assert_eq!(code, 0, "{told:#}");
        assert!(told["findings"].to_string().contains("there are none yet"), "{told:#}");
        good(&[&["verify"], store, &data].concat());
        assert!(!dir.join("read-models.db").exists() || dir == Path::new(node));
        for more in [&[][..], &["--deep"]] {
            let (told, code) = examine(dir, &[store, more].concat());
            assert_eq!((&told["verdict"], code), (&json!("sound"), 0), "{told:#}");
            assert!(told["looked_at"].to_string().contains("9 read models, "), "{told:#}");
        }
        let build = "SELECT id FROM hakken_rows.builds
                     WHERE projection = 'orders' AND purpose = 'served' AND owner = 'one'";
        let build = database.numbers(build).await[0];
        let wrong = format!("UPDATE hakken_rows.\"orders__{build}\" SET buyer = 'somebody'");
        database.tell(&wrong).await;
        let words = ["orders", "buyer is somebody", "hakken rebuild orders"];
        finds(dir, store, 1, "read models", &words);
        // Rows of other events.
        let moved = "UPDATE hakken_rows.builds SET position = position + 100000
                     WHERE projection = 'sales'";
        database.tell(moved).await;
        finds(dir, store, 1, "read models", &["sales", "none behind", "hakken rebuild sales"]);
    }
    let nowhere = ["--read-models", "one", "--read-models-in", "postgres://hakken@127.0.0.1:1/h"];
    let (told, code) = examine(Path::new(node), &nowhere);
    assert_eq!((&told["verdict"], code), (&json!("unknown"), 4), "{told:#}");
    let told = run(&["doctor", "--read-models-in", "postgres://h@h/h", "--data", node]);
    assert_eq!(told.status.code(), Some(2), "it needs a name");
    let esdb = ["--read-models", "one", "--read-models-in", "esdb://h:1"];
    assert_eq!(run(&[&["doctor", "--data", node][..], &esdb].concat()).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_looked_at_and_its_gaps_are_found() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database().await;
    let mut data = Data::new();
    let (whole, node) = (data.copy(), data.temp.path().join("node"));
    let [whole, node] = [&whole, &node].map(|path| path.to_str().unwrap());
    good(&["copy", "--from-data", whole, "--to", &database.url, "--to-data", node]);
    let store = ["--store", &*database.url];
    let (told, code) = examine(Path::new(node), &store);
    assert_eq!((&told["verdict"], code), (&json!("sound"), 0), "{told:#}");

    let mut admin = database.connect().await;
    let ahead = "INSERT INTO hakken.checkpoints VALUES ('checkout', 1000000)";
    hakken_tests::postgres::execute(&mut admin, ahead).await;
    finds(
        Path::new(node),
        &store,
        1,
        "processes",
        &["checkout", "beyond the head", "hakken.checkpoints"],
    );
    for (change, words) in [
        ("position + 2, recorded_at, version + 7", ["are missing", "has version"]),
        ("position + 3, recorded_at - 90000000, version + 8", ["before the position before", ""]),
    ] {
        hakken_tests::postgres::execute(
            &mut admin,
            &format!(
                "INSERT INTO hakken.events
                     (position, recorded_at, version, schema, stream, kind, id, meta, data, began)
                 SELECT {change}, schema, stream, kind, id, meta, data, began FROM hakken.events
                 ORDER BY position DESC LIMIT 1"
            ),
        )
        .await;
        let (told, code) = examine(Path::new(node), &store);
        assert_eq!(code, 3, "{told:#}");
        let told = told["findings"].to_string();
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
    let stranger = data.temp.path().join("stranger");
    fs::create_dir(&stranger).unwrap();
    fs::write(stranger.join("secret"), [9; 32]).unwrap();
    finds(&stranger, &store, 3, "secret", &["another secret"]);
}
