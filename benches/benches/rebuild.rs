//! How fast read models are built from the events, beside plain reading and decoding.
//!
//! `cargo bench -p hakken-benches --bench rebuild` measures every projection over a million
//! events; `-- --events 100000 1000000 10000000` says over how many, `-- audit_log` of which,
//! `-- --store postgres` that the events stand in PostgreSQL, on a server of its own.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};
use hakken_adapters::{
    data_dir::DataDir, embedded::EmbeddedStore, postgres::PostgresStore, rows::SqliteRows,
    system::SystemClock,
};
use hakken_benches::{
    history::{history, write_to},
    median, memory,
    postgres::Postgres,
    report::{Plot, Table, bench_dir, percent},
    thousands,
};
use hakken_domain::envelope::{Position, StoredEvent, StreamId, Version};
use hakken_projections::{
    ALL, ReadModels,
    feed::{EventFeed, EventStream, FeedError, Interest},
    projection::Projection,
    rows::RowStore,
};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TURNS: usize = 3;
const PAGE: usize = 10_000;
const GUIDE: &str = "\
Events are all events of the history, also those that a projection passes over. `read` is the plain
scan of the store without decoding, `read + decode` the same with every event decoded, on one task.
`rebuild` is from an empty table to rows with all their indexes, caught up with the newest event;
`CPU µs` is what an event costs of all processors together, comparing included: where others work
on the machine, it says more than the rate. `compare` is what follows before the swap, as events
per second too. `bytes` is the file of the rows divided by the events, `peak` the most memory of the
process so far. Medians of three turns.";

type Events = Vec<Arc<StoredEvent>>;

/// The beginning of a history.
struct Beginning {
    whole: Arc<dyn EventFeed>,
    last: Position,
}

impl EventFeed for Beginning {
    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Events, FeedError>> {
        async move {
            if after >= self.last {
                return Ok(Vec::new());
            }
            let mut events = self.whole.read_all(after, limit).await?;
            events.truncate(events.partition_point(|event| event.position <= self.last));
            Ok(events)
        }
        .boxed()
    }

    fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        interest: Interest,
    ) -> BoxFuture<'_, Result<Events, FeedError>> {
        async move {
            // Pages are cut at whole chunks: near the end every event is needed.
            if after.0 + 2 * limit as u64 >= self.last.0 {
                return self.read_all(after, limit).await;
            }
            self.whole.read_wanted(after, limit, interest).await
        }
        .boxed()
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Events, FeedError>> {
        self.whole.read_stream(stream, after, limit)
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, FeedError>> {
        async { Ok(self.last) }.boxed()
    }

    fn follow(&self, after: Position) -> EventStream {
        let last = self.last;
        let whole = self.whole.follow(after).map(move |batch| {
            batch.map(|mut events| {
                events.truncate(events.partition_point(|event| event.position <= last));
                events
            })
        });
        Box::pin(whole)
    }
}

/// What is to be measured.
struct Asked {
    events: Vec<usize>,
    projections: Vec<Projection>,
    postgres: bool,
}

fn asked() -> Asked {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut events: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if events.is_empty() {
        events.push(1_000_000);
    }
    events.sort_unstable();
    let named: Vec<Projection> =
        ALL.iter().filter(|one| words.iter().any(|word| word == one.name)).copied().collect();
    let projections = if named.is_empty() { ALL.to_vec() } else { named };
    let postgres = words.windows(2).any(|pair| pair == ["--store", "postgres"]);
    Asked { events, projections, postgres }
}

/// A store full of events, and what it needs to live.
struct Source {
    feed: Arc<dyn EventFeed>,
    bytes: u64,
    events: u64,
    _server: Option<Postgres>,
}

async fn source(data: &DataDir, asked: &Asked) -> Result<Source> {
    let most = asked.events.last().copied().unwrap_or_default();
    if !asked.postgres {
        let events = history(data, most).await?;
        let feed = Arc::new(EmbeddedStore::open_read_only(data).await?);
        let files = std::fs::read_dir(&data.events)?;
        let bytes = files.map(|file| Ok(file?.metadata()?.len())).sum::<Result<u64>>()?;
        return Ok(Source { feed, bytes, events, _server: None });
    }
    let server = Postgres::own(true).context("PostgreSQL is not installed here")?;
    let database = server.database().await;
    let store = Arc::new(PostgresStore::open(&database.url).await?);
    let events = write_to(store.as_ref(), most, 1).await?;
    let bytes: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('hakken.events')")
        .fetch_one(&mut database.connect().await)
        .await?;
    Ok(Source { feed: store, bytes: bytes.unsigned_abs(), events, _server: Some(server) })
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

/// What a projection did over so many events.
struct Measured {
    rebuild: f64,
    cpu_micros: f64,
    compare: f64,
    bytes: f64,
}

async fn run() -> Result<()> {
    let asked = asked();
    let dir = tempfile::Builder::new().prefix("rebuild-").tempdir_in(bench_dir()?)?;
    let data = DataDir::at(dir.path().join("data"));
    let began = Instant::now();
    let source = source(&data, &asked).await?;
    let Asked { events, projections, postgres } = asked;
    println!(
        "a history of {} events in {}, {:.0} bytes each, written in {:.0} s",
        thousands(source.events as f64),
        if postgres { "PostgreSQL" } else { "the embedded store" },
        source.bytes as f64 / source.events as f64,
        began.elapsed().as_secs_f64()
    );
    let mut plot = Plot::new("Rebuild", "events", "events a second");
    let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new(); projections.len() + 1];
    let mut first: Vec<f64> = Vec::new();
    for count in events {
        let last = Position(count as u64);
        let feed = Arc::new(Beginning { whole: source.feed.clone(), last });
        let (mut reads, mut costs) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for _ in 0..TURNS {
            let before = memory::cpu_seconds()?;
            reads.0.push(scan(feed.as_ref(), false).await?);
            let between = memory::cpu_seconds()?;
            reads.1.push(scan(feed.as_ref(), true).await?);
            let after = memory::cpu_seconds()?;
            costs.0.push((between - before) * 1e6 / count as f64);
            costs.1.push((after - between) * 1e6 / count as f64);
        }
        let (read, decode) = (median(reads.0), median(reads.1));
        let title = format!(
            "{} events: read {}/s ({:.2} µs of CPU), read + decode {}/s ({:.2} µs of CPU)",
            thousands(count as f64),
            thousands(read),
            median(costs.0),
            thousands(decode),
            median(costs.1),
        );
        let columns = [
            "projection",
            "rebuild/s",
            "of read + decode",
            "CPU µs",
            "compare/s",
            "bytes",
            "peak MB",
            "growth",
        ];
        let mut table = Table::new(title, GUIDE, &columns);
        lines[projections.len()].push((count as f64, decode));
        for (at, projection) in projections.iter().enumerate() {
            let measured = measure(&feed, dir.path(), *projection).await?;
            lines[at].push((count as f64, measured.rebuild));
            if first.len() <= at {
                first.push(measured.rebuild);
            }
            table.row([
                projection.name.to_owned(),
                thousands(measured.rebuild),
                percent(measured.rebuild, decode),
                format!("{:.2}", measured.cpu_micros),
                thousands(measured.compare),
                format!("{:.0}", measured.bytes),
                format!("{:.0}", memory::peak_bytes()? as f64 / 1e6),
                format!("{:.2}", measured.rebuild / first[at]),
            ]);
        }
        table.print();
    }
    for (projection, points) in projections.iter().zip(lines.iter()) {
        plot.line(projection.name, points.clone());
    }
    plot.line("read + decode", lines[projections.len()].clone());
    plot.write_log(if postgres { "rebuild-postgres" } else { "rebuild" })
}

/// Events a second of a scan over everything.
async fn scan(feed: &Beginning, decode: bool) -> Result<f64> {
    let began = Instant::now();
    let mut after = Position(0);
    loop {
        let events = feed.read_all(after, PAGE).await?;
        let Some(last) = events.last() else { break };
        after = last.position;
        if decode {
            for event in &events {
                event.decoded().map_err(Clone::clone)?;
            }
        }
    }
    Ok(after.0 as f64 / began.elapsed().as_secs_f64())
}

async fn measure(feed: &Arc<Beginning>, dir: &Path, projection: Projection) -> Result<Measured> {
    let (mut rebuilds, mut compares, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut micros = Vec::new();
    for _ in 0..TURNS {
        let file = dir.join("rows.db");
        let rows = Arc::new(SqliteRows::open(&file).await?);
        let served: Arc<dyn RowStore> = rows.clone();
        let clock = Arc::new(SystemClock);
        let models = ReadModels::start_only(feed.clone(), served, clock, &[projection]).await?;
        let patience = std::time::Duration::from_secs(3_600);
        models.wait_for(projection.name, feed.last, patience).await?;
        // What is still in the write-ahead log counts as well.
        let size: u64 = ["", "-wal"]
            .iter()
            .filter_map(|suffix| std::fs::metadata(format!("{}{suffix}", file.display())).ok())
            .map(|found| found.len())
            .sum();
        let before = memory::cpu_seconds()?;
        let report = models.rebuild(projection.name).await?;
        let after = memory::cpu_seconds()?;
        anyhow::ensure!(report.equal(), "{:?}", report.comparison);
        let events = feed.last.0 as f64;
        micros.push((after - before) * 1e6 / events);
        rebuilds.push(events / report.folding_seconds);
        compares.push(events / (report.seconds - report.folding_seconds));
        bytes.push(size as f64 / events);
        models.shutdown().await;
        drop(models);
        rows.close().await;
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{}{suffix}", file.display());
            if Path::new(&file).exists() {
                std::fs::remove_file(&file).context(file)?;
            }
        }
    }
    Ok(Measured {
        rebuild: median(rebuilds),
        cpu_micros: median(micros),
        compare: median(compares),
        bytes: median(bytes),
    })
}
