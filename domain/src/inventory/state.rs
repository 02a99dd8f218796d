//! What the rules remember of a show's inventory, and how each event changes it.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Event,
    events::{AllotmentSet, HoldConfirmed, Places, PlacesReturned, PoolPlaces, SalesOpened},
    events::{SalesRules, SeatsHeld},
    layout::{Index, Layout, SeatNo},
    pools::{PoolCount, Pools},
    seats::{Seats, Status},
};
use crate::{
    legs::{Legs, MAX_LEGS},
    names::{Allotment, BuyerRef, HoldId, OrderId, SeatId, VenueId},
    seatmap::SeatMap,
    time::Timestamp,
};

/// What the rules remember: nothing before sales are opened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(super) sales: Option<Box<Sales>>,
}

/// The inventory of a show that is on sale, or was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sales {
    /// Tells a repeated opening from another one: see [`contents`].
    pub opened_with: [u8; 32],
    #[serde(with = "StoredRules")]
    pub rules: SalesRules,
    pub closed: bool,
    pub legs: u8,
    pub layout: Layout,
    pub seats: Seats,
    pub pools: Pools,
    pub allotment_names: Index<Allotment>,
    /// By number; dissolved ones keep theirs, without seats and places.
    pub allotments: Vec<Kept>,
    /// Every hold there ever was.
    pub holds: HashMap<HoldId, Hold>,
    /// The live holds, the first to expire first.
    pub expiries: BTreeSet<(Timestamp, HoldId)>,
    /// Places held and owned; nobody has 0.
    pub buyers: HashMap<BuyerRef, u32>,
}

/// [`SalesRules`] with every field, as a snapshot's format needs it.
#[derive(Serialize, Deserialize)]
#[serde(remote = "SalesRules")]
struct StoredRules {
    sales_from: Timestamp,
    sales_until: Timestamp,
    hold_ttl_seconds: u32,
    hold_extension_seconds: u32,
    max_places_per_hold: u32,
    max_places_per_buyer: Option<u32>,
}

/// What an allotment has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Sorted.
    pub seats: Vec<SeatNo>,
    /// Sorted.
    pub pools: Vec<PoolCount>,
}

impl Kept {
    /// An allotment without anything does not exist.
    pub fn exists(&self) -> bool {
        !self.seats.is_empty() || !self.pools.is_empty()
    }
}

/// Places by their numbers, and the quota that they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Taken {
    pub seats: Vec<SeatNo>,
    pub pools: Vec<PoolCount>,
    pub legs: Legs,
    pub allotment: Option<u32>,
}

impl Taken {
    /// Seats and pool places together. Far below 2^32: a hold has at most 1,000.
    pub fn count(&self) -> u32 {
        let sum = |sum: u32, places: &PoolCount| sum.checked_add(places.count);
        let count = self.pools.iter().try_fold(self.seats.len() as u32, sum);
        count.expect("a hold has few places")
    }

    /// The same places, in whatever order they are listed.
    pub fn has_same_places(&self, other: &Self) -> bool {
        fn sorted<T: Ord + Copy>(items: &[T]) -> Vec<T> {
            let mut items = items.to_vec();
            items.sort_unstable();
            items
        }
        self.legs == other.legs
            && self.seats.len() == other.seats.len()
            && self.pools.len() == other.pools.len()
            && sorted(&self.seats) == sorted(&other.seats)
            && sorted(&self.pools) == sorted(&other.pools)
    }
}

/// A hold and what became of it. Ended ones are many and stay for ever, so they are small.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Hold {
    Live(Box<Live>),
    Sold(Box<Sold>),
    /// With its allotment: a late payment is served from there.
    Released(Option<u32>),
    Expired(Option<u32>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Live {
    pub buyer: BuyerRef,
    pub taken: Taken,
    /// When it would have ended without extension.
    pub first_end: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sold {
    pub buyer: BuyerRef,
    pub order: OrderId,
    /// What is still sold.
    pub taken: Taken,
    /// The items that gave their places back, sorted.
    pub returned: BTreeSet<u16>,
}

/// The SHA-256 of what sales are opened with. A repeated opening is compared by it, so that the
/// map itself need not be kept.
pub(super) fn contents(
    venue: &VenueId,
    seat_map: &SeatMap,
    legs: u8,
    rules: &SalesRules,
) -> [u8; 32] {
    let json = serde_json::to_vec(&(venue, seat_map, legs, rules))
        .expect("a seat map has only string keys and whole numbers");
    Sha256::digest(json).into()
}

/// Folds one event in. An event that the rules cannot have decided is a bug, and panics.
pub(super) fn evolve(state: &mut State, event: &Event) {
    if let Event::SalesOpened(opened) = event {
        assert!(state.sales.is_none(), "sales open once");
        state.sales = Some(Box::new(Sales::open(opened)));
        return;
    }
    let sales = state.sales.as_deref_mut().expect("sales open before anything else happens");
    match event {
        Event::SalesOpened(_) => unreachable!("handled above"),
        Event::SalesRulesChanged(rules) => sales.rules = rules.clone(),
        Event::SalesClosed(_) => sales.closed = true,
        Event::SeatsBlocked(blocked) => sales.set_status(&blocked.seats, Status::Blocked),
        Event::SeatsUnblocked(unblocked) => sales.set_status(&unblocked.seats, Status::Open),
        Event::AllotmentSet(set) => sales.set_allotment(set),
        Event::SeatsHeld(held) => sales.hold(held),
        Event::HoldExtended(extended) => sales.extend(extended.hold, extended.expires_at),
        Event::HoldConfirmed(confirmed) => sales.confirm(confirmed),
        Event::HoldReleased(ended) => sales.end(ended.hold, Hold::Released),
        Event::HoldExpired(ended) => sales.end(ended.hold, Hold::Expired),
        Event::OrderReseated(reseated) => sales.reseat(reseated),
        Event::PlacesReturned(returned) => sales.give_back(returned),
    }
}

impl Sales {
    fn open(opened: &SalesOpened) -> Self {
        let SalesOpened { venue, seat_map, legs, rules } = opened;
        assert!((1..=MAX_LEGS).contains(legs), "a show with {legs} legs is on sale");
        assert_eq!(seat_map.check(), Ok(()), "a map that was never checked is on sale");
        let layout = Layout::of(seat_map);
        Self {
            opened_with: contents(venue, seat_map, *legs, rules),
            rules: rules.clone(),
            closed: false,
            legs: *legs,
            seats: Seats::new(&layout, *legs),
            layout,
            pools: Pools::new(&seat_map.pools, *legs),
            allotment_names: Index::default(),
            allotments: Vec::new(),
            holds: HashMap::new(),
            expiries: BTreeSet::new(),
            buyers: HashMap::new(),
        }
    }

    fn set_status(&mut self, seats: &[SeatId], status: Status) {
        for seat in seats {
            let seat = self.seat(seat);
            self.seats.set_status(&self.layout, seat, status);
        }
    }

    fn set_allotment(&mut self, set: &AllotmentSet) {
        let number = self.allotment_names.number_or_next(&set.allotment);
        if self.allotments.len() == number as usize {
            self.allotments.push(Kept::default());
        }
        let kept = self.kept(&set.seats, &set.pools);
        let left = std::mem::replace(&mut self.allotments[number as usize], kept);
        for seat in left.seats {
            self.seats.set_status(&self.layout, seat, Status::Open);
        }
        let kept = &self.allotments[number as usize];
        for &seat in &kept.seats {
            self.seats.set_status(&self.layout, seat, Status::Allotted(number));
        }
        for &PoolCount { pool, .. } in &left.pools {
            if kept.pools.iter().all(|places| places.pool != pool) {
                self.pools.allot(number, PoolCount { pool, count: 0 });
            }
        }
        for &places in &kept.pools {
            self.pools.allot(number, places);
        }
    }

    fn hold(&mut self, held: &SeatsHeld) {
        let allotment = held
            .allotment
            .as_ref()
            .map(|name| self.allotment_names.number(name).expect("a hold names a known allotment"));
        let taken = self.numbered(&held.places, allotment);
        self.take(&taken, &held.buyer);
        let live = Live {
            buyer: held.buyer.clone(),
            taken,
            first_end: held.expires_at,
            expires_at: held.expires_at,
        };
        let before = self.holds.insert(held.hold, Hold::Live(Box::new(live)));
        assert!(before.is_none(), "hold {} was there already", held.hold);
        self.expiries.insert((held.expires_at, held.hold));
    }

    fn extend(&mut self, hold: HoldId, expires_at: Timestamp) {
        let Some(Hold::Live(live)) = self.holds.get_mut(&hold) else {
            panic!("hold {hold} is extended but not live");
        };
        self.expiries.remove(&(live.expires_at, hold));
        self.expiries.insert((expires_at, hold));
        live.expires_at = expires_at;
    }

    fn confirm(&mut self, confirmed: &HoldConfirmed) {
        let live = self.take_out_live(confirmed.hold);
        let sold = Sold {
            buyer: live.buyer,
            order: confirmed.order,
            taken: live.taken,
            returned: BTreeSet::new(),
        };
        self.holds.insert(confirmed.hold, Hold::Sold(Box::new(sold)));
    }

    fn end(&mut self, hold: HoldId, ended: fn(Option<u32>) -> Hold) {
        let live = self.take_out_live(hold);
        self.free(&live.taken, &live.buyer);
        self.holds.insert(hold, ended(live.taken.allotment));
    }

    fn reseat(&mut self, reseated: &HoldConfirmed) {
        let allotment = match self.holds.get(&reseated.hold) {
            Some(Hold::Released(allotment) | Hold::Expired(allotment)) => *allotment,
            other => panic!("hold {} is not over, but {other:?}", reseated.hold),
        };
        let taken = self.numbered(&reseated.places, self.still_kept(allotment));
        self.take(&taken, &reseated.buyer);
        let sold = Sold {
            buyer: reseated.buyer.clone(),
            order: reseated.order,
            taken,
            returned: BTreeSet::new(),
        };
        self.holds.insert(reseated.hold, Hold::Sold(Box::new(sold)));
    }

    fn give_back(&mut self, returned: &PlacesReturned) {
        let mut back = self.numbered(&returned.places, None);
        let Some(Hold::Sold(sold)) = self.holds.get_mut(&returned.hold) else {
            panic!("places of hold {} come back but are not sold", returned.hold);
        };
        assert!(back.legs == sold.taken.legs, "places come back on other legs than were sold");
        back.allotment = sold.taken.allotment;
        sold.returned.extend(&returned.items);
        let seats = sold.taken.seats.len();
        sold.taken.seats.retain(|seat| !back.seats.contains(seat));
        let gone = seats - sold.taken.seats.len();
        assert!(gone == back.seats.len(), "a seat comes back that was not sold");
        for back in &back.pools {
            let sold = sold.taken.pools.iter_mut().find(|places| places.pool == back.pool);
            let left = sold.and_then(|sold| {
                sold.count = sold.count.checked_sub(back.count)?;
                Some(())
            });
            left.expect("only places that were sold come back");
        }
        sold.taken.pools.retain(|places| places.count > 0);
        let buyer = sold.buyer.clone();
        self.free(&back, &buyer);
    }

    fn take_out_live(&mut self, hold: HoldId) -> Live {
        match self.holds.remove(&hold) {
            Some(Hold::Live(live)) => {
                self.expiries.remove(&(live.expires_at, hold));
                *live
            }
            other => panic!("hold {hold} is not live, but {other:?}"),
        }
    }

    fn take(&mut self, taken: &Taken, buyer: &BuyerRef) {
        let mask = taken.legs.mask();
        for &seat in &taken.seats {
            self.seats.take(&self.layout, seat, mask);
        }
        for &places in &taken.pools {
            self.pools.take(places, taken.allotment, taken.legs);
        }
        match self.buyers.get_mut(buyer) {
            Some(count) => {
                *count = count.checked_add(taken.count()).expect("a buyer has few places");
            }
            None => drop(self.buyers.insert(buyer.clone(), taken.count())),
        }
    }

    fn free(&mut self, taken: &Taken, buyer: &BuyerRef) {
        let mask = taken.legs.mask();
        for &seat in &taken.seats {
            self.seats.give_back(&self.layout, seat, mask);
        }
        for &places in &taken.pools {
            self.pools.give_back(places, taken.allotment, taken.legs);
        }
        let count = self.buyers.get_mut(buyer).expect("who had places is counted");
        *count = count.checked_sub(taken.count()).expect("who gives places back had them");
        if *count == 0 {
            self.buyers.remove(buyer);
        }
    }

    /// The allotment that a hold came from, if it was not dissolved since.
    pub fn still_kept(&self, allotment: Option<u32>) -> Option<u32> {
        allotment.filter(|&number| self.allotments[number as usize].exists())
    }

    /// Every leg of the show.
    pub fn all_legs(&self) -> Legs {
        Legs::new(0, self.legs).expect("sales open with 1 to 64 legs")
    }

    /// What an allotment is to have, by numbers and sorted.
    fn kept(&self, seats: &[SeatId], pools: &[PoolPlaces]) -> Kept {
        let mut kept = Kept {
            seats: seats.iter().map(|seat| self.seat(seat)).collect(),
            pools: pools.iter().map(|places| self.pool(places)).collect(),
        };
        kept.seats.sort_unstable();
        kept.pools.sort_unstable();
        kept
    }

    fn numbered(&self, places: &Places, allotment: Option<u32>) -> Taken {
        assert!(places.legs.to() <= self.legs, "places on legs that the show does not have");
        Taken {
            seats: places.seats.iter().map(|seat| self.seat(seat)).collect(),
            pools: places.pools.iter().map(|places| self.pool(places)).collect(),
            legs: places.legs,
            allotment,
        }
    }

    fn seat(&self, seat: &SeatId) -> SeatNo {
        self.layout.ids.number(seat).expect("an event names seats of the map")
    }

    fn pool(&self, places: &PoolPlaces) -> PoolCount {
        let pool = self.pools.number(&places.pool).expect("an event names pools of the map");
        PoolCount { pool, count: places.count }
    }

    /// Places as events name them.
    pub fn named(&self, taken: &Taken) -> Places {
        let name = |&PoolCount { pool, count }: &PoolCount| PoolPlaces {
            pool: self.pools.id(pool).clone(),
            count,
        };
        Places {
            seats: taken.seats.iter().map(|&seat| self.layout.ids.name(seat).clone()).collect(),
            pools: taken.pools.iter().map(name).collect(),
            legs: taken.legs,
        }
    }
}
