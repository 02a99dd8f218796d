//! What one may ask.

mod viewer;

use async_graphql::MergedObject;

/// What one may ask. Every field that is served by a read model takes `atLeast`: the position of
/// a mutation that it is to see.
#[derive(MergedObject, Default)]
pub struct Query(viewer::ViewerQuery);
