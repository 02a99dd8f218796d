//! The write side of Hakken: one small loop (load, decide, append, acknowledge), the process
//! managers, and the ports that both need.

pub mod clock;
pub mod desk;
pub mod engine;
pub mod payments;
pub mod process;
pub mod store;
pub mod trace;
mod write_side;

pub use write_side::{WriteOptions, WriteSide};
