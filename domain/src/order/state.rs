//! What the rules of an order remember, and what others may ask of it.

use serde::{Deserialize, Serialize};

use super::{
    command::MAX_PAYMENTS,
    events::{
        CancellationRequested, Event, Item, OrderPlaced, PaymentCaptured, PaymentReversed,
        RefundPolicy, RefundRequested,
    },
};
use crate::{
    money::{Currency, MAX_AMOUNT_MINOR},
    names::{BuyerRef, CancellationId, MoneyRef, PaymentId, PaymentMethod, RefundId},
};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Not everything is paid.
    Pending,
    /// All is paid, and the places are being sold.
    Paid,
    /// Every place is sold. After a chargeback something is due again: see [`State::due_minor`].
    Confirmed,
    /// A place was gone when the money came; all money goes back.
    Unfulfilled,
    /// Nothing of it is left.
    Cancelled,
}

/// An item as sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// What, for how much.
    #[serde(with = "crate::as_json")]
    pub item: Item,
    /// Its ticket is void and its place free.
    pub cancelled: bool,
}

/// Money that came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPayment {
    /// As its provider knows it.
    pub payment: PaymentId,
    /// How the money moved.
    pub method: PaymentMethod,
    /// How much.
    pub amount_minor: u64,
    /// What the payer's bank took back of it; nothing if it took nothing back.
    pub reversed_minor: Option<u64>,
    /// What has gone back or is on its way.
    pub refunded_minor: u64,
}

impl OrderPayment {
    /// What came in and was not taken back by the payer's bank.
    pub fn paid_minor(&self) -> u64 {
        self.amount_minor - self.reversed_minor.unwrap_or(0)
    }

    /// What can still go back.
    pub fn refundable_minor(&self) -> u64 {
        self.paid_minor() - self.refunded_minor
    }
}

/// How far a refund is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundState {
    /// The money is to go out.
    Requested,
    /// It has gone out.
    Settled {
        /// The provider's word for it.
        reference: MoneyRef,
    },
    /// It could not go out.
    Failed {
        /// The refund that tries again.
        retried_by: Option<RefundId>,
    },
}

/// Money on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRefund {
    /// What was asked for.
    #[serde(with = "crate::as_json")]
    pub request: RefundRequested,
    /// How far it is.
    pub state: RefundState,
}

/// A cancellation whose tickets are being voided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCancellation {
    /// What was asked for.
    #[serde(with = "crate::as_json")]
    pub request: CancellationRequested,
    /// Items of which it is not yet known whether they are cancelled or refused.
    pub open: Vec<u16>,
}

/// How an order that was never confirmed came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Ended {
    Cancelled,
    Unfulfilled,
}

/// What the rules remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    buyer: Option<BuyerRef>,
    currency: Option<Currency>,
    items: Vec<OrderItem>,
    total_minor: u64,
    /// What need not be paid any more since its item was cancelled while the order was in debt.
    waived_minor: u64,
    payments: Vec<OrderPayment>,
    refunds: Vec<OrderRefund>,
    /// Nothing was due once; the payer's bank may have taken money back since.
    paid_once: bool,
    confirmed: bool,
    ended: Option<Ended>,
    pending: Option<PendingCancellation>,
    completed: Vec<CancellationId>,
}

impl State {
    /// Whose it is; nobody's before it is placed.
    pub fn buyer(&self) -> Option<&BuyerRef> {
        self.buyer.as_ref()
    }

    /// Of every amount; none before it is placed.
    pub fn currency(&self) -> Option<Currency> {
        self.currency
    }

    /// All items as sold, cancelled ones too; item `n` stands at `n - 1`.
    pub fn items(&self) -> &[OrderItem] {
        &self.items
    }

    /// The item with this number.
    pub fn item(&self, number: u16) -> Option<&OrderItem> {
        self.items.get(usize::from(number).checked_sub(1)?)
    }

    /// The numbers of the items that are not cancelled.
    pub fn live_items(&self) -> impl Iterator<Item = u16> {
        self.items.iter().filter(|i| !i.cancelled).map(|i| i.item.item)
    }

    /// The sum of the prices as sold, cancelled items included.
    pub fn total_minor(&self) -> u64 {
        self.total_minor
    }

    /// What came in, less what the payers' banks took back.
    pub fn paid_minor(&self) -> u64 {
        self.payments.iter().map(OrderPayment::paid_minor).sum()
    }

    /// What has gone back or is on its way; failed refunds do not count.
    pub fn refunded_minor(&self) -> u64 {
        self.payments.iter().map(|p| p.refunded_minor).sum()
    }

    /// What can still go back.
    pub fn refundable_minor(&self) -> u64 {
        self.payments.iter().map(OrderPayment::refundable_minor).sum()
    }

    /// What is still to be paid; nothing once the order is over.
    pub fn due_minor(&self) -> u64 {
        if self.is_over() {
            0
        } else {
            self.total_minor.saturating_sub(self.waived_minor).saturating_sub(self.paid_minor())
        }
    }

    /// Where it stands.
    pub fn status(&self) -> OrderStatus {
        match self.ended {
            Some(Ended::Unfulfilled) => OrderStatus::Unfulfilled,
            Some(Ended::Cancelled) => OrderStatus::Cancelled,
            None if self.confirmed && self.live_items().next().is_none() => OrderStatus::Cancelled,
            None if self.confirmed => OrderStatus::Confirmed,
            None if self.paid_once => OrderStatus::Paid,
            None => OrderStatus::Pending,
        }
    }

    /// It was placed.
    pub fn exists(&self) -> bool {
        self.buyer.is_some()
    }

    /// It was confirmed once, whatever was cancelled since.
    pub fn was_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Nothing of it can be sold or used any more.
    pub fn is_over(&self) -> bool {
        self.ended.is_some() || (self.confirmed && self.live_items().next().is_none())
    }

    /// The cancellation that is under way.
    pub fn pending_cancellation(&self) -> Option<&PendingCancellation> {
        self.pending.as_ref()
    }

    /// The cancellation was asked for, and every item of it is cancelled or refused.
    pub fn is_cancellation_complete(&self, cancellation: CancellationId) -> bool {
        self.completed.contains(&cancellation)
    }

    /// All money that came in, in the order in which it came.
    pub fn payments(&self) -> &[OrderPayment] {
        &self.payments
    }

    /// The payment with this id.
    pub fn payment(&self, payment: &PaymentId) -> Option<&OrderPayment> {
        self.payments.iter().find(|p| p.payment == *payment)
    }

    /// All refunds, in the order in which they were asked for.
    pub fn refunds(&self) -> &[OrderRefund] {
        &self.refunds
    }

    /// The refund with this id.
    pub fn refund(&self, refund: RefundId) -> Option<&OrderRefund> {
        self.refunds.iter().find(|r| r.request.refund == refund)
    }

    /// What the buyer is credited when these items of the pending cancellation are cancelled.
    pub(super) fn credit_minor(&self, policy: RefundPolicy, items: &[u16]) -> u64 {
        policy.credit_minor(items.iter().filter_map(|n| self.item(*n)).map(|i| i.item.price_minor))
    }

    fn payment_mut(&mut self, payment: &PaymentId) -> &mut OrderPayment {
        let found = self.payments.iter_mut().find(|p| p.payment == *payment);
        found.expect("only captured payments are reversed or refunded")
    }

    fn refund_mut(&mut self, refund: RefundId) -> &mut OrderRefund {
        let found = self.refunds.iter_mut().find(|r| r.request.refund == refund);
        found.expect("only requested refunds are settled, fail or are retried")
    }

    fn answer(&mut self, items: &[u16]) {
        let pending = self.pending.as_mut().expect("only a requested cancellation is answered");
        pending.open.retain(|item| !items.contains(item));
        if pending.open.is_empty() {
            self.completed.push(pending.request.cancellation);
            self.pending = None;
        }
    }

    fn placed(&mut self, event: &OrderPlaced) {
        assert!(!self.exists(), "an order is placed once");
        let mut prices = event.items.iter().map(|item| item.price_minor);
        let sum = prices.try_fold(0_u64, u64::checked_add);
        assert!(sum == Some(event.total_minor), "the total is the sum of the prices");
        assert!(event.total_minor <= MAX_AMOUNT_MINOR, "a total beyond all bounds");
        self.buyer = Some(event.buyer.clone());
        self.currency = Some(event.currency);
        self.total_minor = event.total_minor;
        let as_sold = |item: &Item| OrderItem { item: item.clone(), cancelled: false };
        self.items = event.items.iter().map(as_sold).collect();
    }

    fn captured(&mut self, event: &PaymentCaptured) {
        assert!(event.amount_minor <= MAX_AMOUNT_MINOR, "an amount beyond all bounds");
        assert!(self.payments.len() < MAX_PAYMENTS, "more payments than an order has");
        self.payments.push(OrderPayment {
            payment: event.payment.clone(),
            method: event.method.clone(),
            amount_minor: event.amount_minor,
            reversed_minor: None,
            refunded_minor: 0,
        });
    }

    fn reversed(&mut self, event: &PaymentReversed) {
        let payment = self.payment_mut(&event.payment);
        assert!(payment.reversed_minor.is_none(), "a payment is taken back once");
        let left = payment.refundable_minor();
        assert!(event.amount_minor <= left, "more is taken back than there is");
        payment.reversed_minor = Some(event.amount_minor);
    }

    fn items_cancelled(&mut self, items: &[u16]) {
        let policy = self.pending.as_ref().map_or(RefundPolicy::Nothing, |p| p.request.refund);
        self.waived_minor += self.credit_minor(policy, items).min(self.due_minor());
        for item in &mut self.items {
            item.cancelled |= items.contains(&item.item.item);
        }
        self.answer(items);
    }

    fn refund_requested(&mut self, event: &RefundRequested) {
        let payment = self.payment_mut(&event.payment);
        let left = payment.refundable_minor();
        assert!(event.amount_minor <= left, "more goes back than came in");
        payment.refunded_minor += event.amount_minor;
        if let Some(failed) = event.retries {
            self.refund_mut(failed).state = RefundState::Failed { retried_by: Some(event.refund) };
        }
        self.refunds.push(OrderRefund { request: event.clone(), state: RefundState::Requested });
    }

    fn refund_failed(&mut self, refund: RefundId) {
        let found = self.refund_mut(refund);
        assert!(found.state == RefundState::Requested, "only a refund under way fails");
        found.state = RefundState::Failed { retried_by: None };
        let RefundRequested { payment, amount_minor, .. } = found.request.clone();
        let payment = self.payment_mut(&payment);
        let left = payment.refunded_minor.checked_sub(amount_minor);
        payment.refunded_minor = left.expect("what fails was on its way");
    }
}

/// Folds one event in.
pub(super) fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::OrderPlaced(e) => state.placed(e),
        Event::PaymentCaptured(e) => state.captured(e),
        Event::PaymentReversed(e) => state.reversed(e),
        Event::OrderPaid(_) => state.paid_once = true,
        Event::OrderConfirmed(_) => state.confirmed = true,
        Event::OrderUnfulfilled(_) => state.ended = Some(Ended::Unfulfilled),
        Event::CancellationRequested(e) => {
            let open = e.items.clone();
            state.pending = Some(PendingCancellation { request: e.clone(), open });
        }
        Event::ItemsCancelled(e) => state.items_cancelled(&e.items),
        Event::CancellationRefused(e) => state.answer(&e.items),
        Event::OrderCancelled(_) => state.ended = Some(Ended::Cancelled),
        Event::RefundRequested(e) => state.refund_requested(e),
        Event::RefundSettled(e) => {
            state.refund_mut(e.refund).state =
                RefundState::Settled { reference: e.reference.clone() };
        }
        Event::RefundFailed(e) => state.refund_failed(e.refund),
    }
}
