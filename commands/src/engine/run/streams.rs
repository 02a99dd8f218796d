//! Reading streams into memory, and reading them again.

use std::collections::VecDeque;

use hakken_domain::{envelope::StreamId, guard::Guard};
use tokio::time::Duration;
use tracing::error;

use super::{
    super::{
        CommandError, Pending,
        entry::{Entry, Facts},
        load::{self, Loaded},
    },
    Loop,
};
use crate::store::StoreError;

impl Loop {
    /// Reads what others may have written of a stream that is in memory, and decides then.
    pub(super) fn read_on(&mut self, stream: StreamId, facts: Facts, mut pending: Box<Pending>) {
        self.readings += 1;
        let reading = self.readings;
        let entry = self.streams.get_mut(&stream).expect("it is being decided");
        entry.reading = reading;
        pending.fresh = true;
        entry.waiting.push_back(pending);
        let known = Loaded { facts, snapshot: entry.snapshot };
        let ports = self.ports.clone();
        self.loads.push(Box::pin(async move {
            (stream, reading, load::read_on(&ports, stream, known).await)
        }));
    }

    pub(super) fn begin_load(&mut self, stream: StreamId, delay: Duration) {
        self.readings += 1;
        let reading = self.readings;
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.reading = reading;
            entry.waiting.iter_mut().for_each(|pending| pending.fresh = true);
        }
        let ports = self.ports.clone();
        self.loads.push(Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            (stream, reading, load::load(&ports, stream).await)
        }));
    }

    /// Forgets a stream and reads it anew; what waits is decided then.
    pub(super) fn reload(&mut self, stream: StreamId, again: Vec<Box<Pending>>, delay: Duration) {
        let mut waiting: VecDeque<_> = again.into();
        let mut contended = 0;
        if let Some(old) = self.streams.pop(&stream) {
            self.cache_bytes = self.cache_bytes.saturating_sub(old.weight);
            waiting.extend(old.waiting);
            contended = old.contended;
        }
        self.turns.left(stream);
        if waiting.is_empty() {
            return;
        }
        self.streams.put(stream, Entry { waiting, contended, ..Entry::loading() });
        self.begin_load(stream, delay);
    }

    /// A stream was read. If it is being read anew since, that is what counts: to put older facts
    /// in the place of newer ones would undo what was decided on them.
    pub(super) fn loaded(
        &mut self,
        stream: StreamId,
        reading: u64,
        loaded: Result<Loaded, StoreError>,
    ) {
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        if Guard::OlderReading.sees(entry.reading != reading) {
            return;
        }
        let waiting = std::mem::take(&mut entry.waiting);
        match loaded {
            Ok(loaded) => {
                entry.facts = Some(loaded.facts);
                entry.snapshot = loaded.snapshot;
                let change = entry.weigh();
                self.cache_bytes = self.cache_bytes.saturating_add_signed(change);
                let now = self.ports.clock.now();
                for pending in waiting {
                    self.take(pending, now);
                }
            }
            Err(error) => self.unreadable(stream, waiting, &error),
        }
    }

    /// A stream cannot be read: whoever asked is told.
    pub(super) fn unreadable(
        &mut self,
        stream: StreamId,
        waiting: VecDeque<Box<Pending>>,
        error: &StoreError,
    ) {
        error!(%stream, %error, "stream cannot be read");
        let weight = self.streams.pop(&stream).map_or(0, |entry| entry.weight);
        self.cache_bytes = self.cache_bytes.saturating_sub(weight);
        for pending in waiting {
            pending.ask.fail(CommandError::Unavailable);
        }
    }
}
