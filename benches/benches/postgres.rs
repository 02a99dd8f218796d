//! Durable reservations per second on PostgreSQL, in process, beside what one would write by hand
//! on the same server in the same run (a table of seats, with SELECT FOR UPDATE in a transaction,
//! and with one statement) and beside other Rust crates for event sourcing; then holds and whole
//! orders on each store.
//!
//! `cargo bench -p hakken-benches --bench postgres` takes 1, 16 and 64 callers; `-- 64` only these.
//! `--peers` builds and measures `benches/peers`, which takes some minutes the first time; `--tables`
//! leaves the other stores and the orders out.
//! It starts a server of its own, with fsync and synchronous_commit on. Each figure is the median of
//! several rounds that take turns; every round sells seats of a new show, named one by one.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hakken_adapters::{
    data_dir::DataDir, embedded::EmbeddedStore, memory::MemoryStore, postgres::PostgresStore,
};
use hakken_benches::{
    median,
    peers::Peers,
    postgres::Postgres,
    report::{Plot, Table, bench_dir},
    shop::{Batches, Shop, sell},
    thousands,
};
use sqlx::{PgPool, postgres::PgPoolOptions};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
const SEATS: usize = 60_000;
/// Connections of the hand-written programs: on two cores more make them slower.
const CONNECTIONS: u32 = 16;

const GUIDE: &str = "\
for update: BEGIN, SELECT … FOR UPDATE, UPDATE, INSERT, COMMIT on a table of seats, five round
  trips; one statement: the same in one CTE. Both over a pool of 16 connections.
cqrs-es, esrs: those crates with the show as aggregate, as their guides have it, over 16
  connections. In the first column of each callers sell shows of their own with 20 seats, one after
  the other, which is the best that they can be given; `one show` is what all others here do.
Hakken: HoldSeats through the engine, all callers one show of 60,000 seats.
batch: events made durable together; commit: microseconds for that, from the loop and back.";

const TIMES_GUIDE: &str = "How many times as much Hakken does, by the medians above.";

const STORES_GUIDE: &str = "\
hold: HoldSeats. order: hold, order, payment and ticket of one seat, until the ticket is issued,
  which is some ten events; both through the write side in process, with all callers on one show.
of memory: the share of what the write side does where nothing is stored.";

/// Who sells, in the order of the columns.
const WAYS: [&str; 7] =
    ["for update", "one statement", "cqrs-es", "one show", "esrs", "one show", "Hakken"];
const HAKKEN: usize = 6;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

/// What is asked for on the command line.
struct Asked {
    callers: Vec<usize>,
    peers: Option<Peers>,
    stores: bool,
}

fn asked() -> Result<Asked> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut callers: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if callers.is_empty() {
        callers = vec![1, 16, 64];
    }
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    let peers = if has("--peers") { Some(Peers::build()?) } else { None };
    Ok(Asked { callers, peers, stores: !has("--tables") })
}

async fn run() -> Result<()> {
    let asked = asked()?;
    let server = Postgres::own(true).context("PostgreSQL is not installed here")?;
    let database = server.database().await;
    // Their tables have names like ours, and a role's own schema comes first.
    let of_peers = server.database().await;
    let naive = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    let naive = naive.connect(&database.url).await?;
    let store = Arc::new(PostgresStore::open(&database.url).await?);
    let shop = Shop::start(store, true)?;
    reservations(&asked, &of_peers.url, &naive, &shop).await?;
    naive.close().await;
    if asked.stores {
        let dir = tempfile::Builder::new().prefix("stores-").tempdir_in(bench_dir()?)?;
        let data = DataDir::at(dir.path());
        data.create()?;
        let embedded = Arc::new(EmbeddedStore::open(&data).await?);
        let stores = [
            ("memory", Shop::start(Arc::new(MemoryStore::new()), true)?),
            ("embedded", Shop::start(embedded.clone(), true)?),
            ("postgres", shop.clone()),
        ];
        each_store(&asked.callers, &stores).await?;
        for (_, shop) in &stores[..2] {
            shop.stop().await;
        }
    }
    shop.stop().await;
    Ok(())
}

/// What one way to sell did in a round.
async fn round(
    asked: &Asked,
    way: usize,
    callers: usize,
    url: &str,
    naive: &PgPool,
    shop: &Shop,
) -> Result<f64> {
    let pool = naive.clone();
    let shows = if [3, 5].contains(&way) { "one-show" } else { "many-shows" };
    match (way, &asked.peers) {
        (0, _) => {
            new_table(naive).await?;
            sell(callers, SEATS, ROUND, move |seat| in_transaction(pool.clone(), seat)).await
        }
        (1, _) => {
            new_table(naive).await?;
            sell(callers, SEATS, ROUND, move |seat| in_one_statement(pool.clone(), seat)).await
        }
        (HAKKEN, _) => hold_seats(shop, callers).await,
        (_, None) => Ok(f64::NAN),
        (way, Some(peers)) => {
            let peer = if way < 4 { "cqrs-es" } else { "esrs" };
            peers.sell(url, peer, shows, callers, ROUND.as_millis())
        }
    }
}

async fn reservations(asked: &Asked, url: &str, naive: &PgPool, shop: &Shop) -> Result<()> {
    let title = format!("durable reservations a second on PostgreSQL (median of {ROUNDS} rounds)");
    let mut columns = vec!["callers"];
    columns.extend(WAYS);
    columns.extend(["batch", "commit"]);
    let mut table = Table::new(title, GUIDE, &columns);
    let mut times = Table::new("times as many", TIMES_GUIDE, &columns[..HAKKEN + 1]);
    let mut plot = Plot::new("durable reservations on PostgreSQL", "callers", "a second");
    let mut lines = WAYS.map(|_| Vec::new());
    for callers in &asked.callers {
        let mut rates = WAYS.map(|_| Vec::new());
        let (mut batches, mut commits) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (way, rates) in rates.iter_mut().enumerate() {
                let before = shop.batches();
                rates.push(round(asked, way, *callers, url, naive, shop).await?);
                let done = shop.batches().since(before);
                if way == HAKKEN {
                    batches.push(done.events / done.batches);
                    commits.push(done.micros / done.batches);
                }
            }
        }
        let rates = rates.map(median);
        for (line, rate) in lines.iter_mut().zip(rates) {
            if rate.is_finite() {
                line.push((*callers as f64, rate));
            }
        }
        let figures = rates.map(|rate| if rate.is_nan() { "-".into() } else { thousands(rate) });
        let [a, b, c, d, e, f, hakken] = figures;
        let (batch, commit) = (thousands(median(batches)), thousands(median(commits)));
        table.row([callers.to_string(), a, b, c, d, e, f, hakken, batch, commit]);
        let share = |way: usize| {
            let times = rates[HAKKEN] / rates[way];
            if times.is_nan() { "-".to_owned() } else { format!("{times:.2}") }
        };
        times.row([
            callers.to_string(),
            share(0),
            share(1),
            share(2),
            share(3),
            share(4),
            share(5),
        ]);
    }
    table.print();
    times.print();
    for (way, line) in lines.into_iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let name = match WAYS[way] {
            "one show" => format!("{}, one show", WAYS[way - 1]),
            name => name.to_owned(),
        };
        plot.line(name, line);
    }
    plot.write_log("postgres")
}

async fn hold_seats(shop: &Shop, callers: usize) -> Result<f64> {
    let show = shop.open_show(SEATS).await?;
    let shop = shop.clone();
    let hold = move |seat| {
        let (shop, show) = (shop.clone(), show.clone());
        async move { shop.hold(&show, seat).await.map(drop) }
    };
    sell(callers, SEATS, ROUND, hold).await
}

async fn order_seats(shop: &Shop, callers: usize) -> Result<(f64, Batches)> {
    let show = shop.open_show(SEATS).await?;
    let asked = shop.clone();
    let order = move |seat| {
        let (shop, show) = (asked.clone(), show.clone());
        async move { shop.order(&show, seat).await }
    };
    let before = shop.batches();
    let rate = sell(callers, SEATS, ROUND, order).await?;
    Ok((rate, shop.batches().since(before)))
}

async fn each_store(callers: &[usize], stores: &[(&str, Shop)]) -> Result<()> {
    let title = format!("holds and whole orders a second (median of {ROUNDS} rounds)");
    let columns = [
        "callers",
        "store",
        "holds",
        "of memory",
        "orders",
        "of memory",
        "events of orders",
        "batch",
        "commit",
    ];
    let mut table = Table::new(title, STORES_GUIDE, &columns);
    for callers in callers {
        let mut holds: Vec<Vec<f64>> = stores.iter().map(|_| Vec::new()).collect();
        let mut orders: Vec<[Vec<f64>; 4]> = stores.iter().map(|_| Default::default()).collect();
        for _ in 0..ROUNDS {
            for (at, (_, shop)) in stores.iter().enumerate() {
                holds[at].push(hold_seats(shop, *callers).await?);
                let (rate, done) = order_seats(shop, *callers).await?;
                let seconds = ROUND.as_secs_f64();
                orders[at][0].push(rate);
                orders[at][1].push(done.events / seconds);
                orders[at][2].push(done.events / done.batches);
                orders[at][3].push(done.micros / done.batches);
            }
        }
        let holds: Vec<f64> = holds.into_iter().map(median).collect();
        let orders: Vec<[f64; 4]> = orders.into_iter().map(|figures| figures.map(median)).collect();
        for (at, (name, _)) in stores.iter().enumerate() {
            let [rate, events, batch, commit] = orders[at];
            table.row([
                callers.to_string(),
                (*name).to_owned(),
                thousands(holds[at]),
                format!("{:.2}", holds[at] / holds[0]),
                thousands(rate),
                format!("{:.2}", rate / orders[0][0]),
                thousands(events),
                thousands(batch),
                thousands(commit),
            ]);
        }
    }
    table.print();
    Ok(())
}

async fn new_table(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS reservations; DROP TABLE IF EXISTS seats;
         CREATE TABLE seats (id bigint PRIMARY KEY, status text NOT NULL, held_by text)
             WITH (fillfactor = 80);
         CREATE TABLE reservations (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             seat bigint NOT NULL REFERENCES seats (id),
             buyer text NOT NULL,
             expires_at timestamptz NOT NULL
         );
         INSERT INTO seats SELECT n, 'free', NULL FROM generate_series(0, 59999) AS n;
         ANALYZE seats; CHECKPOINT",
    )
    .execute(pool)
    .await?;
    Ok(())
}

async fn in_transaction(pool: PgPool, seat: usize) -> Result<()> {
    let seat = i64::try_from(seat)?;
    let mut transaction = pool.begin().await?;
    let status: String = sqlx::query_scalar("SELECT status FROM seats WHERE id = $1 FOR UPDATE")
        .bind(seat)
        .fetch_one(&mut *transaction)
        .await?;
    anyhow::ensure!(status == "free", "the seat is taken");
    sqlx::query("UPDATE seats SET status = 'held', held_by = 'buyer' WHERE id = $1")
        .bind(seat)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO reservations (seat, buyer, expires_at)
         VALUES ($1, 'buyer', now() + interval '10 minutes')",
    )
    .bind(seat)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

async fn in_one_statement(pool: PgPool, seat: usize) -> Result<()> {
    let held = sqlx::query(
        "WITH held AS (
             UPDATE seats SET status = 'held', held_by = 'buyer'
             WHERE id = $1 AND status = 'free' RETURNING id)
         INSERT INTO reservations (seat, buyer, expires_at)
         SELECT id, 'buyer', now() + interval '10 minutes' FROM held",
    )
    .bind(i64::try_from(seat)?)
    .execute(&pool)
    .await?;
    anyhow::ensure!(held.rows_affected() == 1, "the seat is taken");
    Ok(())
}
