//! One style: names, descriptions, examples, connections, mutations, and what may be null.

use std::collections::HashMap;

use async_graphql::{
    Value,
    parser::{
        Positioned, parse_schema,
        types::{
            BaseType, ConstDirective, FieldDefinition, InputValueDefinition, Type, TypeDefinition,
            TypeKind, TypeSystemDefinition,
        },
    },
};

use super::sdl;

/// Has a global id, and is found by its position and not by `node`: the log has no index of ids.
const NOT_A_NODE: &str = "Event";

pub(super) type Types = HashMap<String, TypeDefinition>;

pub(super) fn types(sdl: &str) -> Types {
    let document = parse_schema(sdl).expect("a schema");
    let types = document.definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) => {
            Some((definition.node.name.node.to_string(), definition.node))
        }
        _ => None,
    });
    types.collect()
}

pub(super) fn fields(of: &TypeDefinition) -> &[Positioned<FieldDefinition>] {
    match &of.kind {
        TypeKind::Object(object) => &object.fields,
        TypeKind::Interface(interface) => &interface.fields,
        _ => &[],
    }
}

pub(super) fn inputs(of: &TypeDefinition) -> &[Positioned<InputValueDefinition>] {
    match &of.kind {
        TypeKind::InputObject(input) => &input.fields,
        _ => &[],
    }
}

/// The name of the type within lists.
pub(super) fn named(of: &Type) -> &str {
    match &of.base {
        BaseType::Named(name) => name,
        BaseType::List(of) => named(of),
    }
}

/// A type with its places, and what is wrong there.
struct Lint<'a> {
    types: &'a Types,
    wrong: Vec<String>,
}

impl Lint<'_> {
    fn says(&mut self, place: &str, what: &str) {
        self.wrong.push(format!("{place}: {what}"));
    }

    fn needs(&mut self, holds: bool, place: &str, what: &str) {
        if !holds {
            self.says(place, what);
        }
    }

    fn described(&mut self, place: &str, words: Option<&Positioned<String>>) {
        let has = words.is_some_and(|words| words.node.trim().len() >= 4);
        self.needs(has, place, "is not described");
    }

    /// What is not needed any more says what to use instead.
    fn deprecations(&mut self, place: &str, directives: &[Positioned<ConstDirective>]) {
        for directive in directives.iter().filter(|each| each.node.name.node == "deprecated") {
            let reason = directive.node.get_argument("reason").map(|reason| &reason.node);
            let says = matches!(reason, Some(Value::String(text)) if text.contains('`'));
            self.needs(says, place, "is deprecated without a word on what to use instead");
        }
    }

    fn field(&mut self, of: &str, field: &FieldDefinition) {
        let name = field.name.node.as_str();
        let place = format!("{of}.{name}");
        self.described(&place, field.description.as_ref());
        self.shown(&place, field.description.as_ref(), &field.ty.node);
        self.needs(is_camel(name), &place, "is no name of a field");
        self.deprecations(&place, &field.directives);
        for argument in &field.arguments {
            self.input(&place, &argument.node);
        }
        let of_many = matches!(&field.ty.node.base, BaseType::List(of) if of.nullable);
        let by_ids = ["Query.nodes", "Query._entities"].contains(&place.as_str());
        self.needs(!of_many || by_ids, &place, "has elements that may be null");
        let is_edge = of.ends_with("Edge");
        let linked = self.types.get(named(&field.ty.node)).is_some_and(is_node);
        let fails = linked && !is_edge && !field.ty.node.nullable;
        self.needs(!fails, &place, "is read elsewhere, which may fail: let it be null");
        if name.ends_with("Id") || name == "id" {
            self.needs(named(&field.ty.node) == "ID", &place, "is no ID");
        }
        if named(&field.ty.node).ends_with("Connection") {
            self.list(&place, field);
        }
    }

    fn input(&mut self, of: &str, input: &InputValueDefinition) {
        let name = input.name.node.as_str();
        let place = format!("{of}({name})");
        self.described(&place, input.description.as_ref());
        self.needs(is_camel(name), &place, "is no name of an argument");
        self.deprecations(&place, &input.directives);
        self.shown(&place, input.description.as_ref(), &input.ty.node);
    }

    /// A text says by an example what it looks like; other scalars do so themselves.
    fn shown(&mut self, place: &str, words: Option<&Positioned<String>>, of: &Type) {
        let is_text = ["String", "ID", "Currency"].contains(&named(of));
        let shown = words.is_some_and(|words| words.node.contains('`'));
        self.needs(shown || !is_text, place, "is a text without an example");
    }

    /// What a field that gives pages takes.
    fn list(&mut self, place: &str, field: &FieldDefinition) {
        self.needs(field.ty.node.nullable, place, "is a page that takes its parent along");
        for (name, of) in
            [("first", "Int"), ("after", "String"), ("last", "Int"), ("before", "String")]
        {
            let taken = field.arguments.iter().any(|argument| {
                argument.node.name.node == name && argument.node.ty.node.to_string() == of
            });
            self.needs(taken, place, &format!("gives pages and takes no `{name}: {of}`"));
        }
    }

    fn connection(&mut self, name: &str, definition: &TypeDefinition) {
        if let Some(of) = name.strip_suffix("Connection") {
            let wanted = [("edges", format!("[{of}Edge!]!")), ("pageInfo", "PageInfo!".into())];
            self.shape(name, definition, &wanted);
        }
        if name.ends_with("Edge") {
            let node = fields(definition).iter().find(|field| field.node.name.node == "node");
            let of = node.map_or_else(String::new, |node| node.node.ty.node.to_string());
            self.needs(of.ends_with('!'), name, "has no node, or one that may be null");
            self.shape(name, definition, &[("cursor", "String!".into()), ("node", of)]);
        }
    }

    fn shape(&mut self, name: &str, definition: &TypeDefinition, wanted: &[(&str, String)]) {
        let found: Vec<(&str, String)> = fields(definition)
            .iter()
            .map(|field| (field.node.name.node.as_str(), field.node.ty.node.to_string()))
            .collect();
        self.needs(found == wanted, name, &format!("has {found:?}, not {wanted:?}"));
    }

    fn mutation(&mut self, field: &FieldDefinition) {
        let name = field.name.node.as_str();
        let place = format!("Mutation.{name}");
        let (first, rest) = name.split_at(1);
        let pascal = format!("{}{rest}", first.to_uppercase());
        let arguments: Vec<String> = field
            .arguments
            .iter()
            .map(|argument| format!("{}: {}", argument.node.name.node, argument.node.ty.node))
            .collect();
        let wanted = format!("input: {pascal}Input!");
        self.needs(arguments == [wanted.clone()], &place, &format!("does not take `{wanted}`"));
        let payload = format!("{pascal}Payload");
        let answers = field.ty.node.to_string() == payload;
        self.needs(answers, &place, &format!("does not answer `{payload}`"));
        let (Some(input), Some(payload)) =
            (self.types.get(&format!("{pascal}Input")), self.types.get(&payload))
        else {
            return;
        };
        let has = |name: &str, of: &str| {
            fields(payload)
                .iter()
                .any(|field| field.node.name.node == name && field.node.ty.node.to_string() == of)
        };
        let errors = has("userErrors", "[UserError!]!");
        self.needs(errors, &place, "has no `userErrors: [UserError!]!`");
        let records = inputs(input).iter().any(|field| field.node.name.node == "idempotencyKey");
        let stamped = has("position", "Position") && has("repeated", "Boolean!");
        self.needs(stamped == records, &place, "an idempotency key goes with its stamp");
        for field in fields(payload) {
            let name = field.node.name.node.as_str();
            let given = ["userErrors", "repeated"].contains(&name);
            let place = format!("{place}.{name}");
            self.needs(given || field.node.ty.node.nullable, &place, "is there when refused, too");
        }
    }

    fn definition(&mut self, name: &str, definition: &TypeDefinition) {
        self.described(name, definition.description.as_ref());
        self.needs(is_pascal(name), name, "is no name of a type");
        for field in fields(definition) {
            self.field(name, &field.node);
        }
        for input in inputs(definition) {
            self.input(name, &input.node);
        }
        self.connection(name, definition);
        let has_id = fields(definition).iter().any(|field| field.node.name.node == "id");
        self.needs(!has_id || is_node(definition) || name == NOT_A_NODE, name, "is no Node");
        match &definition.kind {
            TypeKind::Enum(values) => {
                for value in &values.values {
                    let place = format!("{name}.{}", value.node.value.node);
                    self.described(&place, value.node.description.as_ref());
                    self.needs(is_loud(&value.node.value.node), &place, "is no name of a value");
                    self.deprecations(&place, &value.node.directives);
                }
            }
            TypeKind::Scalar => {
                let said = definition.directives.iter();
                let said = said.into_iter().any(|each| each.node.name.node == "specifiedBy");
                self.needs(said, name, "does not say where it is specified");
                let words = definition.description.as_ref();
                let shown = words.is_some_and(|words| words.node.contains('`'));
                self.needs(shown, name, "has no example");
            }
            TypeKind::Object(_) if name == "Query" => {
                for field in fields(definition) {
                    let name = field.node.name.node.as_str();
                    let free = field.node.ty.node.nullable || name.starts_with('_');
                    self.needs(free, name, "at the root may not be null, and takes all along");
                }
            }
            TypeKind::Object(_) if name == "Mutation" => {
                for field in fields(definition) {
                    self.mutation(&field.node);
                }
            }
            _ => {}
        }
    }
}

fn is_node(definition: &TypeDefinition) -> bool {
    let TypeKind::Object(object) = &definition.kind else {
        return definition.name.node == "Node";
    };
    object.implements.iter().any(|name| name.node == "Node")
}

fn is_camel(name: &str) -> bool {
    let name = name.strip_prefix('_').unwrap_or(name);
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_pascal(name: &str) -> bool {
    let name = name.strip_prefix('_').unwrap_or(name);
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_loud(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn lint(sdl: &str) -> Vec<String> {
    let types = types(sdl);
    let mut lint = Lint { types: &types, wrong: Vec::new() };
    for (name, definition) in &types {
        lint.definition(name, definition);
    }
    lint.wrong.sort();
    lint.wrong
}

#[test]
fn the_schema_has_one_style() {
    assert!(types(&sdl()).len() > 100);
    assert_eq!(lint(&sdl()), Vec::<String>::new());
}

/// Everything that the style forbids, once: the checks see what they look for.
#[test]
fn what_has_another_style_is_named() {
    let wrong = lint(
        r#"
        "Things." type Query { things(first: Int): ThingConnection! }
        "Things." type ThingConnection { edges: [Thing] pageInfo: PageInfo! }
        "A thing." type Thing { "Its id." id: String! "Old." old: Int @deprecated(reason: "old") }
        "A link." type Link implements Node { "It." id: ID! }
        "Linked." type Linked { "It." link: Link! }
        "Says." type Mutation { "Sets." setThing(thing: SetThing!, "As what." as: String): Int! }
        "A word." scalar Word
        "Ways." enum Way { "In." in }
        "#,
    );
    for expected in [
        "Linked.link: is read elsewhere, which may fail: let it be null",
        "Mutation.setThing(as): is a text without an example",
        "Thing.id: is a text without an example",
        "Mutation.setThing(thing): is not described",
        "Mutation.setThing: does not answer `SetThingPayload`",
        "Mutation.setThing: does not take `input: SetThingInput!`",
        "Query.things: gives pages and takes no `after: String`",
        "Query.things: is not described",
        "Query.things: is a page that takes its parent along",
        "Thing.id: is no ID",
        "Thing.old: is deprecated without a word on what to use instead",
        "Thing: is no Node",
        "ThingConnection.edges: has elements that may be null",
        "Way.in: is no name of a value",
        "Word: does not say where it is specified",
        "Word: has no example",
        "things: at the root may not be null, and takes all along",
    ] {
        assert!(wrong.iter().any(|found| found == expected), "{expected}\n{wrong:#?}");
    }
    assert!(wrong.iter().any(|found| found.starts_with("ThingConnection: has [")), "{wrong:#?}");
}
