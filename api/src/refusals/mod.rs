//! Every refusal in one table: the rule that said no, the code that clients switch on, a sentence
//! that says what was wrong and what to do next, and the input field concerned. The matches are
//! exhaustive: a new rejection does not compile before it has its row.

mod catalogue;
mod desk;
mod inventory;
mod order;
#[cfg(test)]
mod tests;
mod ticket;

use std::borrow::Cow;

use hakken_commands::engine::CommandError;
use hakken_domain::{
    Rejection, apikey,
    envelope::{StreamId, StreamKind},
    inventory as inventories, operations, order as orders, organizer as organizers, show as shows,
    ticket as tickets, venue as venues,
};

use crate::codes::ErrorCode::{self, *};

use self::{
    catalogue::{api_key, operation, organizer, show, venue},
    inventory::inventory,
    order::order,
    ticket::ticket,
};
pub(crate) use desk::desk;

/// Which field of the input is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// None in particular.
    Nowhere,
    /// The first of these that the request has.
    Field(&'static [&'static str]),
    /// The one of these that has this value.
    Value(&'static [&'static str], String),
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: Cow<'static, str>,
    pub(crate) at: At,
}

fn row(code: ErrorCode, message: impl Into<Cow<'static, str>>, at: At) -> Refusal {
    Refusal { code, message: message.into(), at }
}

const SEAT: &[&str] = &["seats", "seat"];
const POOL: &[&str] = &["pools", "pool"];
const SHOW: At = At::Field(&["show"]);
const HOLD: At = At::Field(&["hold"]);
const BUYER: At = At::Field(&["buyer"]);
const ORDER: At = At::Field(&["order"]);
const RULES: At = At::Field(&["rules"]);
const REFUND: At = At::Field(&["refund"]);
const AMOUNT: At = At::Field(&["amount", "payments"]);
const TICKET: At = At::Field(&["ticket", "code"]);
const SEAT_MAP: At = At::Field(&["seatMap"]);
const PLACES: At = At::Field(&["bestAvailable", "seats", "pools"]);

fn seat(seat: &hakken_domain::names::SeatId) -> At {
    At::Value(SEAT, seat.to_string())
}

fn pool(pool: &hakken_domain::names::PoolId) -> At {
    At::Value(POOL, pool.to_string())
}

fn item(number: u16) -> At {
    At::Value(&["items"], number.to_string())
}

/// The answer to what a command refused; none for what is no refusal but a fault.
pub(crate) fn command(error: &CommandError, stream: StreamId) -> Option<Refusal> {
    match error {
        CommandError::Rejected(rejection) => Some(rejected(rejection)),
        CommandError::KeyReused => Some(row(
            IdempotencyKeyReused,
            "The idempotency key was used before with another request. Send the same request \
             again, or use a fresh key for this one.",
            At::Field(&["idempotencyKey"]),
        )),
        CommandError::NotYours => Some(not_yours(stream.kind)),
        CommandError::Busy | CommandError::Contended { .. } | CommandError::Unavailable => None,
    }
}

/// Other organizers' things look as if they did not exist: exactly as the rules answer there.
pub(crate) fn not_yours(kind: StreamKind) -> Refusal {
    match kind {
        StreamKind::Inventory => inventory(&inventories::Rejection::SalesNotOpened),
        StreamKind::Order => order(&orders::Rejection::OrderUnknown),
        StreamKind::Ticket => ticket(&tickets::Rejection::TicketUnknown),
        StreamKind::Show | StreamKind::Gate => show(&shows::Rejection::ShowUnknown),
        StreamKind::Venue => venue(&venues::Rejection::VenueUnknown),
        StreamKind::Organizer => organizer(&organizers::Rejection::OrganizerUnknown),
        StreamKind::Key => api_key(&apikey::Rejection::ApiKeyUnknown),
        StreamKind::Operations => operation(&operations::Rejection::SkipUnknown),
    }
}

fn rejected(rejection: &Rejection) -> Refusal {
    match rejection {
        Rejection::Inventory(rejection) => inventory(rejection),
        Rejection::Order(rejection) => order(rejection),
        Rejection::Ticket(rejection) => ticket(rejection),
        Rejection::Show(rejection) => show(rejection),
        Rejection::Venue(rejection) => venue(rejection),
        Rejection::Organizer(rejection) => organizer(rejection),
        Rejection::Key(rejection) => api_key(rejection),
        Rejection::Gate(rejection) => match *rejection {},
        Rejection::Operations(rejection) => operation(rejection),
    }
}
