//! Which seats are free: rows for what is not plainly free, and boards in memory from which it
//! is answered. A hold whose time has passed counts as free when it is read, though the rows say
//! held until the expiry is recorded.

mod board;
mod fold;
mod queries;
#[cfg(test)]
mod tests;

pub(crate) use board::Boards;
pub use board::{Availability, PoolAvailability, Sales, SeatStatus, ShowMap, Totals};
use hakken_domain::envelope::StreamKind;
pub use queries::{AsOf, HoldFilter, HoldStatus, HoldView};

use crate::{
    projection::Projection,
    rows::{Column, Table},
};

/// The projection.
pub const SEAT_AVAILABILITY: Projection = Projection {
    name: "seat_availability",
    version: 1,
    tables: &[&MAPS, &SHOWS, &SEATS, &POOLS, &ALLOTMENTS, &HOLDS],
    streams: &[StreamKind::Inventory],
    fold: || Box::new(fold::AvailabilityFold::default()),
};

/// What was put on sale: written once for each show.
static MAPS: Table = Table {
    name: "availability_maps",
    noun: "seat map of show",
    columns: &[Column::text("show"), Column::text("organizer"), Column::doc("doc")],
    key: 1,
    indexes: &[],
};

/// The version of each show, and its sales rules.
static SHOWS: Table = Table {
    name: "availability_shows",
    noun: "show",
    columns: &[
        Column::text("show"),
        Column::int("version"),
        Column::int("position"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[],
};

/// Seats that are held, sold or blocked; no row for the others.
static SEATS: Table = Table {
    name: "availability_seats",
    noun: "seat",
    columns: &[Column::text("show"), Column::text("seat"), Column::doc("doc")],
    key: 2,
    indexes: &[],
};

/// What is held and sold of each pool, leg by leg.
static POOLS: Table = Table {
    name: "availability_pools",
    noun: "pool",
    columns: &[Column::text("show"), Column::text("pool"), Column::doc("doc")],
    key: 2,
    indexes: &[],
};

/// What is kept for whom.
static ALLOTMENTS: Table = Table {
    name: "availability_allotments",
    noun: "allotment",
    columns: &[Column::text("show"), Column::text("allotment"), Column::doc("doc")],
    key: 2,
    indexes: &[],
};

/// Every hold there ever was.
static HOLDS: Table = Table {
    name: "holds",
    noun: "hold",
    columns: &[
        Column::text("hold"),
        Column::text("show"),
        Column::text("organizer"),
        Column::text("buyer"),
        Column::text("status"),
        Column::int("expires_at"),
        Column::int("position"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[&["show", "position"], &["organizer", "buyer", "position"]],
};
