//! Reading a stream into memory: its snapshot, then the events after it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use hakken_domain::envelope::{StoredEvent, StreamId, Version};
use tokio::runtime::RuntimeFlavor;
use tracing::warn;

use super::{Ports, entry::Facts};
use crate::store::{Snapshot, StoreError, StoreErrorKind, is_last};

const PAGE: usize = 2_000;

/// A stream as it is on disk.
pub(super) struct Loaded {
    pub(super) facts: Facts,
    /// Version of the snapshot it began with.
    pub(super) snapshot: Version,
}

/// Reads a stream.
pub(super) async fn load(ports: &Ports, stream: StreamId) -> Result<Loaded, StoreError> {
    read_on(ports, stream, from_snapshot(ports, stream).await).await
}

/// Reads what a stream has beyond what is known of it: to where it ended when that was read, since
/// another process may write it faster than this one reads.
pub(super) async fn read_on(
    ports: &Ports,
    stream: StreamId,
    mut loaded: Loaded,
) -> Result<Loaded, StoreError> {
    loop {
        let page = ports.store.read_stream(stream, loaded.facts.version, PAGE).await?;
        fold(&mut loaded.facts, &page)?;
        if is_last(&page, PAGE) {
            return Ok(loaded);
        }
    }
}

/// `count` events of a stream after `after`, however small the store's pages are.
pub(super) async fn read_exactly(
    ports: &Ports,
    stream: StreamId,
    after: Version,
    count: usize,
) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
    let mut events = Vec::with_capacity(count);
    while events.len() < count {
        let read = after + events.len() as u64;
        let page = ports.store.read_stream(stream, read, count - events.len()).await?;
        if page.is_empty() {
            return Err(StoreError {
                kind: StoreErrorKind::Corrupt,
                source: format!("{stream} has no event {}", read + 1).into(),
            });
        }
        events.extend(page);
    }
    Ok(events)
}

/// Folds stored events in. After an error the facts are worth nothing.
pub(super) fn fold(facts: &mut Facts, events: &[Arc<StoredEvent>]) -> Result<(), StoreError> {
    for event in events {
        let corrupt = |why: &dyn std::fmt::Display| StoreError {
            kind: StoreErrorKind::Corrupt,
            source: format!("event {} at position {}: {why}", event.id, event.position).into(),
        };
        let decoded = event.decoded().map_err(|error| corrupt(error))?;
        // The rules refuse what they cannot have decided by a panic. Of an event that is stored
        // that is no bug of this program alone, and must not end the loop for every other stream.
        let evolved = catch_unwind(AssertUnwindSafe(|| facts.evolve(decoded)));
        evolved.map_err(|_| corrupt(&"it does not follow from the events before it"))?;
        facts.position = event.position;
    }
    Ok(())
}

/// Encodes a snapshot off the runtime's threads, unless it has one alone: there a simulation must
/// be repeatable, and another thread would be ready now or then.
pub(super) async fn encode(facts: Facts) -> Snapshot {
    let runtime = tokio::runtime::Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return facts.snapshot();
    }
    let encoded = runtime.spawn_blocking(move || facts.snapshot());
    encoded.await.expect("states have a postcard form")
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
