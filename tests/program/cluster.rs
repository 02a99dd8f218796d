//! Several servers on one PostgreSQL: they share the sale of one show, and one of them dies.

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

use hakken_adapters::postgres::PostgresStore;
use hakken_domain::envelope::Position;
use hakken_projections::feed::EventFeed;
use hakken_tests::{
    audit::Audit,
    postgres::{Postgres, TestDatabase},
    sim::Chance,
};
use serde_json::json;

use super::{
    crash::{
        life::{Acknowledged, Life, OnSale, Stop},
        sale::Sale,
    },
    program::{Client, Server, good, refused, run, serve},
};

const SEATS: usize = 600;
const BUYERS: usize = 24;
/// When so many requests are acknowledged, the server in charge is killed.
const KILL_AT: usize = 250;
const ENOUGH: usize = 900;

/// A server on the database, with a data directory of its own.
fn command(root: &Path, name: &str, database: &TestDatabase) -> Command {
    let data = root.join(name);
    let first = root.join("one").join("secret");
    if first.is_file() && !data.exists() {
        std::fs::create_dir(&data).unwrap();
        std::fs::copy(first, data.join("secret")).unwrap();
    }
    let mut command = serve(&data, &["--payments", "simulated"]);
    command.env("HAKKEN_STORE", &database.url);
    if name == "three" {
        // Read models in the database are the same as those in a file.
        command.args(["--read-models", name]);
    }
    let log = root.join(format!("{name}.log"));
    let log = File::options().create(true).append(true).open(log).unwrap();
    command.stderr(log);
    command
}

fn was_in_charge(root: &Path, name: &str) -> bool {
    let log = std::fs::read_to_string(root.join(format!("{name}.log"))).unwrap_or_default();
    log.contains("in charge of processes and sweeping")
}

/// Buys until `enough` was acknowledged. A server that is gone is one that this buyer asks no more;
/// the request under way goes to the next one, under the same key.
pub async fn buy(
    buyer: usize,
    clients: Vec<Client>,
    on_sale: Arc<OnSale>,
    told: Arc<Mutex<Vec<Acknowledged>>>,
    count: Arc<AtomicUsize>,
    enough: usize,
) {
    let mut chance = Chance::new(buyer as u64);
    let mut at = buyer % clients.len();
    for life in 0.. {
        let mut life = Life::new(format!("life-{buyer}-{life}"), on_sale.clone(), &mut chance);
        while !life.ahead.is_empty() {
            match life.go(&clients[at]).await {
                Ok(Some(acknowledged)) => {
                    told.lock().unwrap().push(acknowledged);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(None) => break,
                Err(Stop::Gone) => at = (at + 1) % clients.len(),
                Err(Stop::Refused(_)) => break,
            }
        }
        if count.load(Ordering::Relaxed) >= enough {
            return;
        }
    }
}

async fn events_of(database: &TestDatabase) -> Vec<Arc<hakken_domain::envelope::StoredEvent>> {
    let store = PostgresStore::open(&database.url).await.unwrap();
    let mut all = Vec::new();
    let mut after = Position(0);
    loop {
        let page = EventFeed::read_all(&store, after, 5_000).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.position;
        all.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_sell_one_show_and_lose_nothing_when_the_one_in_charge_is_killed() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database().await;
    let temp = tempfile::tempdir().unwrap();
    let start = |name: &str, is_new| Server::launch(command(temp.path(), name, &database), is_new);
    let first = start("one", true);
    let operator = first.key.clone().expect("a new store has a first key");
    let on_sale = Sale::open(&first.client(&operator), SEATS).await.on_sale();
    let others = [start("two", false), start("three", false)];
    assert!(was_in_charge(temp.path(), "one") && !was_in_charge(temp.path(), "two"));
    let clients: Vec<Client> =
        std::iter::once(&first).chain(&others).map(|server| server.client(&operator)).collect();
    let (told, count) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default());
    let buyers: Vec<_> = (0..BUYERS)
        .map(|buyer| {
            let (clients, on_sale) = (clients.clone(), on_sale.clone());
            tokio::spawn(buy(buyer, clients, on_sale, told.clone(), count.clone(), ENOUGH))
        })
        .collect();
    while count.load(Ordering::Relaxed) < KILL_AT {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.kill();
    for buyer in buyers {
        buyer.await.unwrap();
    }
    let moved = ["two", "three"].map(|name| was_in_charge(temp.path(), name));
    assert!(moved[0] != moved[1], "another one is in charge: {moved:?}");

    // All comes to rest: no paid order is left without its tickets or its money.
    let since = Instant::now();
    let events = loop {
        let events = events_of(&database).await;
        let audit = Audit::read(&events).expect("nothing is sold twice, nothing is out of order");
        match audit.at_rest() {
            Ok(()) => break events,
            Err(wrong) => assert!(since.elapsed() < Duration::from_secs(30), "{wrong}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let told = std::mem::take(&mut *told.lock().unwrap());
    for each in &told {
        let found = events.iter().any(|event| {
            let key = event.decoded().ok().and_then(|decoded| decoded.meta.key.as_ref());
            each.step.kinds().contains(&&*event.kind)
                && key.is_some_and(|key| key.as_str() == each.key)
        });
        assert!(found, "{each:?} was acknowledged, and is not recorded");
    }
    // What one server was told, the others know: the same key gets the same answer.
    for (n, each) in told.iter().enumerate().step_by(told.len() / 40 + 1) {
        each.ask_again(&clients[1 + n % 2], &on_sale).await.unwrap();
    }
    let query = "query($show: ID!, $at: Position) { availability(show: $show, atLeast: $at) \
                 { seatLetters totals { free held sold } } }";
    let asked = json!({ "show": on_sale.show, "at": events.len().to_string() });
    let [two, three] = [1, 2].map(|n| clients[n].with_key(&on_sale.seller));
    let (two, three) = (two.ask(query, asked.clone()).await, three.ask(query, asked).await);
    assert_eq!(two, three, "both read models say the same");
    drop(others);
    let listed = good(&["events", "--store", &database.url, "--tail", "1", "--json"]);
    assert!(listed.contains(&format!("\"position\":{}", events.len())), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_secret_is_refused() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database().await;
    let temp = tempfile::tempdir().unwrap();
    let first = Server::launch(command(temp.path(), "one", &database), true);
    let other = temp.path().join("other");
    let other = other.to_str().unwrap();
    let arguments = ["serve", "--store", &database.url, "--data", other, "--listen", "127.0.0.1:0"];
    refused(&arguments, &["another secret", "Copy the file `secret`"]);
    // Nor do two share a data directory.
    let one = temp.path().join("one");
    let one = one.to_str().unwrap();
    let arguments = ["serve", "--store", &database.url, "--data", one, "--listen", "127.0.0.1:0"];
    refused(&arguments, &["is in use by process"]);
    drop(first);
    let mistaken = run(&["serve", "--store", "mysql://x"]);
    assert_eq!(mistaken.status.code(), Some(2));
}
