//! What the pages for people say, against what is there.

use std::collections::BTreeSet;

use super::{none, root, tracked};

const WORDS: [&str; 17] = [
    "Organizer",
    "Venue",
    "Seat map",
    "Show",
    "Leg",
    "Pool",
    "Allotment",
    "Hold",
    "Order",
    "Item",
    "Ticket",
    "Issuance",
    "Reissue",
    "Issuance deadline",
    "Scan",
    "Gate",
    "Event",
];
const JAPANESE: [&str; 16] = [
    "主催者",
    "会場",
    "座席図",
    "公演・便",
    "区間",
    "自由席・定員枠",
    "割当",
    "仮押さえ",
    "予約・注文",
    "券",
    "発券",
    "再発行",
    "発券期限",
    "検札",
    "ゲート",
    "発券",
];

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_architecture_is_short_and_has_every_word() {
    let text = page("ARCHITECTURE.md");
    let lines = text.lines().count();
    assert!(lines <= 300, "ARCHITECTURE.md has {lines} lines");
    let table = text.split("\n## ").find(|part| part.starts_with("Words")).expect("`## Words`");
    let missing = WORDS.iter().chain(&JAPANESE).filter(|word| !table.contains(**word));
    none(missing.map(|word| format!("the table of words has no {word}")));
}

#[test]
fn the_map_shows_every_folder_and_no_other() {
    let text = page("ARCHITECTURE.md");
    let map = text.split("```").nth(1).expect("a map in a block of code");
    let is_folder = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let folders = map.lines().filter(is_folder).filter_map(|line| line.split('/').next());
    let shown: BTreeSet<String> = folders.map(str::to_owned).collect();
    let files = tracked();
    let there: BTreeSet<String> = files
        .iter()
        .filter_map(|file| file.path.split_once('/'))
        .map(|(folder, _)| folder.to_owned())
        .filter(|folder| !folder.starts_with('.'))
        .collect();
    if !files.is_empty() {
        assert_eq!(shown, there);
    }
}

/// `seats-held` of `domain/golden/seats-held.v1.json`
fn kinds() -> BTreeSet<String> {
    let files = tracked();
    let golden = files.iter().filter_map(|file| file.path.strip_prefix("domain/golden/"));
    golden.filter_map(|name| name.split_once(".v")).map(|(kind, _)| kind.to_owned()).collect()
}

#[test]
fn every_stored_shape_is_committed_and_in_the_changelog() {
    let folder = std::fs::read_dir(root().join("domain/golden")).expect("domain/golden");
    let there: BTreeSet<String> =
        folder.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let files = tracked();
    let known: BTreeSet<String> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("domain/golden/").map(str::to_owned))
        .collect();
    if files.is_empty() {
        return;
    }
    assert_eq!(there, known, "golden files on disk against those that are committed");
    let codec = page("domain/src/codec.rs");
    let changelog = page("CHANGELOG.md");
    let storage = changelog.split("### Storage").nth(1).expect("`### Storage`");
    none(kinds().iter().flat_map(|kind| {
        let in_codec = codec.contains(&format!("\"{kind}\""));
        let noted = storage.contains(&format!("`{kind}`"));
        [
            (!in_codec).then(|| format!("the codec does not know {kind}")),
            (!noted).then(|| format!("CHANGELOG.md does not note {kind} under Storage")),
        ]
        .into_iter()
        .flatten()
    }));
}

#[test]
fn the_schema_is_committed() {
    let files = tracked();
    let has = |start: &str| files.iter().any(|file| file.path.starts_with(start));
    // The crate's own test compares it with the code.
    assert!(!has("api/src/schema") || has("api/schema.graphql"), "api/schema.graphql is missing");
}

#[test]
fn the_pages_name_files_that_are_there() {
    let files = tracked();
    let is_path = |text: &str| {
        text.contains('/')
            && !text.starts_with('/')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    let top: BTreeSet<&str> = files.iter().filter_map(|f| f.path.split('/').next()).collect();
    let pages = files.iter().filter(|file| file.extension() == Some("md") && !file.is_foreign());
    none(pages.flat_map(|page| {
        let text = page.text();
        let quoted = text.split('`').skip(1).step_by(2).filter(|text| is_path(text));
        let ours = quoted.filter(|path| top.contains(path.split('/').next().unwrap_or_default()));
        let missing = ours.filter(|path| !root().join(path).exists());
        missing.map(|path| format!("{}: there is no {path}", page.path)).collect::<Vec<_>>()
    }));
}

/// `hakken demo`, `cargo run -- demo`, `cargo run --release -- demo --exit`
fn subcommand(line: &str) -> Option<&str> {
    let line = line.trim().trim_start_matches("$ ");
    let rest = match line.strip_prefix("cargo run") {
        Some(rest) => rest.split_once("-- ")?.1,
        None => line.strip_prefix("hakken ").or(line.strip_prefix("./target/release/hakken "))?,
    };
    rest.split_whitespace().next().filter(|word| !word.starts_with('-'))
}

#[test]
fn the_commands_of_the_readme_exist() {
    let files = tracked();
    let Some(readme) = files.iter().find(|file| file.path == "README.md") else { return };
    let cli = page("src/cli.rs").to_lowercase();
    let text = readme.text();
    let blocks = text.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines);
    none(lines.filter_map(|line| {
        let words = line.trim().trim_start_matches("$ ");
        let script = words.split_whitespace().next().filter(|word| word.ends_with("/run"));
        let missing_script = script.filter(|script| !root().join(script).exists());
        // A variant of the enumeration of commands: `    Demo(…)`, `    Demo {`, `    Demo,`.
        let known = |name: &str| {
            let name = name.replace('-', "");
            cli.lines().any(|line| {
                let line = line.trim();
                ["(", " {", ","].iter().any(|end| line.starts_with(&format!("{name}{end}")))
            })
        };
        let missing = subcommand(words).filter(|name| !known(name));
        missing.or(missing_script).map(|name| format!("README.md: {name} of {line:?}"))
    }));
}

#[test]
fn commands_are_found_in_lines() {
    assert_eq!(subcommand("$ hakken serve --listen :8080"), Some("serve"));
    assert_eq!(subcommand("cargo run --release -- demo --exit"), Some("demo"));
    assert_eq!(subcommand("cargo run"), None);
    assert_eq!(subcommand("curl localhost"), None);
}
