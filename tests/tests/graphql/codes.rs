//! Every code of the page about errors: it is one of the schema or of the code, and it is
//! provoked.

mod between;
mod catalogue;
mod money;
mod places;
mod tickets;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::stage::Actor;

/// The codes that were met, and where another one came than was expected.
#[derive(Default)]
struct Met {
    codes: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Met {
    /// Asks for a mutation that must be refused with this code.
    #[track_caller]
    fn refused<'a>(
        &'a mut self,
        code: &'a str,
        actor: &'a Actor,
        mutation: &'a str,
        mut input: Value,
    ) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            if input.get("idempotencyKey").is_none() {
                input["idempotencyKey"] = actor.fresh().into();
            }
            let (found, _) = actor.refusal(mutation, input.clone()).await;
            if found != code {
                self.wrong.push(format!("{place}: {found:?}, not {code}: {mutation} {input}"));
            }
            self.codes.insert(found);
        }
    }
}

/// A mutation that must not be refused.
async fn done(actor: &Actor, mutation: &str, mut input: Value, fields: &str) -> Value {
    if input.get("idempotencyKey").is_none() {
        input["idempotencyKey"] = actor.fresh().into();
    }
    let payload = actor.mutate(mutation, input.clone(), fields).await;
    assert_eq!(payload["userErrors"], json!([]), "{mutation} {input}: {payload}");
    payload
}

fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package stands in the workspace").to_owned()
}

/// The rows of the tables under a heading of `docs/errors.md`.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    let part = page.split("\n## ").find(|part| part.lines().next() == Some(heading));
    let part = part.unwrap_or_else(|| panic!("docs/errors.md has no `## {heading}`"));
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_matches('|');
        line.split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    rows.map(cells).collect()
}

fn codes(heading: &str) -> BTreeSet<String> {
    let rows = rows(heading);
    let codes: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(codes.len(), rows.len(), "{heading}: a code stands there twice");
    codes
}

/// The codes of the schema with what it says of each.
fn of_the_schema() -> BTreeMap<String, String> {
    let sdl = hakken_api::sdl();
    let body = sdl.split("enum ErrorCode {").nth(1).expect("the codes");
    let body = body.split("\n}").next().expect("their end");
    let mut found = BTreeMap::new();
    let mut parts = body.split("\"\"\"").skip(1);
    while let (Some(words), Some(code)) = (parts.next(), parts.next()) {
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        found.insert(code.trim().to_owned(), words);
    }
    found
}

#[test]
fn the_page_has_every_refusal_of_the_schema_in_its_words_and_no_other() {
    let schema = of_the_schema();
    assert!(schema.len() > 100, "{} codes only", schema.len());
    let mut rows_of_page = rows("Refusals");
    rows_of_page.extend(rows("Refusals among ourselves"));
    let page: BTreeMap<String, String> =
        rows_of_page.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(page.len(), rows_of_page.len(), "a code stands there twice");
    assert_eq!(page, schema);
    let silent: Vec<_> = rows_of_page.iter().filter(|row| row[2].len() < 8).collect();
    assert!(silent.is_empty(), "what to do next? {silent:?}");
}

/// Provokes each, area by area.
#[tokio::test]
async fn every_refusal_that_a_client_can_meet_is_met() {
    let mut met = Met::default();
    places::meet(&mut met).await;
    money::meet(&mut met).await;
    tickets::meet(&mut met).await;
    catalogue::meet(&mut met).await;
    between::meet(&mut met).await;
    assert_eq!(met.wrong, Vec::<String>::new());
    let met = met.codes;
    let documented = codes("Refusals");
    let missing: Vec<_> = documented.difference(&met).collect();
    let undocumented: Vec<_> = met.difference(&documented).collect();
    assert!(
        missing.is_empty() && undocumented.is_empty(),
        "never met: {missing:?}; met, but not for clients: {undocumented:?}"
    );
}

/// All Rust files below a folder.
fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            into.push((path, text));
        }
    }
}

/// Whole texts in capitals: `"BAD_REQUEST"`.
fn shouted(text: &str) -> BTreeSet<String> {
    let quoted = text.split('"').skip(1);
    let is_code = |part: &&str| {
        part.len() > 4 && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    quoted.filter(is_code).map(str::to_owned).collect()
}

/// What stands in capitals in the code and is no code of an error.
const NO_CODES: [&str; 8] = [
    "AUDITOR",
    "BOX_OFFICE",
    "CARGO_MANIFEST_DIR",
    "HAKKEN_BLESS",
    "OPERATOR",
    "ORGANIZER",
    "TCP_NODELAY",
    "TCP_USER_TIMEOUT",
];

#[test]
fn the_page_has_every_fault_of_the_code_and_each_is_asked_for_in_a_test() {
    let (mut code, mut tests) = (Vec::new(), Vec::new());
    sources(&root().join("api/src"), &mut code);
    code.push((
        PathBuf::from("src/connections.rs"),
        std::fs::read_to_string(root().join("src/connections.rs")).expect("text"),
    ));
    let found: BTreeSet<String> = code
        .iter()
        .filter(|(path, _)| !path.components().any(|part| part.as_os_str() == "tests"))
        .flat_map(|(_, text)| shouted(text))
        .filter(|word| !NO_CODES.contains(&word.as_str()))
        .collect();
    let mut page = codes("Faults");
    page.extend(codes("Bounds"));
    assert_eq!(found, page, "left: the code, right: docs/errors.md");
    sources(&root().join("tests/tests"), &mut tests);
    sources(&root().join("tests/program"), &mut tests);
    let asked: BTreeSet<String> = tests
        .iter()
        .chain(
            code.iter()
                .filter(|(path, text)| path.ends_with("tests.rs") || text.contains("#[cfg(test)]")),
        )
        .flat_map(|(_, text)| shouted(text.split("#[cfg(test)]").last().unwrap_or_default()))
        .collect();
    let never: Vec<_> = found.difference(&asked).collect();
    assert!(never.is_empty(), "no test asks for {never:?}");
}
