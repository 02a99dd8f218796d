//! EventStoreDB alone: its positions, several processes, what else stands in $all, a server that
//! dies, a leader that changes, and the known faults of the client. Tests that switch faults on
//! run on the double; the others also on a real server, if the environment names one.

mod faults;
mod mapping;
mod processes;
mod turns;

use std::{sync::Arc, time::Duration};

use hakken_adapters::eventstoredb::EventStoreDb;
use hakken_commands::store::{Append, Appended, EventStore, StoreErrorKind};
use hakken_domain::{
    envelope::{Position, StoredEvent},
    names::EventId,
};
use hakken_tests::stores::at;

const PATIENCE: Duration = Duration::from_secs(30);

type Events = Vec<Arc<StoredEvent>>;

async fn everything(store: &EventStoreDb) -> Events {
    let mut all = Events::new();
    loop {
        let after = all.last().map_or(Position(0), |event| event.position);
        let page = EventStore::read_all(store, after, 1_000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Appends one event wherever the stream is by then, also while the server comes and goes: what
/// became of an append whose answer is lost, the stream tells.
async fn append_surely(store: &EventStoreDb, mut append: Append) -> EventId {
    let id = append.events[0].id;
    loop {
        match store.append(vec![append.clone()], at(0)).await.as_deref() {
            Ok([Appended::Written(_)]) => return id,
            Ok([Appended::Conflict { newer }]) => {
                if newer.iter().any(|event| event.id == id) {
                    return id;
                }
                append.expected += newer.len() as u64;
            }
            Ok(_) => panic!("one append has one answer"),
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}"),
        }
    }
}
