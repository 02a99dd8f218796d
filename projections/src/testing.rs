//! What tests of the read side share: events in memory, a clock by hand, and the suites that run
//! over every row store.

mod feed;
pub mod hall;
pub mod models;
pub mod rows;

pub use feed::{ManualClock, MemoryFeed};
