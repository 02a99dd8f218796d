//! Appending: the one connection that writes, and what it must know.

use std::{fs::File, sync::Arc};

use hakken_commands::store::{Append, Appended, MAX_CONFLICT_EVENTS, StoreError, StoreErrorKind};
use hakken_domain::{
    envelope::{Position, StoredEvent},
    time::Timestamp,
};
use sqlx::SqliteConnection;

use super::{
    Reads,
    chunk::{self, Span},
    fault::write_failed,
};
use crate::{
    fault::{fatal, unavailable},
    live::LiveFeed,
    plan::{Plan, Planned, plan},
};

/// Most bytes of one batch: SQLite takes no value of a gigabyte.
const MAX_BATCH_BYTES: usize = 512 * 1024 * 1024;

/// The writer's state; one append at a time has it.
pub(super) struct Writer {
    /// None once the store is closed.
    conn: Option<SqliteConnection>,
    head: Position,
    last_recorded_at: Timestamp,
    /// Why nothing more may be written.
    failed: Option<Arc<str>>,
    /// An append that is still under way when the next begins was cut off: what it left on disk
    /// is not known.
    under_way: bool,
    /// Held as long as this process may write.
    lock: Option<File>,
}

impl Writer {
    pub(super) fn new(
        conn: SqliteConnection,
        head: Position,
        last_recorded_at: Timestamp,
        lock: File,
    ) -> Self {
        Self {
            conn: Some(conn),
            head,
            last_recorded_at,
            failed: None,
            under_way: false,
            lock: Some(lock),
        }
    }

    /// Gives up the connection and, after it, the lock.
    pub(super) async fn close(&mut self) -> Result<(), StoreError> {
        if let Some(conn) = self.conn.take() {
            sqlx::Connection::close(conn).await.map_err(unavailable)?;
        }
        self.lock = None;
        Ok(())
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
        self.check_usable()?;
        reads.index.room().await?;
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
        if let Some(newest) = events.last() {
            let position = newest.position;
            let log_crc = self.write(&events).await?;
            self.head = position;
            self.last_recorded_at = recorded_at;
            reads.index.record(&events, log_crc);
            live.publish(events.into());
        }
        Ok(answers)
    }

    /// Writes a batch with one statement, which is a transaction of its own. Answers the checksum
    /// of the last chunk.
    async fn write(&mut self, events: &[Arc<StoredEvent>]) -> Result<u32, StoreError> {
        let size: usize = events.iter().map(|event| event.data.len() + event.meta.len()).sum();
        if size > MAX_BATCH_BYTES {
            return Err(unavailable(format!(
                "a batch of {size} bytes is too large; at most {MAX_BATCH_BYTES} are taken"
            )));
        }
        let (bytes, spans) = chunk::encode(events);
        let log_crc = spans.last().map_or(0, |span| span.crc);
        let conn = self.conn.as_mut().ok_or_else(|| unavailable("it was closed"))?;
        let insert = match spans.as_slice() {
            // Small batches are one chunk, which needs no cutting.
            [one] => {
                sqlx::query("INSERT INTO log (first, last, crc, bytes) VALUES (?1, ?2, ?3, ?4)")
                    .bind(super::log::signed(one.first))
                    .bind(super::log::signed(one.last))
                    .bind(i64::from(one.crc))
                    .bind(bytes)
            }
            _ => sqlx::query(
                "INSERT INTO log (first, last, crc, bytes)
                 SELECT value->>0, value->>1, value->>2, substr(?1, value->>3, value->>4)
                 FROM json_each(?2)",
            )
            .bind(bytes)
            .bind(places(&spans)),
        };
        self.under_way = true;
        let written = insert.execute(conn).await;
        self.under_way = false;
        match written {
            Ok(_) => Ok(log_crc),
            Err(error) => {
                let error = write_failed(error);
                if error.kind == StoreErrorKind::Fatal {
                    tracing::error!(%error, "appending failed; nothing more is written");
                    self.failed = Some(error.source.to_string().into());
                }
                Err(error)
            }
        }
    }
}

/// Where the chunks stand among the bytes, as JSON; SQLite counts from 1.
fn places(spans: &[Span]) -> String {
    let places: Vec<String> = spans
        .iter()
        .map(|Span { first, last, crc, start, length }| {
            format!("[{first},{last},{crc},{},{length}]", start + 1)
        })
        .collect();
    format!("[{}]", places.join(","))
}
