//! Seat maps from files: the real one, broken ones, and mutations beside the real JSON schema.

mod broken;
mod halls;
mod neighbours;
mod oracle;
mod plans;

use std::path::Path;

use serde_json::{Value, json};

use super::*;

/// A file of the real data, or `None` where the folder is missing, which CI does not allow.
fn real(path: &str) -> Option<Vec<u8>> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut folders = folders.map(|folder| folder.join("shared/data/seating"));
    let root = folders.find(|folder| folder.exists()).unwrap_or_default();
    match std::fs::read(root.join(path)) {
        Ok(bytes) => Some(bytes),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{path}: {error}"),
        Err(_) => {
            println!("skipped: {path} is not on this machine");
            None
        }
    }
}

/// A small plan with every property that the format has.
fn plan() -> Value {
    let seat = |guid: &str, number: &str, x: f64| {
        json!({
            "seat_guid": guid, "seat_number": number, "position": {"x": x, "y": 0},
            "category": "Stalls", "radius": 10, "uuid": "u", "start_direction": "<>",
        })
    };
    let at = json!({"x": 50, "y": 20});
    let caption =
        |text: &str| json!({"text": text, "color": "#000", "size": 16.5, "position": at.clone()});
    json!({
        "name": "小ホール",
        "size": {"width": 400, "height": 300},
        "categories": [{"name": "Stalls", "color": "#f00"}, {"name": "車椅子席"}],
        "zones": [
            {
                "name": "Main", "zone_id": "z1", "uuid": "a", "position": {"x": 100, "y": 200.5},
                "rows": [
                    {
                        "row_number": "A", "row_label": "Row %s", "seat_label": "Seat %s",
                        "uuid": "b", "row_number_position": "both", "position": {"x": 10, "y": 20},
                        "seats": [
                            seat("A-1", "1", 0.0),
                            seat("A-2", "2", 25.004),
                            seat("A-3", "3", 50.0),
                        ],
                    },
                    {
                        "row_number": "B", "row_label": null, "row_number_position": null,
                        "seats": [{
                            "seat_guid": "B-1", "seat_number": "1", "category": "車椅子席",
                            "position": {"x": 0, "y": 45}, "start_direction": null,
                        }],
                    },
                ],
                "areas": [
                    {
                        "shape": "rectangle", "position": {"x": 0, "y": -100}, "rotation": 0,
                        "rectangle": {"width": 100, "height": 40}, "color": "#ccc",
                        "border_color": "#000", "uuid": "c", "text": caption("Main stage"),
                    },
                    {
                        "shape": "polygon",
                        "polygon": {"points": [{"x": 0, "y": 0}, {"x": 9, "y": 9}]},
                    },
                    {"shape": "circle", "circle": {"radius": 3}, "text": caption("Bar")},
                    {"shape": "ellipse", "ellipse": {"radius": {"x": 1, "y": 2}}},
                    {"shape": "text", "text": caption("Backstage")},
                ],
            },
            {"position": {"x": 0, "y": 0}, "rows": [{"row_number": "1", "seats": []}]},
        ],
    })
}

fn parsed(file: &Value) -> Result<SeatMap, ImportError> {
    parse(file.to_string().as_bytes(), &ImportOptions::default())
}

/// A file with one row of seats at these places, numbered in their order.
fn one_row(places: &[(f64, f64)]) -> Value {
    let seats: Vec<Value> = places
        .iter()
        .enumerate()
        .map(|(at, (x, y))| {
            json!({
                "seat_guid": format!("s{at:05}"), "seat_number": format!("{}", at + 1),
                "category": "C", "position": {"x": x, "y": y},
            })
        })
        .collect();
    json!({
        "name": "Row", "size": {"width": 1, "height": 1}, "categories": [{"name": "C"}],
        "zones": [{
            "name": "Z",
            "position": {"x": 0, "y": 0},
            "rows": [{"row_number": "R", "seats": seats}],
        }],
    })
}

/// Each row as its name and its seats' numbers, `|` where an aisle is.
fn rows_of(map: &SeatMap) -> Vec<String> {
    let rows = map.sections.iter().flat_map(|section| &section.rows);
    rows.map(|row| {
        let mut text = format!("{}:", row.name);
        for seat in &row.seats {
            text.push_str(&format!(" {}", seat.number));
            if seat.aisle_after {
                text.push_str(" |");
            }
        }
        text
    })
    .collect()
}
