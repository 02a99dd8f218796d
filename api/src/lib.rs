//! Hakken.

pub mod graphiql;
