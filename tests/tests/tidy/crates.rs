//! Which crate may know which.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, none, root, tracked};

type Graph = BTreeMap<String, BTreeSet<String>>;

/// The arrows between the library crates. ARCHITECTURE.md has the same ones in words.
const ARROWS: [(&str, &[&str]); 5] = [
    ("domain", &[]),
    ("commands", &["domain"]),
    ("projections", &["domain"]),
    ("api", &["commands", "domain", "projections"]),
    ("adapters", &["commands", "domain", "projections"]),
];

/// Whoever sees everything: the program, and what proves and measures it.
const ABOVE: [&str; 3] = ["", "tests", "benches"];

/// Words of a manifest's section that name packages.
fn section(manifest: &str, wanted: &str) -> BTreeSet<String> {
    let mut current = String::new();
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            current = name.trim_end_matches(']').to_owned();
        } else if current == wanted && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

fn ours(names: &BTreeSet<String>) -> BTreeSet<String> {
    names.iter().filter_map(|name| name.strip_prefix("hakken-")).map(str::to_owned).collect()
}

fn manifest(of: &str) -> String {
    let file = root().join(of).join("Cargo.toml");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn in_manifests(kind: &str) -> Graph {
    let crates = ARROWS.iter().map(|(name, _)| *name);
    crates.map(|name| (name.to_owned(), ours(&section(&manifest(name), kind)))).collect()
}

/// `a ← b` and `a → b, c` of the paragraph that begins with `Arrows:`.
fn in_architecture(text: &str) -> Graph {
    let mut graph: Graph = Graph::from([("domain".to_owned(), BTreeSet::new())]);
    let paragraph = text.split("\n\n").find(|part| part.trim_start().starts_with("Arrows:"));
    let paragraph =
        paragraph.expect("ARCHITECTURE.md has a paragraph `Arrows:`").replace('\n', " ");
    // What stands behind `Never` is not an arrow.
    let allowed = paragraph.split("**Never**").next().unwrap_or_default();
    for arrow in allowed.split('`').skip(1).step_by(2) {
        if let Some((known, knows)) = arrow.split_once('←') {
            graph.entry(knows.trim().to_owned()).or_default().insert(known.trim().to_owned());
        } else if let Some((knows, known)) = arrow.split_once('→') {
            let known = known.split(',').map(|name| name.trim().to_owned());
            graph.entry(knows.trim().to_owned()).or_default().extend(known);
        }
    }
    graph
}

fn listed() -> Graph {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    ARROWS.iter().map(|(name, known)| (name.to_string(), set(known))).collect()
}

#[test]
fn the_crates_know_each_other_as_the_architecture_says() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert_eq!(in_architecture(&text), listed(), "ARCHITECTURE.md against this list");
    assert_eq!(in_manifests("dependencies"), listed(), "the manifests against this list");
    for (name, known) in in_manifests("dev-dependencies") {
        let allowed = &listed()[&name];
        assert!(known.is_subset(allowed), "tests of {name} know {known:?}");
    }
}

#[test]
fn a_wrong_arrow_would_be_seen() {
    let arrows = "Arrows: `domain ← commands`, `api →\ncommands, domain`; **Never** `a → b`.\n\nMore `c → d`.";
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let expected = Graph::from([
        ("api".to_owned(), set(&["commands", "domain"])),
        ("commands".to_owned(), set(&["domain"])),
        ("domain".to_owned(), set(&[])),
    ]);
    assert_eq!(in_architecture(arrows), expected);
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nhakken-domain.workspace = true\n\
                    tokio = { workspace = true }\n[dev-dependencies]\nhakken-api.workspace = true\n";
    assert_eq!(ours(&section(manifest, "dependencies")), set(&["domain"]));
    assert_eq!(ours(&section(manifest, "dev-dependencies")), set(&["api"]));
}

#[test]
fn every_member_of_the_workspace_is_known_and_nobody_knows_those_above() {
    let workspace = manifest("");
    let members = workspace.lines().find(|line| line.starts_with("members")).expect("members");
    let members: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    let known = ARROWS.iter().map(|(name, _)| *name).chain(ABOVE).filter(|name| !name.is_empty());
    assert_eq!(members, known.collect());
    for (name, _) in ARROWS {
        let all = manifest(name);
        assert!(!all.contains("hakken-tests") && !all.contains("hakken-benches"), "{name}");
    }
}

#[test]
fn only_tests_can_take_a_guard_out() {
    let manifests = tracked().into_iter().filter(|file| file.path.ends_with("Cargo.toml"));
    none(manifests.filter_map(|file| {
        let text = file.text();
        let in_default =
            section(&text, "features").contains("default") && text.contains("sabotage");
        let allowed = ["domain/Cargo.toml", "tests/Cargo.toml"].contains(&file.path.as_str());
        let wrong = in_default || (!allowed && text.contains("sabotage"));
        wrong.then(|| format!("{} knows the feature that takes guards out", file.path))
    }));
    none(tracked().iter().filter(|file| file.is_library()).filter_map(|file| {
        let wrong = file.path != "domain/src/guard.rs" && file.text().contains("sabotage");
        wrong.then(|| format!("{} knows the feature that takes guards out", file.path))
    }));
    let text = std::fs::read_to_string(root().join("tests/run")).expect("it runs every test");
    assert!(text.contains("--features sabotage"), "tests/run does not take guards out");
}

#[test]
fn the_rule_book_waits_for_nothing_and_reaches_nowhere() {
    const FOREIGN: [&str; 14] = [
        "tokio",
        "futures",
        "async",
        "sqlx",
        "axum",
        "reqwest",
        "rand",
        "getrandom",
        "fastrand",
        "chrono",
        "tracing",
        "log",
        "anyhow",
        "eventstore",
    ];
    let names = section(&manifest("domain"), "dependencies");
    let foreign = names.iter().filter(|name| FOREIGN.iter().any(|word| name.starts_with(word)));
    none(foreign.map(|name| format!("domain depends on {name}")));
    const WORDS: [&str; 8] = [
        "async fn",
        ".await",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "SystemTime",
        "Instant::now",
    ];
    let in_domain = |file: &File| file.is_library() && file.path.starts_with("domain/");
    none(tracked().iter().filter(|file| in_domain(file)).flat_map(|file| {
        let text = file.text();
        let found: Vec<_> = WORDS.iter().filter(|word| text.contains(**word)).collect();
        found.into_iter().map(|word| format!("{}: {word}", file.path)).collect::<Vec<_>>()
    }));
}
