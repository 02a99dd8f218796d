//! Seat maps: a pretix plan or Hakken's own form, as integrators send them, and the picture of
//! what was taken.

use std::time::{Duration, Instant};

use hakken_adapters::seating::{
    self, ImportError, ImportOptions, MAX_COORDINATE,
    svg::{self, SeatColour},
};
use hakken_domain::{
    Event, State,
    envelope::StreamKind,
    inventory::{self, SalesOpened},
    names::{SeatId, VenueId},
    seatmap::{Point, Pool, SeatMap},
};

use crate::{
    fuzz::{Target, Verdict, assert_short, corpus::Entry, xml},
    world::{hall, name, open_rules},
};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "seat_map",
    run: seat_map,
    words: &[
        "\"zones\"",
        "\"rows\"",
        "\"seats\"",
        "\"position\"",
        "{\"x\":0,\"y\":0}",
        "\"seat_guid\"",
        "\"seat_number\"",
        "\"category\"",
        "\"areas\"",
        "\"shape\"",
        "\"polygon\"",
        "\"text\"",
        "\"rotation\"",
        "\"uuid\"",
        "\"focus\"",
        "\"sections\"",
        "\"pools\"",
        "\"capacity\"",
        "\"wheelchair\"",
        "\"aisle_after\"",
        "Rollstuhl",
        "車椅子席",
        "舞台",
        "backstage",
        "10000000",
        "10000001",
        "1e9",
        "\u{feff}",
        "\"name\"",
        "\"size\"",
        "\"categories\"",
        "\"color\"",
        "\"row_number\"",
        "\"row_label\"",
        "\"row_number_position\"",
        "\"seat_label\"",
        "\"seat_number_position\"",
        "\"start_at\"",
    ],
    made: shipped,
    mutations: 500,
};

/// The hall that the program ships, a part of it, and the map of the small world.
fn shipped() -> Vec<Entry> {
    let mut part = seating::shipped_hall();
    part.sections.truncate(1);
    part.sections[0].rows.truncate(3);
    let maps = [("part", part), ("hall", hall(2, 6, 5))];
    let entry = |(name, map): (&str, SeatMap)| Entry {
        name: name.to_owned(),
        bytes: serde_json::to_vec(&map).expect("a map can be written"),
    };
    maps.into_iter().map(entry).collect()
}

/// What is taken keeps the rules of seat maps, comes back through its own form, can be put on
/// sale, and has a picture that is XML. What is refused says where. Both take time in proportion.
pub fn seat_map(input: &[u8]) -> Verdict {
    let begun = Instant::now();
    let plain = seating::parse(input, &ImportOptions::default());
    let added = ImportOptions {
        wheelchair_categories: Some(vec![name("Rollstuhl")]),
        pools: vec![Pool { id: name("added <&\"'>"), capacity: 7, category: name("floor") }],
        focus: Some(Point { x: -1, y: MAX_COORDINATE }),
    };
    let changed = seating::parse(input, &added);
    let took = begun.elapsed();
    // The same work that a file of seats in rows takes, several times over.
    let allowed = Duration::from_secs(2) + Duration::from_micros(100) * input.len() as u32;
    assert!(took <= allowed, "{} bytes took {took:?}", input.len());
    for outcome in [&plain, &changed] {
        match outcome {
            Ok(map) => taken(map),
            Err(error) => refused(error),
        }
    }
    if let (Ok(plain), Ok(changed)) = (&plain, &changed) {
        assert_eq!(plain.seats().count(), changed.seats().count(), "options add no seats");
        assert_eq!(plain.pools.len() + 1, changed.pools.len());
        assert_eq!(Some(changed.focus), added.focus);
    }
    Verdict::of(plain.is_ok())
}

fn refused(error: &ImportError) {
    let text = error.to_string();
    assert_short(&text);
    assert!(!text.contains(char::is_control), "{text:?}");
}

fn taken(map: &SeatMap) {
    assert_eq!(map.check(), Ok(()));
    let near = |at: i32| at.abs() <= MAX_COORDINATE;
    assert!(map.seats().all(|seat| near(seat.at.x) && near(seat.at.y)), "a seat is far away");
    assert!(near(map.focus.x) && near(map.focus.y), "the focus is far away");
    let json = serde_json::to_vec(map).expect("a map can be written");
    assert_eq!(serde_json::from_slice::<SeatMap>(&json).ok().as_ref(), Some(map));
    let again = seating::parse(&json, &ImportOptions::default());
    assert_eq!(again.as_ref(), Ok(map), "its own form means the same map");
    drawn(map);
    sold(map);
}

fn drawn(map: &SeatMap) {
    let colour = |seat: &SeatId| SeatColour::ALL[seat.as_str().len() % 4];
    let picture = svg::render(map, colour);
    if let Err(wrong) = xml::check(&picture) {
        panic!("the picture is no XML: {wrong}");
    }
    let seats = map.seats().count();
    assert_eq!(picture.matches("h0").count(), seats + legend(map), "a dot for each seat");
    let text = json_len(map);
    assert!(picture.len() <= 8_192 + seats * 32 + text * 6, "{} bytes", picture.len());
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "a number that is none");
}

/// Dots that explain the colours, and what names may happen to contain.
fn legend(map: &SeatMap) -> usize {
    let squares = usize::from(map.seats().any(|seat| seat.wheelchair));
    let sections = map.sections.iter().filter(|s| s.rows.iter().any(|row| !row.seats.is_empty()));
    let in_names = |name: &str| name.matches("h0").count();
    let names: usize = sections.map(|section| in_names(section.name.as_str())).sum();
    let pools: usize = map.pools.iter().take(6).map(|pool| in_names(pool.id.as_str())).sum();
    4 + squares + names + pools + 2 * in_names(map.name.as_str())
}

fn json_len(map: &SeatMap) -> usize {
    let sections: usize = map.sections.iter().map(|section| section.name.as_str().len() + 64).sum();
    sections
        + map.pools.iter().take(6).map(|pool| pool.id.as_str().len()).sum::<usize>()
        + 2 * map.name.as_str().len()
}

/// The rules take every map that the import takes.
fn sold(map: &SeatMap) {
    let opened = SalesOpened {
        venue: VenueId::derived("fuzz", "venue"),
        seat_map: map.clone(),
        legs: 3,
        rules: open_rules(),
    };
    let mut state = State::initial(StreamKind::Inventory);
    state.evolve(&Event::Inventory(inventory::Event::SalesOpened(opened)));
    let State::Inventory(inventory) = &state else { panic!("an inventory stays one") };
    let known = |seat: &SeatId| inventory.seat_category(seat).is_some();
    assert!(map.seats().all(|seat| known(&seat.id)), "every seat is on sale");
}
