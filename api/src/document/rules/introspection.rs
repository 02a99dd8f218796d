//! Questions about the schema whose answers would multiply: lists of fields within lists of fields.

use super::Scope;
use crate::document::{
    ast::{Field, Selection, Set},
    work::{Checked, Work},
};

/// Most lists of the schema inside each other, less one.
const MAX_LISTS: usize = 3;
const LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];

struct Search<'a, 'w> {
    scope: Scope<'a>,
    work: &'w mut Work,
    /// How many lists are inside each other in each fragment, at most.
    known: Vec<Option<usize>>,
}

pub(super) fn check(scope: Scope<'_>, work: &mut Work) -> Checked {
    let known = vec![None; scope.ast.fragments.len()];
    let mut search = Search { scope, work, known };
    for operation in &scope.ast.operations {
        search.find(&operation.set)?;
    }
    for fragment in &scope.ast.fragments {
        search.find(&fragment.set)?;
    }
    Ok(())
}

impl<'a> Search<'a, '_> {
    /// Finds the fields that begin a question about the schema.
    fn find(&mut self, set: &'a Set<'a>) -> Checked {
        self.work.step(set.items.len())?;
        for item in &set.items {
            match item {
                Selection::Field(field) if ["__schema", "__type"].contains(&field.name.text) => {
                    if self.field(field)? >= MAX_LISTS {
                        let message = "The question about the schema is too deep: its answer \
                                       would be too large."
                            .to_owned();
                        self.work.wrong(&[field.name.at], message)?;
                    }
                }
                Selection::Field(field) => {
                    if let Some(set) = &field.set {
                        self.find(set)?;
                    }
                }
                Selection::Inline(inline) => self.find(&inline.set)?,
                Selection::Spread(_) => {}
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'a Field<'a>) -> Checked<usize> {
        let below = match &field.set {
            Some(set) => self.set(set)?,
            None => 0,
        };
        Ok(below + usize::from(LISTS.contains(&field.name.text)))
    }

    fn set(&mut self, set: &'a Set<'a>) -> Checked<usize> {
        self.work.step(set.items.len())?;
        let mut deepest = 0;
        for item in &set.items {
            let depth = match item {
                Selection::Field(field) => self.field(field)?,
                Selection::Inline(inline) => self.set(&inline.set)?,
                Selection::Spread(spread) => match self.scope.graph.fragment(spread.name.text) {
                    Some(at) => match self.known[at] {
                        Some(depth) => depth,
                        None => {
                            let depth = self.set(&self.scope.ast.fragments[at].set)?;
                            self.known[at] = Some(depth);
                            depth
                        }
                    },
                    None => 0,
                },
            };
            deepest = deepest.max(depth);
        }
        Ok(deepest)
    }
}
