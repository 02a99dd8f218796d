//! Seat maps for benchmarks: stands round a pitch, with the geometry of real ones.

use anyhow::Result;
use hakken_domain::{
    names::{Category, Label, PoolId, SeatId},
    seatmap::{Point, Pool, Row, Seat, SeatMap, Section},
};

/// Rows of one stand.
const ROWS: usize = 25;
/// Seats of one row: three blocks with aisles between them.
const SEATS: usize = 40;
/// Seats between two aisles.
const BLOCK: usize = 14;

/// About so many seats (whole rows) in stands of up to 25 rows of 40, all facing one point, and
/// with `standing` places of a pool if there are any.
pub fn stadium(seats: usize, standing: u32) -> Result<SeatMap> {
    let rows = seats.div_ceil(SEATS);
    let stands = rows.div_ceil(ROWS).max(1);
    let sections = (0..stands)
        .map(|stand| {
            let of_stand = (rows - stand * ROWS).min(ROWS);
            let rows = (0..of_stand).map(|row| row_of(stand, stands, row));
            Ok(Section { name: Label::new(&format!("Stand {}", stand + 1))?, rows: collect(rows)? })
        })
        .collect::<Result<_>>()?;
    let pool = |capacity| -> Result<Pool> {
        Ok(Pool { id: PoolId::new("standing")?, capacity, category: Category::new("standing")? })
    };
    Ok(SeatMap {
        name: Label::new("Stadium")?,
        focus: Point::default(),
        sections,
        pools: collect((standing > 0).then(|| pool(standing)).into_iter())?,
    })
}

fn collect<T>(items: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    items.collect()
}

/// A row of a stand: straight, across the line from the focal point to the stand.
fn row_of(stand: usize, stands: usize, row: usize) -> Result<Row> {
    let angle = std::f64::consts::TAU * stand as f64 / stands as f64;
    let radius = 60.0 + 4.0 * stands as f64 + 0.85 * row as f64;
    let seats = (0..SEATS).map(|seat| {
        let aside = 0.5 * (seat as f64 - (SEATS - 1) as f64 / 2.0) + 1.2 * (seat / BLOCK) as f64;
        let (x, y) = (
            radius * angle.cos() - aside * angle.sin(),
            radius * angle.sin() + aside * angle.cos(),
        );
        let category = if row < ROWS / 3 { "front" } else { "back" };
        Ok(Seat {
            id: SeatId::new(&format!("{}-{}-{}", stand + 1, row + 1, seat + 1))?,
            number: Label::new(&(seat + 1).to_string())?,
            at: Point { x: (x * 100.0) as i32, y: (y * 100.0) as i32 },
            category: Category::new(category)?,
            wheelchair: row == 0 && seat < 2,
            aisle_after: (seat + 1) % BLOCK == 0,
        })
    });
    Ok(Row { name: Label::new(&(row + 1).to_string())?, seats: collect(seats)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stadium_is_a_good_map_of_its_size() {
        for seats in [200, 1_000, 40_000] {
            let map = stadium(seats, 100).expect("a map");
            assert_eq!(map.check(), Ok(()));
            assert_eq!(map.seats().count(), seats);
        }
    }
}
