//! The port to the events, as the read side needs it.

use std::sync::Arc;

use futures_util::{future::BoxFuture, stream::BoxStream};
use hakken_domain::envelope::{Position, StoredEvent, StreamId, StreamKind, Version};

/// The events cannot be read just now.
#[derive(Debug, thiserror::Error)]
#[error("the events cannot be read: {0}")]
pub struct FeedError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Batches of events in order of position, without a gap. It ends after an error.
pub type EventStream = BoxStream<'static, Result<Vec<Arc<StoredEvent>>, FeedError>>;

/// Which events somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Interest {
    /// Of these kinds of streams.
    pub streams: &'static [StreamKind],
    /// But not of these kinds.
    pub passes_over: &'static [&'static str],
}

impl Interest {
    /// Whether an event of this kind, in a stream of that kind, is wanted.
    pub fn includes(&self, stream: StreamKind, kind: &str) -> bool {
        self.streams.contains(&stream) && !self.passes_over.contains(&kind)
    }
}

/// The recorded events, in order.
pub trait EventFeed: Send + Sync + 'static {
    /// Events with positions after `after`, in order, at most `limit` and at most
    /// about a page of bytes: only an empty answer is the end.
    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>>;

    /// As `read_all`, but of `limit` events or a few more those that are not wanted may be left
    /// out, except for the very last: it says how far this went.
    fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        _interest: Interest,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        self.read_all(after, limit)
    }

    /// Events of a stream with versions after `after`, oldest first, at most `limit` and at most
    /// about a page of bytes: only an empty answer is the end.
    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>>;

    /// The position of the newest event; 0 if there is none.
    fn head(&self) -> BoxFuture<'_, Result<Position, FeedError>>;

    /// Everything after `after`, and then whatever is appended, as it becomes durable.
    fn follow(&self, after: Position) -> EventStream;
}
