//! Bounds of the write loop that only a slow port can reach.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::{BoxFuture, pending, ready};
use hakken_commands::{
    engine::Limits,
    store::{SideStore, Snapshot, StoreError},
};
use hakken_domain::envelope::{Position, StreamId};
use hakken_tests::world::{Setup, World, hall};

/// Saves no snapshot, and takes for ever.
#[derive(Default)]
struct Stuck {
    begun: AtomicUsize,
}

impl SideStore for Stuck {
    fn load_snapshot(&self, _: StreamId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(ready(Ok(None)))
    }

    fn save_snapshot(&self, _: StreamId, _: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Box::pin(pending())
    }

    fn load_checkpoint(&self, _: &'static str) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(ready(Ok(Position(0))))
    }

    fn save_checkpoint(
        &self,
        _: &'static str,
        _: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }
}

#[tokio::test(start_paused = true)]
async fn snapshots_that_are_not_kept_do_not_gather() {
    let side = Arc::<Stuck>::default();
    let limits = Limits { snapshot_events: 1, snapshot_share: usize::MAX, ..Limits::default() };
    let world = World::with(Setup { side: Some(side.clone()), limits, ..Setup::default() });
    // Each copy of a state is memory: a slow disk must not let them pile up.
    for number in 0..40 {
        let show = world.show(&format!("show-{number}"), hall(1, 3, 0), &[]).await;
        world.hold(show, "b", &["A1"], "k").await.unwrap();
    }
    world.rest().await;
    assert_eq!(side.begun.load(Ordering::SeqCst), 16, "of 80 that were due");
}
