//! How long the rules look for the best seats: `cargo bench -p hakken-benches --bench
//! best_available`. On a stadium of 40,000 seats, and on the real maps where they are present.

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result};
use hakken_adapters::seating::{self, ImportOptions};
use hakken_benches::{
    halls::stadium,
    report::{Table, percent},
    thousands,
};
use hakken_domain::{
    Command, Context, Outcome, State,
    envelope::StreamKind,
    inventory::{self, BestAvailable, HoldSeats, SalesRules, SeatChoice},
    names::{ActorRef, BuyerRef, HoldId, SeatId, VenueId},
    seatmap::SeatMap,
    time::Timestamp,
};

/// Decisions for each line of the table.
const DECISIONS: usize = 2_000;
const LARGEST_PARTY: u32 = 8;
const GUIDE: &str = "\
Microseconds of one decision of the rules (the whole `HoldSeats`, seats side by side and none left
alone), for parties of 1 to 8 drawn evenly. `taken` is how much of the hall is held before, in
parties of the same sizes from the best seats outwards, or at random; `singles` means that no two
free seats stand together. `found` is the share of parties that got seats.";

fn main() -> Result<()> {
    let columns = ["map", "seats", "taken", "found", "p50 µs", "p99 µs", "worst µs"];
    let mut table = Table::new("best available", GUIDE, &columns);
    measure(&mut table, "stadium", &stadium(40_000, 0)?)?;
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/seating");
    for (name, map) in real_maps(&real)? {
        measure(&mut table, &name, &map)?;
    }
    table.print();
    Ok(())
}

/// The maps of the folder that are large enough to be worth it.
fn real_maps(folder: &Path) -> Result<Vec<(String, SeatMap)>> {
    let mut maps = Vec::new();
    if !folder.is_dir() {
        println!("no real maps: {} is not there", folder.display());
        return Ok(maps);
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).context("reading a folder")? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let bytes = std::fs::read(&path)?;
                if let Ok(map) = seating::parse(&bytes, &ImportOptions::default())
                    && map.seats().count() >= 500
                {
                    maps.push((name, map));
                }
            }
        }
    }
    maps.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(maps)
}

/// A hall on sale.
struct Hall {
    state: State,
    seats: Vec<SeatId>,
    free: usize,
    context: Context,
    asked: u64,
}

impl Hall {
    fn open(map: &SeatMap) -> Result<Self> {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let rules = SalesRules {
            sales_from: now,
            sales_until: Timestamp::MAX,
            hold_ttl_seconds: 3_600,
            hold_extension_seconds: 3_600,
            max_places_per_hold: 1_000,
            max_places_per_buyer: None,
        };
        let seats: Vec<SeatId> =
            map.seats().filter(|seat| !seat.wheelchair).map(|seat| seat.id.clone()).collect();
        let mut hall = Self {
            state: State::initial(StreamKind::Inventory),
            free: seats.len(),
            seats,
            context: Context { now, actor: ActorRef::new("key:bench")? },
            asked: 0,
        };
        let open = inventory::Command::OpenSales {
            venue: VenueId::derived("bench", "venue"),
            seat_map: Box::new(map.clone()),
            legs: 1,
            rules,
        };
        anyhow::ensure!(hall.take(&open.into()), "the hall is not on sale");
        Ok(hall)
    }

    fn command(&mut self, seats: SeatChoice) -> Result<Command> {
        self.asked += 1;
        let hold = HoldSeats {
            hold: HoldId::derived("bench", &self.asked.to_string()),
            buyer: BuyerRef::new(&format!("buyer-{}", self.asked))?,
            seats,
            pools: Vec::new(),
            legs: None,
            allotment: None,
            ttl_seconds: None,
        };
        Ok(inventory::Command::HoldSeats(hold).into())
    }

    fn best(&mut self, count: u32) -> Result<Command> {
        let seed = scatter(self.asked);
        let best = BestAvailable { count, seed, ..BestAvailable::default() };
        self.command(SeatChoice::BestAvailable(best))
    }

    /// Decides and evolves; false if it was refused.
    fn take(&mut self, command: &Command) -> bool {
        let Ok(Outcome::Happened(events)) = self.state.decide(command, &self.context) else {
            return false;
        };
        for event in events {
            self.state.evolve(&event);
        }
        true
    }

    /// Takes parties from the best seats outwards until so many in a hundred are taken.
    fn fill(&mut self, taken: usize) -> Result<()> {
        let left = self.seats.len() * (100 - taken) / 100;
        let mut refused = 0;
        while self.free > left && refused < 100 {
            let count = 1 + (scatter(self.asked) % u64::from(LARGEST_PARTY)) as u32;
            let command = self.best(count)?;
            if self.take(&command) {
                self.free -= count as usize;
                refused = 0;
            } else {
                refused += 1;
            }
        }
        Ok(())
    }

    /// Takes these seats.
    fn fill_where(&mut self, is_taken: impl Fn(usize) -> bool) -> Result<()> {
        let seats: Vec<SeatId> = self
            .seats
            .iter()
            .enumerate()
            .filter(|(at, _)| is_taken(*at))
            .map(|(_, seat)| seat.clone())
            .collect();
        self.free -= seats.len();
        for seats in seats.chunks(1_000) {
            let command = self.command(SeatChoice::Named(seats.to_vec()))?;
            anyhow::ensure!(self.take(&command), "a seat was taken");
        }
        Ok(())
    }

    fn decisions(&mut self, table: &mut Table, map: &str, taken: &str) -> Result<()> {
        let mut micros = Vec::with_capacity(DECISIONS);
        let mut found = 0;
        for turn in 0..DECISIONS {
            let count = 1 + turn as u32 % LARGEST_PARTY;
            let command = self.best(count)?;
            let began = Instant::now();
            let decided = self.state.decide(&command, &self.context);
            micros.push(began.elapsed().as_nanos() as f64 / 1_000.0);
            found += usize::from(decided.is_ok());
        }
        micros.sort_by(f64::total_cmp);
        table.row([
            map.to_owned(),
            thousands(self.seats.len() as f64),
            taken.to_owned(),
            percent(found as f64, DECISIONS as f64),
            format!("{:.0}", micros[DECISIONS / 2]),
            format!("{:.0}", micros[DECISIONS * 99 / 100]),
            format!("{:.0}", micros[DECISIONS - 1]),
        ]);
        Ok(())
    }
}

/// SplitMix64.
fn scatter(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn measure(table: &mut Table, name: &str, map: &SeatMap) -> Result<()> {
    let mut hall = Hall::open(map)?;
    for taken in [0, 50, 90, 99] {
        hall.fill(taken)?;
        hall.decisions(table, name, &format!("{taken} %, the best"))?;
    }
    for taken in [50, 90, 99] {
        let mut hall = Hall::open(map)?;
        hall.fill_where(|at| scatter(at as u64) % 100 < taken)?;
        hall.decisions(table, name, &format!("{taken} %, at random"))?;
    }
    let mut hall = Hall::open(map)?;
    hall.fill_where(|at| at % 2 == 0)?;
    hall.decisions(table, name, "singles")?;
    let mut hall = Hall::open(map)?;
    hall.fill_where(|_| true)?;
    hall.decisions(table, name, "all")
}
