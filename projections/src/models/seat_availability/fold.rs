//! From the events of a show's inventory to rows.

use std::collections::BTreeMap;

use hakken_domain::{
    Event,
    envelope::{Decoded, StoredEvent, Version},
    inventory::{self, HoldConfirmed, Places, SalesRules},
    legs::Legs,
    names::{Allotment, HoldId, OrderId, OrganizerId, PoolId, Reason, SeatId, ShowId, VenueId},
    seatmap::SeatMap,
};
use serde::{Deserialize, Serialize};

use super::{ALLOTMENTS, HOLDS, HoldStatus, HoldView, MAPS, POOLS, SEATS, SHOWS};
use crate::{
    cache::{AnyRows, Cache, Record, doc, read, read_doc, read_int},
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

/// A seat that is held, sold or blocked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct SeatRow {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) held: Vec<(Legs, HoldId)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sold: Vec<(Legs, OrderId)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blocked: Option<Reason>,
}

impl SeatRow {
    pub(super) fn held_mask(&self) -> u64 {
        self.held.iter().fold(0, |mask, (legs, _)| mask | legs.mask())
    }

    pub(super) fn sold_mask(&self) -> u64 {
        self.sold.iter().fold(0, |mask, (legs, _)| mask | legs.mask())
    }

    fn plain(&self) -> bool {
        self.held.is_empty() && self.sold.is_empty() && self.blocked.is_none()
    }
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

part_of_show!(SeatRow, SEATS, "seat", SeatId);
part_of_show!(PoolRow, POOLS, "pool", PoolId);
part_of_show!(AllotmentRow, ALLOTMENTS, "allotment", Allotment);

impl Record for HoldView {
    type Key = HoldId;
    fn table() -> &'static Table {
        &HOLDS
    }
    fn key_values(key: &HoldId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &HoldId) -> Row {
        vec![
            Value::text(key),
            Value::text(self.show),
            Value::maybe(self.organizer),
            Value::Text(self.buyer.as_str().into()),
            Value::Text(self.status.as_str().into()),
            Value::time(self.expires_at),
            Value::position(self.position),
            doc(self),
        ]
    }
    fn from_row(row: &Row) -> Result<(HoldId, Self), RowError> {
        Ok((read(&HOLDS, row, "hold")?, read_doc(&HOLDS, row, "doc")?))
    }
}

/// The fold.
pub(super) struct AvailabilityFold {
    maps: Cache<MapRow>,
    shows: Cache<ShowRow>,
    seats: Cache<SeatRow>,
    pools: Cache<PoolRow>,
    allotments: Cache<AllotmentRow>,
    holds: Cache<HoldView>,
}

impl Default for AvailabilityFold {
    fn default() -> Self {
        Self {
            maps: Cache::transient(),
            shows: Cache::default(),
            seats: Cache::default(),
            pools: Cache::default(),
            allotments: Cache::default(),
            holds: Cache::default(),
        }
    }
}

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
        match fact {
            E::SalesOpened(_) | E::SalesRulesChanged(_) | E::SalesClosed(_) => {}
            E::SeatsBlocked(fact) => self.need_seats(show, &fact.seats),
            E::SeatsUnblocked(fact) => self.need_seats(show, &fact.seats),
            E::AllotmentSet(fact) => self.allotments.need(&(show, fact.allotment.clone())),
            E::SeatsHeld(fact) => self.need_places(show, fact.hold, &fact.places),
            E::HoldExtended(fact) => self.holds.need(&fact.hold),
            E::HoldConfirmed(fact) | E::OrderReseated(fact) => {
                self.need_places(show, fact.hold, &fact.places);
            }
            E::HoldReleased(fact) | E::HoldExpired(fact) => {
                self.need_places(show, fact.hold, &fact.places);
            }
            E::PlacesReturned(fact) => self.need_places(show, fact.hold, &fact.places),
        }
    }

    fn apply(&mut self, event: &StoredEvent, decoded: &Decoded) -> Result<(), Inconsistent> {
        use inventory::Event as E;
        let Event::Inventory(fact) = &decoded.event else { return Ok(()) };
        let show = show_of(event);
        if let E::SalesOpened(opened) = fact {
            let map = MapRow {
                organizer: decoded.meta.organizer,
                venue: opened.venue,
                legs: opened.legs,
                seat_map: opened.seat_map.clone(),
            };
            self.maps.put(show, map);
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
            E::SeatsBlocked(blocked) => {
                for seat in &blocked.seats {
                    let reason = Some(blocked.reason.clone());
                    self.change_seat(show, seat, |row| row.blocked = reason);
                }
                Ok(())
            }
            E::SeatsUnblocked(unblocked) => {
                for seat in &unblocked.seats {
                    self.change_seat(show, seat, |row| row.blocked = None);
                }
                Ok(())
            }
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
            E::SeatsHeld(held) => self.hold(show, event, decoded, held),
            E::HoldExtended(extended) => {
                self.known_hold(extended.hold)?.expires_at = extended.expires_at;
                Ok(())
            }
            E::HoldConfirmed(confirmed) => {
                self.free_held(show, confirmed.hold, &confirmed.places)?;
                self.sell(show, confirmed)
            }
            E::OrderReseated(confirmed) => self.sell(show, confirmed),
            E::HoldReleased(ended) => {
                self.free_held(show, ended.hold, &ended.places)?;
                self.known_hold(ended.hold)?.status = HoldStatus::Released;
                Ok(())
            }
            E::HoldExpired(ended) => {
                self.free_held(show, ended.hold, &ended.places)?;
                self.known_hold(ended.hold)?.status = HoldStatus::Expired;
                Ok(())
            }
            E::PlacesReturned(returned) => self.give_back(show, returned),
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
    fn need_seats(&mut self, show: ShowId, seats: &[SeatId]) {
        for seat in seats {
            self.seats.need(&(show, seat.clone()));
        }
    }

    fn need_places(&mut self, show: ShowId, hold: HoldId, places: &Places) {
        self.holds.need(&hold);
        self.need_seats(show, &places.seats);
        for pool in &places.pools {
            self.pools.need(&(show, pool.pool.clone()));
        }
    }

    fn known_hold(&mut self, hold: HoldId) -> Result<&mut HoldView, Inconsistent> {
        self.holds.get_mut(&hold).ok_or_else(|| Inconsistent(format!("hold {hold} is not known")))
    }

    /// Changes a seat; a seat that is plainly free afterwards has no row.
    fn change_seat<T>(
        &mut self,
        show: ShowId,
        seat: &SeatId,
        change: impl FnOnce(&mut SeatRow) -> T,
    ) -> T {
        let key = (show, seat.clone());
        let row = self.seats.get_or(&key, SeatRow::default);
        let result = change(row);
        if row.plain() {
            self.seats.remove(&key);
        }
        result
    }

    fn hold(
        &mut self,
        show: ShowId,
        event: &StoredEvent,
        decoded: &Decoded,
        held: &inventory::SeatsHeld,
    ) -> Result<(), Inconsistent> {
        let legs = held.places.legs;
        for seat in &held.places.seats {
            self.change_seat(show, seat, |row| {
                free_on(row, seat, legs)?;
                row.held.push((legs, held.hold));
                Ok(())
            })?;
        }
        self.count(show, &held.places, held.allotment.as_ref(), Side::Held, true)?;
        let view = HoldView {
            hold: held.hold,
            show,
            organizer: decoded.meta.organizer,
            buyer: held.buyer.clone(),
            status: HoldStatus::Held,
            places: held.places.clone(),
            allotment: held.allotment.clone(),
            order: None,
            held_at: event.recorded_at,
            expires_at: held.expires_at,
            position: event.position,
        };
        self.holds.put(held.hold, view);
        Ok(())
    }

    fn free_held(
        &mut self,
        show: ShowId,
        hold: HoldId,
        places: &Places,
    ) -> Result<(), Inconsistent> {
        for seat in &places.seats {
            self.change_seat(show, seat, |row| {
                take_out(&mut row.held, (places.legs, hold))
                    .ok_or_else(|| Inconsistent(format!("seat {seat} is not held by {hold}")))
            })?;
        }
        let allotment = self.known_hold(hold)?.allotment.clone();
        self.count(show, places, allotment.as_ref(), Side::Held, false)
    }

    fn sell(&mut self, show: ShowId, confirmed: &HoldConfirmed) -> Result<(), Inconsistent> {
        let HoldConfirmed { hold, order, places, .. } = confirmed;
        for seat in &places.seats {
            self.change_seat(show, seat, |row| {
                free_on(row, seat, places.legs)?;
                row.sold.push((places.legs, *order));
                Ok(())
            })?;
        }
        let view = self.known_hold(*hold)?;
        view.status = HoldStatus::Confirmed;
        view.order = Some(*order);
        let allotment = view.allotment.clone();
        self.count(show, places, allotment.as_ref(), Side::Sold, true)
    }

    fn give_back(
        &mut self,
        show: ShowId,
        returned: &inventory::PlacesReturned,
    ) -> Result<(), Inconsistent> {
        let inventory::PlacesReturned { hold, order, places, .. } = returned;
        for seat in &places.seats {
            self.change_seat(show, seat, |row| {
                take_out(&mut row.sold, (places.legs, *order))
                    .ok_or_else(|| Inconsistent(format!("seat {seat} is not sold to {order}")))
            })?;
        }
        let allotment = self.known_hold(*hold)?.allotment.clone();
        self.count(show, places, allotment.as_ref(), Side::Sold, false)
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

fn free_on(row: &SeatRow, seat: &SeatId, legs: Legs) -> Result<(), Inconsistent> {
    if (row.held_mask() | row.sold_mask()) & legs.mask() == 0 {
        Ok(())
    } else {
        Err(Inconsistent(format!("seat {seat} is taken already on one of the legs")))
    }
}

fn take_out<T: PartialEq>(from: &mut Vec<T>, what: T) -> Option<()> {
    let at = from.iter().position(|found| *found == what)?;
    from.remove(at);
    Some(())
}
