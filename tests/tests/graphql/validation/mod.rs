//! Which documents are valid: as the reference implementation has it. A corpus by hand says for
//! each rule what keeps and what breaks it; the reference implementation itself, run with Node,
//! says the same of the corpus and of documents that are made from it.

mod made;
mod oracle;

use hakken_api::{DocumentGate, sdl};
use serde_json::{Value, json};

use made::Maker;
use oracle::{Case, Verdict, oracle};

const DOCUMENTS: &str = include_str!("../../../clients/validation/documents.txt");
const VALUES: &str = include_str!("../../../clients/validation/values.json");

/// A document of the corpus.
struct Document {
    valid: bool,
    name: &'static str,
    text: &'static str,
}

fn corpus() -> Vec<Document> {
    let each = DOCUMENTS.split("\n== ").skip(1).map(|part| {
        let (head, text) = part.split_once('\n').expect("a line and a document");
        let (kind, name) = head.split_once(": ").expect("what it is and why");
        assert!(["valid", "invalid"].contains(&kind), "{head}");
        Document { valid: kind == "valid", name, text }
    });
    each.collect()
}

fn values() -> Vec<(String, Value)> {
    let read: Vec<Value> = serde_json::from_str(VALUES).expect("JSON");
    let each = read.into_iter().map(|mut case| {
        (case["text"].as_str().expect("a text").to_owned(), case["variables"].take())
    });
    each.collect()
}

/// What the gate says of a document whose first operation is meant.
fn gate(gate: &DocumentGate, text: &str, variables: Option<&Value>) -> Verdict {
    match gate.check(text, None, variables.cloned().unwrap_or_else(|| json!({}))) {
        Ok(_) => Verdict { valid: true, reason: String::new() },
        Err(refused) => {
            let first = &refused.reasons[0];
            // Without values a document can be valid all the same.
            let is_value = first.code == "BAD_USER_INPUT" && variables.is_none();
            // Which operation is meant is not asked here.
            let is_choice = first.code == "OPERATION_RESOLUTION_FAILURE";
            if is_choice {
                return named(gate, text, &first.message);
            }
            Verdict { valid: is_value, reason: format!("{}: {}", first.code, first.message) }
        }
    }
}

/// Of a document with several operations: one of them is asked for.
fn named(gate: &DocumentGate, text: &str, reason: &str) -> Verdict {
    let words: Vec<&str> = text.split(|of: char| !of.is_alphanumeric() && of != '_').collect();
    let kinds = ["query", "mutation", "subscription"];
    let names = words.windows(2).filter(|two| kinds.contains(&two[0])).map(|two| two[1]);
    let checked = names.filter_map(|name| match gate.check(text, Some(name), json!({})) {
        Ok(_) => Some(Ok(())),
        Err(refused) if refused.reasons[0].code == "OPERATION_RESOLUTION_FAILURE" => None,
        Err(refused) if refused.reasons[0].code == "BAD_USER_INPUT" => Some(Ok(())),
        Err(refused) => Some(Err(refused.reasons[0].message.clone())),
    });
    match checked.into_iter().next() {
        Some(Ok(())) => Verdict { valid: true, reason: String::new() },
        Some(Err(reason)) => Verdict { valid: false, reason },
        None => Verdict { valid: false, reason: reason.to_owned() },
    }
}

#[test]
fn every_document_of_the_corpus_is_what_it_says() {
    let checks = DocumentGate::new(&sdl());
    for Document { valid, name, text } in corpus() {
        let found = gate(&checks, text, None);
        assert_eq!(found.valid, valid, "{name}: {}\n{text}", found.reason);
    }
}

#[test]
fn what_is_wrong_has_a_known_code_and_its_places() {
    let checks = DocumentGate::new(&sdl());
    for Document { name, text, .. } in corpus().into_iter().filter(|document| !document.valid) {
        let Err(refused) = checks.check(text, None, json!({})) else { continue };
        for reason in &refused.reasons {
            let known = [
                "GRAPHQL_PARSE_FAILED",
                "GRAPHQL_VALIDATION_FAILED",
                "OPERATION_RESOLUTION_FAILURE",
            ];
            assert!(known.contains(&reason.code), "{name}: {reason:?}");
            let is_somewhere = reason.code == known[2] || !reason.places.is_empty();
            assert!(is_somewhere, "{name}: {reason:?}");
        }
        assert!(refused.reasons.len() < 10, "{name}");
    }
}

#[test]
fn the_reference_implementation_says_the_same_of_the_corpus_and_of_what_is_made_from_it() {
    let corpus = corpus();
    let texts: Vec<&str> = corpus.iter().map(|document| document.text).collect();
    let mut cases: Vec<Case> = texts.iter().map(|text| Case::of(text)).collect();
    cases.extend(values().into_iter().map(|(text, values)| Case { text, variables: Some(values) }));
    let valid = corpus.iter().filter(|document| document.valid);
    let mut maker = Maker::new(7, &valid.map(|document| document.text).collect::<Vec<_>>(), &texts);
    cases.extend((0..3_000).map(|_| Case::of(&maker.make())));
    let Some(verdicts) = oracle(&sdl(), &cases) else { return };
    assert_eq!(verdicts.len(), cases.len());
    let checks = DocumentGate::new(&sdl());
    let mut differ = Vec::new();
    for (case, expected) in cases.iter().zip(&verdicts) {
        let found = gate(&checks, &case.text, case.variables.as_ref());
        if found.valid != expected.valid {
            let (text, variables) = (&case.text, &case.variables);
            differ.push(format!(
                "{text}\n  variables {variables:?}\n  here {found:?}\n  there {expected:?}\n"
            ));
        }
    }
    let valid = verdicts.iter().filter(|verdict| verdict.valid).count();
    // Documents of one kind alone would say nothing.
    println!("{valid} of {} documents are valid", verdicts.len());
    assert!(valid > 300 && verdicts.len() - valid > 300, "{valid} of {}", verdicts.len());
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ[..differ.len().min(12)].join("\n")
    );
}
