//! Every ticket as it is now.

use std::collections::HashSet;

use hakken_domain::{
    Event,
    envelope::{Decoded, Position, StoredEvent, StreamId, StreamKind},
    legs::Legs,
    names::{BuyerRef, OrderId, OrganizerId, PoolId, SeatId, ShowId, TicketId, TicketTypeId},
    ticket::{self, EntryRule},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    ReadModels,
    cache::{AnyRows, Cache, Record, doc, read, read_doc},
    models::tenant_filter,
    page::{List, Page, PageRequest, QueryError},
    projection::{ByShow, Fold, Inconsistent, OwnStream, Projection, ShowEvents},
    rows::{Column, Filter, Key, Row, RowError, Table, Value},
};

/// The projection.
pub const TICKETS: Projection = Projection {
    name: "tickets",
    version: 1,
    tables: &[&TABLE],
    streams: &[StreamKind::Ticket],
    passes_over: &[],
    decoded_ahead: true,
    fold: || Box::new(TicketFold::default()),
    own: &[OwnStream { table: &TABLE, column: "ticket", kind: StreamKind::Ticket }],
    by_show: Some(ByShow {
        tables: &[(&TABLE, "show")],
        events: ShowEvents::Among(is_of_ticket_of),
    }),
};

/// Whether an event is of a ticket to a show, which the ticket's first event names.
fn is_of_ticket_of(show: ShowId, event: &StoredEvent, tickets: &mut HashSet<StreamId>) -> bool {
    if let Ok(decoded) = event.decoded()
        && let Event::Ticket(ticket::Event::TicketCreated(created)) = &decoded.event
        && created.show == show
    {
        tickets.insert(event.stream);
    }
    tickets.contains(&event.stream)
}

pub(crate) static TABLE: Table = Table {
    name: "tickets",
    noun: "ticket",
    columns: &[
        Column::text("ticket"),
        Column::int("position"),
        Column::text("organizer"),
        Column::text("show"),
        Column::text("order"),
        Column::text("buyer"),
        Column::text("status"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[
        &["position"],
        &["organizer", "position"],
        &["show", "position"],
        &["order", "position"],
    ],
};

/// Where a ticket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketStatus {
    /// Nobody has its code yet (未発券).
    Unissued,
    /// Its code is given out (発券済).
    Issued,
    /// Somebody came in with it (入場済).
    Used,
    /// The right to enter is gone (取消済).
    Void,
}

impl TicketStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unissued => "unissued",
            Self::Issued => "issued",
            Self::Used => "used",
            Self::Void => "void",
        }
    }
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TicketView {
    /// Its id.
    pub ticket: TicketId,
    /// The tenant.
    pub organizer: Option<OrganizerId>,
    /// Of which order.
    pub order: OrderId,
    /// Which item of it.
    pub item: u16,
    /// To what.
    pub show: ShowId,
    /// The numbered seat; else `pool` is there.
    pub seat: Option<SeatId>,
    /// The pool; else `seat` is there.
    pub pool: Option<PoolId>,
    /// On these legs.
    pub legs: Legs,
    /// As what.
    pub ticket_type: TicketTypeId,
    /// Whose order it is.
    pub buyer: BuyerRef,
    /// How often and when one may come in.
    pub entry: EntryRule,
    /// The issuance deadline (発券期限).
    pub issue_until: Option<Timestamp>,
    /// Where it is in its life.
    pub status: TicketStatus,
    /// No entry until it is paid again.
    pub suspended: bool,
    /// The generation of the live code; 0 before the first was given out.
    pub generation: u16,
    /// The key that signs the live code.
    pub code_key: Option<u8>,
    /// Somebody is inside with it.
    pub inside: bool,
    /// How often somebody came in.
    pub entries: u32,
    /// How often a code of it was refused.
    pub refused_scans: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a code was given out for the last time.
    pub issued_at: Option<Timestamp>,
    /// When somebody came in for the first time.
    pub first_entered_at: Option<Timestamp>,
    /// When it was voided.
    pub voided_at: Option<Timestamp>,
    /// The position of its first event.
    pub position: Position,
}

impl Record for TicketView {
    type Key = TicketId;
    fn table() -> &'static Table {
        &TABLE
    }
    fn key_values(key: &TicketId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &TicketId) -> Row {
        vec![
            Value::text(key),
            Value::position(self.position),
            Value::maybe(self.organizer),
            Value::text(self.show),
            Value::text(self.order),
            Value::Text(self.buyer.as_str().into()),
            Value::Text(self.status.as_str().into()),
            doc(self),
        ]
    }
    fn from_row(row: &Row) -> Result<(TicketId, Self), RowError> {
        Ok((read(&TABLE, row, "ticket")?, read_doc(&TABLE, row, "doc")?))
    }
}

#[derive(Default)]
struct TicketFold {
    tickets: Cache<TicketView>,
}

impl Fold for TicketFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![&mut self.tickets]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        if let Event::Ticket(_) = &decoded.event {
            self.tickets.need(&TicketId(event.stream.id));
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        use ticket::Event as E;
        let Event::Ticket(fact) = &decoded.event else { return Ok(()) };
        let id = TicketId(event.stream.id);
        if let E::TicketCreated(created) = fact {
            self.tickets.put(id, unissued(id, event, decoded, created));
            return Ok(());
        }
        let unknown = || Inconsistent(format!("ticket {id} was never created"));
        let ticket = self.tickets.get_mut(&id).ok_or_else(unknown)?;
        match fact {
            E::TicketCreated(_) => {}
            E::TicketIssued(issued) => {
                ticket.status = TicketStatus::Issued;
                new_code(ticket, event, issued.generation, issued.code_key);
            }
            E::TicketReissued(issued) => {
                new_code(ticket, event, issued.generation, issued.code_key);
            }
            E::TicketSuspended(_) => ticket.suspended = true,
            E::TicketReinstated(_) => ticket.suspended = false,
            E::TicketVoided(_) => {
                ticket.status = TicketStatus::Void;
                ticket.voided_at = Some(event.recorded_at);
            }
            E::TicketEntered(_) => {
                ticket.status = TicketStatus::Used;
                ticket.inside = true;
                ticket.entries = ticket.entries.saturating_add(1);
                ticket.first_entered_at.get_or_insert(event.recorded_at);
            }
            E::TicketExited(_) => ticket.inside = false,
            E::ScanRefused(_) => ticket.refused_scans = ticket.refused_scans.saturating_add(1),
        }
        Ok(())
    }
}

fn new_code(ticket: &mut TicketView, event: &StoredEvent, generation: u16, code_key: u8) {
    ticket.generation = generation;
    ticket.code_key = Some(code_key);
    ticket.issued_at = Some(event.recorded_at);
}

fn unissued(
    ticket: TicketId,
    event: &StoredEvent,
    decoded: &Decoded,
    created: &ticket::TicketCreated,
) -> TicketView {
    TicketView {
        ticket,
        organizer: decoded.meta.organizer,
        order: created.order,
        item: created.item,
        show: created.show,
        seat: created.seat.clone(),
        pool: created.pool.clone(),
        legs: created.legs,
        ticket_type: created.ticket_type.clone(),
        buyer: created.buyer.clone(),
        entry: created.entry.clone(),
        issue_until: created.issue_until,
        status: TicketStatus::Unissued,
        suspended: false,
        generation: 0,
        code_key: None,
        inside: false,
        entries: 0,
        refused_scans: 0,
        created_at: event.recorded_at,
        issued_at: None,
        first_entered_at: None,
        voided_at: None,
        position: event.position,
    }
}

/// Which tickets. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TicketFilter {
    /// To this show.
    pub show: Option<ShowId>,
    /// Of this order.
    pub order: Option<OrderId>,
    /// Of this buyer.
    pub buyer: Option<BuyerRef>,
    /// With this status.
    pub status: Option<TicketStatus>,
}

impl TicketFilter {
    fn filters(&self, tenant: Option<OrganizerId>) -> Vec<Filter> {
        let mut filters = tenant_filter(tenant);
        filters.extend(self.show.map(|show| Filter::is("show", show)));
        filters.extend(self.order.map(|order| Filter::is("order", order)));
        filters.extend(self.buyer.as_ref().map(|buyer| Filter::is("buyer", buyer)));
        filters.extend(self.status.map(|status| Filter::is("status", status.as_str())));
        filters
    }

    /// The list of those that meet it.
    pub(crate) fn list(&self, tenant: Option<OrganizerId>) -> List {
        List { table: &TABLE, filters: self.filters(tenant), order: vec!["position"] }
    }
}

impl ReadModels {
    /// A ticket; none if there is none, or it belongs to another tenant.
    pub async fn ticket(
        &self,
        tenant: Option<OrganizerId>,
        ticket: TicketId,
    ) -> Result<Option<TicketView>, QueryError> {
        let lease = self.engine().lease(TICKETS.name);
        let rows = lease.load(&TABLE, vec![vec![Value::text(ticket)]]).await?;
        let view = rows.first().map(TicketView::from_row).transpose()?.map(|(_, view)| view);
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Tickets by their ids, in any order; those of another tenant are left out.
    pub async fn tickets_by_id(
        &self,
        tenant: Option<OrganizerId>,
        tickets: &[TicketId],
    ) -> Result<Vec<TicketView>, QueryError> {
        let keys = tickets.iter().map(|ticket| vec![Value::text(ticket)]).collect();
        let rows = self.engine().lease(TICKETS.name).load(&TABLE, keys).await?;
        let views = rows.iter().map(|row| Ok(TicketView::from_row(row)?.1));
        let mut found: Vec<TicketView> = views.collect::<Result<_, RowError>>()?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// All tickets of several orders, in the order in which they were made.
    pub async fn tickets_of_orders(
        &self,
        tenant: Option<OrganizerId>,
        orders: &[OrderId],
    ) -> Result<Vec<TicketView>, QueryError> {
        let mut filters = tenant_filter(tenant);
        filters.push(Filter::OneOf("order", orders.iter().map(Value::text).collect()));
        let list = List { table: &TABLE, filters, order: vec!["position"] };
        let rows = list.whole(&self.engine().lease(TICKETS.name)).await?;
        Ok(rows
            .iter()
            .map(|row| Ok(TicketView::from_row(row)?.1))
            .collect::<Result<_, RowError>>()?)
    }

    /// Tickets, in the order in which they were made.
    pub async fn tickets(
        &self,
        tenant: Option<OrganizerId>,
        filter: &TicketFilter,
        page: &PageRequest,
    ) -> Result<Page<TicketView>, QueryError> {
        let rows = filter.list(tenant).page(&self.engine().lease(TICKETS.name), page).await?;
        rows.decode(|row| Ok(TicketView::from_row(row)?.1))
    }

    /// How many tickets there are.
    pub async fn ticket_count(
        &self,
        tenant: Option<OrganizerId>,
        filter: &TicketFilter,
    ) -> Result<u64, QueryError> {
        let lease = self.engine().lease(TICKETS.name);
        Ok(lease.count(&TABLE, filter.filters(tenant)).await?)
    }
}

#[cfg(test)]
mod tests;
