//! What buyers do, and their banks.

use hakken_commands::desk::{Line, PlaceOrder, PlaceWish, TicketWish};
use hakken_domain::{
    envelope::StreamId,
    inventory::{self, BestAvailable, HoldSeats, PoolPlaces, SeatChoice},
    legs::Legs,
    money::Currency,
    names::{BuyerRef, CancellationId, HoldId, OrderId, PaymentId, RefundId, TicketTypeId},
    order::{self, Payment, RefundPolicy},
};

use super::{
    super::known::{Hold, Known, Order, Show},
    Actors, Call, Wish,
};
use crate::world::name;

impl Actors {
    fn buyer(&mut self) -> BuyerRef {
        // One of them wants as much as he can get.
        let one = if self.chance.percent(30) { 0 } else { self.chance.below(6) };
        name(&format!("buyer-{one}"))
    }

    fn legs(&mut self, show: &Show) -> Option<Legs> {
        if show.legs == 1 || self.chance.percent(20) {
            return None;
        }
        let from = self.chance.between(0, u64::from(show.legs) - 1) as u8;
        let to = self.chance.between(u64::from(from) + 1, u64::from(show.legs)) as u8;
        Legs::new(from, to).ok()
    }

    fn pools(&mut self, show: &Show) -> Vec<PoolPlaces> {
        let pool = self.chance.pick(&show.pools).cloned();
        let count = self.chance.between(1, 3) as u32;
        pool.map(|pool| PoolPlaces { pool, count }).into_iter().collect()
    }

    fn hold(
        &mut self,
        called: &'static str,
        show: &Show,
        seats: SeatChoice,
        pools: Vec<PoolPlaces>,
    ) -> Call {
        let buyer = self.buyer();
        let legs = self.legs(show);
        let allotment = match self.chance.percent(6) {
            true => self.chance.pick(&show.allotments).cloned(),
            false => None,
        };
        let ttl_seconds = self.chance.percent(20).then_some(20);
        let hold = HoldId::derived("simulation", &format!("hold-{}", self.count + 1));
        let command = inventory::Command::HoldSeats(HoldSeats {
            hold,
            buyer,
            seats,
            pools,
            legs,
            allotment,
            ttl_seconds,
        });
        self.ask(called, show.organizer, StreamId::inventory(show.id), command)
    }

    pub(in super::super) fn hold_named(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let count = self.chance.between(1, 3) as usize;
        let from = self.chance.below(show.seats.len());
        let seats = show.seats[from..].iter().take(count).cloned().collect();
        let pools = if self.chance.percent(15) { self.pools(&show) } else { Vec::new() };
        Some(self.hold("hold named", &show, SeatChoice::Named(seats), pools))
    }

    pub(super) fn hold_best(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let best = BestAvailable {
            count: self.chance.between(1, 4) as u32,
            wheelchair: self.chance.percent(8),
            may_split: self.chance.percent(30),
            seed: self.chance.next(),
            ..BestAvailable::default()
        };
        Some(self.hold("hold best", &show, SeatChoice::BestAvailable(best), Vec::new()))
    }

    pub(in super::super) fn hold_in_pool(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let pools = self.pools(&show);
        Some(self.hold("hold in pool", &show, SeatChoice::Named(Vec::new()), pools))
    }

    /// One of the newest holds, as people go on with what they began.
    fn some_hold(&mut self, known: &Known) -> Option<Hold> {
        let from = known.holds.len().saturating_sub(20);
        self.chance.pick(&known.holds[from..]).cloned()
    }

    pub(super) fn extend(&mut self, known: &Known) -> Option<Call> {
        let hold = self.some_hold(known)?;
        let ttl_seconds = Some(self.chance.between(1, 900) as u32);
        let command = inventory::Command::ExtendHold { hold: hold.id, ttl_seconds };
        Some(self.ask("extend", hold.organizer, StreamId::inventory(hold.show), command))
    }

    pub(super) fn release(&mut self, known: &Known) -> Option<Call> {
        let hold = self.some_hold(known)?;
        let command = inventory::Command::ReleaseHold { hold: hold.id };
        Some(self.ask("release", hold.organizer, StreamId::inventory(hold.show), command))
    }

    fn line(&mut self, hold: &Hold) -> Line {
        let ticket_type: TicketTypeId =
            name(if self.chance.percent(15) { "student" } else { "adult" });
        let seat = match self.chance.percent(10) {
            true => hold.places.seats.first().cloned(),
            false => None,
        };
        let wish = |seat| TicketWish { place: PlaceWish::Seat(seat), ticket_type: name("adult") };
        Line {
            show: hold.show,
            hold: hold.id,
            ticket_type: Some(ticket_type),
            tickets: seat.map(wish).into_iter().collect(),
        }
    }

    pub(super) fn place_order(&mut self, known: &Known) -> Option<Call> {
        let live: Vec<&Hold> = known.holds.iter().filter(|hold| hold.live).collect();
        let first = match self.chance.percent(92) {
            true => (*self.chance.pick(&live)?).clone(),
            false => self.some_hold(known)?,
        };
        let mut lines = vec![self.line(&first)];
        let others: Vec<&Hold> = live
            .into_iter()
            .filter(|hold| hold.organizer == first.organizer && hold.buyer == first.buyer)
            .collect();
        if self.chance.percent(25)
            && let Some(second) = self.chance.pick(&others)
        {
            lines.push(self.line(second));
        }
        let buyer = if self.chance.percent(96) { first.buyer.clone() } else { self.buyer() };
        let order = OrderId::derived("simulation", &format!("order-{}", self.count + 1));
        let wanted = PlaceOrder { buyer, lines };
        Some(self.call("place order", first.organizer, Wish::PlaceOrder(order, wanted)))
    }

    fn some_order(&mut self, known: &Known, wanted: impl Fn(&Order) -> bool) -> Option<Order> {
        let orders: Vec<&Order> = known.orders.iter().filter(|order| wanted(order)).collect();
        self.chance.pick(&orders).map(|order| (*order).clone())
    }

    pub(in super::super) fn pay(&mut self, known: &Known) -> Option<Call> {
        let order = match self.chance.percent(88) {
            true => {
                self.some_order(known, |order| !order.over && order.paid_minor < order.total_minor)
            }
            false => self.some_order(known, |_| true),
        }?;
        let due = order.total_minor.saturating_sub(order.paid_minor).max(1);
        let (amount_minor, partial) = match self.chance.below(100) {
            0..=69 => (due, false),
            70..=84 => ((due / 2).max(1), true),
            85..=89 => (due + 1, false),
            90..=94 => (due.saturating_sub(1), false),
            _ => (due, true),
        };
        let known_payment = self.chance.percent(8).then(|| order.payments.first().cloned());
        let fresh = format!("pay-{}", self.count + 1);
        let payment = known_payment.flatten().unwrap_or_else(|| name::<PaymentId>(&fresh));
        let euro = self.chance.percent(3);
        let currency = if euro { name::<Currency>("EUR") } else { Currency::JPY };
        let method = name(if self.chance.percent(70) { "card" } else { "konbini" });
        let payments = vec![Payment { payment, method, amount_minor }];
        let wish = Wish::Pay { order: order.id, payments, currency, partial };
        Some(self.call("pay", order.organizer, wish))
    }

    pub(super) fn cancel(&mut self, known: &Known) -> Option<Call> {
        let in_part = |order: &Order| (1..order.items.len()).contains(&order.cancelled.len());
        let again = if self.chance.percent(20) { self.some_order(known, in_part) } else { None };
        let order = again.or_else(|| self.some_order(known, |_| true))?;
        let items = match (self.chance.below(8), order.cancelled.first()) {
            (0..=1, _) => Vec::new(),
            (2..=3, Some(cancelled)) => vec![*cancelled],
            _ => vec![self.chance.between(1, order.items.len() as u64 + 1) as u16],
        };
        let refund = match self.chance.below(4) {
            0 => RefundPolicy::Nothing,
            1 => RefundPolicy::KeepFeeMinor(500),
            _ => RefundPolicy::Full,
        };
        let cancellation =
            CancellationId::derived("simulation", &format!("cancel-{}", self.count + 1));
        let even_if_used = self.chance.percent(25);
        let reason = name("都合により");
        let command = order::Command::Cancel { cancellation, items, refund, even_if_used, reason };
        Some(self.call("cancel", order.organizer, Wish::Cancel(order.id, command)))
    }

    pub(super) fn refund(&mut self, known: &Known) -> Option<Call> {
        let order = self.some_order(known, |order| order.paid_minor > 0)?;
        let refund = RefundId::derived("simulation", &format!("refund-{}", self.count + 1));
        let amount_minor = self.chance.between(1, order.total_minor + 500);
        let command = order::Command::RefundMoney { refund, amount_minor, currency: Currency::JPY };
        Some(self.ask("refund", order.organizer, order.id, command))
    }

    pub(super) fn reverse(&mut self, known: &Known) -> Option<Call> {
        let order = self.some_order(known, |order| !order.payments.is_empty())?;
        let payment = self.chance.pick(&order.payments)?.clone();
        let command = order::Command::ReversePayment { payment, reason: name("chargeback") };
        Some(self.ask("reverse", order.organizer, order.id, command))
    }

    pub(in super::super) fn retry_refund(&mut self, known: &Known) -> Option<Call> {
        let failed = self.chance.pick(&known.failed)?.clone();
        let refund = RefundId::derived("simulation", &format!("refund-{}", self.count + 1));
        let command = order::Command::RetryRefund { failed: failed.id, refund };
        Some(self.ask("retry refund", failed.organizer, failed.order, command))
    }
}
