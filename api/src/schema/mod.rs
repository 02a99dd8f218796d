//! The schema: what one may ask, and who may ask it.

pub(crate) mod batch;
pub(crate) mod connection;
pub(crate) mod context;
mod feed;
mod load;
mod mutations;
mod queries;
mod scalars;
mod subscriptions;
mod types;
pub(crate) mod visible;

use std::sync::Arc;

use async_graphql::{SDLExportOptions, ValidationMode};

pub(crate) use feed::FeedPlace;
pub use mutations::Mutation;
pub use queries::Query;
pub use subscriptions::Subscription;

use crate::{metrics::Metrics, ports::ApiContext};

/// The schema with everything behind it.
pub(crate) type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// The schema over the parts of the API.
pub(crate) fn schema(api: ApiContext, metrics: Arc<Metrics>, mode: ValidationMode) -> Schema {
    async_graphql::Schema::build(Query::default(), Mutation::default(), Subscription)
        .data(api)
        .data(metrics)
        .validation_mode(mode)
        .finish()
}

/// The schema in the schema definition language, as `api/schema.graphql` has it.
pub fn sdl() -> String {
    let schema =
        async_graphql::Schema::build(Query::default(), Mutation::default(), Subscription).finish();
    let options = SDLExportOptions::new().sorted_enum_items().include_specified_by();
    schema.sdl_with_options(options)
}

#[cfg(test)]
mod tests;
