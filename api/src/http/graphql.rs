//! GraphQL over HTTP, after the specification's second stage: only JSON bodies, queries alone over
//! GET, one operation a request, and errors always as JSON with `extensions.code`.

use std::{sync::Arc, time::Instant};

use async_graphql::{
    PathSegment, Response, ServerError, Value, Variables, parser::types::OperationType,
};
use axum::{
    body::{Body, Bytes},
    extract::{
        Query, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::Response as HttpResponse,
};
use hakken_domain::text::shortened_within;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tracing::{Span, info_span};

use super::{
    App, body,
    delivery::{Content, Keeping},
    document::{self, Document, Ready, Refused, RequestError},
    idempotency, pages,
    polls::PollNote,
    problem,
    protocol::Media,
    traces, websocket,
};
use crate::{
    auth::{self, Anybody, AuthError, Caller},
    faults::Fault,
    limits::Cost,
    metrics::Notice,
    schema::{batch::Batches, context::IdempotencyHeader, pace::Pace},
};

/// What a poll costs of which nothing has changed.
const POLL: u64 = 1;

/// A request as the specification has it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Parameters {
    pub(crate) query: Option<String>,
    /// The name of a document, in the place of its text.
    #[serde(rename = "documentId")]
    pub(crate) document_id: Option<String>,
    #[serde(rename = "operationName")]
    pub(crate) operation: Option<String>,
    #[serde(default)]
    pub(crate) variables: Variables,
    /// An object; only `cost` is known of it.
    #[serde(default)]
    pub(crate) extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Parameters {
    /// Reads the JSON of a request.
    pub(crate) fn from_json(body: &[u8]) -> Result<Self, RequestError> {
        let bad = |message: String| RequestError { code: "BAD_REQUEST", message };
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            let message = "Batches are not accepted: send one operation a request.";
            return Err(bad(message.to_owned()));
        }
        serde_json::from_slice(body)
            .map_err(|error| bad(format!("The body is no GraphQL request: {error}.")))
    }

    /// Whether the client wants to know what the operation costs: `"extensions": {"cost": true}`.
    pub(crate) fn wants_cost(&self) -> bool {
        let wanted = self.extensions.as_ref().and_then(|extensions| extensions.get("cost"));
        wanted.is_some_and(|wanted| *wanted == true)
    }

    /// Checks the document, unless it was carried out before, and its variables. True if it was.
    pub(crate) fn ready(self, app: &App) -> Result<(Ready, bool), Refused> {
        let (text, operation) = (self.text()?, self.operation.as_deref());
        let (document, is_known) = match app.documents.find(text, operation) {
            Some(known) => (known, true),
            None => (Arc::new(document::read(&app.types, text, operation).0?), false),
        };
        Ok((Ready::new(&app.types, document, self.variables)?, is_known))
    }

    fn text(&self) -> Result<&str, RequestError> {
        let text = self.query.as_deref().filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| RequestError {
            code: "BAD_REQUEST",
            message: "`query` is missing: the document to execute (or its name, `documentId`)."
                .to_owned(),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct UrlParameters {
    query: Option<String>,
    #[serde(rename = "documentId")]
    document_id: Option<String>,
    #[serde(rename = "operationName")]
    operation: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

impl UrlParameters {
    fn names_nothing(&self) -> bool {
        self.query.is_none() && self.document_id.is_none() && self.extensions.is_none()
    }

    pub(super) fn read(self) -> Result<Parameters, RequestError> {
        Ok(Parameters {
            query: self.query,
            document_id: self.document_id,
            operation: self.operation.filter(|name| !name.is_empty()),
            variables: object("variables", self.variables)?,
            extensions: object("extensions", self.extensions)?,
        })
    }
}

/// Reads JSON that stands in a URL.
fn object<T: Default + DeserializeOwned>(
    name: &str,
    text: Option<String>,
) -> Result<T, RequestError> {
    match text.as_deref() {
        None | Some("") => Ok(T::default()),
        Some(text) => serde_json::from_str(text).map_err(|error| RequestError {
            code: "BAD_REQUEST",
            message: format!("`{name}` is no JSON object: {error}."),
        }),
    }
}

/// `GET /graphql`: a WebSocket, GraphiQL for people, or a query.
pub(super) async fn get(
    State(app): State<App>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    uri: Uri,
    url: Result<Query<UrlParameters>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> HttpResponse {
    if let Ok(socket) = socket {
        return websocket::accept(app, socket, &headers);
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let url = match url {
        Ok(Query(url)) => url,
        Err(error) => return bad_request(Media::Json, &error.body_text()),
    };
    if url.names_nothing() && accept.is_some_and(|accept| accept.contains("text/html")) {
        return pages::explorer();
    }
    let Some(media) = Media::negotiate(accept) else { return not_acceptable() };
    // No body of a request begins with this.
    let poll = Bytes::from(format!("?{}", uri.query().unwrap_or_default()));
    let asked = Asked { method: Method::GET, headers, media, poll };
    if let Some(response) = polled(&app, &asked).await {
        return response;
    }
    match url.read() {
        Ok(parameters) => answer(app, asked, parameters).await,
        Err(error) => refused(media, StatusCode::BAD_REQUEST, error),
    }
}

/// `POST /graphql`.
pub(super) async fn post(State(app): State<App>, headers: HeaderMap, body: Body) -> HttpResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let Some(media) = Media::negotiate(accept) else { return not_acceptable() };
    let (body, _room) = match body::read(&app, &headers, body).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let asked = Asked { method: Method::POST, headers, media, poll: body };
    if let Some(response) = polled(&app, &asked).await {
        return response;
    }
    match Parameters::from_json(&asked.poll) {
        Ok(parameters) => answer(app, asked, parameters).await,
        Err(error) => refused(media, StatusCode::BAD_REQUEST, error),
    }
}

/// What is asked, beside the document and its variables.
struct Asked {
    method: Method,
    headers: HeaderMap,
    media: Media,
    /// All that the client sent of the request: who sends the same asks the same.
    poll: Bytes,
}

/// The answer to a poll that was answered before and of which nothing has changed since.
async fn polled(app: &App, asked: &Asked) -> Option<HttpResponse> {
    let Asked { method, headers, media, poll } = asked;
    if !app.polls.knows(poll) {
        return None;
    }
    let caller = caller(app, headers).await.ok()??;
    let answer = app.polls.answer(&app.api, &caller, poll, *media).await?;
    if let Err(throttled) = app.limits.enter(Some(caller.key), POLL) {
        app.metrics.throttled();
        return Some(super::throttled(*media, &throttled));
    }
    record(Some(&caller));
    app.metrics.ran("query");
    Some(answer.response(headers, Keeping::of(method)).await)
}

/// Any other method.
pub(super) async fn not_allowed() -> HttpResponse {
    let message = "Send GraphQL requests with POST, or queries with GET.";
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST", message);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    response
}

fn not_acceptable() -> HttpResponse {
    problem(
        StatusCode::NOT_ACCEPTABLE,
        "BAD_REQUEST",
        "Answers come as application/graphql-response+json or application/json: accept one of \
         them.",
    )
}

fn bad_request(media: Media, message: &str) -> HttpResponse {
    let error = RequestError { code: "BAD_REQUEST", message: message.to_owned() };
    refused(media, StatusCode::BAD_REQUEST, error)
}

fn refused(media: Media, status: StatusCode, error: impl Into<Refused>) -> HttpResponse {
    let mut response = super::not_carried_out(status, &error.into());
    response.headers_mut().insert(header::CONTENT_TYPE, media.header());
    response
}

async fn answer(app: App, asked: Asked, mut parameters: Parameters) -> HttpResponse {
    let Asked { method, headers, media, poll } = asked;
    let wants_cost = parameters.wants_cost();
    let stored = app.stored.resolve(&mut parameters).map_err(Refused::from);
    let text = parameters.query.clone().unwrap_or_default();
    let found = stored.and_then(|keep| Ok((keep, parameters.ready(&app)?)));
    let (keep, (ready, is_known)) = match found {
        Ok(found) => found,
        Err(error) => return refused(media, media.status_of(error.code()), error),
    };
    let document = ready.document.clone();
    if let Some(response) = wrong_method(&method, &document, media) {
        return response;
    }
    let caller = match caller(&app, &headers).await {
        Ok(caller) => caller,
        Err(response) => return with_media(response, media),
    };
    if caller.is_none() && !document.introspects {
        return with_media(unauthenticated(&Fault::NoKey), media);
    }
    let idempotency = match idempotency::key(&headers) {
        Ok(key) => IdempotencyHeader::new(key),
        Err(error) => return refused(media, StatusCode::BAD_REQUEST, error),
    };
    let key = caller.as_ref().map(|caller| caller.key);
    let pass = match app.limits.enter(key, ready.charge.cost) {
        Ok(pass) => pass,
        Err(throttled) => {
            app.metrics.throttled();
            return super::throttled(media, &throttled);
        }
    };
    record(caller.as_ref());
    app.metrics.ran(document.kind_name());
    // Nobody without a key decides what is kept.
    let to_keep = if is_known || caller.is_none() { None } else { Some(text.clone()) };
    let keep = caller.is_some().then_some(keep);
    let note = Arc::new(PollNote::default());
    let mut request = ready.request(text);
    // What is kept of a poll says nothing of what it costs.
    if document.polls && !wants_cost {
        request = request.data(note.clone());
    }
    let asker = caller.clone();
    let pace = Arc::new(Pace::default());
    let request = request.data(Anybody(caller)).data(idempotency).data(Batches::default());
    let begun = Instant::now();
    let work = app.schema.execute(request.data(pace.clone()));
    let mut response = traces::operation(&app, &document, work).await;
    app.metrics.carried_out(document.kind_name(), begun.elapsed());
    let executed = coded(&mut response);
    failed(&app, asker.as_ref(), &response.errors);
    let cost = wants_cost.then(|| pass.cost(document.actual_cost(&response.data)));
    if executed {
        if let Some(text) = to_keep {
            app.documents.keep(&text, document);
        }
        if let Some(keep) = keep {
            app.stored.keep(keep);
        }
    }
    let written = pace.beside(move || Written::of(response, executed, cost)).await;
    let Written { bytes, errors } = match written {
        Some(Ok(written)) => written,
        // None comes when the server ends.
        failed => {
            let words = failed.and_then(Result::err).map(|error| error.to_string());
            let fault = Fault::Internal(words.unwrap_or_default());
            return super::fault(StatusCode::INTERNAL_SERVER_ERROR, &fault);
        }
    };
    let answer = Content::new(media.header(), bytes);
    let is_whole = executed && errors.is_empty();
    if let (Some(polled), true) = (note.take(), is_whole) {
        app.polls.keep(&poll, media, polled, answer.clone());
    }
    let keeping = match Keeping::of(&method) {
        Keeping::Asking if !is_whole => Keeping::Forbidden,
        keeping => keeping,
    };
    let later = errors.iter().filter_map(retry_after).max();
    let mut response = answer.response(&headers, keeping).await;
    if !executed {
        *response.status_mut() = media.request_error();
    }
    if let Some(seconds) = later {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Counts the errors of an answer.
pub(super) fn failed(app: &App, caller: Option<&Caller>, errors: &[ServerError]) {
    for error in errors {
        let at = app.api.write.engine().clock().now();
        let field = error.path.first().and_then(|first| match first {
            PathSegment::Field(name) => Some(name.as_str()),
            PathSegment::Index(_) => None,
        });
        let code = traces::code_of(error).unwrap_or_else(|| default_code(error)).to_owned();
        let notice = Notice::now(at, caller, field, &error.message);
        app.metrics.failed(Notice { code, ..notice });
    }
}

/// An answer as it is sent, and the errors that stand in it.
struct Written {
    bytes: Vec<u8>,
    errors: Vec<ServerError>,
}

impl Written {
    fn of(response: Response, executed: bool, cost: Option<Cost>) -> serde_json::Result<Self> {
        let bytes = serde_json::to_vec(&Answer::of(&response, executed).with_cost(cost))?;
        Ok(Self { bytes, errors: response.errors })
    }
}

/// The answer to an operation of a kind that may not come this way.
fn wrong_method(method: &Method, document: &Document, media: Media) -> Option<HttpResponse> {
    let bad = |message: &str| RequestError { code: "BAD_REQUEST", message: message.to_owned() };
    if *method == Method::GET && document.kind != OperationType::Query {
        let error = bad("Only queries may be sent with GET: send this one with POST.");
        let mut response = refused(media, StatusCode::METHOD_NOT_ALLOWED, error);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    if document.kind == OperationType::Subscription {
        let error =
            bad("Subscriptions are served at the same path over WebSocket, with the subprotocol \
             graphql-transport-ws, and as an event stream: accept text/event-stream.");
        return Some(refused(media, StatusCode::BAD_REQUEST, error));
    }
    None
}

/// Says in the request's span who asks.
fn record(caller: Option<&Caller>) {
    let Some(caller) = caller else { return };
    let span = Span::current();
    span.record("key", tracing::field::display(caller.key));
    span.record("role", crate::faults::role_name(caller.role));
}

/// The span of an operation over WebSocket: named by its kind, never by a name that a client chose.
pub(super) fn span_of(kind: &'static str, caller: Option<&Caller>) -> Span {
    let key = caller.map(|caller| caller.key.to_string());
    let role = caller.map(|caller| crate::faults::role_name(caller.role));
    match kind {
        "mutation" => info_span!("mutation", key, role),
        "subscription" => info_span!("subscription", key, role),
        _ => info_span!("query", key, role),
    }
}

/// Whose key the request shows, if it shows one.
pub(super) async fn caller(app: &App, headers: &HeaderMap) -> Result<Option<Caller>, HttpResponse> {
    let Some(header) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let key = header.to_str().map_err(|_| AuthError::NotAKey).and_then(auth::bearer);
    let checked = match key {
        Ok(key) => auth::check(&app.api, &key).await,
        Err(error) => Err(error),
    };
    match checked {
        Ok(caller) => Ok(Some(caller)),
        Err(AuthError::NotAKey | AuthError::NotValid) => Err(unauthenticated(&Fault::InvalidKey)),
        Err(AuthError::Busy) => Err(super::fault(StatusCode::SERVICE_UNAVAILABLE, &Fault::Busy)),
        Err(AuthError::Unavailable) => {
            Err(super::fault(StatusCode::SERVICE_UNAVAILABLE, &Fault::ReadsUnavailable))
        }
    }
}

pub(super) fn unauthenticated(fault: &Fault) -> HttpResponse {
    let mut response = super::fault(StatusCode::UNAUTHORIZED, fault);
    let scheme = HeaderValue::from_static("Bearer realm=\"hakken\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    response
}

fn with_media(mut response: HttpResponse, media: Media) -> HttpResponse {
    response.headers_mut().insert(header::CONTENT_TYPE, media.header());
    response
}

/// What is sent of an answer: without `data` if nothing was executed.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [async_graphql::ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Told>,
}

/// What is told beside the data.
#[derive(Serialize)]
struct Told {
    cost: Cost,
}

/// Gives every error its code, and cuts what it says to what people read. True if the request was executed.
pub(super) fn coded(response: &mut Response) -> bool {
    // Every field at the root is nullable: without data nothing was executed.
    let executed = response.errors.is_empty() || response.data != Value::Null;
    for error in &mut response.errors {
        // What is refused is quoted.
        error.message = shortened_within(&error.message, document::MAX_MESSAGE);
        let code = default_code(error);
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", code);
        }
    }
    executed
}

/// Of an error of the library, which has none.
fn default_code(error: &ServerError) -> &'static str {
    if error.path.is_empty() { "GRAPHQL_VALIDATION_FAILED" } else { "BAD_USER_INPUT" }
}

impl<'a> Answer<'a> {
    pub(super) fn of(response: &'a Response, executed: bool) -> Self {
        let data = executed.then_some(&response.data);
        Self { data, errors: &response.errors, extensions: None }
    }

    fn with_cost(self, cost: Option<Cost>) -> Self {
        Self { extensions: cost.map(|cost| Told { cost }), ..self }
    }
}

/// When to ask again, if an error says so.
fn retry_after(error: &async_graphql::ServerError) -> Option<u64> {
    match error.extensions.as_ref()?.get("retryAfterSeconds")? {
        Value::Number(seconds) => seconds.as_u64(),
        _ => None,
    }
}
