//! Which seats are free: packed rows of what is not plainly free, and boards in memory from which it
//! is answered. A hold whose time has passed counts as free when it is read, though the rows say
//! held until the expiry is recorded.

mod board;
mod fold;
mod maps;
mod packed;
mod queries;
mod reading;
#[cfg(test)]
mod tests;

pub(crate) use board::Boards;
pub use board::{Availability, PoolAvailability, Sales, SeatStatus, ShowMap, Totals};
use hakken_domain::envelope::{StreamId, StreamKind};
pub use queries::AsOf;

pub use super::holds::{HoldFilter, HoldStatus, HoldView};

use crate::{
    projection::{ByShow, OwnStream, Projection, ShowEvents},
    rows::{Column, Table},
};

/// The projection.
pub const SEAT_AVAILABILITY: Projection = Projection {
    name: "seat_availability",
    version: 3,
    tables: &[&MAPS, &SHOWS, &SEATS, &POOLS, &ALLOTMENTS, &HOLDS],
    streams: &[StreamKind::Inventory],
    passes_over: &[],
    decoded_ahead: false,
    fold: || Box::new(fold::AvailabilityFold::default()),
    own: &[
        OwnStream { table: &MAPS, column: "show", kind: StreamKind::Inventory },
        OwnStream { table: &SHOWS, column: "show", kind: StreamKind::Inventory },
        OwnStream { table: &SEATS, column: "show", kind: StreamKind::Inventory },
        OwnStream { table: &POOLS, column: "show", kind: StreamKind::Inventory },
        OwnStream { table: &ALLOTMENTS, column: "show", kind: StreamKind::Inventory },
        OwnStream { table: &HOLDS, column: "show", kind: StreamKind::Inventory },
    ],
    by_show: Some(ByShow {
        tables: &[
            (&MAPS, "show"),
            (&SHOWS, "show"),
            (&SEATS, "show"),
            (&POOLS, "show"),
            (&ALLOTMENTS, "show"),
            (&HOLDS, "show"),
        ],
        events: ShowEvents::Stream(StreamId::inventory),
    }),
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

/// What of the seats is held, sold and blocked, 256 of them in a row in the order of the map; no
/// row where all of them are plainly free.
static SEATS: Table = Table {
    name: "availability_seats",
    noun: "block of seats",
    columns: &[Column::text("show"), Column::int("block"), Column::bytes("packed")],
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

/// Holds that last, as far as is recorded, and those whose pool places came out of an allotment:
/// what they return goes back to it.
static HOLDS: Table = Table {
    name: "availability_holds",
    noun: "hold",
    columns: &[Column::text("show"), Column::text("hold"), Column::doc("doc")],
    key: 2,
    indexes: &[],
};
