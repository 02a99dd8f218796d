//! Who has which place.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    inventory::{self, AllotmentSet, Places, PlacesReturned, PoolPlaces, SalesOpened},
    names::{Allotment, BuyerRef, HoldId, OrderId, PoolId, SeatId},
    time::Timestamp,
};

use super::must;

#[derive(Default)]
pub(super) struct Inventory {
    pub(super) on_sale: bool,
    pub(super) called_off: bool,
    pub(super) held: BTreeMap<HoldId, Held>,
    pub(super) sold: BTreeMap<HoldId, Sold>,
    opened: bool,
    /// Holds that are over, with the allotment that they came from.
    over: BTreeMap<HoldId, Option<Allotment>>,
    limit: Option<u32>,
    buyers: HashMap<BuyerRef, u64>,
    seats: HashMap<(SeatId, usize), HoldId>,
    blocked: BTreeSet<SeatId>,
    allotted: HashMap<SeatId, Allotment>,
    capacity: BTreeMap<PoolId, u32>,
    quotas: BTreeMap<Allotment, Vec<PoolPlaces>>,
    /// By pool, allotment and leg.
    used: BTreeMap<(PoolId, Option<Allotment>, usize), u32>,
}

pub(super) struct Held {
    pub(super) ends: Timestamp,
    buyer: BuyerRef,
    allotment: Option<Allotment>,
    places: Places,
}

pub(super) struct Sold {
    pub(super) order: OrderId,
    pub(super) places: Places,
    buyer: BuyerRef,
    allotment: Option<Allotment>,
}

impl Inventory {
    pub(super) fn event(&mut self, event: &inventory::Event) -> Result<(), String> {
        use inventory::Event as E;
        match event {
            E::SalesOpened(opened) => return self.open(opened),
            E::SalesRulesChanged(rules) => self.limit = rules.max_places_per_buyer,
            E::SalesClosed(_) => self.on_sale = false,
            E::SeatsBlocked(blocked) => {
                for seat in &blocked.seats {
                    must!(!self.is_taken(seat), "seat {seat} is blocked, but taken");
                    must!(!self.allotted.contains_key(seat), "seat {seat} is blocked and kept");
                    self.blocked.insert(seat.clone());
                }
            }
            E::SeatsUnblocked(back) => self.blocked.retain(|seat| !back.seats.contains(seat)),
            E::AllotmentSet(set) => return self.allot(set),
            E::SeatsHeld(held) => {
                must!(self.on_sale, "hold {} when sales were closed", held.hold);
                self.take(held.hold, &held.buyer, &held.places, held.allotment.as_ref())?;
                let has = self.buyers.get(&held.buyer).copied().unwrap_or(0);
                let within = self.limit.is_none_or(|limit| has <= u64::from(limit));
                must!(within, "buyer {} has {has} places, over the limit", held.buyer);
                let (buyer, allotment) = (held.buyer.clone(), held.allotment.clone());
                let (ends, places) = (held.expires_at, held.places.clone());
                let before = self.held.insert(held.hold, Held { ends, buyer, allotment, places });
                must!(before.is_none(), "hold {} twice", held.hold);
            }
            E::HoldExtended(extended) => {
                let held = self.held.get_mut(&extended.hold).ok_or("an unknown hold is longer")?;
                must!(held.ends < extended.expires_at, "a hold is extended backwards");
                held.ends = extended.expires_at;
            }
            E::HoldConfirmed(confirmed) => {
                let held = self.held.remove(&confirmed.hold).ok_or("sold, but not held")?;
                must!(held.places == confirmed.places, "what is sold is not what was held");
                must!(held.buyer == confirmed.buyer, "sold to another buyer");
                let Held { buyer, allotment, places, .. } = held;
                let sold = Sold { order: confirmed.order, places, buyer, allotment };
                self.sold.insert(confirmed.hold, sold);
            }
            E::OrderReseated(reseated) => {
                let from = self.over.remove(&reseated.hold).ok_or("reseated, but not over")?;
                let allotment = from.filter(|allotment| self.quotas.contains_key(allotment));
                let (buyer, places) = (reseated.buyer.clone(), reseated.places.clone());
                self.take(reseated.hold, &buyer, &places, allotment.as_ref())?;
                let sold = Sold { order: reseated.order, places, buyer, allotment };
                self.sold.insert(reseated.hold, sold);
            }
            E::HoldReleased(over) | E::HoldExpired(over) => {
                let held = self.held.remove(&over.hold).ok_or("what ended is not held")?;
                must!(held.places == over.places, "what ended is not what was held");
                self.free(&held.buyer, &held.places, held.allotment.as_ref())?;
                self.over.insert(over.hold, held.allotment);
            }
            E::PlacesReturned(returned) => return self.give_back(returned),
        }
        Ok(())
    }

    /// A hold that ends by then counts as over, whatever is recorded.
    pub(super) fn is_free(&self, seat: &SeatId, now: Timestamp) -> bool {
        let lasts = |hold: &HoldId| self.held.get(hold).is_none_or(|held| held.ends > now);
        let is_taken = self.seats.iter().any(|((of, _), hold)| of == seat && lasts(hold));
        !is_taken && !self.blocked.contains(seat) && !self.allotted.contains_key(seat)
    }

    fn open(&mut self, opened: &SalesOpened) -> Result<(), String> {
        must!(!self.opened, "sales are opened twice");
        (self.opened, self.on_sale) = (true, true);
        self.limit = opened.rules.max_places_per_buyer;
        let pools = opened.seat_map.pools.iter();
        self.capacity = pools.map(|pool| (pool.id.clone(), pool.capacity)).collect();
        Ok(())
    }

    fn allot(&mut self, set: &AllotmentSet) -> Result<(), String> {
        let AllotmentSet { allotment, seats, pools } = set;
        let before: Vec<SeatId> = self
            .allotted
            .iter()
            .filter(|(_, of)| *of == allotment)
            .map(|(seat, _)| seat.clone())
            .collect();
        for seat in &before {
            self.allotted.remove(seat);
        }
        for seat in seats {
            must!(!self.blocked.contains(seat), "seat {seat} is kept, but blocked");
            let free = before.contains(seat) || !self.is_taken(seat);
            must!(free, "seat {seat} is kept, but taken");
            let other = self.allotted.insert(seat.clone(), allotment.clone());
            must!(other.is_none(), "seat {seat} is kept twice");
        }
        if seats.is_empty() && pools.is_empty() {
            self.quotas.remove(allotment);
        } else {
            self.quotas.insert(allotment.clone(), pools.clone());
        }
        self.pools()
    }

    fn take(
        &mut self,
        hold: HoldId,
        buyer: &BuyerRef,
        places: &Places,
        allotment: Option<&Allotment>,
    ) -> Result<(), String> {
        for seat in &places.seats {
            must!(!self.blocked.contains(seat), "seat {seat} is given, but blocked");
            let kept = self.allotted.get(seat);
            must!(kept.is_none() || kept == allotment, "seat {seat} is kept for somebody else");
            for leg in places.legs.indices() {
                let before = self.seats.insert((seat.clone(), leg), hold);
                must!(before.is_none(), "seat {seat} is given twice on leg {leg}");
            }
        }
        for pool in &places.pools {
            for leg in places.legs.indices() {
                let key = (pool.pool.clone(), allotment.cloned(), leg);
                *self.used.entry(key).or_default() += pool.count;
            }
        }
        *self.buyers.entry(buyer.clone()).or_default() += places.count();
        self.pools()
    }

    fn free(
        &mut self,
        buyer: &BuyerRef,
        places: &Places,
        allotment: Option<&Allotment>,
    ) -> Result<(), String> {
        for leg in places.legs.indices() {
            for seat in &places.seats {
                let was = self.seats.remove(&(seat.clone(), leg));
                must!(was.is_some(), "seat {seat} is freed twice on leg {leg}");
            }
            for pool in &places.pools {
                let key = (pool.pool.clone(), allotment.cloned(), leg);
                let used = self.used.entry(key).or_default();
                *used = used.checked_sub(pool.count).ok_or("a pool has less than nothing taken")?;
            }
        }
        let has = self.buyers.get_mut(buyer).ok_or("a buyer gives back what nobody had")?;
        *has = has.checked_sub(places.count()).ok_or("a buyer has less than nothing")?;
        Ok(())
    }

    fn give_back(&mut self, returned: &PlacesReturned) -> Result<(), String> {
        let sold = self.sold.get_mut(&returned.hold).ok_or("returned under an unsold hold")?;
        must!(sold.order == returned.order, "returned by an order that never had it");
        let had = sold.places.count();
        sold.places.seats.retain(|seat| !returned.places.seats.contains(seat));
        for back in &returned.places.pools {
            let left = sold.places.pools.iter_mut().find(|p| p.pool == back.pool);
            let left = left.ok_or("returned places of a pool that was not sold")?;
            left.count = left.count.checked_sub(back.count).ok_or("returned too many")?;
        }
        sold.places.pools.retain(|pool| pool.count > 0);
        let left = sold.places.count();
        must!(had - left == returned.places.count(), "returned places that were not sold");
        let (buyer, allotment) = (sold.buyer.clone(), sold.allotment.clone());
        if left == 0 {
            self.sold.remove(&returned.hold);
        }
        self.free(&buyer, &returned.places, allotment.as_ref())
    }

    fn is_taken(&self, seat: &SeatId) -> bool {
        (0..64).any(|leg| self.seats.contains_key(&(seat.clone(), leg)))
    }

    /// Nobody has more of a pool than there is, and no allotment more than it has, and the others
    /// no more than it leaves.
    fn pools(&self) -> Result<(), String> {
        for (pool, capacity) in &self.capacity {
            let share = |places: &[PoolPlaces]| {
                places.iter().filter(|p| p.pool == *pool).map(|p| p.count).sum::<u32>()
            };
            let kept: u32 = self.quotas.values().map(|places| share(places)).sum();
            must!(kept <= *capacity, "{kept} of {capacity} places of pool {pool} are kept");
            let mut on_leg = [0_u32; 64];
            for ((of, allotment, leg), used) in &self.used {
                if of != pool {
                    continue;
                }
                on_leg[*leg] += used;
                let quota = match allotment {
                    None => capacity.saturating_sub(kept),
                    Some(allotment) => self.quotas.get(allotment).map_or(0, |places| share(places)),
                };
                must!(*used <= quota, "pool {pool} has {used} of a quota of {quota} taken");
            }
            let most = on_leg.into_iter().max().unwrap_or(0);
            must!(most <= *capacity, "pool {pool} has {most} of {capacity} taken");
        }
        Ok(())
    }
}
