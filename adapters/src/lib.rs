//! The outside world: event stores, row stores, the clock, ids, files and payments. Each adapter
//! implements a port that its consumer declares.

pub mod backup;
pub mod copy;
pub mod data_dir;
pub mod embedded;
pub mod eventstoredb;
mod fault;
mod feed;
mod live;
pub mod memory;
pub mod payments;
mod plan;
pub mod postgres;
pub mod rows;
pub mod seating;
pub mod system;
pub mod unfinished;
