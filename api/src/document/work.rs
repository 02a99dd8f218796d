//! What checking a document may cost, and what is found wrong with it.
//!
//! Every loop over a document counts its steps. A step is a few dozen nanoseconds, so that a
//! bound on steps is a bound on time that does not depend on the machine, and tests can hold it.

use async_graphql::Pos;

use super::ast::At;

/// Most steps for one document: a few milliseconds. The largest documents that programs send take
/// a tenth of it.
pub(super) const MAX_STEPS: u64 = 200_000;
/// Most errors that are told at once.
const MAX_ERRORS: usize = 8;

pub(super) const PARSE: &str = "GRAPHQL_PARSE_FAILED";
pub(super) const INVALID: &str = "GRAPHQL_VALIDATION_FAILED";

/// One reason why a document is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// As `extensions.code` says it.
    pub(crate) code: &'static str,
    /// What is wrong, for developers.
    pub(crate) message: String,
    /// Where, in the document.
    pub(crate) locations: Vec<Pos>,
    /// Which bound it breaks, if it breaks one.
    pub(crate) limit: Option<Limit>,
}

/// A bound that a document breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Limit {
    /// Its name, for programs.
    pub(crate) name: &'static str,
    /// The bound.
    pub(crate) most: u64,
    /// What the document has; at least so much where nobody counted on.
    pub(crate) found: u64,
}

impl Refusal {
    /// Without a place.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), locations: Vec::new(), limit: None }
    }

    /// At a place.
    pub(super) fn at(code: &'static str, at: At, message: impl Into<String>) -> Self {
        Self { locations: vec![at.into()], ..Self::new(code, message) }
    }

    /// A bound is broken; `what` is counted.
    pub(super) fn limit(name: &'static str, most: usize, found: usize, what: &str) -> Self {
        let message = format!(
            "The document has {found} {what}; at most {most} are allowed. Ask for less, or in \
             several requests."
        );
        let limit = Limit { name, most: most as u64, found: found as u64 };
        Self { limit: Some(limit), ..Self::new(INVALID, message) }
    }
}

/// Enough is known: the errors stand in [`Work`].
#[derive(Debug)]
pub(super) struct Stop;

pub(super) type Checked<T = ()> = Result<T, Stop>;

/// Counts steps and keeps what was found.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) steps: u64,
    pub(super) found: Vec<Refusal>,
}

impl Work {
    pub(super) fn new() -> Self {
        Self { steps: 0, found: Vec::new() }
    }

    /// Counts steps; stops where there are too many.
    pub(super) fn step(&mut self, steps: usize) -> Checked {
        self.steps += steps as u64;
        if self.steps <= MAX_STEPS {
            return Ok(());
        }
        let limit = Limit { name: "STEPS", most: MAX_STEPS, found: self.steps };
        let message = "Checking the document takes too much work: too much of it has to be \
                       compared with too much. Ask for less, or in several requests.";
        let refusal = Refusal { limit: Some(limit), ..Refusal::new(INVALID, message) };
        self.stop(refusal)
    }

    /// The only thing to say.
    pub(super) fn stop<T>(&mut self, refusal: Refusal) -> Checked<T> {
        self.found.clear();
        self.found.push(refusal);
        Err(Stop)
    }

    /// Something is wrong; others may be, too.
    pub(super) fn wrong(&mut self, places: &[At], message: String) -> Checked {
        let locations = places.iter().map(|at| (*at).into()).collect();
        self.found.push(Refusal { locations, ..Refusal::new(INVALID, message) });
        if self.found.len() < MAX_ERRORS { Ok(()) } else { Err(Stop) }
    }
}
