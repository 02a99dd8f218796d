//! Whatever changes the file: each in one transaction, by the one connection that writes.

use std::sync::Arc;

use hakken_domain::{envelope::Position, time::Timestamp};
use hakken_projections::rows::{
    BuildId, Changes, Checkpoint, Purpose, Row, RowError, Table, Tables, Value,
};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{MAX_STATEMENT_BYTES, SqliteRows, bind, sql};

/// Rows of one statement that puts them.
const CHUNK: usize = 64;

fn signed(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

impl SqliteRows {
    pub(super) async fn create_build(
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

    pub(super) async fn commit_changes(
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

    pub(super) async fn serve_build(
        &self,
        build: BuildId,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
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

    pub(super) async fn remove_build(&self, build: BuildId) -> Result<(), sqlx::Error> {
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
