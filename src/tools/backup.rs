//! `hakken backup` and `hakken verify-backup`.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use hakken_adapters::{
    backup::{Backup, BackupError, BackupWriter, Manifest},
    data_dir::DataDir,
    system::{EngineSecret, SystemClock},
    unfinished::Unfinished,
};
use hakken_commands::{
    clock::Clock,
    process::NAMES,
    store::{SideStore, StoreError},
};
use hakken_domain::envelope::Position;
use serde_json::json;

use super::{
    bars::{Unit, bar},
    print_line,
};
use crate::{
    cli::Data,
    store::{Events, check_of_bytes},
    telemetry,
};

/// Events read at once.
const PAGE: usize = 5_000;

const AFTER_BACKUP: &str = "\
Examples:
    hakken backup --to /backup/hakken --data /var/lib/hakken
    hakken backup --to /backup/hakken --store postgres://… --data /var/lib/hakken --json

Exit codes:
    0  the backup is complete up to the position that is printed
    1  it is not: the reason stands on standard error, and what was there before still is";

const AFTER_VERIFY: &str = "\
Exit codes:
    0  it is complete: every checksum, digest and version of a stream was read and is right
    1  it is not: the file and the place are printed";

/// `hakken backup`
#[derive(Debug, Args)]
#[command(after_help = AFTER_BACKUP)]
pub struct Options {
    /// Directory of the backup, on another disk than the data. One that has a backup of the same
    /// store already gets what is new; what is there is read and compared with the store before.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Leave the secret out. Then it must be kept somewhere else: without it every ticket code and
    /// API key of a restored engine is dead.
    #[arg(long)]
    pub without_secret: bool,
    /// Of what is in the backup already, compare only the newest part and event. Damage to older
    /// ones, of the store or the backup, is not noticed then.
    #[arg(long)]
    pub quick: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Where the data is. A server may go on writing it.
    #[command(flatten)]
    pub data: Data,
}

/// `hakken verify-backup`
#[derive(Debug, Args)]
#[command(after_help = AFTER_VERIFY)]
pub struct VerifyOptions {
    /// Directory of the backup.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Runs `hakken backup`.
pub async fn run(options: Options) -> Result<()> {
    let begun = Instant::now();
    let dir = DataDir::at(&options.data.data);
    let events = Events::open(&options.data.store, &dir).await?;
    refuse_a_part(&events, &dir).await?;
    let secret = secret(&options, &dir, &events).await?;
    let mut writer = BackupWriter::open(&options.to, secret.as_ref())?;
    let before = writer.known().bytes();
    // In this order: what the processes answered up to here is below the head.
    let checkpoints = checkpoints(&events).await?;
    let feed = events.feed();
    let head = feed.head().await.with_context(|| events.unreadable(&dir))?;
    let from = known(&options, &mut writer, &events, head).await?;

    let progress = bar("reading the store", Unit::Events, head.0, options.json);
    progress.set_position(from.0);
    progress.reset_eta();
    let mut after = from;
    while after < head {
        let page = feed.read_all(after, PAGE).await.with_context(|| events.unreadable(&dir))?;
        if page.is_empty() {
            bail!("the store ended at position {head}, and now at {after}: it is damaged");
        }
        for event in page.iter().take_while(|event| event.position <= head) {
            writer.take(event)?;
        }
        after = page.last().map_or(head, |event| event.position).min(head);
        progress.set_position(after.0);
    }
    let new_events = writer.added();
    let store = options.data.store.to_string();
    let engine = env!("CARGO_PKG_VERSION");
    let now = SystemClock.now();
    let manifest = writer.finish(now, &store, engine, checkpoints)?;
    progress.finish_and_clear();
    if let Err(error) = telemetry::note_backup(&dir.root, now, manifest.last) {
        eprintln!(
            "hakken: the backup is good, but {} cannot be written, so the server's figures do not \
             tell of it: {error}",
            dir.root.display()
        );
    }
    let added = Added {
        events: new_events,
        bytes: manifest.bytes().saturating_sub(before),
        seconds: begun.elapsed().as_secs_f64(),
    };
    tell(&options, &manifest, &added);
    Ok(())
}

/// What one run came to.
struct Added {
    events: u64,
    bytes: u64,
    seconds: f64,
}

/// A part of a history is no store, and nothing to go back to.
async fn refuse_a_part(events: &Events, dir: &DataDir) -> Result<()> {
    let is_part = match events {
        Events::Embedded(_) => dir.unfinished.exists(),
        Events::Postgres(store) => store.is_unfinished().await?,
        // Nothing is restored there.
        Events::EventStoreDb(_) => false,
    };
    if is_part {
        bail!(
            "the store holds a part of a history only: a restore into it has not come to its end. \
             Run that again first"
        );
    }
    Ok(())
}

/// The secret that belongs to the events, unless it is to be left out.
async fn secret(options: &Options, dir: &DataDir, events: &Events) -> Result<Option<EngineSecret>> {
    if options.without_secret {
        return Ok(None);
    }
    let Some(secret) = EngineSecret::find(dir)? else {
        bail!(
            "{} is missing, and without it every ticket code and API key of a restored engine is \
             dead. Name the data directory that has it with --data, or give --without-secret if it \
             is kept somewhere else",
            dir.secret.display()
        );
    };
    if let Events::Postgres(store) = events
        && !store.is_for_secret(check_of_bytes(secret.as_bytes())).await?
    {
        bail!(
            "{} is not the secret of this database: name the data directory of a server that \
             serves it with --data, or give --without-secret",
            dir.secret.display()
        );
    }
    Ok(Some(secret))
}

/// How far each process has answered the events.
async fn checkpoints(events: &Events) -> Result<BTreeMap<String, Position>, StoreError> {
    match events {
        Events::Embedded(reader) => Ok(reader.checkpoints().await.into_iter().collect()),
        Events::Postgres(store) => {
            let mut checkpoints = BTreeMap::new();
            for process in NAMES {
                checkpoints.insert(process.to_owned(), store.load_checkpoint(process).await?);
            }
            Ok(checkpoints)
        }
        // Each server has its own, and no other may go by them.
        Events::EventStoreDb(_) => Ok(BTreeMap::new()),
    }
}

/// Looks at what is in the backup already. Answers behind which event the store is read.
async fn known(
    options: &Options,
    writer: &mut BackupWriter,
    events: &Events,
    head: Position,
) -> Result<Position> {
    let (last, bytes) = (writer.known().last, writer.known().bytes());
    if last > head {
        return Err(BackupError::Shorter { dir: options.to.clone(), head, last }.into());
    }
    if !options.quick {
        if bytes > 0 {
            let progress = bar("checking what is there", Unit::Bytes, bytes, options.json);
            Backup::open(&options.to)?.verify(|read| progress.set_position(read))?;
            progress.finish_and_clear();
        }
        return Ok(Position(0));
    }
    let Some(newest) = writer.pass_over_known()? else { return Ok(Position(0)) };
    let found = events.feed().read_all(Position(last.0 - 1), 1).await?;
    if found.first() != Some(&newest) {
        bail!(
            "the event at position {last} of the store is not the one in {}: this is another \
             store. Nothing was changed: keep this backup, and back up into a new directory",
            options.to.display()
        );
    }
    Ok(last)
}

fn tell(options: &Options, manifest: &Manifest, added: &Added) {
    let place = options.to.display();
    let has_secret = manifest.secret.is_some();
    if options.json {
        let object = json!({
            "directory": place.to_string(), "position": manifest.last, "events": manifest.events,
            "new_events": added.events, "new_bytes": added.bytes, "bytes": manifest.bytes(),
            "parts": manifest.parts.len(), "last_recorded_at": manifest.last_recorded_at,
            "chain": manifest.chain, "secret": has_secret, "seconds": added.seconds,
        });
        return print_line(&object.to_string());
    }
    let recorded = match manifest.last_recorded_at {
        Some(at) => format!(", the last recorded at {at}"),
        None => String::new(),
    };
    print_line(&format!(
        "The backup in {place} is complete up to position {}{recorded}.\n  \
         {} events are new ({} bytes), read and compared in {:.1} s\n  \
         digest of the history: {}",
        manifest.last, added.events, added.bytes, added.seconds, manifest.chain
    ));
    print_line(if has_secret {
        "  The secret is in it: who can read it can make ticket codes, so keep the directory private."
    } else {
        "  The secret is NOT in it: keep a copy of the file `secret` of the data directory somewhere \
         safe, and put it into the new data directory before you restore."
    });
    print_line(
        "  Read models, snapshots and the index of streams are derived and left out.\n\
         Next: `hakken verify-backup` where it is kept, and try `hakken restore` now and then.",
    );
}

/// Runs `hakken verify-backup`; false if the backup is not complete.
pub async fn verify(options: VerifyOptions) -> Result<bool> {
    // Reading files and hashing them is work for a thread of its own.
    tokio::task::spawn_blocking(move || verify_now(&options)).await.context("it was cut off")
}

fn verify_now(options: &VerifyOptions) -> bool {
    let begun = Instant::now();
    let looked = Backup::open(&options.dir).and_then(|backup| {
        let progress = bar("checking", Unit::Bytes, backup.manifest().bytes(), options.json);
        let verified = backup.verify(|read| progress.set_position(read))?;
        progress.finish_and_clear();
        Ok((backup, verified))
    });
    match &looked {
        Ok((backup, verified)) => {
            let (manifest, seconds) = (backup.manifest(), begun.elapsed().as_secs_f64());
            let Manifest { events, last_recorded_at, secret, parts, .. } = manifest;
            let taken_at = manifest.runs.last().map(|run| run.taken_at);
            if options.json {
                let object = json!({
                    "complete": true, "position": manifest.last, "events": events,
                    "streams": verified.streams, "parts": parts.len(), "bytes": manifest.bytes(),
                    "last_recorded_at": last_recorded_at, "taken_at": taken_at,
                    "chain": manifest.chain, "secret": secret.is_some(), "seconds": seconds,
                });
                print_line(&object.to_string());
            } else {
                let taken = taken_at.map_or_else(String::new, |at| format!(", made at {at}"));
                let secret = if secret.is_some() { "with" } else { "WITHOUT" };
                print_line(&format!(
                    "complete: {events} events of {} streams in {} parts, {secret} the secret, up to \
                     position {}{taken} ({seconds:.1} s)\n  digest of the history: {}",
                    verified.streams,
                    parts.len(),
                    manifest.last,
                    manifest.chain
                ));
            }
        }
        Err(error) if options.json => {
            print_line(&json!({ "complete": false, "reason": error.to_string() }).to_string());
        }
        Err(error) => print_line(&format!("INCOMPLETE: {error}")),
    }
    looked.is_ok()
}
