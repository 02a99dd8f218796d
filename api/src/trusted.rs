//! Documents that an operator trusts: those of its own programs, collected when they are built.
//! Such a document is sent by its name alone, and an operator can allow no other ones.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use async_graphql::parser::parse_query;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    document::{self, Types},
    schema,
};

/// What they must fit.
static TYPES: LazyLock<Types> = LazyLock::new(|| Types::new(&schema::sdl()));

/// SHA-256 of a document's text.
pub(crate) type Hash = [u8; 32];

/// The hash of a document's text.
pub(crate) fn hash_of(text: &str) -> Hash {
    Sha256::digest(text).into()
}

/// Which documents a router carries out.
#[derive(Debug, Clone, Default)]
pub struct DocumentRules {
    /// Those that may be sent by their name.
    pub trusted: TrustedDocuments,
    /// No others are carried out, however they are sent.
    pub only_trusted: bool,
}

/// Why documents cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadDocuments {
    /// The text is no collection of documents.
    #[error(
        "this is neither an object of names and documents ({{\"NAME\": \"query …\"}}) nor a \
         manifest of the format apollo-persisted-query-manifest, version 1: {0}"
    )]
    NoCollection(String),
    /// A document could never be carried out.
    #[error("the document {name}: {reason}")]
    Document {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two documents have one name.
    #[error("two different documents have the name {0}")]
    Twice(String),
}

/// Documents by their names, and by the SHA-256 of their texts.
#[derive(Debug, Clone, Default)]
pub struct TrustedDocuments {
    by_name: HashMap<String, Arc<str>>,
    by_hash: HashMap<Hash, Arc<str>>,
}

/// The manifest that Apollo's tools write.
#[derive(Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct Operation {
    id: String,
    body: String,
}

impl TrustedDocuments {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Trusts a document.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), BadDocuments> {
        let wrong = |reason: String| BadDocuments::Document { name: name.to_owned(), reason };
        // It is read once without an operation's name, for what is wrong with all of it.
        let names: Vec<Option<String>> = match parse_query(text) {
            Ok(parsed) => {
                let names = parsed.operations.iter().map(|(name, _)| name.map(ToString::to_string));
                names.collect()
            }
            Err(_) => vec![None],
        };
        for operation in names {
            let (read, _) = document::read(&TYPES, text, operation.as_deref());
            read.map_err(|refused| wrong(refused.message()))?;
        }
        let text = Arc::from(text);
        if let Some(former) = self.by_name.get(name)
            && *former != text
        {
            return Err(BadDocuments::Twice(name.to_owned()));
        }
        self.by_name.insert(name.to_owned(), text.clone());
        self.by_hash.insert(hash_of(&text), text);
        Ok(())
    }

    /// Trusts what a tool has collected: an object of names and documents, as Relay and GraphQL
    /// Code Generator write it, or the manifest of Apollo's tools.
    pub fn add_collection(&mut self, json: &str) -> Result<(), BadDocuments> {
        let none = |reason: String| BadDocuments::NoCollection(reason);
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|error| none(error.to_string()))?;
        if value.get("operations").is_some_and(serde_json::Value::is_array) {
            let manifest: Manifest =
                serde_json::from_value(value).map_err(|error| none(error.to_string()))?;
            if (manifest.format.as_str(), manifest.version)
                != ("apollo-persisted-query-manifest", 1)
            {
                return Err(none(format!("{} {}", manifest.format, manifest.version)));
            }
            let mut all = manifest.operations.iter();
            return all.try_for_each(|operation| self.add(&operation.id, &operation.body));
        }
        let documents: HashMap<String, String> =
            serde_json::from_value(value).map_err(|error| none(error.to_string()))?;
        documents.iter().try_for_each(|(name, text)| self.add(name, text))
    }

    pub(crate) fn named(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(|text| &**text)
    }

    pub(crate) fn hashed(&self, hash: &Hash) -> Option<&str> {
        self.by_hash.get(hash).map(|text| &**text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "query Who { viewer { role } }";

    fn collected(json: serde_json::Value) -> Result<TrustedDocuments, BadDocuments> {
        let mut trusted = TrustedDocuments::default();
        trusted.add_collection(&json.to_string()).map(|()| trusted)
    }

    #[test]
    fn what_tools_collect_is_understood() {
        let manifest = serde_json::json!({
            "format": "apollo-persisted-query-manifest", "version": 1,
            "operations": [{ "id": "w", "name": "Who", "type": "query", "body": QUERY }],
        });
        for json in [serde_json::json!({ "w": QUERY }), manifest] {
            let trusted = collected(json).unwrap();
            assert_eq!(trusted.len(), 1);
            assert_eq!(trusted.named("w"), Some(QUERY));
            assert_eq!(trusted.hashed(&hash_of(QUERY)), Some(QUERY));
        }
        let several = "query A { __typename } query B { viewer { role } }";
        assert_eq!(collected(serde_json::json!({ "x": several })).unwrap().len(), 1);
    }

    #[test]
    fn what_could_never_be_carried_out_is_refused_by_its_name() {
        let name_of = |json| match collected(json) {
            Err(BadDocuments::Document { name, .. } | BadDocuments::Twice(name)) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(name_of(serde_json::json!({ "broken": "query {" })), "broken");
        assert_eq!(name_of(serde_json::json!({ "empty": "" })), "empty");
        assert_eq!(name_of(serde_json::json!({ "old": "{ nobodyKnowsThis }" })), "old");
        let deep = format!("{}{}", "{ a ".repeat(30), "}".repeat(30));
        assert_eq!(name_of(serde_json::json!({ "deep": deep })), "deep");
        let operation = |body: &str| serde_json::json!({ "id": "w", "body": body });
        let twice = serde_json::json!({
            "format": "apollo-persisted-query-manifest", "version": 1,
            "operations": [operation("{ __typename }"), operation(QUERY)],
        });
        assert_eq!(name_of(twice), "w");
        for none in [
            serde_json::json!([QUERY]),
            serde_json::json!({ "w": { "body": QUERY } }),
            serde_json::json!({ "format": "other", "version": 1, "operations": [] }),
        ] {
            assert!(matches!(collected(none), Err(BadDocuments::NoCollection(_))));
        }
    }
}
