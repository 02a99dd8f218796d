//! `hakken projections`: how the read models are, what is being rebuilt, where one has stopped and
//! what it leaves out.

use anyhow::{Context, Result};
use hakken_domain::envelope::Position;
use hakken_projections::{ProjectionStatus, RunState};
use serde_json::{Value, json};

use super::{
    print_line,
    projections::{check_names, position},
};
use crate::{cli, client::Client, node::Node};

/// Runs it; false if one has stopped.
pub async fn run(options: cli::Projections) -> Result<bool> {
    check_names(&options.names)?;
    let all = match (&options.url, &options.key) {
        (Some(url), Some(key)) => online(&Client::new(url, key)?).await?,
        _ => {
            let node = Node::open_existing(&options.data).await?;
            let found = offline(&node).await;
            node.close().await;
            found?
        }
    };
    let is_wanted = |each: &&Value| {
        let name = each["name"].as_str().unwrap_or_default();
        options.names.is_empty() || options.names.iter().any(|wanted| wanted == name)
    };
    let mut good = true;
    for each in all.iter().filter(is_wanted) {
        good &= each["state"] != "STOPPED";
        match options.json {
            true => print_line(&each.to_string()),
            false => in_words(each).iter().for_each(|line| print_line(line)),
        }
    }
    Ok(good)
}

const STATUS: &str = "{ projections { name version state reason stoppedAt position head
    lagPositions lagSeconds rebuildsOneShow
    stoppedEvent { position kind schemaVersion stream version recordedAt reason data raw rawMetadata }
    skipped { position kind reason by at decidedAt }
    former { position retiredAt ageSeconds removedAt }
    build { kind phase paused done total perSecond secondsLeft showId }
    lastBuildError lastBuild { kind equal position seconds firstDifference } } }";

async fn online(client: &Client) -> Result<Vec<Value>> {
    let mut data = client.ask(STATUS, json!({})).await?;
    let all = data["projections"].take();
    all.as_array().cloned().context("the server does not say how its read models are")
}

/// As the API tells it, so that a program reads one form.
async fn offline(node: &Node) -> Result<Vec<Value>> {
    let head = node.read.status().await?.first().map(|status| status.head);
    if let Some(head) = head {
        // They catch up as far as they can; one that has stopped says so.
        let patience = std::time::Duration::from_secs(3_600);
        let waits = hakken_projections::ALL.iter();
        for each in waits {
            let _ = node.read.wait_for(each.name, head, patience).await;
        }
    }
    let mut all = Vec::new();
    for status in node.read.status().await? {
        let stopped = match &status.state {
            RunState::Stopped(poison) => {
                stopped_event(node, poison.position, &poison.reason).await?
            }
            RunState::Running | RunState::Paused | RunState::Retrying { .. } => Value::Null,
        };
        all.push(as_json(&status, stopped));
    }
    Ok(all)
}

async fn stopped_event(node: &Node, at: Position, reason: &str) -> Result<Value> {
    let before = Position(at.0.saturating_sub(1));
    let found = node.store.feed().read_all(before, 1).await?;
    let Some(event) = found.first().filter(|event| event.position == at) else {
        return Ok(Value::Null);
    };
    Ok(json!({
        "position": at.0,
        "kind": event.kind.to_string(),
        "schemaVersion": event.schema,
        "stream": event.stream.to_string(),
        "version": event.version,
        "recordedAt": event.recorded_at.to_string(),
        "reason": reason,
        "data": serde_json::from_slice::<Value>(&event.data).ok(),
        "raw": String::from_utf8_lossy(&event.data),
        "rawMetadata": String::from_utf8_lossy(&event.meta),
    }))
}

fn as_json(status: &ProjectionStatus, stopped: Value) -> Value {
    let reason = match &status.state {
        RunState::Stopped(poison) => Some(poison.reason.as_str()),
        RunState::Retrying { reason, .. } => Some(reason.as_str()),
        RunState::Running | RunState::Paused => None,
    };
    let skipped: Vec<Value> = status
        .skipped
        .iter()
        .map(|skip| {
            json!({
                "position": skip.position.0, "kind": skip.kind, "reason": skip.reason.as_str(),
                "by": skip.by.as_str(), "at": skip.at.to_string(), "decidedAt": skip.recorded.0,
            })
        })
        .collect();
    let former = status.former.as_ref().map(|former| {
        json!({
            "position": former.position.0, "retiredAt": former.retired_at.to_string(),
            "ageSeconds": former.age.as_secs_f64(), "removedAt": former.removed_at.to_string(),
        })
    });
    json!({
        "name": status.name,
        "version": status.version,
        "state": status.state.as_str().to_uppercase(),
        "reason": reason,
        "stoppedAt": stopped["position"].clone(),
        "position": status.checkpoint.0,
        "head": status.head.0,
        "lagPositions": status.lag_positions,
        "lagSeconds": status.lag_seconds,
        "rebuildsOneShow": status.by_show,
        "stoppedEvent": stopped,
        "skipped": skipped,
        "former": former,
        "build": status.build.as_ref().map(|build| {
            json!({ "done": build.done, "total": build.total, "paused": build.paused })
        }),
        "lastBuildError": status.last_build_error,
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// For people: a line, and below it what they must know.
fn in_words(each: &Value) -> Vec<String> {
    let name = text(&each["name"]);
    let lag = each["lagPositions"].as_u64().unwrap_or(0);
    let behind = match lag {
        0 => "up to date".to_owned(),
        lag => format!("{lag} events behind, {:.1} s", each["lagSeconds"].as_f64().unwrap_or(0.0)),
    };
    let state = text(&each["state"]).to_lowercase();
    let at = position(&each["position"]);
    let mut lines = vec![format!("{name:<18} {state:<9} at position {at}, {behind}")];
    let mut below = |line: String| lines.push(format!("{:<18} {line}", ""));
    let stopped = &each["stoppedEvent"];
    if stopped.is_object() {
        let at = position(&stopped["position"]);
        below(format!(
            "stopped at {at}, a {} of {}: {}",
            text(&stopped["kind"]),
            text(&stopped["stream"]),
            text(&stopped["reason"])
        ));
        below(format!("stored: {}", text(&stopped["raw"])));
        below(format!(
            "a release that reads it goes on by itself; or leave it out: \
             `hakken skip {name} {at} --reason \"…\"`"
        ));
    } else if let Some(reason) = each["reason"].as_str() {
        below(reason.to_owned());
    }
    let build = &each["build"];
    if build.is_object() {
        let halted = if build["paused"] == true { ", halted" } else { "" };
        below(format!(
            "being built: {} of {} events{halted}",
            position(&build["done"]),
            position(&build["total"])
        ));
    }
    if let Some(error) = each["lastBuildError"].as_str() {
        below(format!("the last build failed: {error}"));
    }
    for skip in each["skipped"].as_array().into_iter().flatten() {
        below(format!(
            "leaves out the {} at {}: {} ({}, {})",
            text(&skip["kind"]),
            position(&skip["position"]),
            text(&skip["reason"]),
            text(&skip["by"]),
            text(&skip["at"])
        ));
    }
    let former = &each["former"];
    if former.is_object() {
        below(format!(
            "keeps its former rows, at position {}, until {}: `hakken rebuild {name} --swap-back` \
             serves them again",
            position(&former["position"]),
            text(&former["removedAt"])
        ));
    }
    lines
}
