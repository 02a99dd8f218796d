//! `GET /export/{list}`: everything of a list, one JSON object a line, as fast as its reader takes
//! it. Each line has its cursor, so that who was cut off goes on behind the last line that came;
//! the last line says that it is the last.
//!
//! Pages are read through the schema, so that rights, filters and shapes are the list's own. One
//! page is in memory at a time, and the next is read when the one before it has gone out. A reader
//! that takes nothing for a while loses its place.

mod lists;
mod patience;

use std::{convert::Infallible, sync::Arc};

use async_graphql::{
    Request, ServerError, Value, Variables,
    parser::{parse_query, types::ExecutableDocument},
};
use axum::{
    body::{Body, Bytes},
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use hakken_domain::envelope::Position;
use lists::List;
use patience::Patience;
use serde::Deserialize;
use serde_json::json;

use super::{App, fault, graphql, places::Place, problem, with_extensions};
use crate::{
    auth::{Anybody, Caller},
    faults::Fault,
    schema::{
        batch::Batches, connection::MAX_PAGE, context::IdempotencyHeader, pace::Pace, visible,
    },
};

/// Most exports at once: each keeps a core busy as long as its reader is fast.
pub(super) const ALL: usize = 16;
/// Most exports of one key at once.
pub(super) const OF_ONE_KEY: usize = 4;

/// One JSON object a line.
const JSON_LINES: &str = "application/x-ndjson; charset=utf-8";

/// What stands in the URL.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Parameters {
    /// Go on behind this cursor.
    after: Option<String>,
    /// The list's own filter, as JSON.
    filter: Option<String>,
    /// For operators: only what is this organizer's.
    organizer: Option<String>,
    /// See at least what happened up to this position.
    at_least: Option<u64>,
    /// Of a list of events: only up to this position.
    up_to: Option<u64>,
}

/// `GET /export/{list}`.
pub(super) async fn export(
    State(app): State<App>,
    list: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let bad = |message: &str| problem(StatusCode::BAD_REQUEST, "BAD_REQUEST", message);
    let named = list.ok().and_then(|Path(name)| List::named(&name));
    let Some(list) = named else {
        let message = format!("There is no such list. These can be exported: {}.", List::names());
        return problem(StatusCode::NOT_FOUND, "NOT_FOUND", &message);
    };
    let parameters = match parameters {
        Ok(Query(parameters)) => parameters,
        Err(error) => return bad(&error.body_text()),
    };
    let caller = match graphql::caller(&app, &headers).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return fault(StatusCode::UNAUTHORIZED, &Fault::NoKey),
        Err(response) => return response,
    };
    let at_least = parameters.at_least.map(Position);
    if let Err(late) = visible::wait(&app.api, list.projection, at_least).await {
        return fault(StatusCode::SERVICE_UNAVAILABLE, &late);
    }
    let Some(place) = app.exports.take(caller.key, 1) else {
        return fault(StatusCode::SERVICE_UNAVAILABLE, &Fault::Busy);
    };
    let begun = match Running::begin(app, list, parameters, headers, place) {
        Ok(running) => running,
        Err(Stop::Bad(message)) => return bad(&message),
        Err(Stop::Fault(down)) => return fault(StatusCode::SERVICE_UNAVAILABLE, &down),
    };
    begun.answer(caller).await
}

/// Why an export does not begin.
enum Stop {
    Bad(String),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// An export that is under way.
struct Running {
    app: App,
    list: &'static List,
    document: ExecutableDocument,
    variables: Variables,
    /// With the key, which is looked at again for each page: it may be revoked.
    headers: HeaderMap,
    /// What is recorded later is left out, if the list is one of events.
    up_to: Option<Position>,
    after: Option<String>,
    rows: u64,
    is_over: bool,
    patience: Patience,
}

impl Running {
    fn begin(
        app: App,
        list: &'static List,
        parameters: Parameters,
        mut headers: HeaderMap,
        place: Place,
    ) -> Result<Self, Stop> {
        let key = headers.remove(header::AUTHORIZATION);
        let headers = key.into_iter().map(|key| (header::AUTHORIZATION, key)).collect();
        let at = reached(&app, list)?;
        let up_to = match (list.is_log(), parameters.up_to) {
            (true, Some(wanted)) if wanted > at.0 => {
                let message = format!("`upTo` lies ahead: the list is at position {at}.");
                return Err(Stop::Bad(message));
            }
            (true, wanted) => Some(wanted.map_or(at, Position)),
            (false, Some(_)) => {
                let message = "`upTo` is for lists of events: scans, issuanceHistory, auditLog.";
                return Err(Stop::Bad(message.to_owned()));
            }
            (false, None) => None,
        };
        let variables = variables(list, &parameters).map_err(Stop::Bad)?;
        let document = parse_query(list.document()).map_err(|wrong| {
            Fault::Internal(format!("the export of {} cannot be read: {wrong}", list.name))
        })?;
        let patience = Patience::new(place, app.api.live.slow);
        Ok(Self {
            app,
            list,
            document,
            variables,
            headers,
            up_to,
            after: parameters.after,
            rows: 0,
            is_over: false,
            patience,
        })
    }

    /// The first page decides about the status: what goes wrong later stands in the last line.
    async fn answer(mut self, caller: Caller) -> Response {
        let at = match self.position() {
            Ok(at) => at,
            Err(down) => return fault(StatusCode::SERVICE_UNAVAILABLE, &down),
        };
        let mut begin = line(&json!({
            "export": self.list.name,
            "position": at.0,
            "after": self.after,
        }));
        match self.page(caller).await {
            Ok(lines) => begin.extend(lines),
            Err(failed) => return failed.response(),
        }
        let begin = Bytes::from(begin);
        self.patience.waits();
        let rest = stream::unfold((Some(begin), self), |(begin, mut running)| async move {
            if let Some(begin) = begin {
                return Some((Ok::<_, Infallible>(begin), (None, running)));
            }
            if running.is_over {
                return None;
            }
            let next = running.next().await;
            running.patience.waits();
            Some((Ok(Bytes::from(next)), (None, running)))
        });
        ([(header::CONTENT_TYPE, JSON_LINES)], Body::from_stream(rest)).into_response()
    }

    /// The next page, or why there is none.
    async fn next(&mut self) -> Vec<u8> {
        let of = |fault: &Fault| json!({ "code": fault.code(), "message": fault.message() });
        let failed = if !self.patience.goes_on() {
            let seconds = self.app.api.live.slow.as_secs();
            of(&Fault::ExportTooSlow { seconds })
        } else {
            match graphql::caller(&self.app, &self.headers).await {
                Ok(Some(caller)) => match self.page(caller).await {
                    Ok(lines) => return lines,
                    Err(failed) => failed.error(),
                },
                _ => of(&Fault::InvalidKey),
            }
        };
        self.is_over = true;
        line(&json!({ "error": failed, "rows": self.rows, "cursor": self.after }))
    }

    async fn page(&mut self, caller: Caller) -> Result<Vec<u8>, Failed> {
        let mut variables = self.variables.clone();
        let after = self.after.clone().map_or(Value::Null, Value::String);
        variables.insert(async_graphql::Name::new("after"), after);
        let mut request = Request::new(String::new()).variables(variables);
        request.set_parsed_query(self.document.clone());
        let request = request
            .data(Anybody(Some(caller)))
            .data(IdempotencyHeader::default())
            .data(Batches::default())
            .data(Arc::new(Pace::default()));
        let mut response = self.app.schema.execute(request).await;
        graphql::coded(&mut response);
        if let Some(error) = response.errors.into_iter().next() {
            return Err(Failed(Box::new(error)));
        }
        let page = match &response.data {
            Value::Object(data) => data.get("page"),
            _ => None,
        };
        let mut lines = Vec::new();
        let mut more = page.is_some_and(has_next);
        for edge in page.and_then(|page| field(page, "edges")).into_iter().flat_map(elements) {
            if self.is_too_late(edge) {
                more = false;
                break;
            }
            lines.extend(line(edge));
            self.rows += 1;
            if let Some(Value::String(cursor)) = field(edge, "cursor") {
                self.after = Some(cursor.clone());
            }
        }
        if !more {
            self.is_over = true;
            let at = self.position().map_or_else(|_| serde_json::Value::Null, |at| at.0.into());
            let (rows, cursor) = (self.rows, &self.after);
            let end = json!({ "complete": true, "rows": rows, "cursor": cursor, "position": at });
            lines.extend(line(&end));
        }
        Ok(lines)
    }

    /// Up to where everything is in it: of a list of events that stays, else it moves.
    fn position(&self) -> Result<Position, Fault> {
        self.up_to.map_or_else(|| reached(&self.app, self.list), Ok)
    }

    fn is_too_late(&self, edge: &Value) -> bool {
        let (Some(up_to), Some(node)) = (self.up_to, field(edge, "node")) else { return false };
        let at = self.list.position.iter().try_fold(node, |value, name| field(value, name));
        matches!(at, Some(Value::Number(at)) if at.as_u64().is_some_and(|at| at > up_to.0))
    }
}

/// Up to where the rows of a list are.
fn reached(app: &App, list: &List) -> Result<Position, Fault> {
    let checkpoint = app.api.models.checkpoint(list.projection);
    Ok(checkpoint.map_err(|error| Fault::Internal(error.to_string()))?.position)
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(name),
        _ => None,
    }
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::List(elements) => elements,
        _ => &[],
    }
}

fn has_next(page: &Value) -> bool {
    let info = field(page, "pageInfo").and_then(|info| field(info, "hasNextPage"));
    info == Some(&Value::Boolean(true))
}

fn line(value: &impl serde::Serialize) -> Vec<u8> {
    // What came out of the schema can be written as JSON.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

fn variables(list: &List, parameters: &Parameters) -> Result<Variables, String> {
    let mut variables = json!({ "first": MAX_PAGE });
    if let Some(organizer) = &parameters.organizer {
        if !list.of_organizers {
            return Err(format!("{} cannot be had of one organizer alone.", list.name));
        }
        variables["organizer"] = organizer.as_str().into();
    }
    if let Some(text) = &parameters.filter {
        let filter: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("`filter` is no JSON: {error}."))?;
        list.check_filter(&filter)?;
        variables["filter"] = filter;
    }
    Ok(Variables::from_json(variables))
}

/// Why a page cannot be read.
struct Failed(Box<ServerError>);

impl Failed {
    fn code(&self) -> String {
        let code = self.0.extensions.as_ref().and_then(|extensions| extensions.get("code"));
        match code {
            Some(Value::String(code)) => code.clone(),
            _ => "INTERNAL_SERVER_ERROR".to_owned(),
        }
    }

    fn error(&self) -> serde_json::Value {
        json!({ "code": self.code(), "message": self.0.message })
    }

    /// Before anything was sent.
    fn response(&self) -> Response {
        let code = self.code();
        let status = match code.as_str() {
            "FORBIDDEN" => StatusCode::FORBIDDEN,
            "BAD_USER_INPUT" | "GRAPHQL_VALIDATION_FAILED" => StatusCode::BAD_REQUEST,
            "INTERNAL_SERVER_ERROR" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let extensions = serde_json::to_value(&self.0.extensions).unwrap_or_default();
        with_extensions(status, &self.0.message, &extensions)
    }
}
