//! What a good plan becomes.

use super::*;

#[test]
fn a_plan_becomes_a_map_with_places_added_up_in_hundredths() {
    let map = parsed(&plan()).unwrap();
    assert_eq!(map.name.as_str(), "小ホール");
    assert_eq!(map.sections.len(), 1, "a zone without seats is no section");
    assert_eq!(map.sections[0].name.as_str(), "Main");
    assert_eq!(rows_of(&map), ["A: 1 2 3", "B: 1"]);
    let places: Vec<_> = map.seats().map(|seat| (seat.at.x, seat.at.y)).collect();
    assert_eq!(places, [(11_000, 22_050), (13_500, 22_050), (16_000, 22_050), (10_000, 24_550)]);
    let ids: Vec<_> = map.seats().map(|seat| seat.id.as_str()).collect();
    assert_eq!(ids, ["A-1", "A-2", "A-3", "B-1"]);
}

#[test]
fn seats_of_a_category_that_says_so_are_wheelchair_places() {
    let map = parsed(&plan()).unwrap();
    assert_eq!(
        map.seats().map(|seat| seat.wheelchair).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    for (name, expected) in [
        ("Wheelchair", true),
        ("ROLLSTUHLPLATZ", true),
        ("accessible seating", true),
        ("車いす席", true),
        ("Chair", false),
    ] {
        let mut file = plan();
        file["categories"][1]["name"] = json!(name);
        file["zones"][0]["rows"][1]["seats"][0]["category"] = json!(name);
        assert_eq!(parsed(&file).unwrap().seats().any(|s| s.wheelchair), expected, "{name}");
    }
}

#[test]
fn the_options_decide_over_guesses() {
    let options = ImportOptions {
        wheelchair_categories: Some(vec![Category::new("Stalls").unwrap()]),
        pools: vec![Pool {
            id: hakken_domain::names::PoolId::new("立見").unwrap(),
            capacity: 300,
            category: Category::new("Standing").unwrap(),
        }],
        focus: Some(Point { x: 1, y: 2 }),
    };
    let map = parse(plan().to_string().as_bytes(), &options).unwrap();
    assert_eq!(map.focus, Point { x: 1, y: 2 });
    assert_eq!(map.pools, options.pools);
    assert_eq!(map.seats().filter(|seat| seat.wheelchair).count(), 3);

    let own = serde_json::to_vec(&map).unwrap();
    let options = ImportOptions { pools: Vec::new(), ..options };
    assert_eq!(parse(&own, &options), Ok(map));
}

#[test]
fn the_focus_is_the_middle_of_the_stage() {
    assert_eq!(parsed(&plan()).unwrap().focus, Point { x: 15_000, y: 12_050 });
    let mut file = plan();
    for (words, found) in [
        ("BÜHNE", true),
        ("舞台", true),
        ("ステージ", true),
        ("Scène", true),
        ("scene", true),
        ("Сцена", true),
        ("Scenery", false),
        ("Hinterbühne", false),
        ("舞台裏", false),
    ] {
        file["zones"][0]["areas"][0]["text"]["text"] = json!(words);
        let focus = parsed(&file).unwrap().focus;
        let top_centre = Point { x: 13_000, y: 22_050 };
        let stage = Point { x: 15_000, y: 12_050 };
        assert_eq!(focus, if found { stage } else { top_centre }, "{words}");
    }
}

#[test]
fn a_turned_stage_and_a_written_one_have_their_middle() {
    let mut file = plan();
    file["zones"][0]["areas"][0]["rotation"] = json!(90);
    assert_eq!(parsed(&file).unwrap().focus, Point { x: 8_000, y: 15_050 });
    file["zones"][0]["areas"][0]["shape"] = json!("text");
    file["zones"][0]["areas"][0]["rotation"] = json!(0);
    assert_eq!(parsed(&file).unwrap().focus, Point { x: 15_000, y: 12_050 });
    file["zones"][0]["areas"][0]["shape"] = json!("circle");
    assert_eq!(parsed(&file).unwrap().focus, Point { x: 10_000, y: 10_050 });
}

#[test]
fn zones_and_rows_without_names_get_one() {
    let mut file = plan();
    file["zones"][0].as_object_mut().unwrap().remove("name");
    file["zones"][0]["rows"][0]["row_number"] = json!(" ");
    let map = parsed(&file).unwrap();
    assert_eq!(map.sections[0].name.as_str(), "Zone 1");
    assert_eq!(map.sections[0].rows[0].name.as_str(), "Row");
}

#[test]
fn a_byte_order_mark_is_no_harm() {
    let text = format!("\u{feff}{}", plan());
    assert_eq!(parse(text.as_bytes(), &ImportOptions::default()), parsed(&plan()));
}

#[test]
fn the_real_plan_has_its_1115_seats_side_by_side() {
    let Some(bytes) = real("converted-pretix/ticketland-demo.json") else { return };
    let map = parse(&bytes, &ImportOptions::default()).unwrap();
    assert_eq!(map.seats().count(), 1_115);
    let rows: Vec<(&str, usize)> =
        map.sections.iter().map(|s| (s.name.as_str(), s.rows.len())).collect();
    assert_eq!(
        rows,
        [
            ("Танцевальный партер", 30),
            ("VIP 4", 1),
            ("VIP 3", 1),
            ("VIP 2", 1),
            ("VIP 1", 4),
            ("Super VIP", 2),
        ]
    );
    // The numbers of the block go on from seat to seat and from row to row: 1 to 900.
    let numbers: Vec<u32> = map.sections[0]
        .rows
        .iter()
        .flat_map(|row| &row.seats)
        .map(|seat| seat.number.as_str().parse().unwrap())
        .collect();
    assert_eq!(numbers, (1..=900).collect::<Vec<_>>());
    assert!(map.sections[0].rows.iter().all(|row| row.seats.len() == 30));
    // Everywhere else, too, neighbours have neighbouring numbers and no gap between them.
    for row in map.sections.iter().flat_map(|section| &section.rows) {
        for pair in row.seats.windows(2) {
            let number = |seat: &hakken_domain::seatmap::Seat| seat.number.as_str().parse::<i64>();
            let step = number(&pair[0]).unwrap() - number(&pair[1]).unwrap();
            assert_eq!(step.abs(), 1, "{} and {}", pair[0].id, pair[1].id);
            assert!(!pair[0].aisle_after);
        }
    }
    // No area says stage: the top centre, where the source of this plan has its stage, too.
    assert_eq!(map.focus, Point { x: 56_050, y: 3_400 });
    // Imported again from Hakken's own form, it is the same map.
    let own = serde_json::to_vec(&map).unwrap();
    assert_eq!(parse(&own, &ImportOptions::default()), Ok(map));
}
