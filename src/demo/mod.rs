//! `hakken demo`: a hall goes through its whole life before one's eyes, over HTTP, and all of it
//! is proved afterwards from the recorded events.

mod buyers;
mod checkout;
mod compare;
mod count;
mod dice;
mod gates;
mod hall;
mod ledger;
mod report;
mod stage;
mod story;
mod watch;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use hakken_adapters::data_dir::DataDir;
use hakken_projections::{ALL, BuildKind};
use serde_json::json;
use tokio::task::JoinSet;

use self::{
    buyers::Crowd,
    gates::Gates,
    hall::Hall,
    ledger::Ledger,
    report::{Summary, Took, grouped, picture},
    stage::Stage,
    story::Story,
    watch::Listener,
};
use crate::{
    cli::{self, PaymentsMode},
    client::REBUILD,
    serve::{Options, Server, Signals},
    store::StoreAddress,
    tools::{print_line, projections::Outcome},
};

/// How often a bar moves.
const TICK: Duration = Duration::from_millis(100);
/// The read models are rebuilt when this share of the places is sold.
const REBUILD_PERCENT: u64 = 30;
/// The picture of the hall as it was then, in the data directory.
const PICTURE: &str = "hall.svg";
/// What a shell gives for a process that was interrupted.
const INTERRUPTED: u8 = 130;

/// Runs it.
pub async fn run(options: cli::Demo) -> Result<ExitCode> {
    let mut signals = Signals::new()?;
    let story = Story { quiet: options.json };
    let hall = Hall::open(options.hall.as_deref())?;
    // Goes away when this function ends, whichever way.
    let temporary = match options.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("there is no room for temporary data")?),
    };
    let data = match (&options.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(temporary)) => temporary.path().join("data"),
        (None, None) => unreachable!("one of them is there"),
    };
    let server = {
        let options = Options::usual(options.listen, PaymentsMode::Simulated);
        let data = cli::Data {
            store: StoreAddress::Embedded,
            read_models: None,
            read_models_in: None,
            data: data.clone(),
        };
        Server::start(&data, options).await?
    };
    let outcome = tokio::select! {
        outcome = play(&server, hall, &data, &options, story) => Some(outcome),
        _ = signals.any() => None,
        () = server.failed() => Some(Err(anyhow!(
            "the event store can no longer be written: is the disk full? All that was \
             acknowledged is in {}", data.display()
        ))),
    };
    let code = match outcome {
        None => Ok(ExitCode::from(INTERRUPTED)),
        Some(Err(error)) => Err(error),
        Some(Ok((stage, summary))) => {
            let held = summary.problems.is_empty();
            tell(&stage, &summary, &options, story);
            if !options.exit && !options.json {
                invite(&server, &stage, &data.join(PICTURE));
                signals.any().await;
            }
            Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    };
    server.stop().await;
    code
}

/// The whole life of the hall.
async fn play(
    server: &Server,
    hall: Hall,
    data: &Path,
    options: &cli::Demo,
    story: Story,
) -> Result<(Arc<Stage>, Summary)> {
    let begun = Instant::now();
    let address = format!("http://{}", server.address);
    let operator = server.operator_key("demo").await.context("the demo gets no key")?;
    story.line(&format!(
        "\n  {}: {} seats{}, {} buyers at once, seed {}, served at {address}\n",
        hall.map.name,
        grouped(hall.seats.len() as u64),
        if hall.pools.is_empty() { "" } else { " and a standing pool" },
        options.buyers,
        options.seed,
    ));
    let stage = Arc::new(Stage::set(&address, &operator, hall).await?);
    story.line(&format!(
        "  ✓ the stage is set in {:.2} s: organizer, keys, venue, show, {} ticket types",
        begun.elapsed().as_secs_f64(),
        stage.hall.categories.len() * 2
    ));
    let since = server.node.recovery.head;
    let listener = Listener::begin(server.address, &stage.auditor_key, since.0).await?;
    let ledger = Arc::new(Ledger::default());
    let mut took = Took::default();
    let mut rebuilding = JoinSet::new();
    rebuilding.spawn(rebuild_under_load(stage.clone(), ledger.clone(), data.join(PICTURE)));
    took.sale = sell(&stage, &ledger, options, story).await?;
    let (rebuilt, seconds) = rebuilding.join_next().await.context("the rebuild is gone")???;
    took.rebuild = seconds;
    story.line(&format!(
        "  ✓ meanwhile {} read models were rebuilt and swapped in {:.2} s",
        rebuilt.len(),
        took.rebuild.as_secs_f64()
    ));
    took.gates = admit(&stage, &ledger, options.seed, story).await?;
    compare::come_to_rest(&stage).await?;
    let (verified, seconds) = verify(&stage, story).await?;
    took.verify = seconds;
    took.all = begun.elapsed();
    let data = DataDir::at(data);
    let mut recount = count::recount(&data, since, &stage.organizer).await?;
    let told = std::mem::take(&mut *ledger.told());
    let mut problems = std::mem::take(&mut recount.problems);
    problems.extend(told.problems.iter().cloned());
    problems.extend(compare::differences(&stage, &recount, &told).await?);
    let heard = listener.conclude(recount.events).await?;
    if heard != recount.events {
        problems.push(format!("{heard} of {} events were heard over WebSocket", recount.events));
    }
    if recount.oversold > 0 {
        problems.push(format!("{} places were sold twice", recount.oversold));
    }
    if recount.sold != stage.hall.places() {
        problems.push(format!("{} of {} places are sold", recount.sold, stage.hall.places()));
    }
    for outcome in rebuilt.iter().chain(&verified).filter(|outcome| !outcome.equal) {
        let words = outcome.first_difference.as_deref().unwrap_or("it does not say how");
        problems.push(format!("the read model {} differed: {words}", outcome.name));
    }
    let summary = Summary {
        places: stage.hall.places(),
        numbered: stage.hall.seats.len() as u64,
        hall: stage.hall.map.name.to_string(),
        buyers: options.buyers,
        seed: options.seed,
        recount,
        told,
        heard,
        rebuilt,
        verified,
        took,
        problems,
    };
    Ok((stage, summary))
}

/// Until nothing is left. Gives how long that took.
async fn sell(
    stage: &Arc<Stage>,
    ledger: &Arc<Ledger>,
    options: &cli::Demo,
    story: Story,
) -> Result<Duration> {
    let bar = story.part("selling 販売", stage.hall.places());
    let crowd = Arc::new(Crowd::new(stage.clone(), ledger.clone(), options.seed));
    let buying = crowd.buy_everything(options.buyers);
    let took = watched(buying, || {
        bar.set_position(ledger.sold());
        bar.set_message(format!("{} holds asked for", grouped(ledger.holds())));
    })
    .await?;
    let (sold, holds) = (grouped(ledger.sold()), grouped(ledger.holds()));
    let seconds = took.as_secs_f64();
    story
        .done(&bar, &format!("sold out in {seconds:.2} s: {sold} places, {holds} holds asked for"));
    Ok(took)
}

/// Until everybody has tried to come in. Gives how long that took.
async fn admit(
    stage: &Arc<Stage>,
    ledger: &Arc<Ledger>,
    seed: u64,
    story: Story,
) -> Result<Duration> {
    let gates = Arc::new(Gates::new(stage.clone(), ledger.clone(), seed));
    let bar = story.part("admitting 入場", gates.visitors() as u64);
    let begun = Instant::now();
    watched(gates.clone().open(), || bar.set_position(ledger.scanned())).await?;
    let took = begun.elapsed();
    let scans = grouped(ledger.scanned());
    let seconds = took.as_secs_f64();
    story.done(
        &bar,
        &format!("{scans} codes shown at {} gates in {seconds:.2} s", stage.gates.len()),
    );
    gates.afterwards().await?;
    Ok(took)
}

/// Does the work and moves a bar meanwhile.
async fn watched<T>(work: impl Future<Output = Result<T>>, mut look: impl FnMut()) -> Result<T> {
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => look(),
        }
    }
}

/// Draws the hall and rebuilds every read model while seats are being sold.
async fn rebuild_under_load(
    stage: Arc<Stage>,
    ledger: Arc<Ledger>,
    file: PathBuf,
) -> Result<(Vec<Outcome>, Duration)> {
    while ledger.sold() * 100 < stage.hall.places() * REBUILD_PERCENT {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let picture = format!("/shows/{}/map.svg?atLeast={}", stage.show, stage.opened_at);
    let picture = stage.auditor.get(&picture).await?;
    tokio::fs::write(&file, picture).await.context("the picture of the hall is not written")?;
    let begun = Instant::now();
    stage.operator.must(REBUILD, json!({})).await.context("the rebuild does not begin")?;
    let mut outcomes = Vec::new();
    for projection in ALL {
        outcomes.push(stage.operator.rebuilt(projection.name).await?);
    }
    Ok((outcomes, begun.elapsed()))
}

/// Folds everything afresh and compares with what is served.
async fn verify(stage: &Stage, story: Story) -> Result<(Vec<Outcome>, Duration)> {
    let bar = story.part("verifying 検証", ALL.len() as u64);
    let begun = Instant::now();
    let mut outcomes = Vec::new();
    for projection in ALL {
        outcomes.push(stage.operator.build(projection.name, BuildKind::Verify).await?);
        bar.inc(1);
    }
    let took = begun.elapsed();
    let seconds = took.as_secs_f64();
    story.done(&bar, &format!("{} read models verified in {seconds:.2} s", ALL.len()));
    Ok((outcomes, took))
}

fn tell(stage: &Stage, summary: &Summary, options: &cli::Demo, story: Story) {
    if options.json {
        print_line(&summary.json());
        return;
    }
    if story.is_colourful() {
        print_line(&format!("\n{}", picture(&stage.hall, &summary.told.sold_seats)));
    }
    print_line(&summary.table());
    print_line(&format!("All of it took {:.1} s.", summary.took.all.as_secs_f64()));
    for problem in &summary.problems {
        eprintln!("hakken: {problem}");
    }
}

/// Stays up for whoever wants to look around.
fn invite(server: &Server, stage: &Stage, picture: &Path) {
    let address = server.address;
    print_line(&format!(
        "\nLook around: GraphiQL is at http://{address}/graphiql\n\nPaste this into its headers:\n\n    \
         {{ \"Authorization\": \"Bearer {}\" }}\n\nThe show is {}. How the hall looked while it was sold: {}\n\nCtrl-C ends it{}.",
        stage.organizer_key,
        stage.show,
        picture.display(),
        if std::io::stdin().is_terminal() { "" } else { " (or SIGTERM)" },
    ));
}
