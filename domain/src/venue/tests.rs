//! The rules of a venue, in words.

use super::{decide::RuleBook, *};
use crate::{
    names::*,
    seatmap::{Point, Pool, Row, Seat, SeatMap, SeatMapError, Section},
    testing::{self, Given},
};

fn given(events: impl IntoIterator<Item = Event>) -> Given<RuleBook> {
    testing::given(events)
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// One row with these seats.
fn map(seats: &[&str]) -> SeatMap {
    let seat = |id: &&str| Seat {
        id: SeatId::new(id).unwrap(),
        number: label(id),
        at: Point { x: 1, y: -2 },
        category: Category::new("stalls").unwrap(),
        wheelchair: false,
        aisle_after: true,
    };
    let rows = vec![Row { name: label("A"), seats: seats.iter().map(seat).collect() }];
    let pool = Pool {
        id: PoolId::new("standing").unwrap(),
        capacity: 10,
        category: Category::new("stalls").unwrap(),
    };
    SeatMap {
        name: label("Hall"),
        focus: Point::default(),
        sections: vec![Section { name: label("Stalls"), rows }],
        pools: vec![pool],
    }
}

fn twice() -> (SeatMap, Rejection) {
    let error = SeatMapError::DuplicateSeat {
        seat: SeatId::new("A1").unwrap(),
        first: label("Stalls"),
        second: label("Stalls"),
        row: label("A"),
    };
    (map(&["A1", "A1"]), Rejection::SeatMapInvalid(Box::new(error)))
}

fn register(name: &str, seats: &[&str]) -> Command {
    Command::RegisterVenue { name: label(name), seat_map: Box::new(map(seats)) }
}

fn registered(seats: &[&str]) -> Event {
    Event::VenueRegistered(VenueRegistered { name: label("Hall"), seat_map: map(seats) })
}

fn replace(seats: &[&str]) -> Command {
    Command::ReplaceSeatMap { seat_map: Box::new(map(seats)) }
}

fn replaced(seats: &[&str]) -> Event {
    Event::SeatMapReplaced(SeatMapReplaced { seat_map: map(seats) })
}

#[test]
fn an_unknown_venue_has_no_map_to_replace() {
    given([]).when(replace(&["A1"])).then_rejected(Rejection::VenueUnknown);
}

#[test]
fn a_venue_is_registered_once() {
    let known = || given([registered(&["A1"])]);
    known().when(register("Other", &["A1"])).then_rejected(Rejection::VenueExists);
    known().when(register("Hall", &["A1", "A2"])).then_rejected(Rejection::VenueExists);
}

#[test]
fn a_map_keeps_its_own_rules() {
    let (seat_map, invalid) = twice();
    let seat_map = Box::new(seat_map);
    let command = Command::RegisterVenue { name: label("Hall"), seat_map: seat_map.clone() };
    given([]).when(command).then_rejected(invalid.clone());
    let command = Command::ReplaceSeatMap { seat_map };
    given([registered(&["A1"])]).when(command).then_rejected(invalid);
}

#[test]
fn a_venue_is_registered_and_gets_another_map() {
    given([]).when(register("Hall", &["A1"])).then([registered(&["A1"])]);
    given([registered(&["A1"])]).when(register("Hall", &["A1"])).then_nothing();
    given([registered(&["A1"])]).when(replace(&["A1"])).then_nothing();
    given([registered(&["A1"])]).when(replace(&["B1"])).then([replaced(&["B1"])]);
    let state = given([registered(&["A1"]), replaced(&["B1"])]).state();
    assert_eq!(state.name(), Some(&label("Hall")));
    assert_eq!(state.seat_map(), Some(&map(&["B1"])));
    given([registered(&["A1"]), replaced(&["B1"])]).when(replace(&["B1"])).then_nothing();
}

#[test]
fn a_snapshot_of_a_venue_is_the_same_venue() {
    testing::snapshot_keeps(&given([registered(&["A1", "A2"])]).state());
    testing::snapshot_keeps(&State::default());
}
