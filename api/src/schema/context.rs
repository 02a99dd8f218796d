//! What every field has at hand: the parts of the API, and who asks.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_graphql::Context;
use hakken_projections::QueryError;

use crate::{
    auth::{Anybody, Caller, Right},
    faults::Fault,
    metrics::Metrics,
    ports::ApiContext,
    schema::{
        batch::{Batches, Links},
        queries::Named,
    },
};

/// The value of a nullable field. One that fails is null and has its error beside the data; its
/// parent stays.
pub(crate) type Answer<T> = Option<async_graphql::Result<T>>;

/// Makes the value of a field: null where there is nothing to see.
pub(crate) async fn answer<T>(found: impl Future<Output = Result<Option<T>, Fault>>) -> Answer<T> {
    match found.await {
        Ok(found) => found.map(Ok),
        Err(fault) => Some(Err(fault.into())),
    }
}

/// The `Idempotency-Key` header of the request. It stands for one mutation alone.
#[derive(Debug, Default)]
pub(crate) struct IdempotencyHeader {
    key: Option<String>,
    is_taken: AtomicBool,
}

impl IdempotencyHeader {
    pub(crate) fn new(key: Option<String>) -> Self {
        Self { key, is_taken: AtomicBool::new(false) }
    }

    /// The key, if there is one.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// True for the first mutation of the request, which the key stands for.
    pub(crate) fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::Relaxed)
    }
}

/// What a field was asked by whom.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) api: &'a ApiContext,
    pub(crate) metrics: &'a Metrics,
    pub(crate) anybody: &'a Anybody,
    pub(crate) idempotency: &'a IdempotencyHeader,
    batches: Option<&'a Batches>,
}

impl<'a> Asked<'a> {
    /// Of a field's context. The data is there: the schema and the transport put it there.
    pub(crate) fn of(ctx: &Context<'a>) -> Self {
        Self {
            api: ctx.data_unchecked::<ApiContext>(),
            metrics: ctx.data_unchecked::<Arc<Metrics>>(),
            anybody: ctx.data_unchecked::<Anybody>(),
            idempotency: ctx.data_unchecked::<IdempotencyHeader>(),
            batches: ctx.data_opt::<Batches>(),
        }
    }

    /// The caller, if they have the right.
    pub(crate) fn with(&self, right: Right) -> Result<&'a Caller, Fault> {
        self.anybody.with(right)
    }

    /// Where what is asked for by its id is asked for together.
    pub(crate) fn named(&self) -> Option<&'a Named> {
        self.batches.map(|batches| &batches.named)
    }

    /// Where the fields of this request ask together for what they link to.
    pub(crate) fn links(&self, caller: &Caller) -> Links<'a> {
        Links { api: self.api, organizer: caller.organizer, batches: self.batches }
    }
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::BadCursor(_) => Self::argument("after", error),
            QueryError::PageSize(_) => Self::argument("first", error),
            QueryError::Rows(_) | QueryError::Feed(_) => {
                tracing::warn!(%error, "a read model cannot be read");
                Self::ReadsUnavailable
            }
            QueryError::Poisoned { .. } => Self::Internal(error.to_string()),
            QueryError::PastTooLong { most, found } => {
                Self::PastTooLong { most: *most, found: *found }
            }
        }
    }
}
