//! What happens to the seats of a show. THESE NAMES ARE THE STORAGE FORMAT: a stored event is
//! for ever. A changed shape is a new schema version with an upcaster in `codec.rs`.

use serde::{Deserialize, Serialize};

use crate::{
    legs::Legs,
    names::{Allotment, BuyerRef, HoldId, OrderId, PoolId, Reason, SeatId, VenueId},
    seatmap::SeatMap,
    time::Timestamp,
};

/// Places of one pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PoolPlaces {
    /// The pool.
    pub pool: PoolId,
    /// How many places.
    pub count: u32,
}

/// Seats and pool places on a range of legs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Places {
    /// Numbered seats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seats: Vec<SeatId>,
    /// Places in pools, each pool once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolPlaces>,
    /// On these legs.
    #[serde(default, skip_serializing_if = "Legs::is_one")]
    pub legs: Legs,
}

impl Places {
    /// Seats and pool places together.
    pub fn count(&self) -> u64 {
        self.seats.len() as u64 + self.pools.iter().map(|p| u64::from(p.count)).sum::<u64>()
    }
}

/// When and how much one may buy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SalesRules {
    /// No hold before.
    pub sales_from: Timestamp,
    /// No hold from then on.
    pub sales_until: Timestamp,
    /// How long a hold lasts when the request does not say, and at most.
    pub hold_ttl_seconds: u32,
    /// How much later than its first end a hold may end, however often it is extended.
    pub hold_extension_seconds: u32,
    /// Most places that one hold may have.
    pub max_places_per_hold: u32,
    /// Most places that one buyer may hold and own at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_places_per_buyer: Option<u32>,
}

/// A fact about the inventory of a show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The show's seats are on sale.
    SalesOpened(SalesOpened),
    /// Window, times or limits are others from now on.
    SalesRulesChanged(SalesRules),
    /// No more holds; what is held may still be paid.
    SalesClosed(SalesClosed),
    /// Seats taken out of sale.
    SeatsBlocked(SeatsBlocked),
    /// Seats back on sale.
    SeatsUnblocked(SeatsUnblocked),
    /// Seats and places kept for somebody, as a whole: it replaces what the allotment had.
    AllotmentSet(AllotmentSet),
    /// Seats and pool places set aside for a buyer until a time.
    SeatsHeld(SeatsHeld),
    /// A hold lasts longer.
    HoldExtended(HoldExtended),
    /// What was held is sold.
    HoldConfirmed(HoldConfirmed),
    /// The buyer gave the hold back.
    HoldReleased(HoldEnded),
    /// The time of the hold has passed.
    HoldExpired(HoldEnded),
    /// The hold was over when its payment came, and the same places were still free: sold.
    OrderReseated(HoldConfirmed),
    /// Sold places are free again.
    PlacesReturned(PlacesReturned),
}

/// `sales-opened`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalesOpened {
    /// Where the map came from.
    pub venue: VenueId,
    /// The seats and pools, as they stood then.
    pub seat_map: SeatMap,
    /// How many legs the show has.
    pub legs: u8,
    /// When and how much.
    pub rules: SalesRules,
}

/// `sales-closed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalesClosed {
    /// Why.
    pub reason: Reason,
}

/// `seats-blocked`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatsBlocked {
    /// Which.
    pub seats: Vec<SeatId>,
    /// Why.
    pub reason: Reason,
}

/// `seats-unblocked`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatsUnblocked {
    /// Which.
    pub seats: Vec<SeatId>,
}

/// `allotment-set`. Without seats and pools the allotment is dissolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllotmentSet {
    /// For whom.
    pub allotment: Allotment,
    /// Seats only for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seats: Vec<SeatId>,
    /// Pool places only for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolPlaces>,
}

/// `seats-held`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "fields::SeatsHeld")]
pub struct SeatsHeld {
    /// The hold.
    pub hold: HoldId,
    /// For whom.
    pub buyer: BuyerRef,
    /// What.
    #[serde(flatten)]
    pub places: Places,
    /// Out of this allotment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allotment: Option<Allotment>,
    /// From this instant on it counts as free.
    pub expires_at: Timestamp,
}

/// `hold-extended`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldExtended {
    /// The hold.
    pub hold: HoldId,
    /// Its new end.
    pub expires_at: Timestamp,
}

/// `hold-confirmed` and `order-reseated`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "fields::HoldConfirmed")]
pub struct HoldConfirmed {
    /// The hold.
    pub hold: HoldId,
    /// Who owns the places now.
    pub order: OrderId,
    /// Whose order it is.
    pub buyer: BuyerRef,
    /// What is sold: all that was held.
    #[serde(flatten)]
    pub places: Places,
}

/// `hold-released` and `hold-expired`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "fields::HoldEnded")]
pub struct HoldEnded {
    /// The hold.
    pub hold: HoldId,
    /// What is free again.
    #[serde(flatten)]
    pub places: Places,
}

/// `places-returned`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "fields::PlacesReturned")]
pub struct PlacesReturned {
    /// The hold under which they were sold.
    pub hold: HoldId,
    /// The order that gives them back.
    pub order: OrderId,
    /// Its items, each of which can be returned once.
    pub items: Vec<u16>,
    /// What is free again.
    #[serde(flatten)]
    pub places: Places,
}

/// The same shapes without `flatten`, which makes a copy of every field before it reads it: half
/// of the time that an event takes to be decoded.
mod fields {
    use serde::Deserialize;

    use super::{Allotment, BuyerRef, HoldId, Legs, OrderId, PoolPlaces, SeatId, Timestamp};

    macro_rules! with_places {
        ($name:ident { $($(#[$default:meta])? $field:ident: $kind:ty),* $(,)? }) => {
            #[derive(Deserialize)]
            pub(super) struct $name {
                $($(#[$default])? $field: $kind,)*
                #[serde(default)]
                seats: Vec<SeatId>,
                #[serde(default)]
                pools: Vec<PoolPlaces>,
                #[serde(default)]
                legs: Legs,
            }

            impl From<$name> for super::$name {
                fn from(fields: $name) -> Self {
                    let $name { $($field,)* seats, pools, legs } = fields;
                    Self { $($field,)* places: super::Places { seats, pools, legs } }
                }
            }
        };
    }

    with_places!(SeatsHeld {
        hold: HoldId,
        buyer: BuyerRef,
        #[serde(default)]
        allotment: Option<Allotment>,
        expires_at: Timestamp,
    });
    with_places!(HoldConfirmed { hold: HoldId, order: OrderId, buyer: BuyerRef });
    with_places!(HoldEnded { hold: HoldId });
    with_places!(PlacesReturned { hold: HoldId, order: OrderId, items: Vec<u16> });
}
