//! Events, snapshots and checkpoints in PostgreSQL 13 or newer, for several processes at once.
//!
//! Positions are 1, 2, 3, … without gaps. They are given one append after the other, under a lock
//! that is held until the append is committed and seen (`schema.sql`), so no reader can see n + 1
//! before n. An append of any number of streams is one statement and one round trip. Whoever
//! follows is told by NOTIFY, unless this process is alone, and asks four times a second in any
//! case.
//!
//! The address says how the connection is secured, in the words of libpq: `sslmode` (`disable`,
//! `prefer`, `require`, `verify-ca`, `verify-full`), `sslrootcert`, `sslcert` and `sslkey`. What
//! `sslrootcert` names is trusted beside the authorities of this machine.
//!
//! Connections are made anew whenever they are lost, and every statement has a deadline. A read
//! is asked again for some seconds; an append is not, because what became of it is not known: the
//! write loop reads the streams again and decides again.

mod append;
mod connection;
mod fault;
mod import;
mod lease;
mod read;
mod rows;
mod schema;
mod side;
mod tail;
mod tls;
mod turn;
mod unfinished;

use std::sync::{Arc, atomic::AtomicU64};

use futures_util::future::{BoxFuture, FutureExt};
use hakken_commands::store::{
    Append, Appended, EventStore, EventStream, Imported, MAX_CONFLICT_EVENTS, StoreError, Turn,
};
use hakken_domain::{
    envelope::{Fingerprint, Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};
use hakken_projections::feed::Interest;
use tokio::task::JoinHandle;

use self::{append::Writer, connection::Database, tail::Tail};
pub use self::{lease::Lease, rows::PostgresRows, schema::OpenError};
use crate::{fault::unavailable, feed::feed_from_store, live};

type Events = Vec<Arc<StoredEvent>>;

/// Most events of one answer.
const PAGE_EVENTS: usize = 10_000;

/// The event store in a PostgreSQL database.
pub struct PostgresStore {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

/// What appends, reads and followers that are under way keep alive.
struct Shared {
    database: Database,
    writer: Writer,
    tail: Tail,
}

impl PostgresStore {
    /// Opens the store of a database, such as `postgres://user@host/hakken`; makes its tables if
    /// there are none. Any number of processes can.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let database = Database::open(url)?.for_events();
        schema::prepare(&database).await?;
        let head = head(&database).await;
        let head = head.map_err(|error| OpenError::unreachable(&database, error))?;
        let writer = Writer::new(&database);
        let shared = Arc::new(Shared { database, writer, tail: Tail::new(head) });
        let tasks = tail::start(&shared);
        Ok(Self { shared, tasks })
    }

    /// Binds the database to an engine's secret. Every process of one database must have the same
    /// one: with another, it would refuse the codes and keys that the others gave out.
    pub async fn bind_secret(&self, check: Fingerprint) -> Result<(), OpenError> {
        schema::bind_secret(&self.shared.database, check).await
    }

    /// The check of the secret that the database is bound to, if it is to one.
    pub async fn bound_secret(&self) -> Result<Option<Fingerprint>, StoreError> {
        schema::bound_secret(&self.shared.database).await
    }

    /// Whether some process holds the lease now: a server runs on this database.
    pub async fn is_served(&self) -> Result<bool, StoreError> {
        lease::is_held(&self.shared.database).await
    }

    /// Where a database is, without a password.
    pub fn name(&self) -> String {
        self.shared.database.name()
    }

    /// Whether a server with this secret could use the database: no other one is bound to it.
    pub async fn is_for_secret(&self, check: Fingerprint) -> Result<bool, StoreError> {
        let check = check.to_string();
        self.shared
            .database
            .ask(|connection| {
                sqlx::query_scalar("SELECT coalesce(secret_check = $1, true) FROM hakken.store")
                    .bind(check.clone())
                    .fetch_one(connection)
                    .boxed()
            })
            .await
    }

    /// Asks to be the one process that runs what must run once. See [`Lease`].
    pub fn lease(&self) -> Lease {
        Lease::start(&self.shared.database)
    }

    /// Connections that were made, beside those that read: a few at the start, and one more for
    /// each that was lost. Counted as they are made.
    pub fn connections_made(&self) -> Arc<AtomicU64> {
        self.shared.database.made()
    }

    /// Waits for what is being appended, then closes every connection.
    pub async fn close(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // That it was cut off is no error: it only listened.
            let _ = task.await;
        }
        self.shared.tail.live.end();
        self.shared.writer.close().await;
        self.shared.database.close().await;
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.shared.tail.live.end();
    }
}

async fn head(database: &Database) -> Result<Position, StoreError> {
    let newest: i64 = database
        .ask(|connection| {
            sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM hakken.events")
                .fetch_one(connection)
                .boxed()
        })
        .await?;
    Ok(Position(newest.unsigned_abs()))
}

impl EventStore for PostgresStore {
    fn append(
        &self,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            // A task of its own, because it must not stop half-way when the caller goes away.
            let append = tokio::spawn(async move { append::append(&shared, batch, now).await });
            append.await.unwrap_or_else(|error| Err(unavailable(error)))
        }
        .boxed()
    }

    fn turn(
        &self,
        known: Vec<(StreamId, Version)>,
    ) -> Option<BoxFuture<'static, Result<Turn, StoreError>>> {
        Some(turn::turn(Arc::clone(&self.shared), known).boxed())
    }

    fn import(&self, events: Events) -> BoxFuture<'_, Result<Imported, StoreError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            let import = tokio::spawn(async move { import::import(&shared, events).await });
            import.await.unwrap_or_else(|error| Err(unavailable(error)))
        }
        .boxed()
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Events, StoreError>> {
        self.shared.database.read_stream(stream, after, limit).boxed()
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Events, StoreError>> {
        self.shared.database.read_all(after, limit).boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        head(&self.shared.database).boxed()
    }

    fn follow(&self, after: Position) -> EventStream {
        let database = self.shared.database.clone();
        live::follow(&self.shared.tail.live, after, move |after, limit| {
            let database = database.clone();
            async move { database.read_all(after, limit).await }
        })
    }
}

feed_from_store!(
    PostgresStore,
    fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        interest: Interest,
    ) -> crate::feed::FeedFuture<'_, Events> {
        let events = self.shared.database.read_wanted(after, limit, interest);
        Box::pin(async { events.await.map_err(crate::feed::feed_error) })
    }
);

/// What a stream has after a version, for who expected it there.
async fn newer(
    database: &Database,
    stream: StreamId,
    expected: Version,
) -> Result<Events, StoreError> {
    database.read_stream(stream, expected, MAX_CONFLICT_EVENTS).await
}
