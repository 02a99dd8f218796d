//! The gates of a show have one rule: whatever is shown is recorded.

use serde::{Deserialize, Serialize};

use super::events::{CodeRefused, Event};
use crate::{Context, Decider, Outcome, Rules};

/// How many codes were refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// So many.
    pub refused: u64,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Record a code that belongs to no ticket of the organizer.
    RefuseCode(CodeRefused),
}

/// Nothing is ever refused here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {}

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

    fn evolve(state: &mut State, event: &Event) {
        match event {
            Event::CodeRefused(_) => state.refused += 1,
        }
    }

    fn decide(
        _state: &State,
        command: &Command,
        _context: &Context,
    ) -> Result<Outcome<Event>, Rejection> {
        match command {
            Command::RefuseCode(code) => {
                Ok(Outcome::Happened(vec![Event::CodeRefused(code.clone())]))
            }
        }
    }
}
