//! A hall of 40,000 seats, sold out by best available.

use super::*;
use crate::{Context, Decider, Outcome, names::ActorRef};

/// Four stands around a pitch, each with 100 rows of 100 seats and an aisle in the middle.
pub(super) fn arena() -> SeatMap {
    let stand = |name: &str, turn: fn(i32, i32) -> (i32, i32)| {
        let rows = (0..100).map(|number| {
            let mut row = row(&format!("{name}{number}-"), 0, &"..........".repeat(10));
            row.seats[49].aisle_after = true;
            for seat in &mut row.seats {
                let (x, y) = turn(seat.at.x, 6_000 + 80 * number);
                seat.at = Point { x, y };
            }
            row
        });
        section(name, rows)
    };
    map([
        stand("north", |along, away| (along, -away)),
        stand("east", |along, away| (away, along)),
        stand("south", |along, away| (-along, away)),
        stand("west", |along, away| (-away, -along)),
    ])
}

fn open_arena() -> State {
    let rules = SalesRules { max_places_per_hold: 1_000, ..rules() };
    given([Event::SalesOpened(opening(arena(), 1, rules))]).state()
}

#[test]
fn parties_fill_an_arena_to_the_last_seat() {
    let mut state = open_arena();
    let context = Context { now: START, actor: ActorRef::new("test").unwrap() };
    let mut left: u32 = 40_000;
    for number in 0.. {
        // Mostly crowds, so that the test is short, and small parties when it gets narrow.
        let size = if left > 6_000 { 20 + number % 31 } else { 1 + number % 6 };
        let count = size.min(left);
        let party = BestAvailable { count, seed: number.into(), ..BestAvailable::default() };
        let mut ask = HoldSeats { hold: hold_id(&number.to_string()), ..ask("H", []) };
        ask.seats = SeatChoice::BestAvailable(party.clone());
        let mut outcome = RuleBook::decide(&state, &Command::HoldSeats(ask.clone()), &context);
        if outcome == Err(Rejection::NoAdjacentSeats) {
            ask.seats = SeatChoice::BestAvailable(BestAvailable { may_split: true, ..party });
            outcome = RuleBook::decide(&state, &Command::HoldSeats(ask.clone()), &context);
        }
        let Ok(Outcome::Happened(events)) = outcome else { panic!("{left} left: {outcome:?}") };
        for event in &events {
            // No seat is given twice: the fold asserts it.
            RuleBook::evolve(&mut state, event);
        }
        left -= count;
        if left == 0 {
            ask.hold = hold_id("late");
            let late = RuleBook::decide(&state, &Command::HoldSeats(ask), &context);
            assert_eq!(late, Err(Rejection::NotEnoughSeats));
            break;
        }
    }
    assert_eq!(state.places_of(&buyer("ann")), 40_000);
}
