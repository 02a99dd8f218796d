//! What the two database files have in common: how they are opened, told apart and created.

use std::{fs, io, path::Path, time::Duration};

use hakken_commands::store::StoreError;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::fault;

/// How long a statement waits for a lock. Nobody but an operator's own tools takes one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What a kind of file is known by, and what a new one holds.
pub(crate) struct Schema {
    /// Stands in the file's header.
    pub(crate) application_id: i64,
    /// Stands in the file's header; goes up when the tables change.
    pub(crate) format: i64,
    /// Creates the tables.
    pub(crate) tables: &'static str,
}

/// What a file turned out to be.
enum Identity {
    /// Nothing yet.
    Empty,
    /// Of this kind and format.
    Same,
    /// Of another kind or format.
    Other,
}

/// SQLite's integers are signed. Positions never come near the difference.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A negative position is damage; 0 is no position either, and is refused as such.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// The one connection that writes a file, which is made if it is missing.
async fn open_writer(
    path: &Path,
    synchronous: SqliteSynchronous,
) -> Result<SqliteConnection, sqlx::Error> {
    options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .connect()
        .await
}

/// A few connections that only read. They open when they are first needed.
pub(crate) fn readers(path: &Path) -> SqlitePool {
    // Not opened as read-only: a reader that comes first after a crash has to recover the WAL.
    let options = options(path).pragma("query_only", "ON").row_buffer_size(8);
    SqlitePoolOptions::new()
        .max_connections(4)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

async fn identify<'c, E>(conn: E, schema: &Schema) -> Result<Identity, sqlx::Error>
where
    E: Executor<'c, Database = sqlx::Sqlite>,
{
    let (application_id, format, tables): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id),
                (SELECT user_version FROM pragma_user_version),
                (SELECT count(*) FROM sqlite_schema)",
    )
    .fetch_one(conn)
    .await?;
    Ok(match (application_id, format, tables) {
        (0, 0, 0) => Identity::Empty,
        (id, format, _) if id == schema.application_id && format == schema.format => Identity::Same,
        _ => Identity::Other,
    })
}

/// Creates the tables, all or none.
async fn create(conn: &mut SqliteConnection, schema: &Schema) -> Result<(), sqlx::Error> {
    let Schema { application_id, format, tables } = schema;
    let mut transaction = conn.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "{tables}; PRAGMA application_id = {application_id}; PRAGMA user_version = {format}"
    )))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Opens a file whose contents are derived from the events. One that is broken, foreign or of
/// another format is replaced by a fresh one.
pub(crate) async fn open_derived(
    path: &Path,
    schema: &Schema,
    synchronous: SqliteSynchronous,
) -> Result<SqliteConnection, DerivedError> {
    match open_existing(path, schema, synchronous).await {
        Ok(Some(conn)) => return Ok(conn),
        Ok(None) => {
            tracing::warn!(file = %path.display(), "not a file of this version of Hakken; replaced");
        }
        Err(error) if fault::is_damaged(&error) => {
            tracing::warn!(file = %path.display(), %error, "damaged; replaced");
        }
        Err(error) => return Err(error.into()),
    }
    remove(path)?;
    let mut conn = open_writer(path, synchronous).await?;
    create(&mut conn, schema).await?;
    Ok(conn)
}

async fn open_existing(
    path: &Path,
    schema: &Schema,
    synchronous: SqliteSynchronous,
) -> Result<Option<SqliteConnection>, sqlx::Error> {
    let mut conn = open_writer(path, synchronous).await?;
    match identify(&mut conn, schema).await? {
        Identity::Empty => create(&mut conn, schema).await?,
        Identity::Same => {}
        Identity::Other => {
            conn.close().await?;
            return Ok(None);
        }
    }
    Ok(Some(conn))
}

/// Why a derived file cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DerivedError {
    #[error(transparent)]
    Sqlite(#[from] sqlx::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a derived file cannot be brought in line with the events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DerivedOpenError {
    #[error(transparent)]
    File(#[from] DerivedError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes a database file and what SQLite keeps beside it.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", ""] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What SQLite finds wrong with a file's structure, if anything. Reads the whole file.
pub(crate) async fn first_damage<'c, E>(conn: E) -> Result<Option<String>, sqlx::Error>
where
    E: Executor<'c, Database = sqlx::Sqlite>,
{
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(conn).await?;
    Ok((found != "ok").then_some(found))
}
