//! What one may ask of a ticket, and why it may be refused.

use super::events::{Channel, Direction, TicketCreated};
use crate::names::{GateName, Reason, ShowId};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make the right to enter (checkout).
    CreateTicket(Box<TicketCreated>),
    /// Give its code out.
    IssueTicket {
        /// The organizer's signing key.
        code_key: u8,
        /// Where.
        channel: Channel,
    },
    /// Give a new code out; the old one is dead.
    ReissueTicket {
        /// The organizer's signing key.
        code_key: u8,
        /// Where.
        channel: Channel,
        /// Why.
        reason: Reason,
    },
    /// No entry until it is paid again.
    SuspendTicket {
        /// Why.
        reason: Reason,
    },
    /// Paid again.
    ReinstateTicket,
    /// Take the right to enter away.
    VoidTicket {
        /// Why.
        reason: Reason,
        /// Also when somebody came in with it.
        even_if_used: bool,
    },
    /// A code of this ticket was read at a gate. Once it is issued never refused: a refused scan
    /// is an event too.
    Scan {
        /// The show that the gate belongs to.
        show: ShowId,
        /// Where.
        gate: GateName,
        /// Which way.
        direction: Direction,
        /// Of the code shown.
        generation: u16,
        /// The organizer disabled the key that signed the code.
        key_disabled: bool,
    },
}

/// Why a command is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// No ticket has this id.
    TicketUnknown,
    /// The ticket exists already, with other contents.
    TicketExists,
    /// It is cancelled.
    TicketVoid,
    /// Nobody has its code yet.
    NotIssued,
    /// Its code is given out already (重複発券): reissue it instead.
    AlreadyIssued,
    /// The issuance deadline (発券期限) has passed.
    IssuanceDeadlinePassed,
    /// Somebody came in with it: it cannot be voided unless `even_if_used`, nor be reissued
    /// unless its holder may come in again.
    AlreadyUsed,
    /// The payment was taken back.
    TicketSuspended,
    /// It was issued as often as its code can tell: 65,535 times.
    TooManyReissues,
}
