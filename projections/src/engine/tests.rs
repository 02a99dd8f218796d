//! The suites over the row store in memory.

use std::{sync::Arc, time::Duration};

use hakken_domain::envelope::{Position, StoredEvent, StreamKind};

use super::{Engine, Poison, RunState, lock};
use crate::{
    cache::AnyRows,
    models::tickets::TICKETS,
    projection::{Fold, Inconsistent, Projection},
    testing::{ManualClock, MemoryFeed, PATIENCE, Store},
};

crate::row_store_suite!(Store::in_memory());
crate::read_model_suite!(Store::in_memory());
crate::rebuild_suite!(Store::in_memory());
crate::past_suite!(Store::in_memory());

/// Knows no rows, and has a bug.
struct Buggy;

impl Fold for Buggy {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        Vec::new()
    }

    fn needs(&mut self, _: &StoredEvent) {}

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        assert!(event.kind != "organizer-registered", "no place for {}", event.kind);
        Ok(())
    }
}

const BUGGY: Projection = Projection {
    name: "buggy",
    version: 1,
    tables: &[],
    streams: &[StreamKind::Venue, StreamKind::Organizer],
    passes_over: &[],
    decoded_ahead: true,
    fold: || Box::new(Buggy),
    own: &[],
    by_show: None,
};

#[tokio::test]
async fn a_projection_that_panics_stops_with_the_name_of_the_event_and_others_go_on() {
    let feed = MemoryFeed::new();
    feed.venue_registered("hall");
    let good = feed.last();
    feed.organizer_registered("theatre");
    let bad = feed.last();
    feed.venue_registered("other hall");
    let projections = vec![(BUGGY, None), (TICKETS, None)];
    let rows = Store::in_memory().rows;
    let clock = Arc::<ManualClock>::default();
    let engine = Engine::start(feed.clone(), rows, clock, projections).await.expect("it starts");
    let slot = engine.slot("buggy").expect("a projection");
    let stopped = async {
        loop {
            if let RunState::Stopped(poison) = &*lock(&slot.state) {
                return poison.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let poison = tokio::time::timeout(PATIENCE, stopped).await.expect("it stops");
    let Poison { position, kind, stream, reason, .. } = poison;
    assert_eq!((position, kind.as_str()), (bad, "organizer-registered"));
    let event = feed.events(good, 1).remove(0);
    assert_eq!((event.position, event.stream), (bad, stream));
    assert!(reason.ends_with("panicked: no place for organizer-registered"), "{reason}");
    assert_eq!(slot.checkpoint().position, good, "what came before it counts");
    let other = engine.slot("tickets").expect("a projection");
    let mut checkpoint = other.checkpoint.subscribe();
    let there = checkpoint.wait_for(|checkpoint| checkpoint.position == Position(bad.0 + 1));
    let there = tokio::time::timeout(PATIENCE, there).await;
    assert!(there.is_ok_and(|there| there.is_ok()), "the other one goes on");
}
