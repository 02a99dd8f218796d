//! Why a file is not imported.

use hakken_domain::{
    names::NameError,
    seatmap::{MAX_SEATS, SeatMapError},
};

use super::MAX_FILE_BYTES;

/// Most hundredths that a coordinate may be away from 0, so that differences fit, too.
pub const MAX_COORDINATE: i32 = 1_000_000_000;

/// Why a file is not imported: where, what is wrong, and what to do. A place is a path such as
/// `zones[2].rows[0].seats[17].seat_guid`, counted from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// More bytes than are taken.
    #[error("the file has {bytes} bytes, at most {MAX_FILE_BYTES} are taken: divide the hall")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// More values than any map has.
    #[error(
        "the file has more than {max} JSON values: no seat map of {MAX_SEATS} seats needs them"
    )]
    TooManyValues {
        /// How many are taken.
        max: usize,
    },
    /// Not UTF-8.
    #[error("the file is not UTF-8 from byte {at} on: save it as UTF-8")]
    NotUtf8 {
        /// The first bad byte, counted from 0.
        at: usize,
    },
    /// Not JSON.
    #[error("the file is not JSON: line {line}, column {column}: {reason}")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the reader says.
        reason: String,
    },
    /// JSON, but not an object.
    #[error(
        "the file is {found}, not an object: give a pretix seating plan (it begins with name, \
         size, categories and zones) or a seat map of Hakken (name, focus, sections)"
    )]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// An object of another kind.
    #[error(
        "the file is neither a pretix seating plan (name, size, categories, zones) nor a seat map \
         of Hakken (name, focus, sections): its properties are {found}"
    )]
    UnknownFormat {
        /// Its first properties.
        found: String,
    },
    /// Another type than the format says.
    #[error("{place}: must be {expected}, but is {found}")]
    WrongType {
        /// Where.
        place: String,
        /// What the format says.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A property that must be there.
    #[error("{place}: {property} is missing: add it")]
    Missing {
        /// In what.
        place: String,
        /// Which.
        property: &'static str,
    },
    /// A property that the format does not have.
    #[error(
        "{place}: there is no property {property:?} here: remove it, or write one of {allowed}"
    )]
    UnknownProperty {
        /// In what.
        place: String,
        /// Which.
        property: String,
        /// What may stand there.
        allowed: String,
    },
    /// The same property twice in one object.
    #[error("{place}: {property} stands twice: remove one of them")]
    RepeatedProperty {
        /// In what.
        place: String,
        /// Which.
        property: String,
    },
    /// Not one of the words that may stand there.
    #[error("{place}: {found:?} is not one of {allowed}")]
    NotOneOf {
        /// Where.
        place: String,
        /// What stands there.
        found: String,
        /// What may.
        allowed: &'static str,
    },
    /// A seat's id that the pretix format does not allow.
    #[error(
        "{place}: {found:?} is not allowed by the format: a seat_guid has two characters or more, \
         on one line, and neither begins nor ends with a space"
    )]
    BadGuid {
        /// Where.
        place: String,
        /// What stands there.
        found: String,
    },
    /// An empty, overlong or unprintable name.
    #[error("{place}: {reason}: correct it")]
    BadName {
        /// Where.
        place: String,
        /// What is wrong and what is allowed.
        #[source]
        reason: NameError,
    },
    /// A row that nobody can find.
    #[error("{place}: the row has neither a row_number nor a row_label: give it one")]
    RowUnnamed {
        /// Where.
        place: String,
    },
    /// The same seat twice.
    #[error("{second}: the seat {seat:?} stands already at {first}: give each seat its own id")]
    DuplicateSeat {
        /// The seat.
        seat: String,
        /// Where it stands first.
        first: String,
        /// Where it stands again.
        second: String,
    },
    /// A category that the plan does not list.
    #[error(
        "{place}: the category {category:?} is not declared: add it to categories, or use one of \
         {declared}"
    )]
    CategoryNotDeclared {
        /// Where.
        place: String,
        /// Which.
        category: String,
        /// Those that are.
        declared: String,
    },
    /// Too far away.
    #[error(
        "{place}: the coordinate {value} is out of range: at most {max} to either side of 0 are \
         taken",
        max = MAX_COORDINATE / 100
    )]
    CoordinateOutOfRange {
        /// Where.
        place: String,
        /// All its parts together.
        value: f64,
    },
    /// A number of places that is none.
    #[error("{place}: {value} is not a whole number from {min} to {max}")]
    NumberOutOfRange {
        /// Where.
        place: String,
        /// What stands there.
        value: f64,
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
    /// The options name wheelchair places that the file does not have.
    #[error("no seat has the wheelchair category {category:?}; the file has {declared}")]
    WheelchairCategoryUnknown {
        /// Which.
        category: String,
        /// Those that are.
        declared: String,
    },
    /// The whole breaks a rule of seat maps.
    #[error("{0}")]
    Map(#[from] SeatMapError),
}
