//! What holds for a ticket whatever is asked, in whatever order.

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
    names::*,
    testing::{START, snapshot_keeps},
};

/// The seconds in which one may come in. A run goes on for about 3,000 of them, at most 6,000.
const VALID: std::ops::Range<u64> = 800..4_000;

/// What a turnstile with a pencil would know.
#[derive(Default)]
struct Model {
    live: u16,
    void: bool,
    suspended: bool,
    inside: Option<u16>,
    entries: u32,
}

fn show(right: bool) -> ShowId {
    ShowId(Ulid(if right { 1 } else { 2 }))
}

fn reason() -> Reason {
    Reason::new("why").unwrap()
}

fn ticket(reentry: bool) -> TicketCreated {
    TicketCreated {
        order: OrderId(Ulid(2)),
        item: 1,
        show: show(true),
        seat: None,
        pool: Some(PoolId::new("standing").unwrap()),
        legs: Legs::ONE,
        ticket_type: TicketTypeId::new("adult").unwrap(),
        buyer: BuyerRef::new("b1").unwrap(),
        entry: EntryRule {
            valid_from: START.plus_seconds(VALID.start),
            valid_until: START.plus_seconds(VALID.end),
            reentry,
        },
        issue_until: Some(START.plus_seconds(3_000)),
    }
}

fn scans() -> impl Strategy<Value = Command> {
    let direction = prop_oneof![Just(Direction::Entry), Just(Direction::Exit)];
    (direction, 0_u16..8, prop::bool::weighted(0.9)).prop_map(|(direction, generation, right)| {
        let gate = GateName::new("north").unwrap();
        Command::Scan { show: show(right), gate, direction, generation, key_disabled: false }
    })
}

fn commands() -> impl Strategy<Value = Command> {
    let channel = Channel::BoxOffice;
    prop_oneof![
        1 => any::<bool>().prop_map(|r| Command::CreateTicket(Box::new(ticket(r)))),
        3 => Just(Command::IssueTicket { code_key: 1, channel }),
        2 => Just(Command::ReissueTicket { code_key: 2, channel, reason: reason() }),
        1 => Just(Command::SuspendTicket { reason: reason() }),
        3 => Just(Command::ReinstateTicket),
        1 => any::<bool>().prop_map(|even_if_used| {
            Command::VoidTicket { reason: reason(), even_if_used }
        }),
        12 => scans(),
    ]
}

fn may_enter(model: &Model, reentry: bool, right: bool, generation: u16, second: u64) -> bool {
    !model.void
        && !model.suspended
        && right
        && model.inside.is_none()
        && (reentry || model.entries == 0)
        && VALID.contains(&second)
        && generation > 0
        && generation == model.live
}

fn may_leave(model: &Model, right: bool, generation: u16) -> bool {
    right && model.inside.is_some_and(|came| generation == came || generation == model.live)
}

/// Holds one event against the model, and the command that led to it.
fn follow(model: &mut Model, reentry: bool, command: &Command, event: &Event, second: u64) {
    match event {
        Event::TicketCreated(_) => {}
        Event::TicketIssued(e) => {
            assert_eq!((model.live, e.generation), (0, 1), "issued once");
            assert!(!model.void && !model.suspended);
            model.live = 1;
        }
        Event::TicketReissued(e) => {
            assert_eq!(e.generation, model.live + 1, "each generation replaces the last");
            assert!(model.live > 0 && !model.void && !model.suspended);
            model.live = e.generation;
        }
        Event::TicketSuspended(_) => model.suspended = true,
        Event::TicketReinstated(_) => model.suspended = false,
        Event::TicketVoided(_) => model.void = true,
        Event::TicketEntered(_) | Event::TicketExited(_) | Event::ScanRefused(_) => {
            let Command::Scan { show: at, direction, generation, .. } = command else {
                panic!("{event:?} after {command:?}");
            };
            let right = *at == show(true);
            let may = match direction {
                Direction::Entry => may_enter(model, reentry, right, *generation, second),
                Direction::Exit => may_leave(model, right, *generation),
            };
            let passed = !matches!(event, Event::ScanRefused(_));
            assert_eq!(passed, may, "{event:?}");
            match direction {
                Direction::Entry if passed => {
                    model.inside = Some(*generation);
                    model.entries += 1;
                }
                Direction::Exit if passed => model.inside = None,
                _ => {}
            }
        }
    }
}

/// Few know an old or a forged code: generations from 3 on stand for the live one.
fn with_live_code(command: &Command, live: u16) -> Command {
    let mut command = command.clone();
    if let Command::Scan { generation, .. } = &mut command
        && *generation >= 3
    {
        *generation = live;
    }
    command
}

/// These bring something new each time they are asked.
fn is_new_each_time(command: &Command) -> bool {
    matches!(command, Command::Scan { .. } | Command::ReissueTicket { .. })
}

/// Runs it; how often each kind of event came up goes to `seen`.
fn run(reentry: bool, steps: &[(u64, Command)], seen: &mut BTreeMap<&'static str, u32>) {
    let mut state = State::default();
    let mut model = Model::default();
    let mut history = vec![Event::TicketCreated(ticket(reentry))];
    RuleBook::evolve(&mut state, &history[0]);
    let mut second = 0;
    for (pause, command) in steps {
        second += pause;
        let command = &with_live_code(command, model.live);
        let now = START.plus_seconds(second);
        let context = Context { now, actor: ActorRef::new("test").unwrap() };
        if let Ok(Outcome::Happened(events)) = RuleBook::decide(&state, command, &context) {
            assert_eq!(events.len(), 1);
            for event in events {
                follow(&mut model, reentry, command, &event, second);
                RuleBook::evolve(&mut state, &event);
                *seen.entry(crate::codec::kind_of(&event.clone().into()).0).or_default() += 1;
                history.push(event);
            }
            let again = RuleBook::decide(&state, command, &context);
            let nothing_new = !matches!(again, Ok(Outcome::Happened(_)));
            assert!(nothing_new || is_new_each_time(command), "{command:?} again");
        }
        assert_eq!(state.generation(), model.live, "one live code");
        assert_eq!(state.entries(), model.entries);
        assert_eq!(state.is_inside(), model.inside.is_some());
    }
    let mut folded = State::default();
    history.iter().for_each(|event| RuleBook::evolve(&mut folded, event));
    assert_eq!(folded, state);
    snapshot_keeps(&state);
}

#[test]
fn one_live_code_and_no_entry_against_the_rules() {
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    let steps = prop::collection::vec((0_u64..200, commands()), 1..60);
    let seen = RefCell::new(BTreeMap::new());
    TestRunner::new_with_rng(config, rng)
        .run(&(any::<bool>(), steps), |(reentry, steps)| {
            run(reentry, &steps, &mut seen.borrow_mut());
            Ok(())
        })
        .unwrap();
    for kind in ["ticket-reissued", "ticket-voided", "ticket-entered", "ticket-exited"] {
        let times = seen.borrow().get(kind).copied().unwrap_or(0);
        assert!(times >= 50, "{kind} came up only {times} times");
    }
}
