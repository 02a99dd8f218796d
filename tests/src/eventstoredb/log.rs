//! What the double keeps: one log for all nodes of a cluster, in memory, which outlives them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::proto::{Expected, Proposed, Uuid, UuidValue};

/// What a record takes beside its bytes: places in the log are byte offsets.
const RECORD_BYTES: u64 = 100;

/// Every so many appends the server writes something of its own.
const OWN_EVERY: u64 = 7;

/// A recorded event.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) place: u64,
    pub(super) stream: String,
    pub(super) revision: u64,
    pub(super) id: String,
    pub(super) metadata: HashMap<String, String>,
    pub(super) custom_metadata: Vec<u8>,
    pub(super) data: Vec<u8>,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is written, now or before: the revision and place of its last event.
    Written { revision: u64, place: u64 },
    /// The stream has another revision, or none.
    WrongVersion { found: Option<u64> },
}

#[derive(Default)]
struct State {
    records: Vec<Arc<Record>>,
    streams: HashMap<String, Vec<usize>>,
    end: u64,
    appends: u64,
}

/// The log.
pub(super) struct Log {
    state: Mutex<State>,
    length: watch::Sender<usize>,
}

impl Log {
    pub(super) fn new() -> Self {
        let log = Self { state: Mutex::default(), length: watch::Sender::new(0) };
        log.state().write_own();
        log
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many records there are, as it grows.
    pub(super) fn length(&self) -> watch::Receiver<usize> {
        self.length.subscribe()
    }

    /// Appends as EventStoreDB does. At an exact revision, events that stand there already (by
    /// their ids) are acknowledged again, however old they are; at any revision, if they are the
    /// newest of the stream.
    pub(super) fn append(
        &self,
        stream: &str,
        expected: Expected,
        events: Vec<Proposed>,
    ) -> Outcome {
        let mut state = self.state();
        let ids: Vec<String> = events.iter().map(|event| id_of(event.id.as_ref())).collect();
        let of_stream: Vec<Arc<Record>> = state.of(stream);
        let found = of_stream.last().map(|last| last.revision);
        let from = match expected {
            Expected::Revision(revision) => Some(revision + 1),
            Expected::NoStream(_) => Some(0),
            Expected::Any(_) | Expected::StreamExists(_) => None,
        };
        let next = found.map_or(0, |found| found + 1);
        let same = |from: u64| {
            let there = of_stream.iter().skip(from as usize).take(ids.len());
            !ids.is_empty() && there.map(|record| &record.id).eq(&ids)
        };
        let is_again = match from {
            Some(from) => from < next && same(from),
            None => next >= ids.len() as u64 && same(next - ids.len() as u64),
        };
        if is_again {
            let at = from.unwrap_or(next - ids.len() as u64) as usize + ids.len() - 1;
            let last = &of_stream[at];
            return Outcome::Written { revision: last.revision, place: last.place };
        }
        let is_right = match expected {
            Expected::StreamExists(_) => found.is_some(),
            _ => from.is_none_or(|from| from == next),
        };
        if !is_right {
            return Outcome::WrongVersion { found };
        }
        for (event, id) in events.into_iter().zip(ids) {
            state.write(stream, id, event.metadata, event.custom_metadata, event.data);
        }
        state.appends += 1;
        let last = state.of(stream).last().cloned();
        if state.appends.is_multiple_of(OWN_EVERY) {
            state.write_own();
        }
        self.length.send_replace(state.records.len());
        match last {
            Some(last) => Outcome::Written { revision: last.revision, place: last.place },
            None => Outcome::Written { revision: 0, place: state.end },
        }
    }

    /// A stream's events, oldest first; none if there is no such stream.
    pub(super) fn stream(&self, stream: &str) -> Option<Vec<Arc<Record>>> {
        let found = self.state().of(stream);
        (!found.is_empty()).then_some(found)
    }

    /// Records from one on.
    pub(super) fn records(&self, from: usize, count: usize) -> Vec<Arc<Record>> {
        self.state().records.iter().skip(from).take(count).cloned().collect()
    }

    /// The record at a place, by its number; or how many there are if the place is their end.
    pub(super) fn at(&self, place: u64) -> Option<usize> {
        let state = self.state();
        if place >= state.end {
            return Some(state.records.len());
        }
        state.records.binary_search_by_key(&place, |record| record.place).ok()
    }

    /// Forgets the newest records, as a backup does that is put back.
    pub(super) fn truncate(&self, length: usize) {
        let mut state = self.state();
        let records = std::mem::take(&mut state.records);
        *state = State::default();
        for record in records.into_iter().take(length) {
            state.push(Record::clone(&record));
        }
    }
}

impl State {
    fn of(&self, stream: &str) -> Vec<Arc<Record>> {
        let places = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        places.iter().map(|at| Arc::clone(&self.records[*at])).collect()
    }

    fn write(
        &mut self,
        stream: &str,
        id: String,
        metadata: HashMap<String, String>,
        custom_metadata: Vec<u8>,
        data: Vec<u8>,
    ) {
        let revision = self.streams.get(stream).map_or(0, Vec::len) as u64;
        let (place, stream) = (self.end, stream.to_owned());
        self.push(Record { place, stream, revision, id, metadata, custom_metadata, data });
    }

    fn push(&mut self, record: Record) {
        self.end =
            record.place + RECORD_BYTES + (record.data.len() + record.custom_metadata.len()) as u64;
        self.streams.entry(record.stream.clone()).or_default().push(self.records.len());
        self.records.push(Arc::new(record));
    }

    /// An event of the server's own, in a system stream.
    fn write_own(&mut self) {
        let metadata = HashMap::from([
            ("type".to_owned(), "$statsCollected".to_owned()),
            ("content-type".to_owned(), "application/json".to_owned()),
        ]);
        let number = self.records.len() as u128;
        let id = hyphenated(number);
        self.write("$stats-127.0.0.1:2113", id, metadata, Vec::new(), b"{}".to_vec());
    }
}

/// 128 bits as a UUID is written.
fn hyphenated(id: u128) -> String {
    let hex = format!("{id:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn id_of(id: Option<&Uuid>) -> String {
    match id.and_then(|id| id.value.as_ref()) {
        Some(UuidValue::String(text)) => text.to_lowercase(),
        Some(UuidValue::Structured(parts)) => {
            let high = u128::from(parts.most_significant_bits.cast_unsigned());
            let low = u128::from(parts.least_significant_bits.cast_unsigned());
            hyphenated(high << 64 | low)
        }
        None => String::new(),
    }
}
