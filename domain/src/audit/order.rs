//! Where the money is.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    names::{PaymentId, RefundId},
    order::{self, Item},
    time::Timestamp,
};

use super::must;

#[derive(Default)]
pub(super) struct Order {
    pub(super) items: Vec<Item>,
    pub(super) cancelled: BTreeSet<u16>,
    pub(super) paid: bool,
    pub(super) confirmed: bool,
    pub(super) over: bool,
    pub(super) pending: usize,
    /// When something happened to it for the last time.
    pub(super) touched: Timestamp,
    total_minor: u64,
    payments: BTreeMap<PaymentId, Payment>,
    refunds: BTreeMap<RefundId, Refund>,
}

#[derive(Default)]
struct Payment {
    captured_minor: u64,
    reversed_minor: Option<u64>,
}

struct Refund {
    payment: PaymentId,
    amount_minor: u64,
    state: RefundState,
}

#[derive(PartialEq)]
enum RefundState {
    Requested,
    Settled,
    Failed,
}

impl Order {
    /// What came in and was not taken back.
    pub(super) fn paid_minor(&self) -> u64 {
        let paid = |p: &Payment| p.captured_minor.saturating_sub(p.reversed_minor.unwrap_or(0));
        self.payments.values().map(paid).sum()
    }

    /// What goes or went out.
    pub(super) fn out_minor(&self) -> u64 {
        self.refunds
            .values()
            .filter(|r| r.state != RefundState::Failed)
            .map(|r| r.amount_minor)
            .sum()
    }

    pub(super) fn at_rest(&self) -> Result<(), String> {
        must!(self.pending == 0, "has a cancellation under way");
        let (paid, out) = (self.paid_minor(), self.out_minor());
        if self.over {
            must!(out == paid, "is over with {paid} in, {out} out");
        } else if self.paid {
            must!(self.confirmed, "is paid, but neither confirmed nor over");
        }
        Ok(())
    }

    pub(super) fn event(&mut self, event: &order::Event) -> Result<(), String> {
        use order::Event as E;
        match event {
            E::OrderPlaced(placed) => {
                must!(self.items.is_empty(), "placed twice");
                let sum: u64 = placed.items.iter().map(|item| item.price_minor).sum();
                must!(sum == placed.total_minor, "the items' prices are not the total");
                self.total_minor = sum;
                self.items.clone_from(&placed.items);
            }
            E::PaymentCaptured(captured) => {
                let captured_minor = captured.amount_minor;
                let payment = Payment { captured_minor, reversed_minor: None };
                let before = self.payments.insert(captured.payment.clone(), payment);
                must!(before.is_none(), "payment {} twice", captured.payment);
                let (paid, total) = (self.paid_minor(), self.total_minor);
                must!(self.is_over() || paid <= total, "{paid} is paid of {total}");
            }
            E::PaymentReversed(reversed) => {
                let (payment, amount) = (&reversed.payment, reversed.amount_minor);
                let known = self.payments.get_mut(payment).ok_or("an unknown payment reversed")?;
                must!(known.reversed_minor.is_none(), "payment {payment} is reversed twice");
                known.reversed_minor = Some(amount);
                self.covered(payment)?;
            }
            E::OrderPaid(paid) => {
                let in_minor = self.paid_minor();
                must!(paid.paid_minor == in_minor, "paid {}, but {in_minor} came", paid.paid_minor);
                self.paid = true;
            }
            E::OrderConfirmed(_) => {
                must!(self.paid && !self.over, "confirmed without being paid");
                must!(!self.confirmed, "confirmed twice");
                self.confirmed = true;
            }
            E::OrderUnfulfilled(_) | E::OrderCancelled(_) => {
                must!(!self.confirmed && !self.over, "over in spite of being confirmed or over");
                self.over = true;
            }
            E::CancellationRequested(_) => {
                must!(self.confirmed, "a cancellation of what was not confirmed");
                self.pending += 1;
            }
            E::ItemsCancelled(cancelled) => {
                for item in &cancelled.items {
                    must!(self.cancelled.insert(*item), "item {item} is cancelled twice");
                }
                self.pending = 0;
            }
            E::CancellationRefused(_) => self.pending = 0,
            E::RefundRequested(refund) => {
                let (payment, amount_minor) = (refund.payment.clone(), refund.amount_minor);
                must!(self.payments.contains_key(&payment), "a refund of an unknown payment");
                if let Some(failed) = refund.retries {
                    let known = self.refunds.get(&failed);
                    let failed = known.is_some_and(|known| known.state == RefundState::Failed);
                    must!(failed, "a refund that did not fail is tried again");
                }
                let new = Refund { payment, amount_minor, state: RefundState::Requested };
                must!(self.refunds.insert(refund.refund, new).is_none(), "a refund twice");
                self.covered(&refund.payment)?;
            }
            E::RefundSettled(settled) => self.answered(settled.refund, RefundState::Settled)?,
            E::RefundFailed(failed) => self.answered(failed.refund, RefundState::Failed)?,
        }
        Ok(())
    }

    /// Every item is cancelled, or none was ever confirmed.
    fn is_over(&self) -> bool {
        self.over || (self.confirmed && self.cancelled.len() == self.items.len())
    }

    fn answered(&mut self, refund: RefundId, state: RefundState) -> Result<(), String> {
        let known = self.refunds.get_mut(&refund).ok_or("an unknown refund is answered")?;
        must!(known.state == RefundState::Requested, "refund {refund} is answered twice");
        known.state = state;
        Ok(())
    }

    /// No more of a payment goes out, back to the payer or to the bank, than came in.
    fn covered(&self, payment: &PaymentId) -> Result<(), String> {
        let Payment { captured_minor, reversed_minor } =
            self.payments.get(payment).ok_or("a refund of an unknown payment")?;
        let refunds = self.refunds.values().filter(|refund| refund.payment == *payment);
        let live = refunds.filter(|refund| refund.state != RefundState::Failed);
        let out = live.map(|r| r.amount_minor).sum::<u64>() + reversed_minor.unwrap_or(0);
        must!(out <= *captured_minor, "{out} of {captured_minor} of payment {payment} goes out");
        Ok(())
    }
}
