//! Durable holds per second on PostgreSQL, in process, beside what one would write by hand on the
//! same server in the same run: a table of seats, with SELECT FOR UPDATE in a transaction, and with
//! one statement.
//!
//! `cargo bench -p hakken-benches --bench postgres` takes 1, 16 and 64 callers; `-- 64` only these.
//! It starts a server of its own, with fsync and synchronous_commit on. Each figure is the median of
//! several rounds that take turns; every round sells seats of a new show, named one by one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hakken_adapters::{
    postgres::PostgresStore,
    system::{RandomIds, SystemClock},
};
use hakken_benches::{
    halls::stadium,
    median,
    postgres::Postgres,
    report::{Plot, Table},
    thousands,
};
use hakken_commands::engine::{Asker, Counters, Engine, Limits, Ports, Request};
use hakken_domain::{
    Command,
    envelope::{Fingerprint, StreamId},
    inventory::{self, HoldSeats, SalesRules, SeatChoice},
    names::{ActorRef, BuyerRef, CommandKey, HoldId, OrganizerId, SeatId, ShowId, VenueId},
    time::Timestamp,
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

/// Makes every name and key another one.
static TURN: AtomicU64 = AtomicU64::new(0);

const GUIDE: &str = "\
for update: BEGIN, SELECT … FOR UPDATE, UPDATE, INSERT, COMMIT on a table of seats, five round
  trips; one statement: the same in one CTE. Both over a pool of 16 connections.
Hakken: HoldSeats through the engine; times: of each of the two.
batch: events made durable together; commit: microseconds for that, from the loop and back.";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

fn callers() -> Vec<usize> {
    let given: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if given.is_empty() { vec![1, 16, 64] } else { given }
}

async fn run() -> Result<()> {
    let server = Postgres::own(true).context("PostgreSQL is not installed here")?;
    let database = server.database().await;
    let naive = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    let naive = naive.connect(&database.url).await?;
    let store = Arc::new(PostgresStore::open(&database.url).await?);
    let ports = Ports {
        store: store.clone(),
        side: store,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds::new()?),
    };
    // A runtime of its own, as in the program: its callers must not stand before the loop.
    let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let engine = Engine::start_on(own.handle(), ports, Limits::default());
    let title = format!("durable reservations a second on PostgreSQL (median of {ROUNDS} rounds)");
    let columns =
        ["callers", "for update", "one statement", "Hakken", "times", "times", "batch", "commit"];
    let mut table = Table::new(title, GUIDE, &columns);
    let mut lines = [Vec::new(), Vec::new(), Vec::new()];
    for callers in callers() {
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        let (mut batches, mut commits) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            new_table(&naive).await?;
            let pool = naive.clone();
            rates[0].push(sell(callers, move |seat| in_transaction(pool.clone(), seat)).await?);
            new_table(&naive).await?;
            let pool = naive.clone();
            rates[1].push(sell(callers, move |seat| in_one_statement(pool.clone(), seat)).await?);
            let (show, seats) = open_show(&engine).await?;
            let before = Batches::of(engine.counters());
            let asked = engine.clone();
            let sold = sell(callers, move |seat| hold(asked.clone(), show, seats[seat].clone()));
            rates[2].push(sold.await?);
            let after = Batches::of(engine.counters());
            batches.push((after.events - before.events) / (after.batches - before.batches));
            commits.push((after.micros - before.micros) / (after.batches - before.batches));
        }
        let rates = rates.map(median);
        for (line, rate) in lines.iter_mut().zip(rates) {
            line.push((callers as f64, rate));
        }
        let [transaction, statement, hakken] = rates;
        table.row([
            callers.to_string(),
            thousands(transaction),
            thousands(statement),
            thousands(hakken),
            format!("{:.2}", hakken / transaction),
            format!("{:.2}", hakken / statement),
            thousands(median(batches)),
            thousands(median(commits)),
        ]);
    }
    engine.stop().await;
    own.shutdown_background();
    table.print();
    let mut plot = Plot::new("durable reservations on PostgreSQL", "callers", "a second");
    for (name, line) in ["for update", "one statement", "Hakken"].into_iter().zip(lines) {
        plot.line(name, line);
    }
    plot.write_log("postgres")
}

/// What the loop has made durable.
struct Batches {
    events: f64,
    batches: f64,
    micros: f64,
}

impl Batches {
    fn of(counters: &Counters) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        Self {
            events: read(&counters.events),
            batches: read(&counters.batches),
            micros: read(&counters.commit_micros),
        }
    }
}

/// Callers that take seat after seat, each the next free one; reservations a second.
async fn sell<F, A>(callers: usize, take: F) -> Result<f64>
where
    F: Fn(usize) -> A + Clone + Send + 'static,
    A: Future<Output = Result<()>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (take, next) = (take.clone(), next.clone());
            tokio::spawn(async move {
                let mut sold = 0;
                while began.elapsed() < ROUND {
                    let seat = next.fetch_add(1, Ordering::Relaxed);
                    if seat >= SEATS {
                        break;
                    }
                    take(seat).await?;
                    sold += 1;
                }
                anyhow::Ok(sold)
            })
        })
        .collect();
    let mut sold = 0;
    for task in tasks {
        sold += task.await??;
    }
    Ok(f64::from(sold) / began.elapsed().as_secs_f64())
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

fn asker(key: &str) -> Result<Asker> {
    Ok(Asker {
        organizer: Some(OrganizerId::derived("bench", "organizer")),
        actor: ActorRef::new("key:bench")?,
        key: Some((CommandKey::new(key)?, Fingerprint::of(key.as_bytes()))),
        cause: None,
        correlation: None,
    })
}

async fn ask(engine: &Engine, show: ShowId, command: inventory::Command, key: &str) -> Result<()> {
    let request = Request {
        stream: StreamId::inventory(show),
        command: Command::Inventory(command),
        asker: asker(key)?,
        creates: false,
    };
    engine.execute(request).await?;
    Ok(())
}

/// A show with as many seats as the table has.
async fn open_show(engine: &Engine) -> Result<(ShowId, Arc<[SeatId]>)> {
    let key = format!("open-{}", TURN.fetch_add(1, Ordering::Relaxed));
    let show = ShowId::derived("bench", &key);
    let seat_map = stadium(SEATS, 0)?;
    let rows = seat_map.sections.iter().flat_map(|section| &section.rows);
    let seats: Arc<[SeatId]> =
        rows.flat_map(|row| &row.seats).map(|seat| seat.id.clone()).collect();
    anyhow::ensure!(seats.len() >= SEATS, "the hall is too small");
    let rules = SalesRules {
        sales_from: Timestamp::from_micros(0),
        sales_until: Timestamp::MAX,
        hold_ttl_seconds: 600,
        hold_extension_seconds: 600,
        max_places_per_hold: 10,
        max_places_per_buyer: None,
    };
    let command = inventory::Command::OpenSales {
        venue: VenueId::derived("bench", "venue"),
        seat_map: Box::new(seat_map),
        legs: 1,
        rules,
    };
    ask(engine, show, command, &key).await?;
    Ok((show, seats))
}

async fn hold(engine: Engine, show: ShowId, seat: SeatId) -> Result<()> {
    let key = format!("hold-{}", TURN.fetch_add(1, Ordering::Relaxed));
    let command = inventory::Command::HoldSeats(HoldSeats {
        hold: HoldId::derived("bench", &key),
        buyer: BuyerRef::new("buyer")?,
        seats: SeatChoice::Named(vec![seat]),
        pools: Vec::new(),
        legs: None,
        allotment: None,
        ttl_seconds: None,
    });
    ask(&engine, show, command, &key).await
}
