//! Bounds of the write loop that only a slow port can reach.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, pending, ready};
use hakken_commands::{
    engine::{Limits, Tenant},
    store::{EventStore, SideStore, Snapshot, StoreError},
};
use hakken_domain::envelope::{Position, StreamId};
use hakken_tests::{
    faults::{Fault, FaultyStore},
    world::{Setup, World, hall},
};

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

#[tokio::test]
async fn a_stream_that_is_written_faster_than_it_is_read_is_read_all_the_same() {
    let first = World::start();
    let show = first.show("concert", hall(26, 50, 0), &[]).await;
    let store = FaultyStore::new(first.memory.clone(), |_| Fault::None).with_slow_reads(|| 20);
    let store: Option<Arc<dyn EventStore>> = Some(Arc::new(store));
    let second = World::with(Setup { store, seed: 2, ..Setup::default() });
    let writes = async {
        for number in 0..1_300 {
            let seat = format!("{}{}", char::from(b'A' + (number / 50) as u8), number % 50 + 1);
            first.hold(show, "b", &[&seat], &seat).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let stream = StreamId::inventory(show);
    tokio::select! {
        read = second.write.engine().read(Tenant::Any, stream, |_, version| version) => {
            assert!(read.unwrap() > 0);
        }
        () = writes => panic!("it was read when nobody wrote any more"),
    }
}
