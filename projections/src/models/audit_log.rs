//! Who did anything, when: every event, with what it is about. The rows are lists of positions;
//! the entries themselves are read from the log.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};
use hakken_domain::{
    Event, apikey, codec,
    envelope::{Decoded, Position, StoredEvent, StreamId, StreamKind, Version},
    gate, inventory,
    names::{ActorRef, CommandKey, EventId, OrderId, OrganizerId, ShowId, TicketId},
    operations, order, organizer, show, ticket,
    time::Timestamp,
    venue,
};

use crate::{
    ReadModels,
    cache::AnyRows,
    feed::EventFeed,
    models::seat_availability::AsOf,
    origins::{AnyOrigins, Origins, PackedId, ShowNumber, ShowNumbers},
    page::{Page, PageRequest, QueryError},
    postings::{
        BLOCK_TABLE, Elements, List, Lists, Postings, TAIL_TABLE, Taken, Wanted, events_within,
        first_events,
    },
    projection::{Fold, Inconsistent, Projection},
};

/// The projection.
pub const AUDIT_LOG: Projection = Projection {
    name: "audit_log",
    version: 2,
    tables: &[&TAIL_TABLE, &BLOCK_TABLE],
    streams: &StreamKind::ALL,
    passes_over: &[],
    decoded_ahead: true,
    fold: || Box::new(AuditFold::default()),
    own: &[],
    by_show: None,
};

/// Orders and tickets of which is remembered what they are about.
const ORDERS: usize = 100_000;
const TICKETS: usize = 600_000;

/// What an order is about, as its first event says.
#[derive(Debug, Clone, PartialEq)]
enum OrderOrigin {
    /// One show, as almost all.
    One(ShowNumber),
    /// Several, each once, in order.
    Several(Box<[ShowNumber]>),
}

/// What a ticket is about, as its first event says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct TicketOrigin {
    order: PackedId,
    show: ShowNumber,
}

fn shows_of_order(first: &Decoded) -> Vec<ShowId> {
    let Event::Order(order::Event::OrderPlaced(placed)) = &first.event else { return Vec::new() };
    let mut shows: Vec<ShowId> = placed.items.iter().map(|item| item.show).collect();
    shows.sort_unstable();
    shows.dedup();
    shows
}

fn order_and_show_of_ticket(first: &Decoded) -> Option<(OrderId, ShowId)> {
    match &first.event {
        Event::Ticket(ticket::Event::TicketCreated(created)) => Some((created.order, created.show)),
        _ => None,
    }
}

impl OrderOrigin {
    fn read(first: &Decoded, numbers: &mut ShowNumbers) -> Option<Self> {
        match shows_of_order(first).as_slice() {
            [] => None,
            [show] => Some(Self::One(numbers.number(*show))),
            shows => Some(Self::Several(shows.iter().map(|show| numbers.number(*show)).collect())),
        }
    }
}

impl TicketOrigin {
    fn read(first: &Decoded, numbers: &mut ShowNumbers) -> Option<Self> {
        let (order, show) = order_and_show_of_ticket(first)?;
        Some(Self { order: PackedId::new(order.0), show: numbers.number(show) })
    }
}

/// What the first event of an order or a ticket says of all the others.
#[derive(Debug, Default)]
struct Origin {
    shows: Vec<ShowId>,
    order: Option<OrderId>,
}

impl Origin {
    fn read(stream: StreamId, first: &Decoded) -> Self {
        match order_and_show_of_ticket(first) {
            Some((order, show)) => Self { shows: vec![show], order: Some(order) },
            None if stream.kind == StreamKind::Order => {
                Self { shows: shows_of_order(first), order: None }
            }
            None => Self::default(),
        }
    }
}

/// Whether an event's first event says what it is about.
fn has_origin(stream: StreamId) -> bool {
    matches!(stream.kind, StreamKind::Order | StreamKind::Ticket)
}

/// What an event is about, beside the shows that its stream's first event names.
#[derive(Default)]
struct About {
    organizer: Option<OrganizerId>,
    show: Option<ShowId>,
    order: Option<OrderId>,
    ticket: Option<TicketId>,
}

impl About {
    fn of(event: &StoredEvent, decoded: &Decoded) -> Self {
        let id = event.stream.id;
        let of_show = Self { show: Some(ShowId(id)), ..Self::default() };
        let mut about = match &decoded.event {
            Event::Inventory(fact) => Self { order: order_of_inventory(fact), ..of_show },
            Event::Order(_) => Self { order: Some(OrderId(id)), ..Self::default() },
            Event::Ticket(_) => Self { ticket: Some(TicketId(id)), ..Self::default() },
            Event::Show(
                show::Event::ShowScheduled(_)
                | show::Event::TicketTypeOffered(_)
                | show::Event::TicketTypeWithdrawn(_)
                | show::Event::ShowCancelled(_),
            )
            | Event::Gate(gate::Event::CodeRefused(_)) => of_show,
            Event::Venue(venue::Event::VenueRegistered(_) | venue::Event::SeatMapReplaced(_)) => {
                Self::default()
            }
            Event::Organizer(
                organizer::Event::OrganizerRegistered(_)
                | organizer::Event::CodeKeyAdded(_)
                | organizer::Event::CodeKeyDisabled(_),
            ) => Self { organizer: Some(OrganizerId(id)), ..Self::default() },
            Event::Key(apikey::Event::ApiKeyCreated(created)) => {
                Self { organizer: created.organizer, ..Self::default() }
            }
            Event::Key(apikey::Event::ApiKeyRevoked(_))
            | Event::Operations(
                operations::Event::EventSkipped(_) | operations::Event::SkipWithdrawn(_),
            ) => Self::default(),
        };
        about.organizer = decoded.meta.organizer.or(about.organizer);
        about
    }

    /// The lists that the event belongs in, and its tag there.
    fn lists(
        &self,
        event: &StoredEvent,
        decoded: &Decoded,
        mut each: impl FnMut(&List, Option<u32>),
    ) {
        if let Some(organizer) = self.organizer {
            each(&List::Organizer(organizer), None);
        }
        if let Some(show) = self.show {
            each(&List::Show(show), None);
        }
        if let Some(order) = self.order {
            let (list, tag) = List::of_order(order);
            each(&list, Some(tag));
        }
        each(&List::Actor(decoded.meta.actor.clone()), None);
        if let Some(kind) = codec::known_kind(&event.kind) {
            each(&List::Kind(kind), None);
        }
        // The others are short and are read as they are.
        if !has_origin(event.stream) {
            each(&List::Stream(event.stream), None);
        }
    }
}

struct AuditFold {
    postings: Postings,
    orders: Origins<OrderOrigin>,
    tickets: Origins<TicketOrigin>,
}

impl Default for AuditFold {
    fn default() -> Self {
        Self {
            postings: Postings::default(),
            orders: Origins::keeping(ORDERS, StreamKind::Order, OrderOrigin::read),
            tickets: Origins::keeping(TICKETS, StreamKind::Ticket, TicketOrigin::read),
        }
    }
}

impl Fold for AuditFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        self.postings.rows()
    }

    fn origins(&mut self) -> Vec<&mut dyn AnyOrigins> {
        vec![&mut self.orders, &mut self.tickets]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        let stream = event.stream;
        if event.version == 1 {
            self.orders.begin(stream, decoded);
            self.tickets.begin(stream, decoded);
        }
        match stream.kind {
            StreamKind::Order => {
                self.orders.need(stream);
            }
            StreamKind::Ticket => {
                self.tickets.need(stream);
            }
            _ => {}
        }
        if self.orders.waits_for(stream) || self.tickets.waits_for(stream) {
            return;
        }
        let Self { postings, orders, tickets } = self;
        lists(event, decoded, (orders, tickets), |list, _| postings.need(list));
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        let Self { postings, orders, tickets } = self;
        let mut pushed = Ok(());
        lists(event, decoded, (orders, tickets), |list, tag| {
            if pushed.is_ok() {
                pushed = postings.push(list, event.position, tag);
            }
        });
        pushed
    }
}

/// The lists that an event belongs in, and its tag there.
fn lists(
    event: &StoredEvent,
    decoded: &Decoded,
    (orders, tickets): (&Origins<OrderOrigin>, &Origins<TicketOrigin>),
    mut each: impl FnMut(&List, Option<u32>),
) {
    let mut about = About::of(event, decoded);
    match event.stream.kind {
        StreamKind::Order => match orders.get(event.stream) {
            Some(OrderOrigin::One(show)) => about.show = Some(orders.show(*show)),
            Some(OrderOrigin::Several(shows)) => {
                shows.iter().for_each(|show| each(&List::Show(orders.show(*show)), None));
            }
            None => {}
        },
        StreamKind::Ticket => {
            if let Some(origin) = tickets.get(event.stream) {
                about.show = Some(tickets.show(origin.show));
                about.order = Some(OrderId(origin.order.ulid()));
            }
        }
        _ => {}
    }
    about.lists(event, decoded, each);
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
    /// The event, with its JSON as stored.
    pub stored: Arc<StoredEvent>,
}

impl AuditEntry {
    /// Of these events, without those that cannot be decoded: the projection has stopped before
    /// them.
    async fn read(
        feed: &dyn EventFeed,
        events: Vec<Arc<StoredEvent>>,
        asked: Option<ShowId>,
    ) -> Result<Vec<Self>, QueryError> {
        let streams = events.iter().map(|event| event.stream).filter(|stream| has_origin(*stream));
        let firsts = first_events(feed, streams.map(|stream| (stream, 1)).collect()).await?;
        let origins: HashMap<StreamId, Origin> = firsts
            .into_iter()
            .filter_map(|(stream, first)| {
                Some((stream, Origin::read(stream, first.first()?.decoded().ok()?)))
            })
            .collect();
        let nothing = Origin::default();
        let entry = |event: &Arc<StoredEvent>| {
            let decoded = event.decoded().ok()?;
            let about = About::of(event, decoded);
            let origin = origins.get(&event.stream).unwrap_or(&nothing);
            let asked = asked.filter(|asked| origin.shows.contains(asked));
            let meta = &decoded.meta;
            Some(Self {
                position: event.position,
                recorded_at: event.recorded_at,
                event: event.id,
                organizer: about.organizer,
                actor: meta.actor.clone(),
                kind: event.kind.to_string(),
                schema: event.schema,
                stream: event.stream,
                version: event.version,
                show: asked.or(about.show).or(origin.shows.first().copied()),
                order: about.order.or(origin.order),
                ticket: about.ticket,
                key: meta.key.clone(),
                cause: meta.cause,
                correlation: meta.correlation,
                stored: event.clone(),
            })
        };
        Ok(events.iter().filter_map(entry).collect())
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
    /// As the list stood then.
    pub as_of: Option<AsOf>,
}

/// The entries at positions, of what was asked for.
struct Entries<'a> {
    feed: &'a dyn EventFeed,
    show: Option<ShowId>,
    order: Option<OrderId>,
}

impl Elements for Entries<'_> {
    type Element = AuditEntry;

    fn at(
        &self,
        positions: Vec<u64>,
        room: usize,
    ) -> BoxFuture<'_, Result<Taken<AuditEntry>, QueryError>> {
        async move {
            let found = events_within(self.feed, &positions, room).await?;
            let entries = AuditEntry::read(self.feed, found.events, self.show).await?;
            // Another order may have the same tag.
            let is_asked = |entry: &AuditEntry| self.order.is_none() || entry.order == self.order;
            let entries = entries.into_iter().filter(is_asked);
            let elements = entries.map(|entry| (entry.position.0, entry)).collect();
            Ok(Taken { elements, looked_at: found.looked_at, bytes: found.bytes })
        }
        .boxed()
    }
}

impl ReadModels {
    /// The audit log, in the order in which things happened.
    pub async fn audit_log(
        &self,
        tenant: Option<OrganizerId>,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, QueryError> {
        let feed = self.engine().shared.feed.as_ref();
        let (lease, last) = self.engine().lease_at(AUDIT_LOG.name);
        let mut lists = Lists::up_to(&lease, last);
        lists.between(feed, filter.from, filter.until).await?;
        lists.as_of(feed, filter.as_of).await?;
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
        if !filter.kinds.is_empty() {
            let known = filter.kinds.iter().filter_map(|kind| codec::known_kind(kind));
            lists.and(Wanted::InOneOf(known.map(List::Kind).collect()));
        }
        for stream in filter.stream.into_iter().chain(filter.ticket.map(StreamId::from)) {
            if has_origin(stream) {
                let events = first_events(feed, HashMap::from([(stream, u64::MAX)])).await?;
                let events = events.into_values().flatten();
                lists.and(Wanted::At(events.map(|event| event.position.0).collect()));
            } else {
                lists.and(Wanted::In(List::Stream(stream), None));
            }
        }
        let entries = Entries { feed, show: filter.show, order: filter.order };
        lists.page(page, &entries).await
    }
}

#[cfg(test)]
mod tests;
