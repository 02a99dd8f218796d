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
    sync::{Mutex, OwnedMutexGuard, watch},
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

/// How long a turn may wait for whoever has it before the server ends the session.
const STANDS_STILL: &str = "1s";

/// The connection that writes, while there is one.
pub(super) struct Writer {
    database: Database,
    connection: Arc<Mutex<Option<PgConnection>>>,
    /// The server's name for the session: whoever listens need not be told what it wrote itself.
    session: watch::Sender<Option<u32>>,
    /// Whether somebody else listens. Telling wakes a session of every process, this one's too: at
    /// a commit for every millisecond that is no small part of what it costs.
    tells: AtomicBool,
}

/// What stood in the store when an append was made.
pub(super) struct Found {
    head: Position,
    recorded_at: Timestamp,
    versions: Vec<Version>,
}

impl Writer {
    pub(super) fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
            connection: Arc::default(),
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
        // And whoever stands still in a turn must not hold up all others.
        let (session, _, _): (i32, String, String) = sqlx::query_as(
            "SELECT pg_backend_pid(), set_config('synchronous_commit',
                 CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                     ELSE current_setting('synchronous_commit') END, false),
                 set_config('idle_in_transaction_session_timeout', $1, false)",
        )
        .bind(STANDS_STILL)
        .fetch_one(&mut connection)
        .await
        .map_err(fault::of)?;
        self.session.send_replace(Some(session.unsigned_abs()));
        Ok(connection)
    }

    /// Takes the connection, to write.
    pub(super) async fn take(&self) -> Result<Session, StoreError> {
        let mut place = Arc::clone(&self.connection).lock_owned().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Session { connection, place })
    }

    /// Appends what fits.
    async fn append(&self, batch: &[Append], now: Timestamp) -> Result<Found, StoreError> {
        let mut session = self.take().await?;
        let tells = self.tells();
        let found = in_time(append_once(&mut session.connection, batch, now, tells)).await?;
        session.give_back();
        Ok(found)
    }

    pub(super) fn tells(&self) -> bool {
        self.tells.load(Ordering::Relaxed)
    }
}

/// The connection that writes, in the hands of one. Unless all is well in the end the next one who
/// writes has another: after an error it is not known what became of an append, and the server may
/// still be at it.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    place: OwnedMutexGuard<Option<PgConnection>>,
}

impl Session {
    /// Gives it back.
    pub(super) fn give_back(mut self) {
        *self.place = Some(self.connection);
    }
}

/// What PostgreSQL answers before the deadline.
pub(super) async fn in_time<T>(
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match timeout(DEADLINE, asked).await {
        Ok(answer) => answer.map_err(fault::of),
        Err(_) => Err(unavailable("PostgreSQL did not answer in time")),
    }
}

pub(super) async fn append_once(
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
    let mut answers = Answers::of(&batch);
    for part in distinct(batch) {
        let found = shared.writer.append(&part.appends, now).await?;
        answers.take(shared, part, found).await?;
    }
    Ok(answers.all())
}

/// A part of a batch in which each stream stands once.
pub(super) struct Distinct {
    /// Where its appends stand in the batch.
    places: Vec<usize>,
    pub(super) appends: Vec<Append>,
}

/// A stream stands at most once in a statement. It should not stand in a batch twice either.
pub(super) fn distinct(batch: Vec<Append>) -> Vec<Distinct> {
    let mut parts = Vec::new();
    let mut rest: Vec<(usize, Append)> = batch.into_iter().enumerate().collect();
    while !rest.is_empty() {
        let mut streams = HashSet::new();
        let (first, again) =
            rest.into_iter().partition(|(_, append)| streams.insert(append.stream));
        rest = again;
        let (places, appends) = Vec::into_iter(first).unzip();
        parts.push(Distinct { places, appends });
    }
    parts
}

/// What became of each append of a batch.
pub(super) struct Answers(Vec<Option<Appended>>);

impl Answers {
    pub(super) fn of(batch: &[Append]) -> Self {
        Self(batch.iter().map(|_| None).collect())
    }

    /// Announces what was written, and reads what others wrote where it was not.
    pub(super) async fn take(
        &mut self,
        shared: &Shared,
        part: Distinct,
        found: Found,
    ) -> Result<(), StoreError> {
        let Found { head, recorded_at, versions } = found;
        // The same rule on both sides: what the server wrote is what the plan says.
        let Plan { events, outcomes } = plan(part.appends, &versions, head, recorded_at);
        let events: Arc<[_]> = events.into();
        shared.tail.announce(&events);
        let answers = outcomes.into_iter().map(|outcome| {
            let events = &events;
            async move {
                Ok::<_, StoreError>(match outcome {
                    Planned::Write(range) => Appended::Written(events[range].to_vec()),
                    Planned::Conflict { stream, expected } => {
                        let newer = newer(&shared.database, stream, expected).await?;
                        Appended::Conflict { newer }
                    }
                })
            }
        });
        // Where processes share many streams, a batch has many conflicts.
        let answers: Vec<_> =
            stream::iter(answers).buffered(CONFLICTS_AT_ONCE).try_collect().await?;
        for (place, answer) in part.places.into_iter().zip(answers) {
            self.0[place] = Some(answer);
        }
        Ok(())
    }

    pub(super) fn all(self) -> Vec<Appended> {
        self.0.into_iter().map(|answer| answer.expect("each append was made")).collect()
    }
}
