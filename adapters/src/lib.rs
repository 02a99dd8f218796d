//! The outside world: event stores, the clock, ids and files. Each adapter implements a port that
//! its consumer declares.

pub mod data_dir;
mod fault;
mod feed;
mod live;
pub mod memory;
mod plan;
pub mod sqlite;
pub mod system;
