//! Reads and decodes ahead of a fold, so that all three go on at once. Pages come in order, and
//! few of them wait: memory is bounded whatever is slow.

use std::sync::Arc;

use hakken_domain::envelope::{Position, StoredEvent};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, JoinSet},
};

use super::folding::BREATH;
use crate::{
    feed::{EventFeed, FeedError},
    projection::Projection,
};

/// Events of one read.
const PAGE: usize = 5_000;
/// Pages that wait to be folded.
const WAITING: usize = 3;

type Events = Vec<Arc<StoredEvent>>;

/// The events after a position, up to where they end when it gets there.
pub(super) struct Ahead {
    pages: mpsc::Receiver<Result<JoinHandle<Events>, FeedError>>,
    /// The next page, while it is being decoded.
    decoding: Option<JoinHandle<Events>>,
    /// What is left of a page that went beyond what was asked for.
    rest: Events,
    /// Ends with this.
    _reader: JoinSet<()>,
}

impl Ahead {
    /// Begins to read behind `after` and to decode what the projection wants.
    pub(super) fn start(
        feed: Arc<dyn EventFeed>,
        projection: Projection,
        mut after: Position,
    ) -> Self {
        let (sender, pages) = mpsc::channel(WAITING);
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            loop {
                let page = match feed.read_wanted(after, PAGE, projection.interest()).await {
                    Ok(events) => {
                        let Some(last) = events.last() else { break };
                        after = last.position;
                        Ok(tokio::spawn(decode(events, projection)))
                    }
                    Err(error) => Err(error),
                };
                let is_over = page.is_err();
                if sender.send(page).await.is_err() || is_over {
                    break;
                }
            }
        });
        Self { pages, decoding: None, rest: Vec::new(), _reader: reader }
    }

    /// Waits for a page; false when the events have ended. May be dropped half-way and called
    /// again.
    pub(super) async fn fill(&mut self) -> Result<bool, FeedError> {
        while self.rest.is_empty() {
            if self.decoding.is_none() {
                match self.pages.recv().await {
                    Some(page) => self.decoding = Some(page?),
                    None => return Ok(false),
                }
            }
            if let Some(decoding) = &mut self.decoding {
                let page = decoding.await;
                self.decoding = None;
                self.rest = page.map_err(|error: JoinError| FeedError(Box::new(error)))?;
            }
        }
        Ok(true)
    }

    /// What there is up to a position; what is behind it waits for the next time.
    pub(super) fn take(&mut self, last: Position) -> Events {
        let behind = self.rest.partition_point(|event| event.position <= last);
        let behind = self.rest.split_off(behind);
        std::mem::replace(&mut self.rest, behind)
    }
}

async fn decode(events: Events, projection: Projection) -> Events {
    if !projection.decoded_ahead {
        return events;
    }
    for chunk in events.chunks(BREATH) {
        for event in chunk.iter().filter(|event| projection.wants(event)) {
            // A failure is kept in the event, and met again when it is folded.
            let _ = event.decoded();
        }
        tokio::task::yield_now().await;
    }
    events
}
