//! A row store whose commits fail as they are told: before or after they are written.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use futures_util::future::BoxFuture;
use hakken_domain::time::Timestamp;
use hakken_projections::rows::{
    Build, BuildId, Changes, Checkpoint, Filter, Key, Purpose, Query, Row, RowError, RowStore,
    Table, Tables,
};

/// What happens to one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFault {
    /// Nothing.
    None,
    /// Nothing is written.
    Fail,
    /// It is written, but the answer is lost.
    LoseAnswer,
}

type Plan = Box<dyn FnMut() -> RowFault + Send>;

/// The row store.
pub struct FaultyRows {
    inner: Arc<dyn RowStore>,
    plan: Mutex<Plan>,
    reads: Arc<AtomicU64>,
}

impl FaultyRows {
    /// `plan` is asked before each commit.
    pub fn new(inner: Arc<dyn RowStore>, plan: impl FnMut() -> RowFault + Send + 'static) -> Self {
        Self { inner, plan: Mutex::new(Box::new(plan)), reads: Arc::default() }
    }

    /// Counts here how often rows are read.
    #[must_use]
    pub fn counting(mut self, reads: &Arc<AtomicU64>) -> Self {
        self.reads = reads.clone();
        self
    }

    fn read(&self) -> &dyn RowStore {
        self.reads.fetch_add(1, Ordering::Relaxed);
        &*self.inner
    }
}

fn failed() -> RowError {
    RowError::Unavailable("told to fail".into())
}

impl RowStore for FaultyRows {
    fn commit<'a>(
        &'a self,
        build: BuildId,
        changes: &'a Changes,
        expected: hakken_domain::envelope::Position,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), RowError>> {
        let fault = self.plan.lock().unwrap_or_else(PoisonError::into_inner)();
        Box::pin(async move {
            if fault == RowFault::Fail {
                return Err(failed());
            }
            self.inner.commit(build, changes, expected, checkpoint).await?;
            if fault == RowFault::LoseAnswer { Err(failed()) } else { Ok(()) }
        })
    }

    fn builds(&self) -> BoxFuture<'_, Result<Vec<Build>, RowError>> {
        self.inner.builds()
    }

    fn create(
        &self,
        projection: &'static str,
        version: u32,
        purpose: Purpose,
        tables: Tables,
    ) -> BoxFuture<'_, Result<BuildId, RowError>> {
        self.inner.create(projection, version, purpose, tables)
    }

    fn index(&self, build: BuildId, tables: Tables) -> BoxFuture<'_, Result<(), RowError>> {
        self.inner.index(build, tables)
    }

    fn load(
        &self,
        build: BuildId,
        table: &'static Table,
        keys: Vec<Key>,
    ) -> BoxFuture<'_, Result<Vec<Row>, RowError>> {
        self.read().load(build, table, keys)
    }

    fn query(&self, build: BuildId, query: Query) -> BoxFuture<'_, Result<Vec<Row>, RowError>> {
        self.read().query(build, query)
    }

    fn count(
        &self,
        build: BuildId,
        table: &'static Table,
        filters: Vec<Filter>,
    ) -> BoxFuture<'_, Result<u64, RowError>> {
        self.read().count(build, table, filters)
    }

    fn serve(&self, build: BuildId, now: Timestamp) -> BoxFuture<'_, Result<(), RowError>> {
        self.inner.serve(build, now)
    }

    fn mark(
        &self,
        build: BuildId,
        purpose: Purpose,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), RowError>> {
        self.inner.mark(build, purpose, now)
    }

    fn remove(&self, build: BuildId) -> BoxFuture<'_, Result<(), RowError>> {
        self.inner.remove(build)
    }
}
