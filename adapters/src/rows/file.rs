//! The file: opened, made, looked at, or moved aside if nobody can use it.

use std::path::{Path, PathBuf};

use hakken_projections::rows::RowError;
use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tracing::warn;

use super::{SqliteRows, is_damaged, unavailable};

/// Marks the file as ours: `HKrm` in ASCII.
const APPLICATION_ID: i64 = 0x484b_726d;
/// Changes with every change of what this file says about builds.
const FORMAT: i64 = 2;
/// The format that knew nothing of `builds.since`.
const WITHOUT_SINCE: i64 = 1;
/// What the writer keeps of the file, in KiB and negative as SQLite wants it: a transaction under
/// load changes more pages than SQLite keeps by itself, and would write them twice.
const WRITER_CACHE: &str = "-32768";
/// Connections for queries.
const READERS: u32 = 4;

/// Why a file cannot be used.
enum Unusable {
    /// It is broken, old, or somebody else's: begin with a fresh one.
    Replace(String),
    Failed(RowError),
}

impl From<sqlx::Error> for Unusable {
    fn from(error: sqlx::Error) -> Self {
        match is_damaged(&error) {
            true => Self::Replace(error.to_string()),
            false => Self::Failed(unavailable(error)),
        }
    }
}

impl SqliteRows {
    /// Opens the file, or makes it. A file that is broken, of another format or not ours is moved
    /// aside (its name with `.old`), with a warning, and a fresh one takes its place.
    pub async fn open(path: &Path) -> Result<Self, RowError> {
        match Self::try_open(path).await {
            Ok(rows) => Ok(rows),
            Err(Unusable::Failed(error)) => Err(error),
            Err(Unusable::Replace(reason)) => {
                warn!(
                    path = %path.display(),
                    reason,
                    "the file of the read models cannot be used: everything is built again"
                );
                move_aside(path).map_err(|error| RowError::Unavailable(Box::new(error)))?;
                Self::try_open(path).await.map_err(|error| match error {
                    Unusable::Failed(error) => error,
                    Unusable::Replace(reason) => RowError::Unavailable(reason.into()),
                })
            }
        }
    }

    async fn try_open(path: &Path) -> Result<Self, Unusable> {
        // What is not synced to disk can be lost in a power cut, and is folded again.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(8_192)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(std::time::Duration::from_secs(10))
            .statement_cache_capacity(256)
            // A statement of many rows keeps what it changes until it has succeeded: that needs no
            // file.
            .pragma("temp_store", "MEMORY")
            .pragma("wal_autocheckpoint", "8000")
            .pragma("journal_size_limit", "67108864");
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None)
                // A commit that met a full disk has ended its transaction already, and its
                // connection would begin no other: another one takes its place.
                .before_acquire(|connection, _| {
                    let is_sound = !connection.is_in_transaction();
                    Box::pin(async move { Ok(is_sound) })
                })
        };
        let writer = options.clone().pragma("cache_size", WRITER_CACHE);
        let writer = pool(1).connect_with(writer).await?;
        if let Err(error) = prepare(&writer).await {
            writer.close().await;
            return Err(error);
        }
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        Ok(Self::over(readers, Some(writer)))
    }

    /// Opens a file without changing anything in it: what is written fails. `deep` reads all of it
    /// and looks for damage. The error is in words: what is wrong with the file.
    pub async fn look(path: &Path, deep: bool) -> Result<Self, String> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(std::time::Duration::from_secs(10))
            .pragma("query_only", "ON");
        let looked = async {
            let mut connection = SqliteConnection::connect_with(&options).await?;
            let application: i64 =
                sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await?;
            let format: i64 =
                sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
            if (application, format) != (APPLICATION_ID, FORMAT) {
                return Ok(Err(format!(
                    "application id {application} and format {format}, this version has \
                     {APPLICATION_ID} and {FORMAT}"
                )));
            }
            if deep {
                let damage: String =
                    sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
                if damage != "ok" {
                    return Ok(Err(damage));
                }
            }
            connection.close().await?;
            let readers = SqlitePoolOptions::new().max_connections(1).connect_with(options);
            Ok(Ok(Self::over(readers.await?, None)))
        };
        looked.await.unwrap_or_else(|error: sqlx::Error| Err(error.to_string()))
    }

    fn over(readers: SqlitePool, writer: Option<SqlitePool>) -> Self {
        Self {
            writer: writer.unwrap_or_else(|| readers.clone()),
            readers,
            #[cfg(test)]
            asked: std::sync::Mutex::default(),
        }
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Checks that the file is ours, and makes the list of builds if it is new.
async fn prepare(writer: &SqlitePool) -> Result<(), Unusable> {
    let mut connection = writer.acquire().await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await?;
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let format: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let is_older = tables > 0 && (application, format) == (APPLICATION_ID, WITHOUT_SINCE);
    if is_older {
        let with_since = format!(
            "BEGIN IMMEDIATE;
             ALTER TABLE builds ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
             PRAGMA user_version = {FORMAT};
             COMMIT;"
        );
        sqlx::raw_sql(AssertSqlSafe(with_since)).execute(&mut *connection).await?;
    } else if tables > 0 && (application, format) != (APPLICATION_ID, FORMAT) {
        return Err(Unusable::Replace(format!(
            "application id {application} and format {format}, \
             expected {APPLICATION_ID} and {FORMAT}"
        )));
    }
    let setup = format!(
        "PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {FORMAT};
         CREATE TABLE IF NOT EXISTS builds (
             id INTEGER PRIMARY KEY AUTOINCREMENT,
             projection TEXT NOT NULL,
             version INTEGER NOT NULL,
             purpose TEXT NOT NULL,
             position INTEGER NOT NULL,
             event TEXT,
             recorded_at INTEGER NOT NULL,
             since INTEGER NOT NULL DEFAULT 0
         );"
    );
    sqlx::raw_sql(AssertSqlSafe(setup)).execute(&mut *connection).await?;
    Ok(())
}

/// Renames a file and what SQLite keeps beside it.
fn move_aside(path: &Path) -> std::io::Result<()> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(with(suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, with(".old"))
}
