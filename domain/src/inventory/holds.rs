//! The life of a hold: hold → extend → confirm | release | expire, and places that come back.

use std::collections::BTreeSet;

use super::{
    Event, HoldSeats, Place, Rejection, SeatChoice,
    best::{self, Party},
    decide::{Decision, MAX_PLACES_PER_HOLD, check_free, happened, known_pools, known_seats},
    decide::{refuse, refuse_seat},
    events::{HoldConfirmed, HoldEnded, HoldExtended, Places, PlacesReturned, SeatsHeld},
    layout::SeatNo,
    pools::PoolCount,
    state::{Hold, Live, Sales, Sold, Taken},
};
use crate::{
    Outcome,
    guard::Guard,
    names::{BuyerRef, HoldId, OrderId},
    time::Timestamp,
};

pub(super) fn hold(sales: &Sales, ask: &HoldSeats, now: Timestamp) -> Decision {
    match sales.holds.get(&ask.hold) {
        Some(Hold::Live(live)) if is_same(sales, live, ask) => {
            return Ok(Outcome::AlreadyHappened);
        }
        Some(_) => return Err(Rejection::HoldExists),
        None => {}
    }
    let rules = &sales.rules;
    refuse(now < rules.sales_from, Rejection::SalesNotStarted)?;
    refuse(sales.closed || now >= rules.sales_until, Rejection::SalesEnded)?;

    let legs = ask.legs.unwrap_or_else(|| sales.all_legs());
    let (named, party) = match &ask.seats {
        SeatChoice::Named(seats) => (seats.as_slice(), None),
        SeatChoice::BestAvailable(best) => (&[][..], Some(best)),
    };
    let pool_places = ask.pools.iter().map(|places| u64::from(places.count)).sum::<u64>();
    let seat_count = party.map_or(named.len() as u64, |best| u64::from(best.count));
    let count = seat_count.saturating_add(pool_places);
    refuse(count == 0, Rejection::NothingWanted)?;
    refuse(legs.to() > sales.legs, Rejection::LegsUnknown)?;
    refuse(count > u64::from(rules.max_places_per_hold), Rejection::TooManyPlaces)?;

    let seats = known_seats(sales, named)?;
    let pools = known_pools(sales, &ask.pools)?;
    let allotment = match &ask.allotment {
        None => None,
        Some(name) => match sales.still_kept(sales.allotment_names.number(name)) {
            None => return Err(Rejection::AllotmentUnknown),
            known => known,
        },
    };
    let mut taken = Taken { seats, pools, legs, allotment };
    check_free(sales, &taken)?;
    if let Some(best) = party.filter(|best| best.count > 0) {
        taken.seats = best::choose(sales, &Party { ask: best, legs, allotment })?;
    }
    if let Some(limit) = rules.max_places_per_buyer {
        let has = sales.buyers.get(&ask.buyer).copied().unwrap_or(0);
        let is_over = count + u64::from(has) > u64::from(limit);
        refuse(Guard::BuyerLimit.sees(is_over), Rejection::BuyerLimit)?;
    }

    // From here on it must succeed. A hold of no time at all would be over before it is seen.
    let longest = rules.hold_ttl_seconds;
    let ttl_seconds = ask.ttl_seconds.unwrap_or(longest).clamp(1, longest);
    happened(Event::SeatsHeld(SeatsHeld {
        hold: ask.hold,
        buyer: ask.buyer.clone(),
        places: sales.named(&taken),
        allotment: ask.allotment.clone(),
        expires_at: now.plus_seconds(u64::from(ttl_seconds)),
    }))
}

/// The live hold is what is asked for. Of best available, a hold does not remember the wish: so
/// many seats of that section, category and kind are taken to be its fulfilment.
fn is_same(sales: &Sales, live: &Live, ask: &HoldSeats) -> bool {
    let asked_for = |choice: &SeatChoice| match choice {
        SeatChoice::Named(seats) => known_seats(sales, seats).ok(),
        SeatChoice::BestAvailable(best) => {
            let held = &live.taken.seats;
            let fits = held.len() == best.count as usize
                && best::Filter::of(&sales.layout, best)
                    .is_ok_and(|filter| held.iter().all(|&seat| filter.admits(seat)));
            fits.then(|| held.clone())
        }
    };
    let allotment = match &ask.allotment {
        None => Some(None),
        Some(name) => sales.allotment_names.number(name).map(Some),
    };
    let (Some(seats), Ok(pools), Some(allotment)) =
        (asked_for(&ask.seats), known_pools(sales, &ask.pools), allotment)
    else {
        return false;
    };
    let legs = ask.legs.unwrap_or_else(|| sales.all_legs());
    live.buyer == ask.buyer
        && live.taken.allotment == allotment
        && live.taken.has_same_places(&Taken { seats, pools, legs, allotment })
}

pub(super) fn extend(
    sales: &Sales,
    hold: HoldId,
    ttl_seconds: Option<u32>,
    now: Timestamp,
) -> Decision {
    let live = match sales.holds.get(&hold) {
        None => return Err(Rejection::HoldUnknown),
        Some(Hold::Expired(_)) => return Err(Rejection::HoldExpired),
        Some(Hold::Released(_)) => return Err(Rejection::HoldReleased),
        Some(Hold::Sold(_)) => return Err(Rejection::HoldConfirmed),
        Some(Hold::Live(live)) => live,
    };
    let ttl_seconds = ttl_seconds.unwrap_or(sales.rules.hold_ttl_seconds);
    let wanted = now.plus_seconds(u64::from(ttl_seconds));
    let latest = live.first_end.plus_seconds(u64::from(sales.rules.hold_extension_seconds));
    if wanted <= live.expires_at {
        return Ok(Outcome::AlreadyHappened);
    }
    let expires_at = wanted.min(latest);
    refuse(expires_at <= live.expires_at, Rejection::ExtensionLimit)?;
    happened(Event::HoldExtended(HoldExtended { hold, expires_at }))
}

pub(super) fn release(sales: &Sales, hold: HoldId) -> Decision {
    match sales.holds.get(&hold) {
        None => Err(Rejection::HoldUnknown),
        Some(Hold::Released(_)) => Ok(Outcome::AlreadyHappened),
        Some(Hold::Expired(_)) => Err(Rejection::HoldExpired),
        Some(Hold::Sold(_)) => Err(Rejection::HoldConfirmed),
        Some(Hold::Live(live)) => {
            happened(Event::HoldReleased(HoldEnded { hold, places: sales.named(&live.taken) }))
        }
    }
}

pub(super) fn confirm(
    sales: &Sales,
    hold: HoldId,
    order: OrderId,
    buyer: &BuyerRef,
    places: &Places,
) -> Decision {
    match sales.holds.get(&hold) {
        None => Err(Rejection::HoldUnknown),
        Some(Hold::Sold(sold)) => {
            let of_another = Guard::HoldSold.sees(sold.order != order);
            refuse(of_another, Rejection::HoldConfirmedForAnother)?;
            Ok(Outcome::AlreadyHappened)
        }
        Some(Hold::Live(live)) => {
            refuse(live.buyer != *buyer, Rejection::BuyerDiffers)?;
            refuse(!is_all_of(sales, &live.taken, places), Rejection::PlacesDiffer)?;
            let (buyer, places) = (buyer.clone(), sales.named(&live.taken));
            happened(Event::HoldConfirmed(HoldConfirmed { hold, order, buyer, places }))
        }
        Some(Hold::Released(allotment) | Hold::Expired(allotment)) => {
            check_free(sales, &late(sales, sales.still_kept(*allotment), places)?)?;
            let (buyer, places) = (buyer.clone(), places.clone());
            happened(Event::OrderReseated(HoldConfirmed { hold, order, buyer, places }))
        }
    }
}

/// The order's items are what was held, in whatever order they stand.
fn is_all_of(sales: &Sales, taken: &Taken, places: &Places) -> bool {
    let (Ok(seats), Ok(pools)) =
        (known_seats(sales, &places.seats), known_pools(sales, &places.pools))
    else {
        return false;
    };
    let paid = Taken { seats, pools, legs: places.legs, allotment: taken.allotment };
    taken.has_same_places(&paid)
}

/// What a late payment is for. Neither the window nor the buyer's limit is asked any more: the
/// money is here.
fn late(sales: &Sales, allotment: Option<u32>, places: &Places) -> Result<Taken, Rejection> {
    refuse(places.count() == 0, Rejection::NothingWanted)?;
    refuse(places.legs.to() > sales.legs, Rejection::LegsUnknown)?;
    refuse(places.count() > u64::from(MAX_PLACES_PER_HOLD), Rejection::TooManyPlaces)?;
    let seats = known_seats(sales, &places.seats)?;
    let pools = known_pools(sales, &places.pools)?;
    Ok(Taken { seats, pools, legs: places.legs, allotment })
}

pub(super) fn give_back(
    sales: &Sales,
    hold: HoldId,
    order: OrderId,
    items: &[(u16, Place)],
) -> Decision {
    let sold = match sales.holds.get(&hold) {
        None => return Err(Rejection::HoldUnknown),
        Some(Hold::Expired(_)) => return Err(Rejection::HoldExpired),
        Some(Hold::Released(_)) => return Err(Rejection::HoldReleased),
        Some(Hold::Live(_)) => return Err(Rejection::PlaceNotSold),
        Some(Hold::Sold(sold)) => sold,
    };
    refuse(sold.order != order, Rejection::HoldConfirmedForAnother)?;
    refuse(items.is_empty(), Rejection::NothingWanted)?;
    refuse(items.len() > MAX_PLACES_PER_HOLD as usize, Rejection::TooManyPlaces)?;
    let rest = || items.iter().filter(|(item, _)| !sold.returned.contains(item));
    let numbers: BTreeSet<u16> = rest().map(|(item, _)| *item).collect();
    if numbers.is_empty() {
        return Ok(Outcome::AlreadyHappened);
    }
    let back = numbered(sales, sold, rest().map(|(_, place)| place))?;
    let is_not_sold = |seat| !sold.taken.seats.contains(&seat);
    refuse_seat(sales, &back.seats, is_not_sold, |_| Rejection::PlaceNotSold)?;
    let is_sold = |back: &PoolCount| {
        sold.taken.pools.iter().any(|had| had.pool == back.pool && back.count <= had.count)
    };
    refuse(!back.pools.iter().all(is_sold), Rejection::PlaceNotSold)?;
    happened(Event::PlacesReturned(PlacesReturned {
        hold,
        order,
        items: numbers.into_iter().collect(),
        places: sales.named(&back),
    }))
}

/// Places one by one as seats and, added up, as pool places.
fn numbered<'a>(
    sales: &Sales,
    sold: &Sold,
    places: impl Iterator<Item = &'a Place>,
) -> Result<Taken, Rejection> {
    let mut ids = Vec::new();
    let mut pools: Vec<PoolCount> = Vec::new();
    for place in places {
        match place {
            Place::Seat(seat) => ids.push(seat.clone()),
            Place::Pool(id) => {
                let known = sales.pools.number(id);
                let pool = known.ok_or_else(|| Rejection::PoolUnknown(id.clone()))?;
                match pools.iter_mut().find(|places| places.pool == pool) {
                    Some(places) => places.count += 1,
                    None => pools.push(PoolCount { pool, count: 1 }),
                }
            }
        }
    }
    let seats: Vec<SeatNo> = known_seats(sales, &ids)?;
    Ok(Taken { seats, pools, legs: sold.taken.legs, allotment: sold.taken.allotment })
}
