//! Who issued what, when (発券履歴): everything that gave a ticket out or took it back. The rows
//! are lists of positions; what an act did is read from its ticket's events.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};
use hakken_domain::{
    Event,
    envelope::{Decoded, Position, StoredEvent, StreamId, StreamKind},
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
    cache::AnyRows,
    feed::{EventFeed, FeedError},
    origins::{AnyOrigins, Origins, PackedId, ShowNumber, ShowNumbers},
    page::{Page, PageRequest, QueryError},
    postings::{
        BLOCK_TABLE, Elements, List, Lists, Postings, TAIL_TABLE, Taken, Wanted, events_within,
        first_events,
    },
    projection::{Fold, Inconsistent, Projection},
};

/// The projection.
pub const ISSUANCE_HISTORY: Projection = Projection {
    name: "issuance_history",
    version: 2,
    tables: &[&TAIL_TABLE, &BLOCK_TABLE],
    streams: &[StreamKind::Ticket],
    passes_over: &["ticket-entered", "ticket-exited", "scan-refused"],
    decoded_ahead: true,
    fold: || Box::new(IssuanceFold::default()),
    own: &[],
    by_show: None,
};

/// Tickets of which is remembered what they are for.
const TICKETS: usize = 600_000;

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

impl IssuanceAct {
    /// Every act.
    const ALL: [Self; 6] = [
        Self::Created,
        Self::Issued,
        Self::Reissued,
        Self::Suspended,
        Self::Reinstated,
        Self::Voided,
    ];

    /// What an event did; nothing if it is no act.
    fn of(fact: &ticket::Event) -> Option<Self> {
        use ticket::Event as E;
        match fact {
            E::TicketCreated(_) => Some(Self::Created),
            E::TicketIssued(_) => Some(Self::Issued),
            E::TicketReissued(_) => Some(Self::Reissued),
            E::TicketSuspended(_) => Some(Self::Suspended),
            E::TicketReinstated(_) => Some(Self::Reinstated),
            E::TicketVoided(_) => Some(Self::Voided),
            E::TicketEntered(_) | E::TicketExited(_) | E::ScanRefused(_) => None,
        }
    }

    /// The list of such acts.
    fn list(self) -> List {
        List::Kind(match self {
            Self::Created => "ticket-created",
            Self::Issued => "ticket-issued",
            Self::Reissued => "ticket-reissued",
            Self::Suspended => "ticket-suspended",
            Self::Reinstated => "ticket-reinstated",
            Self::Voided => "ticket-voided",
        })
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

/// What the first event of a ticket says of all the others.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Origin {
    order: PackedId,
    show: ShowNumber,
}

impl Origin {
    fn read(first: &Decoded, shows: &mut ShowNumbers) -> Option<Self> {
        match &first.event {
            Event::Ticket(ticket::Event::TicketCreated(created)) => {
                let order = PackedId::new(created.order.0);
                Some(Self { order, show: shows.number(created.show) })
            }
            _ => None,
        }
    }
}

struct IssuanceFold {
    postings: Postings,
    tickets: Origins<Origin>,
}

impl Default for IssuanceFold {
    fn default() -> Self {
        let tickets = Origins::keeping(TICKETS, StreamKind::Ticket, Origin::read);
        Self { postings: Postings::default(), tickets }
    }
}

impl Fold for IssuanceFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        self.postings.rows()
    }

    fn origins(&mut self) -> Vec<&mut dyn AnyOrigins> {
        vec![&mut self.tickets]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        let stream = event.stream;
        if event.version == 1 {
            self.tickets.begin(stream, decoded);
        }
        if let Some(Origin { order, show }) = self.tickets.need(stream).copied() {
            let about = (order, self.tickets.show(show));
            lists(about, decoded, |list, _| self.postings.need(list));
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        let Origin { order, show } =
            *self.tickets.get(event.stream).ok_or_else(|| unknown(event.stream))?;
        let about = (order, self.tickets.show(show));
        let mut pushed = Ok(());
        lists(about, decoded, |list, tag| {
            if pushed.is_ok() {
                pushed = self.postings.push(list, event.position, tag);
            }
        });
        pushed
    }
}

/// The lists that an act belongs in, and its tag there.
fn lists(
    (order, show): (PackedId, ShowId),
    decoded: &Decoded,
    mut each: impl FnMut(&List, Option<u32>),
) {
    let Event::Ticket(fact) = &decoded.event else { return };
    let Some(act) = IssuanceAct::of(fact) else { return };
    each(&act.list(), None);
    if let Some(organizer) = decoded.meta.organizer {
        each(&List::Organizer(organizer), None);
    }
    each(&List::Show(show), None);
    let (list, tag) = List::of_order(OrderId(order.ulid()));
    each(&list, Some(tag));
    each(&List::Actor(decoded.meta.actor.clone()), None);
}

fn unknown(stream: StreamId) -> Inconsistent {
    Inconsistent(format!("ticket {} was never created", TicketId(stream.id)))
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

impl IssuanceEntry {
    /// The act that this event was; nothing if it was none. What is known of the ticket goes
    /// along from event to event.
    fn read(ticket: &mut Option<IssuedFor>, event: &StoredEvent) -> Option<Self> {
        use ticket::Event as E;
        let decoded = event.decoded().ok()?;
        let Event::Ticket(fact) = &decoded.event else { return None };
        let act = IssuanceAct::of(fact)?;
        if let E::TicketCreated(created) = fact {
            *ticket = Some(issued_for(created));
        }
        let known = ticket.as_mut()?;
        let mut new_code = |generation, code_key| {
            known.generation = generation;
            known.code_key = Some(code_key);
        };
        let (channel, reason) = match fact {
            E::TicketIssued(issued) => {
                new_code(issued.generation, issued.code_key);
                (Some(issued.channel), None)
            }
            E::TicketReissued(issued) => {
                new_code(issued.generation, issued.code_key);
                (Some(issued.channel), Some(issued.reason.clone()))
            }
            E::TicketSuspended(fact) => (None, Some(fact.reason.clone())),
            E::TicketVoided(fact) => (None, Some(fact.reason.clone())),
            E::TicketCreated(_)
            | E::TicketReinstated(_)
            | E::TicketEntered(_)
            | E::TicketExited(_)
            | E::ScanRefused(_) => (None, None),
        };
        Some(Self {
            position: event.position,
            recorded_at: event.recorded_at,
            organizer: decoded.meta.organizer,
            actor: decoded.meta.actor.clone(),
            ticket: TicketId(event.stream.id),
            act,
            issued_for: known.clone(),
            channel,
            reason,
        })
    }
}

/// What these events did: that stands in their tickets' events up to them.
async fn acts_of(
    feed: &dyn EventFeed,
    events: &[Arc<StoredEvent>],
) -> Result<HashMap<u64, IssuanceEntry>, FeedError> {
    let mut tickets: HashMap<StreamId, u64> = HashMap::new();
    for event in events {
        let last = tickets.entry(event.stream).or_default();
        *last = event.version.max(*last);
    }
    let lives: Vec<Vec<Arc<StoredEvent>>> =
        first_events(feed, tickets).await?.into_values().collect();
    let mut acts = HashMap::new();
    for events in lives {
        let mut ticket = None;
        for event in events {
            if let Some(entry) = IssuanceEntry::read(&mut ticket, &event) {
                acts.insert(event.position.0, entry);
            }
        }
    }
    Ok(acts)
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

/// The acts at positions, of what was asked for.
struct Acts<'a> {
    feed: &'a dyn EventFeed,
    order: Option<OrderId>,
}

impl Elements for Acts<'_> {
    type Element = IssuanceEntry;

    fn at(
        &self,
        positions: Vec<u64>,
        room: usize,
    ) -> BoxFuture<'_, Result<Taken<IssuanceEntry>, QueryError>> {
        async move {
            let found = events_within(self.feed, &positions, room).await?;
            let mut acts = acts_of(self.feed, &found.events).await?;
            // Another order may have the same tag.
            acts.retain(|_, act| self.order.is_none_or(|order| act.issued_for.order == order));
            let elements = positions.into_iter();
            let elements = elements.filter_map(|at| Some((at, acts.remove(&at)?))).collect();
            Ok(Taken { elements, looked_at: found.looked_at, bytes: found.bytes })
        }
        .boxed()
    }
}

impl ReadModels {
    /// The issuance history, in the order in which things happened.
    pub async fn issuance_history(
        &self,
        tenant: Option<OrganizerId>,
        filter: &IssuanceFilter,
        page: &PageRequest,
    ) -> Result<Page<IssuanceEntry>, QueryError> {
        let feed = self.engine().shared.feed.as_ref();
        let (lease, last) = self.engine().lease_at(ISSUANCE_HISTORY.name);
        let mut lists = Lists::up_to(&lease, last);
        lists.between(feed, filter.from, filter.until).await?;
        lists.as_of(feed, filter.as_of).await?;
        let acts = filter.act.map_or(IssuanceAct::ALL.to_vec(), |act| vec![act]);
        lists.and(Wanted::InOneOf(acts.into_iter().map(IssuanceAct::list).collect()));
        if let Some(tenant) = tenant {
            lists.and(Wanted::In(List::Organizer(tenant), None));
        }
        if let Some(show) = filter.show {
            lists.and(Wanted::In(List::Show(show), None));
        }
        if let Some(order) = filter.order {
            let (list, tag) = List::of_order(order);
            lists.and(Wanted::In(list, Some(tag)));
        }
        if let Some(actor) = &filter.actor {
            lists.and(Wanted::In(List::Actor(actor.clone()), None));
        }
        if let Some(ticket) = filter.ticket {
            let events = first_events(feed, HashMap::from([(ticket.into(), u64::MAX)])).await?;
            let events = events.into_values().flatten();
            lists.and(Wanted::At(events.map(|event| event.position.0).collect()));
        }
        lists.page(page, &Acts { feed, order: filter.order }).await
    }
}

#[cfg(test)]
mod tests;
