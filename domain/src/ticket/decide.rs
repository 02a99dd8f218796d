//! The rules of a ticket.

use super::{
    Command, Event, Rejection, State, TicketStatus,
    events::{
        Channel, Direction, ScanRefusal, ScanRefused, TicketCreated, TicketIssued,
        TicketReinstated, TicketReissued, TicketScanned, TicketSuspended, TicketVoided,
    },
    state,
};
use crate::{
    Context, Decider, Outcome, Rules,
    guard::Guard,
    names::{GateName, Reason, ShowId},
    time::Timestamp,
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

    fn decide(state: &State, command: &Command, context: &Context) -> Decision {
        if let Command::CreateTicket(ticket) = command {
            return create(state, ticket);
        }
        let ticket = state.created().ok_or(Rejection::TicketUnknown)?;
        match command {
            Command::CreateTicket(_) => unreachable!("answered above"),
            Command::IssueTicket { code_key, channel } => {
                issue(state, ticket, *code_key, *channel, context.now)
            }
            Command::ReissueTicket { code_key, channel, reason } => {
                reissue(state, ticket, *code_key, *channel, reason)
            }
            Command::SuspendTicket { reason } => suspend(state, reason),
            Command::ReinstateTicket => reinstate(state),
            Command::VoidTicket { reason, even_if_used } => void(state, reason, *even_if_used),
            Command::Scan { show, gate, direction, generation, key_disabled } => {
                let shown = Shown {
                    show: *show,
                    direction: *direction,
                    generation: *generation,
                    key_disabled: *key_disabled,
                };
                scan(state, ticket, &shown, gate, context.now)
            }
        }
    }
}

fn create(state: &State, ticket: &TicketCreated) -> Decision {
    match state.created() {
        Some(same) if same == ticket => Ok(Outcome::AlreadyHappened),
        Some(_) => Err(Rejection::TicketExists),
        None => happened(Event::TicketCreated(ticket.clone())),
    }
}

fn issue(
    state: &State,
    ticket: &TicketCreated,
    code_key: u8,
    channel: Channel,
    now: Timestamp,
) -> Decision {
    if state.status() == TicketStatus::Void {
        return Err(Rejection::TicketVoid);
    }
    if Guard::AlreadyIssued.sees(state.generation() > 0) {
        return Err(Rejection::AlreadyIssued);
    }
    if ticket.issue_until.is_some_and(|until| now >= until) {
        return Err(Rejection::IssuanceDeadlinePassed);
    }
    if state.is_suspended() {
        return Err(Rejection::TicketSuspended);
    }
    assert!(code_key > 0, "code keys are numbered from 1");

    // From here on it must succeed.
    happened(Event::TicketIssued(TicketIssued { generation: 1, code_key, channel }))
}

/// A ticket that was used up may not come back to life in other hands. The issuance deadline is
/// for the first fetching alone: who lost a ticket gets another one after it, too.
fn reissue(
    state: &State,
    ticket: &TicketCreated,
    code_key: u8,
    channel: Channel,
    reason: &Reason,
) -> Decision {
    if state.status() == TicketStatus::Void {
        return Err(Rejection::TicketVoid);
    }
    if state.generation() == 0 {
        return Err(Rejection::NotIssued);
    }
    if state.entries() > 0 && !ticket.entry.reentry {
        return Err(Rejection::AlreadyUsed);
    }
    if state.is_suspended() {
        return Err(Rejection::TicketSuspended);
    }
    let generation = state.generation().checked_add(1).ok_or(Rejection::TooManyReissues)?;
    assert!(code_key > 0, "code keys are numbered from 1");

    // From here on it must succeed.
    happened(Event::TicketReissued(TicketReissued {
        generation,
        code_key,
        channel,
        reason: reason.clone(),
    }))
}

fn suspend(state: &State, reason: &Reason) -> Decision {
    if state.status() == TicketStatus::Void {
        return Err(Rejection::TicketVoid);
    }
    if state.is_suspended() {
        return Ok(Outcome::AlreadyHappened);
    }
    happened(Event::TicketSuspended(TicketSuspended { reason: reason.clone() }))
}

fn reinstate(state: &State) -> Decision {
    if state.status() == TicketStatus::Void {
        return Err(Rejection::TicketVoid);
    }
    if !state.is_suspended() {
        return Ok(Outcome::AlreadyHappened);
    }
    happened(Event::TicketReinstated(TicketReinstated {}))
}

fn void(state: &State, reason: &Reason, even_if_used: bool) -> Decision {
    if state.status() == TicketStatus::Void {
        return Ok(Outcome::AlreadyHappened);
    }
    if state.entries() > 0 && !even_if_used {
        return Err(Rejection::AlreadyUsed);
    }
    happened(Event::TicketVoided(TicketVoided { reason: reason.clone() }))
}

/// What was shown at a gate.
struct Shown {
    show: ShowId,
    direction: Direction,
    generation: u16,
    key_disabled: bool,
}

/// Every reading of a code is a fact of its own, so the same scan again is another event.
fn scan(
    state: &State,
    ticket: &TicketCreated,
    shown: &Shown,
    gate: &GateName,
    now: Timestamp,
) -> Decision {
    if state.generation() == 0 {
        return Err(Rejection::NotIssued);
    }

    // From here on it must succeed.
    let Shown { show, direction, generation, .. } = *shown;
    let gate = gate.clone();
    let passed = TicketScanned { gate: gate.clone(), generation };
    happened(match (refusal(state, ticket, shown, now), direction) {
        (Some(reason), _) => {
            Event::ScanRefused(ScanRefused { gate, direction, generation, show, reason })
        }
        (None, Direction::Entry) => Event::TicketEntered(passed),
        (None, Direction::Exit) => Event::TicketExited(passed),
    })
}

/// Why a scan is refused, in the order of [`ScanRefusal`].
///
/// Whoever is inside must be able to leave: neither a voided ticket nor a reissued, unpaid or
/// outdated one keeps a person in. So an exit with the code that came in, or with the live one,
/// is refused only at a gate of another show. Other old codes open no exit: they could end the
/// stay of a person who is still inside.
fn refusal(
    state: &State,
    ticket: &TicketCreated,
    shown: &Shown,
    now: Timestamp,
) -> Option<ScanRefusal> {
    let live = state.generation();
    let key_disabled = Guard::KeyDisabled.sees(shown.key_disabled);
    if key_disabled || shown.generation == 0 || shown.generation > live {
        return Some(ScanRefusal::Invalid);
    }
    let leaves = shown.direction == Direction::Exit
        && state.inside_with().is_some_and(|came| [came, live].contains(&shown.generation));
    if Guard::TicketVoid.sees(state.status() == TicketStatus::Void && !leaves) {
        return Some(ScanRefusal::Canceled);
    }
    if Guard::CodeReplaced.sees(shown.generation < live && !leaves) {
        return Some(ScanRefusal::Revoked);
    }
    if Guard::WrongShow.sees(shown.show != ticket.show) {
        return Some(ScanRefusal::WrongShow);
    }
    if leaves {
        return None;
    }
    if Guard::TicketSuspended.sees(state.is_suspended()) {
        return Some(ScanRefusal::Unpaid);
    }
    if shown.direction == Direction::Exit {
        return Some(ScanRefusal::NotInside);
    }
    if now < ticket.entry.valid_from || now >= ticket.entry.valid_until {
        return Some(ScanRefusal::InvalidTime);
    }
    let used_up = state.entries() > 0 && !ticket.entry.reentry;
    let redeemed = Guard::AlreadyUsed.sees(used_up || state.is_inside());
    redeemed.then_some(ScanRefusal::AlreadyRedeemed)
}

fn happened(event: Event) -> Decision {
    Ok(Outcome::Happened(vec![event]))
}
