//! Hakken's own form of a seat map: the JSON of [`SeatMap`], read with the place of each error.

use std::collections::{BTreeSet, HashMap};

use hakken_domain::seatmap::{
    MAX_POOL_CAPACITY, MAX_ROWS, MAX_SEATS, Point, Pool, Row, Seat, SeatMap, SeatMapError, Section,
};

use super::{
    At, ImportError, ImportOptions, MAX_COORDINATE, check_wheelchair_categories, json::Node,
    walk::Fields,
};

pub(super) fn read(node: &Node, options: &ImportOptions) -> Result<SeatMap, ImportError> {
    let root = At::Root;
    let fields = root.object(node, &["name", "focus", "sections", "pools"])?;
    let name = root.property("name").label(fields.required(&root, "name")?)?;
    let at = root.property("focus");
    let focus_node = fields.required(&root, "focus")?;
    let focus = point(&at, at.object(focus_node, &["x", "y"])?)?;
    let mut reader = Reader { places: HashMap::new(), rows: 0, options };
    let mut sections = Vec::new();
    let at = root.property("sections");
    for (index, section) in at.list(fields.required(&root, "sections")?)?.iter().enumerate() {
        sections.push(reader.section(&at.item(index), section)?);
    }
    let mut pools = Vec::new();
    if let Some(list) = fields.optional("pools") {
        let at = root.property("pools");
        for (index, node) in at.list(list)?.iter().enumerate() {
            pools.push(pool(&at.item(index), node)?);
        }
    }
    let map = SeatMap { name, focus: options.focus.unwrap_or(focus), sections, pools };
    let declared: BTreeSet<&str> = map.seats().map(|seat| seat.category.as_str()).collect();
    check_wheelchair_categories(options, &declared.into_iter().collect::<Vec<_>>())?;
    Ok(map)
}

struct Reader<'o> {
    /// Where each seat stands.
    places: HashMap<hakken_domain::names::SeatId, String>,
    rows: usize,
    options: &'o ImportOptions,
}

impl Reader<'_> {
    fn section(&mut self, at: &At, node: &Node) -> Result<Section, ImportError> {
        let fields = at.object(node, &["name", "rows"])?;
        let name = at.property("name").label(fields.required(at, "name")?)?;
        let list = at.property("rows");
        let mut rows = Vec::new();
        for (index, row) in list.list(fields.required(at, "rows")?)?.iter().enumerate() {
            rows.push(self.row(&list.item(index), row)?);
        }
        Ok(Section { name, rows })
    }

    fn row(&mut self, at: &At, node: &Node) -> Result<Row, ImportError> {
        self.rows += 1;
        if self.rows > MAX_ROWS {
            return Err(
                SeatMapError::TooMany { what: "rows", found: self.rows, max: MAX_ROWS }.into()
            );
        }
        let fields = at.object(node, &["name", "seats"])?;
        let name = at.property("name").label(fields.required(at, "name")?)?;
        let list = at.property("seats");
        let mut seats = Vec::new();
        for (index, seat) in list.list(fields.required(at, "seats")?)?.iter().enumerate() {
            seats.push(self.seat(&list.item(index), seat)?);
        }
        Ok(Row { name, seats })
    }

    fn seat(&mut self, at: &At, node: &Node) -> Result<Seat, ImportError> {
        const SEAT: &[&str] = &["id", "number", "x", "y", "category", "wheelchair", "aisle_after"];
        let fields = at.object(node, SEAT)?;
        let id = at.property("id").seat_id(fields.required(at, "id")?)?;
        let number = at.property("number").label(fields.required(at, "number")?)?;
        let category = at.property("category").category(fields.required(at, "category")?)?;
        let position = point(at, fields)?;
        let wheelchair = match &self.options.wheelchair_categories {
            Some(named) => named.contains(&category),
            None => flag(at, fields, "wheelchair")?,
        };
        let aisle_after = flag(at, fields, "aisle_after")?;
        let place = at.property("id").to_string();
        if let Some(first) = self.places.insert(id.clone(), place.clone()) {
            return Err(ImportError::DuplicateSeat { seat: id.to_string(), first, second: place });
        }
        if self.places.len() > MAX_SEATS {
            let found = self.places.len();
            return Err(SeatMapError::TooMany { what: "seats", found, max: MAX_SEATS }.into());
        }
        Ok(Seat { id, number, at: position, category, wheelchair, aisle_after })
    }
}

fn pool(at: &At, node: &Node) -> Result<Pool, ImportError> {
    let fields = at.object(node, &["id", "capacity", "category"])?;
    let id = at.property("id").pool_id(fields.required(at, "id")?)?;
    let category = at.property("category").category(fields.required(at, "category")?)?;
    let capacity = at.property("capacity").integer_within(
        fields.required(at, "capacity")?,
        1,
        i64::from(MAX_POOL_CAPACITY),
    )?;
    Ok(Pool { id, capacity: capacity.try_into().expect("within bounds"), category })
}

fn point(at: &At, fields: Fields) -> Result<Point, ImportError> {
    let coordinate = |name| {
        let node = fields.required(at, name)?;
        let max = i64::from(MAX_COORDINATE);
        let value = at.property(name).integer_within(node, -max, max)?;
        Ok::<_, ImportError>(i32::try_from(value).expect("within bounds"))
    };
    Ok(Point { x: coordinate("x")?, y: coordinate("y")? })
}

fn flag(at: &At, fields: Fields, name: &'static str) -> Result<bool, ImportError> {
    match fields.optional(name) {
        None => Ok(false),
        Some(node) => at.property(name).flag(node),
    }
}
