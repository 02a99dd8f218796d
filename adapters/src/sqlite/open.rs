//! Opening a store: whose it is, whether it can be read, what is in it.

use std::{
    fs::{File, OpenOptions as FileOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hakken_commands::store::StoreError;
use hakken_domain::{envelope::Position, time::Timestamp};
use sqlx::{Connection, Executor, SqliteConnection, sqlite::SqliteSynchronous};
use tokio::sync::Mutex;

use super::{
    Reads, Shared, SqliteReader, SqliteStore,
    db::{self, DerivedError, DerivedOpenError, Identity, Schema},
    fault,
    index::Index,
    log::Log,
    side::Side,
    writer::Writer,
};
use crate::{data_dir::DataDir, live::LiveFeed};

/// The events; their application id reads "Hakk".
const SCHEMA: Schema = Schema {
    application_id: 0x4861_6b6b,
    format: 1,
    tables: "CREATE TABLE store (id BLOB NOT NULL) STRICT;
             INSERT INTO store VALUES (randomblob(16));
             CREATE TABLE log (
                 last INTEGER PRIMARY KEY, first INTEGER NOT NULL,
                 crc INTEGER NOT NULL, bytes BLOB NOT NULL
             ) STRICT",
};

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Most bytes that the file of events may have; more is refused like a full disk. None: as
    /// many as the disk takes.
    pub max_events_bytes: Option<u64>,
    /// The newest events are indexed in memory; so many of them become a part of `index.db` at
    /// once.
    pub index_flush_events: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { max_events_bytes: None, index_flush_events: 65_536 }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open for writing.
    #[error(
        "{dir} is in use by another Hakken process: stop that one first, or use another data directory"
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// There is a file, and it is no Hakken store.
    #[error("{file} is not a Hakken event store: choose another data directory")]
    NotAStore {
        /// The file.
        file: PathBuf,
    },
    /// There is nothing to read.
    #[error("{file} does not exist: is this the data directory of a Hakken server?")]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{file} has format {found}, and this version reads formats up to {known}: use the version of Hakken that wrote it, or a newer one"
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The format it has.
        found: i64,
        /// The newest format that is known here.
        known: i64,
    },
    /// What is stored is broken.
    #[error(
        "{file} is damaged: {source}. Keep a copy of the file, then restore it from a backup or a replica"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file cannot be read or written.
    #[error(
        "{file} cannot be opened: {source}. Check that the disk is not full, and that this user may read and write the data directory"
    )]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn unusable(
    file: PathBuf,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OpenError {
    OpenError::Unusable { file, source: error.into() }
}

/// What an error of SQLite while opening the events means.
fn events_failed(dir: &DataDir, error: sqlx::Error) -> OpenError {
    let file = dir.events.clone();
    if fault::is_no_database(&error) {
        OpenError::NotAStore { file }
    } else if fault::is_damaged(&error) {
        OpenError::Damaged { file, source: error.into() }
    } else {
        unusable(file, error)
    }
}

fn store_failed(dir: &DataDir, error: StoreError) -> OpenError {
    let file = dir.events.clone();
    match error.kind {
        hakken_commands::store::StoreErrorKind::Corrupt => {
            OpenError::Damaged { file, source: error.source }
        }
        _ => OpenError::Unusable { file, source: error.source },
    }
}

fn derived_failed(dir: &DataDir, file: &Path, error: DerivedOpenError) -> OpenError {
    match error {
        DerivedOpenError::File(DerivedError::Sqlite(error)) => unusable(file.to_owned(), error),
        DerivedOpenError::File(DerivedError::Io(error)) => unusable(file.to_owned(), error),
        DerivedOpenError::Store(error) => store_failed(dir, error),
    }
}

/// Takes the lock of a data directory, which is made if it is missing.
fn lock(dir: &DataDir) -> Result<File, OpenError> {
    let failed = |error: io::Error| unusable(dir.lock.clone(), error);
    dir.create().map_err(|error| unusable(dir.root.clone(), error))?;
    let file = FileOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&dir.lock)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.root.clone() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Opens the events for writing; creates them if there are none.
async fn open_events(
    dir: &DataDir,
    options: &OpenOptions,
) -> Result<(SqliteConnection, Vec<u8>), OpenError> {
    let failed = |error| events_failed(dir, error);
    // Looked at before anything is changed: opening for writing turns a file to WAL.
    if std::fs::metadata(&dir.events).is_ok_and(|file| file.len() > 0) {
        let mut conn =
            sqlx::ConnectOptions::connect(&db::options(&dir.events)).await.map_err(failed)?;
        let identity = db::identify(&mut conn, &SCHEMA).await.map_err(failed)?;
        conn.close().await.map_err(failed)?;
        known(dir, identity)?;
    }
    let mut conn = db::open_writer(&dir.events, SqliteSynchronous::Full).await.map_err(failed)?;
    // 16 MiB: a checkpoint (two more syncs) every 4 MiB, as by default, is felt in small batches.
    conn.execute("PRAGMA wal_autocheckpoint = 4096").await.map_err(failed)?;
    if known(dir, db::identify(&mut conn, &SCHEMA).await.map_err(failed)?)? {
        db::create(&mut conn, &SCHEMA).await.map_err(failed)?;
    }
    if let Some(bytes) = options.max_events_bytes {
        let page_bytes: i64 =
            sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut conn).await.map_err(failed)?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page_bytes.max(1);
        conn.execute(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")))
            .await
            .map_err(failed)?;
    }
    let id =
        sqlx::query_scalar("SELECT id FROM store").fetch_one(&mut conn).await.map_err(failed)?;
    Ok((conn, id))
}

/// Whether a file is new; an error if it is not ours to write.
fn known(dir: &DataDir, identity: Identity) -> Result<bool, OpenError> {
    let file = dir.events.clone();
    match identity {
        Identity::Empty => Ok(true),
        Identity::Same => Ok(false),
        Identity::OtherFormat(found) => Err(OpenError::Newer { file, found, known: SCHEMA.format }),
        Identity::Foreign => Err(OpenError::NotAStore { file }),
    }
}

async fn last_recorded_at(log: &Log, head: Position) -> Result<Timestamp, StoreError> {
    let newest = log.read_all(Position(head.0.saturating_sub(1)), 1).await?;
    Ok(newest.first().map_or(Timestamp::default(), |event| event.recorded_at))
}

/// Opens a store for writing.
pub(super) async fn open(dir: &DataDir, options: &OpenOptions) -> Result<SqliteStore, OpenError> {
    let lock = lock(dir)?;
    let (conn, id) = open_events(dir, options).await?;
    let failed = |error| store_failed(dir, error);
    let log = Log { pool: db::readers(&dir.events) };
    let head = log.head().await.map_err(failed)?;
    let newest = last_recorded_at(&log, head).await.map_err(failed)?;
    let flush_events = options.index_flush_events.max(1);
    let (index, keeper) = Index::open(&dir.index, &log, head, flush_events)
        .await
        .map_err(|error| derived_failed(dir, &dir.index, error))?;
    let side = Side::open(&dir.side, &id, &log, head)
        .await
        .map_err(|error| derived_failed(dir, &dir.side, error))?;
    Ok(SqliteStore {
        shared: Arc::new(Shared {
            reads: Reads { log, index },
            writer: Mutex::new(Writer::new(conn, head, newest, lock)),
            live: Arc::new(LiveFeed::new(head)),
            side,
        }),
        keeper: tokio::spawn(keeper.keep()),
    })
}

/// Opens a store for reading, while a server may be writing it.
pub(super) async fn open_read_only(dir: &DataDir) -> Result<SqliteReader, OpenError> {
    if !dir.events.is_file() {
        return Err(OpenError::Missing { file: dir.events.clone() });
    }
    let log = Log { pool: db::readers(&dir.events) };
    let failed = |error| events_failed(dir, error);
    let identity = db::identify(&log.pool, &SCHEMA).await.map_err(failed)?;
    if known(dir, identity)? {
        return Err(OpenError::NotAStore { file: dir.events.clone() });
    }
    Ok(SqliteReader { log, index: dir.index.clone() })
}
