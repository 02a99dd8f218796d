//! Durable holds per second, in process, beside a raw log on the same disk in the same run: one
//! show that everybody wants, and a thousand shows.
//!
//! `cargo bench -p hakken-benches --bench holds` takes 1, 16, 64, 256 and 1,024 callers;
//! `-- 64 1024` only these. Each figure is the median of several rounds that take turns, since the
//! machine's other work changes from second to second.

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
    embedded::EmbeddedStore,
    system::{RandomIds, SystemClock},
};
use hakken_benches::{
    median, quantile,
    rawlog::RawLog,
    report::{Plot, Table, bench_dir, percent},
    thousands,
};
use hakken_commands::engine::{Asker, Counters, Engine, Limits, Ports, Request};
use hakken_domain::{
    Command,
    envelope::{Fingerprint, StreamId},
    inventory::{self, HoldSeats, PoolPlaces, SalesRules, SeatChoice},
    names::{
        ActorRef, BuyerRef, Category, CommandKey, HoldId, Label, OrganizerId, PoolId, ShowId,
        VenueId,
    },
    seatmap::{Point, Pool, SeatMap},
    time::Timestamp,
};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
const SHOWS: usize = 1_000;
const ENTRY_BYTES: usize = 450;
const SYNCS: usize = 200;

/// Makes every name and key another one.
static TURN: AtomicU64 = AtomicU64::new(0);

const GUIDE: &str = "\
raw log: acknowledgements a second of a preallocated file with one sync a batch and nothing else,
  for as many callers; the limit of this disk and these cores.
one show, 1,000 shows: durable holds a second, on shows that are new in each round; share: of the
  raw log.
p50, p99: microseconds that one caller waits (one show); raw p99: the same of the raw log; syncs: p99
  counted in single syncs of the raw file (median of 200), which a caller alone would wait at least.
batch: events made durable together; commit: microseconds for that, from the loop and back.";

const COLUMNS: [&str; 12] = [
    "callers",
    "raw log",
    "one show",
    "share",
    "1,000 shows",
    "share",
    "p50",
    "p99",
    "raw p99",
    "syncs",
    "batch",
    "commit",
];

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

/// How many callers: `-- 64 1024`, or the usual ones.
fn callers() -> Vec<usize> {
    let given: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if given.is_empty() { vec![1, 16, 64, 256, 1_024] } else { given }
}

async fn run() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("holds-").tempdir_in(bench_dir()?)?;
    let raw = Arc::new(RawLog::create(&dir.path().join("raw.log"))?);
    let sync_micros = one_sync(&raw).await;
    let data = DataDir::at(dir.path().join("data"));
    data.create()?;
    let store = Arc::new(EmbeddedStore::open(&data).await?);
    let ports = Ports {
        store: store.clone(),
        side: store,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds::new()?),
    };
    // A runtime of its own, as in the program: its callers must not stand before the loop.
    let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let engine = Engine::start_on(own.handle(), ports, Limits::default());

    let title = format!(
        "durable holds a second, embedded store (median of {ROUNDS} rounds; one sync: {sync_micros:.0} µs)"
    );
    let mut table = Table::new(title, GUIDE, &COLUMNS);
    let mut lines = [Vec::new(), Vec::new(), Vec::new()];
    for callers in callers() {
        let measured = measure(&raw, &engine, callers).await?;
        let [log, hot, spread] = measured.rates;
        for (line, rate) in lines.iter_mut().zip([log, hot, spread]) {
            line.push((callers as f64, rate));
        }
        table.row([
            callers.to_string(),
            thousands(log),
            thousands(hot),
            percent(hot, log),
            thousands(spread),
            percent(spread, log),
            thousands(measured.p50),
            thousands(measured.p99),
            thousands(measured.raw_p99),
            format!("{:.1}", measured.p99 / sync_micros),
            thousands(measured.batch),
            thousands(measured.commit_micros),
        ]);
    }
    engine.stop().await;
    own.shutdown_background();
    table.print();
    let mut plot = Plot::new("durable holds", "callers", "a second");
    for (name, line) in ["raw log", "one show", "1,000 shows"].into_iter().zip(lines) {
        plot.line(name, line);
    }
    plot.write_log("holds")
}

/// Microseconds that a caller alone waits for one entry in the raw log.
async fn one_sync(raw: &RawLog) -> f64 {
    let mut waits = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        raw.append(vec![7; ENTRY_BYTES]).await;
        waits.push(began.elapsed().as_nanos() as f64 / 1_000.0);
    }
    median(waits)
}

/// The figures for so many callers.
struct Measured {
    /// Raw log, one show, a thousand shows.
    rates: [f64; 3],
    p50: f64,
    p99: f64,
    raw_p99: f64,
    batch: f64,
    commit_micros: f64,
}

async fn measure(raw: &Arc<RawLog>, engine: &Engine, callers: usize) -> Result<Measured> {
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    let (mut p50, mut p99, mut raw_p99) = (vec![], vec![], vec![]);
    let (mut batches, mut commits) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let log = raw.clone();
        let round = ask_for_a_while(callers, move |_, _| {
            let log = log.clone();
            async move { log.append(vec![7; ENTRY_BYTES]).await }
        });
        let round = round.await;
        rates[0].push(round.rate);
        raw_p99.push(quantile(round.waits(), 0.99));

        let (hot, show) = (engine.clone(), open_show(engine).await?);
        let before = Batches::of(engine.counters());
        let round = ask_for_a_while(callers, move |caller, turn| {
            let engine = hot.clone();
            async move { hold(&engine, show, caller, turn).await }
        });
        let round = round.await;
        let done = Batches::of(engine.counters()).since(&before);
        rates[1].push(round.rate);
        let waits = round.waits();
        p50.push(quantile(waits.clone(), 0.5));
        p99.push(quantile(waits, 0.99));
        batches.push(done.events / done.batches);
        commits.push(done.micros / done.batches);

        let spread = engine.clone();
        let mut shows = Vec::with_capacity(SHOWS);
        for _ in 0..SHOWS {
            shows.push(open_show(engine).await?);
        }
        let shows: Arc<[ShowId]> = shows.into();
        let round = ask_for_a_while(callers, move |caller, turn| {
            let (engine, show) = (spread.clone(), shows[turn as usize % SHOWS]);
            async move { hold(&engine, show, caller, turn).await }
        });
        rates[2].push(round.await.rate);
    }
    Ok(Measured {
        rates: rates.map(median),
        p50: median(p50),
        p99: median(p99),
        raw_p99: median(raw_p99),
        batch: median(batches),
        commit_micros: median(commits),
    })
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

    fn since(&self, before: &Self) -> Self {
        Self {
            events: self.events - before.events,
            batches: self.batches - before.batches,
            micros: self.micros - before.micros,
        }
    }
}

/// What callers that ask again and again came to.
struct Round {
    /// Answers a second.
    rate: f64,
    /// Microseconds that each answer took.
    waits: Vec<f32>,
}

impl Round {
    fn waits(&self) -> Vec<f64> {
        self.waits.iter().copied().map(f64::from).collect()
    }
}

async fn ask_for_a_while<F, A>(callers: usize, ask: F) -> Round
where
    F: Fn(usize, u64) -> A + Clone + Send + 'static,
    A: Future<Output = ()> + Send,
{
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut waits = Vec::with_capacity(8_192);
                let mut asked = Instant::now();
                while began.elapsed() < ROUND {
                    ask(caller, TURN.fetch_add(1, Ordering::Relaxed)).await;
                    let answered = Instant::now();
                    waits.push((answered - asked).as_nanos() as f32 / 1_000.0);
                    asked = answered;
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("callers do not panic"));
    }
    Round { rate: waits.len() as f64 / began.elapsed().as_secs_f64(), waits }
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
    let key = format!("open-{}", TURN.fetch_add(1, Ordering::Relaxed));
    let show = ShowId::derived("bench", &key);
    let pool = Pool {
        id: PoolId::new("standing")?,
        capacity: 10_000_000,
        category: Category::new("standing")?,
    };
    let seat_map = SeatMap {
        name: Label::new("bench")?,
        focus: Point::default(),
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
    ask(engine, show, command, &key).await?;
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
