//! Documents that were carried out before. Programs send the same few again and again, and to
//! read and validate one costs several times as much as to carry it out.
//!
//! Whether a document is valid depends on the schema, and on the values of its variables. The
//! first is proven once, when the document is carried out for the first time. The second is
//! looked at each time: what is not plainly right is validated as if the document were new, which
//! says what is wrong in the same words.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::{
    Value, Variables,
    parser::{
        parse_schema,
        types::{BaseType, Type, TypeKind, TypeSystemDefinition},
    },
};
use lru::LruCache;

use super::document::Document;

/// Most documents; the one that was not sent for longest makes room.
const MAX_DOCUMENTS: NonZeroUsize = NonZeroUsize::new(1_000).expect("more than none");
/// Most bytes of their texts together. What was read of a text takes up to fifty times as much.
const MAX_TEXT: usize = 256 << 10;
/// A longer document is read each time.
const MAX_LENGTH: usize = 8 << 10;

/// Documents that were carried out before.
pub(crate) struct KnownDocuments {
    inputs: Inputs,
    kept: Mutex<Kept>,
}

struct Kept {
    documents: LruCache<Box<str>, Arc<Document>>,
    text: usize,
}

impl KnownDocuments {
    /// Of a schema, by its definition.
    pub(crate) fn new(sdl: &str) -> Self {
        let kept = Kept { documents: LruCache::new(MAX_DOCUMENTS), text: 0 };
        Self { inputs: Inputs::new(sdl), kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The document with this text, if the same operation of it was carried out before.
    pub(crate) fn find(&self, text: &str, operation: Option<&str>) -> Option<Arc<Document>> {
        let found = self.kept().documents.get(text).cloned()?;
        (found.operation.as_deref() == operation).then_some(found)
    }

    /// Keeps a document that was carried out.
    pub(crate) fn keep(&self, text: &str, document: Arc<Document>) {
        if text.len() > MAX_LENGTH {
            return;
        }
        let mut kept = self.kept();
        kept.text += text.len();
        if let Some((former, _)) = kept.documents.push(text.into(), document) {
            kept.text -= former.len();
        }
        while kept.text > MAX_TEXT {
            let Some((oldest, _)) = kept.documents.pop_lru() else { break };
            kept.text -= oldest.len();
        }
    }

    /// Whether these are plainly good values for the variables of a document.
    pub(crate) fn takes(&self, document: &Document, variables: &Variables) -> bool {
        document.variables().iter().all(|definition| {
            let definition = &definition.node;
            match variables.get(definition.name.node.as_str()) {
                None => definition.var_type.node.nullable || definition.default_value.is_some(),
                // Where it stands there may be no null, whatever the variable's own type says.
                Some(Value::Null) => false,
                Some(value) => self.inputs.take(&definition.var_type.node, value),
            }
        })
    }
}

/// The types of a schema that variables can have.
struct Inputs(HashMap<String, Input>);

enum Input {
    Enum(HashSet<String>),
    Object(Vec<Field>),
    /// What it takes is its own to say, field by field.
    Scalar,
}

struct Field {
    name: String,
    of: Type,
    is_required: bool,
}

impl Inputs {
    fn new(sdl: &str) -> Self {
        let schema = parse_schema(sdl).expect("a schema can be read again");
        let types = schema.definitions.into_iter().filter_map(|definition| {
            let TypeSystemDefinition::Type(definition) = definition else { return None };
            let definition = definition.node;
            let input = match definition.kind {
                TypeKind::Scalar => Input::Scalar,
                TypeKind::Enum(of) => {
                    let values = of.values.into_iter();
                    Input::Enum(values.map(|value| value.node.value.node.to_string()).collect())
                }
                // An object of which exactly one field is given is left to the validation.
                TypeKind::InputObject(of) if definition.directives.is_empty() => {
                    let fields = of.fields.into_iter().map(|field| {
                        let field = field.node;
                        let of = field.ty.node;
                        let is_required = !of.nullable && field.default_value.is_none();
                        Field { name: field.name.node.to_string(), of, is_required }
                    });
                    Input::Object(fields.collect())
                }
                _ => return None,
            };
            Some((definition.name.node.to_string(), input))
        });
        Self(types.collect())
    }

    fn take(&self, of: &Type, value: &Value) -> bool {
        match (&of.base, value) {
            (_, Value::Null) => of.nullable,
            (BaseType::List(of), Value::List(values)) => {
                values.iter().all(|value| self.take(of, value))
            }
            (BaseType::List(_), _) => false,
            (BaseType::Named(name), value) => self.take_named(name, value),
        }
    }

    fn take_named(&self, name: &str, value: &Value) -> bool {
        match (self.0.get(name), value) {
            (Some(Input::Scalar), _) => true,
            (Some(Input::Enum(known)), Value::String(name)) => known.contains(name),
            (Some(Input::Object(fields)), Value::Object(values)) => {
                let field = |name: &str| fields.iter().find(|field| field.name == name);
                let known = values.iter().all(|(name, value)| {
                    field(name).is_some_and(|field| self.take(&field.of, value))
                });
                let required = fields.iter().filter(|field| field.is_required);
                known && required.into_iter().all(|field| values.contains_key(field.name.as_str()))
            }
            (None, Value::String(_)) => matches!(name, "String" | "ID"),
            (None, Value::Boolean(_)) => name == "Boolean",
            (None, Value::Number(number)) => {
                name == "Int" && number.as_u64().is_some_and(|number| i32::try_from(number).is_ok())
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::document::read, *};

    const SDL: &str = "scalar Time
        enum Way { IN OUT }
        input Gate { name: String! ways: [Way!]! = [IN] count: Int at: Time }
        type Query { a(gate: Gate!, ids: [ID!]): Int }";
    const TEXT: &str = "query($gate: Gate!, $ids: [ID!]) { a(gate: $gate, ids: $ids) }";

    fn takes(variables: serde_json::Value) -> bool {
        let document = read(TEXT, None).unwrap();
        KnownDocuments::new(SDL).takes(&document, &Variables::from_json(variables))
    }

    #[test]
    fn good_values_are_taken() {
        let all = serde_json::json!({
            "gate": { "name": "main", "ways": ["IN", "OUT"], "count": 3, "at": "noon" },
            "ids": ["a", "b"],
        });
        assert!(takes(all));
        assert!(takes(serde_json::json!({ "gate": { "name": "main", "count": null } })));
    }

    #[test]
    fn whatever_is_not_plainly_good_is_not_taken() {
        let good = serde_json::json!({ "name": "main" });
        assert!(takes(serde_json::json!({ "gate": good })));
        for gate in [
            serde_json::json!(null),
            serde_json::json!("main"),
            serde_json::json!({}),
            serde_json::json!({ "name": null }),
            serde_json::json!({ "name": 3 }),
            serde_json::json!({ "name": "main", "other": 1 }),
            serde_json::json!({ "name": "main", "ways": "IN" }),
            serde_json::json!({ "name": "main", "ways": ["UP"] }),
            serde_json::json!({ "name": "main", "ways": null }),
            serde_json::json!({ "name": "main", "count": 1.5 }),
            serde_json::json!({ "name": "main", "count": -1 }),
            serde_json::json!({ "name": "main", "count": 3_000_000_000_u64 }),
            serde_json::json!({ "name": "main", "count": "3" }),
        ] {
            assert!(!takes(serde_json::json!({ "gate": gate })), "{gate}");
        }
        assert!(!takes(serde_json::json!({})));
        assert!(!takes(serde_json::json!({ "gate": good, "ids": null })));
        assert!(!takes(serde_json::json!({ "gate": good, "ids": [null] })));
    }

    #[test]
    fn only_the_same_operation_is_found_again() {
        let known = KnownDocuments::new(SDL);
        let text = "query A { __typename } query B { __typename }";
        known.keep(text, Arc::new(read(text, Some("A")).unwrap()));
        assert!(known.find(text, Some("A")).is_some());
        assert!(known.find(text, Some("B")).is_none() && known.find(text, None).is_none());
    }

    #[test]
    fn the_texts_together_are_bounded() {
        let known = KnownDocuments::new(SDL);
        let text = |number: usize| format!("{{ a{number} # {}\n}}", "x".repeat(4_000));
        for number in 0..200 {
            let text = text(number);
            known.keep(&text, Arc::new(read(&text, None).unwrap()));
            known.keep(&text, Arc::new(read(&text, None).unwrap()));
        }
        let kept = known.kept();
        let texts: usize = kept.documents.iter().map(|(text, _)| text.len()).sum();
        assert!(texts <= MAX_TEXT && texts == kept.text, "{texts} bytes, counted {}", kept.text);
        drop(kept);
        assert!(known.find(&text(0), None).is_none() && known.find(&text(199), None).is_some());
        let long = format!("{{ a # {}\n}}", "x".repeat(MAX_LENGTH));
        known.keep(&long, Arc::new(read(&long, None).unwrap()));
        assert!(known.find(&long, None).is_none());
    }
}
