//! Thousands of mutations of good files, judged by the real JSON schema (read from the real data)
//! and by serde: what those refuse is refused here, and what is refused here beyond that is for a
//! reason that they do not know.

use super::*;

/// A small generator whose numbers a seed decides.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (self.0 ^ (self.0 >> 29)) >> 16;
        usize::try_from(bits % bound as u64).unwrap()
    }
}

/// Whether a value fits a schema, for the keywords that the seating-plan schema uses; an unknown
/// keyword is a panic, so that nothing is passed over.
fn fits(schema: &Value, root: &Value, value: &Value) -> bool {
    let keywords = schema.as_object().unwrap();
    keywords.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "version" | "title" | "description" | "definitions" => true,
        "$ref" => {
            let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
            fits(root.pointer(pointer).unwrap(), root, value)
        }
        "type" => match rule {
            Value::Array(types) => types.iter().any(|kind| is(kind, value)),
            kind => is(kind, value),
        },
        "enum" => rule.as_array().unwrap().contains(value),
        "pattern" => {
            assert_eq!(rule, "^[^ ].*[^ ]$");
            value.as_str().is_none_or(|text| {
                let newline = ['\n', '\r', '\u{2028}', '\u{2029}'];
                let mut inner = text.chars();
                let ends = (inner.next(), inner.next_back());
                matches!(ends, (Some(first), Some(last)) if first != ' ' && last != ' ')
                    && !inner.as_str().contains(newline)
            })
        }
        "items" => value.as_array().is_none_or(|list| list.iter().all(|v| fits(rule, root, v))),
        "required" => value.as_object().is_none_or(|object| {
            rule.as_array().unwrap().iter().all(|name| object.contains_key(name.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(name, v)| rule.get(name).is_none_or(|rule| fits(rule, root, v)))
        }),
        "additionalProperties" => {
            assert_eq!(rule, false);
            let known = schema["properties"].as_object().unwrap();
            value
                .as_object()
                .is_none_or(|object| object.keys().all(|name| known.contains_key(name)))
        }
        other => panic!("the schema has a keyword that this test does not know: {other}"),
    })
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("the schema has a type that this test does not know: {other}"),
    }
}

/// Changes one thing somewhere.
fn mutate(file: &mut Value, random: &mut Random) {
    let mut places = Vec::new();
    collect(file, String::new(), &mut places);
    let place = &places[random.below(places.len())];
    let names: Vec<String> =
        places.iter().filter_map(|p| Some(p.rsplit_once('/')?.1.to_owned())).collect();
    let target = file.pointer_mut(place).unwrap();
    match (random.below(3), target) {
        (0, Value::Object(object)) => {
            let keys: Vec<String> = object.keys().cloned().collect();
            let key = keys.get(random.below(keys.len().max(1))).cloned();
            if let Some(old) = key.and_then(|key| object.remove(&key))
                && random.below(2) == 0
            {
                object.insert(names[random.below(names.len())].clone(), old);
            }
        }
        (1, Value::Object(object)) => {
            let name = names[random.below(names.len())].clone();
            object.insert(name, any_value(random));
        }
        (0 | 1, Value::Array(list)) if !list.is_empty() => {
            let item = list[random.below(list.len())].clone();
            if random.below(2) == 0 {
                list.push(item);
            } else {
                list.remove(random.below(list.len()));
            }
        }
        (_, target) => *target = any_value(random),
    }
}

fn collect(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, v)| collect(v, format!("{place}/{name}"), places));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, v)| collect(v, format!("{place}/{at}"), places));
        }
        _ => {}
    }
    places.push(place);
}

fn any_value(random: &mut Random) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(5),
        json!(5.0),
        json!(-2.5),
        json!(1e18),
        json!(""),
        json!(" x"),
        json!("x "),
        json!("x"),
        json!("xy"),
        json!("a\nb"),
        json!("a\u{2028}b"),
        json!("Stalls"),
        json!("start"),
        json!("circle"),
        json!("x".repeat(201)),
        json!([]),
        json!({}),
        json!({"x": 1, "y": 2}),
        json!([{"x": 1, "y": 2}]),
        json!({"radius": 4}),
    ];
    values[random.below(values.len())].clone()
}

#[test]
fn what_the_real_schema_refuses_is_refused_and_what_it_takes_is_taken() {
    let Some(schema) = real("pretix-schema/seating-plan.schema.json") else { return };
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    assert!(fits(&schema, &schema, &plan()));
    let (mut taken, mut refused, mut beyond) = (0, 0, 0);
    for seed in 0..5_000 {
        let mut random = Random(seed);
        let mut file = plan();
        for _ in 0..=random.below(2) {
            mutate(&mut file, &mut random);
        }
        match (fits(&schema, &schema, &file), parsed(&file)) {
            (true, Ok(_)) => taken += 1,
            (false, Err(_)) => refused += 1,
            (
                true,
                Err(
                    ImportError::BadName { .. }
                    | ImportError::RowUnnamed { .. }
                    | ImportError::DuplicateSeat { .. }
                    | ImportError::CategoryNotDeclared { .. }
                    | ImportError::CoordinateOutOfRange { .. }
                    | ImportError::Map(_),
                ),
            ) => beyond += 1,
            (fits, ours) => panic!("seed {seed}: schema says {fits}, we say {ours:?}: {file}"),
        }
    }
    assert!(taken > 600 && refused > 2_000 && beyond > 120, "{taken} {refused} {beyond}");
}

#[test]
fn hakkens_own_form_is_read_as_serde_reads_it() {
    let mut map = parsed(&plan()).unwrap();
    map.sections[0].rows[0].seats[1].aisle_after = true;
    map.pools = shipped_hall().pools;
    let good = serde_json::to_value(&map).unwrap();
    assert_eq!(parsed(&good), Ok(map));
    let (mut taken, mut refused, mut beyond) = (0, 0, 0);
    for seed in 0..5_000 {
        let mut random = Random(seed);
        let mut file = good.clone();
        for _ in 0..=random.below(2) {
            mutate(&mut file, &mut random);
        }
        match (serde_json::from_value::<SeatMap>(file.clone()), parsed(&file)) {
            (Ok(theirs), Ok(ours)) => {
                assert_eq!(theirs, ours, "seed {seed}: {file}");
                taken += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (
                Ok(_),
                Err(
                    ImportError::DuplicateSeat { .. }
                    | ImportError::NumberOutOfRange { .. }
                    | ImportError::Map(_),
                ),
            ) => beyond += 1,
            // Serde takes a list of values for an object, and more than x and y for the focus.
            (Ok(_), Err(ImportError::WrongType { expected: "an object", found: "a list", .. })) => {
            }
            (Ok(_), Err(ImportError::UnknownProperty { place, .. })) if place == "focus" => {}
            // 5.0 is a whole number in JSON.
            (Err(_), Ok(_)) if file.to_string().contains("5.0") => {}
            (theirs, ours) => panic!("seed {seed}: {theirs:?}, {ours:?}: {file}"),
        }
    }
    assert!(taken > 300 && refused > 2_000 && beyond > 20, "{taken} {refused} {beyond}");
}
