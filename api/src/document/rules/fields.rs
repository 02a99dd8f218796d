//! Fields, arguments, directives and fragments, each by itself; collects where variables stand.

use std::collections::HashSet;

use async_graphql::parser::types::{DirectiveLocation, OperationType};

use super::{
    Scope,
    values::{self, Use, Want},
};
use crate::document::{
    ast::{Argument, At, Directive, Field, Selection, Set, Word},
    types::{Input, OutField, TypeId},
    work::{Checked, Work},
};

/// Where variables stand.
pub(super) struct Uses<'a> {
    pub(super) operations: Vec<Vec<Use<'a>>>,
    pub(super) fragments: Vec<Vec<Use<'a>>>,
}

struct Walk<'a, 'w> {
    scope: Scope<'a>,
    work: &'w mut Work,
    uses: Vec<Use<'a>>,
}

pub(super) fn check<'a>(scope: Scope<'a>, work: &mut Work) -> Checked<Uses<'a>> {
    let mut walk = Walk { scope, work, uses: Vec::new() };
    let mut uses = Uses { operations: Vec::new(), fragments: Vec::new() };
    for operation in &scope.ast.operations {
        let root = scope.types.root(operation.kind);
        let place = match operation.kind {
            OperationType::Query => DirectiveLocation::Query,
            OperationType::Mutation => DirectiveLocation::Mutation,
            OperationType::Subscription => DirectiveLocation::Subscription,
        };
        walk.directives(&operation.directives, place)?;
        walk.set(&operation.set, root)?;
        uses.operations.push(std::mem::take(&mut walk.uses));
        // What stands at the definition of a variable is constant: no variable is used there.
        for variable in &operation.variables {
            walk.directives(&variable.directives, DirectiveLocation::VariableDefinition)?;
        }
        walk.uses.clear();
    }
    for fragment in &scope.ast.fragments {
        let on = walk.condition(fragment.on)?;
        walk.directives(&fragment.directives, DirectiveLocation::FragmentDefinition)?;
        walk.set(&fragment.set, on)?;
        uses.fragments.push(std::mem::take(&mut walk.uses));
    }
    Ok(uses)
}

impl<'a> Walk<'a, '_> {
    /// The type that a fragment is on; none if it cannot be on it.
    fn condition(&mut self, on: Word<'a>) -> Checked<Option<TypeId>> {
        let types = self.scope.types;
        match types.find(on.text) {
            None => {
                self.work.wrong(&[on.at], format!("There is no type {:?}.", on.text))?;
                Ok(None)
            }
            Some(id) if !types.is_composite(id) => {
                let message = format!("A fragment cannot be on {:?}: it has no fields.", on.text);
                self.work.wrong(&[on.at], message)?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    fn set(&mut self, set: &'a Set<'a>, parent: Option<TypeId>) -> Checked {
        self.work.step(set.items.len())?;
        for item in &set.items {
            match item {
                Selection::Field(field) => self.field(field, parent)?,
                Selection::Spread(spread) => {
                    self.directives(&spread.directives, DirectiveLocation::FragmentSpread)?;
                    let fragment = self.scope.graph.fragment(spread.name.text);
                    let on = fragment.map(|at| self.scope.ast.fragments[at].on.text);
                    let on = on.and_then(|on| self.scope.types.find(on));
                    self.overlaps(spread.at, parent, on)?;
                }
                Selection::Inline(inline) => {
                    let on = match inline.on {
                        Some(on) => {
                            let on = self.condition(on)?;
                            self.overlaps(inline.at, parent, on)?;
                            on
                        }
                        None => parent,
                    };
                    self.directives(&inline.directives, DirectiveLocation::InlineFragment)?;
                    self.set(&inline.set, on)?;
                }
            }
        }
        Ok(())
    }

    /// A fragment must stand where what it is on can be.
    fn overlaps(&mut self, at: At, parent: Option<TypeId>, on: Option<TypeId>) -> Checked {
        let types = self.scope.types;
        let (Some(parent), Some(on)) = (parent, on) else { return Ok(()) };
        self.work.step(2)?;
        if !types.is_composite(on) || types.overlap(parent, on) {
            return Ok(());
        }
        let message = format!(
            "The fragment cannot stand here: what is {:?} can never be {:?}.",
            types.name(parent),
            types.name(on)
        );
        self.work.wrong(&[at], message)
    }

    fn field(&mut self, field: &'a Field<'a>, parent: Option<TypeId>) -> Checked {
        let types = self.scope.types;
        let known = parent.and_then(|parent| types.field(parent, field.name.text));
        if let (Some(parent), None) = (parent, known) {
            let (name, parent) = (field.name.text, types.name(parent));
            let message = format!("The type {parent:?} has no field {name:?}.");
            self.work.wrong(&[field.name.at], message)?;
        }
        let arguments = known.map(|known: &OutField| known.arguments.as_slice());
        let named = format_args!("The field {:?}", field.name.text).to_string();
        self.arguments(field.name.at, &named, &field.arguments, arguments)?;
        self.directives(&field.directives, DirectiveLocation::Field)?;
        let of = known.map(|known| known.of.named());
        let composite = of.filter(|of| types.is_composite(*of));
        match (&field.set, known, composite) {
            (Some(set), Some(known), None) => {
                let of = types.shown(&known.of);
                let message = format!("{named} has no fields of its own: it is {of:?}.");
                self.work.wrong(&[set.at], message)?;
            }
            (None, Some(known), Some(_)) => {
                let of = types.shown(&known.of);
                let message = format!("{named} is {of:?}: say which of its fields are wanted.");
                self.work.wrong(&[field.name.at], message)?;
            }
            _ => {}
        }
        match &field.set {
            Some(set) => self.set(set, composite),
            None => Ok(()),
        }
    }

    fn directives(&mut self, directives: &'a [Directive<'a>], place: DirectiveLocation) -> Checked {
        let mut seen = HashSet::new();
        for directive in directives {
            let name = directive.name.text;
            let known = self.scope.types.directives.get(name);
            match known {
                None => {
                    let message = format!("There is no directive \"@{name}\".");
                    self.work.wrong(&[directive.at], message)?;
                }
                Some(known) => {
                    if !known.places.contains(&place) {
                        let message = format!("The directive \"@{name}\" cannot stand here.");
                        self.work.wrong(&[directive.at], message)?;
                    }
                    // No directive that a document can use may be repeated.
                    if !seen.insert(name) {
                        let message =
                            format!("The directive \"@{name}\" can stand here only once.");
                        self.work.wrong(&[directive.at], message)?;
                    }
                }
            }
            let named = format_args!("The directive \"@{name}\"").to_string();
            let known = known.map(|known| known.arguments.as_slice());
            self.arguments(directive.at, &named, &directive.arguments, known)?;
        }
        Ok(())
    }

    /// `known` is none where nobody knows what is given.
    fn arguments(
        &mut self,
        at: At,
        named: &str,
        given: &'a [Argument<'a>],
        known: Option<&'a [Input]>,
    ) -> Checked {
        self.work.step(1 + given.len() + known.map_or(0, <[_]>::len))?;
        let mut seen = HashSet::new();
        for argument in given {
            let name = argument.name;
            if !seen.insert(name.text) {
                let message = format!("{named} has two arguments {:?}.", name.text);
                self.work.wrong(&[name.at], message)?;
            }
            let takes = known.and_then(|known| known.iter().find(|input| input.name == name.text));
            if known.is_some() && takes.is_none() {
                let message = format!("{named} has no argument {:?}.", name.text);
                self.work.wrong(&[name.at], message)?;
            }
            let want = takes.map(Want::of);
            values::check(self.scope.types, &argument.value, want, self.work, &mut self.uses)?;
        }
        for missing in known.unwrap_or_default() {
            if missing.is_required() && !seen.contains(missing.name.as_str()) {
                let of = self.scope.types.shown(&missing.of);
                let name = &missing.name;
                let message = format!("{named} needs the argument {name:?}, which is {of:?}.");
                self.work.wrong(&[at], message)?;
            }
        }
        Ok(())
    }
}
