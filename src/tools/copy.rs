//! `hakken copy`: a whole history from one store to another, and the proof that both are the same.

mod target;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use hakken_adapters::{
    copy::{self, Common},
    data_dir::DataDir,
    system::{EngineSecret as StoredSecret, SecretError},
};
use hakken_commands::desk::EngineSecret;
use hakken_domain::{chain::Chain, envelope::Position};
use hakken_projections::feed::EventFeed;
use serde_json::json;
use tokio::time::Instant;

use self::target::Target;
use super::{
    bars::{Unit, bar},
    print_line,
};
use crate::store::{Events, StoreAddress, check_of_bytes};

const AFTER: &str = "\
Ids, kinds, bytes, metadata, recorded times and the order of all events stay what they are. The
target must be empty, or hold the beginning of the source: then the copy goes on behind it.
Anything else is refused with the place of the first difference, and nothing is written. At the
end both are read again, and a chain of digests (SHA-256 over every event in order) of each is
told and compared.

Until then no server opens the target, also if the copy is killed: run it again. (EventStoreDB has
no place for such a mark: start no server on it before the copy has ended.) Read models, snapshots
and checkpoints are not copied: the first start makes them anew.

Examples:
    hakken copy --from-data hakken-data --to postgres://hakken@localhost/hakken --to-data node-1
    hakken copy --from postgres://localhost/hakken --from-data node-1 --to embedded --to-data new

Exit codes:
    0  both are the same
    1  they are not, or it could not be copied
    2  the command line is wrong";

/// `hakken copy`
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Options {
    /// The store to copy: `embedded`, or postgres://USER:PASSWORD@HOST:PORT/DATABASE.
    #[arg(long, value_name = "STORE", default_value = "embedded", hide_env_values = true)]
    pub from: StoreAddress,
    /// Its data directory; of a database, that of any server on it, for the secret.
    #[arg(long, value_name = "DIR", default_value = "hakken-data")]
    pub from_data: PathBuf,
    /// The store to copy to. No server may run on it.
    #[arg(long, value_name = "STORE")]
    pub to: StoreAddress,
    /// Its data directory, which is made if it is missing and gets the secret.
    #[arg(long, value_name = "DIR")]
    pub to_data: PathBuf,
    /// One JSON object instead of progress bars and words.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
pub async fn run(options: Options) -> Result<()> {
    let (from_dir, to_dir) = (DataDir::at(&options.from_data), DataDir::at(&options.to_data));
    if is_same(&options, &from_dir.root, &to_dir.root) {
        bail!("this is the same store twice: name another one with --to and --to-data");
    }
    let (secret, was_there) = secret_for(&from_dir, &to_dir, &options)?;
    let source = Events::open(&options.from, &from_dir).await?;
    source.check_secret(&secret).await?;
    let feed = source.feed();
    let up_to = feed.head().await.with_context(|| source.unreadable(&from_dir))?;
    if up_to == Position(0) {
        bail!("the source has no events: is it the right one?");
    }
    // Only now, so that nothing is left behind where nothing can be copied.
    if !was_there {
        StoredSecret::from_bytes(*secret.0).put(&to_dir)?;
    }
    let target = Target::open(&options.to, &to_dir, check_of_bytes(&secret.0)).await?;
    let copied = copy_to(&target, feed, up_to, &options).await;
    let closed = target.close().await;
    let Copied { before, copied, seconds, chains: [ours, theirs] } = copied?;
    closed?;
    let equal = ours == theirs;
    let went_on = feed.head().await.unwrap_or(up_to);
    if options.json {
        let object = json!({
            "from": options.from.to_string(), "to": options.to.to_string(),
            "position": up_to, "source_head": went_on, "events": ours.events(),
            "already_there": before.chain.events(), "copied": copied, "seconds": seconds,
            "secret": if was_there { "already there" } else { "copied" },
            "source_digest": ours.digest(), "target_digest": theirs.digest(), "equal": equal,
        });
        print_line(&object.to_string());
    } else {
        let there = before.chain.events();
        let rate = copied as f64 / seconds.max(1e-9);
        let kept = if was_there { "was there already" } else { "was brought along" };
        print_line(&format!(
            "{copied} events were copied in {seconds:.1} s ({rate:.0}/s), up to position {up_to} \
             of the source; {there} were there already"
        ));
        print_line(&format!(
            "the secret, on which every ticket code and API key depends, {kept}: {}",
            to_dir.secret.display()
        ));
        print_line(&format!("source  {} events, {}", ours.events(), ours.digest()));
        print_line(&format!("target  {} events, {}", theirs.events(), theirs.digest()));
        if went_on > up_to {
            print_line(&format!(
                "the source has gone on to position {went_on}: stop its server, and run this \
                 again for the rest"
            ));
        }
    }
    if !equal {
        bail!("both were read again, and they are NOT the same: do not use the target");
    }
    if !options.json {
        print_line("both were read again, and they are the same, byte for byte");
    }
    Ok(())
}

/// Both addresses lead to one place.
fn is_same(options: &Options, from: &Path, to: &Path) -> bool {
    match (&options.from, &options.to) {
        (StoreAddress::Embedded, StoreAddress::Embedded) => {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            real(from) == real(to)
        }
        (from, to) => from == to,
    }
}

/// The secret of the source, and whether the target's directory has it already.
fn secret_for(from: &DataDir, to: &DataDir, options: &Options) -> Result<(EngineSecret, bool)> {
    let Some(secret) = StoredSecret::find(from)? else {
        bail!(
            "{} is missing: --from-data must be the data directory of a server on the source, \
             since the secret belongs to the events and is copied with them",
            from.secret.display()
        );
    };
    let there = StoredSecret::find(to)?;
    if there.as_ref().is_some_and(|there| *there != secret) {
        bail!(
            "{} is the secret of another engine: name another directory with --to-data",
            to.secret.display()
        );
    }
    if there.is_none() && options.to == StoreAddress::Embedded && to.events.exists() {
        let (path, events) = (to.secret.clone(), to.events.clone());
        return Err(SecretError::Missing { path, events }.into());
    }
    Ok((EngineSecret(Arc::new(*secret.as_bytes())), there.is_some()))
}

struct Copied {
    before: Common,
    copied: u64,
    seconds: f64,
    chains: [Chain; 2],
}

async fn copy_to(
    target: &Target,
    source: &dyn EventFeed,
    up_to: Position,
    options: &Options,
) -> Result<Copied> {
    let there = target.feed().head().await.context("the target cannot be read")?;
    let progress = bar("comparing", Unit::Events, there.0, options.json);
    let told = |done| progress.set_position(done);
    let before = copy::compare(source, up_to, target.feed(), told).await;
    progress.finish_and_clear();
    let before = before?;

    // Only what is the beginning of the source is ever called a part of it.
    target.begin().await?;
    let left = up_to.0.saturating_sub(before.source.0);
    let progress = bar("copying", Unit::Events, left, options.json);
    let (began, mut copied) = (Instant::now(), 0);
    let told = |count: usize| {
        copied += count as u64;
        progress.set_position(copied);
    };
    let done = copy::copy(source, before.source, up_to, target.events(), told).await;
    progress.finish_and_clear();
    done.with_context(|| {
        format!("{copied} events were copied before that; run this again to go on from there")
    })?;
    let seconds = began.elapsed().as_secs_f64();

    let head = target.feed().head().await.context("the target cannot be read")?;
    let progress = bar("reading both again", Unit::Events, up_to.0, options.json);
    let (ours, theirs) = tokio::join!(
        copy::chain(source, up_to, |_| ()),
        copy::chain(target.feed(), head, |done| progress.set_position(done)),
    );
    progress.finish_and_clear();
    let ours = ours.context("the source cannot be read")?;
    let theirs = theirs.context("the target cannot be read")?;
    if ours == theirs {
        target.finish().await?;
    }
    Ok(Copied { before, copied, seconds, chains: [ours, theirs] })
}
