//! Durable holds per second, in process, beside a raw log on the same disk in the same run.
//!
//! `cargo bench -p hakken-benches --bench holds` prints a table: callers, the raw log's
//! acknowledgements per second, the engine's durable holds per second on the embedded store, and
//! the second as a share of the first. Each figure is the median of several rounds that take
//! turns, since the machine's other work changes from second to second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use hakken_adapters::{
    data_dir::DataDir,
    sqlite::SqliteStore,
    system::{RandomIds, SystemClock},
};
use hakken_benches::{median, rawlog::RawLog, thousands};
use hakken_commands::engine::{Asker, Engine, Limits, Ports, Request};
use hakken_domain::{
    Command,
    envelope::{Fingerprint, StreamId},
    inventory::{self, HoldSeats, PoolPlaces, SalesRules, SeatChoice},
    names::{ActorRef, BuyerRef, CommandKey, HoldId, OrganizerId, PoolId, ShowId, VenueId},
    seatmap::{Pool, SeatMap},
    time::Timestamp,
};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const ENTRY_BYTES: usize = 450;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

/// How many callers: `-- 64 1024`, or 1, 64 and 1,024.
fn callers() -> Vec<usize> {
    let given: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if given.is_empty() { vec![1, 64, 1_024] } else { given }
}

/// What the loop has made durable.
struct Batches {
    events: f64,
    batches: f64,
    micros: f64,
}

impl Batches {
    fn of(engine: &Engine) -> Self {
        let counters = engine.counters();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        Self {
            events: read(&counters.events),
            batches: read(&counters.batches),
            micros: read(&counters.commit_micros),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            events: self.events - before.events,
            batches: self.batches - before.batches,
            micros: self.micros - before.micros,
        }
    }
}

async fn run() -> Result<()> {
    let callers = callers();
    let dir = tempfile::Builder::new().prefix("hakken-bench").tempdir_in(target_dir())?;
    DataDir::at(dir.path().join("data")).create()?;
    let raw = Arc::new(RawLog::create(&dir.path().join("raw.log"))?);
    let store = Arc::new(SqliteStore::open(&DataDir::at(dir.path().join("data"))).await?);
    let ports = Ports {
        store: store.clone(),
        side: store,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds::new()?),
    };
    let engine = Engine::start(ports, Limits::default());
    let show = open_show(&engine).await?;

    println!("durable holds per second, one show, embedded store (median of {ROUNDS} rounds)");
    println!(
        "{:>8} {:>12} {:>12} {:>8} {:>14} {:>12}",
        "callers", "raw log", "holds", "share", "events a batch", "µs a batch"
    );
    for callers in callers {
        let (mut log, mut holds) = (Vec::new(), Vec::new());
        let before = Batches::of(&engine);
        for _ in 0..ROUNDS {
            let raw = raw.clone();
            log.push(
                rate(callers, move |_, _| {
                    let raw = raw.clone();
                    async move { raw.append(vec![7; ENTRY_BYTES]).await }
                })
                .await,
            );
            let engine = engine.clone();
            holds.push(
                rate(callers, move |caller, turn| {
                    let engine = engine.clone();
                    async move { hold(&engine, show, caller, turn).await }
                })
                .await,
            );
        }
        let (log, holds) = (median(log), median(holds));
        let share = 100.0 * holds / log;
        let Batches { events, batches, micros } = Batches::of(&engine).since(&before);
        println!(
            "{callers:>8} {:>12} {:>12} {share:>7.0}% {:>14.0} {:>12.0}",
            thousands(log),
            thousands(holds),
            events / batches,
            micros / batches,
        );
    }
    engine.stop().await;
    Ok(())
}

/// Beside the build, so that it is the same disk as in ordinary use and never a memory disk.
fn target_dir() -> std::path::PathBuf {
    let exe = std::env::current_exe().expect("a program has a path");
    exe.parent().expect("it lies in a folder").to_path_buf()
}

/// How often per second `callers` get their answer.
async fn rate<F, A>(callers: usize, ask: F) -> f64
where
    F: Fn(usize, u64) -> A + Clone + Send + 'static,
    A: Future<Output = ()> + Send,
{
    static TURN: AtomicU64 = AtomicU64::new(0);
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut answers = 0_u64;
                while began.elapsed() < ROUND {
                    ask(caller, TURN.fetch_add(1, Ordering::Relaxed)).await;
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    let mut answers = 0;
    for task in tasks {
        answers += task.await.expect("callers do not panic");
    }
    answers as f64 / began.elapsed().as_secs_f64()
}

fn asker(key: &str) -> Asker {
    Asker {
        organizer: Some(OrganizerId::derived("bench", "organizer")),
        actor: ActorRef::new("key:bench").expect("a good name"),
        key: Some((CommandKey::new(key).expect("a good key"), Fingerprint::of(key.as_bytes()))),
        cause: None,
        correlation: None,
    }
}

/// A show with one pool so large that it is never sold out: every command brings one event.
async fn open_show(engine: &Engine) -> Result<ShowId> {
    let show = ShowId::derived("bench", "show");
    let pool = Pool {
        id: PoolId::new("standing")?,
        capacity: 10_000_000,
        category: hakken_domain::names::Category::new("standing")?,
    };
    let seat_map = SeatMap {
        name: hakken_domain::names::Label::new("bench")?,
        focus: hakken_domain::seatmap::Point::default(),
        sections: Vec::new(),
        pools: vec![pool],
    };
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
    ask(engine, show, command, "open").await?;
    Ok(show)
}

async fn ask(engine: &Engine, show: ShowId, command: inventory::Command, key: &str) -> Result<()> {
    let request = Request {
        stream: StreamId::inventory(show),
        command: Command::Inventory(command),
        asker: asker(key),
        creates: false,
    };
    engine.execute(request).await?;
    Ok(())
}

async fn hold(engine: &Engine, show: ShowId, caller: usize, turn: u64) {
    let key = format!("hold-{turn}");
    let command = inventory::Command::HoldSeats(HoldSeats {
        hold: HoldId::derived("bench", &key),
        buyer: BuyerRef::new(&format!("buyer-{caller}")).expect("a good name"),
        seats: SeatChoice::Named(Vec::new()),
        pools: vec![PoolPlaces { pool: PoolId::new("standing").expect("a good name"), count: 1 }],
        legs: None,
        allotment: None,
        ttl_seconds: None,
    });
    ask(engine, show, command, &key).await.expect("the pool is never empty");
}
