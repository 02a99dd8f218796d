//! Stored events: `kind schema`, a line of metadata, and the data, as a store gives them back.

use std::path::Path;

use hakken_domain::codec::{self, KINDS};

use crate::fuzz::{
    Target, Verdict, assert_short,
    corpus::{self, Entry},
};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "stored_event",
    run: stored_event,
    words: &[
        "seats-held",
        "sales-opened",
        "order-placed",
        "ticket-created",
        "code-refused",
        "event-skipped",
        "skip-withdrawn",
        "organizer",
        "actor",
        "key",
        "request",
        "cause",
        "correlation",
        "hold",
        "buyer",
        "seats",
        "pools",
        "legs",
        "[0,1]",
        "[3,3]",
        "[0,64]",
        "[0,65]",
        "[255,0]",
        "seat_map",
        "sections",
        "rows",
        "\"x\":",
        "amount_minor",
        "currency",
        "\"JPY\"",
        "\"jpy\"",
        "2026-11-21T09:40:00Z",
        "9999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "2026-11-21T09:40:60Z",
        "01J8000000000000000000000A",
        "81J8000000000000000000000A",
        "ffffffffffffffff",
    ],
    made: golden,
    mutations: 1_500,
};

/// Every stored shape there is.
fn golden() -> Vec<Entry> {
    let folder = corpus::folder().with_file_name("domain").join("golden");
    let meta = read(&folder.join("metadata.json"));
    let files = std::fs::read_dir(&folder).expect("golden files").map(|file| {
        let file = file.expect("a folder can be listed");
        (file.file_name().to_string_lossy().into_owned(), file.path())
    });
    let mut entries: Vec<Entry> = files
        .filter_map(|(name, path)| {
            let (kind, version) = name.split_once(".v")?;
            let schema = version.split('.').next()?;
            let head = format!("{kind} {schema}\n");
            let bytes = [head.as_bytes(), &meta, b"\n", &read(&path)].concat();
            Some(Entry { name, bytes })
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What is decoded is encoded to bytes that decode to the same; the same bytes for ever after.
/// What is not says which kind it is of, and what is wrong.
pub fn stored_event(input: &[u8]) -> Verdict {
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let (head, meta) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let data = parts.next().unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let (kind, schema) = head.rsplit_once(' ').unwrap_or((&head, "1"));
    let schema = schema.parse().unwrap_or(0);
    let meta_taken = metadata(kind, meta);
    let decoded = codec::decode_event(kind, schema, data);
    let both = codec::decode(kind, schema, data, meta);
    assert_eq!(both.is_ok(), decoded.is_ok() && meta_taken, "the parts decode as the whole does");
    match decoded {
        Ok(event) => {
            let (newest_kind, newest) = codec::kind_of(&event);
            assert_eq!(newest_kind, kind, "an upcaster stays with its kind");
            assert!(KINDS.contains(&(newest_kind, newest)) && newest >= schema);
            let bytes = codec::encode(&event);
            let again = codec::decode_event(newest_kind, newest, &bytes);
            assert_eq!(again.as_ref(), Ok(&event), "it comes back");
            assert!(again.is_ok_and(|again| codec::encode(&again) == bytes), "byte for byte");
        }
        Err(error) => {
            let text = error.to_string();
            assert_short(&text);
            let shown: String = kind.chars().take(20).collect();
            let shown = format!("{shown:?}");
            assert!(text.contains(shown.trim_matches('"')), "{text:?} names the kind {shown}");
        }
    }
    Verdict::of(both.is_ok())
}

fn metadata(kind: &str, meta: &[u8]) -> bool {
    match codec::decode_metadata(kind, meta) {
        Ok(taken) => {
            let bytes = codec::encode_metadata(&taken);
            assert_eq!(codec::decode_metadata(kind, &bytes), Ok(taken), "metadata comes back");
            true
        }
        Err(error) => {
            assert_short(&error.to_string());
            false
        }
    }
}
