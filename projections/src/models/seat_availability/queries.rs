//! What one may ask about seats: what is free now, what was free then, and the holds.

use std::sync::Arc;

use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    legs::Legs,
    names::{OrganizerId, ShowId},
    time::Timestamp,
};
use tokio::sync::watch;

use super::board::{Board, Sales, ShowMap};
use super::fold::{MapRow, ShowRow};
use super::{ALLOTMENTS, Availability, HOLDS, MAPS, POOLS, SEAT_AVAILABILITY, SEATS, SHOWS};
use crate::{
    ReadModels,
    cache::{Record, read},
    engine::Lease,
    page::QueryError,
    past::fold_then,
    rows::{Changes, Filter, Query, Row, RowError, Table, TableChanges, Value},
};

/// Rows of a board that are read at once.
const CHUNK: usize = 20_000;
/// Rows of so many bytes take their time to read: some milliseconds.
const LARGE: usize = 128 << 10;

/// A moment of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// After the event at this position.
    Position(Position),
    /// After everything that was recorded until then.
    Time(Timestamp),
}

impl AsOf {
    /// Whether an event had happened.
    pub(crate) fn includes(self, event: &StoredEvent) -> bool {
        match self {
            Self::Position(position) => event.position <= position,
            Self::Time(time) => event.recorded_at <= time,
        }
    }
}

impl ReadModels {
    /// What is free of a show on these legs (all its legs if absent); none if the show was never
    /// put on sale, or belongs to another tenant. It costs next to nothing while nothing changes:
    /// the same `Arc` comes again.
    pub async fn availability(
        &self,
        tenant: Option<OrganizerId>,
        show: ShowId,
        legs: Option<Legs>,
        now: Timestamp,
    ) -> Result<Option<Arc<Availability>>, QueryError> {
        let answer = match self.boards().answer(show, legs, now) {
            Some(answer) => Some(answer),
            None => self.load_board(show, legs, now).await?,
        };
        Ok(answer.filter(|answer| tenant.is_none() || answer.map.organizer == tenant))
    }

    /// When one may buy, of several shows; those that were never put on sale are left out. Whoever
    /// asks has seen that the shows are theirs.
    pub async fn sales_of_shows(
        &self,
        shows: &[ShowId],
    ) -> Result<Vec<(ShowId, Sales)>, QueryError> {
        let keys = shows.iter().map(|show| vec![Value::text(show)]).collect();
        let rows = self.engine().lease(SEAT_AVAILABILITY.name).load(&SHOWS, keys).await?;
        let sales = rows.iter().map(|row| {
            let (show, ShowRow { sales, .. }) = ShowRow::from_row(row)?;
            Ok((show, Sales { rules: sales.rules, closed: sales.closed }))
        });
        Ok(sales.collect::<Result<_, RowError>>()?)
    }

    /// What several shows sell: their maps, which never change. Shows that were never put on sale
    /// are left out, and those of another tenant.
    pub async fn maps_of_shows(
        &self,
        tenant: Option<OrganizerId>,
        shows: &[ShowId],
    ) -> Result<Vec<(ShowId, Arc<ShowMap>)>, QueryError> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for show in shows {
            match self.boards().map(*show) {
                Some(map) => found.push((*show, map)),
                None => missing.push(vec![Value::text(show)]),
            }
        }
        if !missing.is_empty() {
            let rows = self.engine().lease(SEAT_AVAILABILITY.name).load(&MAPS, missing).await?;
            for row in rows {
                let show = read(&MAPS, &row, "show")?;
                let bytes = bytes_of(&row);
                let map = apart(bytes, move || Ok(ShowMap::from(MapRow::from_row(&row)?))).await?;
                found.push((show, Arc::new(map)));
            }
        }
        found.retain(|(_, map)| tenant.is_none() || map.organizer == tenant);
        Ok(found)
    }

    /// Hears the version of a show's inventory whenever it changes; none where
    /// [`ReadModels::availability`] has none. A hold that ends by itself changes it only when its
    /// expiry is recorded: `Availability::next_expiry` says when to look again.
    pub async fn watch_availability(
        &self,
        tenant: Option<OrganizerId>,
        show: ShowId,
        now: Timestamp,
    ) -> Result<Option<watch::Receiver<Version>>, QueryError> {
        let known = self.availability(tenant, show, None, now).await?;
        Ok(known.map(|_| self.boards().watch(show)))
    }

    /// What was free of a show then. A time in the future is now.
    pub async fn availability_as_of(
        &self,
        tenant: Option<OrganizerId>,
        show: ShowId,
        legs: Option<Legs>,
        as_of: AsOf,
    ) -> Result<Option<Arc<Availability>>, QueryError> {
        let skipped = self.engine().shared.read_skips().await?.of(SEAT_AVAILABILITY.name);
        let mut last = None;
        let seen = |page: &[Arc<StoredEvent>]| {
            last = page.last().cloned().or(last.take());
            Ok(())
        };
        let stream = StreamId::inventory(show);
        let changes =
            fold_then(self.events(), &SEAT_AVAILABILITY, &skipped, stream, as_of, seen).await?;
        let Some(last) = last else { return Ok(None) };
        let now = match as_of {
            AsOf::Time(time) => time,
            AsOf::Position(position) => self.time_at(position, &last).await?,
        };
        let board = board_of(show, changes).await?;
        let answer = board.map(|mut board| board.answer(legs, now));
        Ok(answer.filter(|answer| tenant.is_none() || answer.map.organizer == tenant))
    }

    /// When the last event up to a position was recorded; at least when this earlier one was.
    async fn time_at(
        &self,
        position: Position,
        earlier: &StoredEvent,
    ) -> Result<Timestamp, QueryError> {
        let at = Position(position.0.saturating_sub(1));
        let read = self.events().read_all(at, 1).await?;
        let exact = read.first().filter(|event| event.position == position);
        Ok(exact.map_or(earlier.recorded_at, |event| event.recorded_at))
    }

    /// Makes a show's board from its rows, keeps it, and answers from it.
    async fn load_board(
        &self,
        show: ShowId,
        legs: Option<Legs>,
        now: Timestamp,
    ) -> Result<Option<Arc<Availability>>, QueryError> {
        // Most loads meet no change; after two that did, changes wait for the third.
        for _ in 0..2 {
            let generation = self.boards().generation();
            let Some(board) = self.read_board(show).await? else { return Ok(None) };
            if let Some(answer) = self.boards().install(board, generation, legs, now) {
                return Ok(Some(answer));
            }
        }
        let slot = self.engine().slot(SEAT_AVAILABILITY.name);
        let slot = slot.unwrap_or_else(|error| panic!("{error}"));
        let _gate = slot.gate.lock().await;
        let generation = self.boards().generation();
        let Some(board) = self.read_board(show).await? else { return Ok(None) };
        Ok(self.boards().install(board, generation, legs, now))
    }

    async fn read_board(&self, show: ShowId) -> Result<Option<Board>, QueryError> {
        let lease = self.engine().lease(SEAT_AVAILABILITY.name);
        let mut rows = Changes::new();
        let tables: [&'static Table; 6] = [&MAPS, &SHOWS, &SEATS, &POOLS, &ALLOTMENTS, &HOLDS];
        for table in tables {
            let upserts = rows_of_show(&lease, table, show).await?;
            if *table == MAPS && upserts.is_empty() {
                return Ok(None);
            }
            rows.push(TableChanges { table, upserts, deletes: Vec::new() });
        }
        Ok(board_of(show, rows).await?)
    }
}

/// Does what rows of so many bytes take: if it is much, beside the core that others wait for.
async fn apart<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, RowError> + Send + 'static,
) -> Result<T, RowError> {
    if bytes < LARGE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends.
        Err(error) => Err(RowError::Unavailable(error.into())),
    }
}

fn bytes_of(row: &Row) -> usize {
    let bytes = |value: &Value| match value {
        Value::Null | Value::Int(_) => 0,
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    };
    row.iter().map(bytes).sum()
}

/// The board that rows of one show make.
async fn board_of(show: ShowId, rows: Changes) -> Result<Option<Board>, RowError> {
    let bytes = rows.iter().flat_map(|change| &change.upserts).map(bytes_of).sum();
    apart(bytes, move || Board::from_rows(show, &rows)).await
}

/// Every row of a show that its board needs.
async fn rows_of_show(
    lease: &Lease,
    table: &'static Table,
    show: ShowId,
) -> Result<Vec<Vec<Value>>, RowError> {
    let filters = vec![Filter::is("show", show)];
    let order = table.key_names();
    let at: Vec<usize> = order.iter().map(|name| table.column(name)).collect();
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let query = Query {
            table,
            filters: filters.clone(),
            order: order.clone(),
            descending: false,
            after,
            limit: CHUNK,
        };
        let rows = lease.query(query).await?;
        let found = rows.len();
        all.extend(rows);
        if found < CHUNK {
            return Ok(all);
        }
        after = all.last().map(|row| at.iter().map(|at| row[*at].clone()).collect());
    }
}
