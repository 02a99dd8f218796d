//! Documents that are sent by a name in the place of their text: those that an operator trusts,
//! by their names or hashes (the appendix "Persisted Documents" of GraphQL over HTTP), and those
//! that clients have sent before, by their hashes (automatic persisted queries, as Apollo's
//! clients know them).

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use data_encoding::HEXLOWER_PERMISSIVE;
use lru::LruCache;
use serde::Deserialize;

use super::{document::RequestError, graphql::Parameters};
use crate::trusted::{DocumentRules, Hash, hash_of};

/// Most documents of clients; the one that was not asked for longest makes room.
const MAX_DOCUMENTS: NonZeroUsize = NonZeroUsize::new(1_000).expect("more than none");
/// Most bytes of their texts together.
const MAX_TEXT: usize = 1 << 20;
/// Most characters of a name.
const MAX_NAME: usize = 256;

/// The documents that may be named.
pub(crate) struct StoredDocuments {
    rules: DocumentRules,
    sent: Mutex<Sent>,
}

struct Sent {
    texts: LruCache<Hash, Arc<str>>,
    bytes: usize,
}

/// The extension `persistedQuery` of a request.
#[derive(Deserialize)]
struct PersistedQuery {
    version: u32,
    #[serde(rename = "sha256Hash")]
    name: String,
}

/// How a request names its document.
enum Name {
    Hash(Hash),
    Other(String),
}

/// What is to be kept once the document was carried out.
#[must_use]
pub(crate) struct Keep(Option<(Hash, Arc<str>)>);

fn bad(message: impl Into<String>) -> RequestError {
    RequestError { code: "BAD_REQUEST", message: message.into() }
}

impl StoredDocuments {
    pub(crate) fn new(rules: DocumentRules) -> Self {
        let sent = Sent { texts: LruCache::new(MAX_DOCUMENTS), bytes: 0 };
        Self { rules, sent: Mutex::new(sent) }
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a request the text that it names, and refuses one whose document may not be carried
    /// out here.
    pub(crate) fn resolve(&self, parameters: &mut Parameters) -> Result<Keep, RequestError> {
        let name = name_of(parameters)?;
        match (parameters.query.as_deref(), name) {
            (None, None) => Ok(Keep(None)),
            (None, Some(name)) => {
                let Some(text) = self.find(&name) else { return Err(not_found(parameters)) };
                parameters.query = Some(text);
                Ok(Keep(None))
            }
            (Some(text), None) => {
                self.allow(|| hash_of(text))?;
                Ok(Keep(None))
            }
            (Some(text), Some(Name::Hash(claimed))) => {
                let hash = hash_of(text);
                if hash != claimed {
                    return Err(bad("The hash is not the SHA-256 of the document in `query`."));
                }
                self.allow(|| hash)?;
                Ok(Keep(Some((hash, text.into()))))
            }
            (Some(_), Some(Name::Other(_))) => Err(bad(
                "Send the document or its name, not both; with a document goes nothing but the \
                 SHA-256 of it.",
            )),
        }
    }

    fn find(&self, name: &Name) -> Option<String> {
        let trusted = &self.rules.trusted;
        match name {
            Name::Other(name) => trusted.named(name).map(ToOwned::to_owned),
            Name::Hash(hash) => {
                let found = trusted.hashed(hash).map(ToOwned::to_owned);
                found.or_else(|| self.sent().texts.get(hash).map(|text| text.to_string()))
            }
        }
    }

    fn allow(&self, hash: impl FnOnce() -> Hash) -> Result<(), RequestError> {
        if !self.rules.only_trusted || self.rules.trusted.hashed(&hash()).is_some() {
            return Ok(());
        }
        Err(RequestError {
            code: "QUERY_NOT_IN_SAFELIST",
            message:
                "Only documents that the operator of this engine trusts are carried out here, \
                      and this is none of them, to the letter: ask the operator to add it."
                    .to_owned(),
        })
    }

    /// Keeps the text of a document that was carried out, if the request told its hash.
    pub(crate) fn keep(&self, Keep(document): Keep) {
        let Some((hash, text)) = document else { return };
        if self.rules.trusted.hashed(&hash).is_some() {
            return;
        }
        let mut sent = self.sent();
        sent.bytes += text.len();
        if let Some((_, former)) = sent.texts.push(hash, text) {
            sent.bytes -= former.len();
        }
        while sent.bytes > MAX_TEXT {
            let Some((_, oldest)) = sent.texts.pop_lru() else { break };
            sent.bytes -= oldest.len();
        }
    }
}

/// How the request names its document, if it does.
fn name_of(parameters: &Parameters) -> Result<Option<Name>, RequestError> {
    let extension = parameters.extensions.as_ref().and_then(|all| all.get("persistedQuery"));
    match (parameters.document_id.as_deref(), extension) {
        (None, None | Some(serde_json::Value::Null)) => Ok(None),
        (Some(id), None | Some(serde_json::Value::Null)) => read_id(id).map(Some),
        (Some(_), Some(_)) => {
            Err(bad("Name the document with `documentId` or with `persistedQuery`, not with both."))
        }
        (None, Some(extension)) => {
            let persisted = PersistedQuery::deserialize(extension)
                .map_err(|error| bad(format!("`persistedQuery` cannot be read: {error}.")))?;
            if persisted.version != 1 {
                return Err(bad("`persistedQuery` is known here in its version 1."));
            }
            // Apollo's manifests send other names than hashes in the same place.
            let hash = hash(&persisted.name).map(Name::Hash);
            hash.map_or_else(|| read_id(&persisted.name), Ok).map(Some)
        }
    }
}

/// Reads a document identifier of the appendix: `sha256:…`, or a name.
fn read_id(id: &str) -> Result<Name, RequestError> {
    if let Some(hex) = id.strip_prefix("sha256:") {
        let lower = !hex.bytes().any(|byte| byte.is_ascii_uppercase());
        return hash(hex).filter(|_| lower).map(Name::Hash).ok_or_else(|| {
            bad("After `sha256:` stand the 64 hexadecimal digits of the document's SHA-256, in \
                 lower case.")
        });
    }
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    let is_ours = !id.contains(':') || id.starts_with("x-");
    if id.is_empty() || id.len() > MAX_NAME || !id.bytes().all(unreserved) || !is_ours {
        return Err(bad(format!(
            "A document is named by `sha256:` and its hash, or by up to {MAX_NAME} letters, digits, \
             `-`, `.`, `_` and `~`."
        )));
    }
    Ok(Name::Other(id.to_owned()))
}

fn hash(hex: &str) -> Option<Hash> {
    HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?.try_into().ok()
}

fn not_found(parameters: &Parameters) -> RequestError {
    let message = if parameters.document_id.is_some() {
        "There is no document of this name here: send its text."
    } else {
        // Apollo's clients look for this word, and then send the text with the hash.
        "PersistedQueryNotFound"
    };
    RequestError { code: "PERSISTED_QUERY_NOT_FOUND", message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "{ viewer { role } }";

    fn stored() -> StoredDocuments {
        StoredDocuments::new(DocumentRules::default())
    }

    fn resolved(
        stored: &StoredDocuments,
        request: &serde_json::Value,
    ) -> Result<(Option<String>, Keep), &'static str> {
        let mut parameters = Parameters::from_json(request.to_string().as_bytes()).unwrap();
        let kept = stored.resolve(&mut parameters).map_err(|error| error.code)?;
        Ok((parameters.query, kept))
    }

    fn hex(text: &str) -> String {
        data_encoding::HEXLOWER.encode(&hash_of(text))
    }

    #[test]
    fn a_document_is_found_by_its_hash_once_it_was_carried_out() {
        let stored = stored();
        let extension = serde_json::json!({
            "persistedQuery": { "version": 1, "sha256Hash": hex(QUERY) }
        });
        let by_extension = serde_json::json!({ "extensions": extension });
        let by_id = serde_json::json!({ "documentId": format!("sha256:{}", hex(QUERY)) });
        for request in [&by_extension, &by_id] {
            assert_eq!(resolved(&stored, request).err(), Some("PERSISTED_QUERY_NOT_FOUND"));
        }
        let both = serde_json::json!({ "query": QUERY, "extensions": extension });
        let (_, keep) = resolved(&stored, &both).unwrap();
        assert!(resolved(&stored, &by_id).is_err(), "it was not carried out yet");
        stored.keep(keep);
        for request in [&by_extension, &by_id] {
            assert_eq!(resolved(&stored, request).unwrap().0.as_deref(), Some(QUERY));
        }
    }

    #[test]
    fn what_names_no_document_is_refused() {
        let persisted = |value: serde_json::Value| serde_json::json!({ "extensions": { "persistedQuery": value } });
        for request in [
            serde_json::json!({ "documentId": "" }),
            serde_json::json!({ "documentId": "a b" }),
            serde_json::json!({ "documentId": "md5:abc" }),
            serde_json::json!({ "documentId": "sha256:abc" }),
            serde_json::json!({ "documentId": format!("sha256:{}", hex(QUERY).to_uppercase()) }),
            serde_json::json!({ "documentId": "x".repeat(MAX_NAME + 1) }),
            serde_json::json!({ "documentId": "a", "query": QUERY }),
            serde_json::json!({ "documentId": format!("sha256:{}", hex("other")), "query": QUERY }),
            persisted(serde_json::json!("x")),
            persisted(serde_json::json!({ "version": 2, "sha256Hash": hex(QUERY) })),
            persisted(serde_json::json!({ "version": 1 })),
        ] {
            assert_eq!(resolved(&stored(), &request).err(), Some("BAD_REQUEST"), "{request}");
        }
        let null = serde_json::json!({ "query": QUERY, "extensions": { "persistedQuery": null } });
        assert!(resolved(&stored(), &null).is_ok());
    }

    #[test]
    fn an_operator_can_allow_what_it_trusts_and_nothing_else() {
        let mut rules = DocumentRules { only_trusted: true, ..DocumentRules::default() };
        rules.trusted.add("who", QUERY).unwrap();
        let stored = StoredDocuments::new(rules);
        for request in [
            serde_json::json!({ "documentId": "who" }),
            serde_json::json!({ "documentId": format!("sha256:{}", hex(QUERY)) }),
            serde_json::json!({ "query": QUERY }),
        ] {
            assert_eq!(resolved(&stored, &request).unwrap().0.as_deref(), Some(QUERY), "{request}");
        }
        let other = serde_json::json!({ "query": format!("{QUERY} ") });
        assert_eq!(resolved(&stored, &other).err(), Some("QUERY_NOT_IN_SAFELIST"));
        let unknown = serde_json::json!({ "documentId": "whom" });
        assert_eq!(resolved(&stored, &unknown).err(), Some("PERSISTED_QUERY_NOT_FOUND"));
    }

    #[test]
    fn the_texts_of_clients_are_bounded() {
        let stored = stored();
        for number in 0..100 {
            let text = format!("{{ a{number} # {}\n}}", "x".repeat(30_000));
            stored.keep(Keep(Some((hash_of(&text), text.as_str().into()))));
            stored.keep(Keep(Some((hash_of(&text), text.into()))));
        }
        let sent = stored.sent();
        let bytes: usize = sent.texts.iter().map(|(_, text)| text.len()).sum();
        assert!(bytes <= MAX_TEXT && bytes == sent.bytes && bytes > MAX_TEXT / 2);
    }
}
