//! Requests and operations as traces have them.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use hakken_commands::trace::{self, SpanName};

use super::App;
use crate::{
    document::Document,
    telemetry::{Ended, OpenSpan, OperationHead, RequestHead},
};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// How an answer says which trace it is a part of (W3C Trace Context, level 2).
const TRACERESPONSE: &str = "traceresponse";

/// The span of a request that is sampled. Whoever asks after health or metrics makes no traces.
pub(super) fn taken_up(
    app: &App,
    request: &Request,
    route: &'static str,
    request_id: &str,
) -> Option<Box<dyn OpenSpan>> {
    let tracer = app.api.telemetry.tracer.as_ref()?;
    if matches!(route, "/livez" | "/readyz" | "/metrics") {
        return None;
    }
    tracer.request(&RequestHead {
        method: request.method().as_str(),
        route,
        request_id,
        traceparent: text(request.headers(), TRACEPARENT),
        tracestate: text(request.headers(), TRACESTATE),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Answers a request within its span, whose trace the answer names.
pub(super) async fn carried_out(
    span: Box<dyn OpenSpan>,
    work: impl Future<Output = Response>,
) -> Response {
    let name = span.name();
    let mut response = trace::within(Some(name), work).await;
    let SpanName { trace, span: id } = name;
    if let Ok(value) = HeaderValue::try_from(format!("00-{trace:032x}-{id:016x}-01")) {
        response.headers_mut().insert(TRACERESPONSE, value);
    }
    span.end(Ended { status: Some(response.status().as_u16()), error: None });
    response
}

/// Carries an operation out within a span of its own, if it is sampled.
pub(super) async fn operation(
    app: &App,
    document: &Document,
    work: impl Future<Output = async_graphql::Response>,
) -> async_graphql::Response {
    let tracer = app.api.telemetry.tracer.as_ref();
    let span = tracer.and_then(|tracer| {
        let head = OperationHead { kind: document.kind_name(), name: document.operation_name() };
        tracer.operation(trace::current(), &head)
    });
    let Some(span) = span else { return work.await };
    let response = trace::within(Some(span.name()), work).await;
    span.end(Ended { status: None, error: response.errors.first().and_then(code_of) });
    response
}

/// The code of an error, if it has one already.
pub(super) fn code_of(error: &async_graphql::ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        async_graphql::Value::String(code) => Some(code),
        _ => None,
    }
}
