//! Reading a stream into memory: its snapshot, then the events after it.

use std::sync::Arc;

use hakken_domain::envelope::{StoredEvent, StreamId, Version};
use tracing::warn;

use super::{Ports, entry::Facts};
use crate::store::{StoreError, StoreErrorKind};

const PAGE: usize = 2_000;

/// A stream as it is on disk.
pub(super) struct Loaded {
    pub(super) facts: Facts,
    /// Version of the snapshot it began with.
    pub(super) snapshot: Version,
}

/// Reads a stream.
pub(super) async fn load(ports: &Ports, stream: StreamId) -> Result<Loaded, StoreError> {
    let mut loaded = from_snapshot(ports, stream).await;
    loop {
        let page = ports.store.read_stream(stream, loaded.facts.version, PAGE).await?;
        let last = page.len() < PAGE;
        fold(&mut loaded.facts, &page)?;
        if last {
            return Ok(loaded);
        }
    }
}

/// Folds stored events in.
pub(super) fn fold(facts: &mut Facts, events: &[Arc<StoredEvent>]) -> Result<(), StoreError> {
    for event in events {
        let decoded = event.decoded().map_err(|error| StoreError {
            kind: StoreErrorKind::Corrupt,
            source: format!("event {} at position {}: {error}", event.id, event.position).into(),
        })?;
        facts.evolve(decoded);
        facts.position = event.position;
    }
    Ok(())
}

/// A snapshot that cannot be read costs time, nothing else.
async fn from_snapshot(ports: &Ports, stream: StreamId) -> Loaded {
    let found = ports.side.load_snapshot(stream).await.unwrap_or_else(|error| {
        warn!(%stream, %error, "snapshot cannot be read; the stream is read from its beginning");
        None
    });
    match found.as_ref().and_then(Facts::from_snapshot) {
        Some(facts) => Loaded { snapshot: facts.version, facts },
        None => Loaded { facts: Facts::empty(stream.kind), snapshot: 0 },
    }
}
