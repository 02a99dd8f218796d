//! The rules of what operators decide, in words.

use ulid::Ulid;

use super::{
    decide::{MOST_SKIPS, RuleBook},
    *,
};
use crate::{
    envelope::Position,
    names::{EventId, ProjectionName, Reason},
    testing::{self, Given},
};

fn given(events: impl IntoIterator<Item = Event>) -> Given<RuleBook> {
    testing::given(events)
}

fn projection(name: &str) -> ProjectionName {
    ProjectionName::new(name).unwrap()
}

fn reason() -> Reason {
    Reason::new("written by a gate on trial").unwrap()
}

fn skip(name: &str, event: u128) -> EventSkipped {
    EventSkipped {
        projection: projection(name),
        event: EventId(Ulid(event)),
        position: Position(7),
        kind: "ticket-voided".to_owned(),
        reason: reason(),
    }
}

fn skipped(name: &str, event: u128) -> Event {
    Event::EventSkipped(skip(name, event))
}

fn withdrawal(name: &str, event: u128) -> SkipWithdrawn {
    SkipWithdrawn { projection: projection(name), event: EventId(Ulid(event)), reason: reason() }
}

#[test]
fn what_is_not_left_out_cannot_be_taken_back() {
    let unknown = Command::WithdrawSkip(withdrawal("tickets", 1));
    given([]).when(unknown.clone()).then_rejected(Rejection::SkipUnknown);
    given([skipped("scans", 1)]).when(unknown.clone()).then_rejected(Rejection::SkipUnknown);
    let gone = [skipped("tickets", 1), Event::SkipWithdrawn(withdrawal("tickets", 1))];
    given(gone).when(unknown).then_rejected(Rejection::SkipUnknown);
}

#[test]
fn more_events_than_anybody_needs_are_not_left_out() {
    let all = (0..MOST_SKIPS).map(|n| skipped("tickets", n as u128));
    let more = Command::SkipEvent(skip("tickets", MOST_SKIPS as u128));
    given(all).when(more).then_rejected(Rejection::TooManySkips);
}

#[test]
fn an_event_is_left_out_once_by_each_read_model_until_that_is_taken_back() {
    let ask = |name| Command::SkipEvent(skip(name, 1));
    given([]).when(ask("tickets")).then([skipped("tickets", 1)]);
    given([skipped("tickets", 1)]).when(ask("tickets")).then_nothing();
    given([skipped("tickets", 1)]).when(ask("scans")).then([skipped("scans", 1)]);
    let back = Event::SkipWithdrawn(withdrawal("tickets", 1));
    let withdraw = Command::WithdrawSkip(withdrawal("tickets", 1));
    given([skipped("tickets", 1)]).when(withdraw).then([back.clone()]);
    given([skipped("tickets", 1), back.clone()]).when(ask("tickets")).then([skipped("tickets", 1)]);
    let state = given([skipped("tickets", 1), skipped("scans", 1), back]).state();
    assert_eq!(state.skipped().len(), 1);
    testing::snapshot_keeps(&state);
    testing::snapshot_keeps(&State::default());
}
