//! What may be done with the seats of a show. Holds and what becomes of them: `holds.rs`.

use super::{
    Command, Event, Rejection, State,
    events::{AllotmentSet, HoldEnded, PoolPlaces, SalesClosed, SalesOpened, SalesRules},
    events::{SeatsBlocked, SeatsUnblocked},
    holds,
    layout::SeatNo,
    pools::PoolCount,
    seats::Status,
    state::{self, Hold, Kept, Sales, Taken},
};
use crate::{
    Context, Decider, Outcome, Rules,
    guard::Guard,
    legs::MAX_LEGS,
    names::{Allotment, Reason, SeatId, VenueId},
    seatmap::SeatMap,
    time::Timestamp,
};

/// Longest hold, and most that one may be extended.
pub const MAX_HOLD_SECONDS: u32 = 30 * 86_400;
/// Most places of one hold, whatever the rules of sale say.
pub const MAX_PLACES_PER_HOLD: u32 = 1_000;
/// Most seats that one may block, unblock or allot at once.
pub const MAX_SEATS_AT_ONCE: usize = 10_000;
/// Most allotments that a show ever has: their names stay known when they are empty.
pub const MAX_ALLOTMENTS: usize = 1_000;

/// The rules.
pub struct RuleBook;

impl Rules for State {
    type Decider = RuleBook;
}

/// What a decision comes to.
pub(super) type Decision = Result<Outcome<Event>, Rejection>;

impl Decider for RuleBook {
    type State = State;
    type Event = Event;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(state: &mut State, event: &Event) {
        state::evolve(state, event);
    }

    /// A hold counts as free from the instant at which it expires: that instant is due.
    fn due(state: &State, now: Timestamp) -> Vec<Event> {
        let Some(sales) = state.sales.as_deref() else { return Vec::new() };
        let expired = |hold| match sales.holds.get(&hold) {
            Some(Hold::Live(live)) => {
                Event::HoldExpired(HoldEnded { hold, places: sales.named(&live.taken) })
            }
            other => panic!("hold {hold} is to expire, but it is {other:?}"),
        };
        let is_due = |&&(expires_at, _): &&(Timestamp, _)| expires_at <= now;
        sales.expiries.iter().take_while(is_due).map(|&(_, hold)| expired(hold)).collect()
    }

    fn decide(state: &State, command: &Command, context: &Context) -> Decision {
        let now = context.now;
        debug_assert!(
            state.next_expiry().is_none_or(|at| at > now),
            "what is due was not recorded"
        );
        if let Command::OpenSales { venue, seat_map, legs, rules } = command {
            return open_sales(state, venue, seat_map, *legs, rules);
        }
        let sales = state.sales.as_deref().ok_or(Rejection::SalesNotOpened)?;
        match command {
            Command::OpenSales { .. } => unreachable!("handled above"),
            Command::ChangeSalesRules(rules) => change_rules(sales, rules),
            Command::CloseSales { reason } => close_sales(sales, reason),
            Command::BlockSeats { seats, reason } => block_seats(sales, seats, reason),
            Command::UnblockSeats { seats } => unblock_seats(sales, seats),
            Command::SetAllotment { allotment, seats, pools } => {
                set_allotment(sales, allotment, seats, pools)
            }
            Command::HoldSeats(ask) => holds::hold(sales, ask, now),
            Command::ExtendHold { hold, ttl_seconds } => {
                holds::extend(sales, *hold, *ttl_seconds, now)
            }
            Command::ReleaseHold { hold } => holds::release(sales, *hold),
            Command::ConfirmHold { hold, order, buyer, places } => {
                holds::confirm(sales, *hold, *order, buyer, places)
            }
            Command::ReturnPlaces { hold, order, items } => {
                holds::give_back(sales, *hold, *order, items)
            }
            // What is due was recorded before this decision, and that is all a sweep is for.
            Command::Sweep => Ok(Outcome::AlreadyHappened),
        }
    }
}

/// One event.
pub(super) fn happened(event: Event) -> Decision {
    Ok(Outcome::Happened(vec![event]))
}

/// One refusal of the list.
pub(super) fn refuse(is_so: bool, rejection: Rejection) -> Result<(), Rejection> {
    if is_so { Err(rejection) } else { Ok(()) }
}

/// One refusal of the list, about the first seat of which it is so.
pub(super) fn refuse_seat(
    sales: &Sales,
    seats: &[SeatNo],
    is_so: impl Fn(SeatNo) -> bool,
    rejection: fn(SeatId) -> Rejection,
) -> Result<(), Rejection> {
    match seats.iter().find(|&&seat| is_so(seat)) {
        Some(&seat) => Err(rejection(sales.layout.ids.name(seat).clone())),
        None => Ok(()),
    }
}

/// The seats by their numbers: known, and each once.
pub(super) fn known_seats(sales: &Sales, seats: &[SeatId]) -> Result<Vec<SeatNo>, Rejection> {
    let number = |seat: &SeatId| {
        sales.layout.ids.number(seat).ok_or_else(|| Rejection::SeatUnknown(seat.clone()))
    };
    let seats = seats.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = seats.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(Rejection::SeatRepeated(sales.layout.ids.name(two[0]).clone())),
        None => Ok(seats),
    }
}

/// The pools by their numbers: known, and each once with a place or more.
pub(super) fn known_pools(
    sales: &Sales,
    pools: &[PoolPlaces],
) -> Result<Vec<PoolCount>, Rejection> {
    let number = |places: &PoolPlaces| match sales.pools.number(&places.pool) {
        Some(pool) => Ok(PoolCount { pool, count: places.count }),
        None => Err(Rejection::PoolUnknown(places.pool.clone())),
    };
    let pools = pools.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = pools.clone();
    sorted.sort_unstable();
    let repeated = sorted.windows(2).find(|two| two[0].pool == two[1].pool).map(|two| two[0]);
    match repeated.or_else(|| sorted.into_iter().find(|places| places.count == 0)) {
        Some(bad) => Err(Rejection::PoolRepeatedOrEmpty(sales.pools.id(bad.pool).clone())),
        None => Ok(pools),
    }
}

/// Everything is there for whoever asks out of this allotment, or out of none.
pub(super) fn check_free(sales: &Sales, wanted: &Taken) -> Result<(), Rejection> {
    let (seats, mask) = (&wanted.seats, wanted.legs.mask());
    let status = |seat| sales.seats.status(seat);
    let kept_for_another = |seat| {
        let Status::Allotted(allotment) = status(seat) else { return false };
        Guard::SeatAllotted.sees(wanted.allotment != Some(allotment))
    };
    let blocked = |seat| Guard::SeatBlocked.sees(status(seat) == Status::Blocked);
    let taken = |seat| Guard::SeatTaken.sees(!sales.seats.is_free(seat, mask));
    refuse_seat(sales, seats, blocked, Rejection::SeatBlocked)?;
    refuse_seat(sales, seats, kept_for_another, Rejection::SeatAllotted)?;
    refuse_seat(sales, seats, taken, Rejection::SeatTaken)?;
    let exhausted = |places: &&PoolCount| {
        let has_room = sales.pools.has_room(**places, wanted.allotment, wanted.legs);
        Guard::PoolExhausted.sees(!has_room)
    };
    match wanted.pools.iter().find(exhausted) {
        Some(places) => Err(Rejection::PoolExhausted(sales.pools.id(places.pool).clone())),
        None => Ok(()),
    }
}

fn open_sales(
    state: &State,
    venue: &VenueId,
    seat_map: &SeatMap,
    legs: u8,
    rules: &SalesRules,
) -> Decision {
    if let Some(sales) = &state.sales {
        let is_same = sales.opened_with == state::contents(venue, seat_map, legs, rules);
        refuse(!is_same, Rejection::SalesAlreadyOpened)?;
        return Ok(Outcome::AlreadyHappened);
    }
    refuse(seat_map.check().is_err(), Rejection::SeatMapInvalid)?;
    refuse(legs == 0 || legs > MAX_LEGS, Rejection::LegsOutOfRange)?;
    refuse(!are_valid(rules), Rejection::RulesInvalid)?;
    happened(Event::SalesOpened(SalesOpened {
        venue: *venue,
        seat_map: seat_map.clone(),
        legs,
        rules: rules.clone(),
    }))
}

fn are_valid(rules: &SalesRules) -> bool {
    rules.sales_from < rules.sales_until
        && (1..=MAX_HOLD_SECONDS).contains(&rules.hold_ttl_seconds)
        && rules.hold_extension_seconds <= MAX_HOLD_SECONDS
        && (1..=MAX_PLACES_PER_HOLD).contains(&rules.max_places_per_hold)
        && rules.max_places_per_buyer != Some(0)
}

fn change_rules(sales: &Sales, rules: &SalesRules) -> Decision {
    if sales.rules == *rules {
        return Ok(Outcome::AlreadyHappened);
    }
    refuse(!are_valid(rules), Rejection::RulesInvalid)?;
    happened(Event::SalesRulesChanged(rules.clone()))
}

fn close_sales(sales: &Sales, reason: &Reason) -> Decision {
    if sales.closed {
        return Ok(Outcome::AlreadyHappened);
    }
    happened(Event::SalesClosed(SalesClosed { reason: reason.clone() }))
}

fn block_seats(sales: &Sales, ids: &[SeatId], reason: &Reason) -> Decision {
    refuse(ids.is_empty(), Rejection::NothingWanted)?;
    refuse(ids.len() > MAX_SEATS_AT_ONCE, Rejection::TooManyPlaces)?;
    let mut seats = known_seats(sales, ids)?;
    seats.retain(|&seat| sales.seats.status(seat) != Status::Blocked);
    if seats.is_empty() {
        return Ok(Outcome::AlreadyHappened);
    }
    let is_allotted = |seat| matches!(sales.seats.status(seat), Status::Allotted(_));
    refuse_seat(sales, &seats, is_allotted, Rejection::SeatAllotted)?;
    refuse_seat(sales, &seats, |s| sales.seats.taken(s) != 0, Rejection::SeatTaken)?;
    let seats = seats.into_iter().map(|seat| sales.layout.ids.name(seat).clone()).collect();
    happened(Event::SeatsBlocked(SeatsBlocked { seats, reason: reason.clone() }))
}

fn unblock_seats(sales: &Sales, ids: &[SeatId]) -> Decision {
    refuse(ids.is_empty(), Rejection::NothingWanted)?;
    refuse(ids.len() > MAX_SEATS_AT_ONCE, Rejection::TooManyPlaces)?;
    let seats = known_seats(sales, ids)?;
    let is_not_blocked = |seat| sales.seats.status(seat) != Status::Blocked;
    refuse_seat(sales, &seats, is_not_blocked, Rejection::SeatNotBlocked)?;
    happened(Event::SeatsUnblocked(SeatsUnblocked { seats: ids.to_vec() }))
}

fn set_allotment(
    sales: &Sales,
    allotment: &Allotment,
    ids: &[SeatId],
    pools: &[PoolPlaces],
) -> Decision {
    refuse(ids.len() > MAX_SEATS_AT_ONCE, Rejection::TooManyPlaces)?;
    let mut asked = Kept { seats: known_seats(sales, ids)?, pools: known_pools(sales, pools)? };
    asked.seats.sort_unstable();
    asked.pools.sort_unstable();

    // A new allotment gets the next number.
    let known = sales.allotment_names.number(allotment);
    let is_one_more = known.is_none() && sales.allotments.len() >= MAX_ALLOTMENTS;
    refuse(is_one_more, Rejection::TooManyAllotments)?;
    let number = known.unwrap_or(u32::try_from(sales.allotments.len()).unwrap_or(u32::MAX));
    let nothing = Kept::default();
    let has = known.map_or(&nothing, |number| &sales.allotments[number as usize]);
    if *has == asked {
        return Ok(Outcome::AlreadyHappened);
    }

    let own = Status::Allotted(number);
    let is_new = |seat| sales.seats.status(seat) != own;
    let status = |seat| sales.seats.status(seat);
    let of_another = |seat| is_new(seat) && status(seat) != Status::Open;
    let taken = |seat| is_new(seat) && sales.seats.taken(seat) != 0;
    refuse_seat(sales, &asked.seats, |s| status(s) == Status::Blocked, Rejection::SeatBlocked)?;
    refuse_seat(sales, &asked.seats, of_another, Rejection::SeatAllotted)?;
    refuse_seat(sales, &asked.seats, taken, Rejection::SeatTaken)?;
    let is_asked = |pool| asked.pools.iter().any(|places| places.pool == pool);
    let left = has.pools.iter().filter(|places| !is_asked(places.pool));
    let left = left.map(|places| PoolCount { pool: places.pool, count: 0 });
    let changed = asked.pools.iter().copied().chain(left);
    for places in changed {
        if !sales.pools.may_allot(number, places) {
            return Err(Rejection::PoolExhausted(sales.pools.id(places.pool).clone()));
        }
    }
    happened(Event::AllotmentSet(AllotmentSet {
        allotment: allotment.clone(),
        seats: ids.to_vec(),
        pools: pools.to_vec(),
    }))
}
