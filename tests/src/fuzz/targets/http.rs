//! HTTP requests, as text: a line `METHOD path`, headers, an empty line, and the body. Names of the
//! small world such as `$ORGANIZER` stand for its keys and ids.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Uri},
};
use serde_json::Value;

use crate::fuzz::{
    Target, Verdict, assert_short,
    stage::{Answered, Stage, block_on, fixture},
    xml,
};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "http_request",
    run: http_request,
    words: &[
        "GET /graphql",
        "POST /graphql",
        "PUT /graphql",
        "GET /shows/$show/map.svg",
        "?atLeast=1",
        "?atLeast=99999",
        "&atLeast=2",
        "GET /livez",
        "GET /readyz",
        "GET /metrics",
        "GET /graphiql",
        "GET /graphiql/x",
        "authorization: Bearer $ORGANIZER",
        "authorization: Bearer $REVOKED",
        "authorization: Basic $GATE",
        "authorization: bearer  $OPERATOR",
        "$AUDITOR",
        "$BOX_OFFICE",
        "accept: application/graphql-response+json",
        "accept: text/html",
        "accept: */*;q=0",
        "content-type: application/json",
        "content-type: application/json; charset=utf-16",
        "content-type: text/plain",
        "idempotency-key: \"k\"",
        "x-request-id: a b",
        "if-none-match: *",
        "\"query\":",
        "\"variables\":",
        "\"operationName\":",
        "\"extensions\":",
        "{ viewer { role } }",
        "query=",
        "%7B",
        "%00",
        "%FF",
        "..%2f",
        "$show",
        "$trip",
        "mutation",
        "subscription",
        "fragment F on Query { ...F }",
        "@include(if: true)",
        "__typename",
        "__schema",
        "{ node(id: \"$order\") { id } }",
        "\\u0000",
        "\\ud800",
        "null",
        "[]",
        "# comment\n",
    ],
    made: Vec::new,
    mutations: 120,
};

/// Codes that stand in `errors`: those of `api/src/faults.rs`, and those of requests that were not
/// executed.
pub(in crate::fuzz) const CODES: [&str; 12] = [
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "BAD_USER_INPUT",
    "THROTTLED",
    "CONTENDED",
    "SERVICE_UNAVAILABLE",
    "NOT_YET_VISIBLE",
    "BAD_REQUEST",
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "OPERATION_RESOLUTION_FAILURE",
    "NOT_FOUND",
];

/// Whoever asks for whatever gets an answer: never a server error, always a known code with a
/// short sentence, always as JSON, a picture that is XML, and nothing without a key that is valid.
pub fn http_request(input: &[u8]) -> Verdict {
    let fixture = fixture();
    let text = fixture.filled(&String::from_utf8_lossy(input));
    let Some(request) = request(&text) else { return Verdict::Refused };
    let shows_key = fixture
        .names()
        .any(|(name, key)| key.starts_with("hk_") && name != "$REVOKED" && text.contains(key));
    let path = request.uri().path().to_owned();
    let is_head = request.method() == Method::HEAD;
    let answer = block_on(async {
        let stage = Stage::of(fixture).await;
        let answer = stage.send(request).await;
        stage.stop().await;
        answer
    });
    let status = answer.status.as_u16();
    assert!(!answer.status.is_server_error() || status == 503, "{status}");
    if is_head {
        assert!(answer.body.is_empty(), "a body of what was asked for without one");
        return Verdict::of(answer.status.is_success());
    }
    let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    match kind.unwrap_or_default().split(';').next().unwrap_or_default() {
        "application/json" | "application/graphql-response+json" => {
            json(&answer, text.len(), shows_key, &path)
        }
        "image/svg+xml" => {
            assert!(shows_key, "a picture for nobody");
            let picture = String::from_utf8(answer.body).expect("a picture is UTF-8");
            assert_eq!(xml::check(&picture).err(), None);
            Verdict::Accepted
        }
        other => {
            assert!(status < 400, "a refusal as {other:?}: {status}");
            Verdict::Accepted
        }
    }
}

fn json(answer: &Answered, sent: usize, shows_key: bool, path: &str) -> Verdict {
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON is JSON");
    let errors = body["errors"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(errors.len() <= 200, "{} errors", errors.len());
    for error in errors {
        check_error(error);
    }
    assert!(!answer.status.is_client_error() || !errors.is_empty(), "a refusal without a reason");
    assert!(answer.body.len() <= 400_000 + 20 * sent, "{} bytes answered", answer.body.len());
    let has_data = body["data"].as_object().is_some_and(|data| {
        data.iter().any(|(name, value)| !name.starts_with("__") && !value.is_null())
    });
    let introspects =
        body.pointer("/data/__schema").is_some() || body.pointer("/data/__type").is_some();
    assert!(!has_data || shows_key || introspects || path != "/graphql", "data for nobody: {body}");
    Verdict::of(errors.is_empty())
}

/// An error of an answer has a code that clients know, and a sentence that is not as long as what
/// was sent.
pub(in crate::fuzz) fn check_error(error: &Value) {
    let code = error["extensions"]["code"].as_str().unwrap_or("none");
    assert!(CODES.contains(&code), "the code {code:?}: {error}");
    assert_short(error["message"].as_str().unwrap_or_default());
}

/// `None` for what no server would even parse.
fn request(text: &str) -> Option<Request<Body>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let uri: Uri = path.parse().ok().filter(|uri: &Uri| uri.path().starts_with('/'))?;
    let mut request = Request::new(Body::from(body.to_owned()));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = uri;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(value.trim().as_bytes()).ok()?);
    }
    Some(request)
}
