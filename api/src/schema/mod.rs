//! The schema: what one may ask, and who may ask it.

pub(crate) mod batch;
pub(crate) mod connection;
pub(crate) mod context;
mod feed;
mod load;
mod mutations;
pub(crate) mod pace;
mod queries;
mod scalars;
mod subscriptions;
mod types;
pub(crate) mod visible;

use std::sync::{Arc, LazyLock};

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

/// What a subgraph's schema begins with.
const LINK: &str = "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.5\", import: [\"@key\"])\n\n";

/// The schema as a subgraph of Apollo Federation 2: entities have their keys.
pub fn subgraph_sdl() -> String {
    let mut subgraph = LINK.to_owned();
    for line in sdl().lines() {
        let entity = line.strip_prefix("type ").and_then(|rest| rest.split(' ').next());
        match line.strip_suffix(" {") {
            Some(head) if entity.is_some_and(|name| queries::ENTITIES.contains(&name)) => {
                subgraph.push_str(head);
                subgraph.push_str(" @key(fields: \"id\") {");
            }
            _ => subgraph.push_str(line),
        }
        subgraph.push('\n');
    }
    subgraph
}

/// The same, made once.
pub(crate) fn subgraph() -> &'static str {
    static SUBGRAPH: LazyLock<String> = LazyLock::new(subgraph_sdl);
    &SUBGRAPH
}

#[cfg(test)]
mod tests;
