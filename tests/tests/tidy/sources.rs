//! What stands in the files.

use super::{File, none, tracked};

/// Most lines of a Rust file.
const MOST_LINES: usize = 650;
/// Files that are longer, with the lines that they may have. This list only gets shorter.
const LONGER: [(&str, usize); 0] = [];

const KINDS: [&str; 21] = [
    "rs",
    "sql",
    "toml",
    "lock",
    "md",
    "json",
    "txt",
    "graphql",
    "svg",
    "js",
    "cjs",
    "ts",
    "css",
    "html",
    "py",
    "png",
    "ico",
    "woff2",
    "yml",
    "proptest-regressions",
    "gitattributes",
];
const NAMES: [&str; 7] = [
    ".gitignore",
    ".gitattributes",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    ".ci/run",
    "tests/run",
    "tests/clients/.npmrc",
];
/// Programs that people run by hand.
const SCRIPTS: [&str; 4] = [".ci/run", "tests/run", "api/assets/graphiql/update", "fuzz/minimise"];

/// Every line with its number.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// Does the line have this word, and not only as a part of another one?
fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) =
            (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        !is_letter(before) && !is_letter(after)
    })
}

fn complaints(files: &[File], wrong: impl Fn(&File, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in lines(&file.text()) {
            if wrong(file, line) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

fn own(wanted: impl Fn(&File) -> bool) -> Vec<File> {
    let binary = |file: &File| matches!(file.extension(), Some("png" | "ico" | "woff2"));
    tracked().into_iter().filter(|f| !f.is_foreign() && !binary(f) && wanted(f)).collect()
}

#[test]
fn every_file_is_of_a_known_kind() {
    none(tracked().iter().filter_map(|file| {
        let known = file.is_input()
            || NAMES.contains(&file.path.as_str())
            || SCRIPTS.contains(&file.path.as_str())
            || file.extension().is_some_and(|extension| KINDS.contains(&extension));
        (!known).then(|| format!("{}: what is this?", file.path))
    }));
}

#[test]
fn what_people_run_can_be_run() {
    let files = tracked();
    none(SCRIPTS.iter().filter_map(|script| {
        let file = files.iter().find(|file| file.path == *script);
        let runs = files.is_empty() || file.is_some_and(|file| file.executable);
        (!runs).then(|| format!("{script} is not there or cannot be run"))
    }));
}

#[test]
fn text_is_utf_8_with_plain_line_ends() {
    // Golden files are stored bytes, without any line end.
    let is_text = |file: &File| !file.path.starts_with("domain/golden/");
    none(own(is_text).iter().flat_map(|file| {
        let text = file.text();
        let mut wrong = Vec::new();
        if text.contains('\r') {
            wrong.push(format!("{}: carriage returns", file.path));
        }
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            wrong.push(format!("{}: ends without a line end, or with empty lines", file.path));
        }
        wrong
    }));
}

#[test]
fn nothing_is_left_for_later() {
    const LATER: [&str; 5] = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("to", "do!"),
        concat!("unimplemen", "ted!"),
    ];
    let later = |_: &File, line: &str| LATER.iter().any(|word| has_word(line, word));
    none(complaints(&own(|file| file.extension() != Some("json")), later));
}

#[test]
fn libraries_print_nothing() {
    const PRINTS: [&str; 5] = ["println!", "print!", "eprintln!", "eprint!", concat!("db", "g!")];
    let prints = |_: &File, line: &str| PRINTS.iter().any(|word| has_word(line, word));
    none(complaints(&own(File::is_library), prints));
}

#[test]
fn no_test_is_ignored_and_every_exception_has_a_reason() {
    let ignored = concat!("#[ign", "ore");
    none(complaints(&own(File::is_rust), |_, line| line.trim_start().starts_with(ignored)));
    none(own(File::is_rust).iter().flat_map(|file| {
        let text = file.text();
        unreasoned(&text)
            .into_iter()
            .map(|at| {
                let number = text[..at].matches('\n').count() + 1;
                format!("{}:{number}: an exception without a reason", file.path)
            })
            .collect::<Vec<_>>()
    }));
}

/// Where an `allow` or `expect` of a lint stands that does not say why.
fn unreasoned(text: &str) -> Vec<usize> {
    let begins = [("#[al", "low("), ("#![al", "low("), ("#[exp", "ect("), ("#![exp", "ect(")];
    let begins = begins.map(|(first, second)| format!("{first}{second}"));
    let found = begins.iter().flat_map(|begin| text.match_indices(begin.as_str()));
    let found = found.filter(|(at, _)| {
        let attribute = &text[*at..];
        let end = attribute.find(")]").unwrap_or(attribute.len());
        !attribute[..end].contains("reason")
    });
    found.map(|(at, _)| at).collect()
}

#[test]
fn files_are_short() {
    let files = own(File::is_rust);
    none(files.iter().filter_map(|file| {
        let count = file.text().lines().count();
        let longer = LONGER.iter().find(|(path, _)| *path == file.path);
        let most = longer.map_or(MOST_LINES, |(_, most)| *most);
        (count > most).then(|| format!("{} has {count} lines, more than {most}", file.path))
    }));
    none(LONGER.iter().filter_map(|(path, most)| {
        let count = files.iter().find(|file| file.path == *path).map(|f| f.text().lines().count());
        let needed = count.is_some_and(|count| count > MOST_LINES && count == *most);
        (!needed).then(|| format!("{path} has {count:?} lines: make the list shorter"))
    }));
}

#[test]
fn nothing_names_a_machine() {
    let folders = ["root", "work", "tmp", "home", "Users", "mnt"].map(|name| format!("/{name}/"));
    const HOSTS: [&str; 6] = [
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("pypi", ".org"),
        concat!("files.pythonhosted", ".org"),
        concat!("registry.npmjs", ".org"),
        concat!("proxy.golang", ".org"),
    ];
    let names_machine = |_: &File, line: &str| {
        let is_path = |folder: &String| {
            line.match_indices(folder.as_str()).any(|(at, _)| {
                // A path begins there; `target/tmp/x` or a URL's path does not.
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && !"._-}/)".contains(c))
            })
        };
        folders.iter().any(is_path) || HOSTS.iter().any(|host| line.contains(host))
    };
    none(complaints(&own(|_| true), names_machine));
    let lock = tracked().into_iter().find(|file| file.path == "Cargo.lock");
    let source = concat!("\"registry+https://github.com/rust-lang/crates", ".io-index\"");
    none(lock.iter().flat_map(|lock| {
        let text = lock.text();
        let sources = text.lines().filter(|line| line.starts_with("source = "));
        let other = sources.filter(|line| line.strip_prefix("source = ") != Some(source));
        other.map(str::to_owned).collect::<Vec<_>>()
    }));
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert!(has_word("// FOO: later", "FOO") && !has_word("SeaFOOd FOOD", "FOO"));
    assert!(has_word("    foo!(x)", "foo!") && !has_word("a_foo!()", "foo!"));
    let begin = concat!("#[exp", "ect(");
    assert_eq!(unreasoned(&format!("{begin}dead_code)]")).len(), 1);
    assert_eq!(unreasoned(&format!("{begin}\n  dead_code,\n  reason = \"so\"\n)]")).len(), 0);
}
