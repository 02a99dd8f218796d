//! The rules of section 5 of the specification, as the reference implementation has them.

mod fields;
mod introspection;
mod overlap;
mod subscriptions;
mod values;
mod variables;

use super::{
    ast::Ast,
    graph::Graph,
    types::Types,
    work::{Checked, Work},
};

/// A document and the schema that it is checked against.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) types: &'a Types,
    pub(super) ast: &'a Ast<'a>,
    pub(super) graph: &'a Graph<'a>,
}

/// Checks every rule. What is compared with each other must be right by itself first.
pub(super) fn check(scope: Scope<'_>, work: &mut Work) -> Checked {
    scope.graph.check_unused(scope.ast, work)?;
    let uses = fields::check(scope, work)?;
    variables::check(scope, &uses, work)?;
    subscriptions::check(scope, work)?;
    introspection::check(scope, work)?;
    if work.found.is_empty() { overlap::check(scope, work) } else { Ok(()) }
}
