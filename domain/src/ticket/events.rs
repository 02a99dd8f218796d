//! What happens to a ticket. THESE NAMES ARE THE STORAGE FORMAT: a stored event is for ever.
//! A changed shape is a new schema version with an upcaster in `codec.rs`.

use serde::{Deserialize, Serialize};

use crate::{
    legs::Legs,
    names::{BuyerRef, GateName, OrderId, PoolId, Reason, SeatId, ShowId, TicketTypeId},
    time::Timestamp,
};

/// How often and when one may come in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EntryRule {
    /// No entry before.
    pub valid_from: Timestamp,
    /// No entry from then on.
    pub valid_until: Timestamp,
    /// Who went out may come in again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reentry: bool,
}

/// A fact about a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The right to enter exists; nobody has its code yet (未発券).
    TicketCreated(TicketCreated),
    /// Its code is given out (発券済).
    TicketIssued(TicketIssued),
    /// A new code after loss (再発行); the old one is dead.
    TicketReissued(TicketReissued),
    /// No entry until it is paid again.
    TicketSuspended(TicketSuspended),
    /// Paid again.
    TicketReinstated(TicketReinstated),
    /// The right to enter is gone (取消済).
    TicketVoided(TicketVoided),
    /// Somebody came in.
    TicketEntered(TicketScanned),
    /// Somebody went out.
    TicketExited(TicketScanned),
    /// A code of this ticket was shown and refused.
    ScanRefused(ScanRefused),
}

/// `ticket-created`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketCreated {
    /// Of which order.
    pub order: OrderId,
    /// Which item of it.
    pub item: u16,
    /// To what.
    pub show: ShowId,
    /// The numbered seat; else `pool` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<SeatId>,
    /// The pool; else `seat` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolId>,
    /// On these legs.
    #[serde(default, skip_serializing_if = "Legs::is_one")]
    pub legs: Legs,
    /// As what.
    pub ticket_type: TicketTypeId,
    /// Whose order it is.
    pub buyer: BuyerRef,
    /// How often and when one may come in.
    pub entry: EntryRule,
    /// The issuance deadline (発券期限): no issuance from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_until: Option<Timestamp>,
}

/// How a ticket reached its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// By itself, when the order was paid.
    Online,
    /// At a counter.
    BoxOffice,
    /// At a convenience store's terminal.
    ConvenienceStore,
}

/// `ticket-issued`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketIssued {
    /// Of the code: 1.
    pub generation: u16,
    /// Which of the organizer's keys signs the code.
    pub code_key: u8,
    /// Where.
    pub channel: Channel,
}

/// `ticket-reissued`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketReissued {
    /// Of the new code: one more than before.
    pub generation: u16,
    /// Which of the organizer's keys signs the code.
    pub code_key: u8,
    /// Where.
    pub channel: Channel,
    /// Why.
    pub reason: Reason,
}

/// `ticket-suspended`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSuspended {
    /// Why.
    pub reason: Reason,
}

/// `ticket-reinstated`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketReinstated {}

/// `ticket-voided`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketVoided {
    /// Why.
    pub reason: Reason,
}

/// `ticket-entered` and `ticket-exited`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketScanned {
    /// Where.
    pub gate: GateName,
    /// Of the code shown.
    pub generation: u16,
}

/// Which way somebody wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// In.
    Entry,
    /// Out.
    Exit,
}

/// Why a scan is refused, in the order of the checks. The field's own words where they exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanRefusal {
    /// The code is none of ours: forged, damaged, or of another organizer.
    Invalid,
    /// The ticket is cancelled.
    Canceled,
    /// The ticket was issued again, and this is an older code.
    Revoked,
    /// The ticket is for another show.
    WrongShow,
    /// The payment was taken back.
    Unpaid,
    /// Too early or too late.
    InvalidTime,
    /// Somebody came in with it already.
    AlreadyRedeemed,
    /// Nobody is inside with it, so nobody can go out.
    NotInside,
}

/// `scan-refused`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRefused {
    /// Where.
    pub gate: GateName,
    /// Which way.
    pub direction: Direction,
    /// Of the code shown.
    pub generation: u16,
    /// To which show the gate belongs.
    pub show: ShowId,
    /// Why.
    pub reason: ScanRefusal,
}
