//! Seat maps from files: the pretix seating-plan format and Hakken's own form, the hall that
//! Hakken ships, and a picture of any map.

mod areas;
mod error;
mod hakken;
mod json;
mod pretix;
mod rows;
pub mod svg;
mod walk;

#[cfg(test)]
mod tests;

use hakken_domain::{
    names::Category,
    seatmap::{Point, Pool, SeatMap},
};

pub use error::{ImportError, MAX_COORDINATE};
use json::Node;
use walk::{At, listed};

/// Most bytes of a file.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// What an import adds to the file.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Categories whose seats are wheelchair places. `None` takes, in a pretix plan, those whose
    /// names say so (wheelchair, rollstuhl, accessible, 車椅子, 車いす); a map in Hakken's own
    /// form says it for each seat.
    pub wheelchair_categories: Option<Vec<Category>>,
    /// Pools beside those of the file: pretix plans have none.
    pub pools: Vec<Pool>,
    /// Where people want to look, in hundredths. `None` takes, in a pretix plan, the area that is
    /// called stage (in one of several languages), else the top centre of the seats; a map in
    /// Hakken's own form has it.
    pub focus: Option<Point>,
}

/// Reads a seat map: a pretix seating plan or Hakken's own form, recognised by what it contains.
/// Either the whole file is taken or nothing of it.
pub fn parse(bytes: &[u8], options: &ImportOptions) -> Result<SeatMap, ImportError> {
    let node = json::read(bytes)?;
    let Node::Object(entries) = &node else {
        return Err(ImportError::NotAnObject { found: node.kind() });
    };
    let has_any = |names: &[&str]| entries.iter().any(|(name, _)| names.contains(&&**name));
    let mut map = if has_any(&["zones", "categories", "size"]) {
        pretix::read(&node, options)?
    } else if has_any(&["sections", "focus", "pools"]) {
        hakken::read(&node, options)?
    } else {
        let found = listed(entries.iter().map(|(name, _)| &**name));
        return Err(ImportError::UnknownFormat { found });
    };
    map.pools.extend(options.pools.iter().cloned());
    map.check()?;
    Ok(map)
}

/// The hall that comes with Hakken: 響ホール, with stalls, boxes, a mezzanine, a balcony,
/// wheelchair places and a standing pool.
pub fn shipped_hall() -> SeatMap {
    parse(SHIPPED_HALL, &ImportOptions::default()).expect("a test reads the file")
}

/// The file of [`shipped_hall`], in Hakken's own form.
pub const SHIPPED_HALL: &[u8] = include_bytes!("../../../halls/hibiki-hall.json");

/// Refuses wheelchair categories that no seat has: a misspelt one would sell those places.
fn check_wheelchair_categories(
    options: &ImportOptions,
    declared: &[&str],
) -> Result<(), ImportError> {
    for category in options.wheelchair_categories.iter().flatten() {
        if !declared.contains(&category.as_str()) {
            return Err(ImportError::WheelchairCategoryUnknown {
                category: category.to_string(),
                declared: listed(declared.iter().copied()),
            });
        }
    }
    Ok(())
}
