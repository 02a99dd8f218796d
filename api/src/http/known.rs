//! Documents that were carried out before. Programs send the same few again and again, and to
//! read and validate one costs several times as much as to carry it out.
//!
//! Whether a document is valid depends on the schema alone, and is proven once. The values of its
//! variables are looked at each time.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    kept: Mutex<Kept>,
}

struct Kept {
    documents: LruCache<Box<str>, Arc<Document>>,
    text: usize,
    max_text: usize,
}

impl KnownDocuments {
    pub(crate) fn new() -> Self {
        Self::with_text(MAX_TEXT)
    }

    fn with_text(max_text: usize) -> Self {
        let kept = Kept { documents: LruCache::new(MAX_DOCUMENTS), text: 0, max_text };
        Self { kept: Mutex::new(kept) }
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
        while kept.text > kept.max_text {
            let Some((oldest, _)) = kept.documents.pop_lru() else { break };
            kept.text -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{self, Types};

    fn read(text: &str, operation: Option<&str>) -> Arc<Document> {
        let types = Types::new("type Query { a: Int }");
        Arc::new(document::read(&types, text, operation).0.unwrap())
    }

    #[test]
    fn only_the_same_operation_is_found_again() {
        let known = KnownDocuments::new();
        let text = "query A { __typename } query B { __typename }";
        known.keep(text, read(text, Some("A")));
        assert!(known.find(text, Some("A")).is_some());
        assert!(known.find(text, Some("B")).is_none() && known.find(text, None).is_none());
    }

    #[test]
    fn the_texts_together_are_bounded() {
        let (known, boundless) = (KnownDocuments::new(), KnownDocuments::with_text(usize::MAX));
        let text = |number: usize| format!("{{ a{number}: a # {}\n}}", "x".repeat(4_000));
        for number in 0..200 {
            let text = text(number);
            known.keep(&text, read(&text, None));
            known.keep(&text, read(&text, None));
            boundless.keep(&text, read(&text, None));
        }
        // The control: without the bound they are all there.
        assert!(boundless.kept().text > MAX_TEXT && boundless.find(&text(0), None).is_some());
        let kept = known.kept();
        let texts: usize = kept.documents.iter().map(|(text, _)| text.len()).sum();
        assert!(texts <= MAX_TEXT && texts == kept.text, "{texts} bytes, counted {}", kept.text);
        drop(kept);
        assert!(known.find(&text(0), None).is_none() && known.find(&text(199), None).is_some());
        let long = format!("{{ a # {}\n}}", "x".repeat(MAX_LENGTH));
        known.keep(&long, read(&long, None));
        assert!(known.find(&long, None).is_none());
    }
}
