//! From the events of a show's inventory to rows.

use std::collections::BTreeMap;

use hakken_domain::{
    Event,
    envelope::{Decoded, StoredEvent, Version},
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
};
use crate::{
    cache::{AnyRows, Cache, Record, bad, doc, read, read_bytes, read_doc, read_int},
    projection::{Fold, Inconsistent},
    rows::{Key, Row, RowError, Table, Value},
};

/// What was put on sale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MapRow {
    pub(super) organizer: Option<OrganizerId>,
    pub(super) venue: VenueId,
    pub(super) legs: u8,
    pub(super) seat_map: SeatMap,
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

impl Record for MapRow {
    type Key = ShowId;
    fn table() -> &'static Table {
        &MAPS
    }
    fn key_values(key: &ShowId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &ShowId) -> Row {
        vec![Value::text(key), Value::maybe(self.organizer), doc(self)]
    }
    fn from_row(row: &Row) -> Result<(ShowId, Self), RowError> {
        Ok((read(&MAPS, row, "show")?, read_doc(&MAPS, row, "doc")?))
    }
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

    fn needs(&mut self, event: &StoredEvent, decoded: &Decoded) {
        use inventory::Event as E;
        let Event::Inventory(fact) = &decoded.event else { return };
        let show = show_of(event);
        self.shows.need(&show);
        if let E::SalesOpened(opened) = fact {
            self.maps.open(show, decoded.meta.organizer, opened);
            return;
        }
        // Which block a seat is in, only its map says.
        let Some(map) = self.maps.need(show) else { return };
        let mut seats = |seats: &[SeatId]| {
            for number in seats.iter().filter_map(|seat| map.number(seat)) {
                self.seats.need(&(show, block_of(number)));
            }
        };
        match fact {
            E::SalesOpened(_) | E::SalesRulesChanged(_) | E::SalesClosed(_) => {}
            E::SeatsBlocked(fact) => seats(&fact.seats),
            E::SeatsUnblocked(fact) => seats(&fact.seats),
            E::AllotmentSet(fact) => self.allotments.need(&(show, fact.allotment.clone())),
            E::SeatsHeld(fact) => {
                seats(&fact.places.seats);
                self.need_pools(show, &fact.places);
            }
            E::HoldExtended(fact) => self.holds.need(&(show, fact.hold)),
            E::HoldConfirmed(fact) | E::OrderReseated(fact) => {
                seats(&fact.places.seats);
                self.need_rest(show, fact.hold, &fact.places);
            }
            E::HoldReleased(fact) | E::HoldExpired(fact) => {
                seats(&fact.places.seats);
                self.need_rest(show, fact.hold, &fact.places);
            }
            E::PlacesReturned(fact) => {
                seats(&fact.places.seats);
                self.need_rest(show, fact.hold, &fact.places);
            }
        }
    }

    fn apply(&mut self, event: &StoredEvent, decoded: &Decoded) -> Result<(), Inconsistent> {
        use inventory::Event as E;
        let Event::Inventory(fact) = &decoded.event else { return Ok(()) };
        let show = show_of(event);
        if let E::SalesOpened(opened) = fact {
            if !(1..=MAX_LEGS).contains(&opened.legs) {
                return Err(Inconsistent(format!("a show cannot have {} legs", opened.legs)));
            }
            let sales = SalesDoc { rules: opened.rules.clone(), closed: None };
            self.shows.put(show, ShowRow { version: 0, position: 0, sales });
        }
        let row = self
            .shows
            .get_mut(&show)
            .ok_or_else(|| Inconsistent(format!("show {show} was never put on sale")))?;
        row.version = event.version;
        row.position = event.position.0;
        match fact {
            E::SalesOpened(_) => Ok(()),
            E::SalesRulesChanged(rules) => {
                row.sales.rules = rules.clone();
                Ok(())
            }
            E::SalesClosed(closed) => {
                row.sales.closed = Some(closed.reason.clone());
                Ok(())
            }
            E::SeatsBlocked(blocked) => self.change(show, &blocked.seats, |seat| {
                seat.blocked = true;
                Ok(())
            }),
            E::SeatsUnblocked(unblocked) => self.change(show, &unblocked.seats, |seat| {
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
            E::SeatsHeld(held) => self.hold(show, held),
            E::HoldExtended(extended) => {
                self.lasting(show, extended.hold)?.expires_at = extended.expires_at;
                Ok(())
            }
            E::HoldConfirmed(confirmed) => {
                let allotment = self.end(show, confirmed.hold, &confirmed.places)?;
                self.sell(show, &confirmed.places, allotment.as_ref())
            }
            E::OrderReseated(confirmed) => {
                let allotment = self.allotment_of(show, confirmed.hold);
                self.sell(show, &confirmed.places, allotment.as_ref())
            }
            E::HoldReleased(ended) | E::HoldExpired(ended) => {
                self.end(show, ended.hold, &ended.places).map(drop)
            }
            E::PlacesReturned(returned) => {
                let allotment = self.allotment_of(show, returned.hold);
                self.give_back(show, &returned.places, allotment.as_ref())
            }
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
    fn need_pools(&mut self, show: ShowId, places: &Places) {
        for pool in &places.pools {
            self.pools.need(&(show, pool.pool.clone()));
        }
    }

    fn need_rest(&mut self, show: ShowId, hold: HoldId, places: &Places) {
        self.holds.need(&(show, hold));
        self.need_pools(show, places);
    }

    /// Changes seats; a block whose seats are all plainly free afterwards has no row.
    fn change(
        &mut self,
        show: ShowId,
        seats: &[SeatId],
        mut change: impl FnMut(&mut SeatState) -> Result<(), &'static str>,
    ) -> Result<(), Inconsistent> {
        let unknown = || Inconsistent(format!("show {show} was never put on sale"));
        let map = self.maps.get(show).ok_or_else(unknown)?;
        for seat in seats {
            let wrong = |why| Inconsistent(format!("seat {seat} {why}"));
            let number = map.number(seat).ok_or_else(|| wrong("is not in the map"))?;
            let key = (show, block_of(number));
            let block = self.seats.get_or(&key, || SeatBlock::empty(map.legs));
            let mut state = block.get(number);
            change(&mut state).map_err(wrong)?;
            block.set(number, state);
            if state.is_plain() && block.is_plain() {
                self.seats.remove(&key);
            }
        }
        Ok(())
    }

    fn hold(&mut self, show: ShowId, held: &inventory::SeatsHeld) -> Result<(), Inconsistent> {
        let mask = held.places.legs.mask();
        self.change(show, &held.places.seats, |seat| seat.hold(mask))?;
        self.count(show, &held.places, held.allotment.as_ref(), Side::Held, true)?;
        let row = HoldRow {
            state: HoldState::Held,
            expires_at: held.expires_at,
            places: held.places.clone(),
            allotment: held.allotment.clone(),
        };
        self.holds.add((show, held.hold), row);
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

    /// A hold is over; says out of which allotment it was.
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
        let mask = places.legs.mask();
        self.change(show, &places.seats, |seat| seat.free_held(mask))?;
        self.count(show, places, allotment.as_ref(), Side::Held, false)?;
        Ok(allotment)
    }

    fn sell(
        &mut self,
        show: ShowId,
        places: &Places,
        allotment: Option<&Allotment>,
    ) -> Result<(), Inconsistent> {
        let mask = places.legs.mask();
        self.change(show, &places.seats, |seat| seat.sell(mask))?;
        self.count(show, places, allotment, Side::Sold, true)
    }

    fn give_back(
        &mut self,
        show: ShowId,
        places: &Places,
        allotment: Option<&Allotment>,
    ) -> Result<(), Inconsistent> {
        let mask = places.legs.mask();
        self.change(show, &places.seats, |seat| seat.free_sold(mask))?;
        self.count(show, places, allotment, Side::Sold, false)
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
