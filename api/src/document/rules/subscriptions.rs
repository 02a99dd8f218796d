//! A subscription follows one thing: exactly one field stands at its root.

use std::collections::HashSet;

use async_graphql::parser::types::OperationType;

use super::Scope;
use crate::document::{
    ast::{Field, Selection, Set},
    work::{Checked, Work},
};

pub(super) fn check(scope: Scope<'_>, work: &mut Work) -> Checked {
    for operation in &scope.ast.operations {
        if operation.kind != OperationType::Subscription {
            continue;
        }
        let (mut fields, mut seen) = (Vec::new(), HashSet::new());
        roots(scope, &operation.set, &mut fields, &mut seen, work)?;
        let first = fields.first().map(|first| first.key().text);
        for field in &fields {
            if Some(field.key().text) != first {
                let message = "A subscription has one field at its root.".to_owned();
                work.wrong(&[field.name.at], message)?;
            }
            if field.name.text.starts_with("__") {
                let message = "A subscription cannot follow the schema.".to_owned();
                work.wrong(&[field.name.at], message)?;
            }
        }
    }
    Ok(())
}

fn roots<'a>(
    scope: Scope<'a>,
    set: &'a Set<'a>,
    fields: &mut Vec<&'a Field<'a>>,
    seen: &mut HashSet<usize>,
    work: &mut Work,
) -> Checked {
    work.step(set.items.len())?;
    for item in &set.items {
        match item {
            Selection::Field(field) => fields.push(field),
            Selection::Inline(inline) => roots(scope, &inline.set, fields, seen, work)?,
            Selection::Spread(spread) => {
                if let Some(at) = scope.graph.fragment(spread.name.text)
                    && seen.insert(at)
                {
                    roots(scope, &scope.ast.fragments[at].set, fields, seen, work)?;
                }
            }
        }
    }
    Ok(())
}
