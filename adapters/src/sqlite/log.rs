//! Reading the log.

use std::sync::Arc;

use futures_util::TryStreamExt;
use hakken_commands::store::StoreError;
use hakken_domain::envelope::{Position, StoredEvent, StreamKind};
use hakken_projections::feed::Interest;
use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::{
    chunk::{Chunk, Damage},
    db,
    fault::read_failed,
};
use crate::fault::corrupt;

/// A page ends with the event that brings it to so many bytes, whatever its limit.
pub(super) const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Most chunks asked for at once.
const MAX_CHUNKS: i64 = 256;

type Events = Vec<Arc<StoredEvent>>;

/// The log, read through a small pool of connections.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) pool: SqlitePool,
}

impl Log {
    /// The newest position.
    pub(super) async fn head(&self) -> Result<Position, StoreError> {
        let (head,): (Option<i64>,) = sqlx::query_as("SELECT max(last) FROM log")
            .fetch_one(&self.pool)
            .await
            .map_err(read_failed)?;
        Ok(Position(head.map_or(0, unsigned)))
    }

    /// Whether SQLite finds the file sound. Reads the whole file: for when there is doubt.
    pub(super) async fn check_structure(&self) -> Result<(), StoreError> {
        match db::first_damage(&self.pool).await.map_err(read_failed)? {
            None => Ok(()),
            Some(found) => Err(corrupt(found)),
        }
    }

    /// The checksum of the chunk that ends at a position, if one does.
    pub(super) async fn checksum_at(&self, last: u64) -> Result<Option<i64>, StoreError> {
        sqlx::query_scalar("SELECT crc FROM log WHERE last = ?1")
            .bind(signed(last))
            .fetch_optional(&self.pool)
            .await
            .map_err(read_failed)
    }

    /// Events after a position, at most `limit` and about [`PAGE_BYTES`].
    pub(super) async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Events, StoreError> {
        let mut page = Page { events: Vec::new(), after: after.0, bytes: 0, limit };
        // Chunks hold one event or a hundred: ask for few at first, then for more.
        let mut chunks = i64::try_from(limit).unwrap_or(i64::MAX).min(8);
        while !page.is_full() {
            let mut rows = sqlx::query(
                "SELECT first, last, crc, bytes FROM log WHERE last > ?1 ORDER BY last LIMIT ?2",
            )
            .bind(signed(page.after))
            .bind(chunks)
            .fetch(&self.pool);
            let mut found = 0;
            while !page.is_full() {
                let Some(row) = rows.try_next().await.map_err(read_failed)? else { break };
                page.take(&chunk(&row)?)?;
                found += 1;
            }
            if found < chunks {
                break;
            }
            chunks = (chunks * 4).min(MAX_CHUNKS);
        }
        Ok(page.events)
    }

    /// Whole chunks from the one with the next position on, until they have `limit` positions or
    /// about [`PAGE_BYTES`]; of each the events that are wanted, and the last.
    pub(super) async fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        interest: Interest,
    ) -> Result<Events, StoreError> {
        let mut page = Page { events: Vec::new(), after: after.0, bytes: 0, limit };
        let mut rows = sqlx::query(
            "SELECT first, last, crc, bytes FROM log WHERE last > ?1 ORDER BY last LIMIT ?2",
        )
        .bind(signed(after.0))
        .bind(MAX_CHUNKS)
        .fetch(&self.pool);
        while page.bytes < PAGE_BYTES
            && page.after - after.0 < limit as u64
            && let Some(row) = rows.try_next().await.map_err(read_failed)?
        {
            page.take_wanted(&chunk(&row)?, interest)?;
        }
        Ok(page.events)
    }

    /// Some whole chunks after one that ends at `after`, and the checksum of the last.
    pub(super) async fn read_indexable(
        &self,
        after: Position,
    ) -> Result<(Events, u32), StoreError> {
        let mut page = Page { events: Vec::new(), after: after.0, bytes: 0, limit: usize::MAX };
        let mut crc = 0;
        let mut rows = sqlx::query(
            "SELECT first, last, crc, bytes FROM log WHERE last > ?1 ORDER BY last LIMIT ?2",
        )
        .bind(signed(after.0))
        .bind(MAX_CHUNKS)
        .fetch(&self.pool);
        while page.bytes < PAGE_BYTES
            && let Some(row) = rows.try_next().await.map_err(read_failed)?
        {
            let chunk = chunk(&row)?;
            page.take_whole(&chunk)?;
            crc = chunk.crc;
        }
        Ok((page.events, crc))
    }

    /// The events at these ascending positions, or as many of the first of them as make about
    /// [`PAGE_BYTES`].
    pub(super) async fn read_at(&self, positions: &[u64]) -> Result<Events, StoreError> {
        let mut events: Events = Vec::with_capacity(positions.len());
        let mut wanted = positions.iter().copied().peekable();
        let mut bytes = 0;
        let mut rows = sqlx::query(
            "SELECT first, last, crc, bytes FROM log WHERE last IN (
                 SELECT (SELECT min(last) FROM log WHERE last >= value) FROM json_each(?1)
             ) ORDER BY last",
        )
        .bind(numbers(positions))
        .fetch(&self.pool);
        while bytes < PAGE_BYTES
            && let Some(row) = rows.try_next().await.map_err(read_failed)?
        {
            let found =
                chunk(&row)?.decode_some(|position| wanted.next_if_eq(&position).is_some())?;
            bytes += found.iter().map(|event| event.data.len() + event.meta.len()).sum::<usize>();
            events.extend(found);
        }
        Ok(events)
    }
}

/// A page of the log that is being filled.
struct Page {
    events: Events,
    after: u64,
    bytes: usize,
    limit: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= PAGE_BYTES
    }

    /// Takes what the page still lacks of the next chunk.
    fn take(&mut self, chunk: &Chunk) -> Result<(), Damage> {
        if chunk.first > self.after + 1 {
            return Err(Damage::Gap { after: self.after, first: chunk.first });
        }
        let after = self.after;
        for event in chunk.decode_some(|position| position > after)? {
            if !self.is_full() {
                self.push(event);
            }
        }
        Ok(())
    }

    /// Takes the whole chunk, which begins where the page ends.
    fn take_whole(&mut self, chunk: &Chunk) -> Result<(), Damage> {
        if chunk.first != self.after + 1 {
            return Err(Damage::Gap { after: self.after, first: chunk.first });
        }
        chunk.decode()?.into_iter().for_each(|event| self.push(event));
        Ok(())
    }

    /// Takes what is wanted of the next chunk, and its last event.
    fn take_wanted(&mut self, chunk: &Chunk, interest: Interest) -> Result<(), Damage> {
        if chunk.first > self.after + 1 {
            return Err(Damage::Gap { after: self.after, first: chunk.first });
        }
        let (after, last) = (self.after, chunk.last);
        let is_wanted = |position: u64, name: &[u8], kind: &[u8]| {
            let of_stream = |wanted: &StreamKind| {
                name.strip_prefix(wanted.as_str().as_bytes())
                    .is_some_and(|rest| rest.first() == Some(&b'-'))
            };
            position == last
                || position > after
                    && interest.streams.iter().any(of_stream)
                    && !interest.passes_over.iter().any(|over| over.as_bytes() == kind)
        };
        self.events.extend(chunk.decode_where(is_wanted)?);
        self.after = last;
        self.bytes += chunk.bytes.len();
        Ok(())
    }

    fn push(&mut self, event: Arc<StoredEvent>) {
        self.after = event.position.0;
        self.bytes += event.data.len() + event.meta.len();
        self.events.push(event);
    }
}

fn chunk(row: &SqliteRow) -> Result<Chunk, StoreError> {
    let number = |column| row.try_get::<i64, _>(column).map_err(read_failed);
    Ok(Chunk {
        first: unsigned(number(0)?),
        last: unsigned(number(1)?),
        // A number beyond 32 bits is no checksum of ours and must not be cut down to one.
        crc: u32::try_from(number(2)?).map_err(|_| Damage::Checksum {
            first: unsigned(number(0).unwrap_or(0)),
            last: unsigned(number(1).unwrap_or(0)),
        })?,
        bytes: row.try_get::<Vec<u8>, _>(3).map_err(read_failed)?.into(),
    })
}

/// SQLite's integers are signed. Positions never come near the difference.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A negative position is damage; 0 is no position either, and is refused as such.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A JSON array, for `json_each`.
pub(super) fn numbers(numbers: &[u64]) -> String {
    let mut json = String::with_capacity(numbers.len() * 9 + 2);
    json.push('[');
    for (at, number) in numbers.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        json.push_str(&number.to_string());
    }
    json.push(']');
    json
}
