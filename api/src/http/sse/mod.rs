//! Operations as an event stream, with the protocol of `graphql-sse` in both its modes.
//!
//! **Distinct connections**: a request that accepts `text/event-stream` before anything else is
//! answered with `next` for every answer and `complete` at the end. What is wrong with the document
//! comes as `next`, too: a browser's `EventSource` sees no other answer. Events of the feed carry
//! their position as `id`, so that an `EventSource` goes on by itself where it was cut off.
//!
//! **Single connection**: `PUT` reserves a stream and gives its token, a `GET` with the token (in
//! the header `X-GraphQL-Event-Stream-Token` or in the URL as `token`) fetches it, once. Each `POST`
//! with the token begins an operation on it, whose id stands in `extensions.operationId`; `DELETE`
//! with `operationId` in the URL ends one.

mod pump;
mod streams;

use axum::{
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hakken_domain::envelope::Position;
use pump::{Events, Pump};
use serde::Deserialize;
pub(super) use streams::EventStreams;

use super::{
    App, ENDPOINT, body,
    graphql::{self, Parameters, UrlParameters},
    idempotency,
    live::{self, Asker, MAX_MESSAGE, Operation, Refusal},
    problem,
};
use crate::{
    auth::{self, Caller, PresentedKey},
    faults::Fault,
    schema::context::IdempotencyHeader,
};

const TOKEN: &str = "x-graphql-event-stream-token";

/// What these requests have in their URL beside the operation.
#[derive(Debug, Default, Deserialize)]
struct Marks {
    token: Option<String>,
    #[serde(rename = "operationId")]
    operation: Option<String>,
}

/// Takes what belongs to event streams out of the requests to the endpoint.
pub(super) async fn divert(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.uri().path() != ENDPOINT {
        return next.run(request).await;
    }
    let marks = Query::<Marks>::try_from_uri(request.uri()).map(|Query(marks)| marks);
    let marks = marks.unwrap_or_default();
    let headers = request.headers();
    let token = headers.get(TOKEN).and_then(|token| token.to_str().ok()).map(ToOwned::to_owned);
    let token = token.or(marks.token);
    let accepts = accepts_events(headers);
    let (parts, body) = match (request.method(), &token) {
        (&Method::GET | &Method::POST, None) if !accepts => return next.run(request).await,
        (&Method::GET | &Method::POST | &Method::PUT | &Method::DELETE, _) => request.into_parts(),
        _ => return next.run(request).await,
    };
    let answered = match (&parts.method, token) {
        (&Method::PUT, _) => reserve(&app, &parts.headers).await,
        (&Method::DELETE, token) => stop(&app, &parts.headers, token, marks.operation).await,
        (_, Some(token)) if accepts => streams::fetch(&app, &token),
        (_, Some(token)) => begin(&app, &parts, body, &token).await,
        (_, None) => distinct(app, &parts, body).await,
    };
    answered.unwrap_or_else(|refused| *refused)
}

type Answered = Result<Response, Box<Response>>;

fn refuse(status: StatusCode, message: &str) -> Box<Response> {
    Box::new(problem(status, "BAD_REQUEST", message))
}

/// Whether an event stream is what the client wants most.
fn accepts_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let mut best: Option<(bool, f32)> = None;
    for range in accept.unwrap_or_default().split(',') {
        let mut parts = range.split(';').map(str::trim);
        let is_events = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/event-stream" => true,
            "application/json" | "application/graphql-response+json" => false,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let weight = weight.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
        if weight > 0.0 && best.is_none_or(|(_, other)| weight > other) {
            best = Some((is_events, weight));
        }
    }
    best.is_some_and(|(is_events, _)| is_events)
}

/// The answer that is an event stream.
fn event_stream(events: Events) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        // A proxy that collected the events first would keep them for ever.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(events.into_stream())).into_response()
}

/// The request, from the URL or the body.
async fn parameters(app: &App, parts: &Parts, body: Body) -> Result<Parameters, Box<Response>> {
    let bad = |message: &str| refuse(StatusCode::BAD_REQUEST, message);
    if parts.method == Method::GET {
        let url = Query::<UrlParameters>::try_from_uri(&parts.uri);
        let Query(url) = url.map_err(|error| bad(&error.body_text()))?;
        return url.read().map_err(|error| bad(&error.message));
    }
    let (body, _) = body::read(app, &parts.headers, body).await?;
    if body.len() > MAX_MESSAGE {
        return Err(refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!(
                "The body has more than {MAX_MESSAGE} bytes: send larger requests without an \
                 event stream."
            ),
        ));
    }
    Parameters::from_json(&body).map_err(|error| bad(&error.message))
}

/// Takes an operation in. What was refused because of its document is the `Ok` of the inner result.
async fn admit(
    app: &App,
    parts: &Parts,
    parameters: Parameters,
) -> Result<Result<Operation, Refusal>, Box<Response>> {
    let caller = graphql::caller(app, &parts.headers).await.map_err(Box::new)?;
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let key = idempotency::key(&parts.headers)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &error.message))?;
    let asker = Asker {
        caller,
        idempotency: IdempotencyHeader::new(key),
        resume: header("last-event-id").and_then(|id| id.parse().ok()).map(Position),
    };
    match live::admit(app, asker, parameters) {
        Err(Refusal::Fault(Fault::NoKey)) => Err(Box::new(graphql::unauthenticated(&Fault::NoKey))),
        Err(Refusal::Fault(fault)) => {
            Err(Box::new(super::fault(StatusCode::SERVICE_UNAVAILABLE, &fault)))
        }
        Err(Refusal::Request(error)) if error.code() == "BAD_REQUEST" => {
            Err(refuse(StatusCode::BAD_REQUEST, &error.message()))
        }
        Ok(operation) if parts.method == Method::GET && operation.kind == "mutation" => {
            let message = "Mutations may not be sent with GET: send this one with POST.";
            let mut refused = refuse(StatusCode::METHOD_NOT_ALLOWED, message);
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            Err(refused)
        }
        admitted => Ok(admitted),
    }
}

/// One operation, on an event stream of its own.
async fn distinct(app: App, parts: &Parts, body: Body) -> Answered {
    let parameters = parameters(&app, parts, body).await?;
    match admit(&app, parts, parameters).await? {
        Ok(operation) => {
            // It opened something a moment ago.
            let key = shown_key(&parts.headers);
            let (pump, events) = Pump::distinct(app, key, operation);
            tokio::spawn(pump.run());
            Ok(event_stream(events))
        }
        Err(refusal) => Ok(event_stream(Events::failed(&refusal.errors()))),
    }
}

fn shown_key(headers: &HeaderMap) -> Option<PresentedKey> {
    let shown = headers.get(header::AUTHORIZATION)?;
    auth::bearer(shown.to_str().ok()?).ok()
}

/// Whose key the request shows, which it must.
async fn keyed(app: &App, headers: &HeaderMap) -> Result<(Caller, PresentedKey), Box<Response>> {
    let caller = graphql::caller(app, headers).await.map_err(Box::new)?;
    let no_key = || Box::new(graphql::unauthenticated(&Fault::NoKey));
    Ok((caller.ok_or_else(no_key)?, shown_key(headers).ok_or_else(no_key)?))
}

/// `PUT`: gives the token of a stream that is fetched within ten seconds.
async fn reserve(app: &App, headers: &HeaderMap) -> Answered {
    let (caller, key) = keyed(app, headers).await?;
    let token = streams::reserve(app, caller.key, key)?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok((StatusCode::CREATED, [kind], token).into_response())
}

/// An operation on a stream that is reserved or fetched.
async fn begin(app: &App, parts: &Parts, body: Body, token: &str) -> Answered {
    let parameters = parameters(app, parts, body).await?;
    let (caller, _) = keyed(app, &parts.headers).await?;
    let id = parameters.extensions.as_ref().and_then(|extensions| extensions.get("operationId"));
    let id = id.and_then(|id| id.as_str()).filter(|id| (1..=256).contains(&id.len()));
    let id = id.map(ToOwned::to_owned).ok_or_else(|| {
        let message = "`extensions.operationId` is missing: a text of 1 to 256 bytes, by which \
                       the answers are known.";
        refuse(StatusCode::BAD_REQUEST, message)
    })?;
    let stream = streams::find(app, token, caller.key)?;
    let errors = match admit(app, parts, parameters).await? {
        Ok(mut operation) => match operation.refused().await {
            None => {
                stream.begin(id, operation).await?;
                return Ok(StatusCode::ACCEPTED.into_response());
            }
            Some(errors) => errors,
        },
        Err(refusal) => refusal.errors(),
    };
    let body = serde_json::json!({ "errors": errors }).to_string();
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    Ok((StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, kind)], body).into_response())
}

/// `DELETE`: ends an operation. One that is over already is no error.
async fn stop(
    app: &App,
    headers: &HeaderMap,
    token: Option<String>,
    operation: Option<String>,
) -> Answered {
    let (caller, _) = keyed(app, headers).await?;
    let missing = || refuse(StatusCode::BAD_REQUEST, "`operationId` is missing in the URL.");
    let id = operation.ok_or_else(missing)?;
    let stream = streams::find(app, token.as_deref().unwrap_or_default(), caller.key)?;
    stream.stop(id).await?;
    Ok(StatusCode::OK.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stream_must_be_wanted_most() {
        let accepts = |accept: &'static str| {
            let accept = (header::ACCEPT, HeaderValue::from_static(accept));
            accepts_events(&HeaderMap::from_iter([accept]))
        };
        assert!(accepts("text/event-stream"));
        assert!(accepts("text/event-stream, multipart/mixed"));
        assert!(accepts("application/json;q=0.5, text/event-stream"));
        assert!(!accepts("application/json, text/event-stream"));
        assert!(!accepts("text/event-stream;q=0, */*"));
        assert!(!accepts("*/*"));
        assert!(!accepts_events(&HeaderMap::new()));
    }
}
