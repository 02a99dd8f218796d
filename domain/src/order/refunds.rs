//! Which payments a refund is taken from, and the ids of its parts.

use super::{
    events::{Event, RefundCause, RefundRequested},
    state::{OrderPayment, State},
};
use crate::names::{CancellationId, HoldId, PaymentId, RefundId};

/// What a refund answers to. Together with the payment it gives the refund its id, so that the
/// same decision always makes the same refund. No two refunds of an order come from the same
/// origin and payment: a cancellation is answered once, an order fails once, a payment is
/// captured once.
pub(super) enum Origin<'a> {
    /// Items were cancelled, or the whole unconfirmed order.
    Cancellation(CancellationId),
    /// The places of this hold were gone.
    Unfulfilled(HoldId),
    /// The payment came when the order was over. A payment's id may be known to several orders
    /// (`cash`), and a buyer may have several; the hold of the first item tells them apart.
    Late(&'a State),
    /// The organizer's own refund of this id.
    Goodwill(RefundId),
}

impl Origin<'_> {
    /// The id of the part that is taken from a payment.
    pub(super) fn refund_of(&self, payment: &PaymentId) -> RefundId {
        match self {
            Self::Cancellation(id) => RefundId::derived("cancellation", &format!("{id} {payment}")),
            Self::Unfulfilled(hold) => {
                RefundId::derived("unfulfilled", &format!("{hold} {payment}"))
            }
            Self::Late(order) => {
                let hold = order.items().first().map(|item| item.item.hold);
                let hold = hold.expect("only a placed order is paid");
                let buyer = order.buyer().expect("only a placed order is paid");
                RefundId::derived("late", &format!("{hold} {buyer} {payment}"))
            }
            Self::Goodwill(id) => RefundId::derived("goodwill", &format!("{id} {payment}")),
        }
    }

    fn cause(&self) -> RefundCause {
        match self {
            Self::Cancellation(_) => RefundCause::Cancelled,
            Self::Unfulfilled(_) => RefundCause::Unfulfilled,
            Self::Late(_) => RefundCause::PaidAfterCancellation,
            Self::Goodwill(_) => RefundCause::Goodwill,
        }
    }

    /// The refund of one part.
    pub(super) fn request(&self, payment: &PaymentId, amount_minor: u64) -> Event {
        Event::RefundRequested(RefundRequested {
            refund: self.refund_of(payment),
            payment: payment.clone(),
            amount_minor,
            cause: self.cause(),
            retries: None,
        })
    }
}

/// Takes an amount, which must be refundable, from as few payments as it can: the first one of
/// exactly that amount, else the smallest that has more, else the largest ones first. Equal ones
/// in the order in which they came. Amounts are never 0.
pub(super) fn split(payments: &[OrderPayment], amount_minor: u64) -> Vec<(&PaymentId, u64)> {
    let mut by_size: Vec<&OrderPayment> =
        payments.iter().filter(|p| p.refundable_minor() > 0).collect();
    by_size.sort_by_key(|p| p.refundable_minor());
    if amount_minor == 0 {
        return Vec::new();
    }
    // The smallest that has enough is the one with exactly the amount, if there is one.
    if let Some(one) = by_size.iter().find(|p| p.refundable_minor() >= amount_minor) {
        return vec![(&one.payment, amount_minor)];
    }
    by_size.sort_by_key(|p| std::cmp::Reverse(p.refundable_minor()));
    let mut left = amount_minor;
    let mut parts = Vec::new();
    for payment in by_size {
        let part = payment.refundable_minor().min(left);
        if part > 0 {
            parts.push((&payment.payment, part));
            left -= part;
        }
    }
    assert_eq!(left, 0, "more was to be refunded than was refundable");
    parts
}

/// One `RefundRequested` for each payment that the amount is taken from.
pub(super) fn refund(state: &State, origin: &Origin<'_>, amount_minor: u64) -> Vec<Event> {
    split(state.payments(), amount_minor)
        .into_iter()
        .map(|(payment, part)| origin.request(payment, part))
        .collect()
}
