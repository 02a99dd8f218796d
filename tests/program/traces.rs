//! Traces, as a collector of OpenTelemetry receives them from a running server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as Any},
    trace::v1::Span,
};
use prost::Message;
use serde_json::json;

use super::program::{OnSale, PATIENCE, Server, serve};

/// What was received: the spans, and what their resource says.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Told>>);

/// Spans, and what the exporter says of itself.
type Told = (Vec<Span>, BTreeMap<String, String>);

impl Received {
    /// Waits until there are spans of this kind.
    async fn until(&self, what: &str, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let begun = Instant::now();
        loop {
            let spans = self.0.lock().unwrap().0.clone();
            if wanted(&spans) {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
            assert!(begun.elapsed() < PATIENCE, "no {what} among {names:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = attribute.value.as_ref()?.value.as_ref()?;
        let value = match value {
            Any::StringValue(text) => text.clone(),
            Any::IntValue(number) => number.to_string(),
            Any::BoolValue(is) => is.to_string(),
            other => format!("{other:?}"),
        };
        Some((attribute.key.clone(), value))
    };
    attributes.iter().filter_map(text).collect()
}

async fn receive(State(received): State<Received>, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).expect("an export of spans");
    let mut all = received.0.lock().unwrap();
    for of_resource in request.resource_spans {
        all.1.extend(texts(&of_resource.resource.unwrap_or_default().attributes));
        all.0.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    StatusCode::OK
}

/// A collector on a free port.
async fn collector() -> (String, Received) {
    let received = Received::default();
    let router = Router::new().route("/v1/traces", post(receive)).with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, received)
}

fn traced(data: &std::path::Path, more: &[&str], variables: &[(&str, &str)]) -> Server {
    let mut command = serve(data, more);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50").envs(variables.iter().copied());
    Server::launch(command, true)
}

const HOLD: &str = "mutation HoldOne($input: HoldSeatsInput!) { holdSeats(input: $input) {
    hold { id } userErrors { code } } }";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Holds a seat; gives the headers of the answer.
async fn hold(
    server: &Server,
    on_sale: &OnSale,
    seat: usize,
    headers: &[(&str, String)],
) -> reqwest::header::HeaderMap {
    let input = json!({
        "idempotencyKey": format!("secret-key-{seat}"), "show": on_sale.show,
        "buyer": "buyer-7", "seats": [format!("S{seat}")],
    });
    let body = json!({ "query": HOLD, "variables": { "input": input } });
    let mut request = reqwest::Client::new()
        .post(format!("{}/graphql", server.url))
        .bearer_auth(&on_sale.seller_key)
        .json(&body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.send().await.expect("it answers");
    let headers = answer.headers().clone();
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert!(answer["data"]["holdSeats"]["hold"]["id"].is_string(), "{answer}");
    headers
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_request_to_the_commit_and_to_what_reads_it() {
    let (url, received) = collector().await;
    let temp = tempfile::tempdir().unwrap();
    let server = traced(temp.path(), &["--otlp", &url], &[("OTEL_SERVICE_NAME", "box-office")]);
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 20).await;
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let headers = hold(&server, &on_sale, 3, &[("traceparent", parent)]).await;
    let response = headers["traceresponse"].to_str().unwrap();
    assert!(response.starts_with(&format!("00-{TRACE}-")), "{response}");

    let of_trace = |spans: &[Span]| -> Vec<Span> {
        spans.iter().filter(|span| hex(&span.trace_id) == TRACE).cloned().collect()
    };
    let spans = received
        .until("folds", |spans| {
            let of_trace = of_trace(spans);
            ["POST /graphql", "fold holds", "fold seat_availability"]
                .iter()
                .all(|name| of_trace.iter().any(|span| span.name == *name))
        })
        .await;
    let spans = of_trace(&spans);
    let find = |name: &str| {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("{name} is not among the spans"))
    };
    let (request, operation) = (find("POST /graphql"), find("mutation"));
    let (command, commit, fold) = (find("hold_seats"), find("commit batch"), find("fold holds"));
    assert_eq!(hex(&request.parent_span_id), CALLER);
    assert_eq!(hex(&request.span_id), response.split('-').nth(2).unwrap());
    for (child, parent) in
        [(operation, request), (command, operation), (commit, command), (fold, command)]
    {
        assert_eq!(child.parent_span_id, parent.span_id, "{} is below {}", child.name, parent.name);
        assert!(child.start_time_unix_nano <= child.end_time_unix_nano, "{}", child.name);
    }
    assert!(fold.end_time_unix_nano >= commit.start_time_unix_nano);
    let links: Vec<_> = command.links.iter().map(|link| link.span_id.clone()).collect();
    assert_eq!(links, std::slice::from_ref(&commit.span_id), "a command names its batch");
    let attributes = texts(&command.attributes);
    for (name, value) in [
        ("hakken.command.kind", "hold_seats"),
        ("hakken.stream.kind", "inventory"),
        ("hakken.command.outcome", "happened"),
        ("hakken.command.attempts", "1"),
    ] {
        assert_eq!(attributes[name], value);
    }
    assert!(attributes.contains_key("hakken.command.queued_us"));
    assert!(attributes.contains_key("hakken.command.decided_us"));
    assert_eq!(texts(&commit.attributes)["hakken.batch.events"], "1");
    assert_eq!(texts(&operation.attributes)["graphql.operation.name"], "HoldOne");
    assert_eq!(texts(&request.attributes)["http.response.status_code"], "200");
    assert_eq!(received.0.lock().unwrap().1["service.name"], "box-office");

    // Nothing of what the client sent but the operation's name, and no key.
    let told = format!("{:?}", received.0.lock().unwrap().0);
    for private in ["buyer-7", "secret-key", "S3", on_sale.seller_key.as_str()] {
        assert!(!told.contains(private), "{private} is in the spans");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_told_and_what_the_caller_samples_is() {
    let (url, received) = collector().await;
    let temp = tempfile::tempdir().unwrap();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ];
    let server = traced(temp.path(), &[], &variables);
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 20).await;
    let headers = hold(&server, &on_sale, 1, &[]).await;
    assert_eq!(headers.get("traceresponse"), None);
    let unsampled = format!("00-{}-{CALLER}-00", "1".repeat(32));
    hold(&server, &on_sale, 2, &[("traceparent", unsampled)]).await;
    // What is no such header is none.
    let headers = hold(&server, &on_sale, 3, &[("traceparent", "nonsense".to_owned())]).await;
    assert_eq!(headers.get("traceresponse"), None);
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    hold(&server, &on_sale, 4, &[("traceparent", sampled)]).await;
    let has = |spans: &[Span], name: &str| spans.iter().any(|span| span.name == name);
    let told = |spans: &[Span]| {
        ["POST /graphql", "commit batch", "fold holds"].iter().all(|name| has(spans, name))
    };
    let spans = received.until("what the caller samples", told).await;
    let others: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) != TRACE).collect();
    assert_eq!(others.len(), 0, "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_costs_no_sale_and_no_end() {
    let temp = tempfile::tempdir().unwrap();
    // Nobody listens on port 9 of this machine.
    let server = traced(temp.path(), &["--otlp", "http://127.0.0.1:9"], &[]);
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 20).await;
    hold(&server, &on_sale, 1, &[]).await;
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn an_address_that_needs_tls_is_refused_with_a_reason() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().to_str().unwrap();
    let words = ["serve", "--data", data, "--otlp", "https://collector.example"];
    super::program::refused(&words, &["http://", "collector"]);
}
