//! What an append of many streams comes to, given what the streams hold: the part of an event
//! store that is the same for every store with one writer.

use std::{borrow::Cow, collections::HashMap, ops::Range, sync::Arc};

use hakken_commands::store::Append;
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    guard::Guard,
    time::Timestamp,
};

/// What is to be written, in order of position, and what becomes of each append.
pub(crate) struct Plan {
    pub(crate) events: Vec<Arc<StoredEvent>>,
    pub(crate) outcomes: Vec<Planned>,
}

/// What becomes of one append.
pub(crate) enum Planned {
    /// These of the plan's events are its own.
    Write(Range<usize>),
    /// The stream has another version.
    Conflict { stream: StreamId, expected: Version },
}

/// Gives positions and versions to the appends that fit. `heads` has the version of each
/// append's stream. A stream that stands twice in a batch is checked against what the batch
/// itself adds, so that a version is never given twice.
pub(crate) fn plan(
    batch: Vec<Append>,
    heads: &[Version],
    newest: Position,
    recorded_at: Timestamp,
) -> Plan {
    assert_eq!(batch.len(), heads.len(), "one head for each append");
    let mut events = Vec::with_capacity(batch.iter().map(|append| append.events.len()).sum());
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut grown: HashMap<StreamId, Version> = HashMap::with_capacity(batch.len());
    for (append, head) in batch.into_iter().zip(heads) {
        let Append { stream, expected, events: new } = append;
        let version = grown.entry(stream).or_insert(*head);
        if Guard::OtherVersion.sees(*version != expected) {
            outcomes.push(Planned::Conflict { stream, expected });
            continue;
        }
        let start = events.len();
        for event in new {
            *version += 1;
            events.push(Arc::new(StoredEvent {
                position: Position(newest.0 + events.len() as u64 + 1),
                stream,
                version: *version,
                id: event.id,
                kind: Cow::Borrowed(event.kind),
                schema: event.schema,
                recorded_at,
                meta: event.meta,
                data: event.data,
                cache: event.decoded.map(Ok).map(Into::into).unwrap_or_default(),
            }));
        }
        outcomes.push(Planned::Write(start..events.len()));
    }
    Plan { events, outcomes }
}

/// Puts events that another store recorded behind what is here, whose newest event is `newest`,
/// recorded at `recorded_at`; `heads` has the versions of their streams, and grows with them. The
/// position of the first that does not follow is the error.
pub(crate) fn follow_on(
    events: Vec<Arc<StoredEvent>>,
    heads: &mut HashMap<StreamId, Version>,
    newest: Position,
    mut recorded_at: Timestamp,
) -> Result<Vec<Arc<StoredEvent>>, Position> {
    let mut taken = Vec::with_capacity(events.len());
    for (event, position) in events.into_iter().zip(newest.0 + 1..) {
        let version = heads.entry(event.stream).or_default();
        if event.version != *version + 1 || event.recorded_at < recorded_at {
            return Err(event.position);
        }
        *version += 1;
        recorded_at = event.recorded_at;
        taken.push(if event.position.0 == position {
            event
        } else {
            Arc::new(StoredEvent {
                position: Position(position),
                stream: event.stream,
                version: event.version,
                id: event.id,
                kind: event.kind.clone(),
                schema: event.schema,
                recorded_at,
                meta: event.meta.clone(),
                data: event.data.clone(),
                cache: event.cache.clone(),
            })
        });
    }
    Ok(taken)
}
