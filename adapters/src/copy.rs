//! Copying a whole history from one store to another, written against the ports: any two stores
//! will do. What the target holds already must be the beginning of the source, event for event;
//! then the copy goes on behind it, so one that was stopped anywhere may be run again.

use std::{fmt, sync::Arc, vec};

use hakken_commands::store::{EventStore, Imported, StoreError};
use hakken_domain::{
    chain::Chain,
    envelope::{Position, StoredEvent, StreamId, Version},
};
use hakken_projections::feed::{EventFeed, FeedError};

/// Events read and written at once. Stores bound a page in bytes as well.
const PAGE: usize = 5_000;

/// Why a history is not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source cannot be read.
    #[error("the source: {0}")]
    Source(#[source] FeedError),
    /// The target cannot be read.
    #[error("the target: {0}")]
    TargetRead(#[source] FeedError),
    /// The target cannot be written.
    #[error("the target: {0}")]
    Target(#[source] StoreError),
    /// The target holds something else than the beginning of the source.
    #[error("{0}. Nothing was written: copy into an empty store")]
    Differs(Difference),
    /// Somebody else writes the target.
    #[error(
        "the target does not take the event at position {0} of the source: somebody else writes \
         it. Stop every server on the target, and copy into an empty store"
    )]
    Disturbed(Position),
}

/// The first place where two histories are not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which event, counted from 1.
    pub place: u64,
    /// Its position in the source; none if the source has no more.
    pub source: Option<Position>,
    /// Its position in the target.
    pub target: Position,
    /// Its stream there.
    pub stream: StreamId,
    /// Its version there.
    pub version: Version,
    /// What of it is another: `data`, `kind`; nothing if the source has no such event.
    pub what: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, source, target, stream, version, what } = self;
        match source {
            Some(source) => write!(
                f,
                "the target is another history: event {place} (position {source} of the source, \
                 {target} of the target, {stream} version {version} there) has another {what}"
            ),
            None => write!(
                f,
                "the target has more than the source: event {place} (position {target} of the \
                 target, {stream} version {version}) is the first that the source does not have"
            ),
        }
    }
}

/// How far two stores are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Common {
    /// Of the events that are the same.
    pub chain: Chain,
    /// The newest of them in the source.
    pub source: Position,
    /// The newest of them in the target.
    pub target: Position,
}

/// The events of a store up to a position, one after the other.
struct History<'f> {
    feed: &'f dyn EventFeed,
    page: vec::IntoIter<Arc<StoredEvent>>,
    after: Position,
    up_to: Position,
}

impl<'f> History<'f> {
    fn of(feed: &'f dyn EventFeed, after: Position, up_to: Position) -> Self {
        Self { feed, page: Vec::new().into_iter(), after, up_to }
    }

    /// The next page; an empty one is the end.
    async fn page(&mut self) -> Result<Vec<Arc<StoredEvent>>, FeedError> {
        if self.after >= self.up_to {
            return Ok(Vec::new());
        }
        let mut page = self.feed.read_all(self.after, PAGE).await?;
        page.retain(|event| event.position <= self.up_to);
        self.after = page.last().map_or(self.up_to, |event| event.position);
        Ok(page)
    }

    async fn next(&mut self) -> Result<Option<Arc<StoredEvent>>, FeedError> {
        if let Some(event) = self.page.next() {
            return Ok(Some(event));
        }
        self.page = self.page().await?.into_iter();
        Ok(self.page.next())
    }
}

/// What of two events is not the same, leaving out their positions.
fn difference(one: &StoredEvent, other: &StoredEvent) -> Option<&'static str> {
    [
        (one.id != other.id, "id"),
        (one.stream != other.stream, "stream"),
        (one.version != other.version, "version"),
        (one.kind != other.kind, "kind"),
        (one.schema != other.schema, "schema version"),
        (one.recorded_at != other.recorded_at, "recorded time"),
        (one.meta != other.meta, "metadata"),
        (one.data != other.data, "data"),
    ]
    .into_iter()
    .find_map(|(differs, what)| differs.then_some(what))
}

/// Compares all that the target holds with the source. `told` hears how many events were compared.
pub async fn compare(
    source: &dyn EventFeed,
    up_to: Position,
    target: &dyn EventFeed,
    mut told: impl FnMut(u64),
) -> Result<Common, CopyError> {
    let head = target.head().await.map_err(CopyError::TargetRead)?;
    let mut theirs = History::of(target, Position(0), head);
    let mut ours = History::of(source, Position(0), up_to);
    let mut common = Common::default();
    while let Some(there) = theirs.next().await.map_err(CopyError::TargetRead)? {
        let here = ours.next().await.map_err(CopyError::Source)?;
        let place = common.chain.events() + 1;
        let what = match &here {
            Some(here) => difference(here, &there),
            None => Some("end"),
        };
        if let Some(what) = what {
            return Err(CopyError::Differs(Difference {
                place,
                source: here.map(|here| here.position),
                target: there.position,
                stream: there.stream,
                version: there.version,
                what,
            }));
        }
        common.chain.add(&there);
        common.source = here.map_or(common.source, |here| here.position);
        common.target = there.position;
        if place.is_multiple_of(PAGE as u64) {
            told(place);
        }
    }
    told(common.chain.events());
    Ok(common)
}

/// Copies what comes behind `after` in the source, up to a position. `told` hears how many events
/// of the page that was just made durable there were.
pub async fn copy(
    source: &dyn EventFeed,
    after: Position,
    up_to: Position,
    target: &dyn EventStore,
    mut told: impl FnMut(usize),
) -> Result<(), CopyError> {
    let mut ours = History::of(source, after, up_to);
    let mut page = ours.page().await.map_err(CopyError::Source)?;
    while !page.is_empty() {
        let count = page.len();
        // The next page is read while this one is being made durable.
        let (imported, next) = tokio::join!(target.import(page), ours.page());
        match imported.map_err(CopyError::Target)? {
            Imported::Taken => told(count),
            Imported::DoesNotFollow(position) => return Err(CopyError::Disturbed(position)),
        }
        page = next.map_err(CopyError::Source)?;
    }
    Ok(())
}

/// The chain of all events up to a position. `told` hears how many were read.
pub async fn chain(
    feed: &dyn EventFeed,
    up_to: Position,
    mut told: impl FnMut(u64),
) -> Result<Chain, FeedError> {
    let mut history = History::of(feed, Position(0), up_to);
    let mut chain = Chain::default();
    loop {
        let page = history.page().await?;
        if page.is_empty() {
            return Ok(chain);
        }
        page.iter().for_each(|event| chain.add(event));
        told(chain.events());
    }
}
