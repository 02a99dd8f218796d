//! Finding events by lists of positions.

use futures_util::future::BoxFuture;
use hakken_domain::{envelope::Position, time::Timestamp};

use super::{BLOCK_TABLE, List, Packed, TAIL_TABLE, log::first_since};
use crate::{
    cache::bad,
    engine::Lease,
    feed::{EventFeed, FeedError},
    models::seat_availability::AsOf,
    page::{Edge, Page, PageRequest, QueryError, Slice, Sort, position_cursor, position_of},
    rows::{Filter, Query, RowError, Table, Value},
};

/// Most bytes of events that one page brings into memory, unless a single one has more: a page of
/// large events has fewer elements than were asked for, and says that there are more.
const PAGE_BYTES: usize = 4 << 20;

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

/// Elements that were read.
pub(crate) struct Taken<T> {
    /// In the order of the positions, without what is none after all.
    pub(crate) elements: Placed<T>,
    /// At so many of the positions was looked, at least at one: for the others there was no room.
    pub(crate) looked_at: usize,
    /// The bytes that were read.
    pub(crate) bytes: usize,
}

/// What stands at positions.
pub(crate) trait Elements: Sync {
    /// One element.
    type Element: Send;

    /// The elements at the first of these positions, as far as they have room in so many bytes.
    fn at(
        &self,
        positions: Vec<u64>,
        room: usize,
    ) -> BoxFuture<'_, Result<Taken<Self::Element>, QueryError>>;
}

/// Which way one goes along the positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Way {
    /// The next position after this one; none at the end.
    fn behind(self, position: u64) -> Option<u64> {
        match self {
            Self::Up => position.checked_add(1),
            Self::Down => position.checked_sub(1),
        }
    }
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
        let (mut found, is_cut) = self.some(way, after, count + 1, elements).await?;
        let more = match found.last() {
            // What had no room may be none after all.
            Some((last, _)) if is_cut => {
                !self.some(way, Some(*last), 1, elements).await?.0.is_empty()
            }
            _ => found.len() > count,
        };
        found.truncate(count);
        let behind = match (after, found.first()) {
            (None, _) => false,
            (Some(_), Some((first, _))) => {
                !self.some(back, Some(*first), 1, elements).await?.0.is_empty()
            }
            // Nothing ahead of the cursor: is there anything at it or behind it?
            (Some(_), None) => !self.some(back, None, 1, elements).await?.0.is_empty(),
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

    /// The first so many elements on the way, behind a position or from the beginning; true if
    /// there are fewer because they had no room, and more would follow.
    async fn some<E: Elements>(
        &self,
        way: Way,
        after: Option<u64>,
        count: usize,
        elements: &E,
    ) -> Result<(Placed<E::Element>, bool), QueryError> {
        let mut cursors = self.cursors().await?;
        let mut next = match (way, after) {
            (Way::Up, None) => Some(self.first),
            (Way::Up, Some(after)) => way.behind(after).map(|next| next.max(self.first)),
            (Way::Down, None) => Some(self.last),
            (Way::Down, Some(after)) => way.behind(after).map(|next| next.min(self.last)),
        };
        let (mut found, mut room) = (Vec::new(), PAGE_BYTES);
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
                next = way.behind(position);
            }
            if positions.is_empty() {
                break;
            }
            if room == 0 && !found.is_empty() {
                return Ok((found, true));
            }
            let taken = elements.at(positions.clone(), room).await?;
            found.extend(taken.elements);
            room = room.saturating_sub(taken.bytes);
            if let Some(left) = positions.get(taken.looked_at) {
                if !found.is_empty() {
                    return Ok((found, true));
                }
                // What was read is none after all, and makes room for what follows it.
                (next, room) = (Some(*left), PAGE_BYTES);
            }
        }
        Ok((found, false))
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
