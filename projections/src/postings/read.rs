//! Finding events by lists of positions, and reading them from the log.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    time::Timestamp,
};

use super::{BLOCK_TABLE, List, Packed, TAIL_TABLE};
use crate::{
    cache::bad,
    engine::Lease,
    feed::{EventFeed, FeedError},
    models::seat_availability::AsOf,
    page::{Edge, Page, PageRequest, QueryError, Slice, Sort, position_cursor, position_of},
    rows::{Filter, Query, RowError, Table, Value},
};

/// Positions that lie so near each other are read together.
const NEAR: u64 = 16;
/// Reads of the log that are under way at once.
const READS: usize = 4;
/// Events of a stream that are read at once.
const STREAM_PAGE: usize = 1_000;

/// One condition on events.
pub(crate) enum Wanted {
    /// In this list; of those, with this tag.
    In(List, Option<u32>),
    /// In one of these lists.
    InOneOf(Vec<List>),
    /// At one of these positions, which are in order.
    At(Vec<u64>),
}

/// Elements with their positions.
pub(crate) type Placed<T> = Vec<(u64, T)>;

/// What stands at positions.
pub(crate) trait Elements: Sync {
    /// One element.
    type Element: Send;

    /// The elements at these positions, in their order, without what is none after all.
    fn at(&self, positions: Vec<u64>) -> BoxFuture<'_, Result<Placed<Self::Element>, QueryError>>;
}

/// Which way one goes along the positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// Positions that meet one condition.
enum Cursor {
    List(Box<ListCursor>),
    OneOf(Vec<Cursor>),
    At(Vec<u64>),
}

/// Where one is in a list.
struct ListCursor {
    list: Value,
    tag: Option<u32>,
    tail: Packed,
    /// The entries between `from` and `to`, both included.
    entries: Vec<u64>,
    from: u64,
    to: u64,
}

/// The positions that meet every condition, between two bounds.
pub(crate) struct Lists<'a> {
    lease: &'a Lease,
    wanted: Vec<Wanted>,
    /// The first and the last position that count.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl<'a> Lists<'a> {
    /// Without a condition: everything up to there.
    pub(crate) fn up_to(lease: &'a Lease, last: Position) -> Self {
        Self { lease, wanted: Vec::new(), first: 1, last: last.0 }
    }

    /// Only what was recorded between these times; `until` is exclusive.
    pub(crate) async fn between(
        &mut self,
        feed: &dyn EventFeed,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<(), FeedError> {
        if let Some(from) = from {
            let first = first_since(feed, from, self.last).await?;
            self.first = self.first.max(first.unwrap_or(u64::MAX));
        }
        if let Some(until) = until
            && let Some(first) = first_since(feed, until, self.last).await?
        {
            self.last = self.last.min(first - 1);
        }
        Ok(())
    }

    /// Only what had happened by a moment.
    pub(crate) async fn as_of(
        &mut self,
        feed: &dyn EventFeed,
        as_of: Option<AsOf>,
    ) -> Result<(), FeedError> {
        match as_of {
            None => {}
            Some(AsOf::Position(position)) => self.last = self.last.min(position.0),
            Some(AsOf::Time(time)) => {
                let then = Timestamp::from_micros(time.as_micros().saturating_add(1));
                self.between(feed, None, Some(then)).await?;
            }
        }
        Ok(())
    }

    /// One condition more.
    pub(crate) fn and(&mut self, wanted: Wanted) {
        self.wanted.push(wanted);
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, RowError> {
        let mut cursors = Vec::with_capacity(self.wanted.len());
        for wanted in &self.wanted {
            cursors.push(match wanted {
                Wanted::In(list, tag) => self.list(list, *tag).await?,
                Wanted::InOneOf(lists) => {
                    let mut each = Vec::with_capacity(lists.len());
                    for list in lists {
                        each.push(self.list(list, None).await?);
                    }
                    Cursor::OneOf(each)
                }
                Wanted::At(positions) => Cursor::At(positions.clone()),
            });
        }
        Ok(cursors)
    }

    /// The tail is read before any block: what becomes a block meanwhile is met twice, and not
    /// missed.
    async fn list(&self, list: &List, tag: Option<u32>) -> Result<Cursor, RowError> {
        let list = Value::text(list);
        let rows = self.lease.load(&TAIL_TABLE, vec![vec![list.clone()]]).await?;
        let tail = match rows.first() {
            Some(row) => Packed::read(&TAIL_TABLE, row)?,
            None => Packed::default(),
        };
        // Nothing is known yet: an empty range.
        let (entries, from, to) = (Vec::new(), 1, 0);
        Ok(Cursor::List(Box::new(ListCursor { list, tag, tail, entries, from, to })))
    }

    /// One page.
    pub(crate) async fn page<E: Elements>(
        self,
        request: &PageRequest,
        elements: &E,
    ) -> Result<Page<E::Element>, QueryError> {
        let (Slice::First(count) | Slice::Last(count)) = request.slice;
        crate::page::check_size(count)?;
        let forward = matches!(request.slice, Slice::First(_));
        let after = match &request.cursor {
            Some(cursor) => {
                Some(position_of(cursor).ok_or_else(|| QueryError::BadCursor(cursor.clone()))?)
            }
            None => None,
        };
        // Reading towards the front of a list is reading the turned list forwards.
        let descends = (request.sort == Sort::Descending) == forward;
        let (way, back) = if descends { (Way::Down, Way::Up) } else { (Way::Up, Way::Down) };
        let mut found = self.some(way, after, count + 1, elements).await?;
        let more = found.len() > count;
        found.truncate(count);
        let behind = match (after, found.first()) {
            (None, _) => false,
            (Some(_), Some((first, _))) => {
                !self.some(back, Some(*first), 1, elements).await?.is_empty()
            }
            // Nothing ahead of the cursor: is there anything at it or behind it?
            (Some(_), None) => !self.some(back, None, 1, elements).await?.is_empty(),
        };
        if !forward {
            found.reverse();
        }
        let (has_next, has_previous) = if forward { (more, behind) } else { (behind, more) };
        let edges = found
            .into_iter()
            .map(|(position, node)| Edge { cursor: position_cursor(position), node })
            .collect();
        Ok(Page { edges, has_next, has_previous })
    }

    /// The first so many elements on the way, behind a position or from the beginning.
    async fn some<E: Elements>(
        &self,
        way: Way,
        after: Option<u64>,
        count: usize,
        elements: &E,
    ) -> Result<Vec<(u64, E::Element)>, QueryError> {
        let mut cursors = self.cursors().await?;
        let mut next = match (way, after) {
            (Way::Up, None) => Some(self.first),
            (Way::Up, Some(after)) => after.checked_add(1).map(|next| next.max(self.first)),
            (Way::Down, None) => Some(self.last),
            (Way::Down, Some(after)) => after.checked_sub(1).map(|next| next.min(self.last)),
        };
        let mut found = Vec::new();
        while found.len() < count && next.is_some() {
            let mut positions = Vec::new();
            while found.len() + positions.len() < count
                && let Some(from) = next
            {
                let met =
                    meet(self.lease, &mut cursors, way, from, (self.first, self.last)).await?;
                let Some(position) = met else {
                    next = None;
                    break;
                };
                positions.push(position);
                next = match way {
                    Way::Up => position.checked_add(1),
                    Way::Down => position.checked_sub(1),
                };
            }
            if !positions.is_empty() {
                found.extend(elements.at(positions).await?);
            }
        }
        Ok(found)
    }
}

/// The nearest position on the way that meets every condition.
async fn meet(
    lease: &Lease,
    cursors: &mut [Cursor],
    way: Way,
    from: u64,
    (first, last): (u64, u64),
) -> Result<Option<u64>, RowError> {
    let mut at = from;
    'anew: loop {
        if at < first || at > last {
            return Ok(None);
        }
        for cursor in cursors.iter_mut() {
            match cursor.seek(lease, way, at).await? {
                None => return Ok(None),
                Some(found) if found == at => {}
                Some(found) => {
                    at = found;
                    continue 'anew;
                }
            }
        }
        return Ok(Some(at));
    }
}

/// The nearest of these on the way, `at` included.
fn nearest(positions: &[u64], way: Way, at: u64) -> Option<u64> {
    match way {
        Way::Up => positions.get(positions.partition_point(|found| *found < at)).copied(),
        Way::Down => {
            let behind = positions.partition_point(|found| *found <= at);
            behind.checked_sub(1).map(|before| positions[before])
        }
    }
}

impl Cursor {
    async fn seek(&mut self, lease: &Lease, way: Way, at: u64) -> Result<Option<u64>, RowError> {
        match self {
            Self::At(positions) => Ok(nearest(positions, way, at)),
            Self::List(list) => list.seek(lease, way, at).await,
            Self::OneOf(lists) => {
                let mut best = None;
                for list in lists {
                    // Only lists stand in here.
                    let Self::List(list) = list else { continue };
                    let found = list.seek(lease, way, at).await?;
                    best = match (best, found) {
                        (Some(a), Some(b)) if way == Way::Up => Some(u64::min(a, b)),
                        (Some(a), Some(b)) => Some(u64::max(a, b)),
                        (a, b) => a.or(b),
                    };
                }
                Ok(best)
            }
        }
    }
}

impl ListCursor {
    /// The nearest entry on the way, `at` included.
    async fn seek(&mut self, lease: &Lease, way: Way, at: u64) -> Result<Option<u64>, RowError> {
        let mut at = at;
        loop {
            if at < self.from || at > self.to {
                match way {
                    Way::Up => self.load_up(lease, at).await?,
                    Way::Down => self.load_down(lease, at).await?,
                }
            }
            if let Some(found) = nearest(&self.entries, way, at)
                && (self.from..=self.to).contains(&found)
            {
                return Ok(Some(found));
            }
            at = match way {
                Way::Up if self.to == u64::MAX => return Ok(None),
                Way::Up => self.to + 1,
                Way::Down if self.from == 0 => return Ok(None),
                Way::Down => self.from - 1,
            };
        }
    }

    fn tail_is_at(&self, at: u64) -> bool {
        self.tail.entries > 0 && at >= self.tail.first
    }

    fn take(&mut self, table: &'static Table, packed: &Packed) -> Result<(), RowError> {
        self.entries = packed.positions(self.tag).ok_or_else(|| bad(table, "packed"))?;
        Ok(())
    }

    fn take_tail(&mut self) -> Result<(), RowError> {
        let tail = std::mem::take(&mut self.tail);
        let taken = self.take(&TAIL_TABLE, &tail);
        self.tail = tail;
        taken
    }

    /// The block with the greatest first entry up to there.
    async fn block_before(&self, lease: &Lease, at: u64) -> Result<Option<Packed>, RowError> {
        self.block(lease, Filter::AtMost("first", signed(at)), true).await
    }

    async fn block(
        &self,
        lease: &Lease,
        place: Filter,
        descending: bool,
    ) -> Result<Option<Packed>, RowError> {
        let query = Query {
            table: &BLOCK_TABLE,
            filters: vec![Filter::Equal("list", self.list.clone()), place],
            order: vec!["first"],
            descending,
            after: None,
            limit: 1,
        };
        let rows = lease.query(query).await?;
        let block = rows.first().map(|row| Packed::read(&BLOCK_TABLE, row)).transpose()?;
        // What has become a block since the tail was read is in that tail.
        Ok(block.filter(|block| self.tail.entries == 0 || block.first < self.tail.first))
    }

    /// The entries from `at` on, as far as one block goes.
    async fn load_up(&mut self, lease: &Lease, at: u64) -> Result<(), RowError> {
        if !self.tail_is_at(at) {
            // After the end of a block the next one follows.
            let goes_on = self.to.checked_add(1) == Some(at) && self.from <= self.to;
            if !goes_on
                && let Some(block) = self.block_before(lease, at).await?
                && block.last >= at
            {
                (self.from, self.to) = (block.first, block.last);
                return self.take(&BLOCK_TABLE, &block);
            }
            let next = Filter::AtLeast("first", signed(at));
            if let Some(block) = self.block(lease, next, false).await? {
                (self.from, self.to) = (at, block.last);
                return self.take(&BLOCK_TABLE, &block);
            }
        }
        (self.from, self.to) = (at, u64::MAX);
        self.take_tail()
    }

    /// The entries down from `at`, as far as one block goes.
    async fn load_down(&mut self, lease: &Lease, at: u64) -> Result<(), RowError> {
        if self.tail_is_at(at) {
            (self.from, self.to) = (self.tail.first, u64::MAX);
            return self.take_tail();
        }
        match self.block_before(lease, at).await? {
            Some(block) => {
                (self.from, self.to) = (block.first, at.max(block.last));
                self.take(&BLOCK_TABLE, &block)
            }
            None => {
                (self.from, self.to) = (0, at);
                self.entries.clear();
                Ok(())
            }
        }
    }
}

fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// The events at these positions, in the order of the log; those that are missing are left out.
pub(crate) async fn events_at(
    feed: &dyn EventFeed,
    mut positions: Vec<u64>,
) -> Result<Vec<Arc<StoredEvent>>, FeedError> {
    positions.sort_unstable();
    let runs: Vec<Vec<u64>> =
        positions.chunk_by(|before, next| next - before <= NEAR).map(<[u64]>::to_vec).collect();
    let read = stream::iter(runs).map(|run| async move {
        let (mut found, mut at) = (Vec::with_capacity(run.len()), run[0].saturating_sub(1));
        let last = run[run.len() - 1];
        while at < last {
            let limit = usize::try_from(last - at).unwrap_or(usize::MAX);
            let events = feed.read_all(Position(at), limit).await?;
            let Some(end) = events.last() else { break };
            at = end.position.0;
            found.extend(
                events.into_iter().filter(|event| run.binary_search(&event.position.0).is_ok()),
            );
        }
        Ok(found)
    });
    let runs: Vec<Vec<Arc<StoredEvent>>> = read.buffered(READS).try_collect().await?;
    Ok(runs.concat())
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
async fn first_since(
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
