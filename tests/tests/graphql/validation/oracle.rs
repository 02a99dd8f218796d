//! The reference implementation, asked through Node. Where Node is missing it says nothing; in CI
//! that is a failure.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Serialize)]
pub struct Case {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables: Option<Value>,
}

impl Case {
    pub fn of(text: &str) -> Self {
        Self { text: text.to_owned(), variables: None }
    }
}

#[derive(Debug, Deserialize)]
pub struct Verdict {
    pub valid: bool,
    pub reason: String,
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Asks about all cases; `None`, with words, where nobody can be asked.
pub fn oracle(sdl: &str, cases: &[Case]) -> Option<Vec<Verdict>> {
    let Some(place) = installed() else {
        assert!(std::env::var_os("CI").is_none(), "CI has Node and the package graphql");
        println!("skipped: Node with the package graphql is needed to ask the reference");
        return None;
    };
    let file = place.join(format!("cases-{}.json", std::process::id()));
    fs::write(&file, json!({ "sdl": sdl, "cases": cases }).to_string()).expect("a file");
    let script = folder("tests/clients/validation/oracle.cjs");
    let output = Command::new("node").arg(script).arg(&file).output().expect("Node was there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "the oracle failed: {said}");
    fs::remove_file(&file).expect("the file is there");
    Some(serde_json::from_slice(&output.stdout).expect("verdicts"))
}

/// Where the package is: below `target/`, never in the tree.
fn installed() -> Option<PathBuf> {
    let place = folder("target/clients/validation");
    if !Command::new("node").arg("--version").output().is_ok_and(|run| run.status.success()) {
        return None;
    }
    fs::create_dir_all(&place).ok()?;
    let wanted = fs::read(folder("tests/clients/validation/package.json")).ok()?;
    let there = place.join("package.json");
    let done = place.join("node_modules/graphql/package.json");
    if done.exists() && fs::read(&there).is_ok_and(|there| there == wanted) {
        return Some(place);
    }
    fs::write(&there, wanted).ok()?;
    let arguments = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"];
    let run = Command::new("npm").args(arguments).current_dir(&place).output().ok()?;
    if !run.status.success() {
        println!("npm install: {}", String::from_utf8_lossy(&run.stderr));
    }
    done.exists().then_some(place)
}
