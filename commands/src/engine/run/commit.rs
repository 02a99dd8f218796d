//! Making a batch durable, and what follows when it is or is not.

use std::sync::{Arc, atomic::Ordering};

use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, StreamKind},
    guard::Guard,
};
use tokio::time::{Duration, Instant};
use tracing::{debug, error, warn};

use super::{
    super::{
        CommandError, Pending,
        batch::{Batch, position_of},
        entry::Facts,
        load,
    },
    Loop, Task, UnderWay,
};
use crate::{
    store::{Appended, MAX_CONFLICT_EVENTS, StoreError, StoreErrorKind, Turn},
    trace::{BatchSpan, SpanName},
};

/// Most snapshots on their way to the side store; each is a copy of its stream's state.
const MAX_SAVES: usize = 16;

impl Loop {
    /// Sends the open batch on its way, within a turn if there is one.
    pub(super) fn begin(&mut self, turn: Option<Turn>) -> UnderWay {
        let mut batch = std::mem::take(&mut self.open);
        batch.compact();
        for part in &mut batch.parts {
            let entry = self.streams.get_mut(&part.stream).expect("dirty streams are kept");
            entry.under_way = part.events.len();
            entry.open = 0;
            let facts = entry.facts.as_ref().expect("dirty streams are in memory");
            let since = facts.version - entry.snapshot;
            let every =
                self.limits.snapshot_events.max((entry.weight / self.limits.snapshot_share) as u64);
            let snapshots = matches!(part.stream.kind, StreamKind::Inventory | StreamKind::Gate);
            if snapshots && since >= every {
                part.snapshot = Some(facts.clone());
                entry.snapshot = facts.version;
            }
        }
        if self.tracer.is_some() {
            batch.announce();
        }
        let events = batch.take_events();
        let store = self.ports.store.clone();
        let now = self.ports.clock.now();
        let task: Task<_> = match turn {
            // Also if there is nothing to append: it must come to a good end.
            Some(turn) => turn.append(events, now),
            None if events.is_empty() => Box::pin(async { Ok(Vec::new()) }),
            None => Box::pin(async move { store.append(events, now).await }),
        };
        UnderWay { batch, began: Instant::now(), task }
    }

    /// A batch is durable, or not.
    pub(super) fn finish(&mut self, done: UnderWay, result: Result<Vec<Appended>, StoreError>) {
        let UnderWay { batch, began, .. } = done;
        self.batch_span = self.tell(&batch, began, result.is_ok());
        if result.is_err() {
            self.counters.failed_batches.fetch_add(1, Ordering::Relaxed);
        }
        match result {
            Ok(appended) => {
                if !batch.parts.is_empty() {
                    let micros = began.elapsed().as_micros() as u64;
                    self.counters.batches.fetch_add(1, Ordering::Relaxed);
                    self.counters.commit_micros.fetch_add(micros, Ordering::Relaxed);
                    self.counters.commits.record(micros);
                    self.counters.batch_sizes.record(batch.events as u64);
                }
                // What is not durable yet now was seen by nobody.
                self.glanced &= !self.open.is_empty();
                self.gathering.answered(batch.items.len(), began.elapsed(), Instant::now());
                self.written(batch, appended);
            }
            // What somebody has seen and built upon cannot be decided anew: no event may follow
            // that stands on it. The next start begins with what is durable.
            Err(error)
                if Guard::StoreFailed
                    .sees(self.glanced || error.kind != StoreErrorKind::Unavailable) =>
            {
                error!(%error, "the write loop stops");
                self.fail(batch);
            }
            Err(error) => {
                warn!(%error, "batch not acknowledged; its streams are read again");
                self.undo(batch);
            }
        }
        self.batch_span = None;
    }

    /// Tells of a batch in which sampled commands stand.
    fn tell(&self, batch: &Batch, began: Instant, durable: bool) -> Option<SpanName> {
        let tracer = self.tracer.as_ref()?;
        let first = batch.items.iter().find_map(|item| item.pending.trace.as_ref())?;
        Some(tracer.batch(&BatchSpan {
            parent: first.name(),
            began,
            ended: Instant::now(),
            waited: batch.items.len(),
            streams: batch.parts.len(),
            events: batch.events,
            durable,
        }))
    }

    pub(super) fn written(&mut self, mut batch: Batch, appended: Vec<Appended>) {
        assert_eq!(appended.len(), batch.parts.len(), "one answer for each append");
        let parts = std::mem::take(&mut batch.parts);
        let mut stored: Vec<Vec<Arc<StoredEvent>>> = Vec::with_capacity(parts.len());
        let mut conflicts = Vec::new();
        for (part, outcome) in parts.into_iter().zip(appended) {
            match outcome {
                Appended::Written(events) => {
                    self.counters.events.fetch_add(events.len() as u64, Ordering::Relaxed);
                    self.durable(part.stream, position_of(&events));
                    if let Some(snapshot) = part.snapshot {
                        self.keep_snapshot(part.stream, snapshot);
                    }
                    stored.push(events);
                }
                Appended::Conflict { newer } => {
                    self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                    conflicts.push((part.stream, newer));
                    stored.push(Vec::new());
                }
            }
        }
        let places: std::collections::HashMap<StreamId, usize> = batch.take_places();
        let mut again: Vec<(StreamId, Vec<Box<Pending>>)> =
            conflicts.iter().map(|(stream, _)| (*stream, Vec::new())).collect();
        for item in std::mem::take(&mut batch.items) {
            let stream = item.pending.stream;
            if let Some((_, list)) = again.iter_mut().find(|(s, _)| *s == stream) {
                list.push(item.pending);
                continue;
            }
            match places.get(&stream) {
                Some(at) => self.answer(item, &stored[*at], self.position_of(stream)),
                None if self.is_proven(&item) => {
                    self.answer(item, &[], self.position_of(stream));
                }
                // Only a batch that was under way already when it was asked stands behind it.
                None => self.take(item.pending, self.ports.clock.now()),
            }
        }
        for ((stream, newer), (_, list)) in conflicts.into_iter().zip(again) {
            self.conflict(stream, newer, list);
        }
    }

    pub(super) fn durable(&mut self, stream: StreamId, position: Position) {
        self.counters.position.fetch_max(position.0, Ordering::AcqRel);
        let entry = self.streams.peek_mut(&stream).expect("dirty streams are kept");
        entry.under_way = 0;
        entry.assumed = false;
        if let Some(facts) = entry.facts.as_mut() {
            facts.position = position;
        }
        let change = entry.weigh();
        self.cache_bytes = self.cache_bytes.saturating_add_signed(change);
    }

    pub(super) fn keep_snapshot(&mut self, stream: StreamId, facts: Facts) {
        while self.saves.try_join_next().is_some() {}
        if self.saves.len() >= MAX_SAVES {
            debug!(%stream, "no snapshot: those before it are not kept yet");
            return;
        }
        let side = self.ports.side.clone();
        self.saves.spawn(async move {
            let snapshot = load::encode(facts).await;
            if let Err(error) = side.save_snapshot(stream, snapshot).await {
                warn!(%stream, %error, "snapshot not kept; the next start takes longer");
            }
        });
    }

    /// Another process wrote the stream. If it was taken as empty, what the conflict brings is
    /// all there is, else it is read again. Whoever wrote it will probably do so again: for a while
    /// it is decided in turns.
    pub(super) fn conflict(
        &mut self,
        stream: StreamId,
        newer: Vec<Arc<StoredEvent>>,
        mut again: Vec<Box<Pending>>,
    ) {
        again.extend(self.open.withdraw(stream));
        let entry = self.streams.get_mut(&stream).expect("dirty streams are kept");
        let complete =
            !newer.is_empty() && newer[0].version == 1 && newer.len() < MAX_CONFLICT_EVENTS;
        entry.under_way = 0;
        entry.open = 0;
        if entry.assumed && complete {
            let mut facts = Facts::empty(stream.kind);
            if load::fold(&mut facts, &newer).is_ok() {
                entry.assumed = false;
                entry.facts = Some(facts);
                let now = self.ports.clock.now();
                for pending in again {
                    if let Some(pending) = self.may_try_again(pending, true) {
                        self.take(pending, now);
                    }
                }
                return;
            }
        }
        if !entry.assumed {
            self.turns.contend(stream, entry);
        }
        let again = again.into_iter().filter_map(|p| self.may_try_again(p, true)).collect();
        self.reload(stream, again, Duration::ZERO);
    }

    /// It is not known what of a batch was written: its streams, and what was decided on top of
    /// them, are read and decided again. The keys tell what had happened.
    pub(super) fn undo(&mut self, mut batch: Batch) {
        let mut streams: Vec<StreamId> = batch.parts.iter().map(|part| part.stream).collect();
        streams.extend(batch.items.iter().map(|item| item.pending.stream));
        streams.sort_unstable();
        streams.dedup();
        for stream in streams {
            let mut again = batch.withdraw(stream);
            if Guard::DecidedOnTop.stands() {
                again.extend(self.open.withdraw(stream));
            }
            let attempt = again.iter().map(|p| p.attempts).max().unwrap_or(1);
            let again: Vec<_> =
                again.into_iter().filter_map(|p| self.may_try_again(p, false)).collect();
            let delay = Duration::from_millis(10 << attempt.min(8));
            self.reload(stream, again, delay);
        }
    }

    /// Answers a question that was decided as often as it may be.
    pub(super) fn may_try_again(
        &self,
        pending: Box<Pending>,
        conflict: bool,
    ) -> Option<Box<Pending>> {
        if pending.attempts < self.limits.attempts {
            return Some(pending);
        }
        let attempts = pending.attempts;
        let error =
            if conflict { CommandError::Contended { attempts } } else { CommandError::Unavailable };
        pending.ask.fail(error);
        None
    }
}
