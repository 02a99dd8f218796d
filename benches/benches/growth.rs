//! How a store behaves as it grows: writing, reading, rebuilding, starting, memory and size.
//!
//! `cargo bench -p hakken-benches --bench growth` goes from 10,000 to 100,000 events; `-- 100000
//! 1000000 10000000` through these sizes (ten million take some minutes and some 12 GB, which are
//! given back), `-- embedded` or `-- postgres` on one store alone.

use std::{
    path::Path,
    process::Command,
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
    rawlog::RawLog,
    report::{Plot, Table, bench_dir, percent},
    shop::{Shop, sell},
    thousands,
};
use hakken_commands::store::{EventStore, SideStore};
use hakken_domain::envelope::{Position, StoredEvent};
use hakken_projections::{ALL, ReadModels, feed::EventFeed, projection::Projection};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAGE: usize = 10_000;
const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
const TURNS: usize = 3;
/// How often the first page is read, as a measure of the machine.
const PAGES: usize = 20;
/// Most events that are appended to a new store, too.
const MOST_BESIDE: usize = 200_000;
/// About what a hold takes in the log.
const ENTRY_BYTES: usize = 450;
const SEATS: usize = 60_000;
const REBUILT: &str = "seat_availability";
/// With this word, a store's name and its address, the program opens that store and says how.
const OPENED: &str = "opened";

const GUIDE: &str = "\
append: the last events of the history, in batches of some hundred of many streams, one after the
  other; beside the very same batches in a new store, in turns.
read: all events, decoded; rebuild: availability from its first event, rows and indexes included;
  both beside the first 10,000 events read and decoded again and again, just before: what that takes
  does not depend on the size, so these shares say what growth costs, whatever else the machine does.
  Medians of three turns.
open: milliseconds until the store can be asked; stream: until the newest stream is read after that.
memory: megabytes resident of a process that has just opened the store.
bytes: what an event takes on the disk, indexes included; of them indexes.";
const SELLING_GUIDE: &str = "\
holds: HoldSeats of 64 callers on one show that is new, in a store of its own with so many events;
raw log: as many callers of a file with one sync a batch and nothing else, measured just before.
Medians of three turns.";

type Rates = Vec<(f64, f64)>;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [OPENED, name, address] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let Opened { open, stream, memory } = Opened::here(name, address).await?;
        println!("{open} {stream} {memory}");
        return Ok(());
    }
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
        "of a new one",
        "read/s",
        "of a page",
        "rebuild/s",
        "of a page",
        "open",
        "stream",
        "memory",
        "bytes",
        "of them",
    ];
    let mut table = Table::new("growth", GUIDE, &columns);
    let columns = ["store", "events", "holds/s", "raw log/s", "share"];
    let mut selling = Table::new("selling", SELLING_GUIDE, &columns);
    let mut plot = Plot::new("Growth", "events", "a second");
    for name in ["embedded", "postgres"] {
        if named("embedded") != named("postgres") && !named(name) {
            continue;
        }
        let mut lines: [Rates; 4] = Default::default();
        for kept in keep(name, &sizes).await? {
            let Kept { events, append, read, rebuild, opened, bytes, of_indexes } = kept;
            for (line, rate) in lines.iter_mut().zip([append.0, read.0, rebuild.0]) {
                line.push((events, rate));
            }
            table.row([
                name.to_owned(),
                thousands(events),
                thousands(append.0),
                percent(append.1, 1.0),
                thousands(read.0),
                percent(read.1, 1.0),
                thousands(rebuild.0),
                percent(rebuild.1, 1.0),
                format!("{:.1}", opened.open * 1e3),
                format!("{:.1}", opened.stream * 1e3),
                format!("{:.0}", opened.memory / 1e6),
                format!("{bytes:.0}"),
                format!("{of_indexes:.0}"),
            ]);
        }
        table.print();
        for (events, holds, limit) in sell_beside(name, &sizes).await? {
            lines[3].push((events, holds));
            selling.row([
                name.to_owned(),
                thousands(events),
                thousands(holds),
                thousands(limit),
                percent(holds, limit),
            ]);
        }
        selling.print();
        for (what, line) in ["append", "read", "rebuild", "holds"].into_iter().zip(lines) {
            plot.line(format!("{name}: {what}"), line);
        }
    }
    plot.write_log("growth")
}

/// A history that grows, and what it is like to have it.
async fn keep(name: &str, sizes: &[usize]) -> Result<Vec<Kept>> {
    let dir = tempfile::Builder::new().prefix("growth-").tempdir_in(bench_dir()?)?;
    let place = Place::new(name, dir.path()).await?;
    let mut historian = Historian::new(1);
    let mut all = Vec::new();
    for size in sizes {
        all.push(Kept::measure(&place, dir.path(), &mut historian, *size).await?);
    }
    Ok(all)
}

/// Sells beside a history that grows: events, holds a second, and those of a raw log. Nobody else
/// is to read this history: it ends with far more holds than others have.
async fn sell_beside(name: &str, sizes: &[usize]) -> Result<Vec<(f64, f64, f64)>> {
    let dir = tempfile::Builder::new().prefix("growth-").tempdir_in(bench_dir()?)?;
    let place = Place::new(name, dir.path()).await?;
    let raw = Arc::new(RawLog::create(&dir.path().join("raw.log"))?);
    let mut historian = Historian::new(1);
    let mut all = Vec::new();
    for size in sizes {
        let store = place.open().await?;
        historian.write_until(store.events().as_ref(), *size).await?;
        let events = store.events().head().await?.0 as f64;
        let shop = store.shop()?;
        let (mut holds, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            limits.push(append_raw(&raw).await?);
            holds.push(hold_seats(&shop).await?);
        }
        shop.stop().await;
        drop(shop);
        store.close().await?;
        all.push((events, median(holds), median(limits)));
    }
    Ok(all)
}

async fn append_raw(raw: &Arc<RawLog>) -> Result<f64> {
    let raw = raw.clone();
    let append = move |_| {
        let raw = raw.clone();
        async move {
            raw.append(vec![7; ENTRY_BYTES]).await;
            Ok(())
        }
    };
    sell(CALLERS, usize::MAX, ROUND, append).await
}

/// Where a store stands.
enum Place {
    Embedded(DataDir),
    Postgres { server: Arc<Postgres>, database: TestDatabase },
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
        // As its manual advises: as it comes, its memory is meant for the smallest of machines.
        let quarter = memory::machine_bytes()? / 4 / 1_024 / 1_024;
        let settings = format!("shared_buffers = {quarter}MB\nmax_wal_size = 8GB");
        let server = Postgres::own_with(&settings).context("PostgreSQL is not installed here")?;
        let database = server.database().await;
        Ok(Self::Postgres { server: Arc::new(server), database })
    }

    /// Of the same kind, and on the same server if there is one.
    async fn another(&self, dir: &Path) -> Result<Self> {
        Ok(match self {
            Self::Embedded(_) => {
                let data = DataDir::at(dir);
                data.create()?;
                Self::Embedded(data)
            }
            Self::Postgres { server, .. } => {
                Self::Postgres { server: server.clone(), database: server.database().await }
            }
        })
    }

    /// The name of the store and its address.
    fn address(&self) -> (&'static str, String) {
        match self {
            Self::Embedded(data) => ("embedded", data.root.display().to_string()),
            Self::Postgres { database, .. } => ("postgres", database.url.clone()),
        }
    }

    async fn open(&self) -> Result<Store> {
        let (name, address) = self.address();
        Store::open(name, &address).await
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
                    "SELECT pg_total_relation_size('hakken.events')
                             + pg_total_relation_size('hakken.streams'),
                         pg_indexes_size('hakken.events') + pg_total_relation_size('hakken.streams')",
                )
                .fetch_one(&mut database.connect().await)
                .await?;
                Ok((all as f64, indexes as f64))
            }
        }
    }
}

impl Store {
    async fn open(name: &str, address: &str) -> Result<Self> {
        Ok(match name {
            "embedded" => {
                let data = DataDir::at(address);
                Self::Embedded(Arc::new(EmbeddedStore::open(&data).await?))
            }
            _ => Self::Postgres(Arc::new(PostgresStore::open(address).await?)),
        })
    }

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
struct Kept {
    events: f64,
    /// Events a second, and their share of what a new store takes.
    append: (f64, f64),
    /// Events a second, and their share of reading one page again and again.
    read: (f64, f64),
    rebuild: (f64, f64),
    opened: Opened,
    bytes: f64,
    of_indexes: f64,
}

/// How a process finds a store that it opens.
struct Opened {
    /// Seconds until it could be asked.
    open: f64,
    /// Seconds until the stream of its newest event was read then.
    stream: f64,
    /// Bytes that were resident of the process in the end.
    memory: f64,
}

impl Opened {
    async fn here(name: &str, address: &str) -> Result<Self> {
        let began = Instant::now();
        let store = Store::open(name, address).await?;
        let open = began.elapsed().as_secs_f64();
        let events = store.events();
        let head = events.head().await?;
        let newest = events.read_all(Position(head.0 - 1), 1).await?;
        let newest = newest.first().context("the newest event")?.stream;
        let began = Instant::now();
        let found = events.read_stream(newest, 0, 1_000).await?;
        anyhow::ensure!(!found.is_empty(), "the stream of the newest event");
        let stream = began.elapsed().as_secs_f64();
        let memory = memory::resident_bytes()? as f64;
        drop(events);
        store.close().await?;
        Ok(Self { open, stream, memory })
    }

    /// In a process of its own: this one still has in memory what makes the history.
    fn elsewhere(place: &Place) -> Result<Self> {
        let (name, address) = place.address();
        let mut other = Command::new(std::env::current_exe()?);
        let said = other.args([OPENED, name, &address]).output()?;
        let text = String::from_utf8(said.stdout)?;
        let figures: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
        let [open, stream, memory] = figures[..] else {
            anyhow::bail!("{text}{}", String::from_utf8_lossy(&said.stderr));
        };
        Ok(Self { open, stream, memory })
    }
}

impl Kept {
    async fn measure(
        place: &Place,
        dir: &Path,
        historian: &mut Historian,
        size: usize,
    ) -> Result<Self> {
        let store = place.open().await?;
        let events = store.events();
        let new_place = place.another(&dir.join(format!("new-{size}"))).await?;
        let new_store = new_place.open().await?;
        let beside = size - (size / 4).min(MOST_BESIDE);
        let before = historian.write_until(events.as_ref(), beside).await?;
        let new_events = new_store.events();
        let took = historian.write_beside(events.as_ref(), new_events.as_ref(), size).await?;
        let [seconds, of_new] = took.map(|took| took.as_secs_f64());
        let written = (events.head().await?.0 - before) as f64;
        let append = (written / seconds, of_new / seconds);
        drop((events, new_events));
        store.close().await?;
        new_store.close().await?;

        let opened = Opened::elsewhere(place)?;
        let store = place.open().await?;
        let head = store.events().head().await?;
        let (mut reads, mut rebuilds) = (Turns::default(), Turns::default());
        for _ in 0..TURNS {
            let page = read_first_page(store.events().as_ref()).await?;
            reads.add(read_everything(store.events().as_ref()).await?, page);
            rebuilds.add(rebuild(&store, dir, head).await?, page);
        }
        let (bytes, of_indexes) = place.bytes().await?;
        store.close().await?;
        let events = head.0 as f64;
        let (bytes, of_indexes) = (bytes / events, of_indexes / events);
        let (read, rebuild) = (reads.medians(), rebuilds.medians());
        Ok(Self { events, append, read, rebuild, opened, bytes, of_indexes })
    }
}

/// What something made a second, and its share of what it is compared with, in each turn.
#[derive(Default)]
struct Turns {
    rates: Vec<f64>,
    shares: Vec<f64>,
}

impl Turns {
    fn add(&mut self, rate: f64, limit: f64) {
        self.rates.push(rate);
        self.shares.push(rate / limit);
    }

    fn medians(self) -> (f64, f64) {
        (median(self.rates), median(self.shares))
    }
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

/// Events a second of the first page, read and decoded again and again.
async fn read_first_page(store: &dyn EventStore) -> Result<f64> {
    let began = Instant::now();
    let mut read = 0;
    for _ in 0..PAGES {
        let events = store.read_all(Position(0), PAGE).await?;
        read += events.len();
        decode(&events)?;
    }
    Ok(read as f64 / began.elapsed().as_secs_f64())
}

fn decode(events: &[Arc<StoredEvent>]) -> Result<()> {
    for event in events {
        event.decoded().map_err(Clone::clone)?;
    }
    Ok(())
}

/// Events a second of a scan over everything, decoded.
async fn read_everything(store: &dyn EventStore) -> Result<f64> {
    let began = Instant::now();
    let mut after = Position(0);
    loop {
        let events = store.read_all(after, PAGE).await?;
        let Some(last) = events.last() else { break };
        after = last.position;
        decode(&events)?;
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
