//! Appending: a batch for many streams is one statement on the one connection that writes.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{StreamExt, TryStreamExt, stream};
use hakken_commands::store::{Append, Appended, StoreError};
use hakken_domain::{
    envelope::{Position, Version},
    time::Timestamp,
};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use super::{
    Shared,
    connection::{DEADLINE, Database, signed},
    fault, newer,
};
use crate::{
    fault::unavailable,
    plan::{Plan, Planned, plan},
};

/// Streams that are read at once because another process had written them.
const CONFLICTS_AT_ONCE: usize = 4;

/// The connection that writes, while there is one.
pub(super) struct Writer {
    database: Database,
    connection: Mutex<Option<PgConnection>>,
    /// The server's name for the session: whoever listens need not be told what it wrote itself.
    session: watch::Sender<Option<u32>>,
    /// Whether somebody else listens. Telling wakes a session of every process, this one's too: at
    /// a commit for every millisecond that is no small part of what it costs.
    tells: AtomicBool,
}

/// What stood in the store when an append was made.
struct Found {
    head: Position,
    recorded_at: Timestamp,
    versions: Vec<Version>,
}

impl Writer {
    pub(super) fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
            connection: Mutex::default(),
            session: watch::Sender::new(None),
            tells: AtomicBool::new(true),
        }
    }

    /// Whether there is anybody to tell.
    pub(super) fn tell_others(&self, tells: bool) {
        self.tells.store(tells, Ordering::Relaxed);
    }

    /// The server's name for the session that writes.
    pub(super) fn session(&self) -> Option<u32> {
        *self.session.borrow()
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "the writing connection did not close well");
        }
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.database.connect_patiently().await?;
        // Stricter settings (a replica that must have it, too) are the operator's and stay. It is
        // set in any case: what the session has set, no later change of the server's takes away.
        let (session, _): (i32, String) = sqlx::query_as(
            "SELECT pg_backend_pid(), set_config('synchronous_commit',
                 CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                     ELSE current_setting('synchronous_commit') END, false)",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(fault::of)?;
        self.session.send_replace(Some(session.unsigned_abs()));
        Ok(connection)
    }

    /// Appends what fits. After any error the connection is another one: what became of the
    /// append is not known, and the session may still be at it.
    async fn append(&self, batch: &[Append], now: Timestamp) -> Result<Found, StoreError> {
        let mut place = self.connection.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let tells = self.tells.load(Ordering::Relaxed);
        let found = timeout(DEADLINE, append_once(&mut connection, batch, now, tells)).await;
        let found = found.map_err(|_| unavailable("PostgreSQL did not answer in time"))?;
        let found = found.map_err(fault::of)?;
        *place = Some(connection);
        Ok(found)
    }
}

async fn append_once(
    connection: &mut PgConnection,
    batch: &[Append],
    now: Timestamp,
    tells: bool,
) -> Result<Found, sqlx::Error> {
    let streams: Vec<String> = batch.iter().map(|append| append.stream.to_string()).collect();
    let expected: Vec<i64> = batch.iter().map(|append| signed(append.expected)).collect();
    let count = batch.iter().map(|append| append.events.len()).sum();
    let mut of_append = Vec::with_capacity(count);
    let (mut event_streams, mut versions) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut ids, mut kinds) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut schemas = Vec::with_capacity(count);
    let (mut metas, mut datas) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for ((at, append), stream) in (1_i32..).zip(batch).zip(&streams) {
        for (event, version) in append.events.iter().zip(1..) {
            of_append.push(at);
            event_streams.push(stream.as_str());
            versions.push(signed(append.expected.saturating_add(version)));
            ids.push(event.id.0.to_bytes().to_vec());
            kinds.push(event.kind);
            schemas.push(i32::from(event.schema));
            metas.push(&event.meta[..]);
            datas.push(&event.data[..]);
        }
    }
    let (head, recorded_at, versions): (i64, i64, Vec<i64>) = sqlx::query_as(
        "SELECT head, recorded, versions
         FROM hakken.append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(&streams)
    .bind(expected)
    .bind(of_append)
    .bind(event_streams)
    .bind(versions)
    .bind(ids)
    .bind(kinds)
    .bind(schemas)
    .bind(metas)
    .bind(datas)
    .bind(now.as_micros())
    .bind(tells)
    .fetch_one(connection)
    .await?;
    Ok(Found {
        head: Position(head.unsigned_abs()),
        recorded_at: Timestamp::from_micros(recorded_at),
        versions: versions.into_iter().map(i64::unsigned_abs).collect(),
    })
}

/// Appends a batch and announces what was written.
pub(super) async fn append(
    shared: &Shared,
    batch: Vec<Append>,
    now: Timestamp,
) -> Result<Vec<Appended>, StoreError> {
    let mut answers: Vec<Option<Appended>> = batch.iter().map(|_| None).collect();
    let mut rest: Vec<(usize, Append)> = batch.into_iter().enumerate().collect();
    // A stream stands at most once in a statement. It should not stand in a batch twice either.
    while !rest.is_empty() {
        let mut streams = HashSet::new();
        let (first, again) =
            rest.into_iter().partition(|(_, append)| streams.insert(append.stream));
        rest = again;
        let (places, appends): (Vec<usize>, Vec<Append>) = Vec::into_iter(first).unzip();
        for (place, answer) in places.into_iter().zip(append_distinct(shared, appends, now).await?)
        {
            answers[place] = Some(answer);
        }
    }
    Ok(answers.into_iter().map(|answer| answer.expect("each append was made")).collect())
}

async fn append_distinct(
    shared: &Shared,
    batch: Vec<Append>,
    now: Timestamp,
) -> Result<Vec<Appended>, StoreError> {
    let Found { head, recorded_at, versions } = shared.writer.append(&batch, now).await?;
    // The same rule on both sides: what the server wrote is what the plan says.
    let Plan { events, outcomes } = plan(batch, &versions, head, recorded_at);
    let events: Arc<[_]> = events.into();
    shared.tail.announce(&events);
    let answers = outcomes.into_iter().map(|outcome| {
        let events = &events;
        async move {
            Ok(match outcome {
                Planned::Write(range) => Appended::Written(events[range].to_vec()),
                Planned::Conflict { stream, expected } => {
                    Appended::Conflict { newer: newer(&shared.database, stream, expected).await? }
                }
            })
        }
    });
    // Where processes share many streams, a batch has many conflicts.
    stream::iter(answers).buffered(CONFLICTS_AT_ONCE).try_collect().await
}
