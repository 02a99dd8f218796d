//! What everybody who acts may know: what the recorded events say. Actors choose from it, and
//! choose wrongly often enough.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hakken_domain::{
    Command, Event,
    envelope::StoredEvent,
    inventory::{self, Places},
    names::{
        Allotment, BuyerRef, HoldId, OrderId, OrganizerId, PaymentId, PoolId, RefundId, SeatId,
        ShowId, TicketId,
    },
    order::{self, Item},
    organizer, show, ticket,
};

use super::call::{Answer, Call, Wish};

/// A show on sale.
#[derive(Debug, Clone)]
pub(super) struct Show {
    pub(super) id: ShowId,
    pub(super) organizer: OrganizerId,
    pub(super) seats: Vec<SeatId>,
    pub(super) pools: Vec<PoolId>,
    pub(super) legs: u8,
    pub(super) blocked: Vec<SeatId>,
    pub(super) allotments: Vec<Allotment>,
}

/// A hold.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) id: HoldId,
    pub(super) show: ShowId,
    pub(super) organizer: OrganizerId,
    pub(super) buyer: BuyerRef,
    pub(super) places: Places,
    pub(super) live: bool,
}

/// An order.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) organizer: OrganizerId,
    pub(super) items: Vec<Item>,
    pub(super) total_minor: u64,
    pub(super) paid_minor: u64,
    pub(super) payments: Vec<PaymentId>,
    pub(super) cancelled: Vec<u16>,
    pub(super) confirmed: bool,
    pub(super) over: bool,
}

/// A refund that failed.
#[derive(Debug, Clone)]
pub(super) struct FailedRefund {
    pub(super) id: RefundId,
    pub(super) order: OrderId,
    pub(super) organizer: OrganizerId,
}

/// A ticket.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) id: TicketId,
    pub(super) show: ShowId,
    pub(super) order: OrderId,
    pub(super) organizer: OrganizerId,
    pub(super) suspended: bool,
    /// The code key of each generation.
    pub(super) keys: Vec<u8>,
}

/// What is known when a step begins.
pub(super) struct Before {
    disabled: BTreeSet<(OrganizerId, u8)>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) shows: Vec<Show>,
    pub(super) holds: Vec<Hold>,
    pub(super) orders: Vec<Order>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) failed: Vec<FailedRefund>,
    /// On sale or not.
    pub(super) scheduled: Vec<(ShowId, OrganizerId)>,
    disabled: BTreeSet<(OrganizerId, u8)>,
    /// Refunds that wait for the provider.
    pub(super) requested: BTreeMap<RefundId, u64>,
    /// What the provider has moved, as recorded.
    pub(super) settled_minor: u64,
    amounts: BTreeMap<RefundId, u64>,
}

impl Known {
    /// Takes the events in that come next.
    pub(super) fn read_on(&mut self, events: &[Arc<StoredEvent>]) {
        for stored in events {
            let decoded = stored.decoded().expect("the engine's own events");
            // Everything here belongs to an organizer but what the sweeper finds.
            let Some(organizer) = decoded.meta.organizer else { continue };
            match &decoded.event {
                Event::Inventory(event) => {
                    self.inventory(ShowId(stored.stream.id), organizer, event)
                }
                Event::Order(event) => self.order(OrderId(stored.stream.id), organizer, event),
                Event::Ticket(event) => self.ticket(TicketId(stored.stream.id), organizer, event),
                Event::Show(show::Event::ShowScheduled(_)) => {
                    self.scheduled.push((ShowId(stored.stream.id), organizer));
                }
                Event::Organizer(organizer::Event::CodeKeyDisabled(key)) => {
                    self.disabled.insert((organizer, key.code_key));
                }
                _ => {}
            }
        }
    }

    fn ticket_mut(&mut self, id: TicketId) -> &mut Ticket {
        let known = self.tickets.iter_mut().find(|known| known.id == id);
        known.expect("a ticket is made first")
    }

    fn ticket(&mut self, id: TicketId, organizer: OrganizerId, event: &ticket::Event) {
        use ticket::Event as E;
        let key = match event {
            E::TicketCreated(created) => {
                let (show, order) = (created.show, created.order);
                let (keys, suspended) = (Vec::new(), false);
                return self.tickets.push(Ticket { id, show, order, organizer, suspended, keys });
            }
            E::TicketIssued(issued) => issued.code_key,
            E::TicketReissued(reissued) => reissued.code_key,
            E::TicketSuspended(_) | E::TicketReinstated(_) => {
                self.ticket_mut(id).suspended = matches!(event, E::TicketSuspended(_));
                return;
            }
            E::TicketVoided(_) | E::TicketEntered(_) | E::TicketExited(_) | E::ScanRefused(_) => {
                return;
            }
        };
        self.ticket_mut(id).keys.push(key);
    }

    pub(super) fn is_on_sale(&self, show: ShowId) -> bool {
        self.shows.iter().any(|known| known.id == show)
    }

    /// What a step begins with.
    pub(super) fn before(&self) -> Before {
        Before { disabled: self.disabled.clone() }
    }

    /// Says what is wrong with an answer, by what is recorded now and was when the step began.
    pub(super) fn judge(
        &self,
        call: &Call,
        answer: &Answer,
        before: &Before,
    ) -> Result<(), String> {
        let Answer::Done(receipt) = answer else { return Ok(()) };
        if receipt.events.is_empty() && !self.is_so(&call.wish) {
            return Err(format!("{} was answered that it is so already, but it is not", call.key));
        }
        if receipt.repeated {
            return Ok(());
        }
        for event in &receipt.events {
            let decoded = event.decoded().map_err(ToString::to_string)?;
            let Event::Ticket(ticket::Event::TicketEntered(scan)) = &decoded.event else {
                continue;
            };
            let known = self.tickets.iter().find(|known| known.id.0 == event.stream.id);
            let known = known.ok_or("a ticket that nobody made came in")?;
            let key = known.keys.get(usize::from(scan.generation) - 1);
            if key.is_some_and(|key| before.disabled.contains(&(known.organizer, *key))) {
                return Err(format!("{}: a code of a disabled key came in", call.key));
            }
        }
        Ok(())
    }

    /// Is what is wished so, as far as that can be told without the rules?
    fn is_so(&self, wish: &Wish) -> bool {
        let order = |id: &OrderId| self.orders.iter().find(|order| order.id == *id);
        match wish {
            Wish::Ask(_, command) => match &**command {
                Command::Inventory(inventory::Command::HoldSeats(wanted)) => {
                    self.holds.iter().any(|hold| hold.id == wanted.hold)
                }
                Command::Inventory(inventory::Command::ReleaseHold { hold }) => {
                    self.holds.iter().any(|known| known.id == *hold && !known.live)
                }
                Command::Order(order::Command::RefundMoney { .. }) => false,
                _ => true,
            },
            Wish::PlaceOrder(id, _) => order(id).is_some(),
            Wish::Pay { order: id, payments, .. } => order(id).is_some_and(|order| {
                payments.iter().all(|payment| order.payments.contains(&payment.payment))
            }),
            Wish::Cancel(id, _) => order(id).is_some_and(|order| order.over),
            Wish::Scan(_) | Wish::Issue(..) | Wish::Reissue(..) => false,
            Wish::OpenSales(show, _) => self.is_on_sale(*show),
            Wish::CallOff(..) | Wish::Code(..) => true,
        }
    }

    /// Nobody tries this refund again.
    pub(super) fn forget_failed(&mut self, retry: &Call) {
        if let Wish::Ask(_, command) = &retry.wish
            && let Command::Order(order::Command::RetryRefund { failed, .. }) = &**command
        {
            self.failed.retain(|known| known.id != *failed);
        }
    }

    fn show_mut(&mut self, show: ShowId) -> &mut Show {
        self.shows.iter_mut().find(|known| known.id == show).expect("a show is on sale first")
    }

    fn inventory(&mut self, show: ShowId, organizer: OrganizerId, event: &inventory::Event) {
        use inventory::Event as E;
        match event {
            E::SalesOpened(opened) => self.shows.push(Show {
                id: show,
                organizer,
                seats: opened.seat_map.seats().map(|seat| seat.id.clone()).collect(),
                pools: opened.seat_map.pools.iter().map(|pool| pool.id.clone()).collect(),
                legs: opened.legs,
                blocked: Vec::new(),
                allotments: Vec::new(),
            }),
            E::SeatsBlocked(blocked) => {
                self.show_mut(show).blocked.extend(blocked.seats.iter().cloned());
            }
            E::SeatsUnblocked(back) => {
                self.show_mut(show).blocked.retain(|seat| !back.seats.contains(seat));
            }
            E::AllotmentSet(set) => {
                let allotments = &mut self.show_mut(show).allotments;
                if !allotments.contains(&set.allotment) {
                    allotments.push(set.allotment.clone());
                }
            }
            E::SeatsHeld(held) => self.holds.push(Hold {
                id: held.hold,
                show,
                organizer,
                buyer: held.buyer.clone(),
                places: held.places.clone(),
                live: true,
            }),
            E::HoldConfirmed(over) | E::OrderReseated(over) => self.hold_ends(over.hold),
            E::HoldReleased(over) | E::HoldExpired(over) => self.hold_ends(over.hold),
            E::SalesRulesChanged(_)
            | E::SalesClosed(_)
            | E::HoldExtended(_)
            | E::PlacesReturned(_) => {}
        }
    }

    fn hold_ends(&mut self, hold: HoldId) {
        for known in self.holds.iter_mut().filter(|known| known.id == hold) {
            known.live = false;
        }
    }

    fn order(&mut self, id: OrderId, organizer: OrganizerId, event: &order::Event) {
        use order::Event as E;
        if let E::OrderPlaced(placed) = event {
            self.orders.push(Order {
                id,
                organizer,
                items: placed.items.clone(),
                total_minor: placed.total_minor,
                paid_minor: 0,
                payments: Vec::new(),
                cancelled: Vec::new(),
                confirmed: false,
                over: false,
            });
            return;
        }
        let known = self.orders.iter_mut().find(|known| known.id == id);
        let known = known.expect("an order is placed first");
        match event {
            E::PaymentCaptured(payment) => {
                known.paid_minor += payment.amount_minor;
                known.payments.push(payment.payment.clone());
            }
            E::PaymentReversed(payment) => known.paid_minor -= payment.amount_minor,
            E::OrderConfirmed(_) => known.confirmed = true,
            E::ItemsCancelled(cancelled) => known.cancelled.extend(&cancelled.items),
            E::OrderUnfulfilled(_) | E::OrderCancelled(_) => known.over = true,
            E::RefundRequested(refund) => {
                self.requested.insert(refund.refund, refund.amount_minor);
                self.amounts.insert(refund.refund, refund.amount_minor);
                self.failed.retain(|failed| Some(failed.id) != refund.retries);
            }
            E::RefundSettled(refund) => {
                self.requested.remove(&refund.refund);
                self.settled_minor += self.amounts.get(&refund.refund).copied().unwrap_or(0);
            }
            E::RefundFailed(refund) => {
                self.requested.remove(&refund.refund);
                self.failed.push(FailedRefund { id: refund.refund, order: id, organizer });
            }
            E::OrderPlaced(_)
            | E::OrderPaid(_)
            | E::CancellationRequested(_)
            | E::CancellationRefused(_) => {}
        }
    }
}
