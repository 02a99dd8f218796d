//! Hakken.
