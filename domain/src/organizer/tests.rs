//! The rules of an organizer, in words.

use super::{decide::RuleBook, *};
use crate::{
    names::Label,
    testing::{self, Given},
};

fn given(events: impl IntoIterator<Item = Event>) -> Given<RuleBook> {
    testing::given(events)
}

fn register(name: &str) -> Command {
    Command::RegisterOrganizer { name: Label::new(name).unwrap() }
}

/// Registered, with the keys 1 to `newest`.
fn with_keys(newest: u8) -> Vec<Event> {
    let name = Label::new("Hall Ltd").unwrap();
    let registered = Event::OrganizerRegistered(OrganizerRegistered { name });
    std::iter::once(registered).chain((1..=newest).map(added)).collect()
}

fn added(code_key: u8) -> Event {
    Event::CodeKeyAdded(CodeKeyAdded { code_key })
}

fn disable(code_key: u8) -> Command {
    Command::DisableCodeKey { code_key }
}

fn disabled(code_key: u8) -> Event {
    Event::CodeKeyDisabled(CodeKeyDisabled { code_key })
}

#[test]
fn an_unknown_organizer_has_no_keys() {
    given([]).when(Command::RotateCodeKey).then_rejected(Rejection::OrganizerUnknown);
    given([]).when(disable(1)).then_rejected(Rejection::OrganizerUnknown);
}

#[test]
fn an_organizer_is_registered_once() {
    given(with_keys(1)).when(register("Other")).then_rejected(Rejection::OrganizerExists);
}

#[test]
fn there_are_255_keys() {
    given(with_keys(254)).when(Command::RotateCodeKey).then([added(255)]);
    let last = given(with_keys(255)).when(Command::RotateCodeKey);
    last.then_rejected(Rejection::CodeKeysExhausted);
}

#[test]
fn an_unknown_key_is_not_disabled() {
    for key in [0, 3, 255] {
        given(with_keys(2)).when(disable(key)).then_rejected(Rejection::CodeKeyUnknown);
    }
}

#[test]
fn the_key_that_signs_is_not_disabled() {
    given(with_keys(2)).when(disable(2)).then_rejected(Rejection::CodeKeySigning);
}

#[test]
fn an_organizer_is_registered_with_a_key_and_rotates_it() {
    given([]).when(register("Hall Ltd")).then(with_keys(1));
    given(with_keys(1)).when(register("Hall Ltd")).then_nothing();
    given(with_keys(1)).when(Command::RotateCodeKey).then([added(2)]);
    let state = given(with_keys(2)).state();
    assert_eq!(state.signing_key(), Some(2));
    assert!(state.may_verify(1) && state.may_verify(2));
    assert!(!state.may_verify(0) && !state.may_verify(3));
    assert_eq!(given([]).state().signing_key(), None);
}

#[test]
fn an_older_key_is_disabled_once() {
    given(with_keys(3)).when(disable(1)).then([disabled(1)]);
    let without = || given([with_keys(3), vec![disabled(1)]].concat());
    without().when(disable(1)).then_nothing();
    let state = without().state();
    assert!(!state.may_verify(1) && state.may_verify(2) && state.may_verify(3));
    testing::snapshot_keeps(&state);
    testing::snapshot_keeps(&State::default());
}
