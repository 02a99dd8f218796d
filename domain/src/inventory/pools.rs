//! How many places of each pool are taken on which leg, and out of whose quota.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::Index;
use crate::{
    legs::Legs,
    names::{Category, PoolId},
    seatmap,
};

/// Places of one pool, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct PoolCount {
    /// The pool.
    pub pool: u32,
    /// How many.
    pub count: u32,
}

/// A part of a pool's capacity, and what of it is held or sold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Quota {
    places: u32,
    /// For each leg.
    used: Vec<u32>,
}

impl Quota {
    fn new(places: u32, legs: u8) -> Self {
        Self { places, used: vec![0; usize::from(legs)] }
    }

    /// So many places are free on each of these legs.
    pub fn has_room(&self, legs: Legs, count: u32) -> bool {
        self.used[legs.indices()].iter().all(|&used| count <= self.places - used)
    }

    /// With so many places it would still have room for what is held and sold.
    fn may_shrink_to(&self, places: u32) -> bool {
        self.used.iter().all(|&used| used <= places)
    }

    fn take(&mut self, legs: Legs, count: u32) {
        assert!(self.has_room(legs, count), "more places are given than there are");
        self.used[legs.indices()].iter_mut().for_each(|used| *used += count);
    }

    fn give_back(&mut self, legs: Legs, count: u32) {
        for used in &mut self.used[legs.indices()] {
            *used = used.checked_sub(count).expect("more places are given back than were taken");
        }
    }
}

/// One pool. Its quotas together are its capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pool {
    category: Category,
    general: Quota,
    allotted: BTreeMap<u32, Quota>,
}

impl Pool {
    fn quota_mut(&mut self, allotment: Option<u32>) -> &mut Quota {
        match allotment {
            None => &mut self.general,
            Some(allotment) => {
                self.allotted.get_mut(&allotment).expect("what is taken keeps its quota alive")
            }
        }
    }

    fn share(&self, allotment: u32) -> u32 {
        self.allotted.get(&allotment).map_or(0, |quota| quota.places)
    }
}

/// All pools of a show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pools {
    ids: Index<PoolId>,
    pools: Vec<Pool>,
    legs: u8,
}

impl Pools {
    /// All free.
    pub fn new(pools: &[seatmap::Pool], legs: u8) -> Self {
        let new = |pool: &seatmap::Pool| Pool {
            category: pool.category.clone(),
            general: Quota::new(pool.capacity, legs),
            allotted: BTreeMap::new(),
        };
        Self {
            ids: pools.iter().map(|pool| pool.id.clone()).collect(),
            pools: pools.iter().map(new).collect(),
            legs,
        }
    }

    /// The number of a pool, if the show has it.
    pub fn number(&self, pool: &PoolId) -> Option<u32> {
        self.ids.number(pool)
    }

    /// The id of a pool.
    pub fn id(&self, pool: u32) -> &PoolId {
        self.ids.name(pool)
    }

    /// The price category of a pool.
    pub fn category(&self, pool: u32) -> &Category {
        &self.pools[pool as usize].category
    }

    /// So many places are free on each of these legs, in the quota of the allotment or in the
    /// general one.
    pub fn has_room(&self, places: PoolCount, allotment: Option<u32>, legs: Legs) -> bool {
        let pool = &self.pools[places.pool as usize];
        let quota = match allotment {
            None => Some(&pool.general),
            Some(allotment) => pool.allotted.get(&allotment),
        };
        quota.is_some_and(|quota| quota.has_room(legs, places.count))
    }

    /// The allotment may have so many places: its quota still holds what was taken from it, and
    /// the general quota what was taken from that.
    pub fn may_allot(&self, allotment: u32, places: PoolCount) -> bool {
        let pool = &self.pools[places.pool as usize];
        let together = u64::from(pool.general.places) + u64::from(pool.share(allotment));
        let rest = together.checked_sub(u64::from(places.count));
        rest.and_then(|rest| u32::try_from(rest).ok())
            .is_some_and(|rest| pool.general.may_shrink_to(rest))
            && pool.allotted.get(&allotment).is_none_or(|q| q.may_shrink_to(places.count))
    }

    /// The allotment has so many places from now on; 0 takes its quota away.
    pub fn allot(&mut self, allotment: u32, places: PoolCount) {
        assert!(self.may_allot(allotment, places), "an allotment of places that are taken");
        let pool = &mut self.pools[places.pool as usize];
        // Together they are at most the capacity.
        pool.general.places = pool.general.places + pool.share(allotment) - places.count;
        if places.count == 0 {
            pool.allotted.remove(&allotment);
        } else {
            let new = || Quota::new(0, self.legs);
            pool.allotted.entry(allotment).or_insert_with(new).places = places.count;
        }
    }

    /// Held or sold from now on.
    pub fn take(&mut self, places: PoolCount, allotment: Option<u32>, legs: Legs) {
        self.pools[places.pool as usize].quota_mut(allotment).take(legs, places.count);
    }

    /// Neither held nor sold from now on.
    pub fn give_back(&mut self, places: PoolCount, allotment: Option<u32>, legs: Legs) {
        self.pools[places.pool as usize].quota_mut(allotment).give_back(legs, places.count);
    }
}
