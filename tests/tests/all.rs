//! Every test that needs more than one crate, in one binary.

mod engine;
mod fuzz;
mod graphql;
mod process;
mod properties;
mod races;
mod rows;
mod scenarios;
mod simulation;
mod store_contract;
mod tidy;
