//! Runs a target over its corpus and over mutations of it, and says what breaks a property.

use std::time::{Duration, Instant};

use super::{
    Target, Verdict,
    corpus::{self, Entry},
    mutator::Mutator,
    panics,
};

/// Longest that one input may take, on a machine that does other things as well.
const MOST_TIME: Duration = Duration::from_secs(20);

/// How many inputs were taken and refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ran {
    /// So many were accepted.
    pub accepted: usize,
    /// So many were refused.
    pub refused: usize,
}

impl Ran {
    /// All of them.
    pub fn inputs(self) -> usize {
        self.accepted + self.refused
    }

    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Refused => self.refused += 1,
        }
    }
}

/// An input that broke a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it came from: a file of the corpus, or a seed and the number of the mutation.
    pub origin: String,
    /// The input.
    pub input: Vec<u8>,
    /// What panicked, and how.
    pub what: String,
}

impl Failure {
    /// Keeps the input and panics with everything that one needs to look into it.
    pub fn report(&self, target: &Target) -> ! {
        let name = target.name;
        let file = corpus::keep_artifact(name, &self.input);
        let shown = String::from_utf8_lossy(&self.input);
        let start: String = shown.chars().take(2_000).collect();
        panic!(
            "fuzz target {name}, {}:\n{}\nthe input is {}:\n{}",
            self.origin,
            self.what,
            file.display(),
            start.escape_debug()
        );
    }
}

/// When mutating ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After so many.
    Mutations(usize),
    /// After so long.
    Time(Duration),
}

/// Gives a target an input.
pub fn check(target: &Target, origin: &str, input: &[u8]) -> Result<Verdict, Box<Failure>> {
    let begun = Instant::now();
    let (verdict, panicked) = panics::watch(|| (target.run)(input));
    let took = begun.elapsed();
    let failure = |what: String| {
        Err(Box::new(Failure { origin: origin.to_owned(), input: input.to_owned(), what }))
    };
    match verdict {
        Some(verdict) if panicked.is_empty() && took <= MOST_TIME => Ok(verdict),
        Some(_) if panicked.is_empty() => failure(format!("it took {took:?}")),
        _ => failure(panicked.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// The whole corpus.
pub fn replay(target: &Target, corpus: &[Entry]) -> Result<Ran, Box<Failure>> {
    let mut ran = Ran::default();
    for Entry { name, bytes } in corpus {
        ran.count(check(target, &format!("corpus file {name}"), bytes)?);
    }
    Ok(ran)
}

/// Mutations of the corpus; the same ones for the same seed and corpus.
pub fn mutate(
    target: &Target,
    corpus: &[Entry],
    seed: u64,
    until: Until,
) -> Result<Ran, Box<Failure>> {
    let mut mutator = Mutator::new(seed, corpus, target.words);
    let mut ran = Ran::default();
    let begun = Instant::now();
    for number in 0.. {
        let is_over = match until {
            Until::Mutations(count) => number >= count,
            Until::Time(time) => begun.elapsed() >= time,
        };
        if is_over {
            break;
        }
        let origin = format!("seed {seed}, mutation {number}");
        ran.count(check(target, &origin, &mutator.next_input())?);
    }
    Ok(ran)
}
