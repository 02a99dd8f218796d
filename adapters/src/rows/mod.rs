//! The rows of the read models in one SQLite file, apart from the events. Nothing in it is lost
//! when it is deleted: everything is folded again.
//!
//! Each build of a projection has its own tables, whose names end in the build's number. Rows go
//! in and out in bulk, in few statements. One connection writes; queries have
//! their own, so that they go on while a rebuild writes.

mod sql;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{FutureExt, future::BoxFuture};
use hakken_domain::{envelope::Position, names::EventId, time::Timestamp};
use hakken_projections::rows::{
    Build, BuildId, Changes, Checkpoint, ColumnKind, Filter, Key, Purpose, Query, Row, RowError,
    RowStore, Table, Tables, Value,
};
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, Sqlite, SqliteConnection, SqlitePool,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
        SqliteSynchronous,
    },
};
use tracing::warn;

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
/// Bytes of JSON in one statement: enough to be fast, small beside the memory of a process.
const MAX_STATEMENT_BYTES: usize = 8 << 20;

/// Every build.
const BUILDS: &str = "SELECT id, projection, version, purpose, position, event, recorded_at, since
     FROM builds ORDER BY id";

/// Rows of one statement that puts them.
const CHUNK: usize = 64;

/// A row store in one SQLite file.
#[derive(Debug)]
pub struct SqliteRows {
    writer: SqlitePool,
    readers: SqlitePool,
    /// What was asked, so that a test can look at SQLite's plans.
    #[cfg(test)]
    asked: std::sync::Mutex<Vec<(BuildId, Query)>>,
}

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

/// SQLITE_CORRUPT and SQLITE_NOTADB, whatever their extended code; and values of another type than
/// their column's, which nobody wrote.
fn is_damaged(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<i32>().ok());
            matches!(code.map(|code| code & 0xff), Some(11 | 26))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

fn unavailable(error: sqlx::Error) -> RowError {
    if is_damaged(&error) {
        let text = format!(
            "their file is damaged ({error}). Stop the server, delete read-models.db and what \
             stands beside it (-wal, -shm), and start again: nothing is lost, since they are made \
             anew from the events"
        );
        return RowError::Unavailable(text.into());
    }
    RowError::Unavailable(Box::new(error))
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
        Ok(Self {
            writer,
            readers,
            #[cfg(test)]
            asked: std::sync::Mutex::default(),
        })
    }

    /// The builds in a file, without changing anything in it. `deep` reads all of it and looks for
    /// damage. The error is in words: what is wrong with the file.
    pub async fn look(path: &Path, deep: bool) -> Result<Vec<Build>, String> {
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
            let rows = sqlx::query(BUILDS).fetch_all(&mut connection).await?;
            let builds: Vec<Option<Build>> =
                rows.iter().map(read_build).collect::<Result<_, _>>()?;
            connection.close().await?;
            Ok(Ok(builds.into_iter().flatten().collect()))
        };
        looked.await.unwrap_or_else(|error: sqlx::Error| Err(error.to_string()))
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

fn signed(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

fn read_build(row: &SqliteRow) -> Result<Option<Build>, sqlx::Error> {
    let event: Option<String> = row.try_get(5)?;
    let purpose: String = row.try_get(3)?;
    let Some(purpose) = Purpose::from_stored(&purpose) else { return Ok(None) };
    let version: i64 = row.try_get(2)?;
    let position: i64 = row.try_get(4)?;
    let checkpoint = Checkpoint {
        position: Position(position.unsigned_abs()),
        event: event.and_then(|event| event.parse::<EventId>().ok()),
        recorded_at: Timestamp::from_micros(row.try_get(6)?),
    };
    Ok(Some(Build {
        id: BuildId(row.try_get(0)?),
        projection: row.try_get(1)?,
        version: u32::try_from(version).unwrap_or(0),
        purpose,
        checkpoint,
        since: Timestamp::from_micros(row.try_get(7)?),
    }))
}

fn read_row(table: &Table, row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let columns = table.columns.iter().enumerate();
    columns
        .map(|(at, column)| {
            Ok(match column.kind {
                ColumnKind::Int => {
                    row.try_get::<Option<i64>, _>(at)?.map_or(Value::Null, Value::Int)
                }
                ColumnKind::Text | ColumnKind::Doc => row
                    .try_get::<Option<&str>, _>(at)?
                    .map_or(Value::Null, |text| Value::Text(text.into())),
                ColumnKind::Bytes => row
                    .try_get::<Option<&[u8]>, _>(at)?
                    .map_or(Value::Null, |bytes| Value::Bytes(bytes.into())),
            })
        })
        .collect()
}

fn bind<'q>(
    mut query: sqlx::query::Query<'q, Sqlite, SqliteArguments>,
    values: &[Value],
) -> sqlx::query::Query<'q, Sqlite, SqliteArguments> {
    for value in values {
        query = match value {
            Value::Null => query.bind(None::<i64>),
            Value::Int(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.clone()),
            Value::Bytes(bytes) => query.bind(bytes.to_vec()),
        };
    }
    query
}

impl SqliteRows {
    async fn fetch(
        &self,
        table: &Table,
        statement: sql::Statement,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let query = bind(sqlx::query(AssertSqlSafe(statement.text)), &statement.values);
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(|row| read_row(table, row)).collect()
    }

    async fn create_build(
        &self,
        projection: &'static str,
        version: u32,
        purpose: Purpose,
        tables: Tables,
    ) -> Result<BuildId, sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO builds (projection, version, purpose, position, recorded_at)
             VALUES (?, ?, ?, 0, 0) RETURNING id",
        )
        .bind(projection)
        .bind(i64::from(version))
        .bind(purpose.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        for table in tables {
            let statement = sql::create_table(table, BuildId(id));
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(BuildId(id))
    }

    async fn commit_changes(
        &self,
        build: BuildId,
        changes: &Changes,
        expected: Position,
        checkpoint: Checkpoint,
    ) -> Result<Option<RowError>, sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let moved = sqlx::query(
            "UPDATE builds SET position = ?, event = ?, recorded_at = ?
             WHERE id = ? AND position = ?",
        )
        .bind(signed(checkpoint.position))
        .bind(checkpoint.event.map(|event| event.to_string()))
        .bind(checkpoint.recorded_at.as_micros())
        .bind(build.0)
        .bind(signed(expected))
        .execute(&mut *transaction)
        .await?;
        if moved.rows_affected() == 0 {
            let found: Option<i64> = sqlx::query_scalar("SELECT position FROM builds WHERE id = ?")
                .bind(build.0)
                .fetch_optional(&mut *transaction)
                .await?;
            let found = Position(found.unwrap_or(0).unsigned_abs());
            return Ok(Some(RowError::Moved { build, expected, found }));
        }
        for change in changes {
            let text = sql::delete(change.table, build);
            in_bulk(&mut transaction, &text, &change.deletes).await?;
            put_rows(&mut transaction, change.table, build, &change.upserts).await?;
        }
        transaction.commit().await?;
        Ok(None)
    }

    async fn serve_build(&self, build: BuildId, now: Timestamp) -> Result<bool, sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "UPDATE builds SET purpose = 'retired', since = ?2
             WHERE purpose = 'served' AND id <> ?1
             AND projection = (SELECT projection FROM builds WHERE id = ?1)",
        )
        .bind(build.0)
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        let served = sqlx::query("UPDATE builds SET purpose = 'served', since = ?2 WHERE id = ?1")
            .bind(build.0)
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(served.rows_affected() == 1)
    }

    async fn remove_build(&self, build: BuildId) -> Result<(), sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB ?",
        )
        .bind(format!("*__{}", build.0))
        .fetch_all(&mut *transaction)
        .await?;
        for table in tables {
            let statement = format!("DROP TABLE \"{table}\"");
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        sqlx::query("DELETE FROM builds WHERE id = ?")
            .bind(build.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }
}

/// Puts rows, many in one statement, every cell bound: no text is written as JSON and read again.
async fn put_rows(
    connection: &mut SqliteConnection,
    table: &Table,
    build: BuildId,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let (chunks, rest) = rows.as_chunks::<CHUNK>();
    let mut put = async |rows: &[Row], text: Arc<str>| {
        let mut query = sqlx::query(AssertSqlSafe(text));
        for row in rows {
            query = bind(query, row);
        }
        query.execute(&mut *connection).await.map(drop)
    };
    if !chunks.is_empty() {
        let text: Arc<str> = sql::upsert_chunk(table, build, CHUNK).into();
        for chunk in chunks {
            put(chunk, text.clone()).await?;
        }
    }
    // The rest in halves and halves of halves, so that few statements are ever prepared.
    let (mut rest, mut size) = (rest, CHUNK / 2);
    while !rest.is_empty() {
        if rest.len() >= size {
            let (now, later) = rest.split_at(size);
            put(now, sql::upsert_chunk(table, build, size).into()).await?;
            rest = later;
        }
        size = (size / 2).max(1);
    }
    Ok(())
}

/// Runs a statement over rows or keys, as few times as their size allows.
async fn in_bulk(
    connection: &mut SqliteConnection,
    text: &str,
    rows: &[Vec<Value>],
) -> Result<(), sqlx::Error> {
    let mut rest = rows;
    while !rest.is_empty() {
        let (json, taken) = sql::json(rest, MAX_STATEMENT_BYTES);
        rest = &rest[taken..];
        sqlx::query(AssertSqlSafe(text.to_owned())).bind(json).execute(&mut *connection).await?;
    }
    Ok(())
}

impl RowStore for SqliteRows {
    fn builds(&self) -> BoxFuture<'_, Result<Vec<Build>, RowError>> {
        async {
            // Read where it is written, so that it says what the last commit left.
            let rows = sqlx::query(BUILDS).fetch_all(&self.writer).await.map_err(unavailable)?;
            rows.iter().filter_map(|row| read_build(row).map_err(unavailable).transpose()).collect()
        }
        .boxed()
    }

    fn create(
        &self,
        projection: &'static str,
        version: u32,
        purpose: Purpose,
        tables: Tables,
    ) -> BoxFuture<'_, Result<BuildId, RowError>> {
        async move {
            self.create_build(projection, version, purpose, tables).await.map_err(unavailable)
        }
        .boxed()
    }

    fn index(&self, build: BuildId, tables: Tables) -> BoxFuture<'_, Result<(), RowError>> {
        async move {
            // Each by itself: others may write in between.
            for statement in tables.iter().flat_map(|table| sql::create_indexes(table, build)) {
                sqlx::query(AssertSqlSafe(statement))
                    .execute(&self.writer)
                    .await
                    .map_err(unavailable)?;
            }
            Ok(())
        }
        .boxed()
    }

    fn load(
        &self,
        build: BuildId,
        table: &'static Table,
        keys: Vec<Key>,
    ) -> BoxFuture<'_, Result<Vec<Row>, RowError>> {
        async move {
            let text = sql::load(table, build);
            let mut found = Vec::new();
            let mut rest = keys.as_slice();
            while !rest.is_empty() {
                let (json, taken) = sql::json(rest, MAX_STATEMENT_BYTES);
                rest = &rest[taken..];
                let values = vec![Value::Text(json.into())];
                let statement = sql::Statement { text: text.clone(), values };
                found.extend(self.fetch(table, statement).await.map_err(unavailable)?);
            }
            Ok(found)
        }
        .boxed()
    }

    fn commit<'a>(
        &'a self,
        build: BuildId,
        changes: &'a Changes,
        expected: Position,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), RowError>> {
        async move {
            let committed = self.commit_changes(build, changes, expected, checkpoint).await;
            committed.map_err(unavailable)?.map_or(Ok(()), Err)
        }
        .boxed()
    }

    fn query(&self, build: BuildId, query: Query) -> BoxFuture<'_, Result<Vec<Row>, RowError>> {
        async move {
            #[cfg(test)]
            if let Ok(mut asked) = self.asked.lock() {
                asked.push((build, query.clone()));
            }
            let statement = sql::select(&query, build);
            self.fetch(query.table, statement).await.map_err(unavailable)
        }
        .boxed()
    }

    fn count(
        &self,
        build: BuildId,
        table: &'static Table,
        filters: Vec<Filter>,
    ) -> BoxFuture<'_, Result<u64, RowError>> {
        async move {
            let statement = sql::count(table, build, &filters);
            let query = bind(sqlx::query(AssertSqlSafe(statement.text)), &statement.values);
            let row = query.fetch_one(&self.readers).await.map_err(unavailable)?;
            Ok(row.try_get::<i64, _>(0).map_err(unavailable)?.unsigned_abs())
        }
        .boxed()
    }

    fn serve(&self, build: BuildId, now: Timestamp) -> BoxFuture<'_, Result<(), RowError>> {
        async move {
            if self.serve_build(build, now).await.map_err(unavailable)? {
                Ok(())
            } else {
                Err(RowError::Unavailable(format!("there is no build {}", build.0).into()))
            }
        }
        .boxed()
    }

    fn mark(
        &self,
        build: BuildId,
        purpose: Purpose,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), RowError>> {
        async move {
            sqlx::query("UPDATE builds SET purpose = ?, since = ? WHERE id = ?")
                .bind(purpose.as_str())
                .bind(now.as_micros())
                .bind(build.0)
                .execute(&self.writer)
                .await
                .map_err(unavailable)?;
            Ok(())
        }
        .boxed()
    }

    fn remove(&self, build: BuildId) -> BoxFuture<'_, Result<(), RowError>> {
        async move { self.remove_build(build).await.map_err(unavailable) }.boxed()
    }
}
