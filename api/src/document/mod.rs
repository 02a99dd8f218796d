//! What stands before anything is carried out, over HTTP and WebSocket alike: a document is read,
//! measured, checked against the schema as the reference implementation checks it, and the values
//! of its variables are made what its operation wants. What comes out is carried out without
//! another look.
//!
//! The library's own parser and rules are not used: they let through what is wrong (fields that
//! cannot share a place, variables where null may not be), and take time that doubles with each
//! fragment. Here every loop counts its steps ([`work`]).

mod ast;
mod coerce;
mod cost;
mod gate;
mod graph;
mod lexer;
mod lower;
mod measure;
mod parser;
mod rules;
mod schema_size;
#[cfg(test)]
mod tests;
mod types;
mod uses;
mod work;

use std::sync::Arc;

use async_graphql::{
    Request, Variables,
    parser::types::{ExecutableDocument, OperationType},
};
use serde::Serialize;

use ast::{Ast, Operation, Selection};
pub(crate) use coerce::MAX_VALUES;
use coerce::Wanted;
pub(crate) use cost::Charge;
pub use gate::{DocumentGate, NotPassed, Passed, Reason};
use graph::Graph;
use rules::Scope;
pub(crate) use types::Types;
pub(crate) use work::Refusal;
use work::{Checked, Stop, Work};

/// Most bytes of a document. Large values belong in variables.
const MAX_BYTES: usize = 64 << 10;
/// Most characters of a message: what cannot be read is quoted, and may be long.
pub(crate) const MAX_MESSAGE: usize = 1_000;

/// Why a request is not carried out, where nothing of a document is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Why a request is not carried out: one reason or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) Vec<Refusal>);

impl Refused {
    /// What kind of refusal it is, which is the same for all reasons.
    pub(crate) fn code(&self) -> &'static str {
        self.0.first().map_or("BAD_REQUEST", |first| first.code)
    }

    /// The first reason, in words.
    pub(crate) fn message(&self) -> String {
        self.0.first().map(|first| first.message.clone()).unwrap_or_default()
    }

    /// As it stands in `errors`.
    pub(crate) fn errors(&self) -> Vec<serde_json::Value> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Extensions {
            code: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            limit: Option<work::Limit>,
        }
        let each = self.0.iter().map(|refusal| {
            let extensions = Extensions { code: refusal.code, limit: refusal.limit };
            let message = hakken_domain::text::shortened_within(&refusal.message, MAX_MESSAGE);
            let mut error = serde_json::json!({ "message": message, "extensions": extensions });
            if !refusal.locations.is_empty() {
                error["locations"] = serde_json::json!(refusal.locations);
            }
            error
        });
        each.collect()
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(vec![refusal])
    }
}

impl From<RequestError> for Refused {
    fn from(error: RequestError) -> Self {
        Self(vec![Refusal::new(error.code, error.message)])
    }
}

/// A document that may be carried out, and the operation that is asked for.
#[derive(Debug)]
pub(crate) struct Document {
    parsed: ExecutableDocument,
    /// The operation's name, as it was asked for.
    pub(crate) operation: Option<String>,
    /// Its name, asked for or not.
    name: Option<String>,
    pub(crate) kind: OperationType,
    /// It asks about the schema alone.
    pub(crate) introspects: bool,
    /// It asks what is free of one show, and nothing else.
    pub(crate) polls: bool,
    wanted: Vec<Wanted>,
    plan: cost::Plan,
}

impl Document {
    /// What it has cost, by what it brought.
    pub(crate) fn actual_cost(&self, data: &async_graphql::Value) -> u64 {
        cost::actual(self.kind, data)
    }

    /// The operation's name, whether it was asked for by it or is the only one.
    pub(crate) fn operation_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The kind, as metrics and spans name it.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        }
    }
}

/// A document with values: nothing stands between it and being carried out.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) document: Arc<Document>,
    variables: Variables,
    /// What it may cost.
    pub(crate) charge: Charge,
}

impl Ready {
    /// Brings the values of a request to a document.
    pub(crate) fn new(
        types: &Types,
        document: Arc<Document>,
        variables: Variables,
    ) -> Result<Self, Refused> {
        let variables = coerce::coerce(types, &document.wanted, variables).map_err(Refused)?;
        let charge = document.plan.checked(&variables)?;
        Ok(Self { document, variables, charge })
    }

    /// For the schema.
    pub(crate) fn request(self, text: impl Into<String>) -> Request {
        let mut parsed = self.document.parsed.clone();
        let omitted = coerce::omitted(&self.document.wanted, &self.variables);
        if !omitted.is_empty() {
            lower::omit(&mut parsed, &omitted);
        }
        let mut request = Request::new(text).variables(self.variables);
        request.set_parsed_query(parsed);
        request
    }
}

/// Reads a document, checks it and chooses its operation; says how many steps that took.
pub(crate) fn read(
    types: &Types,
    text: &str,
    operation: Option<&str>,
) -> (Result<Document, Refused>, u64) {
    let mut work = Work::new();
    let found = match examine(types, text, operation, &mut work) {
        Ok(document) if work.found.is_empty() => Ok(document),
        _ => Err(Refused(work.found)),
    };
    (found, work.steps)
}

fn examine(types: &Types, text: &str, wanted: Option<&str>, work: &mut Work) -> Checked<Document> {
    if text.len() > MAX_BYTES {
        let refusal = Refusal::limit("BYTES", MAX_BYTES, text.len(), "bytes");
        let message = format!("{} Send large values in variables.", refusal.message);
        return work.stop(Refusal { code: "BAD_REQUEST", message, ..refusal });
    }
    let (ast, tokens) = match parser::parse(text) {
        Ok(read) => read,
        Err(refusal) => return work.stop(refusal),
    };
    work.step(tokens)?;
    let at = choose(&ast, wanted, work)?;
    let operation = &ast.operations[at];
    let graph = Graph::new(&ast, work)?;
    let measured = measure::measure(&ast, &graph, work)?;
    let scope = Scope { types, ast: &ast, graph: &graph };
    rules::check(scope, work)?;
    if !work.found.is_empty() {
        return Err(Stop);
    }
    let plan = cost::plan(scope, operation, work)?;
    let used = graph.used(at, work)?;
    let polls = operation.kind == OperationType::Query
        && matches!(operation.set.items.as_slice(),
            [Selection::Field(only)] if only.name.text == "availability");
    Ok(Document {
        parsed: lower::lower(&ast, operation, &used),
        operation: wanted.map(ToOwned::to_owned),
        name: operation.name.map(|name| name.text.to_owned()),
        kind: operation.kind,
        introspects: measured[at].introspects,
        polls,
        wanted: variables(types, operation),
        plan,
    })
}

fn variables(types: &Types, operation: &Operation<'_>) -> Vec<Wanted> {
    let each = operation.variables.iter().filter_map(|variable| {
        Some(Wanted {
            name: variable.name.text.to_owned(),
            at: variable.name.at,
            of: types.resolve(&variable.of)?,
            has_default: variable.default.is_some(),
        })
    });
    each.collect()
}

fn choose(ast: &Ast<'_>, wanted: Option<&str>, work: &mut Work) -> Checked<usize> {
    let message = match wanted {
        Some(wanted) => {
            let is_it =
                |operation: &Operation<'_>| operation.name.is_some_and(|name| name.text == wanted);
            match ast.operations.iter().position(is_it) {
                Some(at) => return Ok(at),
                None => {
                    let wanted: String = wanted.chars().take(60).collect();
                    format!("The document has no operation {wanted:?}.")
                }
            }
        }
        None => match ast.operations.len() {
            1 => return Ok(0),
            0 => "The document has no operation.".to_owned(),
            _ => "The document has several operations: say which with operationName.".to_owned(),
        },
    };
    work.stop(Refusal::new("OPERATION_RESOLUTION_FAILURE", message))
}
