use std::{collections::HashSet, sync::Arc};

use async_graphql::{Enum, ID, Object, SimpleObject};
use hakken_domain::names::SeatId;
use hakken_projections::models::seat_availability::{self, SeatStatus as Status};

use super::{Legs, SeatMap};
use crate::{
    ids::GlobalId,
    schema::{
        pace::OneByOne,
        scalars::{DateTime, PositionScalar},
    },
};

/// Whether one may have a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "seat_availability::SeatStatus")]
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

fn letter(status: Status) -> u8 {
    match status {
        Status::Free => b'F',
        Status::Held => b'H',
        Status::Sold => b'S',
        Status::Blocked => b'B',
        Status::Allotted => b'A',
    }
}

/// One letter for each seat, in the order of the map.
fn letters(found: &seat_availability::Availability) -> String {
    let letters = found.seats.iter().copied().map(letter).collect();
    String::from_utf8(letters).expect("letters are ASCII")
}

/// One seat, and whether one may have it.
#[derive(Debug, Clone)]
pub struct SeatAvailability {
    seat: SeatId,
    status: Status,
}

/// One seat, and whether one may have it.
#[Object]
impl SeatAvailability {
    /// Its name in the seat map: `A1`.
    async fn seat(&self) -> &str {
        self.seat.as_str()
    }

    /// Whether one may have it.
    async fn status(&self) -> SeatStatus {
        self.status.into()
    }
}

impl SeatAvailability {
    pub(crate) fn new(seat: &SeatId, status: Status) -> Self {
        Self { seat: seat.clone(), status }
    }
}

/// How many places of a pool are what. On several legs, `free` is what is free on all of them,
/// and the others are those of the fullest leg.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub struct PoolAvailability {
    /// Its name in the seat map: `floor`.
    pub pool: String,
    /// Places in all.
    pub capacity: u32,
    /// Anybody may hold them.
    pub free: u32,
    /// Set aside for buyers.
    pub held: u32,
    /// Sold.
    pub sold: u32,
    /// Kept for somebody, and neither held nor sold.
    pub allotted: u32,
}

impl From<&seat_availability::PoolAvailability> for PoolAvailability {
    fn from(pool: &seat_availability::PoolAvailability) -> Self {
        Self {
            pool: pool.pool.to_string(),
            capacity: pool.capacity,
            free: pool.free,
            held: pool.held,
            sold: pool.sold,
            allotted: pool.allotted,
        }
    }
}

/// Seats and pool places together.
#[derive(Debug, Clone, SimpleObject)]
pub struct AvailabilityTotals {
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

impl From<seat_availability::Totals> for AvailabilityTotals {
    fn from(totals: seat_availability::Totals) -> Self {
        Self {
            free: totals.free,
            held: totals.held,
            sold: totals.sold,
            blocked: totals.blocked,
            allotted: totals.allotted,
        }
    }
}

/// What an answer about a show's seats is true for. A hold that ends by itself changes the answer
/// without an event, and then another one ends next.
pub(crate) fn version_of(found: &seat_availability::Availability) -> String {
    let expiry = found.next_expiry.map_or(0, |expiry| expiry.as_micros());
    format!("{}.{expiry}", found.version)
}

/// What is free of a show at one instant.
#[derive(Debug, Clone)]
pub struct Availability {
    found: Arc<seat_availability::Availability>,
    unchanged: bool,
}

impl Availability {
    /// `known` is the version that the client has already.
    pub(crate) fn new(found: Arc<seat_availability::Availability>, known: Option<&str>) -> Self {
        let unchanged = known.is_some_and(|known| known == version_of(&found));
        Self { found, unchanged }
    }
}

/// What is free of a show at one instant.
#[Object]
impl Availability {
    /// The id of the show: `show_01J…`.
    async fn show_id(&self) -> ID {
        self.found.show.global()
    }

    /// Changes whenever anything of the answer does. Opaque; give it as `ifVersionIsNot` to ask
    /// again cheaply.
    async fn version(&self) -> String {
        version_of(&self.found)
    }

    /// The position of the last change.
    async fn position(&self) -> PositionScalar {
        PositionScalar(self.found.position)
    }

    /// On these legs.
    async fn legs(&self) -> Legs {
        self.found.legs.into()
    }

    /// When the next hold ends by itself, if nothing happens before.
    async fn next_expiry(&self) -> Option<DateTime> {
        self.found.next_expiry.map(DateTime)
    }

    /// Nothing changed since the version that was given as `ifVersionIsNot`: seats and pools are
    /// left out.
    async fn unchanged(&self) -> bool {
        self.unchanged
    }

    /// Every seat, in the order of the map; null if nothing changed.
    async fn seats(
        &self,
        #[graphql(desc = "Only seats with one of these statuses.")] status: Option<Vec<SeatStatus>>,
    ) -> Option<OneByOne<SeatAvailability>> {
        if self.unchanged {
            return None;
        }
        // Each once, however often it was named: every seat is compared with all of them.
        let wanted: Option<HashSet<Status>> =
            status.map(|status| status.into_iter().map(Into::into).collect());
        let seats = self.found.map.seat_ids.iter().zip(&self.found.seats);
        let seats = seats
            .filter(|(_, status)| wanted.as_ref().is_none_or(|wanted| wanted.contains(status)));
        Some(seats.map(|(seat, status)| SeatAvailability::new(seat, *status)).collect())
    }

    /// The same in one letter for each seat, in the order of the map, which is small enough to
    /// poll: F free, H held, S sold, B blocked, A allotted; `FFHS` for four seats. Null if nothing
    /// changed.
    async fn seat_letters(&self) -> Option<String> {
        (!self.unchanged).then(|| letters(&self.found))
    }

    /// Every pool; null if nothing changed.
    async fn pools(&self) -> Option<Vec<PoolAvailability>> {
        (!self.unchanged).then(|| self.found.pools.iter().map(PoolAvailability::from).collect())
    }

    /// Seats and pool places together.
    async fn totals(&self) -> AvailabilityTotals {
        self.found.totals.into()
    }

    /// The seat map, which does not change.
    async fn seat_map(&self) -> SeatMap {
        SeatMap::Show(self.found.map.clone())
    }
}

/// What changed of a show's seats. The first one of a subscription says everything.
#[derive(Debug, Clone, SimpleObject)]
pub struct AvailabilityChange {
    /// The id of the show: `show_01J…`.
    pub show_id: ID,
    /// The version of the answer, as `availability` has it.
    pub version: String,
    /// The position of the last change.
    pub position: PositionScalar,
    /// This is the first one: `seatLetters` says what all seats are.
    pub initial: bool,
    /// One letter for each seat, in the order of the map: F free, H held, S sold, B blocked, A
    /// allotted; `FFHS` for four seats. Only in the first one.
    pub seat_letters: Option<String>,
    /// Seats that are otherwise than before.
    pub seats: OneByOne<SeatAvailability>,
    /// Pools that are otherwise than before; in the first one, every pool.
    pub pools: Vec<PoolAvailability>,
    /// Seats and pool places together.
    pub totals: AvailabilityTotals,
}

impl AvailabilityChange {
    /// From one answer to the next; everything if there is none before.
    pub(crate) fn between(
        before: Option<&seat_availability::Availability>,
        now: &seat_availability::Availability,
    ) -> Self {
        let seats = before.map_or_else(
            || OneByOne(Vec::new()),
            |before| {
                let changed = now.changed_since(before);
                changed.map(|(seat, status)| SeatAvailability::new(seat, status)).collect()
            },
        );
        let pools =
            now.pools.iter().enumerate().filter(|(at, pool)| {
                before.is_none_or(|before| before.pools.get(*at) != Some(*pool))
            });
        Self {
            show_id: now.show.global(),
            version: version_of(now),
            position: PositionScalar(now.position),
            initial: before.is_none(),
            seat_letters: before.is_none().then(|| letters(now)),
            seats,
            pools: pools.map(|(_, pool)| PoolAvailability::from(pool)).collect(),
            totals: now.totals.into(),
        }
    }

    /// There is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        !self.initial && self.seats.0.is_empty() && self.pools.is_empty()
    }
}
