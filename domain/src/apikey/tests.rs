//! The rules of an API key, in words.

use ulid::Ulid;

use super::{decide::RuleBook, *};
use crate::{
    names::{Label, OrganizerId},
    testing::{self, Given},
};

fn given(events: impl IntoIterator<Item = Event>) -> Given<RuleBook> {
    testing::given(events)
}

fn key(role: Role, organizer: Option<u128>) -> ApiKeyCreated {
    ApiKeyCreated {
        label: Label::new("north gate").unwrap(),
        role,
        organizer: organizer.map(|n| OrganizerId(Ulid(n))),
        hash: "0123456789abcdef".repeat(4),
    }
}

fn create(key: ApiKeyCreated) -> Command {
    Command::CreateApiKey(Box::new(key))
}

fn created() -> Event {
    Event::ApiKeyCreated(key(Role::Gate, Some(1)))
}

fn revoked() -> Event {
    Event::ApiKeyRevoked(ApiKeyRevoked {})
}

#[test]
fn an_unknown_key_is_not_revoked() {
    given([]).when(Command::RevokeApiKey).then_rejected(Rejection::ApiKeyUnknown);
}

#[test]
fn a_key_is_made_once() {
    let other = key(Role::Auditor, Some(1));
    given([created()]).when(create(other)).then_rejected(Rejection::ApiKeyExists);
}

#[test]
fn an_operator_belongs_to_nobody_and_everybody_else_to_an_organizer() {
    for role in [Role::Organizer, Role::BoxOffice, Role::Gate, Role::Auditor] {
        given([]).when(create(key(role, None))).then_rejected(Rejection::RoleNeedsOrganizer);
        given([]).when(create(key(role, Some(1)))).then([Event::ApiKeyCreated(key(role, Some(1)))]);
    }
    let bound = given([]).when(create(key(Role::Operator, Some(1))));
    bound.then_rejected(Rejection::RoleNeedsOrganizer);
    let free = key(Role::Operator, None);
    given([]).when(create(free.clone())).then([Event::ApiKeyCreated(free)]);
}

#[test]
fn a_key_is_made_and_revoked() {
    given([]).when(create(key(Role::Gate, Some(1)))).then([created()]);
    given([created()]).when(create(key(Role::Gate, Some(1)))).then_nothing();
    given([created()]).when(Command::RevokeApiKey).then([revoked()]);
    let gone = || given([created(), revoked()]);
    gone().when(Command::RevokeApiKey).then_nothing();
    gone().when(create(key(Role::Gate, Some(1)))).then_nothing();
    let state = gone().state();
    assert!(state.is_revoked() && state.created().is_some());
    testing::snapshot_keeps(&state);
    testing::snapshot_keeps(&State::default());
}

#[test]
#[should_panic(expected = "not a hash made by us")]
fn a_key_itself_is_never_taken_for_its_hash() {
    let hash = "hk_secret".to_owned();
    given([]).when(create(ApiKeyCreated { hash, ..key(Role::Gate, Some(1)) })).then_nothing();
}
