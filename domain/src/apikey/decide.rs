//! The rules of an API key.

use super::{
    Command, Event, Rejection, State,
    events::{ApiKeyCreated, ApiKeyRevoked, Role},
    state,
};
use crate::{Context, Decider, Outcome, Rules};

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
            Command::CreateApiKey(key) => create(state, key),
            Command::RevokeApiKey => revoke(state),
        }
    }
}

fn create(state: &State, key: &ApiKeyCreated) -> Decision {
    if let Some(known) = state.created() {
        let same = known == key;
        return if same { Ok(Outcome::AlreadyHappened) } else { Err(Rejection::ApiKeyExists) };
    }
    if (key.role == Role::Operator) != key.organizer.is_none() {
        return Err(Rejection::RoleNeedsOrganizer);
    }
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(key.hash.len() == 64 && key.hash.bytes().all(is_hex), "not a hash made by us");

    // From here on it must succeed.
    Ok(Outcome::Happened(vec![Event::ApiKeyCreated(key.clone())]))
}

fn revoke(state: &State) -> Decision {
    if state.created().is_none() {
        return Err(Rejection::ApiKeyUnknown);
    }
    if state.is_revoked() {
        return Ok(Outcome::AlreadyHappened);
    }
    Ok(Outcome::Happened(vec![Event::ApiKeyRevoked(ApiKeyRevoked {})]))
}
