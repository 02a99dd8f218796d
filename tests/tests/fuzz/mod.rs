//! Fuzzing in every run of the tests: the corpus, and mutations of it from a fixed seed and from one
//! that nobody has seen. `hakken_tests::fuzz` says how to run it for longer.

mod controls;
mod regressions;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    path::Path,
    time::Duration,
};

use hakken_tests::fuzz::{
    TARGETS, Target, Verdict, corpus,
    drive::{self, Until},
};

/// The seed of every run.
const SEED: u64 = 3;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let mut corpus = corpus::read(name);
    let made = (target.made)();
    if let Some(folder) = std::env::var_os("HAKKEN_FUZZ_SEEDS") {
        corpus::write(Path::new(&folder), name, &made);
    }
    corpus.extend(made);
    let replayed = drive::replay(target, &corpus).unwrap_or_else(|failure| failure.report(target));
    assert!(replayed.accepted > 0, "nothing in the corpus is accepted");
    assert!(replayed.refused > 0, "nothing in the corpus is refused");
    // What is accepted gets further when it is changed: every other mutation begins with it.
    let is_accepted = |entry: &&corpus::Entry| {
        drive::check(target, &entry.name, &entry.bytes) == Ok(Verdict::Accepted)
    };
    let accepted: Vec<_> = corpus.iter().filter(is_accepted).cloned().collect();
    let refused = corpus.len() - accepted.len();
    corpus.extend(accepted.iter().cycle().take(refused.saturating_sub(accepted.len())).cloned());
    let fresh = RandomState::new().build_hasher().finish() % 1_000_000;
    let seeds = match number("HAKKEN_FUZZ_SEED") {
        Some(seed) => vec![seed],
        None => vec![SEED, fresh],
    };
    let until = match number("HAKKEN_FUZZ_SECONDS") {
        Some(seconds) => Until::Time(Duration::from_secs(seconds / seeds.len() as u64)),
        None => Until::Mutations(target.mutations),
    };
    for seed in seeds {
        println!("{name}: HAKKEN_FUZZ_SEED={seed}");
        mutated(target, &corpus, seed, until);
    }
}

fn mutated(target: &Target, corpus: &[corpus::Entry], seed: u64, until: Until) {
    let ran =
        drive::mutate(target, corpus, seed, until).unwrap_or_else(|failure| failure.report(target));
    println!("{}: {} inputs, {} of them accepted", target.name, ran.inputs(), ran.accepted);
    assert!(ran.accepted > 0, "every mutation is refused: nothing behind the door is tried");
    assert!(ran.refused > 0, "every mutation is accepted: nothing is refused");
}

macro_rules! targets {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*
    };
}

targets!(
    stored_event text ticket_code seat_map snapshot history store_file http_request graphql socket
);

#[test]
fn every_target_is_run_and_has_a_coverage_guided_twin() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, NAMES);
    let folders = std::fs::read_dir(corpus::folder().join("corpus")).expect("a corpus");
    let mut folders: Vec<_> = folders
        .map(|folder| folder.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(folders, sorted, "a corpus for each target and for no other");
    let manifest =
        std::fs::read_to_string(corpus::folder().join("Cargo.toml")).expect("it is there");
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not in fuzz/Cargo.toml"
        );
    }
}

#[test]
fn the_corpus_is_small() {
    let bytes: usize = TARGETS
        .iter()
        .flat_map(|target| corpus::read(target.name))
        .map(|entry| entry.bytes.len())
        .sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}
