//! Snapshots and checkpoints, in a file of their own: it is written without syncs, may be deleted
//! while no server runs, and is replaced when it is broken.
//!
//! A checkpoint is saved after the events it stands for are durable, so one that is lost is only
//! behind, and one that is found is never ahead; unless somebody put an older `events.db` back.
//! Then everything here may tell of events that no longer exist, and is thrown away.

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
    db::{self, DerivedError, Schema},
    fault::read_failed,
    log::{signed, unsigned},
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
pub(super) struct Side {
    pool: SqlitePool,
    /// Streams that have a snapshot: most have none, and asking for it then costs no read.
    streams: Mutex<HashSet<StreamId>>,
}

impl Side {
    /// Opens the side file of the store with this id, whose newest event is at `head`.
    pub(super) async fn open(
        path: &Path,
        store_id: &[u8],
        head: Position,
    ) -> Result<Self, DerivedError> {
        let mut conn = db::open_derived(path, &SCHEMA, SqliteSynchronous::Off).await?;
        let fits = match fits(&mut conn, store_id, head).await {
            Err(error) if !super::fault::is_damaged(&error) => return Err(error.into()),
            fits => fits.unwrap_or(false),
        };
        if !fits {
            tracing::warn!(
                file = %path.display(),
                "damaged, or of other events than those in events.db; replaced"
            );
            conn.close().await?;
            db::remove(path)?;
            conn = db::open_derived(path, &SCHEMA, SqliteSynchronous::Off).await?;
        }
        remember_store(&mut conn, store_id, head).await?;
        let names: Vec<String> =
            sqlx::query_scalar("SELECT stream FROM snapshots").fetch_all(&mut conn).await?;
        conn.close().await?;
        let options = db::options(path).synchronous(SqliteSynchronous::Off);
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let streams = names.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Self { pool, streams: Mutex::new(streams) })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) async fn load_snapshot(
        &self,
        stream: StreamId,
    ) -> Result<Option<Snapshot>, StoreError> {
        if !self.streams.lock().unwrap_or_else(PoisonError::into_inner).contains(&stream) {
            return Ok(None);
        }
        let row =
            sqlx::query("SELECT version, format, crc, bytes FROM snapshots WHERE stream = ?1")
                .bind(stream.to_string())
                .fetch_optional(&self.pool)
                .await
                .map_err(read_failed)?;
        let Some(row) = row else { return Ok(None) };
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

    pub(super) async fn save_snapshot(
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
        sqlx::query("UPDATE store SET head = max(head, ?1)")
            .bind(signed(head.0))
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(stream);
        Ok(())
    }

    pub(super) async fn load_checkpoint(&self, process: &str) -> Result<Position, StoreError> {
        let position: Option<i64> =
            sqlx::query_scalar("SELECT position FROM checkpoints WHERE process = ?1")
                .bind(process)
                .fetch_optional(&self.pool)
                .await
                .map_err(read_failed)?;
        Ok(Position(position.map_or(0, unsigned)))
    }

    pub(super) async fn save_checkpoint(
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

/// Whether what is here was derived from these events.
async fn fits(
    conn: &mut SqliteConnection,
    store_id: &[u8],
    head: Position,
) -> Result<bool, sqlx::Error> {
    let known: Option<(Vec<u8>, i64)> =
        sqlx::query_as("SELECT id, head FROM store").fetch_optional(&mut *conn).await?;
    let farthest: Option<i64> =
        sqlx::query_scalar("SELECT max(position) FROM checkpoints").fetch_one(&mut *conn).await?;
    let damage: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *conn).await?;
    Ok(damage == "ok"
        && farthest.is_none_or(|position| unsigned(position) <= head.0)
        && known.is_none_or(|(id, seen)| id == store_id && unsigned(seen) <= head.0))
}

async fn remember_store(
    conn: &mut SqliteConnection,
    store_id: &[u8],
    head: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO store VALUES (?1, ?2) ON CONFLICT DO UPDATE SET head = excluded.head")
        .bind(store_id)
        .bind(signed(head.0))
        .execute(conn)
        .await?;
    Ok(())
}
