//! The hall that ships with Hakken, and pictures.

use std::collections::BTreeMap;

use super::*;
use crate::seating::svg::{SeatColour, render};

#[test]
fn the_shipped_hall_has_what_it_promises() {
    let hall = shipped_hall();
    assert_eq!(hall.name.as_str(), "響ホール Hibiki Hall");
    assert_eq!(hall.check(), Ok(()));
    assert_eq!(hall.seats().count(), 1_626);
    let pools: Vec<(&str, u32)> = hall.pools.iter().map(|p| (p.id.as_str(), p.capacity)).collect();
    assert_eq!(pools, [("最前立見 Standing", 300)]);
    let sections: Vec<(&str, usize, usize)> = hall
        .sections
        .iter()
        .map(|s| (s.name.as_str(), s.rows.len(), s.rows.iter().map(|r| r.seats.len()).sum()))
        .collect();
    assert_eq!(
        sections,
        [
            ("1階席 Stalls", 21, 784),
            ("2階ボックス Boxes", 18, 72),
            ("2階席 Mezzanine", 9, 392),
            ("3階席 Balcony", 7, 378),
        ]
    );
    let mut categories = BTreeMap::new();
    for seat in hall.seats() {
        *categories.entry(seat.category.as_str()).or_insert(0) += 1;
    }
    assert_eq!(
        categories.into_iter().collect::<Vec<_>>(),
        [("A席", 526), ("B席", 354), ("C席", 276), ("S席", 442), ("車椅子席", 28)]
    );
}

#[test]
fn each_wheelchair_place_of_the_shipped_hall_has_its_companion_beside_it() {
    let hall = shipped_hall();
    let rows = hall.sections.iter().flat_map(|section| &section.rows);
    let mut pairs = 0;
    for row in rows.filter(|row| row.seats.iter().any(|seat| seat.wheelchair)) {
        for pair in row.seats.chunks(2) {
            let [place, companion] = pair else { panic!("{} has an odd seat", row.name) };
            assert!(place.number.as_str().starts_with('車') && place.wheelchair);
            assert!(companion.number.as_str().starts_with('付') && companion.wheelchair);
            assert!(!place.aisle_after);
            pairs += 1;
        }
    }
    assert_eq!(pairs, 14);
}

#[test]
fn no_two_seats_of_the_shipped_hall_stand_in_each_other() {
    let hall = shipped_hall();
    let seats: Vec<Point> = hall.seats().map(|seat| seat.at).collect();
    for (at, a) in seats.iter().enumerate() {
        for b in &seats[at + 1..] {
            let (x, y) = (i64::from(a.x - b.x), i64::from(a.y - b.y));
            assert!(x * x + y * y >= 500 * 500, "{a:?} {b:?}");
        }
    }
}

#[test]
fn the_shipped_file_is_readable_and_small() {
    assert!(SHIPPED_HALL.len() < 200_000);
    let text = std::str::from_utf8(SHIPPED_HALL).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"seats\"")).count(), 55);
}

#[test]
fn a_picture_has_each_seat_once_in_its_colour() {
    let hall = shipped_hall();
    let picture = render(&hall, |seat| match seat.as_str() {
        "1-い-1" => SeatColour::Held,
        "1-い-2" | "1-い-3" => SeatColour::Sold,
        _ => SeatColour::Free,
    });
    let dots = |start: &str| {
        let path = picture.split("<path ").find(|part| part.contains(start)).unwrap_or("");
        path.matches("h0").count()
    };
    assert_eq!(dots(r##"stroke="#2a9d8f" stroke-width="10.7" stroke-linecap="round"##), 1_595);
    assert_eq!(dots(r##"stroke="#2a9d8f" stroke-width="9.6" stroke-linecap="square"##), 28);
    assert_eq!(dots(r##"stroke="#f4a300"##), 1);
    assert_eq!(dots(r##"stroke="#8d99ae"##), 2);
    assert!(picture.contains("仮押さえ held") && picture.contains("3階席 Balcony"));
    assert!(picture.len() < 40_000, "{}", picture.len());
}

#[test]
fn names_in_a_picture_are_text_and_nothing_else() {
    let mut map = shipped_hall();
    map.name = hakken_domain::names::Label::new("<script>&\"").unwrap();
    let picture = render(&map, |_| SeatColour::Free);
    assert!(!picture.contains("<script"));
    assert!(picture.contains("&lt;script&gt;&amp;&quot;"));
}

#[test]
fn a_map_of_pools_alone_has_a_picture() {
    let mut map = shipped_hall();
    map.sections.clear();
    let picture = render(&map, |_| SeatColour::Free);
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
}
