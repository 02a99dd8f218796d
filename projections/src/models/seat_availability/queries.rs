//! What one may ask about seats: what is free now, what was free then, and the holds.

use std::{str::FromStr, sync::Arc};

use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    inventory::Places,
    legs::Legs,
    names::{Allotment, BuyerRef, HoldId, OrderId, OrganizerId, ShowId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::board::Board;
use super::{ALLOTMENTS, Availability, HOLDS, MAPS, POOLS, SEAT_AVAILABILITY, SEATS, SHOWS};
use crate::{
    ReadModels,
    cache::Record,
    engine::{Lease, fold_all},
    models::tenant_filter,
    page::{List, Page, PageRequest, QueryError},
    projection,
    rows::{Changes, Filter, Query, RowError, Table, TableChanges, Value},
};

/// Rows of a board that are read at once.
const CHUNK: usize = 20_000;
/// Events of a show that are read at once.
const EVENTS: usize = 10_000;

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

    /// The same for rows with these columns.
    pub(crate) fn filter(self) -> Filter {
        match self {
            Self::Position(position) => {
                Filter::AtMost("position", i64::try_from(position.0).unwrap_or(i64::MAX))
            }
            Self::Time(time) => Filter::AtMost("recorded_at", time.as_micros()),
        }
    }
}

/// What became of a hold, as recorded: a hold that is over by time alone is held here until its
/// expiry is recorded (see [`HoldView::lasts`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldStatus {
    /// Its seats are set aside.
    Held,
    /// They are sold.
    Confirmed,
    /// The buyer gave it back.
    Released,
    /// Its time has passed.
    Expired,
}

impl HoldStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoldView {
    /// Its id.
    pub hold: HoldId,
    /// Of which show.
    pub show: ShowId,
    /// Whose show it is.
    pub organizer: Option<OrganizerId>,
    /// For whom.
    pub buyer: BuyerRef,
    /// What became of it.
    pub status: HoldStatus,
    /// What it has, or had.
    pub places: Places,
    /// Out of which allotment.
    pub allotment: Option<Allotment>,
    /// The order that bought it.
    pub order: Option<OrderId>,
    /// When it was made.
    pub held_at: Timestamp,
    /// When it ends, or would have ended.
    pub expires_at: Timestamp,
    /// The position of its first event.
    pub position: Position,
}

impl HoldView {
    /// Whether its seats are set aside at this time.
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.status == HoldStatus::Held && now < self.expires_at
    }
}

/// Which holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HoldFilter {
    /// Of this show.
    pub show: Option<ShowId>,
    /// Of this buyer.
    pub buyer: Option<BuyerRef>,
    /// With this status.
    pub status: Option<HoldStatus>,
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
        let feed = &self.engine().shared.feed;
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let read = feed.read_stream(StreamId::inventory(show), after, EVENTS).await?;
            let Some(last) = read.last().map(|event| event.version) else { break };
            events.extend(read.into_iter().take_while(|event| as_of.includes(event)));
            if events.last().is_none_or(|event| event.version < last) {
                break;
            }
            after = last;
        }
        if events.is_empty() {
            return Ok(None);
        }
        let now = match as_of {
            AsOf::Time(time) => time,
            AsOf::Position(position) => self.time_of(position, &events).await?,
        };
        let mut fold = (SEAT_AVAILABILITY.fold)();
        fold_all(fold.as_mut(), SEAT_AVAILABILITY.streams, &events).map_err(|poison| {
            QueryError::Poisoned { position: poison.position, reason: poison.reason }
        })?;
        let board = Board::from_rows(show, &projection::changes(fold.as_mut()))?;
        let answer = board.map(|mut board| board.answer(legs, now));
        Ok(answer.filter(|answer| tenant.is_none() || answer.map.organizer == tenant))
    }

    /// When the last event up to a position was recorded; at least when the last of these was.
    async fn time_of(
        &self,
        position: Position,
        events: &[Arc<StoredEvent>],
    ) -> Result<Timestamp, QueryError> {
        let at = Position(position.0.saturating_sub(1));
        let read = self.engine().shared.feed.read_all(at, 1).await?;
        let exact = read.first().filter(|event| event.position == position);
        let known = exact.or(events.last()).map(|event| event.recorded_at);
        Ok(known.unwrap_or_default())
    }

    /// A hold; none if there is none, or it belongs to another tenant.
    pub async fn hold(
        &self,
        tenant: Option<OrganizerId>,
        hold: HoldId,
    ) -> Result<Option<HoldView>, QueryError> {
        let lease = self.engine().lease(SEAT_AVAILABILITY.name);
        let rows = lease.load(&HOLDS, vec![vec![Value::text(hold)]]).await?;
        let view = rows.first().map(HoldView::from_row).transpose()?.map(|(_, view)| view);
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Holds, in the order in which they were made.
    pub async fn holds(
        &self,
        tenant: Option<OrganizerId>,
        filter: &HoldFilter,
        page: &PageRequest,
    ) -> Result<Page<HoldView>, QueryError> {
        let mut filters = tenant_filter(tenant);
        filters.extend(filter.show.map(|show| Filter::is("show", show)));
        filters.extend(filter.buyer.as_ref().map(|buyer| Filter::is("buyer", buyer)));
        filters.extend(filter.status.map(|status| Filter::is("status", status.as_str())));
        let list = List { table: &HOLDS, filters, order: vec!["position"] };
        let rows = list.page(&self.engine().lease(SEAT_AVAILABILITY.name), page).await?;
        rows.decode(|row| Ok(HoldView::from_row(row)?.1))
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
        Ok(Board::from_rows(show, &rows)?)
    }
}

/// Every row of a show that its board needs.
async fn rows_of_show(
    lease: &Lease,
    table: &'static Table,
    show: ShowId,
) -> Result<Vec<Vec<Value>>, RowError> {
    let mut filters = vec![Filter::is("show", show)];
    let mut order = table.key_names();
    if *table == HOLDS {
        filters.push(Filter::is("status", HoldStatus::Held.as_str()));
        order = vec!["position"];
    }
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

impl FromStr for HoldStatus {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Held, Self::Confirmed, Self::Released, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no status of a hold"))
    }
}
