//! The schema as the API itself describes it, in the little that making operations needs.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Value, json};

use super::stage::{Stage, block_on, fixture};

/// The type of an argument or a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Named(String),
    List(Box<Shape>),
    NonNull(Box<Shape>),
}

impl Shape {
    fn of(json: &Value) -> Self {
        let inner = || Box::new(Self::of(&json["ofType"]));
        match json["kind"].as_str() {
            Some("NON_NULL") => Self::NonNull(inner()),
            Some("LIST") => Self::List(inner()),
            _ => Self::Named(text(&json["name"])),
        }
    }

    /// The type at the bottom of it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::NonNull(inner) => inner.name(),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::NonNull(inner) => write!(f, "{inner}!"),
        }
    }
}

/// An argument, or a field of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) shape: Shape,
    /// It must be given.
    pub(super) required: bool,
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) shape: Shape,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) fields: Vec<Field>,
    pub(super) inputs: Vec<Argument>,
    pub(super) values: Vec<String>,
    /// The objects that an interface stands for.
    pub(super) possible: Vec<String>,
}

impl Type {
    /// It has no fields to choose from.
    pub(super) fn is_leaf(&self) -> bool {
        self.fields.is_empty() && self.possible.is_empty()
    }
}

/// Every type by its name.
pub(super) struct Schema {
    types: BTreeMap<String, Type>,
}

impl Schema {
    /// A type that the schema names somewhere.
    pub(super) fn get(&self, name: &str) -> &Type {
        self.types.get(name).unwrap_or_else(|| panic!("the schema has no type {name:?}"))
    }
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn list<T>(json: &Value, each: impl Fn(&Value) -> T) -> Vec<T> {
    json.as_array().into_iter().flatten().map(each).collect()
}

fn argument(json: &Value) -> Argument {
    let shape = Shape::of(&json["type"]);
    let required = matches!(shape, Shape::NonNull(_)) && json["defaultValue"].is_null();
    Argument { name: text(&json["name"]), shape, required }
}

fn field(json: &Value) -> Field {
    Field {
        name: text(&json["name"]),
        arguments: list(&json["args"], argument),
        shape: Shape::of(&json["type"]),
    }
}

/// The schema of the program.
pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let read = std::thread::spawn(|| block_on(introspect())).join();
    read.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
});

async fn introspect() -> Schema {
    let shape = (0..5).fold("kind name".to_owned(), |of, _| format!("kind name ofType {{ {of} }}"));
    let query = format!(
        "{{ __schema {{ types {{ name possibleTypes {{ name }} enumValues {{ name }} \
         inputFields {{ name defaultValue type {{ {shape} }} }} \
         fields {{ name type {{ {shape} }} args {{ name defaultValue type {{ {shape} }} }} }} \
         }} }} }}"
    );
    let stage = Stage::of(fixture()).await;
    let answer = stage.ask(fixture().named("$OPERATOR"), &query, &json!({})).await;
    stage.stop().await;
    let types = list(&answer["data"]["__schema"]["types"], |json| {
        let found = Type {
            fields: list(&json["fields"], field),
            inputs: list(&json["inputFields"], argument),
            values: list(&json["enumValues"], |value| text(&value["name"])),
            possible: list(&json["possibleTypes"], |object| text(&object["name"])),
        };
        (text(&json["name"]), found)
    });
    assert!(types.len() > 50, "{answer:#}");
    Schema { types: types.into_iter().collect() }
}
