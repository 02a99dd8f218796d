//! `hakken events`: the recorded events, as they are stored.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use hakken_adapters::data_dir::DataDir;
use hakken_domain::envelope::{Position, StoredEvent};
use hakken_projections::feed::EventFeed;

use super::print_line;
use crate::{cli, store};

const PAGE: usize = 5_000;

/// Runs it.
pub async fn run(options: cli::Events) -> Result<()> {
    let dir = DataDir::at(&options.data.data);
    let opened = store::Events::open(&options.data.store, &dir).await?;
    let store = opened.feed();
    let mut after = options.after;
    if let Some(tail) = options.tail {
        after = tail_start(store, &options, tail).await.with_context(|| opened.unreadable(&dir))?;
    }
    loop {
        let page = store.read_all(after, PAGE).await.with_context(|| opened.unreadable(&dir))?;
        let Some(last) = page.last() else { break };
        after = last.position;
        print(&page, &options);
    }
    if options.follow {
        let mut feed = store.follow(after);
        while let Some(batch) = feed.next().await {
            print(&batch.with_context(|| opened.unreadable(&dir))?, &options);
        }
    }
    Ok(())
}

fn print(events: &[Arc<StoredEvent>], options: &cli::Events) {
    for event in events.iter().filter(|event| wanted(event, options)) {
        print_line(&if options.json { json(event) } else { text(event) });
    }
}

fn wanted(event: &StoredEvent, options: &cli::Events) -> bool {
    let actor = |wanted: &String| {
        event.decoded().is_ok_and(|decoded| decoded.meta.actor.as_str() == wanted)
    };
    options.stream.is_none_or(|stream| event.stream == stream)
        && (options.kind.is_empty() || options.kind.iter().any(|kind| *kind == event.kind))
        && options.actor.as_ref().is_none_or(actor)
}

/// The position before the newest `tail` wanted events.
async fn tail_start(store: &dyn EventFeed, options: &cli::Events, tail: u64) -> Result<Position> {
    let head = store.head().await?;
    let mut window = tail;
    loop {
        let start = Position(head.0.saturating_sub(window));
        let mut found = Vec::new();
        let mut after = start;
        loop {
            let page = store.read_all(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            found.extend(page.iter().filter(|e| wanted(e, options)).map(|e| e.position.0));
        }
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        if found.len() >= tail || start == Position(0) {
            let first = found.len().saturating_sub(tail);
            return Ok(found.get(first).map_or(head, |position| Position(position - 1)));
        }
        window = window.saturating_mul(8).max(PAGE as u64);
    }
}

/// One line for people.
pub fn text(event: &StoredEvent) -> String {
    let actor = event.decoded().map_or("?", |decoded| decoded.meta.actor.as_str());
    format!(
        "{:>8}  {}  {}  {:<22} {actor}  {}",
        event.position.0,
        event.recorded_at,
        event.stream,
        event.kind,
        String::from_utf8_lossy(&event.data),
    )
}

/// One line for programs; data and metadata stand in it byte for byte.
pub fn json(event: &StoredEvent) -> String {
    format!(
        r#"{{"position":{},"recorded_at":"{}","stream":"{}","version":{},"id":"{}","kind":{},"schema":{},"meta":{},"data":{}}}"#,
        event.position,
        event.recorded_at,
        event.stream,
        event.version,
        event.id,
        quoted(&event.kind),
        event.schema,
        as_stored(&event.meta),
        as_stored(&event.data),
    )
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

/// JSON as it is; anything else as a quoted text.
fn as_stored(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => text.to_owned(),
        _ => quoted(&String::from_utf8_lossy(bytes)),
    }
}
