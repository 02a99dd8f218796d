//! Two servers on one EventStoreDB, which is killed and started again while they sell.

use std::{
    fs::File,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hakken_domain::envelope::{Position, StoredEvent};
use hakken_projections::feed::EventFeed;
use hakken_tests::{
    audit::Audit,
    eventstoredb::{Double, TestStore},
    postgres::Postgres,
};

use super::{
    cluster::buy,
    crash::sale::Sale,
    program::{Client, Server, good, refused, serve},
};

const SEATS: usize = 600;
const BUYERS: usize = 8;
/// When so many requests are acknowledged, the event store is killed, for so long.
const KILL_AT: [usize; 2] = [60, 140];
const GONE: Duration = Duration::from_millis(700);
const ENOUGH: usize = 240;

/// A server on the store, with a data directory of its own.
fn command(root: &Path, name: &str, store: &str) -> Command {
    let data = root.join(name);
    let first = root.join("one").join("secret");
    if first.is_file() && !data.exists() {
        std::fs::create_dir(&data).unwrap();
        std::fs::copy(first, data.join("secret")).unwrap();
    }
    let mut command = serve(&data, &["--payments", "simulated"]);
    command.env("HAKKEN_STORE", store);
    let log = root.join(format!("{name}.log"));
    let log = File::options().create(true).append(true).open(log).unwrap();
    command.stderr(log);
    command
}

async fn events_of(test: &TestStore) -> Vec<Arc<StoredEvent>> {
    let store = test.open("auditor").await;
    let mut all = Vec::new();
    let mut after = Position(0);
    loop {
        let page = EventFeed::read_all(&*store, after, 5_000).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.position;
        all.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_sell_while_the_event_store_is_killed_and_come_to_rest() {
    let mut test = TestStore::on(Double::start());
    let temp = tempfile::tempdir().unwrap();
    // One has its read models in SQLite, the other in PostgreSQL.
    let rows = match Postgres::shared() {
        Some(postgres) => Some(postgres.database().await),
        None => None,
    };
    let start = |name: &str, is_new| {
        let mut command = command(temp.path(), name, &test.url);
        if let Some(rows) = rows.as_ref().filter(|_| name == "two") {
            command.args(["--read-models", name, "--read-models-in", &rows.url]);
        }
        Server::launch(command, is_new)
    };
    let first = start("one", true);
    let operator = first.key.clone().expect("a new store has a first key");
    let on_sale = Sale::open(&first.client(&operator), SEATS).await.on_sale();
    let second = start("two", false);
    let clients: Vec<Client> =
        [&first, &second].into_iter().map(|server| server.client(&operator)).collect();
    let (told, count) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default());
    let buyers: Vec<_> = (0..BUYERS)
        .map(|buyer| {
            let (clients, on_sale) = (clients.clone(), on_sale.clone());
            tokio::spawn(buy(buyer, clients, on_sale, told.clone(), count.clone(), ENOUGH))
        })
        .collect();
    for part in KILL_AT {
        while count.load(Ordering::Relaxed) < part {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        test.double().kill(0);
        tokio::time::sleep(GONE).await;
        test.double().start_again(0);
    }
    for buyer in buyers {
        buyer.await.unwrap();
    }

    // All comes to rest: no paid order is left without its tickets or its money.
    let since = Instant::now();
    let events = loop {
        let events = events_of(&test).await;
        let audit = Audit::read(&events).expect("nothing is sold twice, nothing is out of order");
        match audit.at_rest() {
            Ok(()) => break events,
            Err(wrong) => assert!(since.elapsed() < Duration::from_secs(60), "{wrong}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    for kind in ["seats-held", "payment-captured", "ticket-issued", "ticket-entered"] {
        assert!(events.iter().any(|event| event.kind == kind), "{kind} happened");
    }
    let told = std::mem::take(&mut *told.lock().unwrap());
    for each in &told {
        let found = events.iter().any(|event| {
            let key = event.decoded().ok().and_then(|decoded| decoded.meta.key.as_ref());
            each.step.kinds().contains(&&*event.kind)
                && key.is_some_and(|key| key.as_str() == each.key)
        });
        assert!(found, "{each:?} was acknowledged, and is not recorded");
    }
    // What one server was told, the other knows: the same key gets the same answer.
    for (n, each) in told.iter().enumerate().step_by(told.len() / 20 + 1) {
        each.ask_again(&clients[n % 2], &on_sale).await.unwrap();
    }
    for server in [&first, &second] {
        let verified = good(&["verify", "--json", "--url", &server.url, "--key", &operator]);
        assert_eq!(verified.lines().count(), hakken_projections::ALL.len());
        assert!(verified.lines().all(|line| line.contains("\"equal\":true")), "{verified}");
    }
    if let Some(rows) = rows {
        let theirs = "SELECT count(*) FROM hakken_rows.builds
                      WHERE owner = 'two' AND purpose = 'served'";
        assert_eq!(rows.numbers(theirs).await, [hakken_projections::ALL.len() as i64]);
        assert!(!temp.path().join("two").join("read-models.db").exists());
    }
    drop((first, second));
    let auditor = temp.path().join("auditor");
    let auditor = auditor.to_str().unwrap();
    let tail = ["events", "--store", &test.url, "--data", auditor, "--tail", "1", "--json"];
    let listed = good(&tail);
    let at_least = format!("\"position\":{}", events_of(&test).await.len());
    assert!(listed.contains(&at_least), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_secret_is_refused() {
    let test = TestStore::new();
    let temp = tempfile::tempdir().unwrap();
    let first = Server::launch(command(temp.path(), "one", &test.url), true);
    let other = temp.path().join("other");
    let other = other.to_str().unwrap();
    let arguments = ["serve", "--store", &test.url, "--data", other, "--listen", "127.0.0.1:0"];
    refused(&arguments, &["another secret", "Copy the file `secret`", "streams=NAME"]);
    drop(first);
    let nowhere = "esdb://127.0.0.1:1?tls=false&maxDiscoverAttempts=1";
    let arguments = ["serve", "--store", nowhere, "--data", other, "--listen", "127.0.0.1:0"];
    refused(&arguments, &["cannot be used", "Check that the server runs"]);
}

#[test]
fn an_address_without_a_port_is_refused_with_words() {
    let arguments = ["events", "--store", "esdb://h:port", "--tail", "1"];
    refused(&arguments, &["no address of an EventStoreDB"]);
}
