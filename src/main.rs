//! Hakken.
fn main() {}
