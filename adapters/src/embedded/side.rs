//! Snapshots and checkpoints, in a file of their own: it is written without syncs, may be deleted
//! while no server runs, and is replaced when it is broken.
//!
//! A checkpoint is saved after the events it stands for are durable, so one that is lost is only
//! behind, and one that is found is never ahead, unless events are lost: then the store is refused
//! (see `open`).

use std::{
    collections::HashSet,
    path::Path,
    sync::{Mutex, PoisonError},
};

use hakken_commands::store::{Snapshot, StoreError};
use hakken_domain::envelope::{Position, StreamId};
use sqlx::{
    Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    db::{self, DerivedError, DerivedOpenError, Schema, signed, unsigned},
    fault::{is_damaged, read_failed},
};
use crate::fault::unavailable;

/// The side file; its application id reads "Haks".
const SCHEMA: Schema = Schema {
    application_id: 0x4861_6b73,
    format: 1,
    tables: "CREATE TABLE store (id BLOB PRIMARY KEY, head INTEGER NOT NULL) STRICT;
             CREATE TABLE snapshots (
                 stream TEXT PRIMARY KEY, version INTEGER NOT NULL, format INTEGER NOT NULL,
                 crc INTEGER NOT NULL, bytes BLOB NOT NULL
             ) STRICT;
             CREATE TABLE checkpoints (
                 process TEXT PRIMARY KEY, position INTEGER NOT NULL
             ) STRICT",
};

/// The side file.
pub(crate) struct Side {
    pool: SqlitePool,
    /// Streams that have a snapshot: most have none, and asking for it then costs no read.
    streams: Mutex<HashSet<StreamId>>,
}

impl Side {
    /// Opens the side file of the store with this id, whose newest event is at `head`.
    pub(crate) async fn open(
        path: &Path,
        store_id: &[u8],
        head: Position,
    ) -> Result<Self, DerivedOpenError> {
        let mut conn = db::open_derived(path, &SCHEMA, SqliteSynchronous::Off).await?;
        let fit = match fit(&mut conn, store_id, head).await {
            Err(error) if is_damaged(&error) => Fit::Damaged,
            fit => fit.map_err(DerivedError::from)?,
        };
        if let Some(problem) = fit.problem() {
            tracing::warn!(file = %path.display(), problem, "replaced by a fresh file");
            conn.close().await.map_err(DerivedError::from)?;
            db::remove(path).map_err(DerivedError::from)?;
            conn = db::open_derived(path, &SCHEMA, SqliteSynchronous::Off).await?;
        }
        let names = prepare(&mut conn, store_id, head).await.map_err(DerivedError::from)?;
        conn.close().await.map_err(DerivedError::from)?;
        let options = db::options(path).synchronous(SqliteSynchronous::Off);
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            // A commit that met a full disk has ended its transaction already, and its
            // connection would begin no other: another one takes its place.
            .before_acquire(|connection, _| {
                let is_sound = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_sound) })
            })
            .connect_lazy_with(options);
        let streams = names.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Self { pool, streams: Mutex::new(streams) })
    }

    /// Notes how far the events go, so that a loss of the newest is noticed at the next start.
    pub(crate) async fn close(&self, head: Position) {
        let noted = self.note_head(&self.pool, head).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "side.db could not be brought up to date");
        }
        self.pool.close().await;
    }

    async fn note_head<'c, E>(&self, conn: E, head: Position) -> Result<(), StoreError>
    where
        E: sqlx::Executor<'c, Database = sqlx::Sqlite>,
    {
        sqlx::query("UPDATE store SET head = max(head, ?1)")
            .bind(signed(head.0))
            .execute(conn)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    pub(crate) async fn load_snapshot(
        &self,
        stream: StreamId,
    ) -> Result<Option<Snapshot>, StoreError> {
        if !self.streams.lock().unwrap_or_else(PoisonError::into_inner).contains(&stream) {
            return Ok(None);
        }
        let found =
            sqlx::query("SELECT version, format, crc, bytes FROM snapshots WHERE stream = ?1")
                .bind(stream.to_string())
                .fetch_optional(&self.pool)
                .await;
        let row = match found {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            // Without it the stream is read from its start, which always works.
            Err(error) if is_damaged(&error) => {
                tracing::warn!(%stream, %error, "side.db is damaged; a snapshot is not used");
                return Ok(None);
            }
            Err(error) => return Err(read_failed(error)),
        };
        let number = |column| row.try_get::<i64, _>(column).map_err(read_failed);
        let (version, format, crc) = (number(0)?, number(1)?, number(2)?);
        let bytes: Vec<u8> = row.try_get(3).map_err(read_failed)?;
        if crc != i64::from(checksum(stream, version, format, &bytes)) {
            tracing::warn!(%stream, "a snapshot is damaged and is not used");
            return Ok(None);
        }
        let format = u32::try_from(format).unwrap_or(0);
        Ok(Some(Snapshot { version: unsigned(version), format, bytes: bytes.into() }))
    }

    pub(crate) async fn save_snapshot(
        &self,
        stream: StreamId,
        snapshot: Snapshot,
        head: Position,
    ) -> Result<(), StoreError> {
        let (version, format) = (signed(snapshot.version), i64::from(snapshot.format));
        let crc = checksum(stream, version, format, &snapshot.bytes);
        let mut transaction = self.pool.begin().await.map_err(unavailable)?;
        sqlx::query(
            "INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (stream) DO UPDATE
             SET version = excluded.version, format = excluded.format, crc = excluded.crc,
                 bytes = excluded.bytes",
        )
        .bind(stream.to_string())
        .bind(version)
        .bind(format)
        .bind(i64::from(crc))
        .bind(snapshot.bytes.as_ref())
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        self.note_head(&mut *transaction, head).await?;
        transaction.commit().await.map_err(unavailable)?;
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(stream);
        Ok(())
    }

    pub(crate) async fn load_checkpoint(&self, process: &str) -> Result<Position, StoreError> {
        let position: Option<i64> =
            sqlx::query_scalar("SELECT position FROM checkpoints WHERE process = ?1")
                .bind(process)
                .fetch_optional(&self.pool)
                .await
                .map_err(read_failed)?;
        Ok(Position(position.map_or(0, unsigned)))
    }

    pub(crate) async fn save_checkpoint(
        &self,
        process: &str,
        position: Position,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO checkpoints VALUES (?1, ?2)
             ON CONFLICT (process) DO UPDATE SET position = excluded.position",
        )
        .bind(process)
        .bind(signed(position.0))
        .execute(&self.pool)
        .await
        .map_err(unavailable)?;
        Ok(())
    }
}

fn checksum(stream: StreamId, version: i64, format: i64, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(stream.to_string().as_bytes());
    crc.update(&version.to_le_bytes());
    crc.update(&format.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

/// How the side file goes with the events.
enum Fit {
    Good,
    Damaged,
    /// Of another store.
    Foreign,
    /// It has seen later events than there are.
    Ahead,
}

impl Fit {
    fn problem(&self) -> Option<&'static str> {
        match self {
            Self::Good => None,
            Self::Damaged => Some("damaged"),
            Self::Foreign => Some("of another store"),
            Self::Ahead => Some("of later events than there are (was an older backup put back?)"),
        }
    }
}

/// Why the next start will throw a side file away, if it will.
pub(super) async fn problem(
    conn: &mut SqliteConnection,
    store_id: &[u8],
    head: Position,
) -> Result<Option<String>, sqlx::Error> {
    Ok(fit(conn, store_id, head).await?.problem().map(ToOwned::to_owned))
}

async fn fit(
    conn: &mut SqliteConnection,
    store_id: &[u8],
    head: Position,
) -> Result<Fit, sqlx::Error> {
    if db::first_damage(&mut *conn).await?.is_some() {
        return Ok(Fit::Damaged);
    }
    let known: Option<(Vec<u8>, i64)> =
        sqlx::query_as("SELECT id, head FROM store").fetch_optional(&mut *conn).await?;
    let checkpoint: Option<i64> =
        sqlx::query_scalar("SELECT max(position) FROM checkpoints").fetch_one(&mut *conn).await?;
    let Some((id, seen)) = known else { return Ok(Fit::Good) };
    Ok(if id != store_id {
        Fit::Foreign
    } else if seen.max(checkpoint.unwrap_or(0)) > signed(head.0) {
        Fit::Ahead
    } else {
        Fit::Good
    })
}

/// How far a side file has seen the events of the store with this id. None if there is no telling.
pub(super) async fn seen(path: &Path, store_id: &[u8]) -> Option<Position> {
    if !path.is_file() {
        return None;
    }
    let pool = db::readers(path);
    // Whoever answers events has seen them.
    let furthest = "SELECT id, max(head, coalesce((SELECT max(position) FROM checkpoints), 0))
        FROM store";
    let known = sqlx::query_as(furthest).fetch_optional(&pool).await;
    pool.close().await;
    let (id, seen): (Vec<u8>, i64) = known.ok()??;
    (id == store_id).then_some(Position(unsigned(seen)))
}

/// The checkpoints in a side file of the store with this id. None if there is no telling.
pub(super) async fn checkpoints(path: &Path, store_id: &[u8]) -> Vec<(String, Position)> {
    if !path.is_file() {
        return Vec::new();
    }
    let pool = db::readers(path);
    let found: Result<Vec<(String, i64)>, _> = sqlx::query_as(
        "SELECT process, position FROM checkpoints
         WHERE EXISTS (SELECT 1 FROM store WHERE id = ?1)",
    )
    .bind(store_id)
    .fetch_all(&pool)
    .await;
    pool.close().await;
    let known = |(process, position)| (process, Position(unsigned(position)));
    found.unwrap_or_default().into_iter().map(known).collect()
}

/// Notes whose events these are and how far they go. Answers the streams with a snapshot.
async fn prepare(
    conn: &mut SqliteConnection,
    store_id: &[u8],
    head: Position,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query("INSERT INTO store VALUES (?1, ?2) ON CONFLICT DO UPDATE SET head = excluded.head")
        .bind(store_id)
        .bind(signed(head.0))
        .execute(&mut *conn)
        .await?;
    sqlx::query_scalar("SELECT stream FROM snapshots").fetch_all(conn).await
}
