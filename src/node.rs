//! Everything of one process, wired together on a data directory.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use hakken_adapters::{
    data_dir::DataDir,
    payments::{ManualPayments, SimulatedGateway},
    rows::SqliteRows,
    sqlite::SqliteStore,
    system::{EngineSecret as StoredSecret, RandomIds, SystemClock},
};
use hakken_commands::{
    WriteOptions, WriteSide,
    desk::EngineSecret,
    engine::Ports,
    payments::Payments,
    store::{EventStore, SideStore},
};
use hakken_projections::{ReadModels, feed::EventFeed};

use crate::cli::PaymentsMode;

/// A running engine on the embedded store, without its API.
pub struct Node {
    /// The write side.
    pub write: Arc<WriteSide>,
    /// The read side.
    pub read: ReadModels,
    /// The recorded events.
    pub store: Arc<SqliteStore>,
    /// The secret of this engine.
    pub secret: EngineSecret,
    /// Nothing was ever recorded here.
    pub is_new: bool,
    rows: Arc<SqliteRows>,
}

impl Node {
    /// Opens a data directory, makes it if it does not exist, and starts everything where it was.
    pub async fn open(data: &Path, payments: PaymentsMode) -> Result<Self> {
        let dir = DataDir::at(data);
        dir.create().with_context(|| format!("{} cannot be made", data.display()))?;
        let store = Arc::new(SqliteStore::open(&dir).await?);
        let secret = EngineSecret(Arc::new(*StoredSecret::open(&dir)?.as_bytes()));
        let head = store.head().await?;
        let clock = Arc::new(SystemClock);
        let ports = Ports {
            store: store.clone() as Arc<dyn EventStore>,
            side: store.clone() as Arc<dyn SideStore>,
            clock: clock.clone(),
            ids: Arc::new(RandomIds::new().context("the system gives no random numbers")?),
        };
        let payments: Arc<dyn Payments> = match payments {
            PaymentsMode::Manual => Arc::new(ManualPayments),
            PaymentsMode::Simulated => Arc::new(SimulatedGateway::new()),
        };
        let options = WriteOptions::default();
        let write = Arc::new(WriteSide::start(ports, payments, secret.clone(), options));
        let rows = Arc::new(SqliteRows::open(&dir.read_models).await?);
        let feed = store.clone() as Arc<dyn EventFeed>;
        let read = ReadModels::start(feed, rows.clone(), clock).await?;
        Ok(Self { write, read, store, secret, is_new: head.0 == 0, rows })
    }

    /// Drains what was accepted and closes every file.
    pub async fn close(self) {
        self.write.stop().await;
        self.read.shutdown().await;
        self.rows.close().await;
        match Arc::try_unwrap(self.store) {
            Ok(store) => {
                if let Err(error) = store.close().await {
                    tracing::error!(%error, "the store did not close well");
                }
            }
            Err(_) => tracing::warn!("somebody still reads the store; it is left to the process's end"),
        }
    }
}
