//! The rules of an order.

use std::collections::HashSet;

use super::{
    Command, Event, MAX_ITEMS, MAX_PAYMENTS, MAX_REFUNDS, Payment, Rejection, State,
    events::{
        CancellationRefused, CancellationRequested, Item, ItemsCancelled, OrderCancelled,
        OrderConfirmed, OrderPaid, OrderPlaced, OrderUnfulfilled, PaymentCaptured, PaymentReversed,
        RefundFailed, RefundRequested, RefundSettled,
    },
    refunds::{Origin, refund},
    state::{self, OrderStatus, RefundState},
};
use crate::{
    Context, Decider, Outcome, Rules,
    guard::Guard,
    money::{Currency, MAX_AMOUNT_MINOR},
    names::{BuyerRef, CancellationId, HoldId, MoneyRef, PaymentId, Reason, RefundId},
};

/// The rules.
pub struct RuleBook;

impl Rules for State {
    type Decider = RuleBook;
}

type Decision = Result<Outcome<Event>, Rejection>;

impl Decider for RuleBook {
    type State = State;
    type Event = Event;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(state: &mut State, event: &Event) {
        state::evolve(state, event);
    }

    fn decide(state: &State, command: &Command, _context: &Context) -> Decision {
        if let Command::PlaceOrder { buyer, currency, items } = command {
            return place(state, buyer, *currency, items);
        }
        if !state.exists() {
            return Err(Rejection::OrderUnknown);
        }
        match command {
            Command::PlaceOrder { .. } => unreachable!("answered above"),
            Command::CapturePayments { payments, currency, partial } => {
                capture(state, payments, *currency, *partial)
            }
            Command::ReversePayment { payment, reason } => reverse(state, payment, reason),
            Command::ConfirmOrder => confirm(state),
            Command::FailOrder { hold } => fail(state, *hold),
            Command::Cancel { cancellation, items, refund, even_if_used, reason } => {
                let mut wanted = items.clone();
                wanted.sort_unstable();
                let request = CancellationRequested {
                    cancellation: *cancellation,
                    items: wanted,
                    refund: *refund,
                    even_if_used: *even_if_used,
                    reason: reason.clone(),
                };
                cancel(state, request)
            }
            Command::CompleteCancellation { cancellation, cancelled, refused } => {
                complete(state, *cancellation, cancelled, refused)
            }
            Command::RefundMoney { refund, amount_minor, currency } => {
                refund_money(state, *refund, *amount_minor, *currency)
            }
            Command::SettleRefund { refund, reference } => settle(state, *refund, reference),
            Command::FailRefund { refund, reason } => fail_refund(state, *refund, reason),
            Command::RetryRefund { failed, refund } => retry_refund(state, *failed, *refund),
        }
    }
}

fn place(state: &State, buyer: &BuyerRef, currency: Currency, items: &[Item]) -> Decision {
    if state.exists() {
        let same = state.buyer() == Some(buyer)
            && state.currency() == Some(currency)
            && state.items().iter().map(|i| &i.item).eq(items);
        return if same { Ok(Outcome::AlreadyHappened) } else { Err(Rejection::OrderExists) };
    }
    if items.is_empty() || items.len() > MAX_ITEMS {
        return Err(Rejection::ItemCount);
    }
    if !items_are_valid(items) {
        return Err(Rejection::ItemsInvalid);
    }
    let total_minor = items.iter().fold(0_u64, |sum, i| sum.saturating_add(i.price_minor));
    if total_minor > MAX_AMOUNT_MINOR {
        return Err(Rejection::TotalTooLarge);
    }

    // From here on it must succeed. Nothing is due for a free order: it is paid at once.
    let mut events = vec![Event::OrderPlaced(OrderPlaced {
        buyer: buyer.clone(),
        currency,
        items: items.to_vec(),
        total_minor,
    })];
    if total_minor == 0 {
        events.push(Event::OrderPaid(OrderPaid { paid_minor: 0 }));
    }
    Ok(Outcome::Happened(events))
}

fn items_are_valid(items: &[Item]) -> bool {
    let numbered = (1_u16..).zip(items).all(|(number, item)| item.item == number);
    let one_place = items.iter().all(|item| item.seat.is_some() != item.pool.is_some());
    let same_place = |a: &Item, b: &Item| {
        a.show == b.show
            && a.seat.is_some()
            && a.seat == b.seat
            && a.legs.mask() & b.legs.mask() != 0
    };
    let once = (1..items.len()).all(|n| !items[..n].iter().any(|a| same_place(a, &items[n])));
    numbered && one_place && once
}

fn capture(state: &State, payments: &[Payment], currency: Currency, partial: bool) -> Decision {
    if state.currency() != Some(currency) {
        return Err(Rejection::CurrencyMismatch);
    }
    let ids: HashSet<&PaymentId> = payments.iter().map(|p| &p.payment).collect();
    let unknown = ids.iter().filter(|id| state.payment(id).is_none()).count();
    if ids.is_empty() || state.payments().len() + unknown > MAX_PAYMENTS {
        return Err(Rejection::PaymentCount);
    }
    if payments.iter().any(|p| !is_amount(p.amount_minor)) {
        return Err(Rejection::AmountInvalid);
    }
    let mut new: Vec<&Payment> = Vec::new();
    for payment in payments {
        let known = state.payment(&payment.payment).filter(|_| Guard::PaymentKnown.stands());
        let known = known.map(|p| (&p.method, p.amount_minor));
        let named = new.iter().find(|p| p.payment == payment.payment);
        match known.or(named.map(|p| (&p.method, p.amount_minor))) {
            None => new.push(payment),
            Some(same) if same == (&payment.method, payment.amount_minor) => {}
            Some(_) => return Err(Rejection::PaymentDiffers(payment.payment.clone())),
        }
    }
    if new.is_empty() {
        return Ok(Outcome::AlreadyHappened);
    }
    let sum: u64 = new.iter().map(|p| p.amount_minor).sum();
    let due_minor = state.due_minor();
    // Whatever comes when the order is over goes back, so no amount is wrong then.
    if !state.is_over() {
        if Guard::PaidTooMuch.sees(sum > due_minor) {
            return Err(Rejection::PaidTooMuch { due_minor });
        }
        if sum < due_minor && !partial {
            return Err(Rejection::PaidTooLittle { due_minor });
        }
    }

    // From here on it must succeed.
    let mut events = Vec::with_capacity(2 * new.len());
    for payment in new {
        events.push(Event::PaymentCaptured(PaymentCaptured {
            payment: payment.payment.clone(),
            method: payment.method.clone(),
            amount_minor: payment.amount_minor,
        }));
        if Guard::PaidLate.sees(state.is_over()) {
            events.push(Origin::Late(state).request(&payment.payment, payment.amount_minor));
        }
    }
    if !state.is_over() && sum == due_minor {
        events.push(Event::OrderPaid(OrderPaid { paid_minor: state.paid_minor() + sum }));
    }
    Ok(Outcome::Happened(events))
}

fn is_amount(amount_minor: u64) -> bool {
    (1..=MAX_AMOUNT_MINOR).contains(&amount_minor)
}

/// The bank takes what it can: whatever of the payment has not gone back to the payer. That may
/// be nothing, and is recorded all the same.
fn reverse(state: &State, payment: &PaymentId, reason: &Reason) -> Decision {
    let known = state.payment(payment).ok_or_else(|| Rejection::PaymentUnknown(payment.clone()))?;
    if known.reversed_minor.is_some() {
        return Ok(Outcome::AlreadyHappened);
    }
    happened(Event::PaymentReversed(PaymentReversed {
        payment: payment.clone(),
        amount_minor: known.refundable_minor(),
        reason: reason.clone(),
    }))
}

fn confirm(state: &State) -> Decision {
    if state.was_confirmed() {
        return Ok(Outcome::AlreadyHappened);
    }
    if state.is_over() {
        return Err(Rejection::OrderOver);
    }
    // A chargeback in between does not stop the checkout: it goes to its end, and then the
    // reversed payment suspends the tickets.
    if state.status() != OrderStatus::Paid {
        return Err(Rejection::NotPaid);
    }
    happened(Event::OrderConfirmed(OrderConfirmed {}))
}

fn fail(state: &State, hold: HoldId) -> Decision {
    match state.status() {
        OrderStatus::Unfulfilled => return Ok(Outcome::AlreadyHappened),
        OrderStatus::Cancelled => return Err(Rejection::OrderOver),
        OrderStatus::Confirmed => return Err(Rejection::OrderConfirmed),
        OrderStatus::Pending => return Err(Rejection::NotPaid),
        OrderStatus::Paid => {}
    }

    // From here on it must succeed.
    let mut events = vec![Event::OrderUnfulfilled(OrderUnfulfilled { hold })];
    events.extend(refund_all(state, &Origin::Unfulfilled(hold)));
    Ok(Outcome::Happened(events))
}

fn refund_all(state: &State, origin: &Origin<'_>) -> Vec<Event> {
    let left = state.payments().iter().filter(|p| p.refundable_minor() > 0);
    left.map(|p| origin.request(&p.payment, p.refundable_minor())).collect()
}

/// `request.items` is sorted; empty means all that are left.
fn cancel(state: &State, mut request: CancellationRequested) -> Decision {
    let id = request.cancellation;
    let pending = state.pending_cancellation();
    if pending.is_some_and(|p| p.request.cancellation == id) || state.is_cancellation_complete(id) {
        return Ok(Outcome::AlreadyHappened);
    }
    let whole = request.items.is_empty() || request.items.len() == state.items().len();
    if let Some(item) = request.items.iter().find(|item| state.item(**item).is_none()) {
        return Err(Rejection::ItemUnknown(*item));
    }
    if let Some(pair) = request.items.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Rejection::ItemRepeated(pair[0]));
    }
    if !state.was_confirmed() {
        return cancel_unconfirmed(state, request, whole);
    }
    if state.is_over() {
        return Err(Rejection::OrderOver);
    }
    if pending.is_some() {
        return Err(Rejection::CancellationUnderWay);
    }
    let is_cancelled =
        |item: &&u16| Guard::ItemCancelled.sees(state.item(**item).is_some_and(|i| i.cancelled));
    if let Some(item) = request.items.iter().find(is_cancelled) {
        return Err(Rejection::ItemCancelled(*item));
    }

    // From here on it must succeed.
    if request.items.is_empty() {
        request.items = state.live_items().collect();
    }
    happened(Event::CancellationRequested(request))
}

/// Nothing is sold yet, so there are neither tickets to be voided nor fees to be kept: the order
/// is over at once, and all that was paid goes back.
fn cancel_unconfirmed(state: &State, request: CancellationRequested, whole: bool) -> Decision {
    match state.status() {
        OrderStatus::Cancelled if whole => return Ok(Outcome::AlreadyHappened),
        OrderStatus::Cancelled | OrderStatus::Unfulfilled => return Err(Rejection::OrderOver),
        OrderStatus::Pending if !whole => return Err(Rejection::NotPaid),
        OrderStatus::Paid => return Err(Rejection::CheckoutUnderWay),
        OrderStatus::Pending => {}
        OrderStatus::Confirmed => unreachable!("the order was never confirmed"),
    }

    // From here on it must succeed.
    let mut events = vec![Event::OrderCancelled(OrderCancelled { reason: request.reason })];
    events.extend(refund_all(state, &Origin::Cancellation(request.cancellation)));
    Ok(Outcome::Happened(events))
}

/// What the buyer is credited for the cancelled items first settles what is due (after a
/// chargeback), and the rest goes back, as far as it has not gone back out of goodwill already.
fn complete(
    state: &State,
    cancellation: CancellationId,
    cancelled: &[u16],
    refused: &[u16],
) -> Decision {
    if state.is_cancellation_complete(cancellation) {
        return Ok(Outcome::AlreadyHappened);
    }
    let pending = state.pending_cancellation().ok_or(Rejection::CancellationUnknown)?;
    if pending.request.cancellation != cancellation {
        return Err(Rejection::CancellationUnknown);
    }
    let mut answered: Vec<u16> = cancelled.iter().chain(refused).copied().collect();
    answered.sort_unstable();
    if let Some(item) = answered.iter().find(|item| !pending.open.contains(item)) {
        return Err(Rejection::ItemUnknown(*item));
    }
    if let Some(pair) = answered.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Rejection::ItemRepeated(pair[0]));
    }
    if let Some(item) = pending.open.iter().find(|item| !answered.contains(item)) {
        return Err(Rejection::ItemMissing(*item));
    }

    // From here on it must succeed.
    let mut events = Vec::new();
    if !cancelled.is_empty() {
        let items = sorted(cancelled);
        let due = state.due_minor();
        let credit = state.credit_minor(pending.request.refund, &items);
        let waived = credit.min(due);
        let back = (credit - waived).min(state.refundable_minor());
        let lives_on = state.live_items().any(|item| !items.contains(&item));
        events.push(Event::ItemsCancelled(ItemsCancelled { cancellation, items }));
        events.extend(refund(state, &Origin::Cancellation(cancellation), back));
        if waived > 0 && waived == due && lives_on {
            events.push(Event::OrderPaid(OrderPaid { paid_minor: state.paid_minor() }));
        }
    }
    if !refused.is_empty() {
        let items = sorted(refused);
        events.push(Event::CancellationRefused(CancellationRefused { cancellation, items }));
    }
    Ok(Outcome::Happened(events))
}

fn sorted(items: &[u16]) -> Vec<u16> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}

fn refund_money(state: &State, id: RefundId, amount_minor: u64, currency: Currency) -> Decision {
    if state.currency() != Some(currency) {
        return Err(Rejection::CurrencyMismatch);
    }
    if !is_amount(amount_minor) {
        return Err(Rejection::AmountInvalid);
    }
    let origin = Origin::Goodwill(id);
    let known = state.payments().iter().filter_map(|p| state.refund(origin.refund_of(&p.payment)));
    let known_minor: u64 = known.map(|r| r.request.amount_minor).sum();
    if known_minor == amount_minor {
        return Ok(Outcome::AlreadyHappened);
    }
    if known_minor > 0 {
        return Err(Rejection::RefundExists);
    }
    if state.refunds().len() >= MAX_REFUNDS {
        return Err(Rejection::RefundCount);
    }
    let refundable_minor = state.refundable_minor();
    if Guard::RefundTooMuch.sees(amount_minor > refundable_minor) {
        return Err(Rejection::RefundTooMuch { refundable_minor });
    }

    // From here on it must succeed.
    Ok(Outcome::Happened(refund(state, &origin, amount_minor)))
}

fn settle(state: &State, refund: RefundId, reference: &MoneyRef) -> Decision {
    let known = state.refund(refund).ok_or(Rejection::RefundUnknown)?;
    match &known.state {
        RefundState::Settled { reference: same } if same == reference => {
            return Ok(Outcome::AlreadyHappened);
        }
        RefundState::Settled { .. } => return Err(Rejection::RefundSettled),
        RefundState::Failed { .. } => return Err(Rejection::RefundFailed),
        RefundState::Requested => {}
    }
    happened(Event::RefundSettled(RefundSettled { refund, reference: reference.clone() }))
}

fn fail_refund(state: &State, refund: RefundId, reason: &Reason) -> Decision {
    let known = state.refund(refund).ok_or(Rejection::RefundUnknown)?;
    match &known.state {
        RefundState::Settled { .. } => return Err(Rejection::RefundSettled),
        RefundState::Failed { .. } => return Ok(Outcome::AlreadyHappened),
        RefundState::Requested => {}
    }
    happened(Event::RefundFailed(RefundFailed { refund, reason: reason.clone() }))
}

fn retry_refund(state: &State, failed: RefundId, refund: RefundId) -> Decision {
    let known = state.refund(failed).ok_or(Rejection::RefundUnknown)?;
    if let Some(same) = state.refund(refund) {
        let again = same.request.retries == Some(failed);
        return if again { Ok(Outcome::AlreadyHappened) } else { Err(Rejection::RefundExists) };
    }
    if known.state != (RefundState::Failed { retried_by: None }) {
        return Err(Rejection::RefundNotFailed);
    }
    if state.refunds().len() >= MAX_REFUNDS {
        return Err(Rejection::RefundCount);
    }
    let RefundRequested { payment, amount_minor, cause, .. } = known.request.clone();
    let refundable_minor = state.payment(&payment).map_or(0, |p| p.refundable_minor());
    if amount_minor > refundable_minor {
        return Err(Rejection::RefundTooMuch { refundable_minor });
    }

    // From here on it must succeed.
    happened(Event::RefundRequested(RefundRequested {
        refund,
        payment,
        amount_minor,
        cause,
        retries: Some(failed),
    }))
}

fn happened(event: Event) -> Decision {
    Ok(Outcome::Happened(vec![event]))
}
