//! The rules of a show.

use std::collections::HashSet;

use super::{
    Command, Event, MAX_TICKET_TYPES, Rejection, State,
    events::{ShowCancelled, ShowScheduled, TicketType, TicketTypeWithdrawn},
    state,
};
use crate::{
    Context, Decider, Outcome, Rules,
    legs::MAX_LEGS,
    money::MAX_AMOUNT_MINOR,
    names::{Reason, TicketTypeId},
};

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
            Command::ScheduleShow(show) => schedule(state, show),
            _ if state.scheduled().is_none() => Err(Rejection::ShowUnknown),
            Command::OfferTicketType(terms) => offer(state, terms),
            Command::WithdrawTicketType { ticket_type } => withdraw(state, ticket_type),
            Command::CancelShow { reason } => cancel(state, reason),
        }
    }
}

fn schedule(state: &State, show: &ShowScheduled) -> Decision {
    if let Some(known) = state.scheduled() {
        let same = known == show;
        return if same { Ok(Outcome::AlreadyHappened) } else { Err(Rejection::ShowExists) };
    }
    if show.ends_at < show.starts_at || show.entry.valid_until <= show.entry.valid_from {
        return Err(Rejection::TimesInvalid);
    }
    if show.stops.len() == 1 || show.stops.len() > usize::from(MAX_LEGS) + 1 {
        return Err(Rejection::StopsInvalid);
    }
    happened(Event::ShowScheduled(show.clone()))
}

fn offer(state: &State, terms: &TicketType) -> Decision {
    if state.is_cancelled() {
        return Err(Rejection::ShowCancelled);
    }
    let present = state.ticket_type(&terms.ticket_type);
    if present == Some(terms) {
        return Ok(Outcome::AlreadyHappened);
    }
    let mut prices = terms.fares.iter().map(|fare| fare.price_minor).chain([terms.price_minor]);
    if prices.any(|price_minor| price_minor > MAX_AMOUNT_MINOR) {
        return Err(Rejection::PriceInvalid);
    }
    let mut legs = HashSet::new();
    if terms.fares.iter().any(|f| f.legs.to() > state.legs() || !legs.insert(f.legs)) {
        return Err(Rejection::FaresInvalid);
    }
    let is_new = present.is_none() && !state.is_withdrawn(&terms.ticket_type);
    if is_new && state.ticket_types_ever() >= MAX_TICKET_TYPES {
        return Err(Rejection::TooManyTicketTypes);
    }
    happened(Event::TicketTypeOffered(terms.clone()))
}

fn withdraw(state: &State, ticket_type: &TicketTypeId) -> Decision {
    if state.is_withdrawn(ticket_type) {
        return Ok(Outcome::AlreadyHappened);
    }
    if state.is_cancelled() {
        return Err(Rejection::ShowCancelled);
    }
    if state.ticket_type(ticket_type).is_none() {
        return Err(Rejection::TicketTypeUnknown);
    }
    happened(Event::TicketTypeWithdrawn(TicketTypeWithdrawn { ticket_type: ticket_type.clone() }))
}

fn cancel(state: &State, reason: &Reason) -> Decision {
    if state.is_cancelled() {
        return Ok(Outcome::AlreadyHappened);
    }
    happened(Event::ShowCancelled(ShowCancelled { reason: reason.clone() }))
}

fn happened(event: Event) -> Decision {
    Ok(Outcome::Happened(vec![event]))
}
