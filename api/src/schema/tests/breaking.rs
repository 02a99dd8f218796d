//! What would break a client of the released schema, `api/schema.released.graphql`. A release
//! copies `api/schema.graphql` there; a change that breaks somebody is announced first, as
//! `docs/schema.md` says.

use async_graphql::parser::Positioned;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind,
};

use super::{
    committed, sdl,
    style::{fields, inputs, types},
};

/// What an answer of this type may become without breaking who reads it.
fn reads(old: &Type, new: &Type) -> bool {
    if new.nullable && !old.nullable {
        return false;
    }
    match (&old.base, &new.base) {
        (BaseType::Named(old), BaseType::Named(new)) => old == new,
        (BaseType::List(old), BaseType::List(new)) => reads(old, new),
        _ => false,
    }
}

/// What an input of this type may become without breaking who writes it.
fn writes(old: &Type, new: &Type) -> bool {
    if old.nullable && !new.nullable {
        return false;
    }
    match (&old.base, &new.base) {
        (BaseType::Named(old), BaseType::Named(new)) => old == new,
        (BaseType::List(old), BaseType::List(new)) => writes(old, new),
        _ => false,
    }
}

struct Comparison(Vec<String>);

impl Comparison {
    fn inputs(
        &mut self,
        place: &str,
        old: &[Positioned<InputValueDefinition>],
        new: &[Positioned<InputValueDefinition>],
    ) {
        let find = |list: &'_ [Positioned<InputValueDefinition>], name: &str| {
            list.iter().position(|each| each.node.name.node == name)
        };
        for before in old.iter().map(|each| &each.node) {
            let name = before.name.node.as_str();
            let Some(after) = find(new, name).map(|at| &new[at].node) else {
                self.0.push(format!("{place}({name}) is gone"));
                continue;
            };
            if !writes(&before.ty.node, &after.ty.node) {
                let (before, after) = (&before.ty.node, &after.ty.node);
                self.0.push(format!("{place}({name}) was {before} and is {after}"));
            }
            let default = |input: &InputValueDefinition| {
                input.default_value.as_ref().map(|value| value.node.to_string())
            };
            if default(before) != default(after) {
                self.0.push(format!("{place}({name}) has another default"));
            }
        }
        for after in new.iter().map(|each| &each.node) {
            let name = after.name.node.as_str();
            let needed = !after.ty.node.nullable && after.default_value.is_none();
            if needed && find(old, name).is_none() {
                self.0.push(format!("{place}({name}) is new and required"));
            }
        }
    }

    fn fields(&mut self, name: &str, old: &TypeDefinition, new: &TypeDefinition) {
        let find = |name: &str| -> Option<&FieldDefinition> {
            fields(new).iter().map(|each| &each.node).find(|each| each.name.node == name)
        };
        for before in fields(old).iter().map(|each| &each.node) {
            let place = format!("{name}.{}", before.name.node);
            let Some(after) = find(&before.name.node) else {
                self.0.push(format!("{place} is gone"));
                continue;
            };
            if !reads(&before.ty.node, &after.ty.node) {
                self.0.push(format!("{place} was {} and is {}", before.ty.node, after.ty.node));
            }
            self.inputs(&place, &before.arguments, &after.arguments);
        }
    }

    fn definition(&mut self, name: &str, old: &TypeDefinition, new: &TypeDefinition) {
        if std::mem::discriminant(&old.kind) != std::mem::discriminant(&new.kind) {
            self.0.push(format!("{name} is another kind of type"));
            return;
        }
        self.fields(name, old, new);
        self.inputs(name, inputs(old), inputs(new));
        for member in members(old) {
            if !members(new).contains(&member) {
                self.0.push(format!("{name} has no {member} any more"));
            }
        }
    }
}

/// Values of an enumeration, members of a union, interfaces of an object.
fn members(of: &TypeDefinition) -> Vec<String> {
    match &of.kind {
        TypeKind::Enum(of) => of.values.iter().map(|each| each.node.value.to_string()).collect(),
        TypeKind::Union(of) => of.members.iter().map(|each| each.node.to_string()).collect(),
        TypeKind::Object(of) => of.implements.iter().map(|each| each.node.to_string()).collect(),
        _ => Vec::new(),
    }
}

/// Every change from one schema to another that breaks a client.
fn breaking(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (types(old), types(new));
    let mut comparison = Comparison(Vec::new());
    for (name, before) in &old {
        match new.get(name) {
            Some(after) => comparison.definition(name, before, after),
            None => comparison.0.push(format!("{name} is gone")),
        }
    }
    comparison.0.sort();
    comparison.0
}

#[test]
fn nothing_breaks_the_clients_of_the_released_schema() {
    let (_, released) = committed("schema.released.graphql");
    assert!(types(&released).len() > 100, "api/schema.released.graphql is missing");
    assert_eq!(breaking(&released, &sdl()), Vec::<String>::new(), "see docs/schema.md");
}

const OLD: &str = "
    interface Node { id: ID! }
    type Query { a(x: Int, y: Int = 1, z: [Int!]): A b: Int! c: [Int!]! gone: Int moved: Int }
    type A implements Node { id: ID! }
    type Gone { id: ID! }
    union U = A | Gone
    enum E { X Y }
    input I { a: Int! b: Int c: Int }
    scalar S";

#[test]
fn every_change_that_breaks_somebody_is_named() {
    let new = "
        interface Node { id: ID! }
        type Query { a(x: Int!, y: Int = 2, w: Int!): A b: Int c: [Int]! moved: String }
        type A { id: ID! }
        union U = A
        enum E { X }
        input I { a: Int! b: Int! d: Int! e: Int! = 3 f: Int }
        enum S { X }";
    let expected = [
        "A has no Node any more",
        "E has no Y any more",
        "Gone is gone",
        "I(b) was Int and is Int!",
        "I(c) is gone",
        "I(d) is new and required",
        "Query.a(w) is new and required",
        "Query.a(x) was Int and is Int!",
        "Query.a(y) has another default",
        "Query.a(z) is gone",
        "Query.b was Int! and is Int",
        "Query.c was [Int!]! and is [Int]!",
        "Query.gone is gone",
        "Query.moved was Int and is String",
        "S is another kind of type",
        "U has no Gone any more",
    ];
    assert_eq!(breaking(OLD, new), expected);
}

#[test]
fn what_is_only_added_breaks_nobody() {
    let new = "
        interface Node { id: ID! }
        interface Other { other: Int }
        type Query {
            a(x: Int, y: Int = 1, z: [Int], w: Int, v: Int! = 3): A! b: Int! c: [Int!]! gone: Int!
            moved: Int more: Int
        }
        type A implements Node & Other { id: ID! other: Int }
        type Gone { id: ID! }
        type More { id: ID! }
        union U = A | Gone | More
        enum E { X Y Z }
        input I { a: Int b: Int c: Int d: Int! = 1 }
        scalar S";
    assert_eq!(breaking(OLD, new), Vec::<String>::new());
}
