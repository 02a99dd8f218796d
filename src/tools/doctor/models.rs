//! The read models: whether their rows are of these events and keep up, what a running server says
//! of them, and, if that is wanted, whether they are what the events say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use hakken_adapters::{data_dir::DataDir, system::SystemClock};
use hakken_commands::clock::Clock;
use hakken_domain::envelope::Position;
use hakken_projections::{
    ALL, QueryError,
    feed::EventFeed,
    past,
    projection::Projection,
    rows::{Build, Purpose, RowStore},
};
use serde_json::{Value, json};

use super::finding::Findings;
use crate::{cli::Data, client::Client, node::Node, store::Rows};

/// A read model that is so many events behind beside a running server does not keep up.
const FAR_BEHIND: u64 = 10_000;

/// Rows that are this late are far behind too.
const LATE_SECONDS: f64 = 60.0;

const ANEW: &str = "stop the server, delete read-models.db and what stands beside it (-wal, -shm), \
                    and start it: they are made anew from the events";

const IN_A_DATABASE: &str = "stop the servers that keep read models there, `DROP SCHEMA hakken_rows \
                             CASCADE`, and start them: they are made anew from the events";

/// Rows of each table that are compared with what their events say.
const SAMPLE: usize = 24;

/// Whose read models are looked at.
pub struct Look<'a> {
    /// Where they are.
    pub data: &'a Data,
    /// The data directory.
    pub dir: &'a DataDir,
    /// The events.
    pub feed: &'a dyn EventFeed,
    /// Up to here.
    pub head: Position,
    /// A server has them.
    pub locked: bool,
    /// There is something that finds streams, and it is not known to be wrong.
    pub indexed: bool,
}

impl Look<'_> {
    /// The rows as they stand. `deep` reads the whole file.
    pub async fn rows(&self, deep: bool, findings: &mut Findings) -> Result<()> {
        let rows = match Rows::look(self.data, self.dir, deep).await {
            Ok(Some(rows)) => rows,
            Ok(None) => {
                findings.note("read models", "there are none yet: a start makes them".to_owned());
                return Ok(());
            }
            // Nothing is known of a database that does not answer.
            Err(error) if self.data.read_models.is_some() => return Err(error),
            Err(error) => {
                findings.attention("read models", format!("{error:#}"), ANEW);
                return Ok(());
            }
        };
        let store = rows.store();
        if let Err(error) = self.builds(&store, findings).await {
            let mend = if self.data.read_models.is_some() { IN_A_DATABASE } else { ANEW };
            findings.attention("read models", format!("they cannot be used: {error}"), mend);
        }
        drop(store);
        rows.close().await;
        Ok(())
    }

    async fn builds(
        &self,
        store: &Arc<dyn RowStore>,
        findings: &mut Findings,
    ) -> Result<(), QueryError> {
        let builds = store.builds().await?;
        let of = |name: &str, purpose| {
            builds.iter().find(|build| build.projection == name && build.purpose == purpose)
        };
        let (mut good, mut compared) = (0, 0);
        for projection in ALL {
            let name = projection.name;
            match of(name, Purpose::Served) {
                None => findings.note("read models", format!("{name} has no rows yet")),
                Some(build) if build.version != projection.version => findings.note(
                    "read models",
                    format!(
                        "{name} has version {}, this version of Hakken {}: a start builds it anew",
                        build.version, projection.version
                    ),
                ),
                Some(build) => {
                    let (feed, head) = (self.feed, self.head);
                    if checkpoint(build, feed, head, self.locked, findings).await {
                        good += 1;
                        if self.indexed {
                            compared += self.sample(store, build, projection, findings).await?;
                        }
                    }
                }
            }
            if let Some(build) = of(name, Purpose::Rebuild) {
                let (at, head) = (build.checkpoint.position, self.head);
                findings.note("read models", format!("a rebuild of {name} is at {at} of {head}"));
            }
        }
        findings.looked_at.push(format!("{good} read models, {compared} of their rows"));
        Ok(())
    }

    /// Some rows beside their events: how many were compared.
    async fn sample(
        &self,
        store: &Arc<dyn RowStore>,
        build: &Build,
        projection: &Projection,
        findings: &mut Findings,
    ) -> Result<u64, QueryError> {
        let seed = SystemClock.now().as_micros().unsigned_abs();
        let rows = store.clone();
        let sampled = past::sample(self.feed, rows, build, projection, (SAMPLE, seed)).await;
        let name = projection.name;
        match sampled {
            Ok(sampled) => {
                if let Some(words) = sampled.difference {
                    let what = format!("{name} is not what its events say: {words}");
                    findings.attention("read models", what, rebuild(name));
                }
                Ok(sampled.rows)
            }
            // That is told of the events, where there is more to say.
            Err(QueryError::Poisoned { .. } | QueryError::Feed(_)) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn rebuild(name: &str) -> String {
    format!("`hakken rebuild {name}` (a running server: with --url)")
}

/// Whether a checkpoint is of these events.
async fn checkpoint(
    build: &Build,
    feed: &dyn EventFeed,
    head: Position,
    served: bool,
    findings: &mut Findings,
) -> bool {
    let (name, at) = (&build.projection, build.checkpoint.position);
    let mend = format!(
        "`hakken rebuild {name}` (a running server: with --url), or a start, which notices it too"
    );
    // What a server commits meanwhile is not what we read before.
    let newest = feed.head().await.unwrap_or(head).max(head);
    if at > newest {
        let what = format!("{name} counts events up to {at}, but there are none behind {newest}");
        findings.attention("read models", what, mend);
        return false;
    }
    if at > Position(0) {
        let found = feed.read_all(Position(at.0 - 1), 1).await;
        let id = found.ok().and_then(|found| found.first().map(|event| event.id));
        if id.is_some() && id != build.checkpoint.event {
            let what = format!("{name} was folded from other events than these (position {at})");
            findings.attention("read models", what, mend);
            return false;
        }
    }
    let behind = newest.0 - at.0;
    if behind > FAR_BEHIND && served {
        let what = format!("{name} is {behind} events behind");
        findings.attention("read models", what, "ask the server why, with --url and --key");
        return false;
    }
    true
}

/// What a running server says of them.
pub async fn ask(url: &str, key: &str, findings: &mut Findings) -> Result<()> {
    const QUERY: &str = "{ projections { name state reason stoppedAt lagPositions lagSeconds
                           lastBuildError } }";
    let answer = Client::new(url, key)?.ask(QUERY, json!({})).await?;
    let all = answer["projections"].as_array().cloned().unwrap_or_default();
    findings.looked_at.push(format!("what {url} says of {} read models", all.len()));
    for model in &all {
        state(model, findings);
    }
    Ok(())
}

fn state(model: &Value, findings: &mut Findings) {
    let text = |field: &str| model[field].as_str().unwrap_or("unknown").to_owned();
    let name = text("name");
    match model["state"].as_str() {
        Some("STOPPED") => findings.attention(
            "read models",
            format!("{name} stopped at position {}: {}", model["stoppedAt"], text("reason")),
            format!("look at the event with `hakken events`, then `hakken rebuild {name} --url …`"),
        ),
        Some("PAUSED") => findings.attention(
            "read models",
            format!("{name} is paused: what it serves grows old"),
            "the mutation resumeProjection",
        ),
        Some("RETRYING") => findings.attention(
            "read models",
            format!("{name} does not come further: {}", text("reason")),
            "look at the disk and at the server's log",
        ),
        _ if model["lagSeconds"].as_f64().unwrap_or(0.0) > LATE_SECONDS => findings.attention(
            "read models",
            format!("{name} is {} events behind", model["lagPositions"]),
            "look at the load of the server; it catches up by itself",
        ),
        _ => {}
    }
    if let Some(error) = model["lastBuildError"].as_str() {
        let what = format!("the last rebuild of {name} failed: {error}");
        findings.attention("read models", what, format!("`hakken rebuild {name} --url …`"));
    }
}

/// Folds every read model afresh and compares it with its rows, as `hakken verify` does.
pub async fn compare(data: &Data, findings: &mut Findings) -> Result<()> {
    let node = Node::open_existing(data).await?;
    let compared = async {
        let status = node.read.status().await?;
        let mut differs = BTreeMap::new();
        for status in status {
            node.read.wait_for(status.name, status.head, Duration::from_secs(3_600)).await?;
            let report = node.read.verify(status.name).await?;
            differs.insert(status.name, report.comparison.first_difference);
        }
        anyhow::Ok(differs)
    };
    let compared = compared.await;
    node.close().await;
    let compared = compared?;
    findings.looked_at.push(format!("{} read models, folded afresh", compared.len()));
    for (name, difference) in compared {
        if let Some(words) = difference {
            let what = format!("{name} is not what the events say: {words}");
            findings.attention("read models", what, format!("`hakken rebuild {name}`"));
        }
    }
    Ok(())
}
