//! Words before the check of the secret say that the rest of a history is on its way here. No
//! server of any version takes them for its own secret's.

use futures_util::future::{BoxFuture, FutureExt};
use hakken_commands::store::StoreError;

use super::PostgresStore;
use crate::unfinished::Unfinished;

/// The words.
pub(super) const UNFINISHED: &str = "unfinished:";

impl PostgresStore {
    /// Runs a statement with the words as its parameter. To run it twice is to run it once.
    async fn mark(&self, statement: &'static str) -> Result<(), StoreError> {
        let database = &self.shared.database;
        database
            .ask(|connection| {
                async move {
                    sqlx::query(statement).bind(UNFINISHED).execute(connection).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

impl Unfinished for PostgresStore {
    fn is_unfinished(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        let database = &self.shared.database;
        async move {
            database
                .ask(|connection| {
                    sqlx::query_scalar(
                        "SELECT coalesce(starts_with(secret_check, $1::text), false) FROM hakken.store",
                    )
                    .bind(UNFINISHED)
                    .fetch_one(connection)
                    .boxed()
                })
                .await
        }
        .boxed()
    }

    fn begin(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.mark(
            "UPDATE hakken.store SET secret_check = $1::text || coalesce(secret_check, '')
             WHERE NOT coalesce(starts_with(secret_check, $1::text), false)",
        )
        .boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.mark(
            "UPDATE hakken.store
             SET secret_check = nullif(substr(secret_check, length($1::text) + 1), '')
             WHERE starts_with(secret_check, $1::text)",
        )
        .boxed()
    }
}
