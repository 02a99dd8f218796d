//! Turns: a transaction on the connection that writes, which begins with the lock that every append
//! takes and ends with the append, so that nobody writes between what is read in it and what is
//! decided on that.

use std::sync::Arc;

use futures_util::FutureExt;
use hakken_commands::store::{Append, Appended, MAX_CONFLICT_EVENTS, StoreError, Turn};
use hakken_domain::{
    envelope::{StreamId, Version},
    time::Timestamp,
};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Events, Shared,
    append::{Answers, Session, append_once, distinct, in_time},
    connection::signed,
    read::{COLUMNS, read_row},
};
use crate::fault::unavailable;

/// The lock of `hakken.append_events`, which may take it again. Who comes first has it first.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(1751215726, 1)";

/// Most bytes of data and metadata that a turn brings, but for the last event.
const TURN_BYTES: usize = 2 << 20;

/// Waits for a turn, and reads what is newer in these streams.
pub(super) async fn turn(
    shared: Arc<Shared>,
    known: Vec<(StreamId, Version)>,
) -> Result<Turn, StoreError> {
    let mut session = shared.writer.take().await?;
    let newer = in_time(begin(&mut session.connection, &known)).await?;
    let newer = whole(&known, newer);
    Ok(Turn::new(newer, move |batch, now| {
        async move {
            // A task of its own, because it must not stop half-way when the caller goes away.
            let append = tokio::spawn(append(shared, session, batch, now));
            append.await.unwrap_or_else(|error| Err(unavailable(error)))
        }
        .boxed()
    }))
}

async fn begin(
    connection: &mut PgConnection,
    known: &[(StreamId, Version)],
) -> Result<Events, sqlx::Error> {
    sqlx::raw_sql(BEGIN).execute(&mut *connection).await?;
    // A statement of its own sees all that was committed before the lock was had.
    let (streams, after): (Vec<String>, Vec<i64>) =
        known.iter().map(|(stream, version)| (stream.to_string(), signed(*version))).unzip();
    let rows = sqlx::query(newer_text()).bind(streams).bind(after).fetch_all(connection).await?;
    rows.iter().map(read_row).collect()
}

/// What is newer in each stream: in the order of the streams, then of versions, cut off behind
/// [`TURN_BYTES`].
fn newer_text() -> AssertSqlSafe<&'static str> {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        format!(
            "SELECT {COLUMNS} FROM (
                 SELECT newer.*, place,
                     sum(octet_length(data) + octet_length(meta)) OVER (ORDER BY place, version
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                 FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY
                         AS known (in_stream, after, place)
                     CROSS JOIN LATERAL (
                         SELECT {COLUMNS} FROM hakken.events
                         WHERE began = (
                                 SELECT s.began FROM hakken.streams s WHERE s.stream = in_stream)
                             AND version > after
                         ORDER BY version LIMIT {MAX_CONFLICT_EVENTS}
                     ) AS newer
             ) AS page
             WHERE coalesce(before, 0) < {TURN_BYTES} ORDER BY place, version"
        )
    });
    AssertSqlSafe(&TEXT)
}

/// The events of each stream, where all of them were read. Where the page was cut off nobody knows
/// of the stream in which that was, nor of those behind it.
fn whole(known: &[(StreamId, Version)], newer: Events) -> Vec<Option<Events>> {
    let bytes: usize = newer.iter().map(|event| event.data.len() + event.meta.len()).sum();
    let cut_in = newer.last().map(|event| event.stream).filter(|_| bytes >= TURN_BYTES);
    let mut newer = newer.into_iter().peekable();
    let mut is_cut = false;
    let each = known.iter().map(|(stream, _)| {
        let mut events = Events::new();
        while let Some(event) = newer.next_if(|event| event.stream == *stream) {
            events.push(event);
        }
        is_cut |= cut_in == Some(*stream);
        (!is_cut && events.len() < MAX_CONFLICT_EVENTS).then_some(events)
    });
    each.collect()
}

/// Appends and ends the turn. After an error the session is closed: what was not committed by then
/// is not written.
async fn append(
    shared: Arc<Shared>,
    mut session: Session,
    batch: Vec<Append>,
    now: Timestamp,
) -> Result<Vec<Appended>, StoreError> {
    let mut answers = Answers::of(&batch);
    let mut parts = Vec::new();
    for part in distinct(batch) {
        let (connection, tells) = (&mut session.connection, shared.writer.tells());
        let found = in_time(append_once(connection, &part.appends, now, tells)).await?;
        parts.push((part, found));
    }
    in_time(sqlx::raw_sql("COMMIT").execute(&mut session.connection)).await?;
    session.give_back();
    for (part, found) in parts {
        answers.take(&shared, part, found).await?;
    }
    Ok(answers.all())
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use hakken_domain::{
        envelope::{Position, StoredEvent, StreamKind},
        names::{EventId, derived_ulid},
    };

    use super::*;

    fn stream(number: u64) -> StreamId {
        StreamId { kind: StreamKind::Order, id: derived_ulid(&["stream", &number.to_string()]) }
    }

    fn events(number: u64, count: u64, bytes: usize) -> Events {
        let event = |version| {
            Arc::new(StoredEvent {
                position: Position(version),
                stream: stream(number),
                version,
                id: EventId(derived_ulid(&["event"])),
                kind: "order-placed".into(),
                schema: 1,
                recorded_at: Timestamp::default(),
                meta: Default::default(),
                data: vec![0; bytes].into(),
                cache: OnceLock::new(),
            })
        };
        (1..=count).map(event).collect()
    }

    fn lengths(newer: Events) -> Vec<Option<usize>> {
        let known = [1, 2, 3, 4].map(|number| (stream(number), 0));
        whole(&known, newer).into_iter().map(|newer| Some(newer?.len())).collect()
    }

    #[test]
    fn each_stream_gets_its_own_and_only_if_all_of_it_is_there() {
        assert_eq!(lengths(Events::new()), [Some(0); 4]);
        let some = [events(2, 3, 10), events(4, 1, 10)].concat();
        assert_eq!(lengths(some), [Some(0), Some(3), Some(0), Some(1)]);
        let many = [events(1, MAX_CONFLICT_EVENTS as u64, 10), events(3, 1, 10)].concat();
        assert_eq!(lengths(many), [None, Some(0), Some(1), Some(0)]);
        let cut = [events(1, 2, 10), events(3, 3, TURN_BYTES / 3 + 1)].concat();
        assert_eq!(lengths(cut), [Some(2), Some(0), None, None]);
    }
}
