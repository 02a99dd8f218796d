//! The targets, one file for each.

pub mod codes;
pub mod events;
pub mod graphql;
pub mod history;
pub mod http;
pub mod seat_map;
pub mod snapshot;
pub mod socket;
pub mod store_file;
pub mod text;
