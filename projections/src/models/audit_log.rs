//! Who did anything, when: every event, with what it is about.

use hakken_domain::{
    Event, apikey,
    envelope::{Decoded, Position, StoredEvent, StreamId, StreamKind, Version},
    gate, inventory,
    names::{ActorRef, CommandKey, EventId, OrderId, OrganizerId, ShowId, TicketId},
    order, organizer, show, ticket,
    time::Timestamp,
    venue,
};
use serde::{Deserialize, Serialize};

use crate::{
    ReadModels,
    cache::{AnyRows, Cache, Log, Record, doc, read, read_doc, read_int, read_maybe, read_text},
    models::tenant_filter,
    page::{List, Page, PageRequest, QueryError},
    projection::{Fold, Inconsistent, Projection},
    rows::{Column, Filter, Key, Row, RowError, Table, Value},
};

/// The projection.
pub const AUDIT_LOG: Projection = Projection {
    name: "audit_log",
    version: 1,
    tables: &[&ENTRIES, &ORDERS, &TICKETS],
    streams: &StreamKind::ALL,
    fold: || Box::new(AuditFold::default()),
};

/// One row for each event. An order over several shows has one for each of them, so that each
/// show's log is whole; `main` is 1 in the first of these, 0 in the others.
static ENTRIES: Table = Table {
    name: "audit_log",
    noun: "audit entry",
    columns: &[
        Column::int("entry"),
        Column::int("main"),
        Column::int("position"),
        Column::int("recorded_at"),
        Column::text("event"),
        Column::text("organizer"),
        Column::text("actor"),
        Column::text("kind"),
        Column::int("schema"),
        Column::text("stream"),
        Column::int("version"),
        Column::text("show"),
        Column::text("order"),
        Column::text("ticket"),
        Column::text("command_key"),
        Column::text("cause"),
        Column::text("correlation"),
        Column::doc("data"),
    ],
    key: 1,
    indexes: &[
        &["organizer", "entry"],
        &["show", "entry"],
        &["order", "entry"],
        &["ticket", "entry"],
        &["actor", "entry"],
        &["kind", "entry"],
        &["stream", "entry"],
        &["recorded_at", "entry"],
    ],
};

/// Which shows an order is about.
static ORDERS: Table = Table {
    name: "audit_orders",
    noun: "order",
    columns: &[Column::text("order"), Column::doc("doc")],
    key: 1,
    indexes: &[],
};

/// What a ticket is of.
static TICKETS: Table = Table {
    name: "audit_tickets",
    noun: "ticket",
    columns: &[Column::text("ticket"), Column::text("order"), Column::text("show")],
    key: 1,
    indexes: &[],
};

/// Rows that one event may have: an order has at most 100 items, so at most 100 shows.
const ENTRIES_PER_EVENT: i64 = 128;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ShowsOfOrder(Vec<ShowId>);

impl Record for ShowsOfOrder {
    type Key = OrderId;
    fn table() -> &'static Table {
        &ORDERS
    }
    fn key_values(key: &OrderId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &OrderId) -> Row {
        vec![Value::text(key), doc(self)]
    }
    fn from_row(row: &Row) -> Result<(OrderId, Self), RowError> {
        Ok((read(&ORDERS, row, "order")?, read_doc(&ORDERS, row, "doc")?))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct OriginOfTicket {
    order: OrderId,
    show: ShowId,
}

impl Record for OriginOfTicket {
    type Key = TicketId;
    fn table() -> &'static Table {
        &TICKETS
    }
    fn key_values(key: &TicketId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &TicketId) -> Row {
        vec![Value::text(key), Value::text(self.order), Value::text(self.show)]
    }
    fn from_row(row: &Row) -> Result<(TicketId, Self), RowError> {
        let origin =
            Self { order: read(&TICKETS, row, "order")?, show: read(&TICKETS, row, "show")? };
        Ok((read(&TICKETS, row, "ticket")?, origin))
    }
}

struct AuditFold {
    entries: Log,
    orders: Cache<ShowsOfOrder>,
    tickets: Cache<OriginOfTicket>,
}

impl Default for AuditFold {
    fn default() -> Self {
        Self { entries: Log::new(&ENTRIES), orders: Cache::default(), tickets: Cache::default() }
    }
}

/// What an event is about.
#[derive(Default)]
struct About {
    organizer: Option<OrganizerId>,
    shows: Vec<ShowId>,
    order: Option<OrderId>,
    ticket: Option<TicketId>,
}

impl Fold for AuditFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![&mut self.entries, &mut self.orders, &mut self.tickets]
    }

    fn needs(&mut self, event: &StoredEvent, decoded: &Decoded) {
        match &decoded.event {
            Event::Order(_) => self.orders.need(&OrderId(event.stream.id)),
            Event::Ticket(_) => self.tickets.need(&TicketId(event.stream.id)),
            Event::Inventory(_)
            | Event::Show(_)
            | Event::Venue(_)
            | Event::Organizer(_)
            | Event::Key(_)
            | Event::Gate(_) => {}
        }
    }

    fn apply(&mut self, event: &StoredEvent, decoded: &Decoded) -> Result<(), Inconsistent> {
        let about = self.about(event, &decoded.event);
        let Ok(data) = std::str::from_utf8(&event.data) else {
            return Err(Inconsistent("the data is not UTF-8".to_owned()));
        };
        let meta = &decoded.meta;
        let Value::Int(position) = Value::position(event.position) else {
            return Err(Inconsistent("the position is no number".to_owned()));
        };
        let organizer = Value::maybe(meta.organizer.or(about.organizer));
        let order = Value::maybe(about.order);
        let ticket = Value::maybe(about.ticket);
        let row = |nth: i64, show: Option<ShowId>| {
            vec![
                Value::Int(position * ENTRIES_PER_EVENT + nth),
                Value::Int(i64::from(nth == 0)),
                Value::Int(position),
                Value::time(event.recorded_at),
                Value::text(event.id),
                organizer.clone(),
                Value::Text(meta.actor.as_str().into()),
                Value::Text(event.kind.as_ref().into()),
                Value::Int(i64::from(event.schema)),
                Value::text(event.stream),
                Value::Int(i64::try_from(event.version).unwrap_or(i64::MAX)),
                Value::maybe(show),
                order.clone(),
                ticket.clone(),
                meta.key.as_ref().map_or(Value::Null, |key| Value::Text(key.as_str().into())),
                Value::maybe(meta.cause),
                Value::maybe(meta.correlation),
                Value::Text(data.into()),
            ]
        };
        if about.shows.is_empty() {
            self.entries.push(row(0, None));
        }
        for (nth, show) in (0..ENTRIES_PER_EVENT).zip(about.shows) {
            self.entries.push(row(nth, Some(show)));
        }
        Ok(())
    }
}

impl AuditFold {
    fn about(&mut self, event: &StoredEvent, fact: &Event) -> About {
        let of_show = || About { shows: vec![ShowId(event.stream.id)], ..About::default() };
        match fact {
            Event::Inventory(fact) => About { order: order_of_inventory(fact), ..of_show() },
            Event::Order(fact) => self.about_order(OrderId(event.stream.id), fact),
            Event::Ticket(fact) => self.about_ticket(TicketId(event.stream.id), fact),
            Event::Show(
                show::Event::ShowScheduled(_)
                | show::Event::TicketTypeOffered(_)
                | show::Event::TicketTypeWithdrawn(_)
                | show::Event::ShowCancelled(_),
            )
            | Event::Gate(gate::Event::CodeRefused(_)) => of_show(),
            Event::Venue(venue::Event::VenueRegistered(_) | venue::Event::SeatMapReplaced(_)) => {
                About::default()
            }
            Event::Organizer(
                organizer::Event::OrganizerRegistered(_)
                | organizer::Event::CodeKeyAdded(_)
                | organizer::Event::CodeKeyDisabled(_),
            ) => About { organizer: Some(OrganizerId(event.stream.id)), ..About::default() },
            Event::Key(apikey::Event::ApiKeyCreated(created)) => {
                About { organizer: created.organizer, ..About::default() }
            }
            Event::Key(apikey::Event::ApiKeyRevoked(_)) => About::default(),
        }
    }

    fn about_order(&mut self, id: OrderId, fact: &order::Event) -> About {
        use order::Event as E;
        match fact {
            E::OrderPlaced(placed) => {
                let mut shows: Vec<ShowId> = placed.items.iter().map(|item| item.show).collect();
                shows.sort_unstable();
                shows.dedup();
                self.orders.put(id, ShowsOfOrder(shows));
            }
            E::PaymentCaptured(_)
            | E::PaymentReversed(_)
            | E::OrderPaid(_)
            | E::OrderConfirmed(_)
            | E::OrderUnfulfilled(_)
            | E::CancellationRequested(_)
            | E::ItemsCancelled(_)
            | E::CancellationRefused(_)
            | E::OrderCancelled(_)
            | E::RefundRequested(_)
            | E::RefundSettled(_)
            | E::RefundFailed(_) => {}
        }
        let shows = self.orders.get(&id).map(|shows| shows.0.clone()).unwrap_or_default();
        About { shows, order: Some(id), ..About::default() }
    }

    fn about_ticket(&mut self, id: TicketId, fact: &ticket::Event) -> About {
        use ticket::Event as E;
        match fact {
            E::TicketCreated(created) => {
                let origin = OriginOfTicket { order: created.order, show: created.show };
                self.tickets.put(id, origin);
            }
            E::TicketIssued(_)
            | E::TicketReissued(_)
            | E::TicketSuspended(_)
            | E::TicketReinstated(_)
            | E::TicketVoided(_)
            | E::TicketEntered(_)
            | E::TicketExited(_)
            | E::ScanRefused(_) => {}
        }
        let origin = self.tickets.get(&id);
        About {
            shows: origin.map(|origin| origin.show).into_iter().collect(),
            order: origin.map(|origin| origin.order),
            ticket: Some(id),
            ..About::default()
        }
    }
}

fn order_of_inventory(fact: &inventory::Event) -> Option<OrderId> {
    use inventory::Event as E;
    match fact {
        E::HoldConfirmed(fact) | E::OrderReseated(fact) => Some(fact.order),
        E::PlacesReturned(fact) => Some(fact.order),
        E::SalesOpened(_)
        | E::SalesRulesChanged(_)
        | E::SalesClosed(_)
        | E::SeatsBlocked(_)
        | E::SeatsUnblocked(_)
        | E::AllotmentSet(_)
        | E::SeatsHeld(_)
        | E::HoldExtended(_)
        | E::HoldReleased(_)
        | E::HoldExpired(_) => None,
    }
}

/// One event of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Its place among all events.
    pub position: Position,
    /// When the store took it.
    pub recorded_at: Timestamp,
    /// Its id.
    pub event: EventId,
    /// The tenant.
    pub organizer: Option<OrganizerId>,
    /// Who did it.
    pub actor: ActorRef,
    /// Its kind.
    pub kind: String,
    /// The schema version of its data.
    pub schema: u16,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// The show that it is about; of an order over several shows, the one that was asked for or
    /// the first.
    pub show: Option<ShowId>,
    /// The order that it is about.
    pub order: Option<OrderId>,
    /// The ticket that it is about.
    pub ticket: Option<TicketId>,
    /// The idempotency key of the command.
    pub key: Option<CommandKey>,
    /// The event that a process answered with this one.
    pub cause: Option<EventId>,
    /// The first event of the chain that led here.
    pub correlation: Option<EventId>,
    /// The event's JSON, as stored.
    pub data: String,
}

impl AuditEntry {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let table = &ENTRIES;
        let number = |column| read_int(table, row, column).map(i64::unsigned_abs);
        let bad = |_| RowError::BadRow { table: table.name, reason: "schema".to_owned() };
        Ok(Self {
            position: Position(number("position")?),
            recorded_at: Timestamp::from_micros(read_int(table, row, "recorded_at")?),
            event: read(table, row, "event")?,
            organizer: read_maybe(table, row, "organizer")?,
            actor: read(table, row, "actor")?,
            kind: read_text(table, row, "kind")?.to_owned(),
            schema: u16::try_from(number("schema")?).map_err(bad)?,
            stream: read(table, row, "stream")?,
            version: number("version")?,
            show: read_maybe(table, row, "show")?,
            order: read_maybe(table, row, "order")?,
            ticket: read_maybe(table, row, "ticket")?,
            key: read_maybe(table, row, "command_key")?,
            cause: read_maybe(table, row, "cause")?,
            correlation: read_maybe(table, row, "correlation")?,
            data: read_text(table, row, "data")?.to_owned(),
        })
    }
}

/// Which events. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditFilter {
    /// About this show.
    pub show: Option<ShowId>,
    /// About this order.
    pub order: Option<OrderId>,
    /// About this ticket.
    pub ticket: Option<TicketId>,
    /// Done by this actor.
    pub actor: Option<ActorRef>,
    /// Of one of these kinds; of any if empty.
    pub kinds: Vec<String>,
    /// Of this stream.
    pub stream: Option<StreamId>,
    /// Recorded then or later.
    pub from: Option<Timestamp>,
    /// Recorded before then.
    pub until: Option<Timestamp>,
}

impl ReadModels {
    /// The audit log, in the order in which things happened.
    pub async fn audit_log(
        &self,
        tenant: Option<OrganizerId>,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, QueryError> {
        let lease = self.engine().lease(AUDIT_LOG.name);
        let mut filters = tenant_filter(tenant);
        match filter.show {
            Some(show) => filters.push(Filter::is("show", show)),
            None => filters.push(Filter::Equal("main", Value::Int(1))),
        }
        filters.extend(filter.order.map(|order| Filter::is("order", order)));
        filters.extend(filter.ticket.map(|ticket| Filter::is("ticket", ticket)));
        filters.extend(filter.actor.as_ref().map(|actor| Filter::is("actor", actor)));
        filters.extend(filter.stream.map(|stream| Filter::is("stream", stream)));
        match filter.kinds.as_slice() {
            [] => {}
            [kind] => filters.push(Filter::is("kind", kind)),
            kinds => filters.push(Filter::OneOf("kind", kinds.iter().map(Value::text).collect())),
        }
        let range = (filter.from, filter.until);
        filters.extend(super::time_range(&lease, &ENTRIES, "entry", range).await?);
        let list = List { table: &ENTRIES, filters, order: vec!["entry"] };
        list.page(&lease, page).await?.decode(AuditEntry::from_row)
    }
}

#[cfg(test)]
mod tests;
