//! A seat map: sections with rows of seats, and pools, on a plane with a focal point.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::names::{Category, Label, PoolId, SeatId};

/// Most seats of one map.
pub const MAX_SEATS: usize = 200_000;
/// Most rows of one map.
pub const MAX_ROWS: usize = 20_000;
/// Most pools of one map.
pub const MAX_POOLS: usize = 1_000;
/// Most places of one pool.
pub const MAX_POOL_CAPACITY: u32 = 10_000_000;

/// A point of the plane, in hundredths of the map's own unit; y grows downwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Point {
    /// To the right.
    pub x: i32,
    /// Down.
    pub y: i32,
}

/// Sections, pools, and where people want to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeatMap {
    /// What people call it.
    pub name: Label,
    /// Where people want to look: the stage, the centre circle. Best available is near it.
    pub focus: Point,
    /// Blocks of rows.
    pub sections: Vec<Section>,
    /// Unnumbered capacity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<Pool>,
}

/// A block of rows: stalls, balcony, coach 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// What people call it.
    pub name: Label,
    /// From the front.
    pub rows: Vec<Row>,
}

/// Seats side by side, in the order in which one sits next to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What people call it.
    pub name: Label,
    /// From one end to the other.
    pub seats: Vec<Seat>,
}

/// One seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SeatFields")]
pub struct Seat {
    /// Unique in the map.
    pub id: SeatId,
    /// The number on the seat.
    pub number: Label,
    /// Where it stands.
    #[serde(flatten)]
    pub at: Point,
    /// Its price category.
    pub category: Category,
    /// A wheelchair place or one kept for accessibility: never given to a general request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wheelchair: bool,
    /// A gap (an aisle) lies between this seat and the next one of the row: no party sits
    /// across it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aisle_after: bool,
}

/// A seat as it is read: the same without `flatten`, which makes a copy of every field first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeatFields {
    id: SeatId,
    number: Label,
    x: i32,
    y: i32,
    category: Category,
    #[serde(default)]
    wheelchair: bool,
    #[serde(default)]
    aisle_after: bool,
}

impl From<SeatFields> for Seat {
    fn from(fields: SeatFields) -> Self {
        let SeatFields { id, number, x, y, category, wheelchair, aisle_after } = fields;
        Self { id, number, at: Point { x, y }, category, wheelchair, aisle_after }
    }
}

/// Unnumbered capacity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Unique in the map.
    pub id: PoolId,
    /// Places.
    pub capacity: u32,
    /// Its price category.
    pub category: Category,
}

/// Why a seat map is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeatMapError {
    /// Neither a seat nor a place of a pool.
    #[error("the map has neither a seat nor a pool with capacity")]
    Empty,
    /// More than this engine takes.
    #[error("the map has {found} {what}, at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many may be.
        max: usize,
    },
    /// The same seat twice.
    #[error(
        "seat \"{seat}\" stands twice: in section \"{first}\" and in section \"{second}\", row \"{row}\""
    )]
    DuplicateSeat {
        /// The seat.
        seat: SeatId,
        /// Section of the first.
        first: Label,
        /// Section of the second.
        second: Label,
        /// Row of the second.
        row: Label,
    },
    /// The same pool twice.
    #[error("pool \"{0}\" stands twice")]
    DuplicatePool(PoolId),
    /// A pool without places, or with too many.
    #[error("pool \"{0}\" has {1} places; 1 to {MAX_POOL_CAPACITY} are allowed")]
    PoolCapacity(PoolId, u32),
}

impl SeatMap {
    /// Every seat, in the order of the map: its number there is the seat's index.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.sections.iter().flat_map(|s| &s.rows).flat_map(|r| &r.seats)
    }

    /// Seats, pools and their places are unique and within bounds.
    pub fn check(&self) -> Result<(), SeatMapError> {
        let rows = self.sections.iter().map(|s| s.rows.len()).sum();
        let bound = |what, found, max| {
            if found > max { Err(SeatMapError::TooMany { what, found, max }) } else { Ok(()) }
        };
        bound("rows", rows, MAX_ROWS)?;
        bound("seats", self.seats().count(), MAX_SEATS)?;
        bound("pools", self.pools.len(), MAX_POOLS)?;
        let mut seen = std::collections::HashMap::new();
        for section in &self.sections {
            for row in &section.rows {
                for seat in &row.seats {
                    if let Some(first) = seen.insert(&seat.id, &section.name) {
                        return Err(SeatMapError::DuplicateSeat {
                            seat: seat.id.clone(),
                            first: first.clone(),
                            second: section.name.clone(),
                            row: row.name.clone(),
                        });
                    }
                }
            }
        }
        let mut pools = HashSet::new();
        for pool in &self.pools {
            if !pools.insert(&pool.id) {
                return Err(SeatMapError::DuplicatePool(pool.id.clone()));
            }
            if pool.capacity == 0 || pool.capacity > MAX_POOL_CAPACITY {
                return Err(SeatMapError::PoolCapacity(pool.id.clone(), pool.capacity));
            }
        }
        if seen.is_empty() && pools.is_empty() { Err(SeatMapError::Empty) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn category() -> Category {
        Category::new("stalls").unwrap()
    }

    fn section(name: &str, seats: &[String]) -> Section {
        let seat = |id: &String| Seat {
            id: SeatId::new(id).unwrap(),
            number: label("1"),
            at: Point::default(),
            category: category(),
            wheelchair: false,
            aisle_after: false,
        };
        let row = Row { name: label("A"), seats: seats.iter().map(seat).collect() };
        Section { name: label(name), rows: vec![row] }
    }

    fn map(sections: Vec<Section>, pools: &[(&str, u32)]) -> SeatMap {
        let pool = |(id, capacity): &(&str, u32)| Pool {
            id: PoolId::new(id).unwrap(),
            capacity: *capacity,
            category: category(),
        };
        let pools = pools.iter().map(pool).collect();
        SeatMap { name: label("Hall"), focus: Point::default(), sections, pools }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_map_has_seats_or_a_pool() {
        assert_eq!(map(vec![], &[]).check(), Err(SeatMapError::Empty));
        assert_eq!(map(vec![section("S", &[])], &[]).check(), Err(SeatMapError::Empty));
        assert_eq!(map(vec![], &[("standing", 1)]).check(), Ok(()));
        assert_eq!(map(vec![section("S", &names(2))], &[]).check(), Ok(()));
    }

    #[test]
    fn a_map_has_bounds() {
        let too_many = |what, found, max| Err(SeatMapError::TooMany { what, found, max });
        let seats = map(vec![section("S", &names(MAX_SEATS + 1))], &[]);
        assert_eq!(seats.check(), too_many("seats", MAX_SEATS + 1, MAX_SEATS));
        let rows = map((0..=MAX_ROWS).map(|_| section("S", &[])).collect(), &[]);
        assert_eq!(rows.check(), too_many("rows", MAX_ROWS + 1, MAX_ROWS));
        let ids = names(MAX_POOLS + 1);
        let pools: Vec<_> = ids.iter().map(|id| (id.as_str(), 1)).collect();
        assert_eq!(map(vec![], &pools).check(), too_many("pools", MAX_POOLS + 1, MAX_POOLS));
    }

    #[test]
    fn a_seat_that_stands_twice_is_named_with_both_places() {
        let stalls = section("Stalls", &names(3));
        let balcony = section("Balcony", &names(1));
        assert_eq!(
            map(vec![stalls, balcony], &[]).check().unwrap_err().to_string(),
            "seat \"0\" stands twice: in section \"Stalls\" and in section \"Balcony\", row \"A\""
        );
    }

    #[test]
    fn a_pool_stands_once_and_has_places() {
        let pool = PoolId::new("standing").unwrap();
        let twice = map(vec![], &[("standing", 1), ("standing", 2)]);
        assert_eq!(twice.check(), Err(SeatMapError::DuplicatePool(pool.clone())));
        for capacity in [0, MAX_POOL_CAPACITY + 1] {
            let error = SeatMapError::PoolCapacity(pool.clone(), capacity);
            assert_eq!(map(vec![], &[("standing", capacity)]).check(), Err(error));
        }
        assert_eq!(map(vec![], &[("standing", MAX_POOL_CAPACITY)]).check(), Ok(()));
    }
}
