//! Hakken.

pub mod rows;
