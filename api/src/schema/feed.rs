//! The recorded events, for those who may see them: in batches and live, without gap or
//! repetition.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use hakken_domain::{
    codec,
    envelope::{Position, StoredEvent, StreamId},
    names::OrganizerId,
};
use hakken_projections::feed::{EventFeed, FeedError};

use super::types::Event;
use crate::{faults::Fault, ports::ApiContext};

/// Events that are read at once.
const CHUNK: usize = 1_000;
/// Most events that one request looks at, also when few of them are wanted.
const MAX_LOOKED_AT: usize = 20_000;
/// Most bytes of events in one answer, unless a single one has more.
const MAX_BYTES: usize = 4 << 20;
/// Most kinds in one filter.
const MAX_KINDS: usize = 50;
/// How long the live feed waits after a failure before it goes on where it was.
const PAUSE: Duration = Duration::from_secs(1);

/// Refuses kinds that no event has.
pub(crate) fn check_kinds(argument: &str, kinds: &[String]) -> Result<(), Fault> {
    if kinds.len() > MAX_KINDS {
        return Err(Fault::argument(argument, format!("at most {MAX_KINDS} kinds may be named")));
    }
    match kinds.iter().find(|kind| codec::known_kind(kind).is_none()) {
        None => Ok(()),
        Some(kind) => Err(Fault::argument(
            argument,
            format!("no event has the kind {kind:?}; kinds look like `ticket-issued`"),
        )),
    }
}

/// Which events somebody wants, and may see.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    sees: Option<OrganizerId>,
    kinds: Vec<String>,
    stream: Option<StreamId>,
}

impl Wanted {
    pub(crate) fn new(
        sees: Option<OrganizerId>,
        kinds: Option<Vec<String>>,
        stream: Option<String>,
    ) -> Result<Self, Fault> {
        let kinds = kinds.unwrap_or_default();
        check_kinds("kinds", &kinds)?;
        let stream = stream.map(|text| text.parse()).transpose();
        Ok(Self { sees, kinds, stream: stream.map_err(|error| Fault::argument("stream", error))? })
    }

    /// Cheap checks first: what is not wanted is not decoded.
    fn pick(&self, event: &Arc<StoredEvent>) -> Option<Event> {
        let of_kind = self.kinds.is_empty() || self.kinds.iter().any(|kind| *kind == event.kind);
        if !of_kind || self.stream.is_some_and(|stream| stream != event.stream) {
            return None;
        }
        if self.sees.is_some() && event.decoded().ok()?.meta.organizer != self.sees {
            return None;
        }
        Event::from_stored(event.clone())
    }
}

fn unavailable(error: &FeedError) -> Fault {
    tracing::warn!(%error, "the event feed cannot be read");
    Fault::ReadsUnavailable
}

/// Wanted events after a position, fewer than asked for where they are large; how far was looked;
/// and the newest position.
pub(crate) async fn read(
    api: &ApiContext,
    wanted: &Wanted,
    after: Position,
    first: usize,
) -> Result<(Vec<Event>, Position, Position), Fault> {
    let head = api.feed.head().await.map_err(|error| unavailable(&error))?;
    let mut events: Vec<Event> = Vec::new();
    let (mut up_to, mut looked_at, mut bytes) = (after, 0, 0);
    while looked_at < MAX_LOOKED_AT {
        let batch = api.feed.read_all(up_to, CHUNK).await.map_err(|error| unavailable(&error))?;
        for event in &batch {
            if let Some(event) = wanted.pick(event) {
                bytes += event.bytes();
                if bytes > MAX_BYTES && !events.is_empty() {
                    return Ok((events, up_to, head.max(up_to)));
                }
                events.push(event);
            }
            up_to = event.position;
            if events.len() == first {
                return Ok((events, up_to, head.max(up_to)));
            }
        }
        looked_at += batch.len();
        if batch.is_empty() {
            break;
        }
    }
    Ok((events, up_to, head.max(up_to)))
}

/// How far the feed of an operation is: whoever is cut off goes on from there.
#[derive(Debug, Default)]
pub(crate) struct FeedPlace {
    resume: Option<Position>,
    began: OnceLock<Position>,
    reached: AtomicU64,
}

impl FeedPlace {
    /// For an operation; `resume` is the last position that its client has, if the transport says
    /// so, and it counts more than the argument.
    pub(crate) fn new(resume: Option<Position>) -> Self {
        Self { resume, ..Self::default() }
    }

    /// Where it began, if it follows the feed.
    pub(crate) fn began(&self) -> Option<Position> {
        self.began.get().copied()
    }

    /// The position of the newest event that it was given.
    pub(crate) fn reached(&self) -> Option<Position> {
        let reached = self.reached.load(Ordering::Acquire);
        (reached > 0).then_some(Position(reached))
    }

    /// From where it is told, given its argument.
    pub(crate) fn begin(&self, after: Position) -> Position {
        *self.began.get_or_init(|| self.resume.unwrap_or(after))
    }
}

/// Where the live feed is.
struct Following {
    feed: Arc<dyn EventFeed>,
    wanted: Wanted,
    at: Position,
    live: Option<hakken_projections::feed::EventStream>,
}

/// Wanted events after a position, and then whatever happens, each once. A feed that fails is
/// taken up again where it was. `place` is told how far it came.
pub(crate) fn follow(
    api: &ApiContext,
    wanted: Wanted,
    after: Position,
    place: Arc<FeedPlace>,
) -> impl Stream<Item = Event> + use<> {
    let after = place.begin(after);
    let following = Following { feed: api.feed.clone(), wanted, at: after, live: None };
    stream::unfold(following, |mut following| async move {
        loop {
            let live = following.live.get_or_insert_with(|| following.feed.follow(following.at));
            match live.next().await {
                Some(Ok(batch)) => {
                    if let Some(last) = batch.last() {
                        following.at = last.position;
                    }
                    let picked: Vec<Event> =
                        batch.iter().filter_map(|event| following.wanted.pick(event)).collect();
                    if !picked.is_empty() {
                        return Some((stream::iter(picked), following));
                    }
                }
                failed => {
                    if let Some(Err(error)) = failed {
                        tracing::warn!(%error, "the live feed begins again where it was");
                    }
                    following.live = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
    .flatten()
    .inspect(move |event: &Event| place.reached.store(event.at().0, Ordering::Release))
}
