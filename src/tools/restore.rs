//! `hakken restore`: a backup becomes a store again, all of it or up to a point.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use hakken_adapters::{
    backup::{Backup, Until},
    copy,
    data_dir::{DataDir, DirLock},
    embedded::{EmbeddedStore, OpenError, OpenOptions},
    postgres::PostgresStore,
    system::EngineSecret,
    unfinished::Unfinished,
};
use hakken_commands::{
    process::NAMES,
    store::{EventStore, Imported, SideStore},
};
use hakken_domain::{
    chain::Chain,
    envelope::{Position, StoredEvent},
    time::Timestamp,
};
use hakken_projections::feed::EventFeed;
use serde_json::json;

use super::{
    bars::{Unit, bar},
    print_line,
};
use crate::{
    cli::Data,
    store::{self, StoreAddress, check_of_bytes},
};

/// Events made durable at once.
const PAGE: usize = 5_000;

const AFTER: &str = "\
Examples:
    hakken restore --from /backup/hakken --data /var/lib/hakken-new
    hakken restore --from /backup/hakken --data ./then --until 2026-11-21T18:30:00Z
    hakken restore --from /backup/hakken --data ./new --store postgres://…

A restore that is cut off is no store: no server opens it. Run the same command again, and it goes
on where it was.

Exit codes:
    0  everything was restored, and read and compared afterwards
    1  it was not: the reason, and what to do next, stand on standard error";

/// `hakken restore`
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Options {
    /// Directory of the backup. It is checked before anything is written.
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Only up to this position, or what was recorded by this time (RFC 3339).
    #[arg(long, value_name = "POSITION|TIME", value_parser = parse_until)]
    pub until: Option<Until>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Where the data is to be: a store without events.
    #[command(flatten)]
    pub data: Data,
}

fn parse_until(text: &str) -> Result<Until, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no position, and no time such as 2026-11-21T18:30:00Z"))
}

/// All that a store is here.
trait Target: EventStore + SideStore + EventFeed + Unfinished {}

impl<S: EventStore + SideStore + EventFeed + Unfinished> Target for S {}

/// The open store.
enum Opened {
    Embedded(EmbeddedStore),
    Postgres(PostgresStore, DirLock),
}

impl Opened {
    fn target(&self) -> &dyn Target {
        match self {
            Self::Embedded(store) => store,
            Self::Postgres(store, _) => store,
        }
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Embedded(store) => Ok(store.close().await?),
            Self::Postgres(store, _lock) => {
                store.close().await;
                Ok(())
            }
        }
    }
}

/// What was brought, and what was left out.
#[derive(Default)]
struct Brought {
    chain: Chain,
    last_recorded_at: Option<Timestamp>,
    left_out: BTreeMap<String, u64>,
    left_out_from: Option<Timestamp>,
}

/// Runs it.
pub async fn run(options: Options) -> Result<()> {
    let begun = Instant::now();
    let backup = Backup::open(&options.from)?;
    let last = last(&options, &backup)?;
    let dir = DataDir::at(&options.data.data);
    fits(&options, &dir)?;
    let secret = secret(&backup, &dir)?;
    let progress = bar("checking the backup", Unit::Bytes, backup.manifest().bytes(), options.json);
    backup.verify(|read| progress.set_position(read))?;
    progress.finish_and_clear();

    let opened = open(&options, &dir, &secret, last).await?;
    let brought = bring(&options, &backup, opened.target(), last).await;
    let closed = opened.close().await;
    let brought = brought?;
    closed?;
    tell(&options, &dir, &brought, begun.elapsed().as_secs_f64());
    Ok(())
}

/// The last event that is wanted.
fn last(options: &Options, backup: &Backup) -> Result<Position> {
    let manifest = backup.manifest();
    let until = options.until.unwrap_or(Until::End);
    if let Until::Position(position) = until
        && position > manifest.last
    {
        bail!("the backup ends at position {}: there is no position {position}", manifest.last);
    }
    let last = backup.last_until(until)?;
    if last.0 == 0 && manifest.last.0 > 0 {
        bail!("nothing was recorded by then: the first event of the backup came later");
    }
    Ok(last)
}

/// A directory with other things than a restore leaves there would be a mixture afterwards.
fn fits(options: &Options, dir: &DataDir) -> Result<()> {
    let mut known = vec!["secret", "secret.new", "LOCK"];
    if options.data.store == StoreAddress::Embedded {
        known.extend(["UNFINISHED", "events", "index.db", "side.db"]);
    }
    let entries = match dir.root.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| dir.root.display().to_string()),
    };
    for entry in entries {
        let name = entry.with_context(|| dir.root.display().to_string())?.file_name();
        let name = name.to_string_lossy();
        let beside = ["-wal", "-shm", "-journal"];
        let plain = beside.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        if !known.contains(&plain) {
            bail!(
                "{} has {name} already. A backup is restored into an empty directory: choose \
                 another one with --data",
                dir.root.display()
            );
        }
    }
    Ok(())
}

/// The secret of the restored engine: that of the backup, or one that was put there before.
fn secret(backup: &Backup, dir: &DataDir) -> Result<EngineSecret> {
    match (backup.secret()?, EngineSecret::find(dir)?) {
        (Some(kept), Some(there)) if kept != there => bail!(
            "{} is another secret than that of the backup: choose another directory with --data",
            dir.secret.display()
        ),
        (Some(secret), _) | (None, Some(secret)) => Ok(secret),
        (None, None) => bail!(
            "the backup has no secret (it was made with --without-secret), and without it every \
             ticket code and API key is dead: put the file `secret` that was kept elsewhere to {}, \
             then restore again",
            dir.secret.display()
        ),
    }
}

/// Opens the store that is to take the events, which must have none, or those that a restore which
/// was cut off has brought there.
async fn open(
    options: &Options,
    dir: &DataDir,
    secret: &EngineSecret,
    last: Position,
) -> Result<Opened> {
    let is_new = EngineSecret::find(dir)?.is_none();
    let opened = match &options.data.store {
        StoreAddress::Embedded => {
            if dir.events.is_dir() && !dir.unfinished.exists() {
                let reader = EmbeddedStore::open_read_only(dir).await;
                let head = match &reader {
                    Ok(reader) => EventFeed::head(reader).await?,
                    // A start that was cut off before it made the first file.
                    Err(OpenError::Missing { .. }) => Position(0),
                    Err(_) => Position(1),
                };
                refuse_events(head, &dir.events)?;
            }
            if is_new {
                secret.put(dir)?;
            }
            let options = OpenOptions { may_be_unfinished: true, ..OpenOptions::default() };
            Opened::Embedded(EmbeddedStore::open_with(dir, &options).await?)
        }
        StoreAddress::Postgres(url) => {
            let store = PostgresStore::open(url).await?;
            if !store.is_unfinished().await? {
                let head = EventStore::head(&store).await?;
                refuse_events(head, Path::new("the database"))?;
                // One that was bound by a server before it had any event.
                store.bind_secret(check_of_bytes(secret.as_bytes())).await?;
            }
            if is_new {
                secret.put(dir)?;
            }
            Opened::Postgres(store, store::lock(dir)?)
        }
        StoreAddress::EventStoreDb(_) => bail!(
            "a backup is restored into a data directory or a PostgreSQL database, not into \
             EventStoreDB, whose own backups bring its streams back"
        ),
    };
    let target = opened.target();
    let head = EventStore::head(target).await?;
    if head > last {
        bail!(
            "a restore that was cut off has brought {head} events there, and now only {last} are \
             wanted: choose another directory or database"
        );
    }
    target.begin().await?;
    Ok(opened)
}

fn refuse_events(head: Position, place: &Path) -> Result<()> {
    if head.0 > 0 {
        bail!(
            "{} has events already. A backup is restored into an empty store, so that no two \
             histories are mixed: choose another directory with --data, or another database",
            place.display()
        );
    }
    Ok(())
}

/// Brings the events up to `last`, reads them all once more, and makes the store whole.
async fn bring(
    options: &Options,
    backup: &Backup,
    target: &dyn Target,
    last: Position,
) -> Result<Brought> {
    let there = EventStore::head(target).await?;
    let progress = bar("restoring", Unit::Events, backup.manifest().last.0.max(1), options.json);
    let mut brought = Brought::default();
    let mut events = backup.events();
    let mut page = Vec::with_capacity(PAGE);
    loop {
        let block = events.next_block()?;
        let is_end = block.is_empty();
        for event in block {
            progress.set_position(event.position.0);
            if event.position > last {
                brought.left_out_from.get_or_insert(event.recorded_at);
                *brought.left_out.entry(event.kind.to_string()).or_default() += 1;
                continue;
            }
            brought.chain.add(&event);
            brought.last_recorded_at = Some(event.recorded_at);
            if event.position > there {
                page.push(event);
            }
        }
        if page.len() >= PAGE || is_end {
            take(target, std::mem::take(&mut page)).await?;
        }
        if is_end {
            break;
        }
    }
    progress.finish_and_clear();

    let progress = bar("reading it again", Unit::Events, last.0, options.json);
    let head = EventStore::head(target).await?;
    let found = copy::chain(target, head, |read| progress.set_position(read)).await?;
    progress.finish_and_clear();
    if found != brought.chain {
        bail!(
            "the restored store is not what is in the backup: it has {} events with the digest {}, \
             and should have {} with {}. Choose another directory or database, and look at the disk",
            found.events(),
            found.digest(),
            brought.chain.events(),
            brought.chain.digest()
        );
    }
    let checkpoints = backup.manifest().checkpoints_at(last);
    for process in NAMES {
        if let Some(position) = checkpoints.get(process) {
            target.save_checkpoint(process, *position).await?;
        }
    }
    target.finish().await?;
    Ok(brought)
}

async fn take(target: &dyn Target, page: Vec<Arc<StoredEvent>>) -> Result<()> {
    if page.is_empty() {
        return Ok(());
    }
    match target.import(page).await? {
        Imported::Taken => Ok(()),
        Imported::DoesNotFollow(position) => bail!(
            "the store does not take the event at position {position}: it has other events than \
             the backup. Choose another directory or database"
        ),
    }
}

fn tell(options: &Options, dir: &DataDir, brought: &Brought, seconds: f64) {
    let events = brought.chain.events();
    let left_out: u64 = brought.left_out.values().sum();
    let codes = codes_left_out(brought);
    if options.json {
        let object = json!({
            "position": events, "events": events, "last_recorded_at": brought.last_recorded_at,
            "chain": brought.chain.digest(),
            "left_out": {
                "events": left_out, "kinds": brought.left_out, "codes": codes,
                "first_recorded_at": brought.left_out_from,
            },
            "seconds": seconds,
        });
        return print_line(&object.to_string());
    }
    let place = match options.data.store {
        StoreAddress::Embedded => dir.root.display().to_string(),
        StoreAddress::Postgres(_) | StoreAddress::EventStoreDb(_) => "the database".to_owned(),
    };
    let recorded = match brought.last_recorded_at {
        Some(at) => format!(", the last recorded at {at}"),
        None => String::new(),
    };
    print_line(&format!(
        "{events} events are in {place}{recorded}; all of them were read again and are those of the \
         backup ({seconds:.1} s).\n  digest of the history: {}",
        brought.chain.digest()
    ));
    if left_out > 0 {
        tell_left_out(brought, left_out, codes);
    }
    let data = dir.root.display();
    let store = match options.data.store {
        StoreAddress::Embedded => "",
        StoreAddress::Postgres(_) | StoreAddress::EventStoreDb(_) => " --store …",
    };
    print_line(&format!(
        "Next: `hakken verify --data {data}{store}` folds the read models from the events and checks \
         them, `hakken serve --data {data}{store}` serves. What was paid and not issued at that point \
         is issued then."
    ));
}

/// Codes that were given out after the point.
fn codes_left_out(brought: &Brought) -> u64 {
    let of = |kind: &str| brought.left_out.get(kind).copied().unwrap_or(0);
    of("ticket-issued") + of("ticket-reissued")
}

fn tell_left_out(brought: &Brought, left_out: u64, codes: u64) {
    let from = brought.left_out_from.map_or_else(String::new, |at| format!(", from {at} on"));
    print_line(&format!("Left out: {left_out} events{from}:"));
    for (kind, count) in &brought.left_out {
        print_line(&format!("  {count:>8}  {kind}"));
    }
    if codes > 0 {
        print_line(&format!(
            "  {codes} ticket codes were given out after that point. The restored engine \
             refuses them at the gate, but for those of orders that were paid by then, which get \
             the same ones again; codes that they replaced are good again."
        ));
    }
    if ["payment-captured", "refund-settled"]
        .iter()
        .any(|kind| brought.left_out.contains_key(*kind))
    {
        print_line(
            "  Money moved after that point (payment-captured, refund-settled): compare with your \
             payment provider.",
        );
    }
}
