//! Every command as a mutation.

mod admin;
mod catalogue;
pub(crate) mod command;
mod inventory;
mod orders;
mod projections;
mod sales;
mod skips;
mod tickets;

use async_graphql::MergedObject;

pub use tickets::{Channel, Direction, ScanRefusal};

/// What changes something. Every mutation takes one `input` with an `idempotencyKey`: sending the
/// same request again gives the same answer, for ever. Refusals stand in `userErrors`.
#[derive(MergedObject, Default)]
pub struct Mutation(
    admin::AdminMutation,
    catalogue::CatalogueMutation,
    inventory::InventoryMutation,
    sales::SalesMutation,
    orders::OrdersMutation,
    tickets::TicketsMutation,
    projections::ProjectionsMutation,
    skips::SkipsMutation,
);
