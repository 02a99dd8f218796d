//! `hakken rebuild` and `hakken verify`, on a data directory or through a running server.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use hakken_domain::names::ShowId;
use hakken_projections::{ALL, BuildKind, BuildPhase, BuildProgress, BuildReport, ReadModels};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::print_line;
use crate::{
    cli,
    client::{Client, Step},
    node::Node,
};

/// How often a bar moves.
const LOOK: Duration = Duration::from_millis(100);

/// `hakken rebuild`
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Which read models, where, and how it is told.
    #[command(flatten)]
    pub projections: cli::Projections,
    /// Only the rows of this show: a ULID, or `show_` and a ULID. They are folded afresh, compared,
    /// and replaced in one step where they differ.
    #[arg(long, value_name = "SHOW", value_parser = parse_show)]
    pub show: Option<ShowId>,
    /// Halt the rebuilds that run in the server. They are still halted after a restart.
    #[arg(long, requires = "url", group = "instead")]
    pub pause: bool,
    /// Let halted rebuilds go on, and wait for them.
    #[arg(long, requires = "url", group = "instead")]
    pub resume: bool,
    /// End the rebuilds that run in the server, and take away what they have made.
    #[arg(long, requires = "url", group = "instead")]
    pub cancel: bool,
    /// Serve the rows again that were served before the last rebuild: they are kept for a day,
    /// catch up, and take the place of the others in one step.
    #[arg(long, group = "instead", conflicts_with = "show")]
    pub swap_back: bool,
    /// Remove the rows now that were served before the last rebuild.
    #[arg(long, group = "instead", conflicts_with = "show")]
    pub remove_former: bool,
}

/// A show as the API writes it, or its ULID alone.
fn parse_show(text: &str) -> Result<ShowId, String> {
    let id = text.strip_prefix("show_").unwrap_or(text);
    id.parse().map_err(|_| {
        format!("{text:?} is no show: `show_` and 26 characters, such as `shows` lists them")
    })
}

/// How a read model came out of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which read model.
    pub name: String,
    /// What was served is what the events say.
    pub equal: bool,
    /// Where both were compared.
    pub position: u64,
    /// So many events were folded.
    pub folded: u64,
    /// So long it took.
    pub seconds: f64,
    /// In words.
    pub first_difference: Option<String>,
    /// The positions of events that are left out, as operators recorded it.
    pub skipped: Vec<u64>,
}

impl Outcome {
    /// From a report as the API gives it.
    pub fn read(report: &Value) -> Result<Self> {
        let name = report["projection"].as_str().context("the server gave no report")?;
        let skipped = report["skipped"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            equal: report["equal"].as_bool().unwrap_or(false),
            position: position(&report["position"]),
            folded: report["folded"].as_u64().unwrap_or(0),
            seconds: report["seconds"].as_f64().unwrap_or(0.0),
            first_difference: report["firstDifference"].as_str().map(ToOwned::to_owned),
            skipped: skipped.iter().map(position).collect(),
        })
    }
}

/// A position stands in JSON as a text or a number.
pub fn position(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

impl From<BuildReport> for Outcome {
    fn from(report: BuildReport) -> Self {
        Self {
            name: report.projection.to_owned(),
            equal: report.equal(),
            position: report.position.0,
            folded: report.folded,
            seconds: report.seconds,
            first_difference: report.comparison.first_difference,
            skipped: report.skipped.iter().map(|position| position.0).collect(),
        }
    }
}

/// Refuses a name that no read model has.
pub fn check_names(names: &[String]) -> Result<()> {
    for name in names {
        if !ALL.iter().any(|projection| projection.name == name) {
            let known: Vec<_> = ALL.iter().map(|projection| projection.name).collect();
            bail!("there is no read model {name:?}; there are {}", known.join(", "));
        }
    }
    Ok(())
}

/// Those that are named, or all.
fn named(
    names: &[String],
    also: impl Fn(&hakken_projections::projection::Projection) -> bool,
) -> Vec<&'static str> {
    ALL.iter()
        .filter(|each| match names {
            [] => also(each),
            names => names.iter().any(|name| name == each.name),
        })
        .map(|each| each.name)
        .collect()
}

/// Verifies; false if something differed.
pub async fn verify(options: cli::Projections) -> Result<bool> {
    check_names(&options.names)?;
    let names = named(&options.names, |_| true);
    let outcomes = build(&options, &names, BuildKind::Verify).await?;
    Ok(outcomes.iter().all(|outcome| outcome.equal))
}

/// Rebuilds, or does what is asked for instead.
pub async fn rebuild(options: Rebuild) -> Result<()> {
    let common = &options.projections;
    check_names(&common.names)?;
    if options.pause || options.cancel || options.resume {
        return control(&options).await;
    }
    if options.remove_former {
        return remove_former(common).await;
    }
    let kind = match options.show {
        _ if options.swap_back => BuildKind::SwapBack,
        Some(show) => BuildKind::RebuildShow(show),
        None => BuildKind::Rebuild,
    };
    let names = match kind {
        BuildKind::SwapBack if common.names.is_empty() => {
            bail!(
                "name the read models to be swapped back: `hakken projections` lists which keep former rows"
            )
        }
        BuildKind::RebuildShow(_) => named(&common.names, |each| each.by_show.is_some()),
        _ => named(&common.names, |_| true),
    };
    build(common, &names, kind).await.map(drop)
}

/// Builds, here or in a server, and tells of each.
async fn build(
    options: &cli::Projections,
    names: &[&str],
    kind: BuildKind,
) -> Result<Vec<Outcome>> {
    let outcomes = match (&options.url, &options.key) {
        (Some(url), Some(key)) => {
            online(&Client::new(url, key)?, names, Some(kind), options.json).await?
        }
        _ => {
            let node = Node::open_existing(&options.data).await?;
            let outcomes = offline(&node.read, names, kind, options.json).await;
            node.close().await;
            outcomes?
        }
    };
    for outcome in &outcomes {
        tell(outcome, kind, options.json);
    }
    Ok(outcomes)
}

fn tell(outcome: &Outcome, kind: BuildKind, json: bool) {
    let Outcome { name, equal, position, folded, seconds, first_difference, skipped } = outcome;
    if json {
        let object = json!({
            "projection": name, "equal": equal, "position": position, "events": folded,
            "seconds": seconds, "first_difference": first_difference, "skipped": skipped,
        });
        return print_line(&object.to_string());
    }
    let done = match (kind, equal) {
        (BuildKind::Rebuild, _) => "rebuilt and swapped in",
        (BuildKind::Verify, _) => "folded afresh",
        (BuildKind::SwapBack, _) => "swapped back",
        (BuildKind::RebuildShow(_), true) => "show folded afresh, nothing replaced",
        (BuildKind::RebuildShow(_), false) => "show folded afresh and replaced",
    };
    let rate = *folded as f64 / seconds.max(1e-9);
    let verdict = match first_difference {
        None => "equal to what was served".to_owned(),
        Some(words) => format!("DIFFERS: {words}"),
    };
    let left_out = match skipped.as_slice() {
        [] => String::new(),
        [one] => format!("; leaves out the event at {one}, as an operator recorded"),
        many => {
            let many: Vec<String> = many.iter().map(u64::to_string).collect();
            format!("; leaves out the events at {}, as operators recorded", many.join(", "))
        }
    };
    print_line(&format!(
        "{name:<18} {done} at position {position}: {folded} events in {seconds:.2} s \
         ({rate:.0}/s), {verdict}{left_out}"
    ));
    if kind == BuildKind::Rebuild && !equal {
        print_line(&format!(
            "{:<18} the former rows are kept for a day: `hakken rebuild {name} --swap-back` serves \
             them again",
            ""
        ));
    }
}

async fn offline(
    read: &ReadModels,
    names: &[&str],
    kind: BuildKind,
    quiet: bool,
) -> Result<Vec<Outcome>> {
    let bars = bars(quiet);
    let mut outcomes = Vec::new();
    for name in names {
        let head = read.status().await?.first().map(|status| status.head);
        if let Some(head) = head {
            let waited = read.wait_for(name, head, Duration::from_secs(3_600)).await;
            match waited {
                // What it serves is compared up to where it has stopped.
                Err(hakken_projections::WaitError::Stopped { .. }) => {}
                waited => waited?,
            }
        }
        let bar = bars.add(bar(name));
        // Who halted it in a server that was stopped since wants it to go on now.
        read.resume_rebuild(name)?;
        let report = {
            let build = read.build(name, kind);
            tokio::pin!(build);
            loop {
                tokio::select! {
                    report = &mut build => break report.with_context(|| name.to_string())?,
                    () = tokio::time::sleep(LOOK) => {
                        let all = read.status().await?;
                        let status = all.iter().find(|status| status.name == *name);
                        if let Some(progress) = status.and_then(|status| status.build.as_ref()) {
                            show(&bar, &Step::from(progress));
                        }
                    }
                }
            }
        };
        bar.finish_and_clear();
        outcomes.push(report.into());
    }
    Ok(outcomes)
}

fn bars(quiet: bool) -> MultiProgress {
    let bars = MultiProgress::new();
    if quiet {
        bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bars
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<18} {bar:30} {pos}/{len} events, {msg}");
    ProgressBar::new(0).with_style(style.expect("a good template")).with_prefix(name.to_owned())
}

impl From<&BuildProgress> for Step {
    fn from(progress: &BuildProgress) -> Self {
        let phase = match progress.phase {
            BuildPhase::Folding => "FOLDING",
            BuildPhase::Indexing => "INDEXING",
            BuildPhase::Comparing => "COMPARING",
            BuildPhase::Confirming => "CONFIRMING",
        };
        Self {
            phase: phase.to_owned(),
            paused: progress.paused,
            done: progress.done,
            total: progress.total,
            per_second: progress.rate,
            seconds_left: progress.eta_seconds,
        }
    }
}

/// Says how far a build is, and only what is known of the time that is left.
fn show(bar: &ProgressBar, step: &Step) {
    bar.set_length(step.total);
    bar.set_position(step.done);
    bar.set_message(in_words(step));
}

fn in_words(step: &Step) -> String {
    match (step.paused, step.phase.as_str()) {
        (true, _) => "halted; --resume lets it go on".to_owned(),
        (false, "INDEXING") => "making indexes".to_owned(),
        (false, "COMPARING") => "comparing with what is served".to_owned(),
        (false, phase) => {
            let again = if phase == "CONFIRMING" { "it differs: folding once more, " } else { "" };
            match (step.per_second, step.seconds_left) {
                (Some(rate), Some(left)) => {
                    format!("{again}{rate:.0}/s, about {left:.0} s left")
                }
                _ => format!("{again}time left unknown"),
            }
        }
    }
}

/// Lets a running server do it, one after the other, and asks how far it is. Without a kind it
/// waits for what is under way.
async fn online(
    client: &Client,
    names: &[&str],
    kind: Option<BuildKind>,
    quiet: bool,
) -> Result<Vec<Outcome>> {
    let bars = bars(quiet);
    let mut outcomes = Vec::new();
    for name in names {
        let bar = bars.add(bar(name));
        let outcome = match kind {
            Some(kind) => client.build_with(name, kind, |step| show(&bar, step)).await,
            None => client.rebuilt_with(name, |step| show(&bar, step)).await,
        };
        bar.finish_and_clear();
        outcomes.push(outcome?);
    }
    Ok(outcomes)
}

/// Halts, resumes or ends what runs in a server.
async fn control(options: &Rebuild) -> Result<()> {
    let common = &options.projections;
    let (Some(url), Some(key)) = (&common.url, &common.key) else {
        bail!("a rebuild runs in a server: name it with --url, and give an operator's --key");
    };
    let client = Client::new(url, key)?;
    let building = client.building().await?;
    let names: Vec<&str> = building
        .iter()
        .map(String::as_str)
        .filter(|name| common.names.is_empty() || common.names.iter().any(|n| n == name))
        .collect();
    let (mutation, done) = match (options.pause, options.cancel) {
        (true, _) => ("pauseRebuilds", "halted; `--resume` lets it go on, `--cancel` ends it"),
        (_, true) => ("cancelRebuilds", "ended; what is served stays as it is"),
        _ => ("resumeRebuilds", "goes on"),
    };
    if names.is_empty() {
        if !common.json {
            print_line("nothing is being rebuilt: `hakken projections` lists what there is");
        }
        return Ok(());
    }
    client.operate(mutation, json!({ "names": names })).await?;
    for name in &names {
        match common.json {
            true => print_line(&json!({ "projection": name, "did": mutation }).to_string()),
            false => print_line(&format!("{name:<18} {done}")),
        }
    }
    if options.resume {
        let outcomes = online(&client, &names, None, common.json).await?;
        outcomes.iter().for_each(|outcome| tell(outcome, BuildKind::Rebuild, common.json));
    }
    Ok(())
}

async fn remove_former(options: &cli::Projections) -> Result<()> {
    let names = named(&options.names, |_| true);
    if let (Some(url), Some(key)) = (&options.url, &options.key) {
        let client = Client::new(url, key)?;
        client.operate("removeFormer", json!({ "names": names })).await?;
    } else {
        let node = Node::open_existing(&options.data).await?;
        let mut removed = Ok(());
        for name in &names {
            removed = removed.and(node.read.remove_former(name).await.map(drop));
        }
        node.close().await;
        removed?;
    }
    if !options.json {
        print_line("former rows are removed; what is served stays as it is");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_only_where_it_is_known() {
        let step = |phase: &str, paused, rate: Option<f64>| Step {
            phase: phase.to_owned(),
            paused,
            done: 10,
            total: 110,
            per_second: rate,
            seconds_left: rate.map(|rate| 100.0 / rate),
        };
        assert_eq!(in_words(&step("FOLDING", false, Some(50.0))), "50/s, about 2 s left");
        assert_eq!(in_words(&step("FOLDING", false, None)), "time left unknown");
        assert_eq!(in_words(&step("FOLDING", true, None)), "halted; --resume lets it go on");
        assert_eq!(in_words(&step("INDEXING", false, None)), "making indexes");
        assert!(in_words(&step("CONFIRMING", false, None)).starts_with("it differs"));
    }

    #[test]
    fn a_show_is_named_as_the_api_names_it_or_by_its_ulid() {
        let ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        assert_eq!(parse_show(ulid), parse_show(&format!("show_{ulid}")));
        assert!(parse_show(ulid).is_ok());
        assert!(parse_show("order_01ARZ3NDEKTSV4RRFFQ69G5FAV").is_err());
    }
}
