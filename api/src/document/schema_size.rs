//! How many values a question about the schema brings. Its lists multiply: the fields of all types,
//! with the fields of the type of each. So they are counted over the schema itself, each selection
//! once for each type that it is asked of.

use std::collections::HashMap;

use super::{
    ast::{Field, Is, Selection, Set},
    rules::Scope,
    types::{Base, DirectiveDef, Input, Kind, Of, OutField, TypeId},
    work::{Checked, Work},
};

/// Something of the schema that can be asked about.
#[derive(Clone, Copy)]
enum Thing<'a> {
    Schema,
    Type(TypeId),
    /// A list, or what is not null; the latter's inner type if it is `bare`.
    Wrapped {
        of: &'a Of,
        bare: bool,
    },
    Field(&'a OutField),
    Input(&'a Input),
    EnumValue,
    Directive(&'a DirectiveDef),
}

impl<'a> Thing<'a> {
    fn of(of: &'a Of) -> Self {
        match &of.base {
            Base::Named(id) if of.nullable => Self::Type(*id),
            _ => Self::Wrapped { of, bare: of.nullable },
        }
    }
}

struct Count<'a, 'w> {
    scope: Scope<'a>,
    work: &'w mut Work,
    /// Of each selection set, by where it stands, and type.
    known: HashMap<(*const Set<'a>, TypeId), u64>,
}

/// The values that the answer of a field `__schema` or `__type` can have.
pub(super) fn values<'a>(scope: Scope<'a>, field: &'a Field<'a>, work: &mut Work) -> Checked<u64> {
    let Some(set) = &field.set else { return Ok(1) };
    let mut count = Count { scope, work, known: HashMap::new() };
    if field.name.text == "__schema" {
        return count.set(set, Thing::Schema);
    }
    let named = field.arguments.iter().find(|argument| argument.name.text == "name");
    match named.map(|named| &named.value.is) {
        Some(Is::String(name)) => match scope.types.find(name) {
            Some(id) => count.set(set, Thing::Type(id)),
            None => Ok(1),
        },
        // Nobody knows yet which type it will be: the one that has most.
        _ => {
            let mut most = 1;
            for id in scope.types.all() {
                most = count.set(set, Thing::Type(id))?.max(most);
            }
            Ok(most)
        }
    }
}

impl<'a> Count<'a, '_> {
    fn set(&mut self, set: &'a Set<'a>, of: Thing<'a>) -> Checked<u64> {
        let place = match of {
            Thing::Type(id) => Some((std::ptr::from_ref(set), id)),
            _ => None,
        };
        if let Some(known) = place.and_then(|place| self.known.get(&place)) {
            return Ok(*known);
        }
        self.work.step(set.items.len())?;
        let mut sum: u64 = 0;
        for item in &set.items {
            let found = match item {
                Selection::Field(field) => self.field(field, of)?,
                Selection::Inline(inline) => self.set(&inline.set, of)?,
                Selection::Spread(spread) => match self.scope.graph.fragment(spread.name.text) {
                    Some(at) => self.set(&self.scope.ast.fragments[at].set, of)?,
                    None => 0,
                },
            };
            sum = sum.saturating_add(found);
        }
        if let Some(place) = place {
            self.known.insert(place, sum);
        }
        Ok(sum)
    }

    fn field(&mut self, field: &'a Field<'a>, of: Thing<'a>) -> Checked<u64> {
        let Some(set) = &field.set else {
            let places = match (of, field.name.text) {
                (Thing::Directive(directive), "locations") => directive.places.len() as u64,
                _ => 0,
            };
            return Ok(1 + places);
        };
        let within = self.within(of, field.name.text);
        self.work.step(within.len())?;
        let mut sum: u64 = 1;
        for thing in within {
            sum = sum.saturating_add(1).saturating_add(self.set(set, thing)?);
        }
        Ok(sum)
    }

    /// What a field leads to.
    fn within(&self, of: Thing<'a>, field: &str) -> Vec<Thing<'a>> {
        let types = self.scope.types;
        let inputs =
            |inputs: &'a [Input]| -> Vec<Thing<'a>> { inputs.iter().map(Thing::Input).collect() };
        match (of, field) {
            (Thing::Schema, "types") => types.all().map(Thing::Type).collect(),
            (Thing::Schema, "directives") => {
                types.directives.values().map(Thing::Directive).collect()
            }
            (Thing::Schema, root) => {
                let root = ["queryType", "mutationType", "subscriptionType"]
                    .iter()
                    .position(|name| *name == root)
                    .and_then(|at| types.root_at(at));
                root.map(Thing::Type).into_iter().collect()
            }
            (Thing::Type(id), field) => match (types.kind(id), field) {
                (Kind::Object(fields) | Kind::Interface(fields), "fields") => {
                    fields.values().map(Thing::Field).collect()
                }
                (Kind::Input(input), "inputFields") => inputs(&input.fields),
                (Kind::Enum(values), "enumValues") => {
                    values.iter().map(|_| Thing::EnumValue).collect()
                }
                (Kind::Object(_), "interfaces") => {
                    types.all().filter(|it| types.is_kind_of(id, *it)).map(Thing::Type).collect()
                }
                (Kind::Interface(_) | Kind::Union, "possibleTypes") => {
                    types.all().filter(|it| types.is_kind_of(*it, id)).map(Thing::Type).collect()
                }
                _ => Vec::new(),
            },
            (Thing::Wrapped { of, bare }, "ofType") => vec![match &of.base {
                Base::Named(id) => Thing::Type(*id),
                Base::List(_) if !bare => Thing::Wrapped { of, bare: true },
                Base::List(inner) => Thing::of(inner),
            }],
            (Thing::Field(field), "args") => inputs(&field.arguments),
            (Thing::Directive(directive), "args") => inputs(&directive.arguments),
            (Thing::Field(field), "type") => vec![Thing::of(&field.of)],
            (Thing::Input(input), "type") => vec![Thing::of(&input.of)],
            _ => Vec::new(),
        }
    }
}
