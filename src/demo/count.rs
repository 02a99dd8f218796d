//! The recount: reads every recorded event, knows nothing of the rules, and counts again. What
//! buyers were told and what the read models say is compared with it.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use hakken_adapters::{data_dir::DataDir, embedded::EmbeddedStore};
use hakken_domain::{
    Event,
    envelope::{Position, StoredEvent},
    gate,
    inventory::{self, Places},
    names::{HoldId, OrderId, OrganizerId, PoolId, RefundId, SeatId, ShowId, TicketId},
    order, ticket,
};
use hakken_projections::{feed::EventFeed, models::scans::refusal_word};

const PAGE: usize = 5_000;

/// What the events say.
#[derive(Debug, Default)]
pub struct Recount {
    /// How many there are.
    pub events: u64,
    /// Places that are sold now.
    pub sold: u64,
    /// Seats and pool places that two had at once, at any moment.
    pub oversold: u64,
    /// Holds that were made.
    pub holds: u64,
    /// Holds whose time passed.
    pub expired: u64,
    /// Holds that were given back.
    pub released: u64,
    /// Late payments whose seats were still free.
    pub reseated: u64,
    /// Orders that were paid.
    pub paid: u64,
    /// Orders that were paid too late for their seats.
    pub unfulfilled: u64,
    /// Live tickets whose code is given out.
    pub issued: u64,
    /// Codes that were given out again.
    pub reissued: u64,
    /// Tickets that are void.
    pub voided: u64,
    /// Tickets with which somebody came in.
    pub admitted: u64,
    /// Codes that were shown and refused.
    pub refused: u64,
    /// The same by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Money in.
    pub captured_minor: u64,
    /// Money that is to go out, and has not failed to.
    pub requested_minor: u64,
    /// Money out.
    pub refunded_minor: u64,
    /// What must not be.
    pub problems: Vec<String>,
}

/// Recounts what an organizer did since a position.
pub async fn recount(data: &DataDir, after: Position, organizer: &str) -> Result<Recount> {
    let organizer: OrganizerId =
        organizer.rsplit('_').next().unwrap_or_default().parse().context("an organizer's id")?;
    let store = EmbeddedStore::open_read_only(data).await?;
    let mut counter = Counter::default();
    let mut after = after;
    loop {
        let page = store.read_all(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.position;
        for event in &page {
            counter.take(event, organizer)?;
        }
    }
    store.close().await;
    Ok(counter.conclude())
}

/// What was found so far.
#[derive(Default)]
struct Counter {
    found: Recount,
    /// Who has a seat, and on which legs.
    seats: HashMap<(ShowId, SeatId), Vec<(HoldId, u64)>>,
    /// Capacity of a pool, and what is taken of it on each leg.
    pools: HashMap<(ShowId, PoolId), (u32, [u32; 64])>,
    holds: HashMap<HoldId, Places>,
    orders: HashMap<OrderId, Order>,
    tickets: HashMap<TicketId, Ticket>,
}

#[derive(Default)]
struct Order {
    items: Vec<u16>,
    cancelled: Vec<u16>,
    captured: u64,
    refunds: HashMap<RefundId, u64>,
    settled: u64,
    paid: bool,
    confirmed: bool,
    unfulfilled: bool,
}

#[derive(Default)]
struct Ticket {
    of: Option<(OrderId, u16)>,
    issued: bool,
    void: bool,
    entries: u64,
    inside: bool,
}

impl Counter {
    fn take(&mut self, stored: &StoredEvent, organizer: OrganizerId) -> Result<()> {
        let decoded = stored
            .decoded()
            .map_err(|error| anyhow::anyhow!("position {}: {error}", stored.position))?;
        if decoded.meta.organizer != Some(organizer) {
            return Ok(());
        }
        self.found.events += 1;
        let id = stored.stream.id;
        match &decoded.event {
            Event::Inventory(event) => self.inventory(ShowId(id), event),
            Event::Order(event) => self.order(OrderId(id), event),
            Event::Ticket(event) => self.ticket(TicketId(id), event),
            Event::Gate(gate::Event::CodeRefused(refused)) => self.refuse(refused.reason),
            Event::Show(_)
            | Event::Venue(_)
            | Event::Organizer(_)
            | Event::Key(_)
            | Event::Operations(_) => {}
        }
        Ok(())
    }

    fn inventory(&mut self, show: ShowId, event: &inventory::Event) {
        use inventory::Event as E;
        match event {
            E::SalesOpened(opened) => {
                for pool in &opened.seat_map.pools {
                    self.pools.insert((show, pool.id.clone()), (pool.capacity, [0; 64]));
                }
            }
            E::SeatsHeld(held) => {
                self.found.holds += 1;
                self.occupy(show, held.hold, &held.places);
                self.holds.insert(held.hold, held.places.clone());
            }
            E::HoldConfirmed(confirmed) => {
                if self.holds.remove(&confirmed.hold).as_ref() != Some(&confirmed.places) {
                    self.problem(format!("hold {} sold what it did not have", confirmed.hold));
                }
                self.found.sold += confirmed.places.count();
            }
            E::OrderReseated(reseated) => {
                self.found.reseated += 1;
                self.occupy(show, reseated.hold, &reseated.places);
                self.found.sold += reseated.places.count();
            }
            E::HoldReleased(ended) => {
                self.found.released += 1;
                self.end(show, ended.hold, &ended.places);
            }
            E::HoldExpired(ended) => {
                self.found.expired += 1;
                self.end(show, ended.hold, &ended.places);
            }
            E::PlacesReturned(returned) => {
                self.vacate(show, returned.hold, &returned.places);
                match self.found.sold.checked_sub(returned.places.count()) {
                    Some(left) => self.found.sold = left,
                    None => self.problem("more places came back than were sold".to_owned()),
                }
            }
            E::SalesRulesChanged(_)
            | E::SalesClosed(_)
            | E::SeatsBlocked(_)
            | E::SeatsUnblocked(_)
            | E::AllotmentSet(_)
            | E::HoldExtended(_) => {}
        }
    }

    fn occupy(&mut self, show: ShowId, hold: HoldId, places: &Places) {
        let mask = places.legs.mask();
        for seat in &places.seats {
            let who = self.seats.entry((show, seat.clone())).or_default();
            if who.iter().any(|(other, taken)| *other != hold && taken & mask != 0) {
                self.found.oversold += 1;
            }
            who.push((hold, mask));
        }
        for wanted in &places.pools {
            let Some((capacity, taken)) = self.pools.get_mut(&(show, wanted.pool.clone())) else {
                self.found.oversold += u64::from(wanted.count);
                continue;
            };
            let mut over = 0;
            for leg in places.legs.indices() {
                taken[leg] += wanted.count;
                over = over.max(taken[leg].saturating_sub(*capacity).min(wanted.count));
            }
            self.found.oversold += u64::from(over);
        }
    }

    fn end(&mut self, show: ShowId, hold: HoldId, places: &Places) {
        if self.holds.remove(&hold).as_ref() != Some(places) {
            self.problem(format!("hold {hold} ended with other places than it had"));
        }
        self.vacate(show, hold, places);
    }

    fn vacate(&mut self, show: ShowId, hold: HoldId, places: &Places) {
        for seat in &places.seats {
            let who = self.seats.entry((show, seat.clone())).or_default();
            match who.iter().position(|(holder, _)| *holder == hold) {
                Some(at) => drop(who.swap_remove(at)),
                None => self.problem(format!("seat {seat} came back from who did not have it")),
            }
        }
        for back in &places.pools {
            if let Some((_, taken)) = self.pools.get_mut(&(show, back.pool.clone())) {
                for leg in places.legs.indices() {
                    taken[leg] = taken[leg].saturating_sub(back.count);
                }
            }
        }
    }

    fn order(&mut self, id: OrderId, event: &order::Event) {
        use order::Event as E;
        let order = self.orders.entry(id).or_default();
        match event {
            E::OrderPlaced(placed) => {
                order.items = placed.items.iter().map(|item| item.item).collect();
            }
            E::PaymentCaptured(captured) => {
                order.captured += captured.amount_minor;
                self.found.captured_minor += captured.amount_minor;
            }
            E::OrderPaid(_) => {
                order.paid = true;
                self.found.paid += 1;
            }
            E::OrderConfirmed(_) => order.confirmed = true,
            E::OrderUnfulfilled(_) => {
                order.unfulfilled = true;
                self.found.unfulfilled += 1;
            }
            E::ItemsCancelled(gone) => order.cancelled.extend(&gone.items),
            E::RefundRequested(refund) => {
                order.refunds.insert(refund.refund, refund.amount_minor);
                self.found.requested_minor += refund.amount_minor;
            }
            E::RefundFailed(failed) => {
                let amount = order.refunds.remove(&failed.refund).unwrap_or(0);
                self.found.requested_minor -= amount;
            }
            E::RefundSettled(settled) => {
                let amount = order.refunds.get(&settled.refund).copied().unwrap_or(0);
                order.settled += amount;
                self.found.refunded_minor += amount;
            }
            E::PaymentReversed(_)
            | E::CancellationRequested(_)
            | E::CancellationRefused(_)
            | E::OrderCancelled(_) => {}
        }
    }

    fn ticket(&mut self, id: TicketId, event: &ticket::Event) {
        use ticket::Event as E;
        let ticket = self.tickets.entry(id).or_default();
        match event {
            E::TicketCreated(created) => ticket.of = Some((created.order, created.item)),
            E::TicketIssued(_) => ticket.issued = true,
            E::TicketReissued(_) => self.found.reissued += 1,
            E::TicketVoided(_) => {
                ticket.void = true;
                self.found.voided += 1;
            }
            E::TicketEntered(_) => {
                if ticket.inside || ticket.void {
                    self.problem(format!("ticket {id} let in who should not come in"));
                    return;
                }
                ticket.inside = true;
                ticket.entries += 1;
            }
            E::TicketExited(_) => ticket.inside = false,
            E::ScanRefused(refused) => self.refuse(refused.reason),
            E::TicketSuspended(_) | E::TicketReinstated(_) => {}
        }
    }

    fn refuse(&mut self, reason: ticket::ScanRefusal) {
        self.found.refused += 1;
        *self.found.refusals.entry(refusal_word(reason).to_owned()).or_default() += 1;
    }

    fn problem(&mut self, text: String) {
        self.found.problems.push(text);
    }

    /// Looks at everything as it stands in the end.
    fn conclude(mut self) -> Recount {
        let mut live: HashMap<(OrderId, u16), u64> = HashMap::new();
        for ticket in self.tickets.values() {
            let is_live = ticket.issued && !ticket.void;
            self.found.issued += u64::from(is_live);
            self.found.admitted += u64::from(ticket.entries > 0);
            if let (true, Some(of)) = (is_live, ticket.of) {
                *live.entry(of).or_default() += 1;
            }
        }
        let mut problems = Vec::new();
        for (id, order) in &self.orders {
            let refunded: u64 = order.refunds.values().sum();
            let wanted = |item: &u16| order.confirmed && !order.cancelled.contains(item);
            for item in &order.items {
                let tickets = live.remove(&(*id, *item)).unwrap_or(0);
                if tickets != u64::from(wanted(item)) {
                    problems.push(format!("item {item} of order {id} has {tickets} tickets"));
                }
            }
            if order.confirmed && !order.paid {
                problems.push(format!("order {id} has tickets and is not paid"));
            }
            if order.paid && order.confirmed == order.unfulfilled {
                problems.push(format!("order {id} is paid, and neither sold nor refunded"));
            }
            if order.unfulfilled && refunded != order.captured {
                problems.push(format!("order {id} got nothing and {refunded} back"));
            }
            if refunded > order.captured || order.settled != refunded {
                problems.push(format!(
                    "of order {id}, {refunded} should have gone back of {}, and {} has",
                    order.captured, order.settled
                ));
            }
        }
        problems.extend(live.keys().map(|(order, item)| format!("{order} has no item {item}")));
        if self.found.issued != self.found.sold {
            problems.push(format!(
                "{} places are sold and {} tickets are live",
                self.found.sold, self.found.issued
            ));
        }
        self.found.problems.extend(problems);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use hakken_domain::{
        inventory::{HoldConfirmed, HoldEnded, PoolPlaces, SeatsHeld},
        legs::Legs,
        names::BuyerRef,
        ticket::{Channel, ScanRefusal, TicketScanned},
        time::Timestamp,
    };

    use super::*;

    fn show() -> ShowId {
        ShowId::derived("test", "show")
    }

    fn hold(name: &str) -> HoldId {
        HoldId::derived("test", name)
    }

    fn order() -> OrderId {
        OrderId::derived("test", "order")
    }

    fn seat(legs: (u8, u8)) -> Places {
        let seats = vec![SeatId::new("A1").unwrap()];
        Places { seats, pools: Vec::new(), legs: Legs::new(legs.0, legs.1).unwrap() }
    }

    fn held(name: &str, places: Places) -> inventory::Event {
        inventory::Event::SeatsHeld(SeatsHeld {
            hold: hold(name),
            buyer: BuyerRef::new("b1").unwrap(),
            places,
            allotment: None,
            expires_at: Timestamp::MAX,
        })
    }

    fn confirmed(name: &str, places: Places) -> inventory::Event {
        inventory::Event::HoldConfirmed(HoldConfirmed {
            hold: hold(name),
            order: order(),
            buyer: BuyerRef::new("b1").unwrap(),
            places,
        })
    }

    #[track_caller]
    fn counted(events: &[inventory::Event]) -> Recount {
        let mut counter = Counter::default();
        events.iter().for_each(|event| counter.inventory(show(), event));
        counter.found
    }

    #[test]
    fn a_seat_that_two_hold_at_once_is_oversold() {
        let one_leg = || seat((0, 1));
        assert_eq!(counted(&[held("one", one_leg()), held("two", one_leg())]).oversold, 1);
        let sold = [held("one", one_leg()), confirmed("one", one_leg()), held("two", one_leg())];
        assert_eq!(counted(&sold).oversold, 1);
        assert_eq!(counted(&[held("one", seat((0, 2))), held("two", seat((2, 3)))]).oversold, 0);
        let ended = HoldEnded { hold: hold("one"), places: one_leg() };
        let again =
            [held("one", one_leg()), inventory::Event::HoldExpired(ended), held("two", one_leg())];
        let counted = counted(&again);
        assert_eq!((counted.oversold, counted.expired), (0, 1));
    }

    #[test]
    fn a_pool_holds_no_more_than_its_places() {
        let mut counter = Counter::default();
        let pool = PoolId::new("standing").unwrap();
        counter.pools.insert((show(), pool.clone()), (5, [0; 64]));
        let places = |count| Places {
            pools: vec![PoolPlaces { pool: pool.clone(), count }],
            ..Places::default()
        };
        counter.inventory(show(), &held("one", places(4)));
        assert_eq!(counter.found.oversold, 0);
        counter.inventory(show(), &held("two", places(3)));
        assert_eq!(counter.found.oversold, 2);
    }

    #[test]
    fn a_hold_sells_what_it_has() {
        let strange = counted(&[held("one", seat((0, 1))), confirmed("one", seat((0, 2)))]);
        assert_eq!(strange.problems.len(), 1);
    }

    #[test]
    fn a_paid_order_without_ticket_or_money_back_is_found() {
        let mut counter = Counter::default();
        let mut known = Order { items: vec![1], captured: 100, paid: true, ..Order::default() };
        known.confirmed = true;
        counter.orders.insert(order(), known);
        let problems = counter.conclude().problems;
        assert!(problems.iter().any(|problem| problem.contains("has 0 tickets")), "{problems:?}");

        let mut counter = Counter::default();
        let lost = Order { captured: 100, paid: true, unfulfilled: true, ..Order::default() };
        counter.orders.insert(order(), lost);
        let problems = counter.conclude().problems;
        assert!(problems.iter().any(|p| p.contains("got nothing and 0 back")), "{problems:?}");
    }

    #[test]
    fn a_ticket_that_lets_two_in_is_found() {
        let mut counter = Counter::default();
        let id = TicketId::derived("test", "ticket");
        let issued = ticket::TicketIssued { generation: 1, code_key: 1, channel: Channel::Online };
        counter.ticket(id, &ticket::Event::TicketIssued(issued));
        for _ in 0..2 {
            let gate = "main".parse().unwrap();
            let entered = TicketScanned { gate, generation: 1 };
            counter.ticket(id, &ticket::Event::TicketEntered(entered));
        }
        counter.refuse(ScanRefusal::AlreadyRedeemed);
        assert_eq!(counter.found.problems.len(), 1);
        assert_eq!(counter.found.refusals["already_redeemed"], 1);
    }
}
