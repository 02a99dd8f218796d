//! The committed schema is current, and everything in it is described.

use std::path::PathBuf;

use async_graphql::parser::{
    Positioned, parse_schema,
    types::{FieldDefinition, InputValueDefinition, TypeKind, TypeSystemDefinition},
};

use super::sdl;

#[test]
fn the_committed_schema_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    let current = sdl();
    if std::env::var_os("HAKKEN_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed != current {
        let differs = committed.lines().zip(current.lines()).position(|(old, new)| old != new);
        panic!(
            "api/schema.graphql is not what the code has, from line {} on. If the change is meant, \
             run the test with HAKKEN_BLESS=1 and commit the file.",
            differs.unwrap_or(0) + 1
        );
    }
}

/// Without words of its own: nothing, or only what the library says of its own types.
#[track_caller]
fn described(missing: &mut Vec<String>, place: String, words: Option<&Positioned<String>>) {
    if words.is_none_or(|words| words.node.trim().len() < 4) {
        missing.push(place);
    }
}

fn fields(missing: &mut Vec<String>, of: &str, fields: &[Positioned<FieldDefinition>]) {
    for field in fields {
        let place = format!("{of}.{}", field.node.name.node);
        described(missing, place.clone(), field.node.description.as_ref());
        inputs(missing, &place, &field.node.arguments);
    }
}

fn inputs(missing: &mut Vec<String>, of: &str, inputs: &[Positioned<InputValueDefinition>]) {
    for input in inputs {
        let place = format!("{of}({})", input.node.name.node);
        described(missing, place, input.node.description.as_ref());
    }
}

#[test]
fn every_type_field_argument_and_value_is_described() {
    let document = parse_schema(sdl()).unwrap();
    let mut missing = Vec::new();
    let mut types = 0;
    for definition in &document.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let (name, definition) = (definition.node.name.node.to_string(), &definition.node);
        types += 1;
        described(&mut missing, name.clone(), definition.description.as_ref());
        match &definition.kind {
            TypeKind::Object(object) => fields(&mut missing, &name, &object.fields),
            TypeKind::Interface(interface) => fields(&mut missing, &name, &interface.fields),
            TypeKind::InputObject(input) => inputs(&mut missing, &name, &input.fields),
            TypeKind::Enum(values) => {
                for value in &values.values {
                    let place = format!("{name}.{}", value.node.value.node);
                    described(&mut missing, place, value.node.description.as_ref());
                }
            }
            TypeKind::Union(_) | TypeKind::Scalar => {}
        }
    }
    assert!(types > 100, "the schema has {types} types only");
    assert_eq!(missing, Vec::<String>::new(), "not described");
}
