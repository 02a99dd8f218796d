//! The pretix seating-plan format (version 0.0.1 of its schema): zones with rows of seats, and
//! areas that only decorate. Everything that the schema checks is checked here, and what it leaves
//! to the reader: that seats are there once, that categories are declared, that names can be read.

use std::collections::HashMap;

use hakken_domain::{
    names::{Category, Label, SeatId},
    seatmap::{MAX_ROWS, MAX_SEATS, Point, Row, Seat, SeatMap, SeatMapError, Section},
};

use super::{
    At, ImportError, ImportOptions, MAX_COORDINATE, areas, check_wheelchair_categories,
    json::Node,
    rows,
    walk::{Fields, listed, shortened},
};

/// A place or a distance, in the plan's unit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Offset {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl std::ops::Add for Offset {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { x: self.x + other.x, y: self.y + other.y }
    }
}

pub(super) fn read(node: &Node, options: &ImportOptions) -> Result<SeatMap, ImportError> {
    let root = At::Root;
    let fields = root.object(node, &["name", "zones", "categories", "size"])?;
    let name = root.property("name").label(fields.required(&root, "name")?)?;
    size(&root.property("size"), fields.required(&root, "size")?)?;
    let at = root.property("categories");
    let categories = categories(&at, fields.required(&root, "categories")?)?;
    let declared: Vec<&str> = categories.iter().map(Category::as_str).collect();
    check_wheelchair_categories(options, &declared)?;

    let mut plan = Plan {
        categories: categories.iter().map(|c| (c.as_str(), (c, wheelchair(c, options)))).collect(),
        declared,
        places: HashMap::new(),
        rows: 0,
        stage: None,
    };
    let at = root.property("zones");
    let mut zones = Vec::new();
    for (index, zone) in at.list(fields.required(&root, "zones")?)?.iter().enumerate() {
        zones.push(plan.zone(&at.item(index), zone, index)?);
    }
    let stage = plan.stage.map(|at| point(&root.property("zones"), at)).transpose()?;
    let focus = options.focus.or(stage).unwrap_or_else(|| top_centre(&zones));
    let sections = zones
        .into_iter()
        .map(|zone| Section {
            name: zone.name,
            rows: zone.rows.into_iter().flat_map(|row| rows::ordered(row, focus)).collect(),
        })
        .filter(|section| !section.rows.is_empty())
        .collect();
    Ok(SeatMap { name, focus, sections, pools: Vec::new() })
}

/// The middle of the upper edge of the seats.
fn top_centre(zones: &[Section]) -> Point {
    let seats = || zones.iter().flat_map(|zone| &zone.rows).flat_map(|row| &row.seats);
    let left = seats().map(|seat| seat.at.x).min().unwrap_or(0);
    let right = seats().map(|seat| seat.at.x).max().unwrap_or(0);
    let y = seats().map(|seat| seat.at.y).min().unwrap_or(0);
    Point { x: left.midpoint(right), y }
}

fn wheelchair(category: &Category, options: &ImportOptions) -> bool {
    const WORDS: [&str; 5] = ["wheelchair", "rollstuhl", "accessible", "車椅子", "車いす"];
    match &options.wheelchair_categories {
        Some(named) => named.contains(category),
        None => {
            let name = category.as_str().to_lowercase();
            WORDS.iter().any(|word| name.contains(word))
        }
    }
}

fn size(at: &At, node: &Node) -> Result<(), ImportError> {
    let fields = at.object(node, &["width", "height"])?;
    for name in ["width", "height"] {
        at.property(name).integer(fields.required(at, name)?)?;
    }
    Ok(())
}

fn categories(at: &At, node: &Node) -> Result<Vec<Category>, ImportError> {
    let mut categories = Vec::new();
    for (index, node) in at.list(node)?.iter().enumerate() {
        let at = at.item(index);
        let fields = at.object(node, &["name", "color"])?;
        categories.push(at.property("name").category(fields.required(&at, "name")?)?);
        texts(&at, fields, &["color"])?;
    }
    Ok(categories)
}

/// Properties that Hakken has no use for, which must be texts all the same.
pub(super) fn texts(
    at: &At,
    fields: Fields,
    names: &'static [&'static str],
) -> Result<(), ImportError> {
    for name in names {
        if let Some(node) = fields.optional(name) {
            at.property(name).text(node)?;
        }
    }
    Ok(())
}

/// A property that is a text or null.
fn nullable<'n>(
    at: &At,
    fields: Fields<'n>,
    name: &'static str,
) -> Result<Option<&'n str>, ImportError> {
    match fields.optional(name) {
        None | Some(Node::Null) => Ok(None),
        Some(Node::Text(text)) => Ok(Some(text)),
        Some(other) => Err(at.property(name).wrong_type("a text or null", other)),
    }
}

pub(super) fn position(at: &At, node: &Node) -> Result<Offset, ImportError> {
    let fields = at.object(node, &["x", "y"])?;
    let number = |name| at.property(name).number(fields.required(at, name)?);
    Ok(Offset { x: number("x")?, y: number("y")? })
}

pub(super) fn position_of(at: &At, fields: Fields) -> Result<Offset, ImportError> {
    let at = at.property("position");
    fields.optional("position").map_or(Ok(Offset::default()), |node| position(&at, node))
}

/// In hundredths.
fn point(at: &At, place: Offset) -> Result<Point, ImportError> {
    let coordinate = |value: f64| {
        let hundredths = (value * 100.0).round();
        if hundredths.abs() <= f64::from(MAX_COORDINATE) {
            Ok(hundredths as i32)
        } else {
            Err(ImportError::CoordinateOutOfRange { place: at.to_string(), value })
        }
    };
    Ok(Point { x: coordinate(place.x)?, y: coordinate(place.y)? })
}

/// What is known so far.
struct Plan<'n> {
    /// By name: the category, and whether its seats are wheelchair places.
    categories: HashMap<&'n str, (&'n Category, bool)>,
    declared: Vec<&'n str>,
    /// Where each seat stands: zone, row and seat, counted from 0.
    places: HashMap<SeatId, [usize; 3]>,
    rows: usize,
    stage: Option<Offset>,
}

impl Plan<'_> {
    fn zone(&mut self, at: &At, node: &Node, index: usize) -> Result<Section, ImportError> {
        const ZONE: &[&str] = &["name", "zone_id", "uuid", "position", "rows", "areas"];
        let fields = at.object(node, ZONE)?;
        texts(at, fields, &["zone_id", "uuid"])?;
        let origin = position(&at.property("position"), fields.required(at, "position")?)?;
        let name = match fields.optional("name") {
            Some(name) => at.property("name").label(name)?,
            None => at.named(Label::new(&format!("Zone {}", index + 1)))?,
        };
        let list = at.property("rows");
        let mut rows = Vec::new();
        for (row, node) in list.list(fields.required(at, "rows")?)?.iter().enumerate() {
            rows.push(self.row(&list.item(row), node, origin, [index, row])?);
        }
        if let Some(areas) = fields.optional("areas") {
            let list = at.property("areas");
            for (index, node) in list.list(areas)?.iter().enumerate() {
                let stage = areas::area(&list.item(index), node)?;
                self.stage = self.stage.or(stage.map(|offset| origin + offset));
            }
        }
        Ok(Section { name, rows })
    }

    fn row(
        &mut self,
        at: &At,
        node: &Node,
        zone: Offset,
        place: [usize; 2],
    ) -> Result<Row, ImportError> {
        self.rows += 1;
        if self.rows > MAX_ROWS {
            return Err(
                SeatMapError::TooMany { what: "rows", found: self.rows, max: MAX_ROWS }.into()
            );
        }
        const ROW: &[&str] = &[
            "row_number",
            "row_label",
            "seat_label",
            "uuid",
            "seats",
            "row_number_position",
            "position",
        ];
        let fields = at.object(node, ROW)?;
        texts(at, fields, &["uuid"])?;
        nullable(at, fields, "seat_label")?;
        match nullable(at, fields, "row_number_position")? {
            None | Some("start" | "end" | "both") => {}
            Some(other) => {
                return Err(ImportError::NotOneOf {
                    place: at.property("row_number_position").to_string(),
                    found: shortened(other),
                    allowed: "start, end, both or null",
                });
            }
        }
        let name = row_name(at, fields)?;
        let origin = zone + position_of(at, fields)?;
        let list = at.property("seats");
        let mut seats = Vec::new();
        for (index, node) in list.list(fields.required(at, "seats")?)?.iter().enumerate() {
            let [zone, row] = place;
            seats.push(self.seat(&list.item(index), node, origin, [zone, row, index])?);
        }
        Ok(Row { name, seats })
    }

    fn seat(
        &mut self,
        at: &At,
        node: &Node,
        row: Offset,
        place: [usize; 3],
    ) -> Result<Seat, ImportError> {
        const SEAT: &[&str] = &[
            "seat_guid",
            "seat_number",
            "uuid",
            "start_direction",
            "radius",
            "position",
            "category",
        ];
        let fields = at.object(node, SEAT)?;
        texts(at, fields, &["uuid"])?;
        nullable(at, fields, "start_direction")?;
        if let Some(radius) = fields.optional("radius") {
            at.property("radius").number(radius)?;
        }
        let id = seat_guid(&at.property("seat_guid"), fields.required(at, "seat_guid")?)?;
        let number = at.property("seat_number").label(fields.required(at, "seat_number")?)?;
        let here = at.property("position");
        let position = position(&here, fields.required(at, "position")?)?;
        let position = point(&here, row + position)?;
        let (category, wheelchair) =
            self.category(&at.property("category"), fields.required(at, "category")?)?;
        if let Some([zone, row, seat]) = self.places.insert(id.clone(), place) {
            return Err(ImportError::DuplicateSeat {
                seat: id.to_string(),
                first: format!("zones[{zone}].rows[{row}].seats[{seat}].seat_guid"),
                second: at.property("seat_guid").to_string(),
            });
        }
        if self.places.len() > MAX_SEATS {
            let found = self.places.len();
            return Err(SeatMapError::TooMany { what: "seats", found, max: MAX_SEATS }.into());
        }
        Ok(Seat { id, number, at: position, category, wheelchair, aisle_after: false })
    }

    fn category(&self, at: &At, node: &Node) -> Result<(Category, bool), ImportError> {
        let name = at.text(node)?;
        match self.categories.get(name) {
            Some((category, wheelchair)) => Ok(((*category).clone(), *wheelchair)),
            None => Err(ImportError::CategoryNotDeclared {
                place: at.to_string(),
                category: shortened(name),
                declared: listed(self.declared.iter().copied()),
            }),
        }
    }
}

/// The schema's own rule first (`^[^ ].*[^ ]$`), then that of ids.
fn seat_guid(at: &At, node: &Node) -> Result<SeatId, ImportError> {
    let text = at.text(node)?;
    let spaced = text.starts_with(' ') || text.ends_with(' ');
    let broken = text.contains(['\n', '\r', '\u{2028}', '\u{2029}']);
    if spaced || broken || text.chars().nth(1).is_none() {
        return Err(ImportError::BadGuid { place: at.to_string(), found: shortened(text) });
    }
    at.seat_id(node)
}

/// What stands on the row; what describes it where nothing stands on it.
fn row_name(at: &At, fields: Fields) -> Result<Label, ImportError> {
    let label = nullable(at, fields, "row_label")?.filter(|label| !label.trim().is_empty());
    let place = at.property("row_number");
    let number = place.text(fields.required(at, "row_number")?)?;
    if !number.trim().is_empty() {
        return place.named(Label::new(number));
    }
    match label {
        Some(label) => at.property("row_label").named(Label::new(label.replace("%s", "").trim())),
        None => Err(ImportError::RowUnnamed { place: at.to_string() }),
    }
}
