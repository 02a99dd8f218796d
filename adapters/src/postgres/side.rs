//! Snapshots of streams and checkpoints of processes. What is lost of them is made again, so
//! nobody waits until they are synced.

use futures_util::future::{BoxFuture, FutureExt};
use hakken_commands::store::{SideStore, Snapshot, StoreError};
use hakken_domain::envelope::{Position, StreamId};
use sqlx::{Connection as _, PgConnection};

use super::{PostgresStore, connection::signed};

/// Of this transaction alone.
const NEED_NOT_BE_SYNCED: &str = "SET LOCAL synchronous_commit = off";

async fn save_snapshot(
    connection: &mut PgConnection,
    stream: String,
    snapshot: Snapshot,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query(NEED_NOT_BE_SYNCED).execute(&mut *transaction).await?;
    sqlx::query(
        "INSERT INTO hakken.snapshots (stream, version, format, bytes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (stream) DO UPDATE SET
             version = excluded.version, format = excluded.format, bytes = excluded.bytes",
    )
    .bind(stream)
    .bind(signed(snapshot.version))
    .bind(i64::from(snapshot.format))
    .bind(&snapshot.bytes[..])
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// A checkpoint says that everything before it is answered. That stays true, whoever said it: the
/// furthest one counts, also when a process saves it that is no longer in charge.
async fn save_checkpoint(
    connection: &mut PgConnection,
    process: &'static str,
    position: i64,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query(NEED_NOT_BE_SYNCED).execute(&mut *transaction).await?;
    sqlx::query(
        "INSERT INTO hakken.checkpoints AS known (process, position) VALUES ($1, $2)
         ON CONFLICT (process) DO UPDATE
         SET position = greatest(known.position, excluded.position)",
    )
    .bind(process)
    .bind(position)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

impl SideStore for PostgresStore {
    fn load_snapshot(
        &self,
        stream: StreamId,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        async move {
            let stream = stream.to_string();
            let found: Option<(i64, i64, Vec<u8>)> = self
                .shared
                .database
                .ask(|connection| {
                    sqlx::query_as(
                        "SELECT version, format, bytes FROM hakken.snapshots WHERE stream = $1",
                    )
                    .bind(stream.clone())
                    .fetch_optional(connection)
                    .boxed()
                })
                .await?;
            // One that no program can have written is as good as none.
            Ok(found.and_then(|(version, format, bytes)| {
                let (version, format) = (version.try_into().ok()?, format.try_into().ok()?);
                Some(Snapshot { version, format, bytes: bytes.into() })
            }))
        }
        .boxed()
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        snapshot: Snapshot,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.shared
                .database
                .ask(|connection| {
                    save_snapshot(connection, stream.to_string(), snapshot.clone()).boxed()
                })
                .await
        }
        .boxed()
    }

    fn load_checkpoint(
        &self,
        process: &'static str,
    ) -> BoxFuture<'_, Result<Position, StoreError>> {
        async move {
            let found: Option<i64> = self
                .shared
                .database
                .ask(|connection| {
                    sqlx::query_scalar("SELECT position FROM hakken.checkpoints WHERE process = $1")
                        .bind(process)
                        .fetch_optional(connection)
                        .boxed()
                })
                .await?;
            Ok(Position(found.unwrap_or(0).unsigned_abs()))
        }
        .boxed()
    }

    fn save_checkpoint(
        &self,
        process: &'static str,
        position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.shared
                .database
                .ask(|connection| save_checkpoint(connection, process, signed(position.0)).boxed())
                .await
        }
        .boxed()
    }
}
