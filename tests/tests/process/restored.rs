//! A history without its checkpoints, as after a restore: what is answered already is passed over,
//! what is open is answered, wherever the history was cut off.

use std::sync::Arc;

use hakken_adapters::memory::MemoryStore;
use hakken_commands::{
    process::NAMES,
    store::{Append, Appended, EventStore, NewEvent, SideStore},
};
use hakken_domain::envelope::{Position, StoredEvent};
use hakken_tests::{
    audit::Audit,
    world::{Setup, World},
};

use super::a_day;

async fn copy(events: &[Arc<StoredEvent>]) -> Arc<MemoryStore> {
    let memory = Arc::new(MemoryStore::new());
    for event in events {
        let new = NewEvent {
            id: event.id,
            kind: hakken_domain::codec::kind_of(&event.decoded().unwrap().event).0,
            schema: event.schema,
            data: event.data.clone(),
            meta: event.meta.clone(),
            decoded: None,
        };
        let append =
            Append { stream: event.stream, expected: event.version - 1, events: vec![new] };
        let written = memory.append(vec![append], event.recorded_at).await.unwrap();
        assert!(matches!(written[..], [Appended::Written(_)]));
    }
    memory
}

/// Goes on with what is in the store until everything is at rest; says how many events that
/// brought, and what the audit thinks of it.
async fn go_on(memory: Arc<MemoryStore>, first: &World, far_behind: u64) -> (u64, Audit) {
    let before = EventStore::head(&*memory).await.unwrap();
    let (clock, seed) = (first.clock.clone(), 2);
    let world = World::with(Setup { memory, clock, seed, far_behind, ..Setup::default() });
    world.rest().await;
    let audit = Audit::read(&world.events().await).unwrap_or_else(|wrong| panic!("{wrong}"));
    (world.head().await.0 - before.0, audit)
}

/// Where a history may be cut off: what one command brought about is recorded together or not at
/// all.
fn cuts(events: &[Arc<StoredEvent>]) -> Vec<usize> {
    let is_one = |at: &usize| {
        *at > 0
            && *at < events.len()
            && events[at - 1].stream == events[*at].stream
            && events[at - 1].meta == events[*at].meta
    };
    (0..=events.len()).filter(|at| !is_one(at)).collect()
}

/// A day and all that follows from it.
async fn recorded_day() -> (World, Vec<Arc<StoredEvent>>) {
    let world = World::start();
    a_day(&world).await;
    world.rest().await;
    let events = world.events().await;
    (world, events)
}

#[tokio::test]
async fn a_history_that_was_cut_off_anywhere_comes_to_rest() {
    let (first, events) = recorded_day().await;
    for until in cuts(&events) {
        let (_, audit) = go_on(copy(&events[..until]).await, &first, 0).await;
        audit.at_rest().unwrap_or_else(|wrong| panic!("cut off after {until}: {wrong}"));
    }
}

/// The control: whoever passes over everything leaves something undone.
#[tokio::test]
async fn passing_over_what_is_open_would_be_noticed() {
    let (first, events) = recorded_day().await;
    let mut undone = 0;
    for until in cuts(&events) {
        let memory = copy(&events[..until]).await;
        for process in NAMES {
            memory.save_checkpoint(process, Position(until as u64)).await.unwrap();
        }
        let (_, audit) = go_on(memory, &first, 0).await;
        undone += u64::from(audit.at_rest().is_err());
    }
    assert!(undone > 5, "{undone} histories");
}

#[tokio::test]
async fn what_is_answered_is_not_answered_again() {
    let (first, events) = recorded_day().await;
    let asked = async |far_behind| {
        let memory = copy(&events).await;
        let world = World::with(Setup {
            memory,
            clock: first.clock.clone(),
            far_behind,
            ..Setup::default()
        });
        world.rest().await;
        let streams = &world.write.engine().counters().streams;
        streams.load(std::sync::atomic::Ordering::Relaxed)
    };
    let (all, open) = (asked(u64::MAX).await, asked(0).await);
    assert!(open < all, "{open} streams read in the place of {all}");
    assert_eq!(go_on(copy(&events).await, &first, 0).await.0, 0, "events are new");
}
