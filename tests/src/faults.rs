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
    Append, Appended, EventStore, EventStream, StoreError, StoreErrorKind, Turn,
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

type Known = Vec<(StreamId, Version)>;

type Answer = BoxFuture<'static, Result<Vec<Appended>, StoreError>>;

type SlowPlan = Box<dyn FnMut() -> u64 + Send>;

/// The store.
pub struct FaultyStore {
    inner: Arc<dyn EventStore>,
    appends: Arc<Appends>,
    reads: Mutex<ReadPlan>,
    turns: Arc<Mutex<ReadPlan>>,
    slow_reads: Mutex<SlowPlan>,
    claims_sole_writer: bool,
    gives_turns: bool,
}

/// What happens to each append.
struct Appends {
    plan: Mutex<Plan>,
    count: AtomicU64,
}

impl Appends {
    fn next(&self) -> Fault {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)(number)
    }
}

impl FaultyStore {
    /// `plan` is asked before each append, with its number from 0.
    pub fn new(
        inner: Arc<dyn EventStore>,
        plan: impl FnMut(u64) -> Fault + Send + 'static,
    ) -> Self {
        Self {
            inner,
            appends: Arc::new(Appends {
                plan: Mutex::new(Box::new(plan)),
                count: AtomicU64::new(0),
            }),
            reads: Mutex::new(Box::new(|| false)),
            turns: Arc::new(Mutex::new(Box::new(|| false))),
            slow_reads: Mutex::new(Box::new(|| 0)),
            claims_sole_writer: false,
            gives_turns: true,
        }
    }

    /// `plan` is asked before each read whether it fails; a stream of events that fails does so
    /// after its first batch.
    #[must_use]
    pub fn with_reads(mut self, plan: impl FnMut() -> bool + Send + 'static) -> Self {
        self.reads = Mutex::new(Box::new(plan));
        self
    }

    /// `plan` is asked before each turn whether it fails. What happens to the append within a turn
    /// is said by the plan of appends.
    #[must_use]
    pub fn with_turns(mut self, plan: impl FnMut() -> bool + Send + 'static) -> Self {
        self.turns = Arc::new(Mutex::new(Box::new(plan)));
        self
    }

    /// `plan` is asked how many milliseconds each reading of a stream takes.
    #[must_use]
    pub fn with_slow_reads(mut self, plan: impl FnMut() -> u64 + Send + 'static) -> Self {
        self.slow_reads = Mutex::new(Box::new(plan));
        self
    }

    /// Says that nobody else writes, whether that is so or not: a negative control.
    #[must_use]
    pub fn claiming_sole_writer(mut self) -> Self {
        self.claims_sole_writer = true;
        self
    }

    /// Gives no turns: who decides in one alone does nothing wrong, whether versions are looked at
    /// or not, and a negative control would see nothing.
    #[must_use]
    pub fn without_turns(mut self) -> Self {
        self.gives_turns = false;
        self
    }

    fn read_fails(&self) -> bool {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)()
    }

    /// Appends so far, those in turns too.
    pub fn appends(&self) -> u64 {
        self.appends.count.load(Ordering::Relaxed)
    }
}

/// Appends as the fault wants it.
async fn append_with(
    fault: Fault,
    inner: Arc<dyn EventStore>,
    mut batch: Vec<Append>,
    append: impl FnOnce(Vec<Append>) -> Answer + Send,
) -> Result<Vec<Appended>, StoreError> {
    match fault {
        Fault::None => append(batch).await,
        Fault::Fail(kind) => Err(failed(kind)),
        Fault::LoseAnswer => {
            append(batch).await?;
            Err(failed(StoreErrorKind::Unavailable))
        }
        Fault::Slow(millis) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            append(batch).await
        }
        Fault::FailSlowly(kind, millis) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Err(failed(kind))
        }
        Fault::LoseAnswerSlowly(millis) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            append(batch).await?;
            Err(failed(StoreErrorKind::Unavailable))
        }
        Fault::IgnoreVersions => {
            for append in &mut batch {
                let events = inner.read_stream(append.stream, 0, usize::MAX).await?;
                append.expected = events.len() as Version;
            }
            append(batch).await
        }
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
        let (fault, inner) = (self.appends.next(), self.inner.clone());
        let store = inner.clone();
        Box::pin(append_with(fault, inner, batch, move |batch| {
            Box::pin(async move { store.append(batch, now).await })
        }))
    }

    fn turn(&self, known: Known) -> Option<BoxFuture<'static, Result<Turn, StoreError>>> {
        let turn = self.inner.turn(known).filter(|_| self.gives_turns)?;
        let (inner, appends, turns) =
            (self.inner.clone(), self.appends.clone(), self.turns.clone());
        Some(Box::pin(async move {
            if turns.lock().unwrap_or_else(PoisonError::into_inner)() {
                return Err(failed(StoreErrorKind::Unavailable));
            }
            let mut turn = turn.await?;
            let newer = std::mem::take(&mut turn.newer);
            Ok(Turn::new(newer, move |batch, now| {
                let append = move |batch| turn.append(batch, now);
                Box::pin(append_with(appends.next(), inner, batch, append))
            }))
        }))
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
        let millis = self.slow_reads.lock().unwrap_or_else(PoisonError::into_inner)();
        if millis == 0 {
            return self.inner.read_stream(stream, after, limit);
        }
        Box::pin(async move {
            // What is read is of the moment at which the answer leaves.
            let read = self.inner.read_stream(stream, after, limit).await;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            read
        })
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
