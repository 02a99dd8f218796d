//! Broken files, each with what is said about it.

use super::*;

#[track_caller]
fn check(file: &Value, expected: &str) {
    assert_eq!(parsed(file).unwrap_err().to_string(), expected);
}

#[track_caller]
fn check_bytes(bytes: &[u8], expected: &str) {
    assert_eq!(parse(bytes, &ImportOptions::default()).unwrap_err().to_string(), expected);
}

/// The good plan with one value replaced, or removed by `None`.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut file = plan();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = file.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(object), Some(value)) => drop(object.insert(name.to_owned(), value)),
        (Value::Object(object), None) => drop(object.remove(name)),
        (Value::Array(list), Some(value)) => list[name.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{other}"),
    }
    file
}

#[test]
fn a_broken_plan_is_refused_with_the_place_and_the_reason() {
    let seat = "/zones/0/rows/0/seats/1";
    let table: [(&str, Option<Value>, &str); 33] = [
        ("/name", None, "the file: name is missing: add it"),
        ("/name", Some(json!(5)), "name: must be a text, but is a number"),
        ("/name", Some(json!("")), "name: name must not be empty: correct it"),
        ("/size", None, "the file: size is missing: add it"),
        ("/size/width", Some(json!(1.5)), "size.width: must be a whole number, but is a number"),
        ("/size/height", None, "size: height is missing: add it"),
        ("/zones", Some(json!({})), "zones: must be a list, but is an object"),
        ("/zones/1", Some(json!("x")), "zones[1]: must be an object, but is a text"),
        ("/zones/1/position", None, "zones[1]: position is missing: add it"),
        ("/zones/1/rows", Some(json!(null)), "zones[1].rows: must be a list, but is null"),
        (
            "/zones/0/name",
            Some(json!("a\tb")),
            "zones[0].name: name has the character '\\t' at 1, which is not allowed: no control \
             characters, and no space at the ends: correct it",
        ),
        ("/categories/0/name", None, "categories[0]: name is missing: add it"),
        (
            "/categories/0/name",
            Some(json!("席".repeat(65))),
            "categories[0].name: category has 65 characters, at most 64 are allowed: correct it",
        ),
        (
            "/categories/0/colour",
            Some(json!("red")),
            "categories[0]: there is no property \"colour\" here: remove it, or write one of \
             name, color",
        ),
        ("/zones/0/rows/0/row_number", None, "zones[0].rows[0]: row_number is missing: add it"),
        (
            "/zones/0/rows/1/row_number",
            Some(json!("")),
            "zones[0].rows[1]: the row has neither a row_number nor a row_label: give it one",
        ),
        (
            "/zones/0/rows/0/row_label",
            Some(json!(7)),
            "zones[0].rows[0].row_label: must be a text or null, but is a number",
        ),
        (
            "/zones/0/rows/0/row_number_position",
            Some(json!("left")),
            "zones[0].rows[0].row_number_position: \"left\" is not one of start, end, both or \
             null",
        ),
        (
            "/zones/0/rows/0/position/z",
            Some(json!(1)),
            "zones[0].rows[0].position: there is no property \"z\" here: remove it, or write one \
             of x, y",
        ),
        (
            &format!("{seat}/seat_guid"),
            None,
            "zones[0].rows[0].seats[1]: seat_guid is missing: add it",
        ),
        (
            &format!("{seat}/seat_guid"),
            Some(json!("A-1")),
            "zones[0].rows[0].seats[1].seat_guid: the seat \"A-1\" stands already at \
             zones[0].rows[0].seats[0].seat_guid: give each seat its own id",
        ),
        (
            &format!("{seat}/seat_guid"),
            Some(json!(" A-2")),
            "zones[0].rows[0].seats[1].seat_guid: \" A-2\" is not allowed by the format: a \
             seat_guid has two characters or more, on one line, and neither begins nor ends with \
             a space",
        ),
        (
            &format!("{seat}/seat_guid"),
            Some(json!("x".repeat(65))),
            "zones[0].rows[0].seats[1].seat_guid: seat id has 65 characters, at most 64 are \
             allowed: correct it",
        ),
        (
            &format!("{seat}/seat_guid"),
            Some(json!("A\u{7}1")),
            "zones[0].rows[0].seats[1].seat_guid: seat id has the character '\\u{7}' at 1, which \
             is not allowed: no control characters, and no space at the ends: correct it",
        ),
        (
            &format!("{seat}/seat_number"),
            None,
            "zones[0].rows[0].seats[1]: seat_number is missing: add it",
        ),
        (
            &format!("{seat}/seat_number"),
            Some(json!("")),
            "zones[0].rows[0].seats[1].seat_number: name must not be empty: correct it",
        ),
        (
            &format!("{seat}/seat_number"),
            Some(json!("9".repeat(201))),
            "zones[0].rows[0].seats[1].seat_number: name has 201 characters, at most 200 are \
             allowed: correct it",
        ),
        (
            &format!("{seat}/position/x"),
            Some(json!("0")),
            "zones[0].rows[0].seats[1].position.x: must be a number, but is a text",
        ),
        (
            &format!("{seat}/position/x"),
            Some(json!(1e9)),
            "zones[0].rows[0].seats[1].position: the coordinate 1000000110 is out of range: at \
             most 10000000 to either side of 0 are taken",
        ),
        (
            &format!("{seat}/category"),
            Some(json!("Balcony")),
            "zones[0].rows[0].seats[1].category: the category \"Balcony\" is not declared: add \
             it to categories, or use one of Stalls, 車椅子席",
        ),
        (
            "/zones/0/areas/0/shape",
            Some(json!("star")),
            "zones[0].areas[0].shape: \"star\" is not one of polygon, rectangle, ellipse, circle \
             or text",
        ),
        (
            "/zones/0/areas/1/polygon/points/1",
            Some(json!([])),
            "zones[0].areas[1].polygon.points[1]: must be an object, but is a list",
        ),
        ("/zones", Some(json!([])), "the map has neither a seat nor a pool with capacity"),
    ];
    for (pointer, value, expected) in table {
        check(&with(pointer, value), expected);
    }
}

#[test]
fn a_file_that_is_no_plan_at_all_is_refused() {
    check_bytes(b"", "the file is not JSON: line 1, column 0: EOF while parsing a value");
    check_bytes(
        b"{\"name\": \"x\",\n  \"zones\": [}",
        "the file is not JSON: line 2, column 13: expected value",
    );
    check_bytes(b"{} {}", "the file is not JSON: line 1, column 4: trailing characters");
    check_bytes(b"{\"name\": \"\xff\"}", "the file is not UTF-8 from byte 10 on: save it as UTF-8");
    let deep = "[".repeat(100_000);
    check_bytes(
        deep.as_bytes(),
        "the file is not JSON: line 1, column 128: recursion limit exceeded",
    );
    check_bytes(
        b"[1, 2]",
        "the file is a list, not an object: give a pretix seating plan (it begins with name, \
         size, categories and zones) or a seat map of Hakken (name, focus, sections)",
    );
    check(
        &json!({"type": "Feature", "name": "x"}),
        "the file is neither a pretix seating plan (name, size, categories, zones) nor a seat map \
         of Hakken (name, focus, sections): its properties are name, type",
    );
    check(
        &json!({}),
        "the file is neither a pretix seating plan (name, size, categories, zones) nor a seat map \
         of Hakken (name, focus, sections): its properties are none",
    );
}

#[test]
fn a_property_that_stands_twice_is_refused() {
    let text = plan()
        .to_string()
        .replace("\"row_number\":\"B\"", "\"row_number\":\"B\",\"row_number\":\"C\"");
    check_bytes(text.as_bytes(), "zones[0].rows[1]: row_number stands twice: remove one of them");
}

#[test]
fn too_much_of_anything_is_refused() {
    check_bytes(
        &vec![b' '; MAX_FILE_BYTES + 1],
        "the file has 67108865 bytes, at most 67108864 are taken: divide the hall",
    );
    let values = format!("[{}0]", "0,".repeat(5_000_000));
    check_bytes(
        values.as_bytes(),
        "the file has more than 5000000 JSON values: no seat map of 200000 seats needs them",
    );
    let rows = vec![json!({"row_number": "1", "seats": []}); 20_001];
    check(
        &with("/zones/1/rows", Some(json!(rows))),
        "the map has 20001 rows, at most 20000 are allowed",
    );
}

#[test]
fn a_broken_map_of_our_own_is_refused_with_the_place_and_the_reason() {
    let good = serde_json::to_value(parsed(&plan()).unwrap()).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut file = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        file.pointer_mut(parent).unwrap()[name] = value;
        file
    };
    let seat = "/sections/0/rows/0/seats/1";
    let table = [
        (
            format!("{seat}/id"),
            json!("A-1"),
            "sections[0].rows[0].seats[1].id: the seat \"A-1\" stands already at \
             sections[0].rows[0].seats[0].id: give each seat its own id",
        ),
        (
            format!("{seat}/x"),
            json!(1.5),
            "sections[0].rows[0].seats[1].x: must be a whole number, but is a number",
        ),
        (
            format!("{seat}/y"),
            json!(2_000_000_000),
            "sections[0].rows[0].seats[1].y: 2000000000 is not a whole number from -1000000000 \
             to 1000000000",
        ),
        (
            format!("{seat}/wheelchair"),
            json!("no"),
            "sections[0].rows[0].seats[1].wheelchair: must be true or false, but is a text",
        ),
        (
            "/pools".into(),
            json!([{"id": "p", "capacity": 0, "category": "c"}]),
            "pools[0].capacity: 0 is not a whole number from 1 to 10000000",
        ),
        (
            "/pools".into(),
            json!(vec![json!({"id": "p", "capacity": 1, "category": "c"}); 2]),
            "pool \"p\" stands twice",
        ),
        ("/focus".into(), json!({"x": 1}), "focus: y is missing: add it"),
        (
            "/stage".into(),
            json!(1),
            "the file: there is no property \"stage\" here: remove it, or write one of name, \
             focus, sections, pools",
        ),
    ];
    for (pointer, value, expected) in table {
        check(&with(&pointer, value), expected);
    }
}

#[test]
fn a_misspelt_wheelchair_category_is_refused() {
    let options = ImportOptions {
        wheelchair_categories: Some(vec![Category::new("Weelchair").unwrap()]),
        ..ImportOptions::default()
    };
    let own = serde_json::to_value(parsed(&plan()).unwrap()).unwrap();
    for file in [plan(), own] {
        assert_eq!(
            parse(file.to_string().as_bytes(), &options).unwrap_err().to_string(),
            "no seat has the wheelchair category \"Weelchair\"; the file has Stalls, 車椅子席"
        );
    }
}

#[test]
fn the_coaches_of_a_railway_are_no_seating_plan() {
    for name in ["bus", "decks", "giruno", "others", "train"] {
        let Some(bytes) = real(&format!("sbb-coaches/{name}.json")) else { return };
        let error = parse(&bytes, &ImportOptions::default()).unwrap_err();
        let ImportError::UnknownFormat { found } = &error else { panic!("{error}") };
        assert!(found.starts_with("MOCK_"), "{error}");
    }
    let Some(bytes) = real("ticketland-demo-hall/schema.json") else { return };
    let error = parse(&bytes, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, ImportError::UnknownFormat { .. }), "{error}");
}
