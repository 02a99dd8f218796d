//! What happens to a show. THESE NAMES ARE THE STORAGE FORMAT: a stored event is for ever.
//! A changed shape is a new schema version with an upcaster in `codec.rs`.

use serde::{Deserialize, Serialize};

use crate::{
    legs::Legs,
    money::Currency,
    names::{Category, Label, PoolId, Reason, TicketTypeId, VenueId},
    ticket::EntryRule,
    time::Timestamp,
};

/// A fact about a show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It will take place.
    ShowScheduled(ShowScheduled),
    /// A ticket type is offered, or offered with other terms from now on.
    TicketTypeOffered(TicketType),
    /// A ticket type is offered no more.
    TicketTypeWithdrawn(TicketTypeWithdrawn),
    /// It will not take place.
    ShowCancelled(ShowCancelled),
}

/// How and until when its tickets are given out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Issuance {
    /// By itself, as soon as the order is paid.
    Immediate,
    /// When the buyer fetches it, until the issuance deadline (発券期限).
    OnRequest {
        /// The last moment.
        until: Timestamp,
    },
}

/// `show-scheduled`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowScheduled {
    /// What people call it.
    pub name: Label,
    /// Where.
    pub venue: VenueId,
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// The names of its stops, one more than it has legs; none for a concert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<Label>,
    /// Of every price.
    pub currency: Currency,
    /// When one may come in.
    pub entry: EntryRule,
    /// When its tickets are given out.
    pub issuance: Issuance,
}

/// `ticket-type-offered`
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TicketType {
    /// Unique in the show.
    pub ticket_type: TicketTypeId,
    /// What people call it.
    pub name: Label,
    /// For one place, on any legs for which `fares` says nothing; minor units.
    pub price_minor: u64,
    /// Prices for certain ranges of legs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fares: Vec<Fare>,
    /// Only for seats and pools of these categories; for all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
    /// Only for these pools, whatever their category; when empty, `categories` alone decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolId>,
}

/// The price for one range of legs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fare {
    /// From where to where.
    pub legs: Legs,
    /// In minor units.
    pub price_minor: u64,
}

/// `ticket-type-withdrawn`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketTypeWithdrawn {
    /// Which.
    pub ticket_type: TicketTypeId,
}

/// `show-cancelled`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowCancelled {
    /// Why.
    pub reason: Reason,
}
