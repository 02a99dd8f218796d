//! From the events of a show's inventory to rows.

use std::collections::BTreeMap;

use hakken_domain::{
    envelope::{StoredEvent, Version},
    inventory::{self, Places, SalesRules},
    legs::{Legs, MAX_LEGS},
    names::{Allotment, HoldId, OrganizerId, PoolId, Reason, SeatId, ShowId, VenueId},
    seatmap::SeatMap,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{
    ALLOTMENTS, HOLDS, MAPS, POOLS, SEATS, SHOWS,
    maps::Maps,
    packed::{SeatBlock, SeatState, block_of},
    reading::{self, Fact, NOT_IN_MAP, Reading, Readings, is_opening, seats_of},
};
use crate::{
    cache::{AnyRows, Cache, Record, bad, doc, read, read_bytes, read_doc, read_int, read_maybe},
    projection::{Fold, Inconsistent},
    rows::{Key, Row, RowError, Table, Value},
};

/// What was put on sale. Its document is the event's own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct MapRow {
    #[serde(skip)]
    pub(super) organizer: Option<OrganizerId>,
    pub(super) venue: VenueId,
    pub(super) legs: u8,
    pub(super) seat_map: SeatMap,
}

impl MapRow {
    /// From a stored row.
    pub(super) fn from_row(row: &Row) -> Result<Self, RowError> {
        let map: Self = read_doc(&MAPS, row, "doc")?;
        Ok(Self { organizer: read_maybe(&MAPS, row, "organizer")?, ..map })
    }
}

/// A show's version and rules.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ShowRow {
    pub(super) version: Version,
    pub(super) position: u64,
    pub(super) sales: SalesDoc,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SalesDoc {
    pub(super) rules: SalesRules,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) closed: Option<Reason>,
}

/// What is taken of a pool, leg by leg; legs at the end without anything may be missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct PoolRow {
    pub(super) held: Vec<u32>,
    pub(super) sold: Vec<u32>,
    /// What of it was taken out of allotments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) of_allotments: BTreeMap<String, Vec<u32>>,
}

/// What a hold that stands in a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HoldState {
    /// Its places are set aside.
    Held,
    /// Sold, or given back.
    Ended,
}

/// A hold, as far as it matters for what is free.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct HoldRow {
    pub(super) state: HoldState,
    pub(super) expires_at: Timestamp,
    pub(super) places: Places,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) allotment: Option<Allotment>,
}

impl HoldRow {
    /// What it returns one day goes back to an allotment.
    fn is_remembered(&self) -> bool {
        self.allotment.is_some() && !self.places.pools.is_empty()
    }
}

/// Seats and places kept for somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AllotmentRow {
    pub(super) seats: Vec<SeatId>,
    pub(super) pools: Vec<inventory::PoolPlaces>,
}

impl Record for ShowRow {
    type Key = ShowId;
    fn table() -> &'static Table {
        &SHOWS
    }
    fn key_values(key: &ShowId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &ShowId) -> Row {
        let number = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        vec![Value::text(key), number(self.version), number(self.position), doc(&self.sales)]
    }
    fn from_row(row: &Row) -> Result<(ShowId, Self), RowError> {
        let number = |column| read_int(&SHOWS, row, column).map(i64::unsigned_abs);
        let show = Self {
            version: number("version")?,
            position: number("position")?,
            sales: read_doc(&SHOWS, row, "doc")?,
        };
        Ok((read(&SHOWS, row, "show")?, show))
    }
}

macro_rules! part_of_show {
    ($record:ident, $table:ident, $column:literal, $id:ident) => {
        impl Record for $record {
            type Key = (ShowId, $id);
            fn table() -> &'static Table {
                &$table
            }
            fn key_values((show, id): &Self::Key) -> Key {
                vec![Value::text(show), Value::Text(id.as_str().into())]
            }
            fn to_row(&self, (show, id): &Self::Key) -> Row {
                vec![Value::text(show), Value::Text(id.as_str().into()), doc(self)]
            }
            fn from_row(row: &Row) -> Result<(Self::Key, Self), RowError> {
                let key = (read(&$table, row, "show")?, read(&$table, row, $column)?);
                Ok((key, read_doc(&$table, row, "doc")?))
            }
        }
    };
}

part_of_show!(PoolRow, POOLS, "pool", PoolId);
part_of_show!(AllotmentRow, ALLOTMENTS, "allotment", Allotment);

impl Record for HoldRow {
    type Key = (ShowId, HoldId);
    fn table() -> &'static Table {
        &HOLDS
    }
    fn key_values((show, hold): &Self::Key) -> Key {
        vec![Value::text(show), Value::text(hold)]
    }
    fn to_row(&self, (show, hold): &Self::Key) -> Row {
        vec![Value::text(show), Value::text(hold), doc(self)]
    }
    fn from_row(row: &Row) -> Result<(Self::Key, Self), RowError> {
        let key = (read(&HOLDS, row, "show")?, read(&HOLDS, row, "hold")?);
        Ok((key, read_doc(&HOLDS, row, "doc")?))
    }
}

impl Record for SeatBlock {
    type Key = (ShowId, u32);
    fn table() -> &'static Table {
        &SEATS
    }
    fn key_values((show, block): &Self::Key) -> Key {
        vec![Value::text(show), Value::Int(i64::from(*block))]
    }
    fn to_row(&self, (show, block): &Self::Key) -> Row {
        vec![Value::text(show), Value::Int(i64::from(*block)), self.to_value()]
    }
    fn from_row(row: &Row) -> Result<(Self::Key, Self), RowError> {
        let wrong = |column| bad(&SEATS, column);
        let block = u32::try_from(read_int(&SEATS, row, "block")?).map_err(|_| wrong("block"))?;
        let packed = SeatBlock::from_bytes(read_bytes(&SEATS, row, "packed")?);
        Ok(((read(&SEATS, row, "show")?, block), packed.ok_or_else(|| wrong("packed"))?))
    }
}

/// The fold.
pub(super) struct AvailabilityFold {
    maps: Maps,
    shows: Cache<ShowRow>,
    seats: Cache<SeatBlock>,
    pools: Cache<PoolRow>,
    allotments: Cache<AllotmentRow>,
    holds: Cache<HoldRow>,
    readings: Readings,
}

impl Default for AvailabilityFold {
    fn default() -> Self {
        Self {
            maps: Maps::default(),
            shows: Cache::default(),
            seats: Cache::keeping(SEAT_BLOCKS),
            pools: Cache::default(),
            allotments: Cache::default(),
            holds: Cache::default(),
            readings: Readings::default(),
        }
    }
}

/// Blocks of seats in memory: those of two million seats.
const SEAT_BLOCKS: usize = 8_000;

fn show_of(event: &StoredEvent) -> ShowId {
    ShowId(event.stream.id)
}

impl Fold for AvailabilityFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![
            &mut self.maps,
            &mut self.shows,
            &mut self.seats,
            &mut self.pools,
            &mut self.allotments,
            &mut self.holds,
        ]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let show = show_of(event);
        self.shows.need(&show);
        let Self { maps, seats, pools, allotments, holds, readings, .. } = self;
        let reading = readings.of(event, || {
            if is_opening(event) { maps.open(show, event) } else { reading::other(event) }
        });
        let Ok(Fact::Other(fact)) = &reading.fact else { return };
        need_rest(show, fact, holds, pools, allotments);
        // Which block a seat is in, only its map says.
        let Some(map) = maps.need(show) else { return };
        let numbers = reading.numbers.get_or_insert_with(|| {
            let named = seats_of(fact).iter();
            named.map(|seat| map.number(seat).unwrap_or(NOT_IN_MAP)).collect()
        });
        let mut last = None;
        for block in numbers.iter().filter(|number| **number != NOT_IN_MAP).map(|n| block_of(*n)) {
            if last.replace(block) != Some(block) {
                seats.need(&(show, block));
            }
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        use inventory::Event as E;
        let unread = || Inconsistent("nobody asked for its rows".to_owned());
        let Reading { fact, numbers, .. } = self.readings.take(event).ok_or_else(unread)?;
        let show = show_of(event);
        let fact = match fact? {
            Fact::Opened { legs, rules } => {
                if !(1..=MAX_LEGS).contains(&legs) {
                    return Err(Inconsistent(format!("a show cannot have {legs} legs")));
                }
                let sales = SalesDoc { rules, closed: None };
                let (version, position) = (event.version, event.position.0);
                self.shows.put(show, ShowRow { version, position, sales });
                return Ok(());
            }
            Fact::Other(fact) => fact,
        };
        let never = || Inconsistent(format!("show {show} was never put on sale"));
        let row = self.shows.get_mut(&show).ok_or_else(never)?;
        row.version = event.version;
        row.position = event.position.0;
        let numbers = numbers.ok_or_else(never)?;
        let seats = Seats { show, names: seats_of(&fact), numbers: &numbers };
        match &fact {
            E::SalesOpened(_) => Err(Inconsistent("it is read in another way".to_owned())),
            E::SalesRulesChanged(rules) => {
                row.sales.rules = rules.clone();
                Ok(())
            }
            E::SalesClosed(closed) => {
                row.sales.closed = Some(closed.reason.clone());
                Ok(())
            }
            E::SeatsBlocked(_) => self.change(seats, |seat| {
                seat.blocked = true;
                Ok(())
            }),
            E::SeatsUnblocked(_) => self.change(seats, |seat| {
                seat.blocked = false;
                Ok(())
            }),
            E::AllotmentSet(set) => {
                let key = (show, set.allotment.clone());
                if set.seats.is_empty() && set.pools.is_empty() {
                    self.allotments.remove(&key);
                } else {
                    let (seats, pools) = (set.seats.clone(), set.pools.clone());
                    self.allotments.put(key, AllotmentRow { seats, pools });
                }
                Ok(())
            }
            E::SeatsHeld(held) => self.hold(seats, held),
            E::HoldExtended(extended) => {
                self.lasting(show, extended.hold)?.expires_at = extended.expires_at;
                Ok(())
            }
            E::HoldConfirmed(confirmed) => {
                let (places, mask) = (&confirmed.places, confirmed.places.legs.mask());
                let allotment = self.end(show, confirmed.hold, places)?;
                self.change(seats, |seat| {
                    seat.free_held(mask)?;
                    seat.sell(mask)
                })?;
                self.count(show, places, allotment.as_ref(), Side::Sold, true)
            }
            E::OrderReseated(confirmed) => {
                let (places, mask) = (&confirmed.places, confirmed.places.legs.mask());
                let allotment = self.allotment_of(show, confirmed.hold);
                self.change(seats, |seat| seat.sell(mask))?;
                self.count(show, places, allotment.as_ref(), Side::Sold, true)
            }
            E::HoldReleased(ended) | E::HoldExpired(ended) => {
                self.end(show, ended.hold, &ended.places)?;
                let mask = ended.places.legs.mask();
                self.change(seats, |seat| seat.free_held(mask))
            }
            E::PlacesReturned(returned) => {
                let (places, mask) = (&returned.places, returned.places.legs.mask());
                let allotment = self.allotment_of(show, returned.hold);
                self.change(seats, |seat| seat.free_sold(mask))?;
                self.count(show, places, allotment.as_ref(), Side::Sold, false)
            }
        }
    }
}

/// The seats of a fact.
#[derive(Clone, Copy)]
struct Seats<'a> {
    show: ShowId,
    names: &'a [SeatId],
    /// Their numbers, one for each name.
    numbers: &'a [u32],
}

/// Asks for the rows of a fact, but for those of its show and of its seats.
fn need_rest(
    show: ShowId,
    fact: &inventory::Event,
    holds: &mut Cache<HoldRow>,
    pools: &mut Cache<PoolRow>,
    allotments: &mut Cache<AllotmentRow>,
) {
    use inventory::Event as E;
    let mut need_pools = |places: &Places| {
        places.pools.iter().for_each(|pool| pools.need(&(show, pool.pool.clone())));
    };
    match fact {
        E::SalesOpened(_)
        | E::SalesRulesChanged(_)
        | E::SalesClosed(_)
        | E::SeatsBlocked(_)
        | E::SeatsUnblocked(_) => {}
        E::AllotmentSet(fact) => allotments.need(&(show, fact.allotment.clone())),
        E::SeatsHeld(fact) => need_pools(&fact.places),
        E::HoldExtended(fact) => holds.need(&(show, fact.hold)),
        E::HoldConfirmed(fact) | E::OrderReseated(fact) => {
            need_pools(&fact.places);
            holds.need(&(show, fact.hold));
        }
        E::HoldReleased(fact) | E::HoldExpired(fact) => {
            need_pools(&fact.places);
            holds.need(&(show, fact.hold));
        }
        E::PlacesReturned(fact) => {
            need_pools(&fact.places);
            holds.need(&(show, fact.hold));
        }
    }
}

/// Which of a pool's counters.
#[derive(Clone, Copy)]
enum Side {
    Held,
    Sold,
}

impl AvailabilityFold {
    /// Changes seats; a block whose seats are all plainly free afterwards has no row.
    fn change(
        &mut self,
        Seats { show, names, numbers }: Seats<'_>,
        mut change: impl FnMut(&mut SeatState) -> Result<(), &'static str>,
    ) -> Result<(), Inconsistent> {
        let never = || Inconsistent(format!("show {show} was never put on sale"));
        let legs = self.maps.legs(show).ok_or_else(never)?;
        let mut seats = names.iter().zip(numbers.iter().copied()).peekable();
        while let Some(block) = seats.peek().map(|(_, number)| block_of(*number)) {
            let wrong = |seat, why| Inconsistent(format!("seat {seat} {why}"));
            if let Some((seat, _)) = seats.next_if(|(_, number)| *number == NOT_IN_MAP) {
                return Err(wrong(seat, "is not in the map"));
            }
            // Seats that are taken together stand together: one block has them.
            let key = (show, block);
            let row = self.seats.get_or(&key, || SeatBlock::empty(legs));
            let mut is_plain = false;
            while let Some((seat, number)) = seats.next_if(|(_, n)| block_of(*n) == block) {
                let mut state = row.get(number);
                change(&mut state).map_err(|why| wrong(seat, why))?;
                row.set(number, state);
                is_plain = state.is_plain();
            }
            if is_plain && row.is_plain() {
                self.seats.remove(&key);
            }
        }
        Ok(())
    }

    fn hold(&mut self, seats: Seats<'_>, held: &inventory::SeatsHeld) -> Result<(), Inconsistent> {
        let mask = held.places.legs.mask();
        self.change(seats, |seat| seat.hold(mask))?;
        self.count(seats.show, &held.places, held.allotment.as_ref(), Side::Held, true)?;
        let row = HoldRow {
            state: HoldState::Held,
            expires_at: held.expires_at,
            places: held.places.clone(),
            allotment: held.allotment.clone(),
        };
        self.holds.add((seats.show, held.hold), row);
        Ok(())
    }

    fn lasting(&mut self, show: ShowId, hold: HoldId) -> Result<&mut HoldRow, Inconsistent> {
        let row = self.holds.get_mut(&(show, hold));
        row.filter(|row| row.state == HoldState::Held)
            .ok_or_else(|| Inconsistent(format!("hold {hold} is not known")))
    }

    fn allotment_of(&self, show: ShowId, hold: HoldId) -> Option<Allotment> {
        self.holds.get(&(show, hold)).and_then(|row| row.allotment.clone())
    }

    /// A hold is over, and its places of pools are not held any more; says out of which allotment
    /// it was.
    fn end(
        &mut self,
        show: ShowId,
        hold: HoldId,
        places: &Places,
    ) -> Result<Option<Allotment>, Inconsistent> {
        let row = self.lasting(show, hold)?;
        row.state = HoldState::Ended;
        let (allotment, is_remembered) = (row.allotment.clone(), row.is_remembered());
        if !is_remembered {
            self.holds.remove(&(show, hold));
        }
        self.count(show, places, allotment.as_ref(), Side::Held, false)?;
        Ok(allotment)
    }

    fn count(
        &mut self,
        show: ShowId,
        places: &Places,
        allotment: Option<&Allotment>,
        side: Side,
        more: bool,
    ) -> Result<(), Inconsistent> {
        for pool in &places.pools {
            let row = self.pools.get_or(&(show, pool.pool.clone()), PoolRow::default);
            let counters = match side {
                Side::Held => &mut row.held,
                Side::Sold => &mut row.sold,
            };
            let wrong = || Inconsistent(format!("pool {} would go below zero", pool.pool));
            add(counters, places.legs, pool.count, more).ok_or_else(wrong)?;
            if let Some(allotment) = allotment {
                let used = row.of_allotments.entry(allotment.as_str().to_owned()).or_default();
                add(used, places.legs, pool.count, more).ok_or_else(wrong)?;
            }
        }
        Ok(())
    }
}

/// Adds to or takes from the counters of these legs.
fn add(counters: &mut Vec<u32>, legs: Legs, count: u32, more: bool) -> Option<()> {
    if counters.len() < usize::from(legs.to()) {
        counters.resize(usize::from(legs.to()), 0);
    }
    for counter in &mut counters[legs.indices()] {
        let changed = if more { counter.checked_add(count) } else { counter.checked_sub(count) };
        *counter = changed?;
    }
    Some(())
}
