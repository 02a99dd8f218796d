//! The maps of shows: written once, and of each only the numbers of its seats are remembered.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use hakken_domain::{
    envelope::StoredEvent,
    names::{SeatId, ShowId},
};
use serde::Deserialize;

use super::{
    MAPS,
    reading::{Fact, Opened, SeatNames},
};
use crate::{
    cache::{AnyRows, read},
    projection::Inconsistent,
    rows::{Key, Row, RowError, Table, TableChanges, Value},
};

/// Seats whose numbers are remembered, of all shows together.
const MOST_SEATS: usize = 600_000;

/// The numbers of a map's seats. It keeps a hash in the place of each name: a map is written by
/// the rules, and asked only for seats that they know.
#[derive(Debug)]
pub(super) struct SeatNumbers {
    pub(super) legs: u8,
    seed: u64,
    numbers: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
}

/// For keys that are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

fn hash(seed: u64, seat: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, seat).hash(&mut hasher);
    hasher.finish()
}

impl SeatNumbers {
    fn of(legs: u8, seats: &[&str]) -> Self {
        let mut seed = 0;
        loop {
            let hashes = seats.iter().map(|seat| hash(seed, seat));
            let numbers: HashMap<_, _, _> = hashes.zip(0..).collect();
            // Two seats with one hash are not seen in a lifetime; another seed parts them.
            if numbers.len() == seats.len() {
                return Self { legs, seed, numbers };
            }
            seed += 1;
        }
    }

    /// The number of a seat.
    pub(super) fn number(&self, seat: &SeatId) -> Option<u32> {
        self.numbers.get(&hash(self.seed, seat.as_str())).copied()
    }
}

struct Known {
    numbers: Option<Arc<SeatNumbers>>,
    used: u64,
}

/// The maps as a fold knows them.
#[derive(Default)]
pub(super) struct Maps {
    fresh: Vec<Row>,
    known: HashMap<ShowId, Known>,
    wanted: HashSet<ShowId>,
    clock: u64,
}

impl Maps {
    /// A show is put on sale.
    pub(super) fn open(&mut self, show: ShowId, event: &StoredEvent) -> Result<Fact, Inconsistent> {
        let mut numbers = None;
        let take_seats = |legs, names: &[&str]| numbers = Some(SeatNumbers::of(legs, names));
        let Opened { organizer, legs, rules, doc } = Opened::read(event, take_seats)?;
        self.fresh.push(vec![Value::text(show), Value::maybe(organizer), doc]);
        self.know(show, numbers);
        Ok(Fact::Opened { legs, rules })
    }

    fn know(&mut self, show: ShowId, numbers: Option<SeatNumbers>) {
        self.clock += 1;
        let known = Known { numbers: numbers.map(Arc::new), used: self.clock };
        self.known.insert(show, known);
    }

    /// A show's map; it is asked for if it is not known.
    pub(super) fn need(&mut self, show: ShowId) -> Option<Arc<SeatNumbers>> {
        self.clock += 1;
        match self.known.get_mut(&show) {
            Some(known) => {
                known.used = self.clock;
                known.numbers.clone()
            }
            None => {
                self.wanted.insert(show);
                None
            }
        }
    }

    /// How many legs a show has whose map was asked for.
    pub(super) fn legs(&self, show: ShowId) -> Option<u8> {
        self.known.get(&show)?.numbers.as_ref().map(|numbers| numbers.legs)
    }
}

/// Of a stored row, what is remembered.
#[derive(Deserialize)]
struct Stored<'a> {
    legs: u8,
    #[serde(borrow)]
    seat_map: SeatNames<'a>,
}

impl AnyRows for Maps {
    fn table(&self) -> &'static Table {
        &MAPS
    }

    fn missing(&mut self) -> Vec<Key> {
        let wanted: Vec<ShowId> = self.wanted.drain().collect();
        // Until a row says otherwise there is none.
        wanted.iter().for_each(|show| self.know(*show, None));
        wanted.iter().map(|show| vec![Value::text(show)]).collect()
    }

    fn load(&mut self, rows: Vec<Row>) -> Result<(), RowError> {
        for row in rows {
            let stored: Stored<'_> = crate::cache::borrow_doc(&MAPS, &row, "doc")?;
            let numbers = SeatNumbers::of(stored.legs, &stored.seat_map.names());
            self.know(read(&MAPS, &row, "show")?, Some(numbers));
        }
        Ok(())
    }

    fn pending(&self) -> usize {
        self.fresh.len()
    }

    fn changes(&mut self) -> TableChanges {
        let count = |known: &Known| known.numbers.as_ref().map_or(1, |map| map.numbers.len() + 1);
        let mut seats: usize = self.known.values().map(count).sum();
        while seats > MOST_SEATS
            && let Some(oldest) = self.known.iter().min_by_key(|(_, known)| known.used)
        {
            let show = *oldest.0;
            seats -= self.known.remove(&show).map_or(0, |known| count(&known));
        }
        TableChanges { table: &MAPS, upserts: std::mem::take(&mut self.fresh), deletes: Vec::new() }
    }
}
