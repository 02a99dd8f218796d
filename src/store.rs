//! The event store that the command line names: embedded in the data directory, or a database
//! that several processes share.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, atomic::AtomicU64},
};

use anyhow::{Context, Result, bail};
use hakken_adapters::{
    data_dir::{DataDir, DirLock, LockError},
    embedded::{EmbeddedReader, EmbeddedStore, OpenError},
    eventstoredb::EventStoreDb,
    postgres::{Lease, OpenError as DatabaseError, PostgresRows, PostgresStore},
    rows::SqliteRows,
};
use hakken_commands::{
    desk::EngineSecret,
    store::{EventStore, SideStore},
};
use hakken_domain::envelope::Fingerprint;
use hakken_projections::{feed::EventFeed, rows::RowStore};
use tokio::sync::watch;

use crate::cli::Data;

/// Which store.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// In the data directory.
    Embedded,
    /// In this PostgreSQL database.
    Postgres(String),
    /// In this EventStoreDB.
    EventStoreDb(String),
}

impl FromStr for StoreAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(url.to_owned()))
            }
            url if ["esdb", "kurrentdb"].iter().any(|name| {
                let rest = url.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with("://") || rest.starts_with("+discover://"))
            }) =>
            {
                Ok(Self::EventStoreDb(url.to_owned()))
            }
            _ => Err("a store is `embedded`, postgres://USER:PASSWORD@HOST:PORT/DATABASE or \
                      esdb://USER:PASSWORD@HOST:PORT"
                .into()),
        }
    }
}

/// A PostgreSQL database for the read models.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadModelsIn(pub String);

impl FromStr for ReadModelsIn {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            StoreAddress::Postgres(url) => Ok(Self(url)),
            StoreAddress::Embedded | StoreAddress::EventStoreDb(_) => {
                Err("read models stand in the data directory or in a PostgreSQL database: \
                     postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                    .into())
            }
        }
    }
}

/// Without the password.
impl fmt::Debug for ReadModelsIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres")
    }
}

/// Without the password.
impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Postgres(_) => "postgres",
            Self::EventStoreDb(_) => "eventstoredb",
        })
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A store, open for writing.
#[derive(Clone)]
pub enum Store {
    /// In the data directory.
    Embedded(Arc<EmbeddedStore>),
    /// In a database; the data directory has the read models and the secret.
    Postgres {
        /// The database.
        store: Arc<PostgresStore>,
        /// Nobody else uses the data directory.
        _lock: Arc<DirLock>,
        /// Who of all processes answers events and sweeps.
        lease: Arc<Lease>,
    },
    /// In an EventStoreDB; the data directory has the rest.
    EventStoreDb {
        /// The server or cluster.
        store: Arc<EventStoreDb>,
        /// Nobody else uses the data directory.
        _lock: Arc<DirLock>,
    },
}

impl Store {
    /// Opens it. The secret tells whether a database is this engine's own.
    pub async fn open(
        address: &StoreAddress,
        dir: &DataDir,
        secret: &EngineSecret,
    ) -> Result<Self> {
        match address {
            StoreAddress::Embedded => Ok(Self::Embedded(Arc::new(EmbeddedStore::open(dir).await?))),
            StoreAddress::Postgres(url) => {
                let lock = Arc::new(lock(dir)?);
                let store = Arc::new(PostgresStore::open(url).await?);
                store.bind_secret(check_of_bytes(&secret.0)).await?;
                let lease = Arc::new(store.lease());
                Ok(Self::Postgres { store, _lock: lock, lease })
            }
            StoreAddress::EventStoreDb(url) => {
                let lock = Arc::new(lock(dir)?);
                let store = Arc::new(EventStoreDb::open(url, dir).await?);
                store.bind_secret(check_of_bytes(&secret.0)).await?;
                Ok(Self::EventStoreDb { store, _lock: lock })
            }
        }
    }

    /// As the write side needs it.
    pub fn events(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Postgres { store, .. } => store.clone(),
            Self::EventStoreDb { store, .. } => store.clone(),
        }
    }

    /// Snapshots and checkpoints.
    pub fn side(&self) -> Arc<dyn SideStore> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Postgres { store, .. } => store.clone(),
            Self::EventStoreDb { store, .. } => store.clone(),
        }
    }

    /// As the read side needs it.
    pub fn feed(&self) -> Arc<dyn EventFeed> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Postgres { store, .. } => store.clone(),
            Self::EventStoreDb { store, .. } => store.clone(),
        }
    }

    /// Whether this process answers events and sweeps, where several could.
    pub fn on_duty(&self) -> Option<watch::Receiver<bool>> {
        match self {
            // Each process of an EventStoreDB does, under the same keys.
            Self::Embedded(_) | Self::EventStoreDb { .. } => None,
            Self::Postgres { lease, .. } => Some(lease.held()),
        }
    }

    /// Connections that were made to a database, counted as they are made.
    pub fn connections_made(&self) -> Option<Arc<AtomicU64>> {
        match self {
            Self::Embedded(_) | Self::EventStoreDb { .. } => None,
            Self::Postgres { store, .. } => Some(store.connections_made()),
        }
    }

    /// Closes it. Whoever still reads it is cut off.
    pub async fn close(self) {
        const STILL_READ: &str = "somebody still reads the store";
        match self {
            Self::Embedded(store) => match Arc::try_unwrap(store) {
                Ok(store) => {
                    if let Err(error) = store.close().await {
                        tracing::error!(%error, "the store did not close well");
                    }
                }
                // A subscriber that has not hung up yet; all that was accepted is durable anyway.
                Err(_) => tracing::debug!(STILL_READ),
            },
            Self::Postgres { store, lease, .. } => {
                if let Ok(lease) = Arc::try_unwrap(lease) {
                    lease.release().await;
                }
                match Arc::try_unwrap(store) {
                    Ok(store) => store.close().await,
                    Err(_) => tracing::debug!(STILL_READ),
                }
            }
            Self::EventStoreDb { store, .. } => match Arc::try_unwrap(store) {
                Ok(store) => store.close().await,
                Err(_) => tracing::debug!(STILL_READ),
            },
        }
    }
}

/// Tells a secret from another one; says nothing about it.
pub fn check_of_bytes(secret: &[u8; 32]) -> Fingerprint {
    Fingerprint::of(&[b"hakken store belongs to ", &secret[..]].concat())
}

/// Takes the data directory for this process alone.
pub fn lock(dir: &DataDir) -> Result<DirLock> {
    DirLock::take(dir).map_err(|error| match error {
        LockError::Taken => OpenError::InUse { dir: dir.root.clone() }.into(),
        LockError::Io { path, source } => {
            anyhow::Error::new(source).context(format!("{} cannot be used", path.display()))
        }
    })
}

/// Where the rows of the read models are.
pub enum Rows {
    /// In a file of the data directory.
    Sqlite(Arc<SqliteRows>),
    /// In a database: that of the events, or another one.
    Postgres(Arc<PostgresRows>),
}

impl Rows {
    /// Opens them.
    pub async fn open(data: &Data, dir: &DataDir) -> Result<Self> {
        Ok(match in_a_database(data)? {
            None => Self::Sqlite(Arc::new(SqliteRows::open(&dir.read_models).await?)),
            Some((url, name)) => Self::Postgres(Arc::new(PostgresRows::open(url, name).await?)),
        })
    }

    /// As they stand, without changing anything; none if there are none yet. `deep` reads the whole
    /// file. What is wrong with them is told in words.
    pub async fn look(data: &Data, dir: &DataDir, deep: bool) -> Result<Option<Self>> {
        if let Some((url, name)) = in_a_database(data)? {
            let rows = PostgresRows::look(url, name).await?;
            return Ok(rows.map(|rows| Self::Postgres(Arc::new(rows))));
        }
        if !dir.read_models.is_file() {
            return Ok(None);
        }
        match SqliteRows::look(&dir.read_models, deep).await {
            Ok(rows) => Ok(Some(Self::Sqlite(Arc::new(rows)))),
            Err(problem) => bail!("{} cannot be used: {problem}", dir.read_models.display()),
        }
    }

    /// As the read side needs them.
    pub fn store(&self) -> Arc<dyn RowStore> {
        match self {
            Self::Sqlite(rows) => rows.clone(),
            Self::Postgres(rows) => rows.clone(),
        }
    }

    /// Closes them.
    pub async fn close(self) {
        match self {
            Self::Sqlite(rows) => rows.close().await,
            Self::Postgres(rows) => rows.close().await,
        }
    }
}

/// The database that has the read models, and under which name, if one has.
fn in_a_database(data: &Data) -> Result<Option<(&str, &str)>> {
    let Some(name) = data.read_models.as_deref() else { return Ok(None) };
    match (&data.read_models_in, &data.store) {
        (Some(ReadModelsIn(url)), _) | (None, StoreAddress::Postgres(url)) => Ok(Some((url, name))),
        (None, StoreAddress::Embedded | StoreAddress::EventStoreDb(_)) => bail!(
            "--read-models needs a PostgreSQL database: give one with --read-models-in, or with \
             --store if it is to have the events, too"
        ),
    }
}

/// The events alone, also while servers write them.
pub enum Events {
    /// Of the data directory.
    Embedded(EmbeddedReader),
    /// Of a database.
    Postgres(PostgresStore),
    /// Of an EventStoreDB.
    EventStoreDb(EventStoreDb),
}

impl Events {
    /// Opens them.
    pub async fn open(address: &StoreAddress, dir: &DataDir) -> Result<Self> {
        Ok(match address {
            StoreAddress::Embedded => Self::Embedded(EmbeddedStore::open_read_only(dir).await?),
            StoreAddress::Postgres(url) => Self::Postgres(PostgresStore::open(url).await?),
            StoreAddress::EventStoreDb(url) => {
                Self::EventStoreDb(EventStoreDb::open(url, dir).await?)
            }
        })
    }

    /// Refuses a secret that these events do not belong to. Only a database knows its own.
    pub async fn check_secret(&self, secret: &EngineSecret) -> Result<()> {
        let Self::Postgres(store) = self else { return Ok(()) };
        let bound = store.bound_secret().await.context("the database cannot be read")?;
        if bound.is_some_and(|bound| bound != check_of_bytes(&secret.0)) {
            let database = store.name();
            return Err(DatabaseError::OtherSecret { database }.into());
        }
        Ok(())
    }

    /// To be read.
    pub fn feed(&self) -> &dyn EventFeed {
        match self {
            Self::Embedded(store) => store,
            Self::Postgres(store) => store,
            Self::EventStoreDb(store) => store,
        }
    }

    /// What to say when they could be opened and cannot be read.
    pub fn unreadable(&self, dir: &DataDir) -> String {
        match self {
            Self::Embedded(_) => format!(
                "{} is damaged, or its disk is. Keep a copy of the file, then restore it from a \
                 backup or a replica",
                dir.events.display()
            ),
            Self::Postgres(_) => "the events cannot be read from the database".to_owned(),
            Self::EventStoreDb(_) => "the events cannot be read from EventStoreDB".to_owned(),
        }
    }
}
