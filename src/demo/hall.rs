//! What the buyers know of the hall: which seats stand side by side, which ones everybody wants,
//! and what they cost.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, Result, bail};
use hakken_adapters::seating::{ImportOptions, SHIPPED_HALL, parse};
use hakken_domain::seatmap::{Seat, SeatMap};

/// The dearest ticket, and by how much each further category is cheaper, in yen.
const DEAREST: u64 = 13_000;
const STEP: u64 = 2_000;
const CHEAPEST: u64 = 3_000;
/// A hall needs no more categories than this to be understood.
const MAX_CATEGORIES: usize = 200;

/// One numbered seat.
pub struct HallSeat {
    /// As holds and orders name it.
    pub name: String,
    /// Its price category, by number.
    pub category: usize,
    /// Only for those who ask for it.
    pub wheelchair: bool,
    /// The next one of the map is its neighbour.
    pub next: bool,
    /// The one before is its neighbour.
    pub previous: bool,
}

/// Unnumbered places.
pub struct HallPool {
    /// As holds and orders name it.
    pub name: String,
    /// How many.
    pub capacity: u32,
    /// Their price category, by number.
    pub category: usize,
}

/// A price category.
pub struct HallCategory {
    /// What people call it.
    pub name: String,
    /// For an adult, in yen; children pay half.
    pub price: u64,
}

/// The hall that is sold.
pub struct Hall {
    /// As the importer read it.
    pub map: SeatMap,
    /// Its file, which the server reads itself.
    pub text: String,
    /// In the order of the map.
    pub seats: Vec<HallSeat>,
    /// Unnumbered capacity.
    pub pools: Vec<HallPool>,
    /// From the dearest on.
    pub categories: Vec<HallCategory>,
    /// General seats, the best first.
    pub wanted: Vec<usize>,
    /// Wheelchair places.
    pub wheelchair: usize,
    /// Seats by name.
    pub by_name: HashMap<String, usize>,
}

impl Hall {
    /// The file, or the hall that Hakken ships.
    pub fn open(file: Option<&Path>) -> Result<Self> {
        let (bytes, name) = match file {
            None => (SHIPPED_HALL.to_vec(), "the hall that Hakken ships".to_owned()),
            Some(file) => {
                let name = file.display().to_string();
                (std::fs::read(file).with_context(|| format!("{name} cannot be read"))?, name)
            }
        };
        let map = parse(&bytes, &ImportOptions::default())
            .with_context(|| format!("{name} is refused"))?;
        let text = String::from_utf8(bytes).with_context(|| format!("{name} is refused"))?;
        Self::of(map, text)
    }

    fn of(map: SeatMap, text: String) -> Result<Self> {
        let distance = |seat: &Seat| {
            let (x, y) = (i64::from(seat.at.x), i64::from(seat.at.y));
            let (x, y) = (x - i64::from(map.focus.x), y - i64::from(map.focus.y));
            (x * x + y * y).isqrt()
        };
        let categories = Categories::of(&map, distance);
        if categories.names.len() > MAX_CATEGORIES {
            bail!(
                "the hall has {} price categories; the demo sells at most {MAX_CATEGORIES}",
                categories.names.len()
            );
        }
        let mut seats = Vec::new();
        for row in map.sections.iter().flat_map(|section| &section.rows) {
            let mut gap = true;
            for (at, seat) in row.seats.iter().enumerate() {
                seats.push(HallSeat {
                    name: seat.id.to_string(),
                    category: categories.number(seat.category.as_str()),
                    wheelchair: seat.wheelchair,
                    next: at + 1 < row.seats.len() && !seat.aisle_after,
                    previous: !gap,
                });
                gap = seat.aisle_after;
            }
        }
        let pools = map.pools.iter().map(|pool| HallPool {
            name: pool.id.to_string(),
            capacity: pool.capacity,
            category: categories.number(pool.category.as_str()),
        });
        let far: Vec<i64> = map.seats().map(distance).collect();
        let mut wanted: Vec<usize> =
            (0..seats.len()).filter(|&seat| !seats[seat].wheelchair).collect();
        wanted.sort_by_key(|&seat| far[seat]);
        Ok(Self {
            pools: pools.collect(),
            wheelchair: seats.len() - wanted.len(),
            by_name: seats.iter().enumerate().map(|(at, s)| (s.name.clone(), at)).collect(),
            categories: categories.priced(),
            seats,
            wanted,
            map,
            text,
        })
    }

    /// Seats and pool places together.
    pub fn places(&self) -> u64 {
        let pools: u64 = self.pools.iter().map(|pool| u64::from(pool.capacity)).sum();
        self.seats.len() as u64 + pools
    }
}

/// Category names, those of the nearest seats first.
struct Categories<'a> {
    names: Vec<&'a str>,
}

impl<'a> Categories<'a> {
    fn of(map: &'a SeatMap, distance: impl Fn(&Seat) -> i64) -> Self {
        let mut sums: HashMap<&str, (i64, i64)> = HashMap::new();
        for seat in map.seats() {
            let sum = sums.entry(seat.category.as_str()).or_default();
            *sum = (sum.0 + distance(seat), sum.1 + 1);
        }
        for pool in &map.pools {
            sums.entry(pool.category.as_str()).or_insert((i64::MAX, 1));
        }
        let mut names: Vec<_> = sums.into_iter().map(|(name, (sum, n))| (sum / n, name)).collect();
        names.sort_unstable();
        Self { names: names.into_iter().map(|(_, name)| name).collect() }
    }

    fn number(&self, name: &str) -> usize {
        self.names.iter().position(|known| *known == name).expect("every category is listed")
    }

    fn priced(&self) -> Vec<HallCategory> {
        let price = |at: usize| DEAREST.saturating_sub(STEP * at as u64).max(CHEAPEST);
        let each = |(at, name): (usize, &&str)| HallCategory {
            name: (*name).to_owned(),
            price: price(at),
        };
        self.names.iter().enumerate().map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_hall_is_understood() {
        let hall = Hall::open(None).unwrap();
        assert_eq!(hall.seats.len(), 1_626);
        assert_eq!(hall.places(), 1_926);
        assert!(hall.wheelchair > 0 && hall.pools.len() == 1);
        assert_eq!(hall.wanted.len() + hall.wheelchair, hall.seats.len());
        for (at, seat) in hall.seats.iter().enumerate() {
            let next = hall.seats.get(at + 1).is_some_and(|next| next.previous);
            assert_eq!(seat.next, next, "{}", seat.name);
        }
    }

    #[test]
    fn a_hall_that_is_no_hall_is_refused_by_its_name() {
        let error = Hall::open(Some(Path::new("no such file"))).err().unwrap();
        assert_eq!(error.to_string(), "no such file cannot be read");
    }
}
