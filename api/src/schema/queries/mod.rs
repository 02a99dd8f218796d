//! What one may ask.

mod audit;
mod availability;
mod catalogue;
mod engine;
mod federation;
mod node;
mod sales;
mod viewer;

use async_graphql::MergedObject;

pub(crate) use availability::legs_argument;
pub(crate) use federation::ENTITIES;
pub(crate) use node::Named;

/// What one may ask. Every field that is served by a read model takes `atLeast`: the position of
/// a mutation that it is to see. It then waits up to 5 seconds, and else says NOT_YET_VISIBLE.
#[derive(MergedObject, Default)]
pub struct Query(
    viewer::ViewerQuery,
    node::NodeQuery,
    catalogue::CatalogueQuery,
    availability::AvailabilityQuery,
    sales::SalesQuery,
    audit::AuditQuery,
    engine::EngineQuery,
    federation::FederationQuery,
);
