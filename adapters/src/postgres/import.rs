//! Taking events that another store recorded: a page of them is one transaction, under the lock
//! that appends take, so that positions stay without gaps here too.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use hakken_commands::store::{Imported, StoreError};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    time::Timestamp,
};
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::{
    Events, Shared,
    connection::{DEADLINE, signed},
    fault,
};
use crate::{fault::unavailable, plan::follow_on};

/// Takes a page of events. After an error what became of them is not known: who imports looks
/// where the store ends.
pub(super) async fn import(shared: &Shared, events: Events) -> Result<Imported, StoreError> {
    let mut connection = shared.database.ready().await?;
    let taken = timeout(DEADLINE, import_once(&mut connection, events)).await;
    let taken = match taken {
        Ok(taken) => taken.map_err(fault::of)?,
        Err(_) => {
            drop(connection.detach());
            return Err(unavailable("PostgreSQL did not answer in time"));
        }
    };
    match taken {
        Ok(events) => {
            shared.tail.announce(&events.into());
            Ok(Imported::Taken)
        }
        Err(position) => Ok(Imported::DoesNotFollow(position)),
    }
}

async fn import_once(
    connection: &mut PgConnection,
    events: Events,
) -> Result<Result<Events, Position>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // Stricter settings are the operator's and stay.
    sqlx::query(
        "SELECT CASE WHEN current_setting('synchronous_commit') = 'off'
             THEN set_config('synchronous_commit', 'on', true) END",
    )
    .execute(&mut *transaction)
    .await?;
    // The lock of `append_events`: nobody gives out a position meanwhile.
    sqlx::query("SELECT pg_advisory_xact_lock(1751215726, 1)").execute(&mut *transaction).await?;
    let newest: Option<(i64, i64)> = sqlx::query_as(
        "SELECT position, recorded_at FROM hakken.events ORDER BY position DESC LIMIT 1",
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let (head, recorded_at) = newest.map_or((Position(0), Timestamp::default()), |(head, at)| {
        (Position(head.unsigned_abs()), Timestamp::from_micros(at))
    });
    let mut seen = HashSet::new();
    let streams = events.iter().map(|event| event.stream);
    let streams: Vec<_> = streams.filter(|stream| seen.insert(*stream)).collect();
    let names: Vec<String> = streams.iter().map(ToString::to_string).collect();
    let known: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT began, coalesce((SELECT e.version FROM hakken.events e
             WHERE e.began = s.began ORDER BY e.version DESC LIMIT 1), 0)
         FROM (
             SELECT place, coalesce(
                 (SELECT b.began FROM hakken.streams b WHERE b.stream = n.stream), 0) AS began
             FROM unnest($1::text[]) WITH ORDINALITY AS n (stream, place)
         ) AS s ORDER BY s.place",
    )
    .bind(&names)
    .fetch_all(&mut *transaction)
    .await?;
    let versions = known.iter().map(|(_, version)| version.unsigned_abs());
    let mut heads = streams.iter().copied().zip(versions).collect();
    let events = match follow_on(events, &mut heads, head, recorded_at) {
        Ok(events) => events,
        Err(position) => return Ok(Err(position)),
    };
    let mut began = streams.into_iter().zip(known.iter().map(|(began, _)| *began)).collect();
    insert(&mut transaction, &events, &mut began).await?;
    sqlx::query("SELECT pg_notify('hakken_events', '')").execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Ok(events))
}

/// Writes events. `began` has the position where each of their streams began, and 0 for new ones.
async fn insert(
    connection: &mut PgConnection,
    events: &[Arc<StoredEvent>],
    began: &mut HashMap<StreamId, i64>,
) -> Result<(), sqlx::Error> {
    let began: Vec<i64> = events
        .iter()
        .map(|event| {
            let began = began.entry(event.stream).or_default();
            if *began == 0 {
                *began = signed(event.position.0);
            }
            *began
        })
        .collect();
    let numbers = |of: fn(&StoredEvent) -> i64| events.iter().map(|e| of(e)).collect::<Vec<_>>();
    let bytes = |of: fn(&StoredEvent) -> &[u8]| events.iter().map(|e| of(e)).collect::<Vec<_>>();
    let schemas: Vec<i32> = events.iter().map(|event| i32::from(event.schema)).collect();
    let streams: Vec<String> = events.iter().map(|event| event.stream.to_string()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| &*event.kind).collect();
    let ids: Vec<Vec<u8>> = events.iter().map(|event| event.id.0.to_bytes().to_vec()).collect();
    sqlx::query(
        "WITH written AS (
             INSERT INTO hakken.events
                 (position, recorded_at, version, schema, stream, kind, id, meta, data, began)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[],
                                  $6::text[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bigint[])
             RETURNING stream, began, version
         )
         INSERT INTO hakken.streams SELECT stream, began FROM written WHERE version = 1",
    )
    .bind(numbers(|event| signed(event.position.0)))
    .bind(numbers(|event| event.recorded_at.as_micros()))
    .bind(numbers(|event| signed(event.version)))
    .bind(schemas)
    .bind(streams)
    .bind(kinds)
    .bind(ids)
    .bind(bytes(|event| &event.meta))
    .bind(bytes(|event| &event.data))
    .bind(began)
    .execute(connection)
    .await?;
    Ok(())
}
