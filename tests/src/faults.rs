//! A store that fails as it is told: before it writes, after it has written, slowly, or by
//! forgetting to look at versions (the negative control of every race).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream};
use hakken_commands::store::{
    Append, Appended, EventStore, EventStream, StoreError, StoreErrorKind,
};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};
use hakken_projections::feed::{self, EventFeed, FeedError};

/// What happens to one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nothing is written.
    Fail(StoreErrorKind),
    /// Everything is written, but the answer is lost.
    LoseAnswer,
    /// It takes so many milliseconds.
    Slow(u64),
    /// Nothing is written, which is known only after so many milliseconds.
    FailSlowly(StoreErrorKind, u64),
    /// Everything is written after so many milliseconds, but the answer is lost.
    LoseAnswerSlowly(u64),
    /// Expected versions are not looked at: what the guard is there to prevent happens.
    IgnoreVersions,
}

type Plan = Box<dyn FnMut(u64) -> Fault + Send>;

type ReadPlan = Box<dyn FnMut() -> bool + Send>;

/// The store.
pub struct FaultyStore {
    inner: Arc<dyn EventStore>,
    plan: Mutex<Plan>,
    reads: Mutex<ReadPlan>,
    claims_sole_writer: bool,
    appends: AtomicU64,
}

impl FaultyStore {
    /// `plan` is asked before each append, with its number from 0.
    pub fn new(
        inner: Arc<dyn EventStore>,
        plan: impl FnMut(u64) -> Fault + Send + 'static,
    ) -> Self {
        Self {
            inner,
            plan: Mutex::new(Box::new(plan)),
            reads: Mutex::new(Box::new(|| false)),
            claims_sole_writer: false,
            appends: AtomicU64::new(0),
        }
    }

    /// `plan` is asked before each read whether it fails; a stream of events that fails does so
    /// after its first batch.
    #[must_use]
    pub fn with_reads(mut self, plan: impl FnMut() -> bool + Send + 'static) -> Self {
        self.reads = Mutex::new(Box::new(plan));
        self
    }

    /// Says that nobody else writes, whether that is so or not: a negative control.
    #[must_use]
    pub fn claiming_sole_writer(mut self) -> Self {
        self.claims_sole_writer = true;
        self
    }

    fn read_fails(&self) -> bool {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)()
    }

    /// Appends so far.
    pub fn appends(&self) -> u64 {
        self.appends.load(Ordering::Relaxed)
    }

    async fn append_anyway(
        &self,
        mut batch: Vec<Append>,
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        for append in &mut batch {
            append.expected =
                self.inner.read_stream(append.stream, 0, usize::MAX).await?.len() as Version;
        }
        self.inner.append(batch, now).await
    }
}

fn failed(kind: StoreErrorKind) -> StoreError {
    StoreError { kind, source: "told to fail".into() }
}

impl EventStore for FaultyStore {
    fn append(
        &self,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        let number = self.appends.fetch_add(1, Ordering::Relaxed);
        let fault = self.plan.lock().unwrap_or_else(PoisonError::into_inner)(number);
        Box::pin(async move {
            match fault {
                Fault::None => self.inner.append(batch, now).await,
                Fault::Fail(kind) => Err(failed(kind)),
                Fault::LoseAnswer => {
                    self.inner.append(batch, now).await?;
                    Err(failed(StoreErrorKind::Unavailable))
                }
                Fault::Slow(millis) => {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    self.inner.append(batch, now).await
                }
                Fault::FailSlowly(kind, millis) => {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    Err(failed(kind))
                }
                Fault::LoseAnswerSlowly(millis) => {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    self.inner.append(batch, now).await?;
                    Err(failed(StoreErrorKind::Unavailable))
                }
                Fault::IgnoreVersions => self.append_anyway(batch, now).await,
            }
        })
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, StoreError>> {
        if self.read_fails() {
            return Box::pin(async { Err(failed(StoreErrorKind::Unavailable)) });
        }
        self.inner.read_stream(stream, after, limit)
    }

    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, StoreError>> {
        if self.read_fails() {
            return Box::pin(async { Err(failed(StoreErrorKind::Unavailable)) });
        }
        self.inner.read_all(after, limit)
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        self.inner.head()
    }

    fn is_sole_writer(&self) -> bool {
        self.claims_sole_writer || self.inner.is_sole_writer()
    }

    fn follow(&self, after: Position) -> EventStream {
        let events = self.inner.follow(after);
        if self.read_fails() {
            let failure = stream::once(async { Err(failed(StoreErrorKind::Unavailable)) });
            return Box::pin(events.take(1).chain(failure));
        }
        events
    }
}

fn feed_error(error: StoreError) -> FeedError {
    FeedError(Box::new(error))
}

/// The read side sees the same faults.
impl EventFeed for FaultyStore {
    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        let events = EventStore::read_all(self, after, limit);
        Box::pin(async { events.await.map_err(feed_error) })
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        let events = EventStore::read_stream(self, stream, after, limit);
        Box::pin(async { events.await.map_err(feed_error) })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, FeedError>> {
        let head = EventStore::head(self);
        Box::pin(async { head.await.map_err(feed_error) })
    }

    fn follow(&self, after: Position) -> feed::EventStream {
        Box::pin(EventStore::follow(self, after).map(|batch| batch.map_err(feed_error)))
    }
}
