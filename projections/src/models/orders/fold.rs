//! From the events of an order to rows.

use hakken_domain::{
    Event,
    envelope::{Decoded, StoredEvent},
    names::{CancellationId, OrderId, RefundId},
    order,
};

use super::{
    ByShow, OrderItem, OrderStatus, OrderView, PaymentView, PendingCancellation, RefundStatus,
    RefundView,
};
use crate::{
    cache::{AnyRows, Cache},
    projection::{Fold, Inconsistent},
};

/// The fold.
#[derive(Default)]
pub(super) struct OrderFold {
    orders: Cache<OrderView>,
    by_show: Cache<ByShow>,
    refunds: Cache<RefundView>,
}

impl Fold for OrderFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![&mut self.orders, &mut self.by_show, &mut self.refunds]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        use order::Event as E;
        let Event::Order(fact) = &decoded.event else { return };
        self.orders.need(&OrderId(event.stream.id));
        match fact {
            E::RefundRequested(fact) => self.refunds.need(&fact.refund),
            E::RefundSettled(fact) => self.refunds.need(&fact.refund),
            E::RefundFailed(fact) => self.refunds.need(&fact.refund),
            E::OrderPlaced(_)
            | E::PaymentCaptured(_)
            | E::PaymentReversed(_)
            | E::OrderPaid(_)
            | E::OrderConfirmed(_)
            | E::OrderUnfulfilled(_)
            | E::CancellationRequested(_)
            | E::ItemsCancelled(_)
            | E::CancellationRefused(_)
            | E::OrderCancelled(_) => {}
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        let Event::Order(fact) = &decoded.event else { return Ok(()) };
        let id = OrderId(event.stream.id);
        let before = self.orders.get(&id).map(|order| order.status);
        self.apply_order(id, event, decoded, fact)?;
        let after = self.orders.get(&id).map(|order| order.status);
        if before != after
            && let Some(order) = self.orders.get(&id)
        {
            for show in order.shows() {
                let by_show = ByShow {
                    position: order.position,
                    organizer: order.organizer,
                    buyer: order.buyer.clone(),
                    status: order.status.as_str().to_owned(),
                };
                self.by_show.put((show, id), by_show);
            }
        }
        Ok(())
    }
}

fn unknown_order(order: OrderId) -> Inconsistent {
    Inconsistent(format!("order {order} was never placed"))
}

fn unknown_refund(refund: RefundId) -> Inconsistent {
    Inconsistent(format!("refund {refund} was never requested"))
}

impl OrderFold {
    fn apply_order(
        &mut self,
        id: OrderId,
        event: &StoredEvent,
        decoded: &Decoded,
        fact: &order::Event,
    ) -> Result<(), Inconsistent> {
        use order::Event as E;
        if let E::OrderPlaced(placed) = fact {
            self.orders.put(id, pending(id, event, decoded, placed));
            return Ok(());
        }
        let order = self.orders.get_mut(&id).ok_or_else(|| unknown_order(id))?;
        match fact {
            E::OrderPlaced(_) => {}
            E::PaymentCaptured(captured) => {
                order.captured_minor += captured.amount_minor;
                order.payments.push(PaymentView {
                    payment: captured.payment.clone(),
                    method: captured.method.clone(),
                    amount_minor: captured.amount_minor,
                    reversed_minor: 0,
                    captured_at: event.recorded_at,
                });
            }
            E::PaymentReversed(reversed) => {
                order.reversed_minor += reversed.amount_minor;
                let mut payments = order.payments.iter_mut();
                if let Some(payment) = payments.find(|p| p.payment == reversed.payment) {
                    payment.reversed_minor += reversed.amount_minor;
                }
            }
            // A debt that a chargeback left may be paid later: then it is confirmed already.
            E::OrderPaid(_) if order.status != OrderStatus::Pending => {}
            E::OrderPaid(_) => order.status = OrderStatus::Paid,
            E::OrderConfirmed(_) => order.status = OrderStatus::Confirmed,
            E::OrderUnfulfilled(fact) => {
                order.status = OrderStatus::Unfulfilled;
                order.lost_hold = Some(fact.hold);
            }
            E::CancellationRequested(fact) => {
                order.pending_cancellation = Some(PendingCancellation {
                    cancellation: fact.cancellation,
                    items: fact.items.clone(),
                    refund: fact.refund,
                    reason: fact.reason.clone(),
                });
            }
            E::ItemsCancelled(fact) => {
                waive(order, &fact.items);
                for item in order.items.iter_mut().filter(|i| fact.items.contains(&i.item.item)) {
                    item.cancelled = true;
                }
                if order.items.iter().all(|item| item.cancelled) {
                    order.status = OrderStatus::Cancelled;
                }
                end_cancellation(order, fact.cancellation, &fact.items);
            }
            E::CancellationRefused(fact) => {
                end_cancellation(order, fact.cancellation, &fact.items);
            }
            E::OrderCancelled(fact) => {
                order.status = OrderStatus::Cancelled;
                order.cancelled_because = Some(fact.reason.clone());
            }
            E::RefundRequested(fact) => {
                order.refund_requested_minor += fact.amount_minor;
                order.refunds.push(fact.refund);
                let refund = requested(id, order, event, fact);
                self.refunds.put(fact.refund, refund);
            }
            E::RefundSettled(fact) => {
                let refund =
                    self.refunds.get_mut(&fact.refund).ok_or(unknown_refund(fact.refund))?;
                refund.status = RefundStatus::Settled;
                refund.reference = Some(fact.reference.clone());
                refund.ended_at = Some(event.recorded_at);
                order.refund_settled_minor += refund.amount_minor;
            }
            E::RefundFailed(fact) => {
                let refund =
                    self.refunds.get_mut(&fact.refund).ok_or(unknown_refund(fact.refund))?;
                refund.status = RefundStatus::Failed;
                refund.failure = Some(fact.reason.clone());
                refund.ended_at = Some(event.recorded_at);
                let requested = &mut order.refund_requested_minor;
                *requested = requested.saturating_sub(refund.amount_minor);
            }
        }
        Ok(())
    }
}

/// What is credited for cancelled items first settles what is due.
fn waive(order: &mut OrderView, items: &[u16]) {
    let Some(pending) = &order.pending_cancellation else { return };
    let cancelled = order.items.iter().filter(|item| items.contains(&item.item.item));
    let credit = pending.refund.credit_minor(cancelled.map(|item| item.item.price_minor));
    order.waived_minor += credit.min(order.due_minor());
}

/// Part of a cancellation is decided; when all of it is, none is pending any more.
fn end_cancellation(order: &mut OrderView, cancellation: CancellationId, items: &[u16]) {
    let pending = order.pending_cancellation.as_mut();
    if let Some(pending) = pending.filter(|pending| pending.cancellation == cancellation) {
        pending.items.retain(|item| !items.contains(item));
        if pending.items.is_empty() {
            order.pending_cancellation = None;
        }
    }
}

fn requested(
    id: OrderId,
    order: &OrderView,
    event: &StoredEvent,
    fact: &order::RefundRequested,
) -> RefundView {
    RefundView {
        refund: fact.refund,
        organizer: order.organizer,
        order: id,
        payment: fact.payment.clone(),
        amount_minor: fact.amount_minor,
        currency: order.currency,
        cause: fact.cause,
        status: RefundStatus::Requested,
        reference: None,
        failure: None,
        requested_at: event.recorded_at,
        ended_at: None,
        position: event.position,
    }
}

fn pending(
    id: OrderId,
    event: &StoredEvent,
    decoded: &Decoded,
    placed: &order::OrderPlaced,
) -> OrderView {
    let items = placed.items.iter().cloned();
    OrderView {
        order: id,
        organizer: decoded.meta.organizer,
        buyer: placed.buyer.clone(),
        status: OrderStatus::Pending,
        currency: placed.currency,
        items: items.map(|item| OrderItem { item, cancelled: false }).collect(),
        total_minor: placed.total_minor,
        captured_minor: 0,
        reversed_minor: 0,
        waived_minor: 0,
        refund_requested_minor: 0,
        refund_settled_minor: 0,
        payments: Vec::new(),
        refunds: Vec::new(),
        pending_cancellation: None,
        lost_hold: None,
        cancelled_because: None,
        placed_at: event.recorded_at,
        position: event.position,
    }
}
