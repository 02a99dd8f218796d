//! The storage format, held fast: `domain/golden/` has the stored bytes of one event of every
//! kind and schema version (`seats-held.v1.json`), where it matters a second one without its
//! optional parts (`seats-held.v1.min.json`), and those of metadata. They must decode for ever.
//!
//! Such a file is never changed. After a new kind or schema version,
//! `HAKKEN_BLESS_GOLDEN=1 cargo test -p hakken-domain golden` writes the files that are missing
//! and no others.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::{
    codec::{self, DecodeError, KINDS},
    envelope::Metadata,
};

mod samples;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"))
}

/// The bytes of a golden file. If it is missing, fails and says what would stand in it; or
/// writes it, when that is asked for.
fn golden(file: &str, expected: &[u8]) -> Vec<u8> {
    let path = folder().join(file);
    if let Ok(bytes) = fs::read(&path) {
        return bytes;
    }
    let text = String::from_utf8_lossy(expected);
    assert!(
        std::env::var_os("HAKKEN_BLESS_GOLDEN").is_some_and(|value| value == "1"),
        "domain/golden/{file} is missing; an event written now would be stored as\n{text}"
    );
    // `create_new` never writes over a file, whoever made it meanwhile.
    let mut file = fs::File::create_new(&path).expect("the golden file can be made");
    std::io::Write::write_all(&mut file, expected).expect("the golden file can be written");
    expected.to_vec()
}

/// The name of a sample's file.
fn file_of(kind: &str, schema: u16, is_minimal: bool) -> String {
    format!("{kind}.v{schema}{}.json", if is_minimal { ".min" } else { "" })
}

/// Kind and schema version out of the name of a golden file of an event.
fn parse(file: &str) -> Option<(&str, u16)> {
    let name = file.strip_suffix(".json")?;
    let (kind, schema) = name.strip_suffix(".min").unwrap_or(name).rsplit_once(".v")?;
    Some((kind, schema.parse().ok()?))
}

fn files() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("domain/golden is there");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("its entries can be read").file_name().into_string().expect("plain names")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn every_kind_is_stored_as_its_golden_file_says() {
    let mut kinds = BTreeSet::new();
    for (event, is_minimal) in samples::events() {
        let (kind, schema) = codec::kind_of(&event);
        let bytes = codec::encode(&event);
        let file = file_of(kind, schema, is_minimal);
        let stored = golden(&file, &bytes);
        assert_eq!(codec::decode_event(kind, schema, &stored), Ok(event), "{file}");
        assert_eq!(String::from_utf8(stored), String::from_utf8(bytes), "{file}");
        if !is_minimal {
            assert!(kinds.insert((kind, schema)), "two samples of {kind}");
        }
    }
    assert_eq!(kinds, KINDS.iter().copied().collect(), "each kind has one full sample");
}

#[test]
fn every_golden_file_decodes_for_ever() {
    for file in files() {
        if file == "metadata.json" || file == "metadata.min.json" {
            continue;
        }
        let (kind, schema) = parse(&file).unwrap_or_else(|| panic!("{file} is no golden file"));
        let bytes = fs::read(folder().join(&file)).expect("it can be read");
        let event = codec::decode_event(kind, schema, &bytes)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        // An older version is turned into the newest, and stored as such from then on.
        let (newest_kind, newest) = codec::kind_of(&event);
        assert_eq!(newest_kind, kind, "{file}");
        assert!(newest >= schema, "{file}");
        if newest == schema {
            assert_eq!(codec::encode(&event), bytes, "{file} does not come back byte for byte");
        }
        let again = codec::decode_event(newest_kind, newest, &codec::encode(&event));
        assert_eq!(again, Ok(event), "{file}");
    }
}

#[test]
fn metadata_is_stored_as_its_golden_file_says() {
    for (file, meta) in
        [("metadata.json", samples::metadata()), ("metadata.min.json", samples::minimal_metadata())]
    {
        let bytes = codec::encode_metadata(&meta);
        let stored = golden(file, &bytes);
        assert_eq!(codec::decode_metadata("seats-held", &stored), Ok(meta), "{file}");
        assert_eq!(stored, bytes, "{file}");
    }
}

/// The golden files have one word of each closed list; these are all of them.
#[test]
fn every_word_of_a_closed_list_is_stored_for_ever() {
    use crate::{
        apikey::Role,
        order::{RefundCause, RefundPolicy},
        show::Issuance,
        ticket::{Channel, Direction, ScanRefusal},
    };
    fn check<T>(all: &[T], stored: &str)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        assert_eq!(serde_json::to_string(all).expect("words can be written"), stored);
        assert_eq!(serde_json::from_str::<Vec<T>>(stored).expect("and read"), all);
    }
    use ScanRefusal::*;
    check(
        &[Invalid, Canceled, Revoked, WrongShow, Unpaid, InvalidTime, AlreadyRedeemed, NotInside],
        r#"["invalid","canceled","revoked","wrong_show","unpaid","invalid_time","already_redeemed","not_inside"]"#,
    );
    check(&[Direction::Entry, Direction::Exit], r#"["entry","exit"]"#);
    check(
        &[Channel::Online, Channel::BoxOffice, Channel::ConvenienceStore],
        r#"["online","box_office","convenience_store"]"#,
    );
    check(
        &[
            RefundCause::Cancelled,
            RefundCause::Unfulfilled,
            RefundCause::PaidAfterCancellation,
            RefundCause::Goodwill,
        ],
        r#"["cancelled","unfulfilled","paid_after_cancellation","goodwill"]"#,
    );
    check(
        &[RefundPolicy::Full, RefundPolicy::KeepFeeMinor(330), RefundPolicy::Nothing],
        r#"["full",{"keep_fee_minor":330},"nothing"]"#,
    );
    check(
        &[Role::Organizer, Role::BoxOffice, Role::Gate, Role::Auditor, Role::Operator],
        r#"["organizer","box_office","gate","auditor","operator"]"#,
    );
    let until = crate::time::Timestamp::from_micros(0);
    check(
        &[Issuance::Immediate, Issuance::OnRequest { until }],
        r#"["immediate",{"on_request":{"until":"1970-01-01T00:00:00Z"}}]"#,
    );
}

#[test]
fn every_kind_is_a_literal_of_the_table() {
    for (kind, _) in KINDS {
        assert_eq!(codec::known_kind(kind), Some(*kind));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        assert!(kind.len() <= 40 && kind.bytes().all(plain), "{kind}");
    }
    assert_eq!(codec::known_kind("seats-stolen"), None);
}

#[test]
fn an_unknown_kind_or_schema_version_is_named() {
    for (kind, schema) in [("seats-stolen", 1), ("seats-held", 0), ("seats-held", u16::MAX)] {
        let unknown = DecodeError::UnknownKind { kind: kind.to_owned(), schema };
        assert_eq!(codec::decode_event(kind, schema, b"{}"), Err(unknown));
    }
}

#[test]
fn an_event_that_is_cut_off_anywhere_is_bad_data() {
    for (event, _) in samples::events() {
        let (kind, schema) = codec::kind_of(&event);
        let bytes = codec::encode(&event);
        for end in 0..bytes.len() {
            let result = codec::decode_event(kind, schema, &bytes[..end]);
            assert!(matches!(result, Err(DecodeError::BadData { .. })), "{kind} up to {end}");
        }
    }
}

#[test]
fn data_of_the_wrong_shape_says_what_is_wrong() {
    let reason = |kind: &str, data: &str| match codec::decode_event(kind, 1, data.as_bytes()) {
        Err(DecodeError::BadData { kind: same, schema: 1, reason }) if same == kind => reason,
        other => panic!("{kind} {data}: {other:?}"),
    };
    let code_key = |data: &str| reason("code-key-added", data);
    assert!(code_key(r#"{"code_key":"1"}"#).starts_with("invalid type: string"));
    assert!(code_key(r#"{"code_key":256}"#).starts_with("invalid value: integer `256`"));
    assert!(code_key("{}").starts_with("missing field `code_key`"));
    assert!(code_key("[1]]").starts_with("trailing characters"));
    assert!(code_key("\u{ff}\u{fe}").starts_with("expected value"));
    let refund = reason("refund-failed", r#"{"refund":"no ulid","reason":"why"}"#);
    assert!(refund.contains("ULID") || refund.contains("invalid length"), "{refund}");
    let label = reason("organizer-registered", r#"{"name":""}"#);
    assert!(label.starts_with("name must not be empty"), "{label}");
}

#[test]
fn an_error_is_short_however_long_the_data_is() {
    let long = "長".repeat(10_000);
    let data = format!(r#"{{"code_key":"{long}"}}"#);
    for error in [
        codec::decode_event("code-key-added", 1, data.as_bytes()).unwrap_err(),
        codec::decode_event(&long, 1, b"{}").unwrap_err(),
        codec::decode_metadata(&long, format!(r#"{{"actor":["{long}"]}}"#).as_bytes()).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.chars().count() < 600, "{text}");
    }
    let place = codec::decode_event("code-key-added", 1, data.as_bytes()).unwrap_err().to_string();
    assert!(place.ends_with(" at line 1 column 30014"), "{place}");
}

#[test]
fn metadata_that_cannot_be_read_names_the_kind() {
    let data = br#"{"code_key":1}"#;
    let whole = codec::encode_metadata(&samples::metadata());
    for meta in [&whole[..whole.len() - 1], b"", b"{}", br#"{"actor":1}"#, br#"{"actor":"a@b"}"#] {
        let result = codec::decode("code-key-added", 1, data, meta);
        let Err(DecodeError::BadMetadata { kind, reason }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(kind, "code-key-added");
        assert!(!reason.is_empty());
    }
    let good: Metadata = codec::decode("code-key-added", 1, data, &whole).unwrap().meta;
    assert_eq!(good, samples::metadata());
}
