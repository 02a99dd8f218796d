//! Every event store is also a feed for the read side: the same reads under its own error.

/// Implements `EventFeed` for an `EventStore`.
macro_rules! feed_from_store {
    ($store:ty $(, $more:item)?) => {
        impl hakken_projections::feed::EventFeed for $store {
            fn read_all(
                &self,
                after: hakken_domain::envelope::Position,
                limit: usize,
            ) -> $crate::feed::FeedFuture<'_, $crate::feed::Events> {
                let events = hakken_commands::store::EventStore::read_all(self, after, limit);
                Box::pin(async { events.await.map_err($crate::feed::feed_error) })
            }

            $($more)?

            fn read_stream(
                &self,
                stream: hakken_domain::envelope::StreamId,
                after: hakken_domain::envelope::Version,
                limit: usize,
            ) -> $crate::feed::FeedFuture<'_, $crate::feed::Events> {
                let events =
                    hakken_commands::store::EventStore::read_stream(self, stream, after, limit);
                Box::pin(async { events.await.map_err($crate::feed::feed_error) })
            }

            fn head(&self) -> $crate::feed::FeedFuture<'_, hakken_domain::envelope::Position> {
                let head = hakken_commands::store::EventStore::head(self);
                Box::pin(async { head.await.map_err($crate::feed::feed_error) })
            }

            fn follow(
                &self,
                after: hakken_domain::envelope::Position,
            ) -> hakken_projections::feed::EventStream {
                let events = hakken_commands::store::EventStore::follow(self, after);
                Box::pin(futures_util::StreamExt::map(events, |batch| {
                    batch.map_err($crate::feed::feed_error)
                }))
            }
        }
    };
}

pub(crate) use feed_from_store;

pub(crate) type Events = Vec<std::sync::Arc<hakken_domain::envelope::StoredEvent>>;

pub(crate) type FeedFuture<'a, T> =
    futures_util::future::BoxFuture<'a, Result<T, hakken_projections::feed::FeedError>>;

pub(crate) fn feed_error(
    error: hakken_commands::store::StoreError,
) -> hakken_projections::feed::FeedError {
    hakken_projections::feed::FeedError(Box::new(error))
}
