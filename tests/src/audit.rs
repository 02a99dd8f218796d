//! A second opinion: reads all events and says what is wrong, without using any rule of the
//! domain. What it checks at every moment: no seat twice on a leg, no pool over its capacity, no
//! money out that did not come in, one live code. What it checks at rest: every paid order has
//! its tickets and places, or its money is on its way back; nothing is left half done.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hakken_domain::{
    Event,
    envelope::{StoredEvent, StreamId},
    inventory::{self, Places},
    names::{HoldId, OrderId, PaymentId, PoolId, RefundId, SeatId, ShowId, TicketId},
    order::{self, Item},
    show, ticket,
};

#[derive(Default)]
struct Inventory {
    legs: u8,
    on_sale: bool,
    called_off: bool,
    capacity: HashMap<PoolId, u32>,
    seats: HashMap<(SeatId, u8), HoldId>,
    pools: HashMap<(PoolId, u8), u32>,
    held: BTreeMap<HoldId, Places>,
    sold: BTreeMap<HoldId, (OrderId, Places)>,
}

#[derive(Default)]
struct Order {
    items: Vec<Item>,
    cancelled: BTreeSet<u16>,
    captured: BTreeMap<PaymentId, u64>,
    reversed: u64,
    refunds: BTreeMap<RefundId, (PaymentId, u64, bool)>,
    paid: bool,
    confirmed: bool,
    over: bool,
    pending: usize,
}

#[derive(Default)]
struct Ticket {
    of: Option<(OrderId, u16)>,
    generation: u16,
    void: bool,
    inside: bool,
    entries: u32,
    reentry: bool,
}

/// What the events say.
#[derive(Default)]
pub struct Audit {
    shows: BTreeMap<ShowId, Inventory>,
    orders: BTreeMap<OrderId, Order>,
    tickets: BTreeMap<TicketId, Ticket>,
    versions: HashMap<StreamId, u64>,
}

macro_rules! must {
    ($condition:expr, $($words:tt)*) => {
        if !$condition { return Err(format!($($words)*)); }
    };
}

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
        let id = stored.stream.id;
        match &stored.decoded().map_err(ToString::to_string)?.event {
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
            | Event::Gate(_) => Ok(()),
        }
    }

    /// Says what is left half done when every process has come to rest.
    pub fn at_rest(&self) -> Result<(), String> {
        for (id, order) in &self.orders {
            must!(order.pending == 0, "order {id} has a cancellation under way");
            let paid: u64 = order.captured.values().sum::<u64>() - order.reversed;
            if order.over {
                must!(
                    order.out() == paid,
                    "order {id} is over with {paid} in, {} out",
                    order.out()
                );
            } else if order.paid {
                must!(order.confirmed, "order {id} is paid, but neither confirmed nor over");
            }
            for item in &order.items {
                self.item_at_rest(*id, order, item)?;
            }
        }
        for (id, show) in &self.shows {
            must!(!(show.called_off && show.on_sale), "show {id} is called off and still on sale");
            for (hold, (order, _)) in &show.sold {
                let live = self.orders.get(order).is_some_and(|o| o.confirmed && !o.over);
                must!(live, "show {id}: hold {hold} is sold to order {order}, which is not live");
            }
        }
        Ok(())
    }

    fn item_at_rest(&self, id: OrderId, order: &Order, item: &Item) -> Result<(), String> {
        let number = item.item;
        let tickets: Vec<_> =
            self.tickets.values().filter(|ticket| ticket.of == Some((id, number))).collect();
        let live = tickets.iter().filter(|ticket| !ticket.void).count();
        let expected = usize::from(order.confirmed && !order.cancelled.contains(&number));
        must!(live == expected, "item {number} of order {id} has {live} live tickets");
        if let Some(seat) = &item.seat {
            let show = self.shows.get(&item.show).ok_or("an item of an unknown show")?;
            for leg in item.legs.indices() {
                let leg = u8::try_from(leg).expect("64 legs");
                let owner = show.seats.get(&(seat.clone(), leg));
                let sold = owner == Some(&item.hold)
                    && show.sold.get(&item.hold).is_some_and(|(order, _)| *order == id);
                must!(
                    sold == (expected == 1),
                    "seat {seat} of item {number} of order {id}: sold {sold}, live {expected}"
                );
            }
        }
        Ok(())
    }

    /// Tickets that may still open a gate.
    pub fn live_tickets(&self) -> usize {
        self.tickets.values().filter(|ticket| !ticket.void && ticket.generation > 0).count()
    }

    /// Seats and pool places that are sold.
    pub fn sold(&self) -> u64 {
        self.shows.values().flat_map(|show| show.sold.values()).map(|(_, p)| p.count()).sum()
    }

    /// Money that came in and was not taken back, and money that goes or went out.
    pub fn money(&self) -> (u64, u64) {
        let paid = |o: &Order| o.captured.values().sum::<u64>() - o.reversed;
        (self.orders.values().map(paid).sum(), self.orders.values().map(Order::out).sum())
    }
}

impl Inventory {
    fn event(&mut self, event: &inventory::Event) -> Result<(), String> {
        use inventory::Event as E;
        match event {
            E::SalesOpened(opened) => {
                self.legs = opened.legs;
                self.on_sale = true;
                for pool in &opened.seat_map.pools {
                    self.capacity.insert(pool.id.clone(), pool.capacity);
                }
            }
            E::SeatsHeld(held) => {
                self.take(held.hold, &held.places)?;
                self.held.insert(held.hold, held.places.clone());
            }
            E::HoldConfirmed(confirmed) => {
                let held = self.held.remove(&confirmed.hold);
                must!(held.as_ref() == Some(&confirmed.places), "confirmed is not what was held");
                self.sold.insert(confirmed.hold, (confirmed.order, confirmed.places.clone()));
            }
            E::OrderReseated(reseated) => {
                self.take(reseated.hold, &reseated.places)?;
                self.sold.insert(reseated.hold, (reseated.order, reseated.places.clone()));
            }
            E::HoldReleased(over) | E::HoldExpired(over) => {
                let held = self.held.remove(&over.hold);
                must!(held.as_ref() == Some(&over.places), "what ended is not what was held");
                self.free(&over.places)?;
            }
            E::PlacesReturned(returned) => {
                self.free(&returned.places)?;
                let (_, sold) =
                    self.sold.get_mut(&returned.hold).ok_or("returned under an unsold hold")?;
                sold.seats.retain(|seat| !returned.places.seats.contains(seat));
                for back in &returned.places.pools {
                    let left = sold.pools.iter_mut().find(|p| p.pool == back.pool);
                    let left = left.ok_or("returned places of a pool that was not sold")?;
                    left.count = left.count.checked_sub(back.count).ok_or("returned too many")?;
                }
                if sold.count() == 0 {
                    self.sold.remove(&returned.hold);
                }
            }
            E::SalesClosed(_) => self.on_sale = false,
            E::SalesRulesChanged(_)
            | E::SeatsBlocked(_)
            | E::SeatsUnblocked(_)
            | E::AllotmentSet(_)
            | E::HoldExtended(_) => {}
        }
        Ok(())
    }

    fn take(&mut self, hold: HoldId, places: &Places) -> Result<(), String> {
        for leg in places.legs.indices() {
            let leg = u8::try_from(leg).expect("64 legs");
            for seat in &places.seats {
                let before = self.seats.insert((seat.clone(), leg), hold);
                must!(before.is_none(), "seat {seat} is given twice on leg {leg}");
            }
            for pool in &places.pools {
                let used = self.pools.entry((pool.pool.clone(), leg)).or_default();
                *used += pool.count;
                let capacity = self.capacity.get(&pool.pool).copied().unwrap_or(0);
                must!(*used <= capacity, "pool {} has {used} of {capacity} taken", pool.pool);
            }
        }
        Ok(())
    }

    fn free(&mut self, places: &Places) -> Result<(), String> {
        for leg in places.legs.indices() {
            let leg = u8::try_from(leg).expect("64 legs");
            for seat in &places.seats {
                let was = self.seats.remove(&(seat.clone(), leg));
                must!(was.is_some(), "seat {seat} is freed twice on leg {leg}");
            }
            for pool in &places.pools {
                let used = self.pools.entry((pool.pool.clone(), leg)).or_default();
                *used = used.checked_sub(pool.count).ok_or("a pool has less than nothing taken")?;
            }
        }
        Ok(())
    }
}

impl Order {
    fn out(&self) -> u64 {
        self.refunds.values().filter(|(_, _, failed)| !failed).map(|(_, amount, _)| amount).sum()
    }

    fn event(&mut self, event: &order::Event) -> Result<(), String> {
        use order::Event as E;
        match event {
            E::OrderPlaced(placed) => {
                let sum: u64 = placed.items.iter().map(|item| item.price_minor).sum();
                must!(sum == placed.total_minor, "the items' prices are not the total");
                self.items.clone_from(&placed.items);
            }
            E::PaymentCaptured(payment) => {
                let before = self.captured.insert(payment.payment.clone(), payment.amount_minor);
                must!(before.is_none(), "payment {} twice", payment.payment);
            }
            E::PaymentReversed(payment) => self.reversed += payment.amount_minor,
            E::OrderPaid(_) => self.paid = true,
            E::OrderConfirmed(_) => {
                must!(self.paid && !self.over, "confirmed without being paid");
                self.confirmed = true;
            }
            E::OrderUnfulfilled(_) | E::OrderCancelled(_) => {
                must!(!self.confirmed, "over in spite of being confirmed");
                self.over = true;
            }
            E::CancellationRequested(_) => self.pending += 1,
            E::ItemsCancelled(cancelled) => {
                for item in &cancelled.items {
                    must!(self.cancelled.insert(*item), "item {item} is cancelled twice");
                }
                self.pending = 0;
            }
            E::CancellationRefused(_) => self.pending = 0,
            E::RefundRequested(refund) => {
                let captured = self.captured.get(&refund.payment).copied();
                let captured = captured.ok_or("a refund of an unknown payment")?;
                let entry = (refund.payment.clone(), refund.amount_minor, false);
                must!(self.refunds.insert(refund.refund, entry).is_none(), "a refund twice");
                let of_it =
                    self.refunds.values().filter(|(p, _, failed)| *p == refund.payment && !failed);
                let out: u64 = of_it.map(|(_, amount, _)| amount).sum();
                must!(out <= captured, "{out} of {captured} of a payment goes out");
            }
            E::RefundSettled(refund) => {
                let known = self.refunds.get(&refund.refund).is_some_and(|(_, _, failed)| !failed);
                must!(known, "an unknown or failed refund is settled");
            }
            E::RefundFailed(refund) => {
                self.refunds.get_mut(&refund.refund).ok_or("an unknown refund failed")?.2 = true;
            }
        }
        Ok(())
    }
}

impl Ticket {
    fn event(&mut self, event: &ticket::Event) -> Result<(), String> {
        use ticket::Event as E;
        match event {
            E::TicketCreated(created) => {
                must!(self.of.is_none(), "a ticket is made twice");
                self.of = Some((created.order, created.item));
                self.reentry = created.entry.reentry;
            }
            E::TicketIssued(issued) => {
                must!(self.generation == 0 && issued.generation == 1, "issued twice");
                self.generation = 1;
            }
            E::TicketReissued(reissued) => {
                must!(reissued.generation == self.generation + 1, "a generation is left out");
                self.generation = reissued.generation;
            }
            E::TicketVoided(_) => {
                must!(!self.void, "voided twice");
                self.void = true;
            }
            E::TicketEntered(scan) => {
                must!(!self.void, "a void ticket came in");
                must!(scan.generation == self.generation, "a dead code came in");
                must!(!self.inside, "came in twice");
                must!(self.entries == 0 || self.reentry, "came in again against its rule");
                self.inside = true;
                self.entries += 1;
            }
            E::TicketExited(_) => {
                must!(self.inside, "went out without being inside");
                self.inside = false;
            }
            E::TicketSuspended(_) | E::TicketReinstated(_) | E::ScanRefused(_) => {}
        }
        Ok(())
    }
}
