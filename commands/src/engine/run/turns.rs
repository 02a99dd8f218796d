//! Turns at streams that other processes write, too. Whoever meets a conflict there has decided in
//! vain and must read; whoever won has its next batch decided on top of the last one already, and
//! wins again: one process would sell, and the callers of all others would wait. So for a while
//! after a conflict nothing is decided on top. What is asked waits for a turn, in which nobody else
//! can append; the turn brings what others wrote meanwhile, and then all who wait are decided on
//! that, and appended within the turn.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use hakken_domain::{
    envelope::{StoredEvent, StreamId, Version},
    time::Timestamp,
};
use tokio::time::Duration;
use tracing::{error, warn};

use super::{
    super::{Pending, batch::Batch, entry::Entry, load},
    Loop, Task, UnderWay,
    decide::Taken,
};
use crate::store::{StoreError, StoreErrorKind, Turn};

/// So many turns in a row must bring nothing newer before a stream is decided on top again. A
/// conflict costs a reading of the whole stream, a turn some round trips.
pub(super) const QUIET: u32 = 64;

/// Most streams of one turn: others wait while they are read.
const MOST_STREAMS: usize = 128;

/// The streams that are decided in turns.
#[derive(Default)]
pub(super) struct Turns {
    /// Whether the store gives any.
    are_given: bool,
    /// Streams in memory of which somebody asks, in the order in which they began to wait.
    in_line: Vec<StreamId>,
    /// Every stream that is contended, and some that were.
    contended: VecDeque<StreamId>,
}

/// A turn that is waited for.
pub(super) struct Taking {
    /// The streams that it is for, with the versions that are known.
    known: Vec<(StreamId, Version)>,
    pub(super) task: Task<Result<Turn, StoreError>>,
}

impl Turns {
    pub(super) fn new(are_given: bool) -> Self {
        Self { are_given, ..Self::default() }
    }

    /// A conflict was met on a stream.
    pub(super) fn contend(&mut self, stream: StreamId, entry: &mut Entry) {
        if !self.are_given {
            return;
        }
        entry.contended = QUIET;
        if !self.contended.contains(&stream) {
            self.contended.push_back(stream);
        }
    }

    /// Nobody waits for a turn at this stream any more.
    pub(super) fn left(&mut self, stream: StreamId) {
        self.in_line.retain(|waits| *waits != stream);
    }

    /// Does anybody wait?
    pub(super) fn are_wanted(&self) -> bool {
        !self.in_line.is_empty()
    }
}

impl Loop {
    /// Lets a question wait for a turn, or first until its stream is read.
    pub(super) fn wait_for_turn(&mut self, pending: Box<Pending>) {
        let stream = pending.stream;
        let entry = self.streams.peek_mut(&stream).expect("it is asked of");
        if entry.facts.is_some() && entry.waiting.is_empty() {
            self.turns.in_line.push(stream);
        }
        entry.waiting.push_back(pending);
    }

    /// Asks for a turn: for the streams that somebody waits for, and for other contended ones,
    /// since somebody may want them until it comes.
    pub(super) fn ask_for_turn(&mut self) -> Option<Taking> {
        let count = self.turns.in_line.len().min(MOST_STREAMS);
        let in_line: Vec<_> = self.turns.in_line.drain(..count).collect();
        let mut known: Vec<_> =
            in_line.into_iter().filter_map(|stream| self.known_of(stream)).collect();
        for _ in 0..self.turns.contended.len() {
            if known.len() >= MOST_STREAMS {
                break;
            }
            let Some(stream) = self.turns.contended.pop_front() else { break };
            if self.streams.peek(&stream).is_none_or(|entry| entry.contended == 0) {
                continue;
            }
            self.turns.contended.push_back(stream);
            if !known.iter().any(|(other, _)| *other == stream) {
                known.extend(self.known_of(stream));
            }
        }
        let task = self.ports.store.turn(known.clone())?;
        Some(Taking { known, task })
    }

    /// What is known of a stream that is in memory.
    fn known_of(&self, stream: StreamId) -> Option<(StreamId, Version)> {
        let facts = self.streams.peek(&stream)?.facts.as_ref()?;
        Some((stream, facts.version))
    }

    /// A turn has come, or will not. What is decided in it is appended at once.
    pub(super) fn turned(
        &mut self,
        taking: Taking,
        result: Result<Turn, StoreError>,
    ) -> Option<UnderWay> {
        match result {
            Ok(mut turn) => {
                self.counters.turns.fetch_add(1, Ordering::Relaxed);
                let newer = std::mem::take(&mut turn.newer);
                assert_eq!(newer.len(), taking.known.len(), "one answer for each stream");
                let now = self.ports.clock.now();
                // Beside what is decided already: else those who need no turn would fill each.
                let most = self.open.events + self.limits.batch_events;
                for (known, newer) in taking.known.into_iter().zip(newer) {
                    self.decide_in_turn(known, newer, most, now);
                }
                Some(self.begin(Some(turn)))
            }
            Err(error) if error.kind == StoreErrorKind::Fatal => {
                error!(%error, "the write loop stops");
                self.fail(Batch::default());
                None
            }
            Err(error) => {
                warn!(%error, "no turn was had; its streams are read again");
                for (stream, _) in taking.known {
                    self.ask_again(stream, false);
                }
                None
            }
        }
    }

    /// Brings a stream up to date and decides what waits for it, unless the batch has so many events
    /// already. Nobody else can write the stream, so the turn stands behind every answer.
    fn decide_in_turn(
        &mut self,
        (stream, known): (StreamId, Version),
        newer: Option<Vec<Arc<StoredEvent>>>,
        most: usize,
        now: Timestamp,
    ) {
        // It may have been forgotten meanwhile, or be read anew: the turn knows nothing of that.
        let Some(entry) = self.streams.peek_mut(&stream).filter(|entry| {
            let facts = entry.facts.as_ref().filter(|facts| facts.version == known);
            entry.contended > 0 && !entry.is_dirty() && facts.is_some()
        }) else {
            return;
        };
        let Some(newer) = newer else { return self.ask_again(stream, true) };
        self.turns.left(stream);
        let mut waiting = std::mem::take(&mut entry.waiting);
        let mut facts = entry.facts.take().expect("it was looked at");
        if let Err(error) = load::fold(&mut facts, &newer) {
            return self.unreadable(stream, waiting, &error);
        }
        let quiet = if newer.is_empty() { entry.contended - 1 } else { QUIET };
        while self.open.events < most
            && let Some(mut pending) = waiting.pop_front()
        {
            pending.fresh = true;
            let taken = self.decide(pending, &mut facts, false, now);
            assert!(matches!(taken, Taken::Noted), "the turn stands behind it");
        }
        let entry = self.streams.peek_mut(&stream).expect("nobody removed it");
        entry.facts = Some(facts);
        entry.contended = quiet;
        if !waiting.is_empty() {
            entry.contended = quiet.max(1);
            entry.waiting = waiting;
            self.turns.in_line.push(stream);
        }
        let change = entry.weigh();
        self.cache_bytes = self.cache_bytes.saturating_add_signed(change);
    }

    /// Those who waited in vain for a turn wait again, a bounded number of times, until their
    /// stream is read anew.
    fn ask_again(&mut self, stream: StreamId, conflict: bool) {
        let Some(entry) = self.streams.peek_mut(&stream) else { return };
        if entry.facts.is_none() || entry.is_dirty() || (entry.waiting.is_empty() && !conflict) {
            return;
        }
        let mut waiting = std::mem::take(&mut entry.waiting);
        waiting.iter_mut().for_each(|pending| pending.attempts += 1);
        let attempt = waiting.iter().map(|pending| pending.attempts).max().unwrap_or(1);
        let delay = if conflict { 0 } else { 10 << attempt.min(8) };
        let again = waiting.into_iter().filter_map(|p| self.may_try_again(p, conflict)).collect();
        self.reload(stream, again, Duration::from_millis(delay));
    }
}
