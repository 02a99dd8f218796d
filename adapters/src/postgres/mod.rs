//! Events, snapshots and checkpoints in PostgreSQL 13 or newer, for several processes at once.
//!
//! Positions are 1, 2, 3, … without gaps. They are given one append after the other, under a lock
//! that is held until the append is committed and seen (`schema.sql`), so no reader can see n + 1
//! before n. An append of any number of streams is one statement and one round trip. Whoever
//! follows is told by NOTIFY, and asks four times a second in any case.
//!
//! Connections are made anew whenever they are lost, and every statement has a deadline. A read
//! is asked again for some seconds; an append is not, because what became of it is not known: the
//! write loop reads the streams again and decides again.

mod append;
mod connection;
mod fault;
mod import;
mod lease;
mod rows;
mod schema;
mod side;
mod tail;
mod unfinished;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use hakken_commands::store::{
    Append, Appended, EventStore, EventStream, Imported, MAX_CONFLICT_EVENTS, StoreError,
};
use hakken_domain::{
    codec,
    envelope::{Fingerprint, Position, StoredEvent, StreamId, StreamKind, Version},
    names::EventId,
    time::Timestamp,
};
use hakken_projections::feed::Interest;
use sqlx::{Row as _, postgres::PgRow};
use tokio::task::JoinHandle;
use ulid::Ulid;

use self::{
    append::Writer,
    connection::{Database, signed},
    tail::Tail,
};
pub use self::{lease::Lease, rows::PostgresRows, schema::OpenError};
use crate::{fault::unavailable, feed::feed_from_store, live};

type Events = Vec<Arc<StoredEvent>>;

/// Most bytes of data and metadata of one answer, except that a single event may have more.
const PAGE_BYTES: i64 = 8 << 20;

/// Most events of one answer.
const PAGE_EVENTS: usize = 10_000;

/// What is read of an event, in the order of [`read_event`].
const COLUMNS: &str = "position, recorded_at, version, schema, stream, kind, id, meta, data";

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
        let database = Database::open(url)?;
        schema::prepare(&database).await?;
        let head = head(&database).await;
        let head = head.map_err(|error| OpenError::unreachable(database.name(), error.source))?;
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

fn read_event(row: &PgRow) -> Result<Arc<StoredEvent>, sqlx::Error> {
    let bad = |column: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        sqlx::Error::ColumnDecode { index: column.to_owned(), source: error }
    };
    let number = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(at)?.unsigned_abs());
    let stream: &str = row.try_get(4)?;
    let kind: &str = row.try_get(5)?;
    let id: &[u8] = row.try_get(6)?;
    let id: [u8; 16] = id.try_into().map_err(|error| bad("id", Box::new(error)))?;
    Ok(Arc::new(StoredEvent {
        position: Position(number(0)?),
        recorded_at: Timestamp::from_micros(row.try_get(1)?),
        version: number(2)?,
        schema: u16::try_from(row.try_get::<i32, _>(3)?)
            .map_err(|error| bad("schema", Box::new(error)))?,
        stream: stream.parse().map_err(|error| bad("stream", Box::new(error)))?,
        kind: match codec::known_kind(kind) {
            Some(known) => known.into(),
            None => kind.to_owned().into(),
        },
        id: EventId(Ulid::from_bytes(id)),
        meta: Bytes::copy_from_slice(row.try_get(7)?),
        data: Bytes::copy_from_slice(row.try_get(8)?),
        cache: std::sync::OnceLock::new(),
    }))
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

/// Events that meet a condition on the first parameter, in an order, cut off behind a page.
fn page_statement(condition: &str, order: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM (
             SELECT {COLUMNS}, sum(octet_length(data) + octet_length(meta)) OVER (
                 ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
             FROM hakken.events WHERE {condition} ORDER BY {order} LIMIT $2
         ) AS page
         WHERE coalesce(before, 0) < {PAGE_BYTES} ORDER BY {order}"
    )
}

fn rows_of(limit: usize) -> i64 {
    limit.min(PAGE_EVENTS) as i64
}

impl Database {
    async fn events(
        &self,
        statement: impl Fn() -> sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>
        + Sync,
    ) -> Result<Events, StoreError> {
        self.ask(|connection| {
            let query = statement();
            async move {
                let rows = query.fetch_all(connection).await?;
                rows.iter().map(read_event).collect()
            }
            .boxed()
        })
        .await
    }

    async fn read_all(&self, after: Position, limit: usize) -> Result<Events, StoreError> {
        if limit == 0 || i64::try_from(after.0).is_err() {
            return Ok(Vec::new());
        }
        self.events(|| sqlx::query(statements::all()).bind(signed(after.0)).bind(rows_of(limit)))
            .await
    }

    async fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        interest: Interest,
    ) -> Result<Events, StoreError> {
        if limit == 0 || i64::try_from(after.0).is_err() {
            return Ok(Vec::new());
        }
        let streams: Vec<&str> = interest.streams.iter().copied().map(StreamKind::as_str).collect();
        let passes_over = interest.passes_over.to_vec();
        self.events(|| {
            sqlx::query(statements::wanted())
                .bind(signed(after.0))
                .bind(rows_of(limit))
                .bind(streams.clone())
                .bind(passes_over.clone())
        })
        .await
    }

    async fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Events, StoreError> {
        if limit == 0 || i64::try_from(after).is_err() {
            return Ok(Vec::new());
        }
        self.events(|| {
            sqlx::query(statements::stream())
                .bind(signed(after))
                .bind(rows_of(limit))
                .bind(stream.to_string())
        })
        .await
    }
}

/// The statements that read, made once.
mod statements {
    use std::sync::LazyLock;

    use sqlx::AssertSqlSafe;

    use super::page_statement;

    type Text = AssertSqlSafe<&'static str>;

    pub(super) fn all() -> Text {
        static TEXT: LazyLock<String> =
            LazyLock::new(|| page_statement("position > $1", "position"));
        AssertSqlSafe(&TEXT)
    }

    /// The last event of the page is there whether it is wanted or not.
    pub(super) fn wanted() -> Text {
        static TEXT: LazyLock<String> = LazyLock::new(|| {
            page_statement(
                "position > $1 AND position <= $1 + $2 AND (
                     split_part(stream, '-', 1) = ANY ($3) AND kind <> ALL ($4)
                     OR position = (SELECT max(position) FROM hakken.events
                                    WHERE position <= $1 + $2))",
                "position",
            )
        });
        AssertSqlSafe(&TEXT)
    }

    pub(super) fn stream() -> Text {
        static TEXT: LazyLock<String> =
            LazyLock::new(|| page_statement("version > $1 AND stream = $3", "version"));
        AssertSqlSafe(&TEXT)
    }
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
