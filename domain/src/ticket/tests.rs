//! The rules of a ticket, in words.

use ulid::Ulid;

use super::{decide::RuleBook, *};
use crate::{
    legs::Legs,
    names::*,
    testing::{self, Given, START},
};

fn given(events: impl IntoIterator<Item = Event>) -> Given<RuleBook> {
    testing::given(events)
}

fn show() -> ShowId {
    ShowId(Ulid(1))
}

fn reason() -> Reason {
    Reason::new("lost").unwrap()
}

fn gate() -> GateName {
    GateName::new("north").unwrap()
}

/// Issued until 1,000 seconds after the start, valid from second 100 up to second 200.
fn ticket() -> TicketCreated {
    TicketCreated {
        order: OrderId(Ulid(2)),
        item: 1,
        show: show(),
        seat: Some(SeatId::new("A1").unwrap()),
        pool: None,
        legs: Legs::ONE,
        ticket_type: TicketTypeId::new("adult").unwrap(),
        buyer: BuyerRef::new("b1").unwrap(),
        entry: EntryRule {
            valid_from: START.plus_seconds(100),
            valid_until: START.plus_seconds(200),
            reentry: false,
        },
        issue_until: Some(START.plus_seconds(1_000)),
    }
}

fn with_reentry() -> TicketCreated {
    let mut ticket = ticket();
    ticket.entry.reentry = true;
    ticket
}

fn create(ticket: TicketCreated) -> Command {
    Command::CreateTicket(Box::new(ticket))
}

fn created() -> Event {
    Event::TicketCreated(ticket())
}

fn issue() -> Command {
    Command::IssueTicket { code_key: 1, channel: Channel::Online }
}

fn issued() -> Event {
    Event::TicketIssued(TicketIssued { generation: 1, code_key: 1, channel: Channel::Online })
}

fn reissue() -> Command {
    Command::ReissueTicket { code_key: 2, channel: Channel::BoxOffice, reason: reason() }
}

fn reissued(generation: u16) -> Event {
    let channel = Channel::BoxOffice;
    Event::TicketReissued(TicketReissued { generation, code_key: 2, channel, reason: reason() })
}

fn suspend() -> Command {
    Command::SuspendTicket { reason: reason() }
}

fn suspended() -> Event {
    Event::TicketSuspended(TicketSuspended { reason: reason() })
}

fn reinstated() -> Event {
    Event::TicketReinstated(TicketReinstated {})
}

fn void() -> Command {
    Command::VoidTicket { reason: reason(), even_if_used: false }
}

fn void_even_if_used() -> Command {
    Command::VoidTicket { reason: reason(), even_if_used: true }
}

fn voided() -> Event {
    Event::TicketVoided(TicketVoided { reason: reason() })
}

fn scan(direction: Direction, generation: u16) -> Command {
    Command::Scan { show: show(), gate: gate(), direction, generation, key_disabled: false }
}

fn enter(generation: u16) -> Command {
    scan(Direction::Entry, generation)
}

fn exit(generation: u16) -> Command {
    scan(Direction::Exit, generation)
}

fn entered(generation: u16) -> Event {
    Event::TicketEntered(TicketScanned { gate: gate(), generation })
}

fn exited(generation: u16) -> Event {
    Event::TicketExited(TicketScanned { gate: gate(), generation })
}

fn refused_at(
    show: ShowId,
    direction: Direction,
    generation: u16,
    reason: ScanRefusal,
) -> [Event; 1] {
    let gate = gate();
    [Event::ScanRefused(ScanRefused { gate, direction, generation, show, reason })]
}

fn no_entry(generation: u16, reason: ScanRefusal) -> [Event; 1] {
    refused_at(show(), Direction::Entry, generation, reason)
}

fn no_exit(generation: u16, reason: ScanRefusal) -> [Event; 1] {
    refused_at(show(), Direction::Exit, generation, reason)
}

// Refusals, in the order of their declaration.

#[test]
fn nothing_can_be_asked_of_an_unknown_ticket() {
    for command in [issue(), reissue(), suspend(), Command::ReinstateTicket, void(), enter(1)] {
        given([]).when(command).then_rejected(Rejection::TicketUnknown);
    }
}

#[test]
fn a_ticket_is_created_once() {
    given([created()]).when(create(with_reentry())).then_rejected(Rejection::TicketExists);
}

#[test]
fn a_void_ticket_stays_void() {
    for command in [issue(), reissue(), suspend(), Command::ReinstateTicket] {
        let gone = [created(), issued(), suspended(), voided()];
        given(gone).when(command).then_rejected(Rejection::TicketVoid);
    }
    given([created(), voided()]).when(issue()).then_rejected(Rejection::TicketVoid);
}

#[test]
fn a_code_that_nobody_has_is_neither_replaced_nor_scanned() {
    given([created()]).when(reissue()).then_rejected(Rejection::NotIssued);
    given([created()]).at(150).when(enter(1)).then_rejected(Rejection::NotIssued);
    given([created(), voided()]).when(exit(1)).then_rejected(Rejection::NotIssued);
}

#[test]
fn a_ticket_is_issued_once() {
    given([created(), issued()]).when(issue()).then_rejected(Rejection::AlreadyIssued);
    let again = given([created(), issued(), reissued(2)]).when(issue());
    again.then_rejected(Rejection::AlreadyIssued);
}

#[test]
fn nothing_is_issued_from_the_deadline_on() {
    given([created()]).at(999).when(issue()).then([issued()]);
    given([created()]).at(1_000).when(issue()).then_rejected(Rejection::IssuanceDeadlinePassed);
    let endless = TicketCreated { issue_until: None, ..ticket() };
    given([Event::TicketCreated(endless)]).at(1 << 40).when(issue()).then([issued()]);
}

#[test]
fn a_used_ticket_is_neither_voided_nor_given_out_again() {
    let used = || [created(), issued(), entered(1)];
    given(used()).when(void()).then_rejected(Rejection::AlreadyUsed);
    given(used()).when(reissue()).then_rejected(Rejection::AlreadyUsed);
    let left = [created(), issued(), entered(1), exited(1)];
    given(left).when(reissue()).then_rejected(Rejection::AlreadyUsed);
    given(used()).when(void_even_if_used()).then([voided()]);
}

#[test]
fn no_code_is_given_out_while_the_payment_is_missing() {
    given([created(), suspended()]).when(issue()).then_rejected(Rejection::TicketSuspended);
    let lost = given([created(), issued(), suspended()]).when(reissue());
    lost.then_rejected(Rejection::TicketSuspended);
}

#[test]
fn a_code_can_tell_65_535_generations_apart() {
    let last_but_one = [created(), issued(), reissued(u16::MAX - 1)];
    given(last_but_one).when(reissue()).then([reissued(u16::MAX)]);
    let last = [created(), issued(), reissued(u16::MAX)];
    given(last).when(reissue()).then_rejected(Rejection::TooManyReissues);
}

// What happens.

#[test]
fn a_ticket_is_created_issued_and_used() {
    given([]).when(create(ticket())).then([created()]);
    given([created()]).when(create(ticket())).then_nothing();
    given([created()]).when(issue()).then([issued()]);
    given([created(), issued()]).at(150).when(enter(1)).then([entered(1)]);
    let status = |events: &[Event]| given(events.to_vec()).state().status();
    let life = [created(), issued(), entered(1), voided()];
    assert_eq!(status(&life[..1]), TicketStatus::Unissued);
    assert_eq!(status(&life[..2]), TicketStatus::Issued);
    assert_eq!(status(&life[..3]), TicketStatus::Used);
    assert_eq!(status(&life), TicketStatus::Void);
}

#[test]
fn a_lost_ticket_gets_a_new_code_and_the_old_one_is_dead() {
    given([created(), issued()]).when(reissue()).then([reissued(2)]);
    let two = || given([created(), issued(), reissued(2)]);
    two().when(reissue()).then([reissued(3)]);
    // The deadline is for the first issuance alone.
    two().at(5_000).when(reissue()).then([reissued(3)]);
    two().at(150).when(enter(1)).then(no_entry(1, ScanRefusal::Revoked));
    two().at(150).when(enter(2)).then([entered(2)]);
    let state = two().state();
    assert_eq!((state.generation(), state.code_key()), (2, Some(2)));
}

#[test]
fn a_suspended_ticket_waits_for_its_payment() {
    given([created(), issued()]).when(suspend()).then([suspended()]);
    let waits = || given([created(), issued(), suspended()]);
    waits().when(suspend()).then_nothing();
    waits().at(150).when(enter(1)).then(no_entry(1, ScanRefusal::Unpaid));
    waits().when(Command::ReinstateTicket).then([reinstated()]);
    let paid = || given([created(), issued(), suspended(), reinstated()]);
    paid().when(Command::ReinstateTicket).then_nothing();
    paid().at(150).when(enter(1)).then([entered(1)]);
    given([created()]).when(suspend()).then([suspended()]);
}

#[test]
fn a_ticket_is_voided_once() {
    given([created()]).when(void()).then([voided()]);
    given([created(), issued()]).when(void()).then([voided()]);
    given([created(), voided()]).when(void()).then_nothing();
    let used = given([created(), issued(), entered(1), voided()]).when(void());
    used.then_nothing();
}

// Scans: what is refused, in the order of `ScanRefusal`.

#[test]
fn a_generation_that_was_never_given_out_is_invalid() {
    for generation in [0, 2, u16::MAX] {
        let forged = given([created(), issued(), voided()]).at(150).when(enter(generation));
        forged.then(no_entry(generation, ScanRefusal::Invalid));
    }
    let inside = [created(), issued(), entered(1)];
    given(inside).when(exit(2)).then(no_exit(2, ScanRefusal::Invalid));
}

#[test]
fn a_code_whose_key_was_disabled_is_invalid() {
    for direction in [Direction::Entry, Direction::Exit] {
        let key_disabled = true;
        let scan =
            Command::Scan { show: show(), gate: gate(), direction, generation: 1, key_disabled };
        let inside = given([created(), issued(), entered(1)]).at(150);
        inside.when(scan).then(refused_at(show(), direction, 1, ScanRefusal::Invalid));
    }
}

#[test]
fn a_cancelled_ticket_opens_nothing() {
    let gone = || given([created(), issued(), reissued(2), voided()]).at(150);
    gone().when(enter(2)).then(no_entry(2, ScanRefusal::Canceled));
    gone().when(enter(1)).then(no_entry(1, ScanRefusal::Canceled));
    gone().when(exit(2)).then(no_exit(2, ScanRefusal::Canceled));
}

#[test]
fn an_old_code_opens_nothing() {
    let old = given([created(), issued(), reissued(2), suspended()]).at(150);
    old.when(enter(1)).then(no_entry(1, ScanRefusal::Revoked));
    let nobody_inside = given([created(), issued(), reissued(2)]);
    nobody_inside.when(exit(1)).then(no_exit(1, ScanRefusal::Revoked));
}

#[test]
fn a_ticket_is_for_one_show() {
    let other = ShowId(Ulid(9));
    for direction in [Direction::Entry, Direction::Exit] {
        let key_disabled = false;
        let scan =
            Command::Scan { show: other, gate: gate(), direction, generation: 1, key_disabled };
        let inside = given([created(), issued(), suspended(), entered(1)]).at(150);
        inside.when(scan).then(refused_at(other, direction, 1, ScanRefusal::WrongShow));
    }
}

#[test]
fn a_ticket_is_valid_from_its_first_instant_up_to_its_last() {
    let at = |seconds| given([created(), issued()]).at(seconds);
    at(99).when(enter(1)).then(no_entry(1, ScanRefusal::InvalidTime));
    at(100).when(enter(1)).then([entered(1)]);
    at(199).when(enter(1)).then([entered(1)]);
    at(200).when(enter(1)).then(no_entry(1, ScanRefusal::InvalidTime));
    let unpaid = given([created(), issued(), suspended()]).at(200);
    unpaid.when(enter(1)).then(no_entry(1, ScanRefusal::Unpaid));
}

#[test]
fn nobody_comes_in_twice() {
    let inside = || given([created(), issued(), entered(1)]);
    inside().at(150).when(enter(1)).then(no_entry(1, ScanRefusal::AlreadyRedeemed));
    inside().at(250).when(enter(1)).then(no_entry(1, ScanRefusal::InvalidTime));
    let left = given([created(), issued(), entered(1), exited(1)]).at(150);
    left.when(enter(1)).then(no_entry(1, ScanRefusal::AlreadyRedeemed));
}

#[test]
fn nobody_goes_out_who_is_not_inside() {
    given([created(), issued()]).when(exit(1)).then(no_exit(1, ScanRefusal::NotInside));
    let left = given([created(), issued(), entered(1), exited(1)]);
    left.when(exit(1)).then(no_exit(1, ScanRefusal::NotInside));
    let unpaid = given([created(), issued(), suspended()]);
    unpaid.when(exit(1)).then(no_exit(1, ScanRefusal::Unpaid));
}

#[test]
fn who_went_out_comes_in_again_if_the_ticket_says_so() {
    let start = || vec![Event::TicketCreated(with_reentry()), issued(), entered(1)];
    let inside = || given(start()).at(150);
    inside().when(enter(1)).then(no_entry(1, ScanRefusal::AlreadyRedeemed));
    inside().when(exit(1)).then([exited(1)]);
    let left = given([start(), vec![exited(1)]].concat()).at(150);
    left.when(enter(1)).then([entered(1)]);
    let twice = given([start(), vec![exited(1), entered(1)]].concat()).state();
    assert_eq!((twice.entries(), twice.is_inside()), (2, true));
}

#[test]
fn who_is_inside_can_always_leave() {
    let with = |events: &[Event]| {
        let start = [Event::TicketCreated(with_reentry()), issued(), entered(1)];
        given([&start[..], events].concat()).at(9_999)
    };
    with(&[]).when(exit(1)).then([exited(1)]);
    with(&[voided()]).when(exit(1)).then([exited(1)]);
    with(&[suspended()]).when(exit(1)).then([exited(1)]);
    // The code with which they came in was replaced meanwhile: both lead out, neither in.
    with(&[reissued(2)]).when(exit(1)).then([exited(1)]);
    with(&[reissued(2)]).when(exit(2)).then([exited(2)]);
    with(&[reissued(2), voided()]).when(exit(1)).then([exited(1)]);
    with(&[voided(), exited(1)]).when(exit(1)).then(no_exit(1, ScanRefusal::Canceled));
}

#[test]
fn an_old_code_does_not_end_the_stay_of_who_came_in_with_the_new_one() {
    let start = [Event::TicketCreated(with_reentry()), issued(), reissued(2), entered(2)];
    given(start).at(150).when(exit(1)).then(no_exit(1, ScanRefusal::Revoked));
}
