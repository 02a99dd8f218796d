//! The rules of what operators decide.

use super::{
    Command, Event, Rejection, Skip, State,
    events::{EventSkipped, SkipWithdrawn},
    state,
};
use crate::{Context, Decider, Outcome, Rules};

/// Events that may be left out at once, over all read models: whoever needs more has another
/// trouble, and each fold keeps the list in memory.
pub const MOST_SKIPS: usize = 10_000;

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
        match command {
            Command::SkipEvent(skip) => skip_event(state, skip),
            Command::WithdrawSkip(withdrawal) => withdraw(state, withdrawal),
        }
    }
}

fn skip_event(state: &State, skip: &EventSkipped) -> Decision {
    let wanted = Skip { projection: skip.projection.clone(), event: skip.event };
    if state.skipped().contains(&wanted) {
        return Ok(Outcome::AlreadyHappened);
    }
    if state.skipped().len() >= MOST_SKIPS {
        return Err(Rejection::TooManySkips);
    }

    // From here on it must succeed.
    Ok(Outcome::Happened(vec![Event::EventSkipped(skip.clone())]))
}

fn withdraw(state: &State, withdrawal: &SkipWithdrawn) -> Decision {
    let wanted = Skip { projection: withdrawal.projection.clone(), event: withdrawal.event };
    if !state.skipped().contains(&wanted) {
        return Err(Rejection::SkipUnknown);
    }

    // From here on it must succeed.
    Ok(Outcome::Happened(vec![Event::SkipWithdrawn(withdrawal.clone())]))
}
