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

/// Saves no snapshot, and takes for ever over it, or no time.
#[derive(Default)]
struct Stuck {
    begun: AtomicUsize,
    is_quick: bool,
}

impl SideStore for Stuck {
    fn load_snapshot(&self, _: StreamId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(ready(Ok(None)))
    }

    fn save_snapshot(&self, _: StreamId, _: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if self.is_quick { Box::pin(ready(Ok(()))) } else { Box::pin(pending()) }
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

/// How many snapshots are begun, of all that are due.
async fn begun(is_quick: bool) -> usize {
    let side = Arc::new(Stuck { is_quick, ..Stuck::default() });
    let limits = Limits { snapshot_events: 1, snapshot_share: usize::MAX, ..Limits::default() };
    let world = World::with(Setup { side: Some(side.clone()), limits, ..Setup::default() });
    for number in 0..40 {
        let show = world.show(&format!("show-{number}"), hall(1, 3, 0), &[]).await;
        world.hold(show, "b", &["A1"], "k").await.unwrap();
    }
    world.rest().await;
    side.begun.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn snapshots_that_are_not_kept_do_not_gather() {
    // Each copy of a state is memory: a slow disk must not let them pile up.
    assert_eq!(begun(false).await, 16, "of 80 that were due");
    // The control: where none is in the way of another one, all of them are begun.
    let all = begun(true).await;
    assert!(all >= 80, "only {all}");
}
