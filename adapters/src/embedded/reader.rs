//! Reading a store that another process may be writing.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::{
    future::{BoxFuture, FutureExt},
    stream,
};
use hakken_commands::store::StoreError;
use hakken_domain::envelope::{Position, StoredEvent, StreamId, Version};
use hakken_projections::feed::{EventFeed, EventStream, FeedError, Interest};

use super::{STREAM_STEP, db, index::runs, log::Log, read_versions, side};
use crate::feed::feed_error;

/// How often a follower looks for new events.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Events read at once.
const PAGE_EVENTS: usize = 2_000;

/// How often a look-up that a merge of the index cuts across is tried again.
const ATTEMPTS: usize = 5;

type Events = Vec<Arc<StoredEvent>>;

/// A store that is only read. The writing process need not run.
pub struct EmbeddedReader {
    pub(super) log: Log,
    pub(super) index: PathBuf,
    pub(super) side: PathBuf,
}

impl EmbeddedReader {
    /// Closes the files.
    pub async fn close(self) {
        self.log.close();
    }

    /// How far each process had answered the events, as far as anybody knows.
    pub async fn checkpoints(&self) -> Vec<(String, Position)> {
        side::checkpoints(&self.side, &self.log.store_id()).await
    }

    /// The writer's index has the older events of a stream; the rest of the log is searched.
    async fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Events, StoreError> {
        let (positions, mut indexed) = self.find(stream, after, limit).await?;
        let mut events = Vec::new();
        for positions in positions.chunks(STREAM_STEP) {
            let after = after.saturating_add(events.len() as u64);
            let found = read_versions(&self.log, stream, after, positions).await?;
            let is_cut = found.len() < positions.len();
            events.extend(found);
            if is_cut {
                return Ok(events);
            }
        }
        while events.len() < limit {
            let page = self.log.read_all(indexed, PAGE_EVENTS).await?;
            let Some(last) = page.last() else { break };
            indexed = last.position;
            let wanted = |event: &Arc<StoredEvent>| event.stream == stream && event.version > after;
            events.extend(page.into_iter().filter(wanted));
        }
        events.truncate(limit);
        Ok(events)
    }

    /// What the index knows, and how far it goes. Without an index that is nothing.
    async fn find(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<(Vec<u64>, Position), StoreError> {
        if !self.index.is_file() {
            return Ok((Vec::new(), Position(0)));
        }
        let pool = db::readers(&self.index);
        let mut found: Result<_, StoreError> = Ok((Vec::new(), Position(0)));
        for _ in 0..ATTEMPTS {
            found = async {
                let listed = runs::load(&pool).await?;
                let indexed = listed.last().map_or(Position(0), |run| Position(run.last));
                Ok((runs::find(&pool, &listed, stream, after, limit).await?, indexed))
            }
            .await;
            if found.is_ok() {
                break;
            }
        }
        pool.close().await;
        if let Err(error) = &found {
            tracing::warn!(%error, "the stream index cannot be used; the whole log is searched");
        }
        Ok(found.unwrap_or_default())
    }
}

impl EventFeed for EmbeddedReader {
    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Events, FeedError>> {
        async move { self.log.read_all(after, limit).await.map_err(feed_error) }.boxed()
    }

    fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        interest: Interest,
    ) -> BoxFuture<'_, Result<Events, FeedError>> {
        async move { self.log.read_wanted(after, limit, interest).await.map_err(feed_error) }
            .boxed()
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Events, FeedError>> {
        async move { self.read_stream(stream, after, limit).await.map_err(feed_error) }.boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, FeedError>> {
        async move { self.log.head().await.map_err(feed_error) }.boxed()
    }

    fn follow(&self, after: Position) -> EventStream {
        let state = Some((self.log.clone(), after));
        Box::pin(stream::unfold(state, |state| async move {
            let (log, after) = state?;
            loop {
                match log.read_all(after, PAGE_EVENTS).await {
                    Err(error) => return Some((Err(feed_error(error)), None)),
                    Ok(events) => {
                        if let Some(last) = events.last() {
                            let after = last.position;
                            return Some((Ok(events), Some((log, after))));
                        }
                    }
                }
                tokio::time::sleep(FOLLOW_INTERVAL).await;
            }
        }))
    }
}
