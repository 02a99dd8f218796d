//! Turns without a lock, because EventStoreDB has none that a process could wait for. Such a turn
//! keeps nobody from appending: it brings what is newer, and expected versions decide, as always.
//! What makes it a turn is that whoever came through gives way for a moment. Else one process would
//! come through again and again: while those that met a conflict with it read, its next append is
//! on its way already.
//!
//! Who always comes through meets no conflict and knows of nobody else. So whoever meets one says so
//! in a stream for that, `hakken-turns`, which every process sees in $all and no engine reads as
//! its own. Events there are of no use after a second, and the server is told to keep few.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use eventstore::{
    AppendToStreamOptions, Client, EventData, ExpectedRevision, RecordedEvent,
    StreamMetadataBuilder,
};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use hakken_commands::store::{MAX_CONFLICT_EVENTS, StoreError, Turn, is_last};
use hakken_domain::envelope::{StreamId, Version};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::{
    Events, Shared,
    append::{AT_ONCE, append_alone},
    link::{Fault, Link},
};
use crate::{fault::unavailable, system::random_bytes};

/// The type of an event that says that its process met a conflict.
const WANTED: &str = "turn-wanted";

/// A process that somebody has asked gives way for so long.
const ASKED: Duration = Duration::from_secs(1);

/// Nobody asks more often.
const EVERY: Duration = Duration::from_millis(10);

/// Nobody gives way for longer, however slow the server is.
const LONGEST_REST: Duration = Duration::from_millis(250);

/// What a process knows of others that want to come through.
pub(super) struct Manners {
    /// Of the stream in which they ask.
    stream: String,
    /// Under which this process asks.
    process: Uuid,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    rests_until: Option<Instant>,
    /// When another process asked last, and how often others did since this one saw that somebody
    /// came through.
    others_asked: Option<(Instant, u32)>,
    /// When this one asked last.
    asked: Option<Instant>,
}

impl Known {
    /// How often others asked, if that is not long ago.
    fn asked_lately(&self) -> u32 {
        self.others_asked.filter(|(asked, _)| asked.elapsed() < ASKED).map_or(0, |(_, times)| times)
    }
}

impl Manners {
    pub(super) fn new(namespace: &str) -> Self {
        let random = random_bytes().unwrap_or_default();
        let process = Uuid::from_bytes(std::array::from_fn(|at| random[at]));
        Self { stream: format!("{namespace}-turns"), process, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event was seen in $all: maybe somebody asks.
    pub(super) fn saw(&self, event: &RecordedEvent) {
        if event.stream_id == self.stream && event.data[..] != self.process.as_bytes()[..] {
            let mut known = self.known();
            let times = known.asked_lately();
            known.others_asked = Some((Instant::now(), times + 1));
        }
    }

    /// Waits until others had their time.
    pub(super) async fn rest(&self) {
        let until = self.known().rests_until;
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    /// An append that took so long came through. Those who asked have then some time of their own,
    /// and twice as much each time they asked in vain: how far away they are nobody knows. Not the
    /// same time always, or two would keep step.
    pub(super) fn came_through(&self, took: Duration) {
        let mut known = self.known();
        let times = known.asked_lately();
        if times == 0 {
            return;
        }
        let chance = random_bytes().map_or(0, |bytes| bytes[0]);
        let longer = f64::from(1_u32 << times.min(8)) * (0.75 + f64::from(chance) / 510.0);
        let rest = took.mul_f64(longer).min(LONGEST_REST);
        known.rests_until = Some(Instant::now() + rest);
    }

    /// A conflict was met, so somebody else came through: asks all others to give way. What becomes
    /// of that is of no consequence.
    pub(super) async fn ask(&self, link: &Link) {
        let is_first = {
            let mut known = self.known();
            known.others_asked = None;
            if known.asked.is_some_and(|asked| asked.elapsed() < EVERY) {
                return;
            }
            known.asked.replace(Instant::now()).is_none()
        };
        let asked = async {
            // Who may not say how much is kept may still ask.
            if is_first && let Err(error) = keep_few(link, &self.stream).await {
                tracing::debug!(%error, "what processes ask each other is kept for ever");
            }
            say(link, &self.stream, self.process).await
        };
        match timeout(ASKED, asked).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "others were not asked to give way"),
            Err(_) => tracing::debug!("others were not asked to give way in time"),
        }
    }
}

async fn say(link: &Link, stream: &str, process: Uuid) -> Result<(), Fault> {
    let deadline = link.address().deadline;
    link.ask_once(|client: Client| {
        let event = EventData::binary(WANTED, Bytes::copy_from_slice(process.as_bytes()));
        let options = AppendToStreamOptions::default()
            .expected_revision(ExpectedRevision::Any)
            .requires_leader(true)
            .deadline(deadline);
        let stream = stream.to_owned();
        async move { client.append_to_stream(stream, &options, event).await.map(drop) }.boxed()
    })
    .await
}

/// What is said there is soon forgotten.
async fn keep_few(link: &Link, stream: &str) -> Result<(), Fault> {
    let deadline = link.address().deadline;
    link.ask_once(|client: Client| {
        let few = StreamMetadataBuilder::new().max_count(1).build();
        let options = AppendToStreamOptions::default()
            .expected_revision(ExpectedRevision::Any)
            .requires_leader(true)
            .deadline(deadline);
        let stream = stream.to_owned();
        async move { client.set_stream_metadata(stream, &options, &few).await.map(drop) }.boxed()
    })
    .await
}

/// Gives others their time, then reads what is newer in these streams.
pub(super) async fn turn(
    shared: Arc<Shared>,
    known: Vec<(StreamId, Version)>,
) -> Result<Turn, StoreError> {
    shared.manners.rest().await;
    let appending = shared.appending.clone().lock_owned().await;
    let began = Instant::now();
    let newer: Vec<Option<Events>> = stream::iter(known)
        .map(|(stream, version)| newer(&shared, stream, version))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(Turn::new(newer, move |batch, now| {
        async move {
            // A task of its own, because it must not stop half-way when the caller goes away.
            let append = tokio::spawn(async move {
                let _appending = appending;
                append_alone(&shared, batch, now, began).await
            });
            append.await.unwrap_or_else(|error| Err(unavailable(error)))
        }
        .boxed()
    }))
}

/// What is newer in a stream, if it is so little that all of it was read.
async fn newer(
    shared: &Shared,
    stream: StreamId,
    version: Version,
) -> Result<Option<Events>, StoreError> {
    let newer = shared.stream(stream, version, MAX_CONFLICT_EVENTS).await?;
    Ok(is_last(&newer, MAX_CONFLICT_EVENTS).then_some(newer))
}
