//! `hakken rebuild` and `hakken verify`, on a data directory or through a running server.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use hakken_projections::{ALL, BuildKind, BuildReport, ReadModels};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::print_line;
use crate::{cli, client::Client, node::Node};

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
}

impl Outcome {
    /// From a report as the API gives it.
    pub fn read(report: &Value) -> Result<Self> {
        let name = report["projection"].as_str().context("the server gave no report")?;
        Ok(Self {
            name: name.to_owned(),
            equal: report["equal"].as_bool().unwrap_or(false),
            position: position(&report["position"]),
            folded: report["folded"].as_u64().unwrap_or(0),
            seconds: report["seconds"].as_f64().unwrap_or(0.0),
            first_difference: report["firstDifference"].as_str().map(ToOwned::to_owned),
        })
    }
}

/// A position stands in JSON as a text or a number.
fn position(value: &Value) -> u64 {
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
        }
    }
}

/// Runs it; false if something differed.
pub async fn run(options: cli::Projections, kind: BuildKind) -> Result<bool> {
    for name in &options.names {
        if !ALL.iter().any(|projection| projection.name == name) {
            let known: Vec<_> = ALL.iter().map(|projection| projection.name).collect();
            bail!("there is no read model {name:?}; there are {}", known.join(", "));
        }
    }
    let names: Vec<&str> = ALL
        .iter()
        .map(|projection| projection.name)
        .filter(|name| options.names.is_empty() || options.names.iter().any(|n| n == name))
        .collect();
    let outcomes = match (&options.url, &options.key) {
        (Some(url), Some(key)) => online(&Client::new(url, key)?, &names, kind).await?,
        _ => {
            let node = Node::open_existing(&options.data).await?;
            let outcomes = offline(&node.read, &names, kind, options.json).await;
            node.close().await;
            outcomes?
        }
    };
    for outcome in &outcomes {
        tell(outcome, kind, options.json);
    }
    Ok(outcomes.iter().all(|outcome| outcome.equal))
}

fn tell(outcome: &Outcome, kind: BuildKind, json: bool) {
    let Outcome { name, equal, position, folded, seconds, first_difference } = outcome;
    if json {
        let object = json!({
            "projection": name, "equal": equal, "position": position, "events": folded,
            "seconds": seconds, "first_difference": first_difference,
        });
        return print_line(&object.to_string());
    }
    let done = match kind {
        BuildKind::Rebuild => "rebuilt and swapped in",
        BuildKind::Verify => "folded afresh",
    };
    let rate = *folded as f64 / seconds.max(1e-9);
    let verdict = match first_difference {
        None => "equal to what was served".to_owned(),
        Some(words) => format!("DIFFERS: {words}"),
    };
    print_line(&format!(
        "{name:<18} {done} at position {position}: {folded} events in {seconds:.2} s \
         ({rate:.0}/s), {verdict}"
    ));
}

async fn offline(
    read: &ReadModels,
    names: &[&str],
    kind: BuildKind,
    quiet: bool,
) -> Result<Vec<Outcome>> {
    let bars = MultiProgress::new();
    if quiet {
        bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let mut outcomes = Vec::new();
    for name in names {
        let head = read.status().await?.first().map(|status| status.head);
        if let Some(head) = head {
            read.wait_for(name, head, Duration::from_secs(3_600)).await?;
        }
        let bar = bars.add(bar(name));
        let report = {
            let build = async {
                match kind {
                    BuildKind::Rebuild => read.rebuild(name).await,
                    BuildKind::Verify => read.verify(name).await,
                }
            };
            tokio::pin!(build);
            loop {
                tokio::select! {
                    report = &mut build => break report?,
                    () = tokio::time::sleep(Duration::from_millis(100)) => {
                        let all = read.status().await?;
                        let status = all.iter().find(|status| status.name == *name);
                        if let Some(progress) = status.and_then(|status| status.build.as_ref()) {
                            bar.set_length(progress.total);
                            bar.set_position(progress.done);
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

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:<18} {bar:30} {pos}/{len} events, {per_sec}, {eta} left",
    )
    .expect("a good template");
    ProgressBar::new(0).with_style(style).with_prefix(name.to_owned())
}

/// Lets a running server do it, one after the other, and asks how far it is.
async fn online(client: &Client, names: &[&str], kind: BuildKind) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for name in names {
        outcomes.push(client.build(name, kind).await?);
    }
    Ok(outcomes)
}
