//! GraphQL over HTTP, after the specification's second stage: only JSON bodies, queries alone over
//! GET, one operation a request, and errors always as JSON with `extensions.code`.

use std::{sync::Arc, time::Duration};

use async_graphql::{Response, Value, Variables, parser::types::OperationType};
use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{
        Query, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response as HttpResponse},
};
use hakken_domain::text::shortened_within;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tracing::{Span, info_span};

use super::{
    App,
    document::{self, Ready, Refused, RequestError},
    pages,
    polls::PollNote,
    problem,
    protocol::Media,
    websocket,
};
use crate::{
    auth::{self, Anybody, AuthError, Caller},
    faults::Fault,
    limits::Cost,
    schema::context::IdempotencyHeader,
};

/// Most bytes of a body: a seat map of 80,000 seats fits.
const MAX_BODY: usize = 8 << 20;
/// A body of more bytes needs a place among [`LARGE_BODIES`].
const LARGE_BODY: usize = 32 << 10;
/// Most KiB of large bodies in hand at once, over all requests.
pub(super) const LARGE_BODIES: usize = 64 << 10;
/// What a poll costs of which nothing has changed.
const POLL: u64 = 1;
/// A body takes no longer than this to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// A request as the specification has it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Parameters {
    pub(crate) query: Option<String>,
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
            message: "`query` is missing: the document to execute.".to_owned(),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct UrlParameters {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

impl UrlParameters {
    fn read(self) -> Result<Parameters, RequestError> {
        Ok(Parameters {
            query: self.query,
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
    if url.query.is_none() && accept.is_some_and(|accept| accept.contains("text/html")) {
        return pages::explorer();
    }
    let Some(media) = Media::negotiate(accept) else { return not_acceptable() };
    match url.read() {
        Ok(parameters) => answer(app, &Method::GET, &headers, media, parameters, None).await,
        Err(error) => refused(media, StatusCode::BAD_REQUEST, error),
    }
}

/// `POST /graphql`.
pub(super) async fn post(State(app): State<App>, headers: HeaderMap, body: Body) -> HttpResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let Some(media) = Media::negotiate(accept) else { return not_acceptable() };
    if !is_json(&headers) {
        return problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "BAD_REQUEST",
            "Send the request as JSON, with the header Content-Type: application/json.",
        );
    }
    // Kept until all is answered: what is read of a body takes memory, too.
    let (body, _room) = match read(&app, body).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    if app.polls.knows(&body)
        && let Some(response) = polled(&app, &headers, media, &body).await
    {
        return response;
    }
    match Parameters::from_json(&body) {
        Ok(parameters) => answer(app, &Method::POST, &headers, media, parameters, Some(body)).await,
        Err(error) => refused(media, StatusCode::BAD_REQUEST, error),
    }
}

/// The answer to a poll that was answered before and of which nothing has changed since.
async fn polled(
    app: &App,
    headers: &HeaderMap,
    media: Media,
    body: &Bytes,
) -> Option<HttpResponse> {
    let caller = caller(app, headers).await.ok()??;
    let answer = app.polls.answer(&app.api, &caller, body, media).await?;
    if let Err(throttled) = app.limits.enter(Some(caller.key), POLL) {
        return Some(super::throttled(media, &throttled));
    }
    record(Some(&caller));
    app.metrics.ran("query");
    Some((StatusCode::OK, [(header::CONTENT_TYPE, media.header())], answer).into_response())
}

/// Reads a body, if there is room for one that large. Who does not say how large it is may need
/// as much as is allowed.
async fn read(
    app: &App,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), HttpResponse> {
    let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    let most = length.map_or(MAX_BODY, |length| length.min(MAX_BODY));
    let room = if most > LARGE_BODY {
        let kib = most.div_ceil(1 << 10) as u32;
        let room = app.large_bodies.clone().try_acquire_many_owned(kib);
        Some(room.map_err(|_| super::fault(StatusCode::SERVICE_UNAVAILABLE, &Fault::Busy))?)
    } else {
        None
    };
    match timeout(ARRIVAL, to_bytes(body, most)).await {
        Ok(Ok(body)) => Ok((body, room)),
        Ok(Err(_)) => {
            let message = format!("The body is cut off, or has more than {MAX_BODY} bytes.");
            Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "BAD_REQUEST", &message))
        }
        Err(_) => {
            let message = format!("The body did not arrive in {} s.", ARRIVAL.as_secs());
            Err(problem(StatusCode::REQUEST_TIMEOUT, "BAD_REQUEST", &message))
        }
    }
}

/// Any other method.
pub(super) async fn not_allowed() -> HttpResponse {
    let message = "Send GraphQL requests with POST, or queries with GET.";
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST", message);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let Some(kind) = kind else { return false };
    let mut parts = kind.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|part| {
            let charset = part
                .split_once('=')
                .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
            charset.is_none_or(|(_, value)| {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        })
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

async fn answer(
    app: App,
    method: &Method,
    headers: &HeaderMap,
    media: Media,
    parameters: Parameters,
    body: Option<Bytes>,
) -> HttpResponse {
    let text = parameters.query.clone().unwrap_or_default();
    let wants_cost = parameters.wants_cost();
    let (ready, is_known) = match parameters.ready(&app) {
        Ok(found) => found,
        Err(error) if error.code() == "BAD_REQUEST" => {
            return refused(media, StatusCode::BAD_REQUEST, error);
        }
        Err(error) => return refused(media, media.request_error(), error),
    };
    let document = ready.document.clone();
    if *method == Method::GET && document.kind != OperationType::Query {
        let message = "Only queries may be sent with GET: send this one with POST.";
        let error = RequestError { code: "BAD_REQUEST", message: message.to_owned() };
        let mut response = refused(media, StatusCode::METHOD_NOT_ALLOWED, error);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if document.kind == OperationType::Subscription {
        let message = "Subscriptions are served over WebSocket, at the same path, with the \
                       subprotocol graphql-transport-ws.";
        let error = RequestError { code: "BAD_REQUEST", message: message.to_owned() };
        return refused(media, StatusCode::BAD_REQUEST, error);
    }
    let caller = match caller(&app, headers).await {
        Ok(caller) => caller,
        Err(response) => return with_media(response, media),
    };
    if caller.is_none() && !document.introspects {
        return with_media(unauthenticated(&Fault::NoKey), media);
    }
    let key = caller.as_ref().map(|caller| caller.key);
    let pass = match app.limits.enter(key, ready.charge.cost) {
        Ok(pass) => pass,
        Err(throttled) => return super::throttled(media, &throttled),
    };
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let idempotency = IdempotencyHeader(key.map(unquoted));
    record(caller.as_ref());
    app.metrics.ran(document.kind_name());
    let note = Arc::new(PollNote::default());
    let to_keep = if is_known { None } else { Some(text.clone()) };
    let mut request = ready.request(text);
    // What is kept of a poll says nothing of what it costs.
    if document.polls && !wants_cost {
        request = request.data(note.clone());
    }
    let mut response = app.schema.execute(request.data(Anybody(caller)).data(idempotency)).await;
    let executed = coded(&mut response);
    let cost = wants_cost.then(|| pass.cost(document.actual_cost(&response.data)));
    if let Some(text) = to_keep.filter(|_| executed) {
        app.documents.keep(&text, document);
    }
    let answer = match serde_json::to_vec(&Answer::of(&response, executed).with_cost(cost)) {
        Ok(answer) => Bytes::from(answer),
        Err(error) => {
            let fault = Fault::Internal(error.to_string());
            return super::fault(StatusCode::INTERNAL_SERVER_ERROR, &fault);
        }
    };
    if let (Some(polled), Some(body), []) = (note.take(), body, response.errors.as_slice()) {
        app.polls.keep(&body, media, polled, answer.clone());
    }
    let status = if executed { StatusCode::OK } else { media.request_error() };
    let later = response.errors.iter().filter_map(retry_after).max();
    let mut response = (status, [(header::CONTENT_TYPE, media.header())], answer).into_response();
    if let Some(seconds) = later {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
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

/// The header of the draft is a quoted string; everybody sends it bare.
fn unquoted(key: &str) -> String {
    let inner = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    inner.unwrap_or(key).to_owned()
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

fn unauthenticated(fault: &Fault) -> HttpResponse {
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
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            let at_a_field = !error.path.is_empty();
            let code = if at_a_field { "BAD_USER_INPUT" } else { "GRAPHQL_VALIDATION_FAILED" };
            extensions.set("code", code);
        }
    }
    executed
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
