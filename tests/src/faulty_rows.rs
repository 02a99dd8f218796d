//! A row store whose commits fail as they are told: before or after they are written.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
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
    is_over: Arc<AtomicBool>,
}

impl FaultyRows {
    /// `plan` is asked before each commit.
    pub fn new(inner: Arc<dyn RowStore>, plan: impl FnMut() -> RowFault + Send + 'static) -> Self {
        let (reads, is_over) = (Arc::default(), Arc::default());
        Self { inner, plan: Mutex::new(Box::new(plan)), reads, is_over }
    }

    /// Once this is true, whoever has these rows is dead: nothing that they do reaches them.
    #[must_use]
    pub fn until(mut self, is_over: &Arc<AtomicBool>) -> Self {
        self.is_over = is_over.clone();
        self
    }

    fn write(&self) -> Result<&dyn RowStore, RowError> {
        if self.is_over.load(Ordering::Relaxed) { Err(failed()) } else { Ok(&*self.inner) }
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
            self.write()?.commit(build, changes, expected, checkpoint).await?;
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
        Box::pin(async move { self.write()?.create(projection, version, purpose, tables).await })
    }

    fn index(&self, build: BuildId, tables: Tables) -> BoxFuture<'_, Result<(), RowError>> {
        Box::pin(async move { self.write()?.index(build, tables).await })
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
        Box::pin(async move { self.write()?.serve(build, now).await })
    }

    fn mark(
        &self,
        build: BuildId,
        purpose: Purpose,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), RowError>> {
        Box::pin(async move { self.write()?.mark(build, purpose, now).await })
    }

    fn remove(&self, build: BuildId) -> BoxFuture<'_, Result<(), RowError>> {
        Box::pin(async move { self.write()?.remove(build).await })
    }
}
