//! Every test that needs more than one crate, in one binary.

mod store_contract;
