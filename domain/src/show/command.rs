//! What one may ask of a show, and why it may be refused.

use super::events::{ShowScheduled, TicketType};
use crate::names::{Reason, TicketTypeId};

/// Most ticket types that a show may ever have, withdrawn ones included.
pub const MAX_TICKET_TYPES: usize = 500;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// It will take place.
    ScheduleShow(Box<ShowScheduled>),
    /// Offer a ticket type, or change its terms. What is ordered already keeps its price.
    OfferTicketType(Box<TicketType>),
    /// Offer it no more.
    WithdrawTicketType {
        /// Which.
        ticket_type: TicketTypeId,
    },
    /// It will not take place.
    CancelShow {
        /// Why.
        reason: Reason,
    },
}

/// Why a command is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// No show has this id.
    ShowUnknown,
    /// The show is scheduled already, with other contents.
    ShowExists,
    /// It will not take place.
    ShowCancelled,
    /// It ends before it begins, or there is no instant at which one may come in.
    TimesInvalid,
    /// One stop alone, or more than 65.
    StopsInvalid,
    /// A price is more than one amount can be.
    PriceInvalid,
    /// Two fares for the same legs, or legs that the show does not have.
    FaresInvalid,
    /// More than 500 ticket types, withdrawn ones included.
    TooManyTicketTypes,
    /// No ticket type has this name.
    TicketTypeUnknown,
}
