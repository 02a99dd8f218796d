//! Every test that needs more than one crate, in one binary.

mod engine;
mod process;
mod store_contract;
