//! Reading events from the log by their positions, and no more of them at once than have room.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    time::Timestamp,
};

use crate::feed::{EventFeed, FeedError};

/// Positions that lie so near each other are read together.
const NEAR: u64 = 16;
/// Reads of the log that are under way at once.
const READS: usize = 4;
/// Events of a stream that are read at once.
const STREAM_PAGE: usize = 1_000;
/// Positions that are read at first on the way down; then four times as many, as long as
/// there is room.
const FIRST_DOWN: u64 = 16;

/// Events that were found at positions.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of the positions; those that are missing are left out.
    pub(crate) events: Vec<Arc<StoredEvent>>,
    /// At so many of the positions was looked: for the others there was no room any more.
    pub(crate) looked_at: usize,
    /// The bytes of the events.
    pub(crate) bytes: usize,
}

/// The events at these positions, which go up or down. They have so much room: what does not fit
/// any more is left for later, but for the first, which is always read.
pub(crate) async fn events_within(
    feed: &dyn EventFeed,
    positions: &[u64],
    room: usize,
) -> Result<Found, FeedError> {
    let runs = positions.chunk_by(|before, next| before.abs_diff(*next) <= NEAR);
    let read = stream::iter(runs.map(<[u64]>::to_vec)).map(|run| async move {
        let read = match (run.first(), run.last()) {
            (Some(first), Some(last)) if first > last => run_down(feed, &run, room).await?,
            _ => run_up(feed, &run, room).await?,
        };
        Ok::<_, FeedError>((run.len(), read))
    });
    let mut runs = std::pin::pin!(read.buffered(READS));
    let (mut found, mut behind) = (Found::default(), 0);
    while let Some((length, run)) = runs.try_next().await? {
        for event in run.events {
            let bytes = bytes_of(&event);
            if !found.events.is_empty() && found.bytes + bytes > room {
                return Ok(found);
            }
            let at = event.position.0;
            let behind_it = &positions[found.looked_at..];
            let further = behind_it.iter().position(|known| *known == at);
            found.looked_at = further.map_or(behind, |further| found.looked_at + further) + 1;
            found.bytes += bytes;
            found.events.push(event);
        }
        if !run.is_whole {
            return Ok(found);
        }
        behind += length;
        found.looked_at = behind;
    }
    Ok(found)
}

/// What an event takes.
fn bytes_of(event: &StoredEvent) -> usize {
    size_of::<StoredEvent>() + event.data.len() + event.meta.len()
}

/// The events of positions that are near each other, in their order, as far as there was room.
struct Run {
    events: Vec<Arc<StoredEvent>>,
    is_whole: bool,
}

async fn run_up(feed: &dyn EventFeed, run: &[u64], room: usize) -> Result<Run, FeedError> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Ok(Run { events: Vec::new(), is_whole: true });
    };
    let (mut events, mut bytes, mut at) = (Vec::new(), 0, first.saturating_sub(1));
    while at < *last {
        if bytes > room {
            return Ok(Run { events, is_whole: false });
        }
        let limit = usize::try_from(last - at).unwrap_or(usize::MAX);
        let read = feed.read_all(Position(at), limit).await?;
        let Some(end) = read.last() else { break };
        at = end.position.0;
        for event in read {
            if run.binary_search(&event.position.0).is_ok() {
                bytes += bytes_of(&event);
                events.push(event);
            }
        }
    }
    Ok(Run { events, is_whole: true })
}

/// The log is read upwards: of each part the highest that have room are kept.
async fn run_down(feed: &dyn EventFeed, run: &[u64], room: usize) -> Result<Run, FeedError> {
    let (Some(top), Some(bottom)) = (run.first(), run.last()) else {
        return Ok(Run { events: Vec::new(), is_whole: true });
    };
    let (mut events, mut bytes) = (Vec::new(), 0);
    let (mut next, mut count) = (*top, FIRST_DOWN);
    while next >= *bottom && next > 0 {
        if bytes > room {
            return Ok(Run { events, is_whole: false });
        }
        let before = next.saturating_sub(count).max(bottom.saturating_sub(1));
        let (mut kept, mut at, mut left_out) = (VecDeque::new(), before, false);
        while at < next {
            let limit = usize::try_from(next - at).unwrap_or(usize::MAX);
            let read = feed.read_all(Position(at), limit).await?;
            let Some(end) = read.last() else { break };
            at = end.position.0;
            for event in read {
                if run.binary_search_by(|known| event.position.0.cmp(known)).is_ok() {
                    bytes += bytes_of(&event);
                    kept.push_back(event);
                }
                while bytes > room
                    && kept.len() > 1
                    && let Some(lowest) = kept.pop_front()
                {
                    bytes -= bytes_of(&lowest);
                    left_out = true;
                }
            }
        }
        events.extend(kept.into_iter().rev());
        if left_out {
            return Ok(Run { events, is_whole: false });
        }
        (next, count) = (before, count.saturating_mul(4));
    }
    Ok(Run { events, is_whole: true })
}

/// The first events of each of these streams up to a version, oldest first.
pub(crate) async fn first_events(
    feed: &dyn EventFeed,
    streams: HashMap<StreamId, u64>,
) -> Result<HashMap<StreamId, Vec<Arc<StoredEvent>>>, FeedError> {
    let read = stream::iter(streams).map(|(stream, last)| async move {
        let mut found: Vec<Arc<StoredEvent>> = Vec::new();
        while let after = found.last().map_or(0, |event| event.version)
            && after < last
        {
            let limit = usize::try_from(last - after).unwrap_or(usize::MAX).min(STREAM_PAGE);
            let events = feed.read_stream(stream, after, limit).await?;
            if events.is_empty() {
                break;
            }
            found.extend(events);
        }
        Ok((stream, found))
    });
    read.buffer_unordered(READS).try_collect().await
}

/// The first position up to `last` that was recorded then or later. Recorded times never run
/// backwards, so halving finds it.
pub(super) async fn first_since(
    feed: &dyn EventFeed,
    time: Timestamp,
    last: u64,
) -> Result<Option<u64>, FeedError> {
    // Up to `before` everything is earlier; what is at `found` is not.
    let (mut before, mut found) = (0, None);
    let mut end = last;
    while before < end {
        let middle = before + (end - before) / 2;
        match feed.read_all(Position(middle), 1).await?.first() {
            Some(event) if event.position.0 <= end && event.recorded_at < time => {
                before = event.position.0;
            }
            Some(event) => {
                if event.position.0 <= last && event.recorded_at >= time {
                    found = Some(event.position.0);
                }
                end = middle;
            }
            None => end = middle,
        }
    }
    Ok(found)
}
