//! `hakken doctor`: is the store sound, and do the read models say what it says? In words, the
//! worst first, each with what mends it. It changes nothing, and works beside a running server.

mod finding;
mod history;
mod models;
mod place;

use std::{collections::HashMap, panic, process::ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use hakken_adapters::{data_dir::DataDir, system::SystemClock, unfinished::Unfinished};
use hakken_commands::{clock::Clock, desk::EngineSecret, process::NAMES, store::SideStore};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use self::{
    finding::{Findings, Severity},
    history::Question,
};
use super::print_line;
use crate::{cli::Data, store::Events};

/// It could not look.
const BLIND: u8 = 4;
/// Facts are lost, changed or wrong.
const BROKEN: u8 = 3;

const AFTER: &str = "\
It reads every event: frames and checksums, positions, versions and times; that this version
knows every kind, and that every stream can be folded; no seat twice, no money out that did not
come in, every paid order with its tickets or its money on its way back. Then the lock, the
secret, the disk, index.db and side.db, processes, keys and read models, in the data directory or in
a database (--read-models): their versions, how far they are, of which events they are, and of each
table some rows, compared with what their own events say. Long histories are read in parts of
1,000,000 events, once for each part, so that it takes some 600 MiB and no more.

Examples:
    hakken doctor
    hakken doctor --json --url http://127.0.0.1:8090      (HAKKEN_KEY has an operator's key)

Exit codes:
    0  sound; notes may stand there
    1  something needs attention, and no fact is lost
    2  the command line is wrong
    3  something is broken: facts are lost, changed or wrong
    4  it could not be looked at";

/// `hakken doctor`
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Options {
    /// Also look up every stream in the index, read the whole file of the read models, and, while
    /// no server runs, fold every read model afresh and compare it.
    #[arg(long)]
    pub deep: bool,
    /// Seconds that an order or an ended hold may be left as it is before that is told.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub grace: u64,
    /// MiB that should be free on the disk.
    #[arg(long, value_name = "MIB", default_value_t = 1_024)]
    pub least_free: u64,
    /// Ask this running server too, such as http://127.0.0.1:8090: it knows of failures that are
    /// not on disk.
    #[arg(long, value_name = "URL", requires = "key")]
    pub url: Option<String>,
    /// An operator's key for that server.
    #[arg(long, value_name = "KEY", env = "HAKKEN_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    /// Where the data is.
    #[command(flatten)]
    pub data: Data,
}

/// Runs it.
pub async fn run(options: Options) -> ExitCode {
    let mut findings = Findings::default();
    let looked = look(&options, &mut findings).await;
    if let Err(error) = &looked {
        let error = format!("{error:#}");
        if options.json {
            let mut object = findings.json();
            object["verdict"] = json!("unknown");
            object["error"] = json!(error);
            print_line(&object.to_string());
        } else {
            eprintln!("hakken: it could not be looked at: {error}");
        }
        return BLIND.into();
    }
    print_line(&if options.json { findings.json().to_string() } else { findings.text() });
    match findings.worst() {
        Some(Severity::Broken) => BROKEN.into(),
        Some(Severity::Attention) => ExitCode::FAILURE,
        Some(Severity::Note) | None => ExitCode::SUCCESS,
    }
}

async fn look(options: &Options, findings: &mut Findings) -> Result<()> {
    let dir = DataDir::at(&options.data.data);
    if !dir.root.is_dir() {
        anyhow::bail!("{} does not exist: is this the data directory?", dir.root.display());
    }
    let locked = place::lock(&dir, findings);
    place::disk(&dir, options.least_free, findings);
    let secret = place::secret(&dir, findings);
    let opened = match Events::open(&options.data.store, &dir).await {
        Ok(opened) => opened,
        Err(error) if is_damage(&error) => {
            let mend = "keep a copy of the data directory, then restore it from a backup";
            findings.broken("events", format!("{error:#}"), mend);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if let Some(secret) = &secret {
        let secret = EngineSecret((*secret.as_bytes()).into());
        if let Err(error) = opened.check_secret(&secret).await {
            findings.broken("secret", format!("{error:#}"), "copy the right `secret` here");
        }
    }
    if is_a_part(&opened, &dir).await? {
        let what = "the store holds a part of a history only, and no server opens it".to_owned();
        findings.attention("events", what, "run the `hakken copy` or `hakken restore` again");
    }
    let served = locked || serves(&opened).await?;
    let head = opened.feed().head().await.with_context(|| opened.unreadable(&dir))?;
    let (mut snapshots, mut indexed) = (HashMap::new(), true);
    match &opened {
        Events::Embedded(reader) => {
            let derived = reader.inspect(&dir).await;
            place::derived(&derived, findings);
            // A server that goes on may be beyond what was the head a moment ago.
            let newest = opened.feed().head().await.unwrap_or(head);
            place::processes(&derived.checkpoints, newest, served, history::SIDE, findings);
            indexed = derived.index.is_none() && dir.index.is_file();
            snapshots.extend(derived.snapshots);
        }
        Events::Postgres(store) => {
            let mut checkpoints = Vec::new();
            for name in NAMES {
                let position = store.load_checkpoint(name).await?;
                checkpoints.push((name.to_owned(), position));
            }
            let newest = opened.feed().head().await.unwrap_or(head);
            place::processes(&checkpoints, newest, served, place::CHECKPOINTS, findings);
        }
        // Each server has checkpoints of its own, which only it can read.
        Events::EventStoreDb(_) => {}
    }
    let question = Question {
        feed: opened.feed(),
        head,
        now: SystemClock.now(),
        grace_seconds: options.grace,
        served,
        indexed,
        deep: options.deep,
        snapshots,
    };
    events(&question, options.json, findings).await;
    let (data, feed) = (&options.data, opened.feed());
    let look = models::Look { data, dir: &dir, feed, head, locked, indexed };
    read_models(options, &look, findings).await
}

/// Whether the store can be opened, and what is in it cannot be right.
fn is_damage(error: &anyhow::Error) -> bool {
    use hakken_adapters::embedded::OpenError as E;
    let known = error.downcast_ref::<E>();
    known.is_some_and(|known| {
        matches!(known, E::Damaged { .. } | E::CutOff { .. } | E::Missed { .. })
    })
}

/// Whether a copy or a restore that brings the events has not come to its end.
async fn is_a_part(opened: &Events, dir: &DataDir) -> Result<bool> {
    Ok(match opened {
        Events::Embedded(_) => dir.unfinished.exists(),
        Events::Postgres(store) => store.is_unfinished().await?,
        Events::EventStoreDb(_) => false,
    })
}

/// Whether some server works on a shared database.
async fn serves(opened: &Events) -> Result<bool> {
    Ok(match opened {
        Events::Embedded(_) | Events::EventStoreDb(_) => false,
        Events::Postgres(store) => store.is_served().await?,
    })
}

async fn events(question: &Question<'_>, quiet: bool, findings: &mut Findings) {
    let style =
        ProgressStyle::with_template("{prefix:<8} {bar:30} {percent}%, {per_sec}, {eta} left")
            .expect("a good template");
    let bar = ProgressBar::new(question.head.0).with_style(style).with_prefix("events");
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    // What does not fold panics in words; they are told as findings.
    let loud = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    history::check(question, &bar, findings).await;
    panic::set_hook(loud);
    bar.finish_and_clear();
}

async fn read_models(
    options: &Options,
    look: &models::Look<'_>,
    findings: &mut Findings,
) -> Result<()> {
    look.rows(options.deep, findings).await?;
    if let (Some(url), Some(key)) = (&options.url, &options.key) {
        models::ask(url, key, findings).await?;
    }
    if !options.deep {
        return Ok(());
    }
    if look.locked {
        let what = "a server has them: `hakken verify --url …` folds them afresh beside it";
        findings.note("read models", what.to_owned());
    } else if findings.worst() == Some(Severity::Broken) {
        let what = "not folded afresh, since the events are broken";
        findings.note("read models", what.to_owned());
    } else {
        models::compare(&options.data, findings).await?;
    }
    Ok(())
}
