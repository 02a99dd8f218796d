//! The rules of an organizer.

use super::{
    Command, Event, Rejection, State,
    events::{CodeKeyAdded, CodeKeyDisabled, OrganizerRegistered},
    state,
};
use crate::{Context, Decider, Outcome, Rules, names::Label};

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
            Command::RegisterOrganizer { name } => register(state, name),
            Command::RotateCodeKey => rotate(state),
            Command::DisableCodeKey { code_key } => disable(state, *code_key),
        }
    }
}

fn register(state: &State, name: &Label) -> Decision {
    match state.name() {
        Some(same) if same == name => Ok(Outcome::AlreadyHappened),
        Some(_) => Err(Rejection::OrganizerExists),
        None => Ok(Outcome::Happened(vec![
            Event::OrganizerRegistered(OrganizerRegistered { name: name.clone() }),
            Event::CodeKeyAdded(CodeKeyAdded { code_key: 1 }),
        ])),
    }
}

/// Each rotation is one of its own: asked twice, it rotates twice.
fn rotate(state: &State) -> Decision {
    let newest = state.signing_key().ok_or(Rejection::OrganizerUnknown)?;
    let code_key = newest.checked_add(1).ok_or(Rejection::CodeKeysExhausted)?;
    Ok(Outcome::Happened(vec![Event::CodeKeyAdded(CodeKeyAdded { code_key })]))
}

fn disable(state: &State, code_key: u8) -> Decision {
    let signing = state.signing_key().ok_or(Rejection::OrganizerUnknown)?;
    if !state.has_key(code_key) {
        return Err(Rejection::CodeKeyUnknown);
    }
    if !state.may_verify(code_key) {
        return Ok(Outcome::AlreadyHappened);
    }
    if code_key == signing {
        return Err(Rejection::CodeKeySigning);
    }
    Ok(Outcome::Happened(vec![Event::CodeKeyDisabled(CodeKeyDisabled { code_key })]))
}
