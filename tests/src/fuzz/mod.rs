//! Fuzzing: whatever comes from outside, or back from a disk, is thrown at the code that reads it.
//! A target is a plain function that panics when a property does not hold: what is accepted comes
//! back the same through its own text form, what is refused says why in a bounded text, and
//! nothing costs more than its size allows.
//!
//! Every run of the tests replays the corpus in `fuzz/corpus/<target>/`, and then a fixed number of
//! mutations of it, with a fixed seed and with a fresh one that is printed:
//!
//! ```text
//! cargo test -p hakken-tests fuzz                                            all targets
//! HAKKEN_FUZZ_SEED=7 cargo test -p hakken-tests fuzz::seat_map -- --nocapture    a seed again
//! HAKKEN_FUZZ_SECONDS=600 cargo test -p hakken-tests fuzz::seat_map -- --nocapture   for longer
//! cargo +nightly fuzz run seat_map -- -max_total_time=600     guided by coverage (cargo-fuzz)
//! cargo +nightly fuzz run seat_map fuzz/artifacts/seat_map/1f2e                one input again
//! ```
//!
//! Some inputs are made and not kept, since they change with the program: `HAKKEN_FUZZ_SEEDS=folder`
//! writes them there, as a second corpus for coverage-guided runs.
//!
//! An input that breaks a property is written to `fuzz/artifacts/<target>/`. Once its cause is
//! mended it is kept in the corpus under a name that says what it is, and a test sentence stands
//! beside the fix. `fuzz/minimise` throws out of the corpus what reaches nothing of its own.

pub mod corpus;
pub mod drive;
mod generate;
pub mod mutator;
pub mod panics;
mod schema;
mod stage;
pub mod targets;
mod xml;

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken, and the properties of what is taken hold.
    Accepted,
    /// It was refused as it should be.
    Refused,
}

impl Verdict {
    /// Whether it was taken.
    pub fn of(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

/// Something that reads what others wrote.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of its folder in the corpus and of its coverage-guided twin.
    pub name: &'static str,
    /// Gives it an input. Panics when a property does not hold.
    pub run: fn(&[u8]) -> Verdict,
    /// Words that mean something to it.
    pub words: &'static [&'static str],
    /// Inputs that are made and not kept, since they change with the program.
    pub made: fn() -> Vec<corpus::Entry>,
    /// How many mutations each seed gets when the tests run.
    pub mutations: usize,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    targets::events::TARGET,
    targets::text::TARGET,
    targets::codes::TARGET,
    targets::seat_map::TARGET,
    targets::snapshot::TARGET,
    targets::history::TARGET,
    targets::store_file::TARGET,
    targets::http::TARGET,
    targets::graphql::TARGET,
    targets::socket::TARGET,
];

/// Gives an input to a target by its name and panics, caught by nobody, when a property does not
/// hold: for a fuzzer that watches the process.
pub fn guided(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    if let Err(failure) = drive::check(target, "a coverage-guided run", input) {
        panic!("{}", failure.what);
    }
}

/// Refuses texts for people that are as long as what they are about: a refusal of a megabyte must
/// not be a megabyte in the log and on the wire.
#[track_caller]
pub fn assert_short(what: &str) {
    const MOST: usize = 1_200;
    let count = what.chars().count();
    let start: String = what.chars().take(200).collect();
    assert!(count <= MOST, "a refusal has {count} characters: {start}…");
    assert!(count > 0, "a refusal says nothing");
}
