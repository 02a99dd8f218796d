//! The routes: GraphQL over HTTP, WebSocket and event streams, GraphiQL, health and metrics. Every
//! request has an id and a span, and is counted.

mod body;
mod delivery;
mod export;
mod graphql;
mod health;
mod idempotency;
mod known;
mod live;
mod pages;
mod places;
pub(crate) mod polls;
mod protocol;
mod sse;
mod stored;
mod traces;
mod websocket;

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_graphql::ValidationMode;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use hakken_domain::text::shortened_within;
use known::KnownDocuments;
pub use live::LiveLimits;
use places::Places;
use polls::Polls;
use protocol::Media;
use sse::EventStreams;
use stored::StoredDocuments;
use tokio::sync::Semaphore;
use tracing::{
    Instrument, debug,
    field::{self, Empty},
    info_span, warn,
};

use crate::{
    document::{self, Refused, Types},
    faults::Fault,
    limits::{Limits, Throttled},
    metrics::Metrics,
    ports::ApiContext,
    schema::{self, Schema},
    trusted::DocumentRules,
};

/// The path of the endpoint, for HTTP and WebSocket alike.
pub(crate) const ENDPOINT: &str = "/graphql";
const REQUEST_ID: &str = "x-request-id";
/// Most bytes of a URL: more than that is for POST.
const MAX_URL: usize = 32 << 10;
/// Most bytes of all headers together.
const MAX_HEADERS: usize = 32 << 10;
/// Whoever waits longer than the checkout of an order may take is worth a line in the log.
const LONG: Duration = Duration::from_secs(10);

/// What every handler has at hand. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

/// The parts of it.
pub(crate) struct Parts {
    pub(crate) api: ApiContext,
    /// Carries out what was checked against `types`, without another look.
    pub(crate) schema: Schema,
    types: Types,
    documents: KnownDocuments,
    stored: StoredDocuments,
    polls: Polls,
    assets: pages::Assets,
    limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    /// Room for large bodies, in KiB.
    large_bodies: Places,
    /// Room for operations that are answered live.
    operations: Arc<Semaphore>,
    /// Places for exports.
    exports: Places,
    event_streams: EventStreams,
    ids: RequestIds,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Numbers requests: the seed tells processes apart.
struct RequestIds {
    seed: u64,
    next: AtomicU64,
}

impl RequestIds {
    fn fresh(&self) -> String {
        format!("{:016x}-{:x}", self.seed, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The whole API as a router: `/graphql`, `/graphiql/…`, `/export/…`, `/ops`,
/// `/livez`, `/readyz`, `/metrics`. Serve it with `axum::serve`; it takes care of its own limits and errors. Every
/// document is carried out.
pub fn router(api: ApiContext) -> Router {
    router_with(api, DocumentRules::default())
}

/// The same; these documents may be sent by their names, or no others at all.
pub fn router_with(api: ApiContext, rules: DocumentRules) -> Router {
    let metrics = Arc::new(Metrics::default());
    let seed = api.write.engine().seed();
    let app = App(Arc::new(Parts {
        schema: schema::schema(api.clone(), metrics.clone(), ValidationMode::Fast),
        types: Types::new(&schema::sdl()),
        documents: KnownDocuments::new(),
        stored: StoredDocuments::new(rules),
        polls: Polls::new(),
        assets: pages::Assets::default(),
        limits: Arc::new(Limits::new(api.limits)),
        ids: RequestIds { seed, next: AtomicU64::new(1) },
        api,
        metrics,
        large_bodies: Places::new(body::LARGE_BODIES, body::OF_ONE_KEY),
        operations: Arc::new(Semaphore::new(live::ALL_OPERATIONS)),
        exports: Places::new(export::ALL, export::OF_ONE_KEY),
        event_streams: EventStreams::default(),
    }));
    let endpoint = get(graphql::get).post(graphql::post).fallback(graphql::not_allowed);
    Router::new()
        .route(ENDPOINT, endpoint)
        .route("/", get(pages::home))
        .route("/graphiql", get(pages::graphiql))
        .route("/graphiql/{*path}", get(pages::asset))
        .route("/shows/{show}/map.svg", get(pages::map))
        .route("/export/{list}", get(export::export))
        .route("/ops", get(pages::ops))
        .route("/ops/{*path}", get(pages::ops_asset))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(only_get)
        .layer(from_fn_with_state(app.clone(), sse::divert))
        .layer(from_fn_with_state(app.clone(), observed))
        .with_state(app)
}

/// The route as metrics name it: never a text that a client chose.
fn route_of(path: &str) -> &'static str {
    match path {
        ENDPOINT => ENDPOINT,
        "/" => "/",
        "/livez" => "/livez",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        "/ops" => "/ops",
        _ if path.starts_with("/ops/") => "/ops",
        _ if path.starts_with("/graphiql") => "/graphiql",
        _ if path.starts_with("/export/") => "/export/{list}",
        _ if path.starts_with("/shows/") => "/shows/{show}/map.svg",
        _ => "other",
    }
}

/// Gives the request an id and a span, counts it, and writes a line about one that failed or took
/// long; about every one, if the log is to say so much.
async fn observed(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| is_opaque(id))
        .map_or_else(|| app.ids.fresh(), ToOwned::to_owned);
    let route = route_of(request.uri().path());
    let method = request.method().clone();
    let span = info_span!(
        "request", request_id = %id, %method, route, key = Empty, role = Empty, trace = Empty
    );
    let traced = traces::taken_up(&app, &request, route, &id);
    if let Some(traced) = &traced {
        span.record("trace", field::display(format_args!("{:032x}", traced.name().trace)));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    let begun = Instant::now();
    let work = async {
        let mut response = match too_large(&request) {
            Some(refused) => refused,
            None => next.run(request).await,
        };
        let took = begun.elapsed();
        let status = response.status().as_u16();
        app.metrics.answered(route, status, took);
        let micros = took.as_micros() as u64;
        if status >= 500 || took > LONG {
            warn!(status, micros, "answered");
        } else {
            debug!(status, micros, "answered");
        }
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, value);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    };
    match traced {
        None => work.instrument(span).await,
        Some(traced) => traces::carried_out(traced, work.instrument(span)).await,
    }
}

/// What comes before the body has bounds that are told; beyond twice as much the connection itself
/// ends it without a word.
fn too_large(request: &Request) -> Option<Response> {
    let url = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if url > MAX_URL {
        let message = format!(
            "The URL has {url} bytes, at most {MAX_URL} are allowed: send the request with POST."
        );
        return Some(problem(StatusCode::URI_TOO_LONG, "BAD_REQUEST", &message));
    }
    let fields = request.headers().iter();
    let bytes: usize = fields.map(|(name, value)| name.as_str().len() + value.len()).sum();
    (bytes > MAX_HEADERS).then(|| {
        let message = format!("The headers have {bytes} bytes, at most {MAX_HEADERS} are allowed.");
        problem(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "BAD_REQUEST", &message)
    })
}

/// Short, and nothing that could write a line of its own into a log.
fn is_opaque(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// An error beside GraphQL, in the same form.
fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    with_extensions(status, message, &serde_json::json!({ "code": code }))
}

fn fault(status: StatusCode, fault: &Fault) -> Response {
    let Some(seconds) = fault.retry_after_seconds() else {
        return problem(status, fault.code(), &fault.message());
    };
    let extensions = serde_json::json!({ "code": fault.code(), "retryAfterSeconds": seconds });
    let mut response = with_extensions(status, &fault.message(), &extensions);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

/// A key has asked for too much. 429 where the status says whether something was carried out.
fn throttled(media: Media, throttled: &Throttled) -> Response {
    let status = match media {
        Media::GraphQl => StatusCode::TOO_MANY_REQUESTS,
        Media::Json => StatusCode::OK,
    };
    let body = serde_json::json!({
        "errors": [throttled.error()],
        "extensions": { "cost": throttled.cost },
    });
    let kind = [(header::CONTENT_TYPE, media.header())];
    let mut response = (status, kind, body.to_string()).into_response();
    if let Some(seconds) = throttled.retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A request that is not carried out, with every reason.
fn not_carried_out(status: StatusCode, refused: &Refused) -> Response {
    let body = serde_json::json!({ "errors": refused.errors() });
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string())
        .into_response()
}

fn with_extensions(status: StatusCode, message: &str, extensions: &serde_json::Value) -> Response {
    let message = shortened_within(message, document::MAX_MESSAGE);
    let body = serde_json::json!({ "errors": [{ "message": message, "extensions": extensions }] });
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string())
        .into_response()
}

async fn only_get() -> Response {
    let message = "This can only be read: ask for it with GET.";
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST", message);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

async fn not_found() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "There is nothing here. The API is at /graphql, its explorer at /graphiql.",
    )
}
