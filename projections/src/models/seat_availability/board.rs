//! What is free, in memory: a mask of legs for each seat and counters for pools. A board is made
//! from rows and follows them, so that it can say nothing that the rows do not say.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hakken_domain::{
    envelope::{Position, Version},
    inventory::{Places, PoolPlaces, SalesRules},
    legs::Legs,
    names::{Allotment, HoldId, OrganizerId, PoolId, Reason, SeatId, ShowId, VenueId},
    seatmap::SeatMap,
    time::Timestamp,
};
use tokio::sync::watch;

use super::{
    ALLOTMENTS, HOLDS, MAPS, POOLS, SEATS, SHOWS,
    fold::{AllotmentRow, HoldRow, HoldState, MapRow, PoolRow, SalesDoc, ShowRow},
    packed::{SEATS_PER_BLOCK, SeatBlock},
};
use crate::{
    cache::{Record, bad, read},
    engine::Observer,
    rows::{Changes, Checkpoint, RowError, TableChanges, Value},
};

/// Most boards in memory; the one that was not asked for longest makes room.
const MAX_BOARDS: usize = 256;
/// Most ranges of legs for which a board keeps an answer.
const MAX_ANSWERS: usize = 64;

/// Whether one may have a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeatStatus {
    /// Anybody may hold it.
    Free,
    /// Set aside for a buyer, on one of the legs at least.
    Held,
    /// Sold, on one of the legs at least.
    Sold,
    /// Out of sale.
    Blocked,
    /// Only for those it is kept for.
    Allotted,
}

/// How many places of a pool are what. On a range of legs `free` is what is free on all of
/// them, and the others are those of the fullest leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolAvailability {
    /// The pool.
    pub pool: PoolId,
    /// Places in all.
    pub capacity: u32,
    /// Anybody may hold them.
    pub free: u32,
    /// Set aside for buyers.
    pub held: u32,
    /// Sold.
    pub sold: u32,
    /// Kept for somebody, and not yet held or sold.
    pub allotted: u32,
}

/// Seats and pool places together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Anybody may hold them.
    pub free: u64,
    /// Set aside for buyers.
    pub held: u64,
    /// Sold.
    pub sold: u64,
    /// Out of sale.
    pub blocked: u64,
    /// Kept for somebody.
    pub allotted: u64,
}

/// What was put on sale: it does not change.
#[derive(Debug, PartialEq)]
pub struct ShowMap {
    /// Whose show it is.
    pub organizer: Option<OrganizerId>,
    /// Where the map came from.
    pub venue: VenueId,
    /// How many legs the show has.
    pub legs: u8,
    /// The seats and pools.
    pub seat_map: SeatMap,
    /// The seats in the order of the map.
    pub seat_ids: Vec<SeatId>,
    index: HashMap<SeatId, usize>,
}

impl From<MapRow> for ShowMap {
    fn from(map: MapRow) -> Self {
        let seat_ids: Vec<SeatId> = map.seat_map.seats().map(|seat| seat.id.clone()).collect();
        let index = seat_ids.iter().cloned().zip(0..).collect();
        Self {
            organizer: map.organizer,
            venue: map.venue,
            legs: map.legs,
            seat_map: map.seat_map,
            seat_ids,
            index,
        }
    }
}

/// When one may buy.
#[derive(Debug, Clone, PartialEq)]
pub struct Sales {
    /// The window, the times and the limits.
    pub rules: SalesRules,
    /// Why sales were closed, if they were.
    pub closed: Option<Reason>,
}

/// What is free of a show on a range of legs at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Availability {
    /// The show.
    pub show: ShowId,
    /// Counts the changes: the version of the show's inventory stream.
    pub version: Version,
    /// The position of the last change.
    pub position: Position,
    /// Holds that ended before count as free.
    pub at: Timestamp,
    /// When the next hold ends by itself, if nothing happens before.
    pub next_expiry: Option<Timestamp>,
    /// On these legs.
    pub legs: Legs,
    /// The seats and pools.
    pub map: Arc<ShowMap>,
    /// When one may buy.
    pub sales: Sales,
    /// For each seat of `map.seat_ids`.
    pub seats: Vec<SeatStatus>,
    /// For each pool of the map.
    pub pools: Vec<PoolAvailability>,
    /// All together.
    pub totals: Totals,
}

impl Availability {
    /// Whether one may have this seat; none if there is no such seat.
    pub fn seat(&self, seat: &SeatId) -> Option<SeatStatus> {
        self.map.index.get(seat).map(|at| self.seats[*at])
    }

    /// The seats that are otherwise than in an earlier answer for the same legs.
    pub fn changed_since<'a>(
        &'a self,
        earlier: &'a Self,
    ) -> impl Iterator<Item = (&'a SeatId, SeatStatus)> {
        let seats = self.seats.iter().zip(&earlier.seats).enumerate();
        seats
            .filter(|(_, (now, before))| now != before)
            .map(|(at, (now, _))| (&self.map.seat_ids[at], *now))
    }
}

#[derive(Debug, Clone)]
struct ActiveHold {
    expires_at: Timestamp,
    legs: Legs,
    /// The numbers of its seats.
    seats: Vec<usize>,
    pools: Vec<PoolPlaces>,
    allotment: Option<Allotment>,
}

/// One show.
#[derive(Debug)]
pub(super) struct Board {
    show: ShowId,
    map: Arc<ShowMap>,
    version: Version,
    position: Position,
    sales: SalesDoc,
    sold: Vec<u64>,
    held: Vec<u64>,
    blocked: Vec<bool>,
    /// Who holds what, for seats that are held.
    held_by: HashMap<usize, Vec<(Legs, HoldId)>>,
    holds: HashMap<HoldId, ActiveHold>,
    pools: HashMap<PoolId, PoolRow>,
    allotments: BTreeMap<Allotment, AllotmentRow>,
    answers: HashMap<Legs, Arc<Availability>>,
    used: u64,
}

impl Board {
    /// From the rows of one show; none if it was never put on sale.
    pub(super) fn from_rows(show: ShowId, rows: &Changes) -> Result<Option<Self>, RowError> {
        let mut map = None;
        let mut about = None;
        for TableChanges { table, upserts, .. } in rows {
            for row in upserts {
                if **table == MAPS {
                    map = Some(MapRow::from_row(row)?);
                } else if **table == SHOWS {
                    about = Some(ShowRow::from_row(row)?.1);
                }
            }
        }
        let (Some(map), Some(about)) = (map, about) else { return Ok(None) };
        let map = ShowMap::from(map);
        let count = map.seat_ids.len();
        let mut board = Self {
            show,
            map: Arc::new(map),
            version: about.version,
            position: Position(about.position),
            sales: about.sales,
            sold: vec![0; count],
            held: vec![0; count],
            blocked: vec![false; count],
            held_by: HashMap::new(),
            holds: HashMap::new(),
            pools: HashMap::new(),
            allotments: BTreeMap::new(),
            answers: HashMap::new(),
            used: 0,
        };
        for change in rows {
            board.apply(change, |_| true)?;
        }
        Ok(Some(board))
    }

    /// Takes changed rows in, those of this show alone. Every row says all of its seat, so taking
    /// one in twice changes nothing.
    fn apply(
        &mut self,
        change: &TableChanges,
        mine: impl Fn(&Value) -> bool,
    ) -> Result<(), RowError> {
        let table = change.table;
        // The first key column of every row is the show.
        for row in change.upserts.iter().filter(|row| mine(&row[0])) {
            if *table == SHOWS {
                let about = ShowRow::from_row(row)?.1;
                self.version = about.version;
                self.position = Position(about.position);
                self.sales = about.sales;
            } else if *table == SEATS {
                let ((_, block), seats) = SeatBlock::from_row(row)?;
                self.set_seats(block, Some(&seats));
            } else if *table == POOLS {
                let ((_, pool), row) = PoolRow::from_row(row)?;
                self.pools.insert(pool, row);
            } else if *table == ALLOTMENTS {
                let ((_, allotment), row) = AllotmentRow::from_row(row)?;
                self.allotments.insert(allotment, row);
            } else if *table == HOLDS {
                let ((_, hold), row) = HoldRow::from_row(row)?;
                self.set_hold(hold, Some(row));
            }
        }
        for key in change.deletes.iter().filter(|key| mine(&key[0])) {
            if *table == SEATS {
                let block = key.get(1).and_then(Value::as_int).and_then(|at| at.try_into().ok());
                self.set_seats(block.ok_or_else(|| bad(&SEATS, "block"))?, None);
            } else if *table == HOLDS {
                self.set_hold(read(&HOLDS, key, "hold")?, None);
            } else if *table == ALLOTMENTS {
                self.allotments.remove(&read::<Allotment>(&ALLOTMENTS, key, "allotment")?);
            }
        }
        self.answers.clear();
        Ok(())
    }

    /// The seats of a block; none of them is held, sold or blocked where it has no row.
    fn set_seats(&mut self, block: u32, seats: Option<&SeatBlock>) {
        let first = block as usize * SEATS_PER_BLOCK;
        for at in first..self.sold.len().min(first + SEATS_PER_BLOCK) {
            let state = u32::try_from(at).ok().zip(seats).map(|(at, seats)| seats.get(at));
            self.sold[at] = state.map_or(0, |seat| seat.sold);
            self.held[at] = state.map_or(0, |seat| seat.held);
            self.blocked[at] = state.is_some_and(|seat| seat.blocked);
        }
    }

    /// A hold; one without a row is over.
    fn set_hold(&mut self, hold: HoldId, row: Option<HoldRow>) {
        if let Some(former) = self.holds.remove(&hold) {
            for at in former.seats {
                if let Some(held) = self.held_by.get_mut(&at) {
                    held.retain(|(_, by)| *by != hold);
                    if held.is_empty() {
                        self.held_by.remove(&at);
                    }
                }
            }
        }
        let Some(row) = row.filter(|row| row.state == HoldState::Held) else { return };
        let Places { seats, pools, legs } = row.places;
        let seats: Vec<usize> =
            seats.iter().filter_map(|seat| self.map.index.get(seat).copied()).collect();
        for at in &seats {
            self.held_by.entry(*at).or_default().push((legs, hold));
        }
        let (expires_at, allotment) = (row.expires_at, row.allotment);
        self.holds.insert(hold, ActiveHold { expires_at, legs, seats, pools, allotment });
    }

    /// What is free; the same answer again while nothing changed and no hold ended.
    pub(super) fn answer(&mut self, legs: Option<Legs>, now: Timestamp) -> Arc<Availability> {
        let all = || Legs::new(0, self.map.legs).unwrap_or_default();
        let legs = legs.unwrap_or_else(all);
        if let Some(answer) = self.answers.get(&legs)
            && answer.at <= now
            && answer.next_expiry.is_none_or(|expiry| now < expiry)
        {
            return answer.clone();
        }
        let answer = Arc::new(self.compute(legs, now));
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.clear();
        }
        self.answers.insert(legs, answer.clone());
        answer
    }

    fn compute(&self, legs: Legs, now: Timestamp) -> Availability {
        let seats = self.seat_statuses(legs, now);
        let pools = self.pool_counts(legs, now);
        let mut totals = Totals::default();
        for status in &seats {
            match status {
                SeatStatus::Free => totals.free += 1,
                SeatStatus::Held => totals.held += 1,
                SeatStatus::Sold => totals.sold += 1,
                SeatStatus::Blocked => totals.blocked += 1,
                SeatStatus::Allotted => totals.allotted += 1,
            }
        }
        for pool in &pools {
            totals.free += u64::from(pool.free);
            totals.held += u64::from(pool.held);
            totals.sold += u64::from(pool.sold);
            totals.allotted += u64::from(pool.allotted);
        }
        let ends = self.holds.values().map(|hold| hold.expires_at);
        Availability {
            show: self.show,
            version: self.version,
            position: self.position,
            at: now,
            next_expiry: ends.filter(|end| *end > now).min(),
            legs,
            map: self.map.clone(),
            sales: Sales { rules: self.sales.rules.clone(), closed: self.sales.closed.clone() },
            seats,
            pools,
            totals,
        }
    }

    fn seat_statuses(&self, legs: Legs, now: Timestamp) -> Vec<SeatStatus> {
        let mask = legs.mask();
        let mut allotted = vec![false; self.sold.len()];
        for seat in self.allotments.values().flat_map(|allotment| &allotment.seats) {
            if let Some(at) = self.map.index.get(seat) {
                allotted[*at] = true;
            }
        }
        let lasts = |hold: &HoldId| self.holds.get(hold).is_some_and(|hold| hold.expires_at > now);
        let held = |at: usize| {
            self.held[at] & mask != 0
                && self.held_by.get(&at).is_some_and(|held| {
                    held.iter().any(|(legs, hold)| legs.mask() & mask != 0 && lasts(hold))
                })
        };
        (0..self.sold.len())
            .map(|at| {
                if self.sold[at] & mask != 0 {
                    SeatStatus::Sold
                } else if held(at) {
                    SeatStatus::Held
                } else if self.blocked[at] {
                    SeatStatus::Blocked
                } else if allotted[at] {
                    SeatStatus::Allotted
                } else {
                    SeatStatus::Free
                }
            })
            .collect()
    }

    fn pool_counts(&self, legs: Legs, now: Timestamp) -> Vec<PoolAvailability> {
        // What holds have that ended by themselves, and is in the rows still.
        let mut rows = self.pools.clone();
        for hold in self.holds.values().filter(|hold| hold.expires_at <= now) {
            for places in &hold.pools {
                let Some(row) = rows.get_mut(&places.pool) else { continue };
                take(&mut row.held, hold.legs, places.count);
                let used =
                    hold.allotment.as_ref().and_then(|a| row.of_allotments.get_mut(a.as_str()));
                if let Some(used) = used {
                    take(used, hold.legs, places.count);
                }
            }
        }
        let nothing = PoolRow::default();
        let pools = self.map.seat_map.pools.iter();
        pools
            .map(|pool| {
                let row = rows.get(&pool.id).unwrap_or(&nothing);
                let mut counted = PoolAvailability {
                    pool: pool.id.clone(),
                    capacity: pool.capacity,
                    free: pool.capacity,
                    held: 0,
                    sold: 0,
                    allotted: 0,
                };
                for leg in legs.indices() {
                    let (held, sold) = (on(&row.held, leg), on(&row.sold, leg));
                    let kept = self.kept(&pool.id, row, leg);
                    let taken = held.saturating_add(sold).saturating_add(kept);
                    counted.free = counted.free.min(pool.capacity.saturating_sub(taken));
                    counted.held = counted.held.max(held);
                    counted.sold = counted.sold.max(sold);
                    counted.allotted = counted.allotted.max(kept);
                }
                counted
            })
            .collect()
    }

    /// Places kept for somebody on a leg, less what they took already.
    fn kept(&self, pool: &PoolId, row: &PoolRow, leg: usize) -> u32 {
        let mut kept = 0_u32;
        for (name, allotment) in &self.allotments {
            let used = row.of_allotments.get(name.as_str()).map_or(0, |used| on(used, leg));
            for places in allotment.pools.iter().filter(|places| places.pool == *pool) {
                kept = kept.saturating_add(places.count.saturating_sub(used));
            }
        }
        kept
    }
}

fn on(counters: &[u32], leg: usize) -> u32 {
    counters.get(leg).copied().unwrap_or(0)
}

fn take(counters: &mut [u32], legs: Legs, count: u32) {
    for counter in counters.iter_mut().skip(legs.indices().start).take(legs.indices().len()) {
        *counter = counter.saturating_sub(count);
    }
}

#[derive(Debug, Default)]
struct Loaded {
    boards: HashMap<ShowId, Board>,
    watchers: HashMap<ShowId, watch::Sender<Version>>,
    /// Goes up whenever rows changed: who loads a board sees whether it is stale.
    generation: u64,
    clock: u64,
}

/// The boards of the shows that were asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Boards(Mutex<Loaded>);

impl Boards {
    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// What a board in memory says; none if the show has none.
    pub(super) fn answer(
        &self,
        show: ShowId,
        legs: Option<Legs>,
        now: Timestamp,
    ) -> Option<Arc<Availability>> {
        let mut loaded = self.lock();
        loaded.clock += 1;
        let used = loaded.clock;
        let board = loaded.boards.get_mut(&show)?;
        board.used = used;
        Some(board.answer(legs, now))
    }

    /// Keeps a board that was loaded and answers from it, unless rows changed meanwhile.
    pub(super) fn install(
        &self,
        mut board: Board,
        generation: u64,
        legs: Option<Legs>,
        now: Timestamp,
    ) -> Option<Arc<Availability>> {
        let mut loaded = self.lock();
        if loaded.generation != generation {
            return None;
        }
        let answer = board.answer(legs, now);
        if loaded.boards.len() >= MAX_BOARDS {
            let oldest = loaded.boards.values().min_by_key(|board| board.used);
            if let Some(show) = oldest.map(|board| board.show) {
                loaded.boards.remove(&show);
            }
        }
        loaded.boards.insert(board.show, board);
        Some(answer)
    }

    /// The map of a show whose board is here.
    pub(super) fn map(&self, show: ShowId) -> Option<Arc<ShowMap>> {
        self.lock().boards.get(&show).map(|board| board.map.clone())
    }

    /// Hears of every change of a show.
    pub(super) fn watch(&self, show: ShowId) -> watch::Receiver<Version> {
        let mut loaded = self.lock();
        // Nobody listens any more to some: their senders need not stay.
        loaded.watchers.retain(|_, sender| sender.receiver_count() > 0);
        let version = loaded.boards.get(&show).map_or(0, |board| board.version);
        loaded.watchers.entry(show).or_insert_with(|| watch::Sender::new(version)).subscribe()
    }
}

impl Observer for Boards {
    fn committed(&self, changes: &Changes, _checkpoint: &Checkpoint) {
        if changes.is_empty() {
            return;
        }
        let mut loaded = self.lock();
        loaded.generation += 1;
        let Loaded { boards, watchers, .. } = &mut *loaded;
        let changed = changes
            .iter()
            .filter(|change| *change.table == SHOWS)
            .flat_map(|change| &change.upserts)
            .filter_map(|row| ShowRow::from_row(row).ok());
        for (show, about) in changed {
            if let Some(board) = boards.get_mut(&show) {
                let name = Value::text(show);
                let applied =
                    changes.iter().try_for_each(|change| board.apply(change, |of| *of == name));
                if applied.is_err() {
                    // What cannot be read now is refused when it is loaded.
                    boards.remove(&show);
                }
            }
            if let Some(watcher) = watchers.get(&show) {
                watcher.send_replace(about.version);
            }
        }
    }

    fn replaced(&self) {
        let mut loaded = self.lock();
        loaded.generation += 1;
        loaded.boards.clear();
        for watcher in loaded.watchers.values() {
            watcher.send_modify(|_| {});
        }
    }
}
