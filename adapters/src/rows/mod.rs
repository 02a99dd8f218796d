//! The rows of the read models in one SQLite file, apart from the events. Nothing in it is lost
//! when it is deleted: everything is folded again.
//!
//! Each build of a projection has its own tables, whose names end in the build's number. Rows go
//! in and out in bulk, in few statements. One connection writes; queries have
//! their own, so that they go on while a rebuild writes.

mod file;
mod sql;
#[cfg(test)]
mod tests;
mod write;

use futures_util::{FutureExt, future::BoxFuture};
use hakken_domain::{envelope::Position, names::EventId, time::Timestamp};
use hakken_projections::rows::{
    Build, BuildId, Changes, Checkpoint, ColumnKind, Filter, Key, Purpose, Query, Row, RowError,
    RowStore, Table, Tables, Value,
};
use sqlx::{
    AssertSqlSafe, Row as _, Sqlite, SqlitePool,
    sqlite::{SqliteArguments, SqliteRow},
};

/// Bytes of JSON in one statement: enough to be fast, small beside the memory of a process.
const MAX_STATEMENT_BYTES: usize = 8 << 20;

/// Every build.
const BUILDS: &str = "SELECT id, projection, version, purpose, position, event, recorded_at, since
     FROM builds ORDER BY id";

/// A row store in one SQLite file.
#[derive(Debug)]
pub struct SqliteRows {
    writer: SqlitePool,
    readers: SqlitePool,
    /// What was asked, so that a test can look at SQLite's plans.
    #[cfg(test)]
    asked: std::sync::Mutex<Vec<(BuildId, Query)>>,
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
