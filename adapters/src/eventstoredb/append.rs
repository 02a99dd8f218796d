//! Appending: each stream's events are one append with that stream's version, and the appends of
//! a batch are made at the same time.
//!
//! What an answer says is what $all holds. An append that EventStoreDB acknowledges again, since
//! the same events (by their ids) stand at these versions already, is answered with those events
//! and their positions, as it was the first time. Appends at an exact revision, as all are here,
//! are compared with what is on disk, however long ago that was.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use hakken_commands::store::{Append, Appended, MAX_CONFLICT_EVENTS, StoreError};
use hakken_domain::{
    envelope::{StreamId, Version},
    names::EventId,
    time::Timestamp,
};
use tokio::time::{Instant, sleep};

use super::{Events, Shared, envelope, link::failed};
use crate::fault::unavailable;

/// Appends that are under way at once: a server takes some hundred calls on one connection.
pub(super) const AT_ONCE: usize = 64;

/// How long what was acknowledged may take to be seen in $all.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// Events that are waited for; no longer when this is dropped.
struct Awaited<'a> {
    shared: &'a Shared,
    ids: Vec<EventId>,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.shared.tail.forget(&self.ids);
    }
}

/// An append that was sent.
struct Sent {
    stream: StreamId,
    expected: Version,
    ids: Vec<EventId>,
    is_written: bool,
}

/// Appends a batch. One batch after the other, so that what is appended later has the later
/// position.
pub(super) async fn append(
    shared: &Shared,
    batch: Vec<Append>,
    now: Timestamp,
) -> Result<Vec<Appended>, StoreError> {
    shared.manners.rest().await;
    let _appending = shared.appending.lock().await;
    append_alone(shared, batch, now, Instant::now()).await
}

/// The same, where nobody else of this process appends, by one who began then.
pub(super) async fn append_alone(
    shared: &Shared,
    batch: Vec<Append>,
    now: Timestamp,
    began: Instant,
) -> Result<Vec<Appended>, StoreError> {
    let mut answers: Vec<Option<Appended>> = batch.iter().map(|_| None).collect();
    let mut rest: Vec<(usize, Append)> = batch.into_iter().enumerate().collect();
    // A stream should not stand in a batch twice. If it does, its appends come one by one.
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
    let answers: Vec<Appended> =
        answers.into_iter().map(|answer| answer.expect("each append was made")).collect();
    let is_written = |answer: &Appended| matches!(answer, Appended::Written(_));
    if !answers.is_empty() && answers.iter().all(is_written) {
        shared.manners.came_through(began.elapsed());
    }
    Ok(answers)
}

async fn append_distinct(
    shared: &Shared,
    batch: Vec<Append>,
    now: Timestamp,
) -> Result<Vec<Appended>, StoreError> {
    let ids = batch.iter().flat_map(|append| &append.events).map(|event| event.id).collect();
    let _awaited = Awaited { shared, ids };
    let sent: Vec<Result<Sent, StoreError>> = stream::iter(batch)
        .map(|append| send(shared, append, now))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let sent = sent.into_iter().collect::<Result<Vec<Sent>, StoreError>>()?;
    let mut answers = Vec::with_capacity(sent.len());
    for sent in sent {
        answers.push(match sent.is_written {
            true => Appended::Written(written(shared, &sent).await?),
            false => {
                shared.manners.ask(&shared.link).await;
                let newer = shared.stream(sent.stream, sent.expected, MAX_CONFLICT_EVENTS);
                Appended::Conflict { newer: newer.await? }
            }
        });
    }
    Ok(answers)
}

async fn send(shared: &Shared, append: Append, now: Timestamp) -> Result<Sent, StoreError> {
    let Append { stream, expected, events } = append;
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    if events.is_empty() {
        let is_written = shared.has_version(stream, expected).await?;
        return Ok(Sent { stream, expected, ids, is_written });
    }
    let proposed = events.iter().map(|event| envelope::proposed(event, now)).collect();
    shared.tail.expect(events.into_iter().map(|event| (event.id, event.decoded)));
    let name = envelope::stream_name(&shared.link.address().namespace, stream);
    let placed = shared.link.append(&name, expected, proposed).await.map_err(failed)?;
    Ok(Sent { stream, expected, ids, is_written: placed.is_some() })
}

/// The events of an append that was acknowledged, as they are in $all.
async fn written(shared: &Shared, sent: &Sent) -> Result<Events, StoreError> {
    let since = Instant::now();
    let count = sent.ids.len();
    loop {
        let seen = shared.tail.seen(&sent.ids);
        if seen.len() == count {
            return Ok(seen);
        }
        shared.look().await?;
        let seen = shared.tail.seen(&sent.ids);
        if seen.len() == count {
            return Ok(seen);
        }
        // Acknowledged again: they were there before this append was made.
        let found = shared.stream(sent.stream, sent.expected, count).await?;
        if found.len() == count && found.iter().map(|event| &event.id).eq(&sent.ids) {
            return Ok(found);
        }
        if since.elapsed() > SEEN_WITHIN {
            return Err(unavailable("what was appended is not in $all after ten seconds"));
        }
        sleep(Duration::from_millis(2)).await;
    }
}

impl Shared {
    /// Whether a stream has this version and no later one.
    async fn has_version(&self, stream: StreamId, version: Version) -> Result<bool, StoreError> {
        let before = version.saturating_sub(1);
        let found: Vec<Arc<_>> = self.stream(stream, before, 2).await?;
        Ok(match version {
            0 => found.is_empty(),
            _ => found.len() == 1,
        })
    }
}
