//! The store that takes the history.

use anyhow::{Context, Result, bail};
use hakken_adapters::{
    data_dir::{DataDir, DirLock},
    embedded::{EmbeddedStore, OpenOptions},
    eventstoredb::EventStoreDb,
    postgres::{OpenError, PostgresStore},
    unfinished::Unfinished,
};
use hakken_commands::store::EventStore;
use hakken_domain::envelope::Fingerprint;
use hakken_projections::feed::EventFeed;

use crate::store::{self, StoreAddress};

/// The target, open for writing. Nobody else uses its data directory meanwhile.
pub enum Target {
    /// In a data directory.
    Embedded(EmbeddedStore),
    /// In a database.
    Postgres(PostgresStore, DirLock),
    /// In an EventStoreDB.
    EventStoreDb(EventStoreDb, DirLock),
}

impl Target {
    /// Opens it, also if a copy into it was cut off.
    pub async fn open(address: &StoreAddress, dir: &DataDir, check: Fingerprint) -> Result<Self> {
        Ok(match address {
            StoreAddress::Embedded => {
                let options = OpenOptions { may_be_unfinished: true, ..OpenOptions::default() };
                Self::Embedded(EmbeddedStore::open_with(dir, &options).await?)
            }
            StoreAddress::Postgres(url) => {
                let lock = store::lock(dir)?;
                let store = PostgresStore::open(url).await?;
                if store.is_served().await? {
                    bail!("a server works on the target: stop every one of them first");
                }
                if !store.is_unfinished().await? {
                    store.bind_secret(check).await?;
                } else if store.bound_secret().await?.is_some_and(|bound| bound != check) {
                    return Err(OpenError::OtherSecret { database: store.name() }.into());
                }
                Self::Postgres(store, lock)
            }
            StoreAddress::EventStoreDb(url) => {
                let lock = store::lock(dir)?;
                let store = EventStoreDb::open(url, dir).await?;
                store.bind_secret(check).await?;
                Self::EventStoreDb(store, lock)
            }
        })
    }

    /// To be written.
    pub fn events(&self) -> &dyn EventStore {
        match self {
            Self::Embedded(store) => store,
            Self::Postgres(store, _) => store,
            Self::EventStoreDb(store, _) => store,
        }
    }

    /// To be read.
    pub fn feed(&self) -> &dyn EventFeed {
        match self {
            Self::Embedded(store) => store,
            Self::Postgres(store, _) => store,
            Self::EventStoreDb(store, _) => store,
        }
    }

    /// Says that what is here may be a part only, so that no server sells from it. An EventStoreDB
    /// has no place for that.
    pub async fn begin(&self) -> Result<()> {
        match self {
            Self::Embedded(store) => store.begin().await?,
            Self::Postgres(store, _) => store.begin().await?,
            Self::EventStoreDb(..) => {}
        }
        Ok(())
    }

    /// Says that it is whole.
    pub async fn finish(&self) -> Result<()> {
        match self {
            Self::Embedded(store) => store.finish().await?,
            Self::Postgres(store, _) => store.finish().await?,
            Self::EventStoreDb(..) => {}
        }
        Ok(())
    }

    /// Closes it.
    pub async fn close(self) -> Result<()> {
        match self {
            Self::Embedded(store) => store.close().await.context("the target does not close well"),
            Self::Postgres(store, _lock) => {
                store.close().await;
                Ok(())
            }
            Self::EventStoreDb(store, _lock) => {
                store.close().await;
                Ok(())
            }
        }
    }
}
