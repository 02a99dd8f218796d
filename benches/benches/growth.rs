//! How a store behaves as it grows: writing, reading, rebuilding, starting, memory and size.
//!
//! `cargo bench -p hakken-benches --bench growth` goes from 10,000 to 100,000 events; `-- 100000
//! 1000000 10000000` through these sizes (ten million take some minutes and some 12 GB, which are
//! given back), `-- embedded` or `-- postgres` on one store alone.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hakken_adapters::{
    data_dir::DataDir, embedded::EmbeddedStore, postgres::PostgresStore, rows::SqliteRows,
    system::SystemClock,
};
use hakken_benches::{
    history::Historian,
    median, memory,
    postgres::{Postgres, TestDatabase},
    report::{Plot, Table, bench_dir},
    shop::{Shop, sell},
    thousands,
};
use hakken_commands::store::{EventStore, SideStore};
use hakken_domain::envelope::Position;
use hakken_projections::{ALL, ReadModels, feed::EventFeed, projection::Projection};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAGE: usize = 10_000;
const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;
const SEATS: usize = 60_000;
const REBUILT: &str = "seat_availability";

const GUIDE: &str = "\
append: the last tenth of the history, in batches of some hundred events of many streams; holds:
  HoldSeats of 64 callers on one show (median of 3 rounds), which is what a seller waits for.
read: all events, decoded; rebuild: availability from its first event, rows and indexes included.
open: milliseconds until the store can be asked; stream: until the newest stream is read after that.
memory: megabytes resident of this process when the store has been opened again.
bytes: what an event takes on the disk, indexes included; of them indexes.";

type Rates = Vec<(f64, f64)>;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    sizes.sort_unstable();
    let named = |name: &str| words.iter().any(|word| word == name);
    let columns = [
        "store",
        "events",
        "append/s",
        "holds/s",
        "read/s",
        "rebuild/s",
        "open",
        "stream",
        "memory",
        "bytes",
        "of them",
    ];
    let mut table = Table::new("growth", GUIDE, &columns);
    let mut plot = Plot::new("Growth", "events", "a second");
    for name in ["embedded", "postgres"] {
        if named("embedded") != named("postgres") && !named(name) {
            continue;
        }
        let dir = tempfile::Builder::new().prefix("growth-").tempdir_in(bench_dir()?)?;
        let place = Place::new(name, dir.path()).await?;
        let mut historian = Historian::new(1);
        let mut lines: [Rates; 4] = Default::default();
        for size in &sizes {
            let measured = measure(&place, dir.path(), &mut historian, *size).await?;
            let Measured { events, rates, open, stream, memory, bytes, of_indexes } = measured;
            for (line, rate) in lines.iter_mut().zip(rates) {
                line.push((events, rate));
            }
            let [append, holds, read, rebuild] = rates.map(thousands);
            table.row([
                name.to_owned(),
                thousands(events),
                append,
                holds,
                read,
                rebuild,
                format!("{:.1}", open * 1e3),
                format!("{:.1}", stream * 1e3),
                format!("{:.0}", memory / 1e6),
                format!("{bytes:.0}"),
                format!("{of_indexes:.0}"),
            ]);
            table.print();
        }
        for (what, line) in ["append", "holds", "read", "rebuild"].into_iter().zip(lines) {
            plot.line(format!("{name}: {what}"), line);
        }
    }
    plot.write_log("growth")
}

/// Where a store stands.
enum Place {
    Embedded(DataDir),
    Postgres { _server: Postgres, database: TestDatabase },
}

/// A store, open.
#[derive(Clone)]
enum Store {
    Embedded(Arc<EmbeddedStore>),
    Postgres(Arc<PostgresStore>),
}

impl Place {
    async fn new(name: &str, dir: &Path) -> Result<Self> {
        if name == "embedded" {
            let data = DataDir::at(dir.join("data"));
            data.create()?;
            return Ok(Self::Embedded(data));
        }
        let server = Postgres::own(true).context("PostgreSQL is not installed here")?;
        let database = server.database().await;
        Ok(Self::Postgres { _server: server, database })
    }

    async fn open(&self) -> Result<Store> {
        Ok(match self {
            Self::Embedded(data) => Store::Embedded(Arc::new(EmbeddedStore::open(data).await?)),
            Self::Postgres { database, .. } => {
                Store::Postgres(Arc::new(PostgresStore::open(&database.url).await?))
            }
        })
    }

    /// Bytes on the disk, and those of indexes.
    async fn bytes(&self) -> Result<(f64, f64)> {
        match self {
            Self::Embedded(data) => {
                let size = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
                let events: u64 = std::fs::read_dir(&data.events)?
                    .flatten()
                    .map(|entry| size(&entry.path()))
                    .sum();
                let index = size(&data.index);
                Ok(((events + index) as f64, index as f64))
            }
            Self::Postgres { database, .. } => {
                let (all, indexes): (i64, i64) = sqlx::query_as(
                    "SELECT pg_total_relation_size('hakken.events'),
                         pg_indexes_size('hakken.events')",
                )
                .fetch_one(&mut database.connect().await)
                .await?;
                Ok((all as f64, indexes as f64))
            }
        }
    }
}

impl Store {
    fn events(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    fn feed(&self) -> Arc<dyn EventFeed> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    fn shop(&self) -> Result<Shop> {
        match self {
            Self::Embedded(store) => Shop::start(store.clone(), false),
            Self::Postgres(store) => Shop::start(store.clone(), false),
        }
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Embedded(store) => {
                close_last(store, |store| async { Ok(store.close().await?) }).await
            }
            Self::Postgres(store) => {
                close_last(store, |store| async {
                    store.close().await;
                    Ok(())
                })
                .await
            }
        }
    }
}

/// Closes a store when nobody else has it any more: tasks that end may still hold it.
async fn close_last<S: SideStore, F: Future<Output = Result<()>>>(
    mut store: Arc<S>,
    close: impl FnOnce(S) -> F,
) -> Result<()> {
    for _ in 0..500 {
        match Arc::try_unwrap(store) {
            Ok(store) => return close(store).await,
            Err(shared) => store = shared,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("somebody still has the store")
}

/// What a store of some size did.
struct Measured {
    events: f64,
    /// Appends, holds, reads, rebuilds, all as events a second.
    rates: [f64; 4],
    open: f64,
    stream: f64,
    memory: f64,
    bytes: f64,
    of_indexes: f64,
}

async fn measure(
    place: &Place,
    dir: &Path,
    historian: &mut Historian,
    size: usize,
) -> Result<Measured> {
    let store = place.open().await?;
    let events = store.events();
    let before = historian.write_until(events.as_ref(), size - size / 10).await?;
    let began = Instant::now();
    let after = historian.write_until(events.as_ref(), size).await?;
    let append = (after - before) as f64 / began.elapsed().as_secs_f64();
    drop(events);
    store.close().await?;

    let began = Instant::now();
    let store = place.open().await?;
    let open = began.elapsed().as_secs_f64();
    let memory = memory::resident_bytes()? as f64;
    let head = store.events().head().await?;
    let newest = store.events().read_all(Position(head.0 - 1), 1).await?;
    let newest = newest.first().context("the newest event")?.stream;
    let began = Instant::now();
    let found = store.events().read_stream(newest, 0, 1_000).await?;
    anyhow::ensure!(!found.is_empty(), "the stream of the newest event");
    let stream = began.elapsed().as_secs_f64();
    let read = read_everything(store.events().as_ref()).await?;
    let rebuild = rebuild(&store, dir, head).await?;
    let (bytes, of_indexes) = place.bytes().await?;
    // Last, because a show of this size is as large as ten thousand events.
    let shop = store.shop()?;
    let mut holds = Vec::new();
    for _ in 0..ROUNDS {
        holds.push(hold_seats(&shop).await?);
    }
    shop.stop().await;
    drop(shop);
    store.close().await?;
    let events = head.0 as f64;
    Ok(Measured {
        events,
        rates: [append, median(holds), read, rebuild],
        open,
        stream,
        memory,
        bytes: bytes / events,
        of_indexes: of_indexes / events,
    })
}

async fn hold_seats(shop: &Shop) -> Result<f64> {
    let show = shop.open_show(SEATS).await?;
    let shop = shop.clone();
    let hold = move |seat| {
        let (shop, show) = (shop.clone(), show.clone());
        async move { shop.hold(&show, seat).await.map(drop) }
    };
    sell(CALLERS, SEATS, ROUND, hold).await
}

/// Events a second of a scan over everything, decoded.
async fn read_everything(store: &dyn EventStore) -> Result<f64> {
    let began = Instant::now();
    let mut after = Position(0);
    loop {
        let events = store.read_all(after, PAGE).await?;
        let Some(last) = events.last() else { break };
        after = last.position;
        for event in &events {
            event.decoded().map_err(Clone::clone)?;
        }
    }
    Ok(after.0 as f64 / began.elapsed().as_secs_f64())
}

async fn rebuild(store: &Store, dir: &Path, head: Position) -> Result<f64> {
    let file = dir.join("rows.db");
    let rows = Arc::new(SqliteRows::open(&file).await?);
    let projection: Projection = *ALL.iter().find(|one| one.name == REBUILT).context(REBUILT)?;
    let clock = Arc::new(SystemClock);
    let models = ReadModels::start_only(store.feed(), rows.clone(), clock, &[projection]).await?;
    models.wait_for(REBUILT, head, Duration::from_secs(3_600)).await?;
    let report = models.rebuild(REBUILT).await?;
    anyhow::ensure!(report.equal(), "{:?}", report.comparison);
    models.shutdown().await;
    drop(models);
    rows.close().await;
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", file.display());
        if Path::new(&file).exists() {
            std::fs::remove_file(&file).context(file)?;
        }
    }
    Ok(head.0 as f64 / report.folding_seconds)
}
