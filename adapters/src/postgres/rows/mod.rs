//! The rows of the read models in PostgreSQL, in a schema of their own. Nothing in it is lost when
//! it is dropped: everything is folded again.
//!
//! Each process folds for itself: builds carry its name, and no process touches those of another.
//! Rows go in and out as arrays, one for each column, in few statements. Commits are not synced:
//! where the events stand in the same database they share its write-ahead log, so rows never
//! survive events that they were made of; in a database of their own they may, and whoever opens
//! them tells that by the id of the last event that counts.

mod sql;

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use hakken_domain::{envelope::Position, names::EventId, time::Timestamp};
use hakken_projections::rows::{
    Build, BuildId, Changes, Checkpoint, ColumnKind, Filter, Key, Purpose, Query, Row, RowError,
    RowStore, Table, Tables, Value,
};
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
};
use tokio::time::timeout;

use self::sql::{Bound, Statement};
use super::{
    connection::{DEADLINE, Database, signed},
    schema::OpenError,
};

/// Rows of one statement.
const CHUNK: usize = 5_000;

/// How long an index may take to be made.
const INDEX: Duration = Duration::from_secs(6 * 3_600);

const SETUP: &str = "
    SELECT pg_advisory_xact_lock(1751215726, 3);
    CREATE SCHEMA IF NOT EXISTS hakken_rows;
    CREATE TABLE IF NOT EXISTS hakken_rows.builds (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        owner text NOT NULL,
        projection text NOT NULL,
        version bigint NOT NULL,
        purpose text NOT NULL,
        position bigint NOT NULL DEFAULT 0,
        event text,
        recorded_at bigint NOT NULL DEFAULT 0,
        since bigint NOT NULL DEFAULT 0
    );
    ALTER TABLE hakken_rows.builds ADD COLUMN IF NOT EXISTS since bigint NOT NULL DEFAULT 0";

/// Of this transaction alone.
const NEED_NOT_BE_SYNCED: &str = "SET LOCAL synchronous_commit = off";

/// A row store in a PostgreSQL database.
pub struct PostgresRows {
    database: Database,
    owner: String,
}

type Asked<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

fn ask(statement: &Statement) -> Asked<'_> {
    let mut query = sqlx::query(AssertSqlSafe(statement.text.as_str()));
    for value in &statement.values {
        query = match value {
            Bound::Int(number) => query.bind(number),
            Bound::Text(text) => query.bind(text),
            Bound::Ints(numbers) => query.bind(numbers),
            Bound::Texts(texts) => query.bind(texts),
            Bound::Bytes(bytes) => query.bind(bytes),
        };
    }
    query
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RowError {
    RowError::Unavailable(error.into())
}

fn read_row(table: &Table, row: &PgRow) -> Result<Row, sqlx::Error> {
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

fn read_build(row: &PgRow) -> Result<Option<Build>, sqlx::Error> {
    let Some(purpose) = Purpose::from_stored(row.try_get(3)?) else { return Ok(None) };
    let event: Option<String> = row.try_get(5)?;
    let checkpoint = Checkpoint {
        position: Position(row.try_get::<i64, _>(4)?.unsigned_abs()),
        event: event.and_then(|event| event.parse::<EventId>().ok()),
        recorded_at: Timestamp::from_micros(row.try_get(6)?),
    };
    Ok(Some(Build {
        id: BuildId(row.try_get(0)?),
        projection: row.try_get(1)?,
        version: u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0),
        purpose,
        checkpoint,
        since: Timestamp::from_micros(row.try_get(7)?),
    }))
}

/// What was done, within the deadline.
async fn in_time<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, RowError> {
    match timeout(DEADLINE, work).await {
        Ok(done) => done.map_err(unavailable),
        Err(late) => Err(unavailable(late)),
    }
}

/// A connection on which something failed serves nobody else: it may still be at it.
fn settled<T>(
    connection: PoolConnection<Postgres>,
    done: Result<T, RowError>,
) -> Result<T, RowError> {
    if done.is_err() {
        drop(connection.detach());
    }
    done
}

async fn create_build(
    connection: &mut PgConnection,
    owner: &str,
    projection: &str,
    version: u32,
    purpose: Purpose,
    tables: Tables,
) -> Result<BuildId, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO hakken_rows.builds (owner, projection, version, purpose)
         VALUES ($1, $2, $3, $4) RETURNING id",
    )
    .bind(owner)
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
    connection: &mut PgConnection,
    build: BuildId,
    changes: &Changes,
    expected: Position,
    checkpoint: Checkpoint,
) -> Result<Option<RowError>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query(NEED_NOT_BE_SYNCED).execute(&mut *transaction).await?;
    let moved = sqlx::query(
        "UPDATE hakken_rows.builds SET position = $1, event = $2, recorded_at = $3
         WHERE id = $4 AND position = $5",
    )
    .bind(signed(checkpoint.position.0))
    .bind(checkpoint.event.map(|event| event.to_string()))
    .bind(checkpoint.recorded_at.as_micros())
    .bind(build.0)
    .bind(signed(expected.0))
    .execute(&mut *transaction)
    .await?;
    if moved.rows_affected() == 0 {
        let found: Option<i64> =
            sqlx::query_scalar("SELECT position FROM hakken_rows.builds WHERE id = $1")
                .bind(build.0)
                .fetch_optional(&mut *transaction)
                .await?;
        let found = Position(found.unwrap_or(0).unsigned_abs());
        return Ok(Some(RowError::Moved { build, expected, found }));
    }
    for change in changes {
        for keys in change.deletes.chunks(CHUNK) {
            let statement = sql::delete(change.table, build, keys);
            ask(&statement).execute(&mut *transaction).await?;
        }
        for rows in change.upserts.chunks(CHUNK) {
            let statement = sql::upsert(change.table, build, rows);
            ask(&statement).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(None)
}

async fn serve_build(
    connection: &mut PgConnection,
    build: BuildId,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query(
        "UPDATE hakken_rows.builds AS former SET purpose = 'retired', since = $2
         FROM hakken_rows.builds AS next
         WHERE next.id = $1 AND former.id <> $1 AND former.purpose = 'served'
           AND former.owner = next.owner AND former.projection = next.projection",
    )
    .bind(build.0)
    .bind(now.as_micros())
    .execute(&mut *transaction)
    .await?;
    let served =
        sqlx::query("UPDATE hakken_rows.builds SET purpose = 'served', since = $2 WHERE id = $1")
            .bind(build.0)
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
    transaction.commit().await?;
    Ok(served.rows_affected() == 1)
}

async fn remove_build(connection: &mut PgConnection, build: BuildId) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename FROM pg_tables
         WHERE schemaname = 'hakken_rows' AND split_part(tablename, '__', 2) = $1::text",
    )
    .bind(build.0.to_string())
    .fetch_all(&mut *transaction)
    .await?;
    for table in tables {
        let statement = format!("DROP TABLE hakken_rows.\"{table}\"");
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
    }
    sqlx::query("DELETE FROM hakken_rows.builds WHERE id = $1")
        .bind(build.0)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

impl PostgresRows {
    /// Opens the rows of one process; makes the schema if there is none. Two processes with the
    /// same name would fold into the same rows, and stop each other.
    pub async fn open(url: &str, owner: &str) -> Result<Self, OpenError> {
        let database = Database::open(url)?;
        database
            .ask(|connection| {
                async move {
                    let mut transaction = connection.begin().await?;
                    sqlx::raw_sql(SETUP).execute(&mut *transaction).await?;
                    transaction.commit().await
                }
                .boxed()
            })
            .await
            .map_err(|error| OpenError::unreachable(&database, error))?;
        Ok(Self { database, owner: owner.to_owned() })
    }

    /// The rows of one process as they stand, to be looked at; nothing is made. None if no process
    /// keeps rows in this database.
    pub async fn look(url: &str, owner: &str) -> Result<Option<Self>, OpenError> {
        let database = Database::open(url)?;
        let is_there: bool = database
            .ask(|connection| {
                sqlx::query_scalar("SELECT to_regclass('hakken_rows.builds') IS NOT NULL")
                    .fetch_one(connection)
                    .boxed()
            })
            .await
            .map_err(|error| OpenError::unreachable(&database, error))?;
        Ok(is_there.then(|| Self { database, owner: owner.to_owned() }))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.database.close().await;
    }

    async fn rows(
        &self,
        table: &'static Table,
        statement: Statement,
    ) -> Result<Vec<Row>, RowError> {
        let statement = Arc::new(statement);
        let rows = self.database.ask(|connection| {
            let statement = Arc::clone(&statement);
            async move {
                let rows = ask(&statement).fetch_all(connection).await?;
                rows.iter().map(|row| read_row(table, row)).collect::<Result<Vec<_>, _>>()
            }
            .boxed()
        });
        rows.await.map_err(unavailable)
    }
}

impl RowStore for PostgresRows {
    fn builds(&self) -> BoxFuture<'_, Result<Vec<Build>, RowError>> {
        async {
            let found: Vec<Option<Build>> = self
                .database
                .ask(|connection| {
                    let owner = self.owner.clone();
                    async move {
                        let rows = sqlx::query(
                            "SELECT id, projection, version, purpose, position, event, recorded_at,
                                 since
                             FROM hakken_rows.builds WHERE owner = $1 ORDER BY id",
                        )
                        .bind(owner)
                        .fetch_all(connection)
                        .await?;
                        rows.iter().map(read_build).collect()
                    }
                    .boxed()
                })
                .await
                .map_err(unavailable)?;
            Ok(found.into_iter().flatten().collect())
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
            let mut connection = self.database.ready().await.map_err(unavailable)?;
            let owner = &self.owner;
            let work = create_build(&mut connection, owner, projection, version, purpose, tables);
            let done = in_time(work).await;
            settled(connection, done)
        }
        .boxed()
    }

    fn index(&self, build: BuildId, tables: Tables) -> BoxFuture<'_, Result<(), RowError>> {
        async move {
            // A connection of its own, without the deadline of a usual statement.
            let mut connection = self.database.connect_patiently().await.map_err(unavailable)?;
            let work = async {
                sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
                for statement in tables.iter().flat_map(|table| sql::create_indexes(table, build)) {
                    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
                }
                Ok::<_, sqlx::Error>(())
            };
            timeout(INDEX, work).await.map_err(unavailable)?.map_err(unavailable)?;
            connection.close().await.map_err(unavailable)
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
            let mut found = Vec::new();
            for keys in keys.chunks(CHUNK) {
                found.extend(self.rows(table, sql::load(table, build, keys)).await?);
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
            let mut connection = self.database.ready().await.map_err(unavailable)?;
            let work = commit_changes(&mut connection, build, changes, expected, checkpoint);
            let done = in_time(work).await;
            settled(connection, done)?.map_or(Ok(()), Err)
        }
        .boxed()
    }

    fn query(&self, build: BuildId, query: Query) -> BoxFuture<'_, Result<Vec<Row>, RowError>> {
        async move { self.rows(query.table, sql::select(&query, build)).await }.boxed()
    }

    fn count(
        &self,
        build: BuildId,
        table: &'static Table,
        filters: Vec<Filter>,
    ) -> BoxFuture<'_, Result<u64, RowError>> {
        async move {
            let statement = Arc::new(sql::count(table, build, &filters));
            let count: i64 = self
                .database
                .ask(|connection| {
                    let statement = Arc::clone(&statement);
                    async move { ask(&statement).fetch_one(connection).await?.try_get(0) }.boxed()
                })
                .await
                .map_err(unavailable)?;
            Ok(count.unsigned_abs())
        }
        .boxed()
    }

    fn serve(&self, build: BuildId, now: Timestamp) -> BoxFuture<'_, Result<(), RowError>> {
        async move {
            let served =
                self.database.ask(|connection| serve_build(connection, build, now).boxed());
            match served.await.map_err(unavailable)? {
                true => Ok(()),
                false => Err(unavailable(format!("there is no build {}", build.0))),
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
            let marked = self.database.ask(|connection| {
                async move {
                    sqlx::query(
                        "UPDATE hakken_rows.builds SET purpose = $1, since = $2 WHERE id = $3",
                    )
                    .bind(purpose.as_str())
                    .bind(now.as_micros())
                    .bind(build.0)
                    .execute(connection)
                    .await
                    .map(drop)
                }
                .boxed()
            });
            marked.await.map_err(unavailable)
        }
        .boxed()
    }

    fn remove(&self, build: BuildId) -> BoxFuture<'_, Result<(), RowError>> {
        async move {
            let removed = self.database.ask(|connection| remove_build(connection, build).boxed());
            removed.await.map_err(unavailable)
        }
        .boxed()
    }
}
