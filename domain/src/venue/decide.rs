//! The rules of a venue.

use super::{
    Command, Event, Rejection, State,
    events::{SeatMapReplaced, VenueRegistered},
    state,
};
use crate::{Context, Decider, Outcome, Rules, names::Label, seatmap::SeatMap};

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
            Command::RegisterVenue { name, seat_map } => register(state, name, seat_map),
            Command::ReplaceSeatMap { seat_map } => replace(state, seat_map),
        }
    }
}

fn register(state: &State, name: &Label, seat_map: &SeatMap) -> Decision {
    if let Some(known) = state.name() {
        let same = known == name && state.seat_map() == Some(seat_map);
        return if same { Ok(Outcome::AlreadyHappened) } else { Err(Rejection::VenueExists) };
    }
    check(seat_map)?;
    happened(Event::VenueRegistered(VenueRegistered {
        name: name.clone(),
        seat_map: seat_map.clone(),
    }))
}

fn replace(state: &State, seat_map: &SeatMap) -> Decision {
    let present = state.seat_map().ok_or(Rejection::VenueUnknown)?;
    if present == seat_map {
        return Ok(Outcome::AlreadyHappened);
    }
    check(seat_map)?;
    happened(Event::SeatMapReplaced(SeatMapReplaced { seat_map: seat_map.clone() }))
}

fn check(seat_map: &SeatMap) -> Result<(), Rejection> {
    seat_map.check().map_err(|error| Rejection::SeatMapInvalid(Box::new(error)))
}

fn happened(event: Event) -> Decision {
    Ok(Outcome::Happened(vec![event]))
}
