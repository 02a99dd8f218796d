//! Things as they were: their own events, folded up to a moment by the same fold that makes the
//! rows of now. A moment of the future is now.
//!
//! Here are single things; `lists` has pages of them, `sums` what was sold, and `sample` compares
//! rows that are stored with what their events say.

mod lists;
mod sample;
mod source;
mod sums;

use std::{collections::HashSet, sync::Arc};

pub use sample::{Sampled, sample};

use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    names::{EventId, HoldId, OrderId, OrganizerId, ShowId, TicketId, VenueId},
    time::Timestamp,
};

use crate::{
    ReadModels,
    cache::Record,
    engine::{fold_all, skips},
    feed::EventFeed,
    models::{
        catalogue::{CATALOGUE, OrganizerView, ShowView, VenueView},
        holds::{HOLDS, HoldView},
        orders::{ORDERS, OrderView, RefundView},
        seat_availability::AsOf,
        tickets::{TICKETS, TicketView},
    },
    page::QueryError,
    projection::{self, Projection},
    rows::{Changes, RowError},
};

/// Events of a stream that are read at once.
const PAGE: usize = 10_000;

/// Most events that are read for one answer about the past, if nobody says another number; a
/// stream that is looked up counts as [`STREAM`] more.
pub(crate) const MAX_EVENTS: u64 = 500_000;

/// What looking up a stream costs, in events that are read on.
const STREAM: u64 = 5;

/// The events that a projection leaves out.
async fn skipped(
    feed: &dyn EventFeed,
    projection: &Projection,
) -> Result<Arc<HashSet<EventId>>, QueryError> {
    let mut skips = Arc::default();
    skips::read_on(feed, &mut skips).await?;
    Ok(skips.of(projection.name))
}

/// What a stream's own events had made of the tables of a projection by then, and the events.
pub(crate) async fn fold_then(
    feed: &dyn EventFeed,
    projection: &Projection,
    skipped: &HashSet<EventId>,
    stream: StreamId,
    as_of: AsOf,
    mut seen: impl FnMut(&[Arc<StoredEvent>]) -> Result<(), QueryError> + Send,
) -> Result<Changes, QueryError> {
    let mut fold = (projection.fold)();
    let mut after = 0;
    loop {
        let mut page = feed.read_stream(stream, after, PAGE).await?;
        let Some(last) = page.last().map(|event| event.version) else { break };
        page.retain(|event| as_of.includes(event));
        seen(&page)?;
        fold_all(fold.as_mut(), projection, &page, skipped).map_err(|poison| {
            QueryError::Poisoned { position: poison.position, reason: poison.reason }
        })?;
        if page.last().is_none_or(|event| event.version < last) {
            break;
        }
        after = last;
        // A show has many events: others get the core between two pages of them.
        tokio::task::yield_now().await;
    }
    Ok(projection::changes(fold.as_mut()))
}

/// The records of one table.
fn records<R: Record>(changes: &Changes) -> Result<Vec<(R::Key, R)>, QueryError> {
    let rows = changes.iter().filter(|change| change.table == R::table());
    Ok(rows.flat_map(|change| &change.upserts).map(R::from_row).collect::<Result<_, RowError>>()?)
}

fn one<R: Record>(changes: &Changes, key: &R::Key) -> Result<Option<R>, QueryError> {
    let mut found = records::<R>(changes)?.into_iter();
    Ok(found.find(|(known, _)| known == key).map(|(_, record)| record))
}

/// One record of a stream's own events up to a moment; none if there was none then.
async fn then<R: Record>(
    feed: &dyn EventFeed,
    projection: &Projection,
    stream: StreamId,
    key: &R::Key,
    as_of: AsOf,
) -> Result<Option<R>, QueryError> {
    let skipped = skipped(feed, projection).await?;
    one(&fold_then(feed, projection, &skipped, stream, as_of, |_| Ok(())).await?, key)
}

/// An order as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct PastOrder {
    /// The order.
    pub view: OrderView,
    /// The refunds that had been asked for, in that order.
    pub refunds: Vec<RefundView>,
}

impl PastOrder {
    fn of(view: OrderView, mut refunds: Vec<RefundView>) -> Self {
        refunds.sort_by_key(|refund| refund.position);
        Self { view, refunds }
    }
}

/// A hold of a show as it was then, from the events alone; none if there was none.
pub async fn hold_then(
    feed: &dyn EventFeed,
    show: ShowId,
    hold: HoldId,
    as_of: AsOf,
) -> Result<Option<HoldView>, QueryError> {
    then(feed, &HOLDS, StreamId::inventory(show), &hold, as_of).await
}

impl ReadModels {
    pub(crate) fn events(&self) -> &dyn EventFeed {
        &*self.engine().shared.feed
    }

    /// A ticket as it was then; none if there was none, or it belongs to another tenant.
    pub async fn ticket_as_of(
        &self,
        tenant: Option<OrganizerId>,
        ticket: TicketId,
        as_of: AsOf,
    ) -> Result<Option<TicketView>, QueryError> {
        let found: Option<TicketView> =
            then(self.events(), &TICKETS, ticket.into(), &ticket, as_of).await?;
        Ok(found.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// An order as it was then; none if there was none, or it belongs to another tenant.
    pub async fn order_as_of(
        &self,
        tenant: Option<OrganizerId>,
        order: OrderId,
        as_of: AsOf,
    ) -> Result<Option<PastOrder>, QueryError> {
        let feed = self.events();
        let skipped = skipped(feed, &ORDERS).await?;
        let changes = fold_then(feed, &ORDERS, &skipped, order.into(), as_of, |_| Ok(())).await?;
        let view: Option<OrderView> = one(&changes, &order)?;
        let Some(view) = view.filter(|view| tenant.is_none() || view.organizer == tenant) else {
            return Ok(None);
        };
        let refunds = records::<RefundView>(&changes)?.into_iter();
        Ok(Some(PastOrder::of(view, refunds.map(|(_, refund)| refund).collect())))
    }

    /// A hold as it was then; none if there was none, or it belongs to another tenant. The rows of
    /// now tell of which show it is, since a hold never moves to another one.
    pub async fn hold_as_of(
        &self,
        tenant: Option<OrganizerId>,
        hold: HoldId,
        as_of: AsOf,
    ) -> Result<Option<HoldView>, QueryError> {
        let Some(now) = self.hold(tenant, hold).await? else { return Ok(None) };
        hold_then(self.events(), now.show, hold, as_of).await
    }

    /// A show as it was then; none if there was none, or it belongs to another tenant.
    pub async fn show_as_of(
        &self,
        tenant: Option<OrganizerId>,
        show: ShowId,
        as_of: AsOf,
    ) -> Result<Option<ShowView>, QueryError> {
        let stream = StreamId::show(show);
        let found: Option<ShowView> = then(self.events(), &CATALOGUE, stream, &show, as_of).await?;
        Ok(found.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// A venue as it was then; none if there was none, or it belongs to another tenant.
    pub async fn venue_as_of(
        &self,
        tenant: Option<OrganizerId>,
        venue: VenueId,
        as_of: AsOf,
    ) -> Result<Option<VenueView>, QueryError> {
        let found: Option<VenueView> =
            then(self.events(), &CATALOGUE, venue.into(), &venue, as_of).await?;
        Ok(found.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// An organizer as it was then; none if there was none, or it is another tenant.
    pub async fn organizer_as_of(
        &self,
        tenant: Option<OrganizerId>,
        organizer: OrganizerId,
        as_of: AsOf,
    ) -> Result<Option<OrganizerView>, QueryError> {
        if tenant.is_some_and(|tenant| tenant != organizer) {
            return Ok(None);
        }
        then(self.events(), &CATALOGUE, organizer.into(), &organizer, as_of).await
    }

    /// When a moment was: the time itself, or when the event at that position was recorded.
    pub async fn time_of(&self, as_of: AsOf) -> Result<Timestamp, QueryError> {
        time_of(self.events(), as_of).await
    }

    /// Where a moment stands among the events: behind the last that had happened by then.
    pub async fn position_of(&self, as_of: AsOf) -> Result<Position, QueryError> {
        let feed = self.events();
        let head = feed.head().await?;
        let time = match as_of {
            AsOf::Position(position) => return Ok(position.min(head)),
            AsOf::Time(time) => time,
        };
        // Recorded times never run backwards: all up to `before` had happened, and nothing behind
        // `last`.
        let (mut before, mut last) = (0, head.0);
        while before < last {
            let middle = before + (last - before).div_ceil(2);
            let found = feed.read_all(Position(middle - 1), 1).await?;
            match found.first().filter(|event| event.recorded_at <= time) {
                Some(event) => before = event.position.0,
                None => last = middle - 1,
            }
        }
        Ok(Position(before))
    }
}

/// When a moment was: the time itself, or when the event at that position was recorded (of a
/// position of the future, when the newest event was).
pub async fn time_of(feed: &dyn EventFeed, as_of: AsOf) -> Result<Timestamp, QueryError> {
    let position = match as_of {
        AsOf::Time(time) => return Ok(time),
        AsOf::Position(position) => position,
    };
    let newest = feed.head().await?.min(position);
    let before = Position(newest.0.saturating_sub(1));
    let found = feed.read_all(before, 1).await?;
    Ok(found.first().map(|event| event.recorded_at).unwrap_or_default())
}
