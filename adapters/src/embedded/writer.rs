//! Appending: one batch at a time, and what must be known for that.

use std::{collections::HashSet, sync::Arc};

use hakken_commands::store::{Append, Appended, Imported, MAX_CONFLICT_EVENTS, StoreError};
use hakken_domain::{
    envelope::{Position, StoredEvent},
    time::Timestamp,
};

use super::{Reads, log};
use crate::{
    data_dir::DirLock,
    fault::{fatal, unavailable},
    live::LiveFeed,
    plan::{Plan, Planned, follow_on, plan},
};

/// Most bytes of one batch.
const MAX_BATCH_BYTES: usize = 512 * 1024 * 1024;

/// The writer's state; one append at a time has it.
pub(super) struct Writer {
    head: Position,
    last_recorded_at: Timestamp,
    /// Why nothing more may be written.
    failed: Option<Arc<str>>,
    /// An append that is still under way when the next begins was cut off: what it left on disk
    /// is not known.
    under_way: bool,
    /// Held as long as this process may write.
    lock: Option<DirLock>,
}

impl Writer {
    pub(super) fn new(head: Position, last_recorded_at: Timestamp, lock: DirLock) -> Self {
        Self { head, last_recorded_at, failed: None, under_way: false, lock: Some(lock) }
    }

    /// Gives up the lock.
    pub(super) fn close(&mut self) {
        self.lock = None;
    }

    /// Refuses to go on after a failure: a sync that failed must never be tried again.
    fn check_usable(&mut self) -> Result<(), StoreError> {
        if self.under_way {
            self.failed.get_or_insert_with(|| "an append was cut off".into());
        }
        match &self.failed {
            Some(reason) => Err(fatal(format!(
                "it failed before, and nothing more is written until a restart: {reason}"
            ))),
            None => Ok(()),
        }
    }

    /// Appends, makes it durable, and only then tells the index and the live feed.
    pub(super) async fn append(
        &mut self,
        reads: &Reads,
        live: &LiveFeed,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        self.ready(reads).await?;
        let streams: Vec<_> = batch.iter().map(|append| append.stream).collect();
        let heads = reads.index.heads(&streams).await?;
        let recorded_at = now.max(self.last_recorded_at);
        let Plan { events, outcomes } = plan(batch, &heads, self.head, recorded_at);
        let mut answers = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            answers.push(match outcome {
                Planned::Write(range) => Appended::Written(events[range].to_vec()),
                // Read before anything is written, so that a failure leaves nothing behind.
                Planned::Conflict { stream, expected } => Appended::Conflict {
                    newer: reads.read_stream(stream, expected, MAX_CONFLICT_EVENTS).await?,
                },
            });
        }
        self.record(reads, live, events).await?;
        Ok(answers)
    }

    /// Takes events that another store recorded.
    pub(super) async fn import(
        &mut self,
        reads: &Reads,
        live: &LiveFeed,
        events: Vec<Arc<StoredEvent>>,
    ) -> Result<Imported, StoreError> {
        self.ready(reads).await?;
        let mut seen = HashSet::new();
        let streams = events.iter().map(|event| event.stream);
        let streams: Vec<_> = streams.filter(|stream| seen.insert(*stream)).collect();
        let heads = reads.index.heads(&streams).await?;
        let mut heads = streams.into_iter().zip(heads).collect();
        match follow_on(events, &mut heads, self.head, self.last_recorded_at) {
            Ok(events) => self.record(reads, live, events).await.map(|()| Imported::Taken),
            Err(position) => Ok(Imported::DoesNotFollow(position)),
        }
    }

    /// Waits until there is room for more, unless nothing may be written.
    async fn ready(&mut self, reads: &Reads) -> Result<(), StoreError> {
        self.check_usable()?;
        if self.lock.is_none() {
            return Err(unavailable("it was closed"));
        }
        reads.index.room().await
    }

    /// Makes events durable and tells of them.
    async fn record(
        &mut self,
        reads: &Reads,
        live: &LiveFeed,
        events: Vec<Arc<StoredEvent>>,
    ) -> Result<(), StoreError> {
        let Some(newest) = events.last() else { return Ok(()) };
        let (position, recorded_at) = (newest.position, newest.recorded_at);
        let log_crc = self.write(&reads.log, &events).await?;
        self.head = position;
        self.last_recorded_at = recorded_at;
        reads.index.record(&events, log_crc);
        live.publish(events.into());
        Ok(())
    }

    /// Writes a batch durably. Answers the checksum of its last frame.
    async fn write(
        &mut self,
        log: &log::Log,
        events: &[Arc<StoredEvent>],
    ) -> Result<u32, StoreError> {
        let size: usize = events.iter().map(|event| log::event_bytes(event)).sum();
        if size > MAX_BATCH_BYTES {
            return Err(unavailable(format!(
                "a batch of {size} bytes is too large; at most {MAX_BATCH_BYTES} are taken"
            )));
        }
        self.under_way = true;
        let written = log.append(events.to_vec()).await;
        self.under_way = false;
        if let Err(error) = &written {
            tracing::error!(%error, "appending failed; nothing more is written");
            self.failed = Some(error.source.to_string().into());
        }
        written
    }
}
