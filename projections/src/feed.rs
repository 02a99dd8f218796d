//! The port to the events, as the read side needs it.

use std::sync::Arc;

use futures_util::{future::BoxFuture, stream::BoxStream};
use hakken_domain::envelope::{Position, StoredEvent, StreamId, Version};

/// The events cannot be read just now.
#[derive(Debug, thiserror::Error)]
#[error("the events cannot be read: {0}")]
pub struct FeedError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Batches of events in order of position, without a gap. It ends after an error.
pub type EventStream = BoxStream<'static, Result<Vec<Arc<StoredEvent>>, FeedError>>;

/// The recorded events, in order.
pub trait EventFeed: Send + Sync + 'static {
    /// Events with positions after `after`, in order, at most `limit` and at most
    /// about a page of bytes: only an empty answer is the end.
    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>>;

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
