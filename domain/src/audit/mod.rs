//! A second opinion: reads all events and says what is wrong, without using any rule or fold of
//! the domain. What it checks at every moment: no seat twice on a leg, no pool and no quota over
//! its capacity, nobody over the buyers' limit, no seat sold that is kept for somebody else, no
//! money out that did not come in, one live code, nobody let in against the ticket's rule, and the
//! order of things across streams (no ticket before its order is confirmed, no money before the
//! ticket is void). What it checks at rest: every paid order has its tickets and places, or its
//! money is on its way back; nothing is left half done.
//!
//! The tests hold every history that they make against it, and `hakken doctor` those of operators.

mod inventory;
mod order;
mod ticket;

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry as BTreeEntry, hash_map::Entry},
    sync::Arc,
};

use ulid::Ulid;

use crate::{
    Event,
    envelope::{StoredEvent, StreamId},
    inventory::{Places, PlacesReturned},
    names::{HoldId, OrderId, SeatId, ShowId, TicketId},
    order::Item,
    show,
    time::Timestamp,
};

use inventory::Inventory;
use order::Order;
use ticket::Ticket;

/// Which shows, orders and streams an audit looks at. A long history can be read several times,
/// for one part after the other, so that no more than a part is ever in memory. Whatever concerns
/// an order is in the order's part (its tickets, what was sold to it), whatever concerns seats in
/// the show's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0 on.
    pub index: u64,
    /// How many parts there are.
    pub of: u64,
}

impl Part {
    /// Everything at once.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Whether this is in it. The end of an id is random, whoever made it.
    pub fn covers(self, id: Ulid) -> bool {
        let bytes = id.to_bytes();
        let end = bytes[8..].iter().fold(0, |end, byte| end << 8 | u64::from(*byte));
        end % self.of.max(1) == self.index
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// What the events say.
#[derive(Default)]
pub struct Audit {
    part: Part,
    shows: BTreeMap<ShowId, Inventory>,
    orders: BTreeMap<OrderId, Order>,
    tickets: BTreeMap<TicketId, Ticket>,
    of_item: HashMap<(OrderId, u16), TicketId>,
    /// What is sold to orders.
    sales: HashMap<HoldId, Sale>,
    versions: HashMap<StreamId, u64>,
    recorded_at: Timestamp,
}

/// What an order has of a show.
struct Sale {
    order: OrderId,
    show: ShowId,
    places: Places,
}

impl Sale {
    /// The item's place is among what is sold.
    fn has(&self, item: &Item) -> bool {
        let Places { seats, pools, legs } = &self.places;
        let seat = item.seat.as_ref().is_none_or(|seat| seats.contains(seat));
        let pool = item.pool.as_ref().is_none_or(|pool| pools.iter().any(|p| p.pool == *pool));
        self.show == item.show && seat && pool && *legs == item.legs
    }

    /// Nothing is left after this.
    fn give_back(&mut self, back: &PlacesReturned) -> bool {
        self.places.seats.retain(|seat| !back.places.seats.contains(seat));
        for pool in &back.places.pools {
            for left in self.places.pools.iter_mut().filter(|left| left.pool == pool.pool) {
                left.count = left.count.saturating_sub(pool.count);
            }
        }
        self.places.pools.retain(|pool| pool.count > 0);
        self.places.count() == 0
    }
}

macro_rules! must {
    ($condition:expr, $($words:tt)*) => {
        if !$condition { return Err(format!($($words)*)); }
    };
}
use must;

impl Audit {
    /// Reads all events; says the first thing that is wrong at any moment.
    pub fn read(events: &[Arc<StoredEvent>]) -> Result<Self, String> {
        let mut audit = Self::default();
        audit.read_on(events)?;
        Ok(audit)
    }

    /// Reads the events that come next.
    pub fn read_on(&mut self, events: &[Arc<StoredEvent>]) -> Result<(), String> {
        for event in events {
            let at = event.position;
            self.read_next(event).map_err(|wrong| format!("at position {at}: {wrong}"))?;
        }
        Ok(())
    }

    /// One part of all, to be given every event with [`Audit::read_next`].
    pub fn of(part: Part) -> Self {
        Self { part, ..Self::default() }
    }

    /// Reads the event that comes next, also if it comes in a wrong order.
    pub fn read_next(&mut self, stored: &StoredEvent) -> Result<(), String> {
        let order = self.order(stored);
        let fact = self.fact(stored);
        order.and(fact)
    }

    fn order(&mut self, stored: &StoredEvent) -> Result<(), String> {
        let before = std::mem::replace(&mut self.recorded_at, stored.recorded_at);
        must!(before <= stored.recorded_at, "recorded time runs backwards");
        if self.part.covers(stored.stream.id) {
            let version = self.versions.entry(stored.stream).or_default();
            let expected = std::mem::replace(version, stored.version) + 1;
            must!(
                stored.version == expected,
                "{} has version {} where {expected} comes next",
                stored.stream,
                stored.version
            );
        }
        Ok(())
    }

    fn fact(&mut self, stored: &StoredEvent) -> Result<(), String> {
        let id = stored.stream.id;
        let event = &stored.decoded().map_err(ToString::to_string)?.event;
        self.across(stored.stream, event)?;
        match event {
            Event::Inventory(event) => {
                if self.part.covers(id) {
                    self.shows.entry(ShowId(id)).or_default().event(event)?;
                }
                self.sale(ShowId(id), event);
                Ok(())
            }
            Event::Order(event) if self.part.covers(id) => {
                let order = self.orders.entry(OrderId(id)).or_default();
                order.touched = stored.recorded_at;
                order.event(event)
            }
            Event::Ticket(event) => match self.tickets.entry(TicketId(id)) {
                BTreeEntry::Occupied(mut ticket) => ticket.get_mut().event(event),
                BTreeEntry::Vacant(place) => match event {
                    crate::ticket::Event::TicketCreated(created)
                        if self.part.covers(created.order.0) =>
                    {
                        place.insert(Ticket::default()).event(event)
                    }
                    // In the part of its order, or of none.
                    _ => {
                        let known = matches!(event, crate::ticket::Event::TicketCreated(_))
                            || self.part != Part::WHOLE;
                        must!(known, "an event of a ticket that was never made");
                        Ok(())
                    }
                },
            },
            Event::Show(show::Event::ShowCancelled(_)) if self.part.covers(id) => {
                self.shows.entry(ShowId(id)).or_default().called_off = true;
                Ok(())
            }
            Event::Order(_)
            | Event::Show(_)
            | Event::Venue(_)
            | Event::Organizer(_)
            | Event::Key(_)
            | Event::Gate(_)
            | Event::Operations(_) => Ok(()),
        }
    }

    /// Keeps what orders have.
    fn sale(&mut self, show: ShowId, event: &crate::inventory::Event) {
        use crate::inventory::Event as I;
        match event {
            I::HoldConfirmed(sold) | I::OrderReseated(sold) if self.part.covers(sold.order.0) => {
                let sale = Sale { order: sold.order, show, places: sold.places.clone() };
                self.sales.insert(sold.hold, sale);
            }
            I::PlacesReturned(back) => {
                if let Entry::Occupied(mut sale) = self.sales.entry(back.hold)
                    && sale.get_mut().give_back(back)
                {
                    sale.remove();
                }
            }
            _ => {}
        }
    }

    /// What must be so in other streams when this happens.
    fn across(&mut self, stream: StreamId, event: &Event) -> Result<(), String> {
        let id = stream.id;
        use crate::{inventory::Event as I, order::Event as O, ticket::Event as T};
        match event {
            Event::Inventory(I::HoldConfirmed(sold) | I::OrderReseated(sold))
                if self.part.covers(sold.order.0) =>
            {
                let paid = self.orders.get(&sold.order).is_some_and(|order| order.paid);
                must!(
                    paid,
                    "hold {} is sold to order {}, which is not paid",
                    sold.hold,
                    sold.order
                );
            }
            Event::Inventory(I::PlacesReturned(back)) if self.part.covers(back.order.0) => {
                let order = self.orders.get(&back.order);
                let ends = order.is_some_and(|order| order.over || order.pending > 0);
                must!(ends, "places of order {} come back, but it goes on", back.order);
            }
            Event::Order(O::OrderConfirmed(_)) if self.part.covers(id) => {
                let items = self.orders.get(&OrderId(id)).map_or(&[][..], |order| &order.items);
                for item in items {
                    let sold = self.is_sold(item, OrderId(id));
                    must!(sold, "order {id} is confirmed without the place of item {}", item.item);
                }
            }
            Event::Order(O::ItemsCancelled(cancelled)) if self.part.covers(id) => {
                for item in &cancelled.items {
                    let ticket = self.of_item.get(&(OrderId(id), *item));
                    let void =
                        ticket.and_then(|ticket| self.tickets.get(ticket)).is_some_and(|t| t.void);
                    must!(void, "item {item} of order {id} is cancelled, but its ticket lives");
                }
            }
            Event::Ticket(T::TicketCreated(created)) if self.part.covers(created.order.0) => {
                let of = (created.order, created.item);
                let before = self.of_item.insert(of, TicketId(id));
                must!(before.is_none(), "item {} of order {} has two tickets", of.1, of.0);
                let order = self.orders.get(&created.order);
                let order = order.filter(|order| order.confirmed);
                let order = order.ok_or("a ticket of an order that is not confirmed")?;
                let item = order.items.iter().find(|item| item.item == created.item);
                let same = item.is_some_and(|item| {
                    item.show == created.show
                        && item.seat == created.seat
                        && item.pool == created.pool
                        && item.legs == created.legs
                });
                must!(same, "a ticket is not what its item is");
            }
            _ => {}
        }
        Ok(())
    }

    fn is_sold(&self, item: &Item, order: OrderId) -> bool {
        self.sales.get(&item.hold).is_some_and(|sale| sale.order == order && sale.has(item))
    }

    /// Says what is left half done when every process has come to rest: the first of it.
    pub fn at_rest(&self) -> Result<(), String> {
        self.unrest(Timestamp::MAX).into_iter().next().map_or(Ok(()), |(_, wrong)| Err(wrong))
    }

    /// All that is left half done, with the stream that it is about, leaving out what was touched
    /// after this time: a process may be at it.
    pub fn unrest(&self, until: Timestamp) -> Vec<(StreamId, String)> {
        let mut found = Vec::new();
        let is_quiet =
            |order: &OrderId| self.orders.get(order).is_none_or(|order| order.touched <= until);
        for (id, order) in self.orders.iter().filter(|(id, _)| is_quiet(id)) {
            let mut about = |wrong| found.push((StreamId::from(*id), wrong));
            if let Err(wrong) = order.at_rest() {
                about(format!("order {id} {wrong}"));
                continue;
            }
            for item in &order.items {
                if let Err(wrong) = self.item_at_rest(*id, order, item) {
                    about(wrong);
                }
            }
        }
        for (id, show) in &self.shows {
            if show.called_off && show.on_sale {
                let wrong = format!("show {id} is called off and still on sale");
                found.push((StreamId::show(*id), wrong));
            }
        }
        for (hold, sale) in &self.sales {
            let live = self.orders.get(&sale.order).is_some_and(|o| o.confirmed && !o.over);
            if !live && is_quiet(&sale.order) {
                let Sale { order, show, .. } = sale;
                let wrong =
                    format!("show {show}: hold {hold} is sold to order {order}, which is not live");
                found.push((StreamId::from(*order), wrong));
            }
        }
        found.sort();
        found
    }

    fn item_at_rest(&self, id: OrderId, order: &Order, item: &Item) -> Result<(), String> {
        let number = item.item;
        let ticket = self.of_item.get(&(id, number)).and_then(|ticket| self.tickets.get(ticket));
        let live = ticket.is_some_and(|ticket| !ticket.void);
        let expected = order.confirmed && !order.cancelled.contains(&number);
        let [has, should] = [live, expected].map(|live| if live { "a" } else { "no" });
        must!(
            live == expected,
            "item {number} of order {id} has {has} live ticket, and should have {should} live one"
        );
        if item.seat.is_some() {
            let sold = self.is_sold(item, id);
            must!(
                sold == expected,
                "the seat of item {number} of order {id}: sold {sold}, live {expected}"
            );
        }
        Ok(())
    }

    /// The versions of the streams that this part covers.
    pub fn versions(&self) -> &HashMap<StreamId, u64> {
        &self.versions
    }

    /// Could one hold this seat of a show on all legs at this time?
    pub fn is_free(&self, show: ShowId, seat: &SeatId, now: Timestamp) -> bool {
        self.shows.get(&show).is_some_and(|show| show.is_free(seat, now))
    }

    /// Holds whose time has passed and of which nobody has recorded that: at rest the sweeper has.
    pub fn lapsed(&self, now: Timestamp) -> Vec<HoldId> {
        let held = self.shows.values().flat_map(|show| &show.held);
        held.filter(|(_, held)| held.ends <= now).map(|(hold, _)| *hold).collect()
    }

    /// The same by show: how many, and when the first of them ended.
    pub fn lapsed_of_shows(&self, now: Timestamp) -> Vec<(ShowId, usize, Timestamp)> {
        let lapsed = |show: &Inventory| {
            let ends: Vec<_> = show.held.values().map(|held| held.ends).collect();
            let ended = ends.into_iter().filter(|ends| *ends <= now);
            (ended.clone().count(), ended.min())
        };
        let shows = self.shows.iter().map(|(id, show)| (*id, lapsed(show)));
        shows.filter_map(|(id, (count, first))| Some((id, count, first?))).collect()
    }

    /// Tickets that may still open a gate.
    pub fn live_tickets(&self) -> usize {
        self.tickets.values().filter(|ticket| !ticket.void && ticket.generation > 0).count()
    }

    /// Seats and pool places that are sold.
    pub fn sold(&self) -> u64 {
        self.shows.values().flat_map(|show| show.sold.values()).map(|s| s.places.count()).sum()
    }

    /// Money that came in and was not taken back, and money that goes or went out.
    pub fn money(&self) -> (u64, u64) {
        (
            self.orders.values().map(Order::paid_minor).sum(),
            self.orders.values().map(Order::out_minor).sum(),
        )
    }
}
