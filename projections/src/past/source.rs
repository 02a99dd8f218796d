//! Rows as they were: what is served now says which there are, since nothing that began ever goes
//! away, and each is folded from its own stream.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use hakken_domain::{
    envelope::{Position, StreamId},
    names::EventId,
};

use super::{STREAM, fold_then, skipped};
use crate::{
    ReadModels,
    cache::Record,
    engine::Lease,
    feed::EventFeed,
    models::seat_availability::AsOf,
    page::{QueryError, Source},
    projection::{OwnStream, Projection},
    rows::{Changes, Filter, Key, Query, Row, RowError, Table, Value},
};

/// Streams that are read at the same time.
const AT_ONCE: usize = 16;

/// Rows that are looked at together where not all of them are wanted.
const CANDIDATES: usize = 64;

/// Columns that say something that a later event may change; all others that lists are filtered
/// by or ordered by stay as the first event has made them.
const CHANGING: [&str; 1] = ["status"];

/// The rows of a projection behind the event at a position.
pub(super) struct Past<'a> {
    feed: &'a dyn EventFeed,
    /// At least at that position.
    lease: Lease,
    projection: &'static Projection,
    skipped: Arc<HashSet<EventId>>,
    at: Position,
    /// Most events of one answer, and how many it has taken up to now.
    most: u64,
    read: AtomicU64,
    known: Mutex<Known>,
}

/// What was folded already.
#[derive(Default)]
struct Known {
    streams: HashSet<StreamId>,
    rows: HashMap<(&'static str, Key), Row>,
}

impl ReadModels {
    /// A projection's rows as they were. It must have come to that position.
    pub(super) async fn past(
        &self,
        projection: &'static Projection,
        at: Position,
    ) -> Result<Past<'_>, QueryError> {
        let feed = self.events();
        Ok(Past {
            feed,
            lease: self.engine().lease(projection.name),
            projection,
            skipped: skipped(feed, projection).await?,
            at,
            most: self.most_past_events(),
            read: AtomicU64::new(0),
            known: Mutex::default(),
        })
    }
}

impl Past<'_> {
    /// Counts what is read.
    fn spend(&self, events: u64) -> Result<(), QueryError> {
        let found = self.read.fetch_add(events, Ordering::Relaxed).saturating_add(events);
        match found > self.most {
            true => Err(QueryError::PastTooLong { most: self.most, found }),
            false => Ok(()),
        }
    }

    async fn fold(&self, stream: StreamId) -> Result<Changes, QueryError> {
        self.spend(STREAM)?;
        let as_of = AsOf::Position(self.at);
        let count = |page: &[_]| self.spend(page.len() as u64);
        fold_then(self.feed, self.projection, &self.skipped, stream, as_of, count).await
    }

    /// What each of these streams alone had made of the tables.
    pub(super) async fn each(
        &self,
        streams: &[StreamId],
        mut folded: impl FnMut(StreamId, Changes) -> Result<(), QueryError> + Send,
    ) -> Result<(), QueryError> {
        for some in streams.chunks(AT_ONCE) {
            let changes = try_join_all(some.iter().map(|stream| self.fold(*stream))).await?;
            for (stream, changes) in some.iter().zip(changes) {
                folded(*stream, changes)?;
            }
        }
        Ok(())
    }

    fn own(&self, table: &Table) -> &'static OwnStream {
        let own = self.projection.own(table);
        own.unwrap_or_else(|| panic!("rows of {} are of several streams", table.name))
    }

    /// These rows as they were, in the same order; those that were not there yet are left out.
    async fn then(&self, table: &'static Table, rows: &[Row]) -> Result<Vec<Row>, QueryError> {
        let own = self.own(table);
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unread: Vec<StreamId> = Vec::new();
        {
            let known = lock();
            for stream in rows.iter().filter_map(|row| own.of(row)) {
                if !known.streams.contains(&stream) && !unread.contains(&stream) {
                    unread.push(stream);
                }
            }
        }
        let keep = |stream, changes: Changes| {
            let mut known = lock();
            known.streams.insert(stream);
            for change in changes {
                let (name, key) = (change.table.name, change.table.key);
                let rows = change.upserts.into_iter();
                known.rows.extend(rows.map(|row| ((name, row[..key].to_vec()), row)));
            }
            Ok(())
        };
        self.each(&unread, keep).await?;
        let known = lock();
        let then = |row: &Row| known.rows.get(&(table.name, row[..table.key].to_vec())).cloned();
        Ok(rows.iter().filter_map(then).collect())
    }

    /// Everything of one table that was folded up to now, in no order.
    pub(super) fn folded<R: Record>(&self) -> Result<Vec<R>, RowError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = known.rows.iter().filter(|((table, _), _)| *table == R::table().name);
        rows.map(|(_, row)| Ok(R::from_row(row)?.1)).collect()
    }

    async fn query(&self, query: Query) -> Result<Vec<Row>, QueryError> {
        let Query { table, order, .. } = &query;
        let at: Vec<usize> = order.iter().map(|name| table.column(name)).collect();
        let place = |row: &Row| at.iter().map(|at| row[*at].clone()).collect::<Key>();
        let lasts = |filter: &&Filter| !CHANGING.contains(&filter.column());
        let mut filters: Vec<Filter> = query.filters.iter().filter(lasts).cloned().collect();
        let all_wanted = filters.len() == query.filters.len();
        filters.push(Filter::AtMost("position", position(self.at)));
        let (mut found, mut after) = (Vec::new(), query.after.clone());
        loop {
            let missing = query.limit - found.len();
            let limit = if all_wanted { missing } else { missing.max(CANDIDATES) };
            let (filters, after_this) = (filters.clone(), after.take());
            let asked = Query { filters, after: after_this, limit, ..query.clone() };
            let rows = self.lease.query(asked).await?;
            let is_last = rows.len() < limit;
            after = rows.last().map(place);
            for row in self.then(query.table, &rows).await? {
                let meets = |filter: &Filter| filter.holds(&row[table.column(filter.column())]);
                if query.filters.iter().all(meets) {
                    found.push(row);
                }
                if found.len() == query.limit {
                    return Ok(found);
                }
            }
            if is_last {
                return Ok(found);
            }
        }
    }
}

/// A position as it stands in a column.
pub(super) fn position(at: Position) -> i64 {
    Value::position(at).as_int().unwrap_or(i64::MAX)
}

impl Source for Past<'_> {
    fn rows(&self, query: Query) -> BoxFuture<'_, Result<Vec<Row>, QueryError>> {
        self.query(query).boxed()
    }
}
