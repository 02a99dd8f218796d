//! Who issued what, when (発券履歴): everything that gave a ticket out or took it back.

use hakken_domain::{
    Event,
    envelope::{Decoded, Position, StoredEvent, StreamKind},
    legs::Legs,
    names::{
        ActorRef, BuyerRef, OrderId, OrganizerId, PoolId, Reason, SeatId, ShowId, TicketId,
        TicketTypeId,
    },
    ticket::{self, Channel},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::seat_availability::AsOf;
use crate::{
    ReadModels,
    cache::{AnyRows, Cache, Log, Record, doc, read, read_doc},
    models::{tenant_filter, time_range},
    page::{List, Page, PageRequest, QueryError},
    projection::{Fold, Inconsistent, Projection},
    rows::{Column, Filter, Key, Row, RowError, Table, Value},
};

/// The projection.
pub const ISSUANCE_HISTORY: Projection = Projection {
    name: "issuance_history",
    version: 1,
    tables: &[&HISTORY, &TICKETS],
    streams: &[StreamKind::Ticket],
    fold: || Box::new(IssuanceFold::default()),
};

static HISTORY: Table = Table {
    name: "issuance_history",
    noun: "issuance entry",
    columns: &[
        Column::int("position"),
        Column::int("recorded_at"),
        Column::text("organizer"),
        Column::text("show"),
        Column::text("order"),
        Column::text("ticket"),
        Column::text("act"),
        Column::text("actor"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[
        &["organizer", "position"],
        &["show", "position"],
        &["order", "position"],
        &["ticket", "position"],
        &["actor", "position"],
        &["recorded_at", "position"],
    ],
};

/// What is known of each ticket.
static TICKETS: Table = Table {
    name: "issuance_tickets",
    noun: "ticket",
    columns: &[Column::text("ticket"), Column::doc("doc")],
    key: 1,
    indexes: &[],
};

/// What was done with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuanceAct {
    /// The right to enter came to be (未発券).
    Created,
    /// Its code was given out (発券).
    Issued,
    /// A new code was given out, the old one is dead (再発行).
    Reissued,
    /// No entry until it is paid again.
    Suspended,
    /// Paid again.
    Reinstated,
    /// The right to enter is gone (取消).
    Voided,
}

impl IssuanceAct {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Issued => "issued",
            Self::Reissued => "reissued",
            Self::Suspended => "suspended",
            Self::Reinstated => "reinstated",
            Self::Voided => "voided",
        }
    }
}

/// What a ticket is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IssuedFor {
    /// Of which order.
    pub order: OrderId,
    /// Which item of it.
    pub item: u16,
    /// To what.
    pub show: ShowId,
    /// The numbered seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<SeatId>,
    /// The pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolId>,
    /// On these legs.
    #[serde(default, skip_serializing_if = "Legs::is_one")]
    pub legs: Legs,
    /// As what.
    pub ticket_type: TicketTypeId,
    /// Whose order it is.
    pub buyer: BuyerRef,
    /// The generation of the code after this act; 0 before the first was given out.
    pub generation: u16,
    /// The key that signs that code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_key: Option<u8>,
}

/// One act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IssuanceEntry {
    /// Its place among all events.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The tenant.
    pub organizer: Option<OrganizerId>,
    /// Who did it.
    pub actor: ActorRef,
    /// Which ticket.
    pub ticket: TicketId,
    /// What was done with it.
    pub act: IssuanceAct,
    /// What the ticket is for.
    #[serde(flatten)]
    pub issued_for: IssuedFor,
    /// Where a code was given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

impl Record for IssuedFor {
    type Key = TicketId;
    fn table() -> &'static Table {
        &TICKETS
    }
    fn key_values(key: &TicketId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &TicketId) -> Row {
        vec![Value::text(key), doc(self)]
    }
    fn from_row(row: &Row) -> Result<(TicketId, Self), RowError> {
        Ok((read(&TICKETS, row, "ticket")?, read_doc(&TICKETS, row, "doc")?))
    }
}

struct IssuanceFold {
    history: Log,
    tickets: Cache<IssuedFor>,
}

impl Default for IssuanceFold {
    fn default() -> Self {
        Self { history: Log::new(&HISTORY), tickets: Cache::default() }
    }
}

impl Fold for IssuanceFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![&mut self.history, &mut self.tickets]
    }

    fn needs(&mut self, event: &StoredEvent, decoded: &Decoded) {
        use ticket::Event as E;
        let Event::Ticket(fact) = &decoded.event else { return };
        match fact {
            E::TicketCreated(_)
            | E::TicketIssued(_)
            | E::TicketReissued(_)
            | E::TicketSuspended(_)
            | E::TicketReinstated(_)
            | E::TicketVoided(_) => self.tickets.need(&TicketId(event.stream.id)),
            E::TicketEntered(_) | E::TicketExited(_) | E::ScanRefused(_) => {}
        }
    }

    fn apply(&mut self, event: &StoredEvent, decoded: &Decoded) -> Result<(), Inconsistent> {
        use ticket::Event as E;
        let Event::Ticket(fact) = &decoded.event else { return Ok(()) };
        let id = TicketId(event.stream.id);
        let (act, channel, reason) = match fact {
            E::TicketCreated(created) => {
                self.tickets.put(id, issued_for(created));
                (IssuanceAct::Created, None, None)
            }
            E::TicketIssued(issued) => {
                self.new_code(id, issued.generation, issued.code_key)?;
                (IssuanceAct::Issued, Some(issued.channel), None)
            }
            E::TicketReissued(issued) => {
                self.new_code(id, issued.generation, issued.code_key)?;
                let reason = Some(issued.reason.clone());
                (IssuanceAct::Reissued, Some(issued.channel), reason)
            }
            E::TicketSuspended(fact) => (IssuanceAct::Suspended, None, Some(fact.reason.clone())),
            E::TicketReinstated(_) => (IssuanceAct::Reinstated, None, None),
            E::TicketVoided(fact) => (IssuanceAct::Voided, None, Some(fact.reason.clone())),
            E::TicketEntered(_) | E::TicketExited(_) | E::ScanRefused(_) => return Ok(()),
        };
        let issued_for = self.tickets.get(&id).ok_or_else(|| unknown(id))?.clone();
        let entry = IssuanceEntry {
            position: event.position,
            recorded_at: event.recorded_at,
            organizer: decoded.meta.organizer,
            actor: decoded.meta.actor.clone(),
            ticket: id,
            act,
            issued_for,
            channel,
            reason,
        };
        self.history.push(entry.to_row());
        Ok(())
    }
}

fn unknown(ticket: TicketId) -> Inconsistent {
    Inconsistent(format!("ticket {ticket} was never created"))
}

fn issued_for(created: &ticket::TicketCreated) -> IssuedFor {
    IssuedFor {
        order: created.order,
        item: created.item,
        show: created.show,
        seat: created.seat.clone(),
        pool: created.pool.clone(),
        legs: created.legs,
        ticket_type: created.ticket_type.clone(),
        buyer: created.buyer.clone(),
        generation: 0,
        code_key: None,
    }
}

impl IssuanceFold {
    fn new_code(
        &mut self,
        id: TicketId,
        generation: u16,
        code_key: u8,
    ) -> Result<(), Inconsistent> {
        let known = self.tickets.get_mut(&id).ok_or_else(|| unknown(id))?;
        known.generation = generation;
        known.code_key = Some(code_key);
        Ok(())
    }
}

impl IssuanceEntry {
    fn to_row(&self) -> Row {
        vec![
            Value::position(self.position),
            Value::time(self.recorded_at),
            Value::maybe(self.organizer),
            Value::text(self.issued_for.show),
            Value::text(self.issued_for.order),
            Value::text(self.ticket),
            Value::Text(self.act.as_str().into()),
            Value::Text(self.actor.as_str().into()),
            doc(self),
        ]
    }
}

/// Which acts. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IssuanceFilter {
    /// For this show.
    pub show: Option<ShowId>,
    /// Of this order.
    pub order: Option<OrderId>,
    /// Of this ticket.
    pub ticket: Option<TicketId>,
    /// Done by this actor.
    pub actor: Option<ActorRef>,
    /// Of this sort.
    pub act: Option<IssuanceAct>,
    /// Recorded then or later.
    pub from: Option<Timestamp>,
    /// Recorded before then.
    pub until: Option<Timestamp>,
    /// The history as it was at a moment of the past.
    pub as_of: Option<AsOf>,
}

impl ReadModels {
    /// The issuance history, in the order in which things happened.
    pub async fn issuance_history(
        &self,
        tenant: Option<OrganizerId>,
        filter: &IssuanceFilter,
        page: &PageRequest,
    ) -> Result<Page<IssuanceEntry>, QueryError> {
        let lease = self.engine().lease(ISSUANCE_HISTORY.name);
        let mut filters = tenant_filter(tenant);
        filters.extend(filter.show.map(|show| Filter::is("show", show)));
        filters.extend(filter.order.map(|order| Filter::is("order", order)));
        filters.extend(filter.ticket.map(|ticket| Filter::is("ticket", ticket)));
        filters.extend(filter.actor.as_ref().map(|actor| Filter::is("actor", actor)));
        filters.extend(filter.act.map(|act| Filter::is("act", act.as_str())));
        filters.extend(filter.as_of.map(AsOf::filter));
        let range = (filter.from, filter.until);
        filters.extend(time_range(&lease, &HISTORY, "position", range).await?);
        let list = List { table: &HISTORY, filters, order: vec!["position"] };
        list.page(&lease, page).await?.decode(|row| read_doc(&HISTORY, row, "doc"))
    }
}

#[cfg(test)]
mod tests;
