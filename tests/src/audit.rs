//! A second opinion: reads all events and says what is wrong, without using any rule or fold of
//! the domain. What it checks at every moment: no seat twice on a leg, no pool and no quota over
//! its capacity, nobody over the buyers' limit, no seat sold that is kept for somebody else, no
//! money out that did not come in, one live code, nobody let in against the ticket's rule, and the
//! order of things across streams (no ticket before its order is confirmed, no money before the
//! ticket is void). What it checks at rest: every paid order has its tickets and places, or its
//! money is on its way back; nothing is left half done.

mod inventory;
mod order;
mod ticket;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hakken_domain::{
    Event,
    envelope::{StoredEvent, StreamId},
    names::{HoldId, OrderId, SeatId, ShowId, TicketId},
    order::Item,
    show,
    time::Timestamp,
};

use inventory::Inventory;
use order::Order;
use ticket::Ticket;

/// What the events say.
#[derive(Default)]
pub struct Audit {
    shows: BTreeMap<ShowId, Inventory>,
    orders: BTreeMap<OrderId, Order>,
    tickets: BTreeMap<TicketId, Ticket>,
    of_item: HashMap<(OrderId, u16), TicketId>,
    versions: HashMap<StreamId, u64>,
    recorded_at: Timestamp,
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
            self.event(event).map_err(|wrong| format!("at position {at}: {wrong}"))?;
        }
        Ok(())
    }

    fn event(&mut self, stored: &StoredEvent) -> Result<(), String> {
        let version = self.versions.entry(stored.stream).or_default();
        *version += 1;
        must!(*version == stored.version, "{} has a gap before {}", stored.stream, stored.version);
        must!(self.recorded_at <= stored.recorded_at, "recorded time runs backwards");
        self.recorded_at = stored.recorded_at;
        let id = stored.stream.id;
        let event = &stored.decoded().map_err(ToString::to_string)?.event;
        self.across(stored.stream, event)?;
        match event {
            Event::Inventory(event) => self.shows.entry(ShowId(id)).or_default().event(event),
            Event::Order(event) => self.orders.entry(OrderId(id)).or_default().event(event),
            Event::Ticket(event) => self.tickets.entry(TicketId(id)).or_default().event(event),
            Event::Show(show::Event::ShowCancelled(_)) => {
                self.shows.entry(ShowId(id)).or_default().called_off = true;
                Ok(())
            }
            Event::Show(_)
            | Event::Venue(_)
            | Event::Organizer(_)
            | Event::Key(_)
            | Event::Gate(_)
            | Event::Operations(_) => Ok(()),
        }
    }

    /// What must be so in other streams when this happens.
    fn across(&mut self, stream: StreamId, event: &Event) -> Result<(), String> {
        let id = stream.id;
        use hakken_domain::{inventory::Event as I, order::Event as O, ticket::Event as T};
        match event {
            Event::Inventory(I::HoldConfirmed(sold) | I::OrderReseated(sold)) => {
                let paid = self.orders.get(&sold.order).is_some_and(|order| order.paid);
                must!(
                    paid,
                    "hold {} is sold to order {}, which is not paid",
                    sold.hold,
                    sold.order
                );
            }
            Event::Inventory(I::PlacesReturned(back)) => {
                let order = self.orders.get(&back.order);
                let ends = order.is_some_and(|order| order.over || order.pending > 0);
                must!(ends, "places of order {} come back, but it goes on", back.order);
            }
            Event::Order(O::OrderConfirmed(_)) => {
                let items = self.orders.get(&OrderId(id)).map_or(&[][..], |order| &order.items);
                for item in items {
                    let sold = self.is_sold(item, OrderId(id));
                    must!(sold, "order {id} is confirmed without the place of item {}", item.item);
                }
            }
            Event::Order(O::ItemsCancelled(cancelled)) => {
                for item in &cancelled.items {
                    let ticket = self.of_item.get(&(OrderId(id), *item));
                    let void = ticket.is_some_and(|ticket| self.tickets[ticket].void);
                    must!(void, "item {item} of order {id} is cancelled, but its ticket lives");
                }
            }
            Event::Ticket(T::TicketCreated(created)) => {
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
        let show = self.shows.get(&item.show);
        let sold = show.and_then(|show| show.sold.get(&item.hold));
        sold.is_some_and(|sold| sold.order == order && sold.has(item))
    }

    /// Says what is left half done when every process has come to rest.
    pub fn at_rest(&self) -> Result<(), String> {
        for (id, order) in &self.orders {
            order.at_rest().map_err(|wrong| format!("order {id} {wrong}"))?;
            for item in &order.items {
                self.item_at_rest(*id, order, item)?;
            }
        }
        for (id, show) in &self.shows {
            must!(!(show.called_off && show.on_sale), "show {id} is called off and still on sale");
            for (hold, sold) in &show.sold {
                let live = self.orders.get(&sold.order).is_some_and(|o| o.confirmed && !o.over);
                must!(
                    live,
                    "show {id}: hold {hold} is sold to order {}, which is not live",
                    sold.order
                );
            }
        }
        Ok(())
    }

    fn item_at_rest(&self, id: OrderId, order: &Order, item: &Item) -> Result<(), String> {
        let number = item.item;
        let ticket = self.of_item.get(&(id, number)).map(|ticket| &self.tickets[ticket]);
        let live = ticket.is_some_and(|ticket| !ticket.void);
        let expected = order.confirmed && !order.cancelled.contains(&number);
        must!(live == expected, "item {number} of order {id}: live ticket {live}");
        if item.seat.is_some() {
            let sold = self.is_sold(item, id);
            must!(
                sold == expected,
                "the seat of item {number} of order {id}: sold {sold}, live {expected}"
            );
        }
        Ok(())
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
