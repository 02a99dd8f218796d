//! The read side of Hakken.

pub mod feed;
