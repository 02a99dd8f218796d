//! The checks of documents by themselves, without an engine behind them: for tests and benchmarks.

use std::sync::Arc;

use async_graphql::Variables;

use super::{Ready, Refused, Types, read};

/// Checks documents as the endpoint does.
#[derive(Debug)]
pub struct DocumentGate(Types);

/// A document that would be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// How many steps it took to check it; the endpoint gives up beyond a bound.
    pub steps: u64,
    /// What it may cost, in points.
    pub cost: u64,
}

/// Why a document would not be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// As `extensions.code` says it.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Line and column of each place concerned.
    pub places: Vec<(usize, usize)>,
    /// The name of the bound that is broken, if one is.
    pub limit: Option<&'static str>,
}

/// What is wrong with a document, and how many steps it took to find that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPassed {
    /// Each reason; at least one.
    pub reasons: Vec<Reason>,
    /// How many steps it took.
    pub steps: u64,
}

impl DocumentGate {
    /// For a schema in the schema definition language, which must be a right one.
    pub fn new(sdl: &str) -> Self {
        Self(Types::new(sdl))
    }

    /// Checks a document and the values of its variables.
    pub fn check(
        &self,
        text: &str,
        operation: Option<&str>,
        variables: serde_json::Value,
    ) -> Result<Passed, NotPassed> {
        let (document, steps) = read(&self.0, text, operation);
        let refused = |refused| NotPassed { reasons: reasons(refused), steps };
        let document = document.map_err(refused)?;
        let ready = Ready::new(&self.0, Arc::new(document), Variables::from_json(variables));
        Ok(Passed { steps, cost: ready.map_err(refused)?.charge.cost })
    }
}

fn reasons(refused: Refused) -> Vec<Reason> {
    let each = refused.0.into_iter().map(|refusal| Reason {
        code: refusal.code,
        message: refusal.message,
        places: refusal.locations.iter().map(|at| (at.line, at.column)).collect(),
        limit: refusal.limit.map(|limit| limit.name),
    });
    each.collect()
}
