//! Connections: how they are made, how long a statement may take, and what is asked again.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use hakken_commands::store::StoreError;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Events,
    fault::{self, is_passing},
    read,
    schema::OpenError,
    tls,
};
use crate::fault::unavailable;

/// Connections that read. One more writes, one listens and one holds the lease.
const READERS: u32 = 8;

/// How long one statement may take, its way there and back included.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);

/// How long a server that cannot be reached is asked again.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Of every session. The server gives up on a statement before we do; on a lost client it gives
/// up soon, because that one may hold the lease.
const SETTINGS: [(&str, &str); 9] = [
    ("statement_timeout", "12s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("default_transaction_isolation", "read committed"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("client_min_messages", "warning"),
    ("jit", "off"),
];

/// Of sessions that read events: always along an index, whatever the server believes of a table
/// that grew since it looked last. By one of the two they come in the order that is wanted.
const ALONG_AN_INDEX: [(&str, &str); 3] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("max_parallel_workers_per_gather", "0"),
];

/// PostgreSQL's integers are signed. Positions never come near the difference.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A database, and the connections to it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Database {
    options: PgConnectOptions,
    readers: PgPool,
    /// Connections of one's own that were made.
    made: Arc<AtomicU64>,
}

impl Database {
    /// Reads the address. Connects to nothing yet.
    pub(super) fn open(url: &str) -> Result<Self, OpenError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| OpenError::Address { reason: error.to_string() })?
            .options(SETTINGS)
            .disable_statement_logging();
        let database = Self::with(options);
        match tls::unreadable_file(url) {
            Some(reason) => Err(OpenError::Insecure { database: database.name(), reason }),
            None => Ok(database),
        }
    }

    /// The same for whoever reads events.
    pub(super) fn for_events(self) -> Self {
        Self::with(self.options.options(ALONG_AN_INDEX))
    }

    fn with(options: PgConnectOptions) -> Self {
        let readers = PgPoolOptions::new()
            .max_connections(READERS)
            .min_connections(0)
            .acquire_timeout(CONNECT)
            // A connection that was lost meanwhile is noticed when it is asked, and another one
            // is asked then.
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        Self { options, readers, made: Arc::default() }
    }

    /// For messages: without a password.
    pub(super) fn name(&self) -> String {
        let options = &self.options;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let database = options.get_database().unwrap_or(options.get_username());
        format!("{database} on {host}:{}", options.get_port())
    }

    /// A connection of one's own.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        match timeout(CONNECT, self.options.connect()).await {
            Ok(connected) => {
                self.made.fetch_add(u64::from(connected.is_ok()), Ordering::Relaxed);
                connected
            }
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// How many of those were made, counted as they are made.
    pub(super) fn made(&self) -> Arc<AtomicU64> {
        self.made.clone()
    }

    /// The same, tried for some seconds.
    pub(super) async fn connect_patiently(&self) -> Result<PgConnection, StoreError> {
        let mut again = Again::default();
        loop {
            match self.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) => again.or_fail(error).await?,
            }
        }
    }

    /// A connection that has just answered, for what must not be done twice.
    pub(super) async fn ready(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let mut again = Again::default();
        loop {
            let mut connection = match self.readers.acquire().await {
                Ok(connection) => connection,
                Err(error) => {
                    again.or_fail(error).await?;
                    continue;
                }
            };
            let error = match timeout(CONNECT, connection.ping()).await {
                Ok(Ok(())) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => sqlx::Error::PoolTimedOut,
            };
            drop(connection.detach());
            again.or_fail(error).await?;
        }
    }

    /// Asks what may be asked twice: again, when the connection is lost.
    pub(super) async fn ask<T>(
        &self,
        question: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        let mut again = Again::default();
        loop {
            let mut connection = match self.readers.acquire().await {
                Ok(connection) => connection,
                Err(error) => {
                    again.or_fail(error).await?;
                    continue;
                }
            };
            match timeout(DEADLINE, question(&mut connection)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => {
                    if is_passing(&error) {
                        drop(connection.detach());
                    }
                    again.or_fail(error).await?;
                }
                Err(_) => {
                    // Nobody knows when its answer will come: it serves no other question.
                    drop(connection.detach());
                    return Err(unavailable("PostgreSQL did not answer in time"));
                }
            }
        }
    }

    /// Asks for many events, again when the connection is lost.
    pub(super) async fn copy(&self, statement: &str) -> Result<Events, StoreError> {
        let mut again = Again::default();
        loop {
            let connection = match self.readers.acquire().await {
                Ok(connection) => connection,
                Err(error) => {
                    again.or_fail(error).await?;
                    continue;
                }
            };
            // Serves others again only when everything that was asked for has come: dropped
            // half-way, it would have the rest still to send.
            let mut connection = Unfinished(Some(connection));
            match timeout(DEADLINE, read::copy(connection.get(), statement)).await {
                Ok(Ok((events, is_whole))) => {
                    if is_whole {
                        connection.finished();
                    }
                    return Ok(events);
                }
                Ok(Err(error)) => again.or_fail(error).await?,
                Err(_) => return Err(unavailable("PostgreSQL did not answer in time")),
            }
        }
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
    }

    /// Who listens keeps its connection in a pool of its own.
    pub(super) fn listeners(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.options.clone())
    }
}

/// A connection that is closed unless what it sends has come to its end.
struct Unfinished(Option<PoolConnection<Postgres>>);

impl Unfinished {
    fn get(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it is there until it is finished")
    }

    /// Gives it back.
    fn finished(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// Tries again, a little later each time, while the fault may pass.
struct Again {
    since: Instant,
    pause: Duration,
}

impl Default for Again {
    fn default() -> Self {
        Self { since: Instant::now(), pause: Duration::ZERO }
    }
}

impl Again {
    async fn or_fail(&mut self, error: sqlx::Error) -> Result<(), StoreError> {
        if !is_passing(&error) || self.since.elapsed() > PATIENCE {
            return Err(fault::of(error));
        }
        tracing::debug!(%error, "PostgreSQL is asked again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).clamp(Duration::from_millis(5), Duration::from_millis(250));
        Ok(())
    }
}
