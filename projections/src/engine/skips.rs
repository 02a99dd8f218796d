//! Events that projections leave out, since operators recorded that they do. These decisions are
//! events themselves, so every fold of a projection leaves out the same, whenever it is made.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use hakken_domain::{
    Event,
    envelope::{Position, StoredEvent, StreamId, Version},
    names::{ActorRef, EventId, Reason},
    operations,
    time::Timestamp,
};

use super::{Shared, lock};
use crate::feed::{EventFeed, FeedError};

/// Decisions of one read.
const PAGE: usize = 1_000;

/// An event that a projection leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The position of the event.
    pub position: Position,
    /// Its id.
    pub event: EventId,
    /// Its kind.
    pub kind: String,
    /// Why it is left out.
    pub reason: Reason,
    /// Who decided that.
    pub by: ActorRef,
    /// When.
    pub at: Timestamp,
    /// Where the decision stands.
    pub recorded: Position,
}

/// What operators decided, as far as it is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Skips {
    version: Version,
    of: HashMap<String, BTreeMap<EventId, Skip>>,
}

impl Skips {
    /// The events that a projection leaves out.
    pub(crate) fn of(&self, projection: &str) -> Arc<HashSet<EventId>> {
        let skipped = self.of.get(projection).into_iter().flatten();
        Arc::new(skipped.map(|(event, _)| *event).collect())
    }

    /// The same with what is known of them, in the order of the events.
    pub(crate) fn listed(&self, projection: &str) -> Vec<Skip> {
        let skipped = self.of.get(projection).into_iter().flatten();
        let mut listed: Vec<Skip> = skipped.map(|(_, skip)| skip.clone()).collect();
        listed.sort_by_key(|skip| skip.position);
        listed
    }

    fn apply(&mut self, event: &StoredEvent) {
        self.version = event.version;
        // A decision that cannot be read decides nothing: its projection stays stopped.
        let Ok(decoded) = event.decoded() else { return };
        let Event::Operations(fact) = &decoded.event else { return };
        match fact {
            operations::Event::EventSkipped(skipped) => {
                let skip = Skip {
                    position: skipped.position,
                    event: skipped.event,
                    kind: skipped.kind.clone(),
                    reason: skipped.reason.clone(),
                    by: decoded.meta.actor.clone(),
                    at: event.recorded_at,
                    recorded: event.position,
                };
                let of = self.of.entry(skipped.projection.to_string()).or_default();
                of.insert(skipped.event, skip);
            }
            operations::Event::SkipWithdrawn(withdrawn) => {
                if let Some(of) = self.of.get_mut(withdrawn.projection.as_str()) {
                    of.remove(&withdrawn.event);
                }
            }
        }
    }
}

/// Reads what was decided since.
pub(crate) async fn read_on(feed: &dyn EventFeed, known: &mut Arc<Skips>) -> Result<(), FeedError> {
    loop {
        let page = feed.read_stream(StreamId::operations(), known.version, PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        let skips = Arc::make_mut(known);
        page.iter().for_each(|event| skips.apply(event));
    }
}

impl Shared {
    /// What operators have decided up to now.
    pub(crate) async fn read_skips(&self) -> Result<Arc<Skips>, FeedError> {
        let mut known = lock(&self.skips).clone();
        read_on(&*self.feed, &mut known).await?;
        let mut kept = lock(&self.skips);
        if known.version > kept.version {
            *kept = known.clone();
        }
        Ok(known)
    }
}
