//! What holds for an order whatever is asked, in whatever order: money is conserved.

use std::{cell::RefCell, collections::BTreeMap};

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use ulid::Ulid;

use super::{decide::RuleBook, *};
use crate::{
    Context, Decider, Outcome,
    legs::Legs,
    money::Currency,
    names::*,
    testing::{START, snapshot_keeps},
};

/// What may be asked. Amounts and ids are drawn from few, so that they meet.
#[derive(Debug, Clone)]
enum Ask {
    Pay {
        parts: Vec<(u8, u64)>,
        partial: bool,
    },
    /// Exactly what is due, with a payment of this number.
    PayDue(u8),
    Reverse(u8),
    Confirm,
    Fail,
    Cancel {
        id: u8,
        items: Vec<u16>,
        refund: RefundPolicy,
    },
    /// Completes what is pending; an item is refused where its bit is set.
    Complete {
        refused: u8,
    },
    Refund {
        id: u8,
        amount_minor: u64,
    },
    Settle(prop::sample::Index),
    FailRefund(prop::sample::Index),
    Retry(prop::sample::Index, u8),
}

fn reason() -> Reason {
    Reason::new("why").unwrap()
}

fn payment(n: u8) -> PaymentId {
    PaymentId::new(&format!("p{n}")).unwrap()
}

fn card(n: u8, amount_minor: u64) -> Payment {
    let method = PaymentMethod::new("card").unwrap();
    Payment { payment: payment(n), method, amount_minor }
}

fn asks() -> impl Strategy<Value = Ask> {
    let policy = prop_oneof![
        3 => Just(RefundPolicy::Full),
        2 => (0_u64..600).prop_map(RefundPolicy::KeepFeeMinor),
        1 => Just(RefundPolicy::Nothing),
    ];
    let some = prop::collection::vec(1_u16..5, 0..3);
    let parts = prop::collection::vec((0_u8..6, 0_u64..2_000), 1..3);
    prop_oneof![
        2 => (parts, any::<bool>()).prop_map(|(parts, partial)| Ask::Pay { parts, partial }),
        5 => (6_u8..12).prop_map(Ask::PayDue),
        1 => (0_u8..12).prop_map(Ask::Reverse),
        4 => Just(Ask::Confirm),
        1 => Just(Ask::Fail),
        3 => (0_u8..6, some, policy)
            .prop_map(|(id, items, refund)| Ask::Cancel { id, items, refund }),
        4 => any::<u8>().prop_map(|refused| Ask::Complete { refused }),
        2 => (0_u8..4, 1_u64..900).prop_map(|(id, amount_minor)| Ask::Refund { id, amount_minor }),
        2 => any::<prop::sample::Index>().prop_map(Ask::Settle),
        2 => any::<prop::sample::Index>().prop_map(Ask::FailRefund),
        2 => (any::<prop::sample::Index>(), 100_u8..104).prop_map(|(at, id)| Ask::Retry(at, id)),
    ]
}

fn refund_at(state: &State, at: prop::sample::Index) -> RefundId {
    match state.refunds() {
        [] => RefundId(Ulid(0)),
        refunds => refunds[at.index(refunds.len())].request.refund,
    }
}

fn command(state: &State, ask: &Ask) -> Command {
    let currency = Currency::JPY;
    match ask.clone() {
        Ask::Pay { parts, partial } => {
            let payments = parts.into_iter().map(|(n, amount)| card(n, amount)).collect();
            Command::CapturePayments { payments, currency, partial }
        }
        Ask::PayDue(n) => {
            let payments = vec![card(n, state.due_minor().max(1))];
            Command::CapturePayments { payments, currency, partial: false }
        }
        Ask::Reverse(n) => Command::ReversePayment { payment: payment(n), reason: reason() },
        Ask::Confirm => Command::ConfirmOrder,
        Ask::Fail => Command::FailOrder { hold: HoldId(Ulid(7)) },
        Ask::Cancel { id, items, refund } => Command::Cancel {
            cancellation: CancellationId(Ulid(id.into())),
            items,
            refund,
            even_if_used: false,
            reason: reason(),
        },
        Ask::Complete { refused } => {
            let pending = state.pending_cancellation();
            let open = pending.map_or(vec![1], |p| p.open.clone());
            let (refused, cancelled) = open.iter().partition(|n| refused & (1 << **n) != 0);
            let cancellation = pending.map_or(CancellationId(Ulid(99)), |p| p.request.cancellation);
            Command::CompleteCancellation { cancellation, cancelled, refused }
        }
        Ask::Refund { id, amount_minor } => {
            Command::RefundMoney { refund: RefundId(Ulid(id.into())), amount_minor, currency }
        }
        Ask::Settle(at) => Command::SettleRefund {
            refund: refund_at(state, at),
            reference: MoneyRef::new("r1").unwrap(),
        },
        Ask::FailRefund(at) => {
            Command::FailRefund { refund: refund_at(state, at), reason: reason() }
        }
        Ask::Retry(at, id) => {
            Command::RetryRefund { failed: refund_at(state, at), refund: RefundId(Ulid(id.into())) }
        }
    }
}

/// A ledger that knows nothing but the events.
#[derive(Default)]
struct Ledger {
    captured: BTreeMap<PaymentId, u64>,
    reversed: BTreeMap<PaymentId, u64>,
    refunds: BTreeMap<RefundId, (PaymentId, u64)>,
    settled: BTreeMap<RefundId, u64>,
    over: bool,
    late_minor: u64,
}

impl Ledger {
    fn follow(&mut self, event: &Event) {
        match event {
            Event::PaymentCaptured(e) => {
                assert!(e.amount_minor > 0);
                let before = self.captured.insert(e.payment.clone(), e.amount_minor);
                assert_eq!(before, None, "a payment is captured once");
                if self.over {
                    self.late_minor += e.amount_minor;
                }
            }
            Event::PaymentReversed(e) => {
                let before = self.reversed.insert(e.payment.clone(), e.amount_minor);
                assert_eq!(before, None, "a payment is reversed once");
            }
            Event::RefundRequested(e) => {
                assert!(e.amount_minor > 0);
                let before = self.refunds.insert(e.refund, (e.payment.clone(), e.amount_minor));
                assert_eq!(before, None, "a refund is asked for once");
            }
            Event::RefundSettled(e) => {
                let (_, amount_minor) = self.refunds[&e.refund];
                assert_eq!(self.settled.insert(e.refund, amount_minor), None, "settled once");
            }
            Event::RefundFailed(e) => {
                assert!(!self.settled.contains_key(&e.refund));
                self.refunds.get_mut(&e.refund).unwrap().1 = 0;
            }
            Event::OrderUnfulfilled(_) | Event::OrderCancelled(_) => self.over = true,
            _ => {}
        }
        for (payment, captured) in &self.captured {
            let back = self.refunds.values().filter(|(of, _)| of == payment);
            let out: u64 = back.map(|(_, amount)| amount).sum();
            let reversed = self.reversed.get(payment).copied().unwrap_or(0);
            assert!(out + reversed <= *captured, "more went out of {payment} than came in");
        }
    }

    fn check(&mut self, state: &State) {
        let paid = self.captured.values().sum::<u64>() - self.reversed.values().sum::<u64>();
        let refunded: u64 = self.refunds.values().map(|(_, amount)| amount).sum();
        assert_eq!(state.paid_minor(), paid);
        assert_eq!(state.refunded_minor(), refunded);
        assert_eq!(state.refundable_minor(), paid - refunded, "no money is lost or made");
        assert!(paid <= state.total_minor() + self.late_minor, "more was taken than is due");
        assert!(state.due_minor() + paid <= state.total_minor() || state.due_minor() == 0);
        self.over |= state.is_over();
        assert_eq!(self.over, state.is_over(), "what is over stays over");
        let kept = matches!(state.status(), OrderStatus::Unfulfilled);
        let failed = state.refunds().iter().any(|r| matches!(r.state, RefundState::Failed { .. }));
        assert!(!kept || failed || refunded == paid, "nothing is kept of what was not sold");
    }
}

/// How often each kind of event came up: a property about what never happens proves nothing.
type Seen = BTreeMap<&'static str, u32>;

fn run(prices: &[u64], asks: &[Ask], seen: &mut Seen) {
    let context = Context { now: START, actor: ActorRef::new("test").unwrap() };
    let item = |(number, price_minor): (u16, &u64)| Item {
        item: number,
        show: ShowId(Ulid(1)),
        hold: HoldId(Ulid(7)),
        seat: None,
        pool: Some(PoolId::new("standing").unwrap()),
        legs: Legs::ONE,
        ticket_type: TicketTypeId::new("adult").unwrap(),
        price_minor: *price_minor,
    };
    let place = Command::PlaceOrder {
        buyer: BuyerRef::new("b1").unwrap(),
        currency: Currency::JPY,
        items: (1..).zip(prices).map(item).collect(),
    };
    let mut state = State::default();
    let mut ledger = Ledger::default();
    let mut history = Vec::new();
    let mut step = |state: &mut State, command: &Command| {
        let before = state.clone();
        let Ok(outcome) = RuleBook::decide(state, command, &context) else { return };
        if let Outcome::Happened(events) = outcome {
            assert!(!events.is_empty());
            for event in events {
                ledger.follow(&event);
                RuleBook::evolve(state, &event);
                *seen.entry(crate::codec::kind_of(&event.clone().into()).0).or_default() += 1;
                history.push(event);
            }
        }
        let again = RuleBook::decide(state, command, &context);
        assert_eq!(again, Ok(Outcome::AlreadyHappened), "{command:?} again, after {before:?}");
        ledger.check(state);
    };
    step(&mut state, &place);
    for ask in asks {
        let command = command(&state, ask);
        step(&mut state, &command);
    }
    let mut folded = State::default();
    history.iter().for_each(|event| RuleBook::evolve(&mut folded, event));
    assert_eq!(folded, state);
    snapshot_keeps(&state);
}

#[test]
fn money_is_conserved_and_asking_twice_changes_nothing() {
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[2; 32]);
    let prices = prop::collection::vec(prop_oneof![1 => Just(0), 5 => 1_u64..1_500], 1..5);
    let asks = prop::collection::vec(asks(), 1..40);
    let seen = RefCell::new(Seen::new());
    TestRunner::new_with_rng(config, rng)
        .run(&(prices, asks), |(prices, asks)| {
            run(&prices, &asks, &mut seen.borrow_mut());
            Ok(())
        })
        .unwrap();
    let kinds = crate::codec::KINDS.iter().map(|(kind, _)| *kind);
    let of_orders =
        kinds.skip_while(|k| *k != "order-placed").take_while(|k| !k.contains("ticket"));
    for kind in of_orders {
        let times = seen.borrow().get(kind).copied().unwrap_or(0);
        assert!(times >= 20, "{kind} came up only {times} times");
    }
}
