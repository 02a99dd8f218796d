//! Pages of a list, as Relay has them: a stable order, and cursors that survive inserts because
//! they name a place in the order and not a number of rows.

use data_encoding::BASE64URL_NOPAD;
use futures_util::future::{BoxFuture, FutureExt};

use crate::{
    engine::Lease,
    rows::{Filter, Key, Query, Row, RowError, Table, Value},
};

/// Most rows of one page.
pub const MAX_PAGE: usize = 1_000;

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// So many from the beginning, or from behind the cursor.
    First(usize),
    /// So many before the end, or before the cursor.
    Last(usize),
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// The oldest, or the smallest key.
    #[default]
    Ascending,
    /// The newest, or the greatest key.
    Descending,
}

/// What part of which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many, from which end.
    pub slice: Slice,
    /// `after` for [`Slice::First`], `before` for [`Slice::Last`].
    pub cursor: Option<String>,
    /// Which end comes first.
    pub sort: Sort,
}

impl PageRequest {
    /// The first so many.
    pub fn first(count: usize) -> Self {
        Self { slice: Slice::First(count), cursor: None, sort: Sort::Ascending }
    }

    /// The last so many.
    pub fn last(count: usize) -> Self {
        Self { slice: Slice::Last(count), cursor: None, sort: Sort::Ascending }
    }

    /// Behind this one (for `first`).
    #[must_use]
    pub fn after(mut self, cursor: &str) -> Self {
        self.cursor = Some(cursor.to_owned());
        self
    }

    /// Before this one (for `last`).
    #[must_use]
    pub fn before(self, cursor: &str) -> Self {
        self.after(cursor)
    }

    /// The newest first.
    #[must_use]
    pub fn newest_first(mut self) -> Self {
        self.sort = Sort::Descending;
        self
    }
}

/// One element of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge<T> {
    /// Its place in the order.
    pub cursor: String,
    /// The element.
    pub node: T,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In the order that was asked for.
    pub edges: Vec<Edge<T>>,
    /// There are more behind the last one.
    pub has_next: bool,
    /// There are more before the first one.
    pub has_previous: bool,
}

impl<T> Page<T> {
    /// Without the cursors.
    pub fn into_nodes(self) -> Vec<T> {
        self.edges.into_iter().map(|edge| edge.node).collect()
    }

    /// Another type of element.
    pub fn map<U>(self, mut each: impl FnMut(T) -> U) -> Page<U> {
        Page {
            edges: self
                .edges
                .into_iter()
                .map(|edge| Edge { cursor: edge.cursor, node: each(edge.node) })
                .collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
        }
    }
}

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The cursor is none of this list's.
    #[error("{0:?} is no cursor of this list")]
    BadCursor(String),
    /// A page of 0 rows, or of too many.
    #[error("a page has 1 to {MAX_PAGE} rows, not {0}")]
    PageSize(usize),
    /// The read models cannot be read.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The events cannot be read.
    #[error(transparent)]
    Feed(#[from] crate::feed::FeedError),
    /// The events up to there cannot be folded.
    #[error("the event at position {position} cannot be folded: {reason}")]
    Poisoned {
        /// Where.
        position: hakken_domain::envelope::Position,
        /// Why.
        reason: String,
    },
    /// More events would have to be read for an answer about the past than one may cost.
    #[error(
        "more than {most} events would have to be read to tell how that stood. Ask for a smaller \
         page, or for the elements of one show, order or buyer"
    )]
    PastTooLong {
        /// Most events of one answer, each stream that is looked up counted as a few.
        most: u64,
        /// How many there were up to where it was given up.
        found: u64,
    },
}

/// Where the rows of a list come from.
pub(crate) trait Source: Sync {
    /// Rows.
    fn rows(&self, query: Query) -> BoxFuture<'_, Result<Vec<Row>, QueryError>>;
}

/// Those that are served now.
impl Source for Lease {
    fn rows(&self, query: Query) -> BoxFuture<'_, Result<Vec<Row>, QueryError>> {
        async move { Ok(self.query(query).await?) }.boxed()
    }
}

fn encode_cursor(place: &[Value]) -> String {
    let parts: Vec<serde_json::Value> = place
        .iter()
        .map(|value| match value {
            Value::Null => serde_json::Value::Null,
            Value::Int(number) => (*number).into(),
            Value::Text(text) => text.as_ref().into(),
            // No list is in the order of packed numbers.
            Value::Bytes(_) => serde_json::Value::Null,
        })
        .collect();
    BASE64URL_NOPAD.encode(serde_json::Value::from(parts).to_string().as_bytes())
}

/// The cursor of a list whose order is that of the events.
pub(crate) fn position_cursor(position: u64) -> String {
    encode_cursor(&[Value::Int(i64::try_from(position).unwrap_or(i64::MAX))])
}

/// What such a cursor says.
pub(crate) fn position_of(cursor: &str) -> Option<u64> {
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
    let [position] = serde_json::from_slice::<[u64; 1]>(&bytes).ok()?;
    Some(position)
}

/// A page has some rows, and not too many.
pub(crate) fn check_size(count: usize) -> Result<(), QueryError> {
    if (1..=MAX_PAGE).contains(&count) { Ok(()) } else { Err(QueryError::PageSize(count)) }
}

fn decode_cursor(table: &Table, order: &[&'static str], cursor: &str) -> Option<Key> {
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
    let parts: Vec<serde_json::Value> = serde_json::from_slice(&bytes).ok()?;
    if parts.len() != order.len() {
        return None;
    }
    let parts = parts.into_iter().zip(order);
    parts
        .map(|(part, name)| match (part, table.columns[table.column(name)].kind) {
            (serde_json::Value::Number(number), crate::rows::ColumnKind::Int) => {
                number.as_i64().map(Value::Int)
            }
            (serde_json::Value::String(text), crate::rows::ColumnKind::Text) => {
                Some(Value::Text(text.into()))
            }
            _ => None,
        })
        .collect()
}

/// A list that can be read in pages.
pub(crate) struct List {
    pub(crate) table: &'static Table,
    pub(crate) filters: Vec<Filter>,
    /// Columns that are unique together and never `Null`.
    pub(crate) order: Vec<&'static str>,
}

impl List {
    /// All of its rows, in as few questions as possible: for lists that the rules keep short.
    pub(crate) async fn whole(&self, lease: &Lease) -> Result<Vec<Row>, RowError> {
        let mut all: Vec<Row> = Vec::new();
        loop {
            let place = |row: &Row| -> Key {
                self.order.iter().map(|name| row[self.table.column(name)].clone()).collect()
            };
            let query = Query {
                table: self.table,
                filters: self.filters.clone(),
                order: self.order.clone(),
                descending: false,
                after: all.last().map(place),
                limit: MAX_PAGE,
            };
            let rows = lease.query(query).await?;
            let is_last = rows.len() < MAX_PAGE;
            all.extend(rows);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// One page of rows.
    pub(crate) async fn page(
        self,
        source: &dyn Source,
        request: &PageRequest,
    ) -> Result<Page<Row>, QueryError> {
        let (Slice::First(count) | Slice::Last(count)) = request.slice;
        check_size(count)?;
        let forward = matches!(request.slice, Slice::First(_));
        let after = match &request.cursor {
            Some(cursor) => Some(
                decode_cursor(self.table, &self.order, cursor)
                    .ok_or_else(|| QueryError::BadCursor(cursor.clone()))?,
            ),
            None => None,
        };
        let at: Vec<usize> = self.order.iter().map(|name| self.table.column(name)).collect();
        let place = |row: &Row| at.iter().map(|at| row[*at].clone()).collect::<Key>();
        // Reading towards the front of a list is reading the turned list forwards.
        let descending = (request.sort == Sort::Descending) == forward;
        let query = |after, descending, limit| Query {
            table: self.table,
            filters: self.filters.clone(),
            order: self.order.clone(),
            descending,
            after,
            limit,
        };
        let mut rows = source.rows(query(after.clone(), descending, count + 1)).await?;
        let more = rows.len() > count;
        rows.truncate(count);
        let behind = match (&after, rows.first()) {
            (None, _) => false,
            (Some(_), Some(first)) => {
                !source.rows(query(Some(place(first)), !descending, 1)).await?.is_empty()
            }
            // Nothing ahead of the cursor: is there anything at it or behind it?
            (Some(_), None) => !source.rows(query(None, !descending, 1)).await?.is_empty(),
        };
        if !forward {
            rows.reverse();
        }
        let (has_next, has_previous) = if forward { (more, behind) } else { (behind, more) };
        let edges = rows
            .into_iter()
            .map(|row| Edge { cursor: encode_cursor(&place(&row)), node: row })
            .collect();
        Ok(Page { edges, has_next, has_previous })
    }
}

impl Page<Row> {
    /// The rows, decoded.
    pub(crate) fn decode<T>(
        self,
        mut each: impl FnMut(&Row) -> Result<T, RowError>,
    ) -> Result<Page<T>, QueryError> {
        let edges = self
            .edges
            .into_iter()
            .map(|edge| Ok(Edge { cursor: edge.cursor, node: each(&edge.node)? }))
            .collect::<Result<_, RowError>>()?;
        Ok(Page { edges, has_next: self.has_next, has_previous: self.has_previous })
    }
}
