use super::{Command, Event, Rejection, State};
use crate::{Context, Decider, Outcome, Rules};

/// The rules.
pub struct RuleBook;

impl Rules for State {
    type Decider = RuleBook;
}

impl Decider for RuleBook {
    type State = State;
    type Event = Event;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(_state: &mut State, _event: &Event) {}

    fn decide(
        _state: &State,
        _command: &Command,
        _context: &Context,
    ) -> Result<Outcome<Event>, Rejection> {
        Ok(Outcome::AlreadyHappened)
    }
}
