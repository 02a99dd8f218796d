//! Looking at what is derived from the events, without changing any of it, also beside a server.

use hakken_domain::envelope::{Position, StreamId, Version};
use sqlx::SqliteConnection;

use super::{EmbeddedReader, db, index, side};
use crate::data_dir::DataDir;

/// What stands beside the events.
#[derive(Debug, Clone, Default)]
pub struct Derived {
    /// What is wrong with `index.db`.
    pub index: Option<String>,
    /// What is wrong with `side.db`.
    pub side: Option<String>,
    /// How far processes have come.
    pub checkpoints: Vec<(String, Position)>,
    /// Up to where streams have snapshots.
    pub snapshots: Vec<(StreamId, Version)>,
}

impl EmbeddedReader {
    /// Looks at the derived files. One that is missing is no fault: the next start makes it.
    pub async fn inspect(&self, dir: &DataDir) -> Derived {
        let mut found = Derived::default();
        let head = match self.log.head().await {
            Ok(head) => head,
            // Whoever reads the events says what is wrong with them.
            Err(_) => return found,
        };
        if dir.index.is_file() {
            let pool = db::readers(&dir.index);
            found.index = match db::first_damage(&pool).await {
                Err(error) => Some(error.to_string()),
                Ok(Some(damage)) => Some(damage),
                Ok(None) => match index::usable_runs(&pool, &self.log, head).await {
                    Ok(Ok(_)) => None,
                    Ok(Err(reason)) => Some(reason),
                    Err(error) => Some(error.to_string()),
                },
            };
            pool.close().await;
        }
        if dir.side.is_file() {
            let pool = db::readers(&dir.side);
            if let Err(error) = self.inspect_side(&pool, head, &mut found).await {
                found.side = Some(error.to_string());
            }
            pool.close().await;
        }
        found
    }

    async fn inspect_side(
        &self,
        pool: &sqlx::SqlitePool,
        head: Position,
        found: &mut Derived,
    ) -> Result<(), sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let connection: &mut SqliteConnection = &mut connection;
        found.side = side::problem(connection, &self.log.store_id(), head).await?;
        let checkpoints: Vec<(String, i64)> =
            sqlx::query_as("SELECT process, position FROM checkpoints ORDER BY process")
                .fetch_all(&mut *connection)
                .await?;
        let snapshots: Vec<(String, i64)> =
            sqlx::query_as("SELECT stream, version FROM snapshots").fetch_all(connection).await?;
        found.checkpoints =
            checkpoints.into_iter().map(|(name, at)| (name, Position(db::unsigned(at)))).collect();
        found.snapshots = snapshots
            .into_iter()
            .filter_map(|(stream, version)| Some((stream.parse().ok()?, db::unsigned(version))))
            .collect();
        Ok(())
    }
}
