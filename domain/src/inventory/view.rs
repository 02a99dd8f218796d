//! What others may ask of the state: nothing here decides.

use super::{
    Places, SalesRules,
    state::{Hold, Sales, State},
};
use crate::{
    names::{Allotment, BuyerRef, Category, HoldId, OrderId, PoolId, SeatId},
    time::Timestamp,
};

/// A hold, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldView {
    /// Its places are set aside.
    Live {
        /// For whom.
        buyer: BuyerRef,
        /// What.
        places: Places,
        /// Out of which allotment.
        allotment: Option<Allotment>,
        /// From this instant on it counts as free.
        expires_at: Timestamp,
    },
    /// Its places are sold.
    Confirmed {
        /// To whom.
        buyer: BuyerRef,
        /// The order that owns them.
        order: OrderId,
        /// What is still sold: places that came back are not among them.
        places: Places,
        /// Out of which allotment.
        allotment: Option<Allotment>,
    },
    /// It was given back.
    Released,
    /// Its time has passed.
    Expired,
}

impl State {
    /// A hold, if there ever was one with this id.
    pub fn hold(&self, hold: HoldId) -> Option<HoldView> {
        let sales = self.sales.as_deref()?;
        Some(match sales.holds.get(&hold)? {
            Hold::Live(live) => HoldView::Live {
                buyer: live.buyer.clone(),
                places: sales.named(&live.taken),
                allotment: sales.allotment_name(live.taken.allotment),
                expires_at: live.expires_at,
            },
            Hold::Sold(sold) => HoldView::Confirmed {
                buyer: sold.buyer.clone(),
                order: sold.order,
                places: sales.named(&sold.taken),
                allotment: sales.allotment_name(sold.taken.allotment),
            },
            Hold::Released(_) => HoldView::Released,
            Hold::Expired(_) => HoldView::Expired,
        })
    }

    /// Sales were opened, and not closed since. The window of the rules may say no nevertheless.
    pub fn is_open(&self) -> bool {
        self.sales.as_ref().is_some_and(|sales| !sales.closed)
    }

    /// How many legs the show has; 0 before sales are opened.
    pub fn legs(&self) -> u8 {
        self.sales.as_ref().map_or(0, |sales| sales.legs)
    }

    /// The rules of sale as they are now.
    pub fn rules(&self) -> Option<&SalesRules> {
        self.sales.as_ref().map(|sales| &sales.rules)
    }

    /// The price category of a seat.
    pub fn seat_category(&self, seat: &SeatId) -> Option<&Category> {
        let layout = &self.sales.as_ref()?.layout;
        let seat = layout.seat(layout.ids.number(seat)?);
        Some(layout.categories.name(seat.category))
    }

    /// The price category of a pool.
    pub fn pool_category(&self, pool: &PoolId) -> Option<&Category> {
        let pools = &self.sales.as_ref()?.pools;
        Some(pools.category(pools.number(pool)?))
    }

    /// When the next live hold expires.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.sales.as_ref()?.expiries.first().map(|(expires_at, _)| *expires_at)
    }

    /// How many places a buyer holds and owns.
    pub fn places_of(&self, buyer: &BuyerRef) -> u32 {
        self.sales.as_ref().and_then(|sales| sales.buyers.get(buyer).copied()).unwrap_or(0)
    }
}

impl Sales {
    fn allotment_name(&self, allotment: Option<u32>) -> Option<Allotment> {
        allotment.map(|number| self.allotment_names.name(number).clone())
    }
}

impl State {
    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        self.sales
            .as_ref()
            .map_or(1_024, |sales| sales.layout.seats.len() * 160 + sales.holds.len() * 160 + 4_096)
    }
}
