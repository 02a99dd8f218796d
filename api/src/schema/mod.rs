//! The schema: what one may ask, and who may ask it.

pub(crate) mod context;
mod load;
mod mutations;
mod queries;
mod scalars;
mod subscriptions;
mod types;
mod visible;

use std::sync::Arc;

use async_graphql::{EmptySubscription, SDLExportOptions, ValidationMode};

pub use mutations::Mutation;
pub use queries::Query;

use crate::{metrics::Metrics, ports::ApiContext};

/// The schema with everything behind it.
pub(crate) type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// The schema over the parts of the API.
pub(crate) fn schema(api: ApiContext, metrics: Arc<Metrics>) -> Schema {
    async_graphql::Schema::build(Query::default(), Mutation::default(), EmptySubscription)
        .data(api)
        .data(metrics)
        .validation_mode(ValidationMode::Strict)
        .finish()
}

/// The schema in the schema definition language, as `api/schema.graphql` has it.
pub fn sdl() -> String {
    let schema =
        async_graphql::Schema::build(Query::default(), Mutation::default(), EmptySubscription)
            .finish();
    let options = SDLExportOptions::new().sorted_enum_items().include_specified_by();
    schema.sdl_with_options(options)
}
