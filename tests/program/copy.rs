//! `hakken copy`: a store moves to PostgreSQL and back, also when it is killed on the way, and
//! never over another history.

use std::{
    fs,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use hakken_adapters::{data_dir::DataDir, embedded::EmbeddedStore};
use hakken_commands::store::{Append, EventStore};
use hakken_domain::envelope::Position;
use hakken_tests::{
    postgres::Postgres,
    stores::{append, at, stream},
};
use serde_json::Value;

use super::program::{OnSale, Server, good, hakken, refused, run, text};

/// What a copy says, as JSON.
fn copied(arguments: &[&str]) -> Value {
    let told = good(&[&["copy", "--json"], arguments].concat());
    serde_json::from_str(&told).unwrap()
}

/// A store of so many events, in batches.
async fn filled(data: &Path, batches: u64) {
    fs::create_dir_all(data).unwrap();
    fs::write(data.join("secret"), [5; 32]).unwrap();
    let store = EmbeddedStore::open(&DataDir::at(data)).await.unwrap();
    for batch in 0..batches {
        let data = vec![b'x'; 200];
        let appends: Vec<Append> =
            (0..50).map(|n| append(stream(n), batch * 40, (0..40).map(|_| data.clone()))).collect();
        store.append(appends, at(batch as i64)).await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_store_moves_to_postgres_and_serves_there_and_comes_back() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database().await;
    let temp = tempfile::tempdir().unwrap();
    let [old, node, back] = ["old", "node", "back"].map(|name| temp.path().join(name));
    let paths = [&old, &node, &back].map(|path| path.to_str().unwrap());
    let server = Server::start(&old);
    let key = server.key.clone().unwrap();
    let on_sale = OnSale::open(&server.client(&key), 20).await;

    // Beside the server first, then the rest.
    let to = ["--from-data", paths[0], "--to", &database.url, "--to-data", paths[1]];
    let first = copied(&to);
    assert_eq!((&first["equal"], &first["already_there"]), (&true.into(), &0.into()));
    assert_eq!(first["secret"], "copied");
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));
    let rest = copied(&to);
    assert_eq!((&rest["equal"], &rest["secret"]), (&true.into(), &"already there".into()));
    assert_eq!(rest["already_there"], first["events"]);
    let words = good(&[&["copy"], &to[..]].concat());
    assert!(words.contains("the same, byte for byte"), "{words}");

    // The same keys open it there.
    let mut command = super::program::serve(&node, &[]);
    command.env("HAKKEN_STORE", &database.url);
    let server = Server::launch(command, false);
    let found = server.client(&key).ask("{ viewer { role } }", serde_json::json!({})).await;
    assert_eq!(found["viewer"]["role"], "OPERATOR");
    assert!(!on_sale.show.is_empty());
    // Nobody copies into a store that is served.
    let again = ["copy", "--from-data", paths[0], "--to", &database.url, "--to-data", paths[2]];
    refused(&again, &["a server works on the target"]);
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));

    let _ = fs::remove_dir_all(&back);
    let from = ["--from", &database.url, "--from-data", paths[1]];
    let home = copied(&[&from[..], &["--to", "embedded", "--to-data", paths[2]]].concat());
    assert_eq!(home["equal"], true);
    assert_eq!(good(&["events", "--json", "--data", paths[2]]), {
        good(&["events", "--json", "--data", paths[1], "--store", &database.url])
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_goes_on_where_it_was() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database().await;
    let temp = tempfile::tempdir().unwrap();
    let [old, node, back] = ["old", "node", "back"].map(|name| temp.path().join(name));
    filled(&old, 40).await;
    let paths = [&old, &node, &back].map(|path| path.to_str().unwrap());
    let to = ["copy", "--from-data", paths[0], "--to", &database.url, "--to-data", paths[1]];
    let mut connection = database.connect().await;
    let mut kills = 0;
    for _ in 0..20 {
        let mut child = hakken(&to).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = hakken_tests::postgres::count_events(&mut connection).await;
        let since = Instant::now();
        // Killed as soon as something of it stands there.
        while since.elapsed() < Duration::from_secs(30) && child.try_wait().unwrap().is_none() {
            if hakken_tests::postgres::count_events(&mut connection).await > before {
                child.kill().unwrap();
                kills += 1;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if hakken_tests::postgres::count_events(&mut connection).await == 80_000 || kills == 3 {
            break;
        }
    }
    assert!(kills > 0, "it was always too fast");
    if hakken_tests::postgres::count_events(&mut connection).await < 80_000 {
        // Nobody sells from a part.
        let serve = ["serve", "--listen", "127.0.0.1:0", "--store", &database.url, "--data"];
        let output = run(&[&serve[..], &[paths[1]]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        let doctor = run(&["doctor", "--store", &database.url, "--data", paths[1]]);
        assert!(text(&doctor.stdout).contains("a part of a history"), "{}", text(&doctor.stdout));
    }
    let told = copied(&to[1..]);
    assert_eq!((&told["equal"], &told["events"]), (&true.into(), &80_000.into()));
    assert!(told["already_there"].as_u64().unwrap() > 0, "{told}");
    let from = ["--from", &database.url, "--from-data", paths[1]];
    let home = copied(&[&from[..], &["--to", "embedded", "--to-data", paths[2]]].concat());
    assert_eq!(home["target_digest"], told["source_digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_and_another_secret_are_refused_with_words() {
    let temp = tempfile::tempdir().unwrap();
    let [old, other, third] = ["old", "other", "third"].map(|name| temp.path().join(name));
    filled(&old, 2).await;
    filled(&other, 1).await;
    let paths = [&old, &other, &third].map(|path| path.to_str().unwrap());
    let to_other = ["copy", "--from-data", paths[0], "--to", "embedded", "--to-data", paths[1]];
    // The ids of its events are others from the first on.
    refused(&to_other, &["another history", "event 1 ", "another id", "Nothing was written"]);
    let store = EmbeddedStore::open_read_only(&DataDir::at(&other)).await.unwrap();
    let head = hakken_projections::feed::EventFeed::head(&store).await.unwrap();
    assert_eq!(head, Position(2_000));

    fs::create_dir(&third).unwrap();
    fs::write(third.join("secret"), [6; 32]).unwrap();
    let to_third = ["copy", "--from-data", paths[0], "--to", "embedded", "--to-data", paths[2]];
    refused(&to_third, &["the secret of another engine", "--to-data"]);
    fs::remove_file(old.join("secret")).unwrap();
    refused(&to_third, &["secret is missing", "--from-data"]);
    let same = ["copy", "--from-data", paths[0], "--to", "embedded", "--to-data", paths[0]];
    refused(&same, &["the same store twice"]);
    let nowhere = ["copy", "--from-data", "nowhere", "--to", "embedded", "--to-data", paths[2]];
    refused(&nowhere, &["nowhere", "missing"]);
    let output = run(&["copy", "--to", "mysql://x", "--to-data", paths[2]]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
