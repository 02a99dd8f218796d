//! What one may ask of the inventory of a show, and why it may be refused.

use super::events::{Places, PoolPlaces, SalesRules};
use crate::{
    legs::Legs,
    names::{Allotment, BuyerRef, Category, HoldId, OrderId, PoolId, Reason, SeatId, VenueId},
    seatmap::SeatMap,
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Put the show on sale.
    OpenSales {
        /// Where the map came from.
        venue: VenueId,
        /// What is sold.
        seat_map: Box<SeatMap>,
        /// How many legs.
        legs: u8,
        /// When and how much.
        rules: SalesRules,
    },
    /// Another window, other times or limits.
    ChangeSalesRules(SalesRules),
    /// No more holds.
    CloseSales {
        /// Why.
        reason: Reason,
    },
    /// Take free seats out of sale.
    BlockSeats {
        /// Which.
        seats: Vec<SeatId>,
        /// Why.
        reason: Reason,
    },
    /// Put blocked seats back on sale.
    UnblockSeats {
        /// Which.
        seats: Vec<SeatId>,
    },
    /// Keep seats and places for somebody; replaces what the allotment had. Empty dissolves it.
    SetAllotment {
        /// For whom.
        allotment: Allotment,
        /// Seats.
        seats: Vec<SeatId>,
        /// Pool places.
        pools: Vec<PoolPlaces>,
    },
    /// Set seats aside.
    HoldSeats(HoldSeats),
    /// Let a hold last longer: `ttl_seconds` from now, but no further than the rules allow.
    ExtendHold {
        /// The hold.
        hold: HoldId,
        /// From now; the rules' own time if absent.
        ttl_seconds: Option<u32>,
    },
    /// Give a hold back.
    ReleaseHold {
        /// The hold.
        hold: HoldId,
    },
    /// Sell what is held; if the hold is over and the same places are free, sell those.
    ConfirmHold {
        /// The hold.
        hold: HoldId,
        /// The paid order.
        order: OrderId,
        /// Whose it is.
        buyer: BuyerRef,
        /// What the order has of this hold.
        places: Places,
    },
    /// Free sold places, each item of an order once.
    ReturnPlaces {
        /// The hold under which they were sold.
        hold: HoldId,
        /// The order that gives them back.
        order: OrderId,
        /// Item number and what it occupied.
        items: Vec<(u16, Place)>,
    },
    /// Record holds whose time has passed; nothing else.
    Sweep,
}

/// A seat, or one place of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A numbered seat.
    Seat(SeatId),
    /// One place of a pool.
    Pool(PoolId),
}

/// Set seats and pool places aside for a buyer, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldSeats {
    /// The new hold.
    pub hold: HoldId,
    /// For whom.
    pub buyer: BuyerRef,
    /// Which seats.
    pub seats: SeatChoice,
    /// Which pools.
    pub pools: Vec<PoolPlaces>,
    /// On which legs; all legs of the show if absent.
    pub legs: Option<Legs>,
    /// Out of which allotment.
    pub allotment: Option<Allotment>,
    /// From now; the rules' own time if absent, which is also the most.
    pub ttl_seconds: Option<u32>,
}

/// Which seats a hold wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatChoice {
    /// These, and no others. May be empty when only pool places are wanted.
    Named(Vec<SeatId>),
    /// The best that are free.
    BestAvailable(BestAvailable),
}

/// The best free seats: side by side, nearest the focal point, no single seat left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BestAvailable {
    /// How many.
    pub count: u32,
    /// Only in this section, by its name.
    pub section: Option<String>,
    /// Only in this category.
    pub category: Option<Category>,
    /// Wheelchair places, and only those.
    pub wheelchair: bool,
    /// May the party be split when nowhere enough seats stand side by side?
    pub may_split: bool,
    /// Draws among equally good seats, so that rivals do not collide. 0 draws nothing: the very
    /// nearest, and of several the first in the order of the map.
    pub seed: u64,
}

/// Why a command is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The show is not on sale.
    SalesNotOpened,
    /// The show is on sale already, with another map or other rules.
    SalesAlreadyOpened,
    /// The map breaks a rule of its own (`SeatMap::check`).
    SeatMapInvalid,
    /// Not 1 to 64 legs.
    LegsOutOfRange,
    /// Sales end before they begin, or a time or limit is 0 or beyond its bound.
    RulesInvalid,
    /// The hold is known already, with other contents.
    HoldExists,
    /// No hold has this id.
    HoldUnknown,
    /// Its time had passed.
    HoldExpired,
    /// It was given back.
    HoldReleased,
    /// It is sold already.
    HoldConfirmed,
    /// It is sold to another order.
    HoldConfirmedForAnother,
    /// It belongs to another buyer.
    BuyerDiffers,
    /// The order's items are not what the hold has.
    PlacesDiffer,
    /// The hold cannot end later than it does.
    ExtensionLimit,
    /// Sales have not begun.
    SalesNotStarted,
    /// Sales are over.
    SalesEnded,
    /// Nothing was asked for.
    NothingWanted,
    /// The legs are not legs of this show.
    LegsUnknown,
    /// More places than one hold may have.
    TooManyPlaces,
    /// The show has had as many allotments already as one may have.
    TooManyAllotments,
    /// No seat has this id.
    SeatUnknown(SeatId),
    /// The same seat twice in one request.
    SeatRepeated(SeatId),
    /// No pool has this id.
    PoolUnknown(PoolId),
    /// The same pool twice in one request, or 0 places of it.
    PoolRepeatedOrEmpty(PoolId),
    /// No allotment has this name.
    AllotmentUnknown,
    /// The seat is out of sale.
    SeatBlocked(SeatId),
    /// The seat is kept for somebody else.
    SeatAllotted(SeatId),
    /// The seat is held or sold on one of the legs.
    SeatTaken(SeatId),
    /// The seat is not blocked.
    SeatNotBlocked(SeatId),
    /// Not so many places are free in the pool, on one of the legs.
    PoolExhausted(PoolId),
    /// No section has this name, or no seat this category.
    NoSuchSeats,
    /// Not so many free seats in all.
    NotEnoughSeats,
    /// Enough free seats, but nowhere so many side by side; `may_split` would allow it.
    NoAdjacentSeats,
    /// With this the buyer would have more places than one may.
    BuyerLimit,
    /// The order never had this place under this hold.
    PlaceNotSold,
}
