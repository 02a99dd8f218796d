//! `hakken replay`: one stream's history, and the state that the rules make of it.

use anyhow::{Context, Result, bail};
use hakken_adapters::data_dir::DataDir;
use hakken_domain::{State, envelope::StoredEvent};
use serde_json::Value;

use super::{events, print_line};
use crate::{cli, store};

const PAGE: usize = 5_000;

/// Runs it.
pub async fn run(options: cli::Replay) -> Result<()> {
    let dir = DataDir::at(&options.data.data);
    let opened = store::Events::open(&options.data.store, &dir).await?;
    let store = opened.feed();
    let stream = options.stream;
    let mut state = State::initial(stream.kind);
    let mut version = 0;
    let mut newest = None;
    'pages: loop {
        let page = store.read_stream(stream, version, PAGE).await;
        let page = page.with_context(|| opened.unreadable(&dir))?;
        if page.is_empty() {
            break;
        }
        for event in page {
            if !stood(&event, &options) {
                break 'pages;
            }
            match event.decoded() {
                Ok(decoded) => state.evolve(&decoded.event),
                Err(error) => bail!("position {}: {error}", event.position),
            }
            version = event.version;
            print_line(&if options.json { events::json(&event) } else { events::text(&event) });
            newest = Some(event);
        }
    }
    let Some(newest) = newest else {
        bail!("{stream} has no events then: see `hakken events` for the streams there are");
    };
    let state = unfolded(serde_json::to_value(&state)?);
    if options.json {
        print_line(&serde_json::json!({ "version": version, "state": state }).to_string());
    } else {
        print_line(&format!("\nstate at version {version}, position {}:", newest.position));
        print_line(&serde_json::to_string_pretty(&state)?);
    }
    Ok(())
}

/// Snapshots keep some events as JSON in a text: readers want to see what is in it.
fn unfolded(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('{') => {
            serde_json::from_str(&text).map_or(Value::String(text), unfolded)
        }
        Value::Array(items) => items.into_iter().map(unfolded).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, unfolded(value))).collect()
        }
        other => other,
    }
}

/// Was it recorded by then?
fn stood(event: &StoredEvent, options: &cli::Replay) -> bool {
    options.as_of.is_none_or(|position| event.position <= position)
        && options.as_of_time.is_none_or(|time| event.recorded_at <= time)
}
