//! `hakken copy`: a whole history from one store to another, and the proof that both are the same.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use hakken_adapters::{
    copy::{self, Common},
    data_dir::DataDir,
    system::{EngineSecret as StoredSecret, SecretError},
};
use hakken_commands::desk::EngineSecret;
use hakken_domain::{chain::Chain, envelope::Position};
use hakken_projections::feed::EventFeed;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::print_line;
use crate::{
    cli,
    store::{Events, Store, StoreAddress},
};

/// How long to wait for the lease that a server on the target would hold.
const LEASE: Duration = Duration::from_secs(3);

/// Runs it.
pub async fn run(options: cli::Copy) -> Result<()> {
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
    let target = Store::open(&options.to, &to_dir, &secret).await?;
    let copied = copy_to(&target, feed, up_to, &options).await;
    target.close().await;
    let Copied { before, copied, seconds, chains: [ours, theirs] } = copied?;
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
fn is_same(options: &cli::Copy, from: &Path, to: &Path) -> bool {
    match (&options.from, &options.to) {
        (StoreAddress::Embedded, StoreAddress::Embedded) => {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            real(from) == real(to)
        }
        (from, to) => from == to,
    }
}

/// The secret of the source, and whether the target's directory has it already.
fn secret_for(from: &DataDir, to: &DataDir, options: &cli::Copy) -> Result<(EngineSecret, bool)> {
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
    target: &Store,
    source: &dyn EventFeed,
    up_to: Position,
    options: &cli::Copy,
) -> Result<Copied> {
    if let Some(mut on_duty) = target.on_duty() {
        let lease = timeout(LEASE, on_duty.wait_for(|held| *held)).await;
        if !matches!(lease, Ok(Ok(_))) {
            bail!("a server works on the target: stop every one of them first");
        }
    }
    let target_feed = target.feed();
    let there = target_feed.head().await.context("the target cannot be read")?;
    let bar = bar("compared", there.0, options.json);
    let before = copy::compare(source, up_to, &*target_feed, |done| bar.set_position(done)).await;
    bar.finish_and_clear();
    let before = before?;

    let left = up_to.0.saturating_sub(before.source.0);
    let bar = self::bar("copied", left, options.json);
    let (began, mut copied) = (Instant::now(), 0);
    let told = |count: usize| {
        copied += count as u64;
        bar.set_position(copied);
    };
    let done = copy::copy(source, before.source, up_to, &*target.events(), told).await;
    bar.finish_and_clear();
    done.with_context(|| {
        format!("{copied} events were copied before that; run this again to go on from there")
    })?;
    let seconds = began.elapsed().as_secs_f64();

    let head = target_feed.head().await.context("the target cannot be read")?;
    let bar = self::bar("read again", up_to.0, options.json);
    let (ours, theirs) = tokio::join!(
        copy::chain(source, up_to, |_| ()),
        copy::chain(&*target_feed, head, |done| bar.set_position(done)),
    );
    bar.finish_and_clear();
    let ours = ours.context("the source cannot be read")?;
    let theirs = theirs.context("the target cannot be read")?;
    Ok(Copied { before, copied, seconds, chains: [ours, theirs] })
}

fn bar(name: &'static str, total: u64, quiet: bool) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:<12} {bar:30} {pos}/{len} events, {per_sec}, {eta} left",
    )
    .expect("a good template");
    let bar = ProgressBar::new(total).with_style(style).with_prefix(name);
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}
