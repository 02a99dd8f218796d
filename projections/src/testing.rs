//! What tests of the read side share: events in memory, a clock by hand, and the suites that run
//! over every row store.

mod feed;
pub mod hall;
pub mod models;
pub mod past;
pub mod rebuilds;
pub mod rows;

use std::{any::Any, sync::Arc, time::Duration};

pub use feed::{ManualClock, MemoryFeed, START};

use crate::{
    ReadModels, RunState,
    rows::{Build, MemoryRows, Purpose, RowStore},
};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An empty row store, and what must live as long as it (its folder, say).
pub struct Store {
    /// The store.
    pub rows: Arc<dyn RowStore>,
    /// Dropped after it.
    pub keep: Box<dyn Any + Send + Sync>,
}

impl Store {
    /// In memory.
    pub fn in_memory() -> Self {
        Self { rows: Arc::new(MemoryRows::new()), keep: Box::new(()) }
    }
}

/// Running read models over events in memory.
pub struct Bench {
    /// The events.
    pub feed: Arc<MemoryFeed>,
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// The rows.
    pub store: Store,
    /// The read models.
    pub models: ReadModels,
}

impl Bench {
    /// Starts over these rows.
    pub async fn start(store: Store) -> Self {
        Self::start_with(store, MemoryFeed::new()).await
    }

    /// Starts over these rows and events.
    pub async fn start_with(store: Store, feed: Arc<MemoryFeed>) -> Self {
        let clock = Arc::new(ManualClock::default());
        let models = ReadModels::start(feed.clone(), store.rows.clone(), clock.clone());
        let models = models.await.expect("the read models start");
        Self { feed, clock, store, models }
    }

    /// Drops the read models, as a crash would, and starts them again.
    pub async fn crash(self) -> Self {
        let Self { feed, clock, store, models } = self;
        drop(models);
        let models = ReadModels::start(feed.clone(), store.rows.clone(), clock.clone());
        let models = models.await.expect("the read models start");
        Self { feed, clock, store, models }
    }

    /// Waits until every event counts in every read model.
    pub async fn caught_up(&self) {
        let waited = self.models.wait_for_all(self.feed.last(), PATIENCE).await;
        if let Err(error) = waited {
            panic!("{error}; {:?}", self.models.status().await);
        }
    }

    /// What the task of a projection is doing.
    pub async fn state(&self, projection: &str) -> RunState {
        let all = self.models.status().await.expect("a status");
        let found = all.into_iter().find(|status| status.name == projection);
        found.expect("a projection").state
    }

    /// Waits until a projection's task is doing this.
    pub async fn state_is(&self, projection: &str, wanted: impl Fn(&RunState) -> bool) {
        let mut last = None;
        for _ in 0..2_000 {
            let state = self.state(projection).await;
            if wanted(&state) {
                return;
            }
            last = Some(state);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{projection} is {last:?}");
    }

    /// The build that a projection serves.
    pub async fn served(&self, projection: &str) -> Build {
        let builds = self.store.rows.builds().await.expect("builds");
        let mut served = builds
            .into_iter()
            .filter(|build| build.projection == projection && build.purpose == Purpose::Served);
        let found = served.next().expect("a served build");
        assert_eq!(served.next(), None, "one build is served");
        found
    }
}
