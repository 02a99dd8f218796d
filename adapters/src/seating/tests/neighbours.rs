//! Which seats stand side by side.

use super::*;

#[track_caller]
fn check(places: &[(f64, f64)], rows: &[&str]) {
    let map = parsed(&one_row(places)).unwrap();
    assert_eq!(rows_of(&map), rows);
}

/// The same places in another order, which `seed` decides; the numbers go with the places.
fn shuffled(file: &Value, seed: u64) -> Value {
    let mut file = file.clone();
    let seats = file["zones"][0]["rows"][0]["seats"].as_array_mut().unwrap();
    let mut random = oracle::Random(seed);
    for at in (1..seats.len()).rev() {
        seats.swap(at, random.below(at + 1));
    }
    file
}

#[track_caller]
fn check_in_any_order(places: &[(f64, f64)], rows: &[&str]) {
    for seed in 1..20 {
        let map = parsed(&shuffled(&one_row(places), seed)).unwrap();
        assert_eq!(rows_of(&map), rows, "seed {seed}");
    }
}

fn line(from: i32, to: i32, y: f64) -> Vec<(f64, f64)> {
    (from..to).map(|x| (f64::from(x) * 22.0, y)).collect()
}

#[test]
fn a_row_in_order_stays_as_it_is() {
    check(&line(0, 5, 0.0), &["R: 1 2 3 4 5"]);
    let backwards: Vec<_> = line(0, 5, 0.0).into_iter().rev().collect();
    check(&backwards, &["R: 1 2 3 4 5"]);
}

#[test]
fn a_clearly_larger_distance_is_an_aisle() {
    let mut places = line(0, 3, 0.0);
    places.extend(line(4, 7, 0.0));
    check(&places, &["R: 1 2 3 | 4 5 6"]);
    check_in_any_order(&places, &["R: 1 2 3 | 4 5 6"]);
    check(&[(0.0, 0.0), (22.0, 0.0), (56.0, 0.0), (78.0, 0.0)], &["R: 1 2 3 4"]);
}

#[test]
fn a_curved_row_is_one_row() {
    let arc = |seat: i32| {
        let angle = f64::from(seat) * 0.12 + 0.6;
        (-200.0 * angle.cos(), 200.0 * angle.sin())
    };
    let places: Vec<_> = (0..16).map(arc).collect();
    check(&places, &["R: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"]);
    check_in_any_order(&places, &["R: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"]);
}

#[test]
fn a_row_around_a_corner_is_one_row() {
    let mut places = line(0, 4, 0.0);
    places.extend((1..4).map(|y| (66.0, f64::from(y) * 22.0)));
    check(&places, &["R: 1 2 3 4 5 6 7"]);
    check_in_any_order(&places, &["R: 1 2 3 4 5 6 7"]);
}

#[test]
fn a_table_is_one_row_in_the_order_of_the_file() {
    let round = |seat: i32| {
        let angle = f64::from(seat) * std::f64::consts::TAU / 8.0;
        (30.0 * angle.cos(), 30.0 * angle.sin())
    };
    check(&(0..8).map(round).collect::<Vec<_>>(), &["R: 1 2 3 4 5 6 7 8"]);
    check(&[(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)], &["R: 1 2 3 4"]);
}

#[test]
fn a_block_in_one_row_becomes_its_rows_nearest_the_focus_first() {
    let rows = ["R-1: 1 2 3 4 5", "R-2: 6 7 8 9 10", "R-3: 11 12 13 14 15"];
    for pitch in [22.0, 26.0, 40.0] {
        let block: Vec<_> = (0..3).flat_map(|y| line(0, 5, f64::from(y) * pitch)).collect();
        check(&block, &rows);
        check_in_any_order(&block, &rows);
    }
}

#[test]
fn a_block_listed_to_and_fro_becomes_its_rows() {
    let mut places = line(0, 4, 0.0);
    places.extend(line(0, 4, 22.0).into_iter().rev());
    places.extend(line(0, 4, 44.0));
    check(&places, &["R-1: 1 2 3 4", "R-2: 8 7 6 5", "R-3: 9 10 11 12"]);
}

#[test]
fn the_numbers_tell_which_way_a_square_block_is_seated() {
    let columns: Vec<_> = (0..3)
        .flat_map(|x| (0..3).map(move |y| (f64::from(x) * 22.0, f64::from(y) * 22.0)))
        .collect();
    check(&columns, &["R-1: 4 5 6", "R-2: 1 2 3", "R-3: 7 8 9"]);
}

#[test]
fn a_block_that_stands_askew_becomes_its_rows() {
    let (sin, cos) = 0.6_f64.sin_cos();
    let block: Vec<_> = (0..3)
        .flat_map(|y| line(0, 6, f64::from(y) * 24.0))
        .map(|(x, y)| (x * cos - y * sin, x * sin + y * cos))
        .collect();
    let map = parsed(&one_row(&block)).unwrap();
    let mut rows: Vec<String> = map.sections[0]
        .rows
        .iter()
        .map(|row| row.seats.iter().map(|s| s.number.as_str()).collect::<Vec<_>>().join(" "))
        .collect();
    rows.sort();
    assert_eq!(rows, ["1 2 3 4 5 6", "13 14 15 16 17 18", "7 8 9 10 11 12"]);
}

#[test]
fn a_block_with_an_aisle_has_rows_across_the_aisle() {
    let block: Vec<_> = (0..3)
        .flat_map(|y| {
            let y = f64::from(y) * 22.0;
            [line(0, 3, y), line(5, 8, y)].concat()
        })
        .collect();
    check_in_any_order(
        &block,
        &["R-1: 1 2 3 | 4 5 6", "R-2: 7 8 9 | 10 11 12", "R-3: 13 14 15 | 16 17 18"],
    );
}

#[test]
fn a_row_without_a_readable_name_gets_the_number_alone() {
    let mut file = one_row(&[line(0, 3, 0.0), line(0, 3, 22.0)].concat());
    file["zones"][0]["rows"][0]["row_number"] = json!("-");
    assert_eq!(rows_of(&parsed(&file).unwrap()), ["1: 1 2 3", "2: 4 5 6"]);
    file["zones"][0]["rows"][0]["row_number"] = json!("列".repeat(200));
    let map = parsed(&file).unwrap();
    assert_eq!(map.sections[0].rows[0].name.as_str(), format!("{}-1", "列".repeat(198)));
}

#[test]
fn seats_without_places_of_their_own_keep_the_order_of_the_file() {
    check(&[(5.0, 5.0); 5], &["R: 1 2 3 4 5"]);
}

#[test]
fn no_seat_is_lost_or_doubled_wherever_seats_stand() {
    for seed in 0..200 {
        let mut random = oracle::Random(seed + 1);
        let count = 1 + random.below(60);
        let step = [1.0, 0.5, 100.0][random.below(3)];
        let places: Vec<_> = (0..count)
            .map(|_| (random.below(9) as f64 * step, random.below(12) as f64 * step))
            .collect();
        let map = parsed(&one_row(&places)).unwrap();
        let mut ids: Vec<_> = map.seats().map(|seat| seat.id.to_string()).collect();
        ids.sort();
        let expected: Vec<_> = (0..count).map(|at| format!("s{at:05}")).collect();
        assert_eq!(ids, expected, "seed {seed}");
    }
}
