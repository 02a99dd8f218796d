//! Short ways to fill an event store.

use bytes::Bytes;
use hakken_commands::store::{Append, Appended, NewEvent};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, StreamKind, Version},
    names::{EventId, derived_ulid},
    time::Timestamp,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A stream by its number.
pub fn stream(number: u64) -> StreamId {
    let kind = StreamKind::ALL[(number % 9) as usize];
    StreamId { kind, id: derived_ulid(&["stream", &number.to_string()]) }
}

/// A time, in seconds.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// An event with this data and an id of its own.
pub fn event(data: impl Into<Bytes>) -> NewEvent {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    NewEvent {
        id: EventId(derived_ulid(&["event", &count])),
        kind: "seats-held",
        schema: 1,
        data: data.into(),
        meta: Bytes::from_static(br#"{"actor":"system:test"}"#),
        decoded: None,
    }
}

/// An append of events with these data.
pub fn append<D: Into<Bytes>>(
    stream: StreamId,
    expected: Version,
    data: impl IntoIterator<Item = D>,
) -> Append {
    Append { stream, expected, events: data.into_iter().map(event).collect() }
}

/// What was written; panics if nothing was.
#[track_caller]
pub fn written(appended: &Appended) -> &[Arc<StoredEvent>] {
    match appended {
        Appended::Written(events) => events,
        Appended::Conflict { newer } => panic!("a conflict with {newer:?}"),
    }
}

/// What a conflict brought; panics if the append was written.
#[track_caller]
pub fn conflict(appended: &Appended) -> &[Arc<StoredEvent>] {
    match appended {
        Appended::Conflict { newer } => newer,
        Appended::Written(events) => panic!("written: {events:?}"),
    }
}

/// What is wrong with a sequence of events that a reader saw after `after`, if anything: every
/// position must come once, in order, without a gap, its time not before the one before, and each
/// stream's versions must count up from its first.
pub fn first_disorder(after: Position, seen: &[Arc<StoredEvent>]) -> Option<String> {
    let mut versions = std::collections::HashMap::new();
    let mut last: Option<&StoredEvent> = None;
    for event in seen {
        let expected = last.map_or(after, |last| last.position).0 + 1;
        if event.position.0 != expected {
            return Some(format!("position {} instead of {expected}", event.position));
        }
        if last.is_some_and(|last| event.recorded_at < last.recorded_at) {
            return Some(format!("time runs backwards at {}", event.position));
        }
        let before = versions.insert(event.stream, event.version);
        if before.is_some_and(|before| event.version != before + 1) {
            return Some(format!(
                "{} has version {} twice or too late",
                event.stream, event.version
            ));
        }
        last = Some(event);
    }
    None
}
