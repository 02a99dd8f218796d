//! The rules of an order, in words: this is the language, its sentences are beside it.

mod facts;
mod refusals;

use ulid::Ulid;

use super::{decide::RuleBook, *};
use crate::{
    legs::Legs,
    money::{Currency, MAX_AMOUNT_MINOR},
    names::*,
    testing::{self, Given},
};

fn given(events: impl IntoIterator<Item = Vec<Event>>) -> Given<RuleBook> {
    testing::given(events.into_iter().flatten())
}

fn hold() -> HoldId {
    HoldId(Ulid(7))
}

fn reason() -> Reason {
    Reason::new("as the buyer wished").unwrap()
}

fn pay_id(name: &str) -> PaymentId {
    PaymentId::new(name).unwrap()
}

fn refund_id(n: u128) -> RefundId {
    RefundId(Ulid(n))
}

fn cancellation(n: u128) -> CancellationId {
    CancellationId(Ulid(n))
}

fn item(number: u16, seat: &str, price_minor: u64) -> Item {
    Item {
        item: number,
        show: ShowId(Ulid(1)),
        hold: hold(),
        seat: Some(SeatId::new(seat).unwrap()),
        pool: None,
        legs: Legs::ONE,
        ticket_type: TicketTypeId::new("adult").unwrap(),
        price_minor,
    }
}

/// Three seats for 3,000, 2,000 and 1,000: 6,000 in all.
fn items() -> Vec<Item> {
    vec![item(1, "A1", 3_000), item(2, "A2", 2_000), item(3, "A3", 1_000)]
}

fn place(items: Vec<Item>) -> Command {
    Command::PlaceOrder { buyer: BuyerRef::new("b1").unwrap(), currency: Currency::JPY, items }
}

fn placed(items: Vec<Item>) -> Vec<Event> {
    let total_minor = items.iter().map(|i| i.price_minor).sum();
    let buyer = BuyerRef::new("b1").unwrap();
    vec![Event::OrderPlaced(OrderPlaced { buyer, currency: Currency::JPY, items, total_minor })]
}

fn card(id: &str, amount_minor: u64) -> Payment {
    Payment { payment: pay_id(id), method: PaymentMethod::new("card").unwrap(), amount_minor }
}

fn pay(payments: &[(&str, u64)]) -> Command {
    let payments = payments.iter().map(|(id, amount)| card(id, *amount)).collect();
    Command::CapturePayments { payments, currency: Currency::JPY, partial: false }
}

fn pay_part(payments: &[(&str, u64)]) -> Command {
    let payments = payments.iter().map(|(id, amount)| card(id, *amount)).collect();
    Command::CapturePayments { payments, currency: Currency::JPY, partial: true }
}

fn captured(id: &str, amount_minor: u64) -> Vec<Event> {
    let Payment { payment, method, amount_minor } = card(id, amount_minor);
    vec![Event::PaymentCaptured(PaymentCaptured { payment, method, amount_minor })]
}

fn paid(paid_minor: u64) -> Vec<Event> {
    vec![Event::OrderPaid(OrderPaid { paid_minor })]
}

fn confirmed() -> Vec<Event> {
    vec![Event::OrderConfirmed(OrderConfirmed {})]
}

fn unfulfilled() -> Vec<Event> {
    vec![Event::OrderUnfulfilled(OrderUnfulfilled { hold: hold() })]
}

fn order_cancelled() -> Vec<Event> {
    vec![Event::OrderCancelled(OrderCancelled { reason: reason() })]
}

fn reverse(id: &str) -> Command {
    Command::ReversePayment { payment: pay_id(id), reason: reason() }
}

fn reversed(id: &str, amount_minor: u64) -> Vec<Event> {
    let payment = pay_id(id);
    vec![Event::PaymentReversed(PaymentReversed { payment, amount_minor, reason: reason() })]
}

fn cancel_with(n: u128, items: &[u16], refund: RefundPolicy) -> Command {
    Command::Cancel {
        cancellation: cancellation(n),
        items: items.to_vec(),
        refund,
        even_if_used: false,
        reason: reason(),
    }
}

fn cancel(n: u128, items: &[u16]) -> Command {
    cancel_with(n, items, RefundPolicy::Full)
}

fn wanted_with(n: u128, items: &[u16], refund: RefundPolicy) -> Vec<Event> {
    vec![Event::CancellationRequested(CancellationRequested {
        cancellation: cancellation(n),
        items: items.to_vec(),
        refund,
        even_if_used: false,
        reason: reason(),
    })]
}

fn wanted(n: u128, items: &[u16]) -> Vec<Event> {
    wanted_with(n, items, RefundPolicy::Full)
}

fn complete(n: u128, cancelled: &[u16], refused: &[u16]) -> Command {
    Command::CompleteCancellation {
        cancellation: cancellation(n),
        cancelled: cancelled.to_vec(),
        refused: refused.to_vec(),
    }
}

fn items_cancelled(n: u128, items: &[u16]) -> Vec<Event> {
    let items = items.to_vec();
    vec![Event::ItemsCancelled(ItemsCancelled { cancellation: cancellation(n), items })]
}

fn not_cancelled(n: u128, items: &[u16]) -> Vec<Event> {
    let items = items.to_vec();
    vec![Event::CancellationRefused(CancellationRefused { cancellation: cancellation(n), items })]
}

fn refund(id: RefundId, payment: &str, amount_minor: u64, cause: RefundCause) -> Vec<Event> {
    let payment = pay_id(payment);
    let refund = id;
    vec![Event::RefundRequested(RefundRequested {
        refund,
        payment,
        amount_minor,
        cause,
        retries: None,
    })]
}

/// The refund that cancellation `n` takes from a payment.
fn cancel_refund(n: u128, payment: &str, amount_minor: u64) -> Vec<Event> {
    let id = refunds::Origin::Cancellation(cancellation(n)).refund_of(&pay_id(payment));
    refund(id, payment, amount_minor, RefundCause::Cancelled)
}

fn goodwill_id(n: u128, payment: &str) -> RefundId {
    refunds::Origin::Goodwill(refund_id(n)).refund_of(&pay_id(payment))
}

fn goodwill(n: u128, payment: &str, amount_minor: u64) -> Vec<Event> {
    refund(goodwill_id(n, payment), payment, amount_minor, RefundCause::Goodwill)
}

fn give_back(n: u128, amount_minor: u64) -> Command {
    Command::RefundMoney { refund: refund_id(n), amount_minor, currency: Currency::JPY }
}

fn settle(refund: RefundId, reference: &str) -> Command {
    Command::SettleRefund { refund, reference: MoneyRef::new(reference).unwrap() }
}

fn settled(refund: RefundId, reference: &str) -> Vec<Event> {
    let reference = MoneyRef::new(reference).unwrap();
    vec![Event::RefundSettled(RefundSettled { refund, reference })]
}

fn fail_refund(refund: RefundId) -> Command {
    Command::FailRefund { refund, reason: reason() }
}

fn refund_failed(refund: RefundId) -> Vec<Event> {
    vec![Event::RefundFailed(RefundFailed { refund, reason: reason() })]
}

fn retry(failed: RefundId, n: u128) -> Command {
    Command::RetryRefund { failed, refund: refund_id(n) }
}

fn retried(failed: RefundId, n: u128, payment: &str, amount_minor: u64) -> Vec<Event> {
    vec![Event::RefundRequested(RefundRequested {
        refund: refund_id(n),
        payment: pay_id(payment),
        amount_minor,
        cause: RefundCause::Goodwill,
        retries: Some(failed),
    })]
}

fn fail() -> Command {
    Command::FailOrder { hold: hold() }
}

/// Placed and fully paid with `p1`.
fn paid_order() -> Vec<Event> {
    [placed(items()), captured("p1", 6_000), paid(6_000)].concat()
}

/// Placed, paid with `p1` and confirmed.
fn sold() -> Vec<Event> {
    [paid_order(), confirmed()].concat()
}

/// Sold, and then cancelled as a whole with everything given back.
fn all_cancelled() -> Vec<Event> {
    let ended = items_cancelled(1, &[1, 2, 3]);
    [sold(), wanted(1, &[1, 2, 3]), ended, cancel_refund(1, "p1", 6_000)].concat()
}
