//! Every code that was shown at a gate, let in or refused (検札).

use std::collections::HashSet;

use hakken_domain::{
    Event,
    envelope::{Decoded, Position, StoredEvent, StreamId, StreamKind},
    gate,
    names::{ActorRef, GateName, OrderId, OrganizerId, ShowId, TicketId},
    ticket::{self, Direction, ScanRefusal},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    ReadModels,
    cache::{AnyRows, Cache, Log, Record, doc, read, read_doc},
    engine::Lease,
    models::{seat_availability::AsOf, tenant_filter, time_range},
    page::{List, Page, PageRequest, QueryError},
    projection::{ByShow, Fold, Inconsistent, OwnStream, Projection, ShowEvents},
    rows::{Column, Filter, Key, Row, RowError, Table, Value},
};

/// The projection.
pub const SCANS: Projection = Projection {
    name: "scans",
    version: 1,
    tables: &[&SCANNED, &TICKETS],
    streams: &[StreamKind::Ticket, StreamKind::Gate],
    passes_over: &[],
    decoded_ahead: true,
    fold: || Box::new(ScanFold::default()),
    own: &[
        OwnStream { table: &SCANNED, column: "ticket", kind: StreamKind::Ticket },
        OwnStream { table: &TICKETS, column: "ticket", kind: StreamKind::Ticket },
    ],
    by_show: Some(ByShow {
        tables: &[(&SCANNED, "show"), (&TICKETS, "show")],
        events: ShowEvents::Among(bears_on_scans_of),
    }),
};

/// Whether an event says something of scans at a show's gates. A ticket of another show may be
/// refused there, so what every ticket is of must be known.
fn bears_on_scans_of(show: ShowId, event: &StoredEvent, tickets: &mut HashSet<StreamId>) -> bool {
    if let Ok(decoded) = event.decoded()
        && let Event::Ticket(fact) = &decoded.event
    {
        match fact {
            ticket::Event::TicketCreated(created) => {
                if created.show == show {
                    tickets.insert(event.stream);
                }
                return true;
            }
            ticket::Event::ScanRefused(refused) if refused.show == show => return true,
            _ => {}
        }
    }
    tickets.contains(&event.stream) || event.stream == StreamId::gate(show)
}

static SCANNED: Table = Table {
    name: "scans",
    noun: "scan",
    columns: &[
        Column::int("position"),
        Column::int("recorded_at"),
        Column::text("organizer"),
        Column::text("show"),
        Column::text("ticket"),
        Column::text("gate"),
        Column::text("result"),
        Column::text("reason"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[
        &["organizer", "position"],
        &["show", "position"],
        &["ticket", "position"],
        &["recorded_at", "position"],
    ],
};

/// What a ticket is of.
static TICKETS: Table = Table {
    name: "scan_tickets",
    noun: "ticket",
    columns: &[Column::text("ticket"), Column::text("order"), Column::text("show")],
    key: 1,
    indexes: &[],
};

/// A code that was shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanView {
    /// Its place among all events.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The tenant.
    pub organizer: Option<OrganizerId>,
    /// Who scanned.
    pub actor: ActorRef,
    /// At the gate of which show.
    pub show: ShowId,
    /// Which ticket; none for a code of no ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketId>,
    /// The ticket's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// Which gate.
    pub gate: GateName,
    /// Which way.
    pub direction: Direction,
    /// Why it was refused; none if it was let through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<ScanRefusal>,
    /// Of the code shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u16>,
    /// The first 16 hexadecimal digits of the SHA-256 of what was shown, for a code of no ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_digest: Option<String>,
}

/// The field's own word for a refusal, as it stands in events.
pub fn refusal_word(reason: ScanRefusal) -> &'static str {
    match reason {
        ScanRefusal::Invalid => "invalid",
        ScanRefusal::Canceled => "canceled",
        ScanRefusal::Revoked => "revoked",
        ScanRefusal::WrongShow => "wrong_show",
        ScanRefusal::Unpaid => "unpaid",
        ScanRefusal::InvalidTime => "invalid_time",
        ScanRefusal::AlreadyRedeemed => "already_redeemed",
        ScanRefusal::NotInside => "not_inside",
    }
}

impl ScanView {
    fn to_row(&self) -> Row {
        let result = if self.refused.is_some() { "refused" } else { "accepted" };
        vec![
            Value::position(self.position),
            Value::time(self.recorded_at),
            Value::maybe(self.organizer),
            Value::text(self.show),
            Value::maybe(self.ticket),
            Value::Text(self.gate.as_str().into()),
            Value::Text(result.into()),
            Value::maybe(self.refused.map(refusal_word)),
            doc(self),
        ]
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

struct ScanFold {
    scans: Log,
    tickets: Cache<OriginOfTicket>,
}

impl Default for ScanFold {
    fn default() -> Self {
        Self { scans: Log::new(&SCANNED), tickets: Cache::default() }
    }
}

impl Fold for ScanFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![&mut self.scans, &mut self.tickets]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        use ticket::Event as E;
        let Event::Ticket(fact) = &decoded.event else { return };
        match fact {
            E::TicketEntered(_) | E::TicketExited(_) | E::ScanRefused(_) => {
                self.tickets.need(&TicketId(event.stream.id));
            }
            E::TicketCreated(_)
            | E::TicketIssued(_)
            | E::TicketReissued(_)
            | E::TicketSuspended(_)
            | E::TicketReinstated(_)
            | E::TicketVoided(_) => {}
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        let view = match &decoded.event {
            Event::Ticket(fact) => self.of_ticket(event, decoded, fact)?,
            Event::Gate(gate::Event::CodeRefused(refused)) => Some(ScanView {
                refused: Some(refused.reason),
                code_digest: Some(refused.code_digest.clone()),
                ..blank(event, decoded, ShowId(event.stream.id), &refused.gate, refused.direction)
            }),
            Event::Inventory(_)
            | Event::Order(_)
            | Event::Show(_)
            | Event::Venue(_)
            | Event::Organizer(_)
            | Event::Key(_)
            | Event::Operations(_) => None,
        };
        if let Some(view) = view {
            self.scans.push(view.to_row());
        }
        Ok(())
    }
}

fn blank(
    event: &StoredEvent,
    decoded: &Decoded,
    show: ShowId,
    gate: &GateName,
    direction: Direction,
) -> ScanView {
    ScanView {
        position: event.position,
        recorded_at: event.recorded_at,
        organizer: decoded.meta.organizer,
        actor: decoded.meta.actor.clone(),
        show,
        ticket: None,
        order: None,
        gate: gate.clone(),
        direction,
        refused: None,
        generation: None,
        code_digest: None,
    }
}

impl ScanFold {
    fn of_ticket(
        &mut self,
        event: &StoredEvent,
        decoded: &Decoded,
        fact: &ticket::Event,
    ) -> Result<Option<ScanView>, Inconsistent> {
        use ticket::Event as E;
        let id = TicketId(event.stream.id);
        let (gate, direction, generation, refused) = match fact {
            E::TicketCreated(created) => {
                let origin = OriginOfTicket { order: created.order, show: created.show };
                self.tickets.put(id, origin);
                return Ok(None);
            }
            E::TicketIssued(_)
            | E::TicketReissued(_)
            | E::TicketSuspended(_)
            | E::TicketReinstated(_)
            | E::TicketVoided(_) => return Ok(None),
            E::TicketEntered(scan) => (&scan.gate, Direction::Entry, scan.generation, None),
            E::TicketExited(scan) => (&scan.gate, Direction::Exit, scan.generation, None),
            E::ScanRefused(scan) => (&scan.gate, scan.direction, scan.generation, Some(scan)),
        };
        let unknown = || Inconsistent(format!("ticket {id} was never created"));
        let origin = *self.tickets.get(&id).ok_or_else(unknown)?;
        // A refused scan belongs to the gate's show, which may be another than the ticket's.
        let show = refused.map_or(origin.show, |scan| scan.show);
        Ok(Some(ScanView {
            ticket: Some(id),
            order: Some(origin.order),
            refused: refused.map(|scan| scan.reason),
            generation: Some(generation),
            ..blank(event, decoded, show, gate, direction)
        }))
    }
}

/// Which scans. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScanFilter {
    /// At the gates of this show.
    pub show: Option<ShowId>,
    /// Of this ticket.
    pub ticket: Option<TicketId>,
    /// At this gate.
    pub gate: Option<GateName>,
    /// Refused for this reason.
    pub reason: Option<ScanRefusal>,
    /// Let through, or refused.
    pub accepted: Option<bool>,
    /// Recorded then or later.
    pub from: Option<Timestamp>,
    /// Recorded before then.
    pub until: Option<Timestamp>,
    /// As the list stood then.
    pub as_of: Option<AsOf>,
}

impl ScanFilter {
    /// What was recorded in the time that is wanted, and had happened by the moment asked for.
    async fn range(&self, lease: &Lease) -> Result<Vec<Filter>, RowError> {
        let times = (self.from, self.until);
        let mut filters = time_range(lease, &SCANNED, "position", times).await?;
        match self.as_of {
            None => {}
            Some(AsOf::Position(position)) => {
                let last = i64::try_from(position.0).unwrap_or(i64::MAX);
                filters.push(Filter::AtMost("position", last));
            }
            Some(AsOf::Time(time)) => {
                let then = Timestamp::from_micros(time.as_micros().saturating_add(1));
                let until = (None, Some(then));
                filters.extend(time_range(lease, &SCANNED, "position", until).await?);
            }
        }
        Ok(filters)
    }

    fn filters(&self, tenant: Option<OrganizerId>) -> Vec<Filter> {
        let mut filters = tenant_filter(tenant);
        filters.extend(self.show.map(|show| Filter::is("show", show)));
        filters.extend(self.ticket.map(|ticket| Filter::is("ticket", ticket)));
        filters.extend(self.gate.as_ref().map(|gate| Filter::is("gate", gate)));
        filters.extend(self.reason.map(|reason| Filter::is("reason", refusal_word(reason))));
        let result = |accepted| if accepted { "accepted" } else { "refused" };
        filters.extend(self.accepted.map(|accepted| Filter::is("result", result(accepted))));
        filters
    }
}

impl ReadModels {
    /// Scans, in the order in which they happened.
    pub async fn scans(
        &self,
        tenant: Option<OrganizerId>,
        filter: &ScanFilter,
        page: &PageRequest,
    ) -> Result<Page<ScanView>, QueryError> {
        let lease = self.engine().lease(SCANS.name);
        let mut filters = filter.filters(tenant);
        filters.extend(filter.range(&lease).await?);
        let list = List { table: &SCANNED, filters, order: vec!["position"] };
        list.page(&lease, page).await?.decode(|row| read_doc(&SCANNED, row, "doc"))
    }

    /// How many scans there are.
    pub async fn scan_count(
        &self,
        tenant: Option<OrganizerId>,
        filter: &ScanFilter,
    ) -> Result<u64, QueryError> {
        let lease = self.engine().lease(SCANS.name);
        let mut filters = filter.filters(tenant);
        filters.extend(filter.range(&lease).await?);
        Ok(lease.count(&SCANNED, filters).await?)
    }
}

#[cfg(test)]
mod tests;
