//! A payment gateway inside the process, for the demo and for tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use hakken_commands::payments::{Payments, PaymentsError, RefundOutcome, RefundRequest};
use hakken_domain::{
    money::Currency,
    names::{MoneyRef, PaymentMethod, Reason, RefundId},
};

/// Moves no real money, and remembers each refund as a real gateway does: the same id moves it
/// once, and the same id with another request is refused.
#[derive(Debug, Default)]
pub struct SimulatedGateway {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// What was asked and what became of it.
    refunds: HashMap<RefundId, (RefundRequest, RefundOutcome)>,
    moved_minor: BTreeMap<Currency, u64>,
    refused_methods: HashMap<PaymentMethod, Reason>,
    /// Calls that fail before anything is done.
    failures_before: u32,
    /// Calls that move the money and lose the answer.
    failures_after: u32,
    calls: u64,
}

/// What a caller sees of a gateway that is away.
#[derive(Debug, thiserror::Error)]
#[error("the simulated gateway does not answer")]
struct NoAnswer;

impl SimulatedGateway {
    /// A gateway that does what it is asked.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next calls fail before any money is moved.
    pub fn fail_next(&self, calls: u32) {
        self.with(|books| books.failures_before = calls);
    }

    /// The next calls that move money move it and then lose the answer, which is the worst that a
    /// network does.
    pub fn lose_next_answers(&self, calls: u32) {
        self.with(|books| books.failures_after = calls);
    }

    /// From now on refunds of this method are refused; those that are settled stay so.
    pub fn refuse_method(&self, method: PaymentMethod, reason: Reason) {
        self.with(|books| books.refused_methods.insert(method, reason));
    }

    /// Refunds of this method are made again.
    pub fn accept_method(&self, method: &PaymentMethod) {
        self.with(|books| books.refused_methods.remove(method));
    }

    /// The money that went out, in minor units.
    pub fn moved_minor(&self, currency: Currency) -> u64 {
        self.with(|books| books.moved_minor.get(&currency).copied().unwrap_or(0))
    }

    /// How many refunds were settled.
    pub fn settled(&self) -> usize {
        let settled = |outcome: &RefundOutcome| matches!(outcome, RefundOutcome::Settled { .. });
        self.with(|books| books.refunds.values().filter(|(_, outcome)| settled(outcome)).count())
    }

    /// How often the gateway was asked, repeats and failures included.
    pub fn calls(&self) -> u64 {
        self.with(|books| books.calls)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Books) -> T) -> T {
        // No call leaves the books half written, so a panic elsewhere does not spoil them.
        work(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Books {
    fn refund(&mut self, request: RefundRequest) -> Result<RefundOutcome, PaymentsError> {
        self.calls += 1;
        if self.failures_before > 0 {
            self.failures_before -= 1;
            return Err(PaymentsError(Box::new(NoAnswer)));
        }
        if let Some((known, outcome)) = self.refunds.get(&request.refund) {
            return Ok(if *known == request { outcome.clone() } else { refused(DIFFERS) });
        }
        let outcome = self.decide(&request);
        if let RefundOutcome::Settled { .. } = outcome {
            let moved = self.moved_minor.entry(request.currency).or_default();
            *moved = moved.saturating_add(request.amount_minor);
        }
        self.refunds.insert(request.refund, (request, outcome.clone()));
        if self.failures_after > 0 {
            self.failures_after -= 1;
            return Err(PaymentsError(Box::new(NoAnswer)));
        }
        Ok(outcome)
    }

    fn decide(&self, request: &RefundRequest) -> RefundOutcome {
        if let Some(reason) = self.refused_methods.get(&request.method) {
            return RefundOutcome::Refused { reason: reason.clone() };
        }
        let reference = MoneyRef::new(&format!("sim_{}", request.refund));
        RefundOutcome::Settled { reference: reference.expect("a ULID is a reference") }
    }
}

const DIFFERS: &str = "this refund was asked for before, with another amount or payment";

fn refused(why: &str) -> RefundOutcome {
    RefundOutcome::Refused { reason: Reason::new(why).expect("a sentence of our own") }
}

impl Payments for SimulatedGateway {
    fn refund(
        &self,
        request: RefundRequest,
    ) -> BoxFuture<'_, Result<RefundOutcome, PaymentsError>> {
        Box::pin(async move { self.with(|books| books.refund(request)) })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use hakken_domain::names::{OrderId, PaymentId};

    use super::*;
    use crate::payments::ManualPayments;

    fn request(refund: &str, amount_minor: u64) -> RefundRequest {
        RefundRequest {
            organizer: None,
            order: OrderId::derived("test", "order"),
            refund: RefundId::derived("test", refund),
            payment: PaymentId::new("pi_1").unwrap(),
            method: PaymentMethod::new("card").unwrap(),
            amount_minor,
            currency: Currency::JPY,
        }
    }

    fn ask(payments: &dyn Payments, request: RefundRequest) -> Result<RefundOutcome, String> {
        let answer = payments.refund(request).now_or_never().expect("it answers at once");
        answer.map_err(|error| error.to_string())
    }

    fn settled(refund: &str) -> Result<RefundOutcome, String> {
        let reference = format!("sim_{}", RefundId::derived("test", refund));
        Ok(RefundOutcome::Settled { reference: MoneyRef::new(&reference).unwrap() })
    }

    const AWAY: &str =
        "the payment provider cannot be reached: the simulated gateway does not answer";

    #[test]
    fn the_same_refund_twice_moves_the_money_once() {
        let gateway = SimulatedGateway::new();
        assert_eq!(ask(&gateway, request("a", 500)), settled("a"));
        assert_eq!(ask(&gateway, request("a", 500)), settled("a"));
        assert_eq!(ask(&gateway, request("b", 20)), settled("b"));
        assert_eq!((gateway.moved_minor(Currency::JPY), gateway.settled()), (520, 2));
        assert_eq!(gateway.calls(), 3);
    }

    #[test]
    fn the_same_refund_with_another_amount_is_refused() {
        let gateway = SimulatedGateway::new();
        assert_eq!(ask(&gateway, request("a", 500)), settled("a"));
        assert_eq!(ask(&gateway, request("a", 501)), Ok(refused(DIFFERS)));
        assert_eq!(gateway.moved_minor(Currency::JPY), 500);
    }

    #[test]
    fn money_is_counted_by_currency() {
        let gateway = SimulatedGateway::new();
        let euro: Currency = "EUR".parse().unwrap();
        ask(&gateway, request("a", 500)).unwrap();
        ask(&gateway, RefundRequest { currency: euro, ..request("b", 7) }).unwrap();
        assert_eq!((gateway.moved_minor(Currency::JPY), gateway.moved_minor(euro)), (500, 7));
    }

    #[test]
    fn a_gateway_that_is_away_moves_nothing_and_comes_back() {
        let gateway = SimulatedGateway::new();
        gateway.fail_next(2);
        for _ in 0..2 {
            assert_eq!(ask(&gateway, request("a", 500)), Err(AWAY.to_owned()));
        }
        assert_eq!(gateway.moved_minor(Currency::JPY), 0);
        assert_eq!(ask(&gateway, request("a", 500)), settled("a"));
    }

    #[test]
    fn a_lost_answer_is_found_by_asking_again() {
        let gateway = SimulatedGateway::new();
        gateway.lose_next_answers(1);
        assert_eq!(ask(&gateway, request("a", 500)), Err(AWAY.to_owned()));
        assert_eq!(gateway.moved_minor(Currency::JPY), 500);
        assert_eq!(ask(&gateway, request("a", 500)), settled("a"));
        assert_eq!(gateway.moved_minor(Currency::JPY), 500);
    }

    #[test]
    fn a_refused_method_stays_refused_for_that_refund_alone() {
        let gateway = SimulatedGateway::new();
        let method = PaymentMethod::new("card").unwrap();
        let reason = Reason::new("the card is closed").unwrap();
        gateway.refuse_method(method.clone(), reason.clone());
        let refused = Ok(RefundOutcome::Refused { reason });
        assert_eq!(ask(&gateway, request("a", 500)), refused);
        gateway.accept_method(&method);
        assert_eq!(ask(&gateway, request("a", 500)), refused);
        assert_eq!(ask(&gateway, request("b", 500)), settled("b"));
        assert_eq!(gateway.moved_minor(Currency::JPY), 500);
    }

    #[test]
    fn by_hand_means_by_hand() {
        assert_eq!(ask(&ManualPayments, request("a", 500)), Ok(RefundOutcome::Manual));
    }
}
