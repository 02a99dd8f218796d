//! GraphQL over HTTP, health and metrics.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::json;

use super::stage::{Actor, Answered, Stage, code};

const MODERN: &str = "application/graphql-response+json";

async fn send(actor: &Actor, accept: &str, kind: &str, body: &str) -> Answered {
    let request = Request::post("/graphql")
        .header("accept", accept)
        .header("content-type", kind)
        .body(Body::from(body.to_owned()))
        .unwrap();
    actor.send(request).await
}

#[tokio::test]
async fn the_answer_comes_in_the_media_type_that_is_accepted() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let body = r#"{"query": "{ viewer { role } }"}"#;
    for (accept, kind) in [
        (MODERN, "application/graphql-response+json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
    ] {
        let answer = send(&operator, accept, "application/json", body).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, kind));
        assert_eq!(answer.json(), json!({ "data": { "viewer": { "role": "OPERATOR" } } }));
    }
    let answer = send(&operator, "text/csv", "application/json", body).await;
    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_request_error_has_a_code_no_data_and_a_status_by_its_media_type() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    for (query, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { a } query B { b }", "OPERATION_RESOLUTION_FAILURE"),
    ] {
        let body = json!({ "query": query }).to_string();
        let modern = send(&operator, MODERN, "application/json", &body).await;
        assert_eq!((modern.status, modern.code().as_str()), (StatusCode::BAD_REQUEST, code));
        assert_eq!(modern.json().get("data"), None, "{query}");
        let legacy = send(&operator, "application/json", "application/json", &body).await;
        assert_eq!((legacy.status, legacy.code().as_str()), (StatusCode::OK, code));
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_as_json() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let good = r#"{"query": "{ viewer { role } }"}"#;
    let batch = format!("[{good}, {good}]");
    for (kind, body, status) in [
        ("application/json", "{", 400),
        ("application/json", "{}", 400),
        ("application/json", "7", 400),
        ("application/json", r#"{"query": 7}"#, 400),
        ("application/json", r#"{"query": "{ a }", "variables": "x"}"#, 400),
        ("application/json", r#"{"query": "{ a }", "extensions": []}"#, 400),
        ("application/json", &batch, 400),
        ("text/plain", good, 415),
        ("application/x-www-form-urlencoded", "query={a}", 415),
        ("application/json; charset=shift_jis", good, 415),
    ] {
        let answer = send(&operator, MODERN, kind, body).await;
        let seen = (answer.status.as_u16(), answer.code());
        assert_eq!(seen, (status, "BAD_REQUEST".to_owned()), "{kind} {body}");
    }
    let large =
        format!(r#"{{"query": "{{ a }}", "variables": {{"x": "{}"}}}}"#, "x".repeat(9 << 20));
    let answer = send(&operator, MODERN, "application/json", &large).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "BAD_REQUEST"));
}

/// What is small as text may be large once it is read: each value has its price.
#[tokio::test]
async fn a_body_of_more_values_than_there_may_be_is_refused_before_it_is_read() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let body = |values: usize| {
        let list = "0,".repeat(values);
        let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
        format!(r#"{{"query": "{query}", "variables": {{"ids": [{list}0]}}}}"#)
    };
    for values in [200_100, 4_000_000] {
        let refused = send(&operator, MODERN, "application/json", &body(values)).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "BAD_REQUEST"));
        let limit = &refused.json()["errors"][0]["extensions"]["limit"];
        assert_eq!((&limit["name"], &limit["most"]), (&json!("VALUES"), &json!(200_000)));
        assert!(limit["found"].as_u64() >= Some(values as u64), "{limit}");
    }
    // As many as there may be are read, and refused by the field. Their room is given back.
    for _ in 0..4 {
        let answer = send(&operator, MODERN, "application/json", &body(150_000)).await;
        assert_eq!(answer.code(), "BAD_USER_INPUT");
    }
    // A few of such bodies share the room for large ones.
    let text = body(150_000);
    let many = (0..4).map(|_| send(&operator, MODERN, "application/json", &text));
    let many = futures_util::future::join_all(many).await;
    let codes: Vec<String> = many.iter().map(Answered::code).collect();
    assert!(codes.iter().any(|code| code == "BAD_USER_INPUT"), "{codes:?}");
}

#[tokio::test]
async fn a_body_is_sent_as_it_is_and_headers_and_urls_have_bounds() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let post = |name: &'static str, value: String| {
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header(name, value)
            .body(Body::from(r#"{"query": "{ viewer { role } }"}"#));
        let operator = operator.clone();
        async move { operator.send(request.unwrap()).await }
    };
    let packed = post("content-encoding", "gzip".to_owned()).await;
    assert_eq!((packed.status.as_u16(), packed.code().as_str()), (415, "BAD_REQUEST"));
    assert_eq!(packed.header("accept-encoding"), "identity");
    assert_eq!(post("content-encoding", "identity".to_owned()).await.status, StatusCode::OK);
    let long = post("x-note", "x".repeat(33 << 10)).await;
    assert_eq!((long.status.as_u16(), long.code().as_str()), (431, "BAD_REQUEST"));
    assert_eq!(post("x-note", "x".repeat(8 << 10)).await.status, StatusCode::OK);
    let url = format!(
        "/graphql?query=%7Bviewer%7Brole%7D%7D&variables=%7B%22x%22:%22{}%22%7D",
        "x".repeat(33 << 10)
    );
    let long = operator.get(&url, MODERN).await;
    assert_eq!((long.status.as_u16(), long.code().as_str()), (414, "BAD_REQUEST"));
}

#[tokio::test]
async fn a_page_of_another_site_may_send_nothing() {
    let stage = Stage::start().await;
    let body =
        r#"{"query": "mutation { resumeRebuilds(input: {idempotencyKey: \"k\"}) { repeated } }"}"#;
    // What a browser sends without asking first.
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        assert_eq!(
            send(&stage.operator(), MODERN, kind, body).await.status.as_u16(),
            415,
            "{kind}"
        );
    }
    let untyped = Request::post("/graphql").body(Body::from(body)).unwrap();
    assert_eq!(stage.operator().send(untyped).await.status.as_u16(), 415);
    // What it asks before it sends anything else.
    let asks = Request::options("/graphql")
        .header("origin", "https://elsewhere.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, content-type")
        .body(Body::empty())
        .unwrap();
    let answer = stage.anonymous().send(asks).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (405, "BAD_REQUEST"));
    let allows = |name: &str| name.starts_with("access-control");
    assert!(!answer.headers.keys().any(|name| allows(name.as_str())), "{:?}", answer.headers);
}

#[tokio::test]
async fn queries_may_come_with_get_and_mutations_may_not() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let answer = operator.get("/graphql?query=%7Bviewer%7Brole%7D%7D", MODERN).await;
    assert_eq!(answer.json()["data"]["viewer"]["role"], "OPERATOR");
    let path = "/graphql?query=query%20A($id:ID!)%7Bnode(id:$id)%7Bid%7D%7D%20query%20B%7Bviewer%7Brole%7D%7D\
                &operationName=A&variables=%7B%22id%22:%22order_01ARZ3NDEKTSV4RRFFQ69G5FAV%22%7D";
    assert_eq!(operator.get(path, MODERN).await.json(), json!({ "data": { "node": null } }));
    let mutation = "/graphql?query=mutation%20M%7BresumeProjections(input:%7B%7D)%7BuserErrors%7Bcode%7D%7D%7D";
    for accept in [MODERN, "application/json"] {
        let answer = operator.get(mutation, accept).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!((answer.header("allow"), answer.code().as_str()), ("POST", "BAD_REQUEST"));
    }
    let patch = Request::patch("/graphql").body(Body::empty()).unwrap();
    let answer = operator.send(patch).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, POST, PUT, DELETE"));
    assert_eq!(operator.get("/graphql", MODERN).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn people_get_graphiql_and_it_loads_nothing_from_elsewhere() {
    let stage = Stage::start().await;
    let nobody = stage.anonymous();
    for path in ["/graphql", "/graphiql"] {
        let page = nobody.get(path, "text/html,application/xhtml+xml").await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (StatusCode::OK, "text/html; charset=utf-8")
        );
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
    }
    let script = nobody.get("/graphiql/hakken.js", "*/*").await;
    assert_eq!(
        (script.status, script.header("content-type")),
        (StatusCode::OK, "text/javascript; charset=utf-8")
    );
    assert_eq!(nobody.get("/graphiql/secret.js", "*/*").await.status, StatusCode::NOT_FOUND);
    assert_eq!(nobody.get("/", "*/*").await.header("location"), "/graphiql");
    assert_eq!(nobody.get("/elsewhere", "*/*").await.code(), "NOT_FOUND");
}

#[tokio::test]
async fn every_request_has_an_id_that_no_client_can_misuse() {
    let stage = Stage::start().await;
    let nobody = stage.anonymous();
    let first = nobody.get("/livez", "*/*").await;
    let second = nobody.get("/livez", "*/*").await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    for (sent, kept) in [("trace-7", true), ("two words", false), (&"x".repeat(65), false)] {
        let request = Request::get("/livez").header("x-request-id", sent).body(Body::empty());
        let answer = nobody.send(request.unwrap()).await;
        assert_eq!(answer.header("x-request-id") == sent, kept, "{sent}");
    }
}

#[tokio::test]
async fn it_is_ready_while_it_can_serve_and_says_why_when_it_cannot() {
    let stage = Stage::start().await;
    let nobody = stage.anonymous();
    assert_eq!(nobody.get("/livez", "*/*").await.status, StatusCode::OK);
    let ready = nobody.get("/readyz", "*/*").await;
    assert_eq!((ready.status, ready.json()["status"].clone()), (StatusCode::OK, json!("ready")));
    stage.write.stop().await;
    let ready = nobody.get("/readyz", "*/*").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["reasons"], json!(["the engine has stopped"]));
    let answer = stage.operator().post(&json!({ "query": "{ viewer { role } }" })).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
}

#[tokio::test]
async fn metrics_count_requests_refusals_and_what_the_engine_does() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    tenant.hold(&on_sale.show, "b", &["A1"]).await;
    let input = json!({
        "idempotencyKey": "k", "show": on_sale.show, "buyer": "b", "seats": ["A1"]
    });
    tenant.box_office.refusal("holdSeats", input).await;
    let text = stage.anonymous().get("/metrics", "*/*").await;
    let text = String::from_utf8(text.body).unwrap();
    for line in [
        "hakken_graphql_refusals_total{code=\"SEAT_TAKEN\"} 1",
        "hakken_graphql_operations_total{operation=\"mutation\"} 11",
        "hakken_http_requests_total{route=\"/graphql\",status=\"200\"} 11",
        "hakken_http_request_duration_seconds_count{route=\"/graphql\"} 11",
        "hakken_commands_rejected_total 1",
        "hakken_write_loop_works 1",
        "hakken_projection_running{name=\"orders\"} 1",
        "hakken_process_unanswered{name=\"checkout\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
}

#[tokio::test]
async fn the_picture_of_a_show_is_for_those_who_may_see_it() {
    let stage = Stage::start().await;
    let (mine, other) = (stage.tenant("mine").await, stage.tenant("other").await);
    let on_sale = mine.on_sale("concert").await;
    let head = stage.models.status().await.unwrap()[0].head;
    let patience = std::time::Duration::from_secs(5);
    stage.models.wait_for("seat_availability", head, patience).await.unwrap();
    let path = format!("/shows/{}/map.svg", on_sale.show);
    let picture = mine.gate.get(&path, "*/*").await;
    assert_eq!(picture.header("content-type"), "image/svg+xml; charset=utf-8");
    assert_eq!(picture.body, b"<svg><!-- 20 free --></svg>");
    assert_eq!(other.gate.get(&path, "*/*").await.status, StatusCode::NOT_FOUND);
    assert_eq!(stage.anonymous().get(&path, "*/*").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_document_that_was_carried_out_before_is_no_less_strictly_read() {
    let stage = Stage::start().await;
    let box_office = stage.tenant("hibiki").await.box_office;
    let query = "query($first: Int, $order: SortOrder) {
        shows(first: $first, order: $order) { edges { cursor } } }";
    let wrong = [
        json!({ "first": "three" }),
        json!({ "first": 1.5 }),
        json!({ "order": "SIDEWAYS" }),
        json!({ "order": 3 }),
    ];
    let mut refused = Vec::new();
    for variables in &wrong {
        refused.push(box_office.answer(query, variables.clone()).await);
    }
    for answer in &refused {
        assert_eq!(code(answer), "BAD_USER_INPUT", "{answer}");
    }
    for variables in [json!({ "first": 3 }), json!({ "first": null }), json!({})] {
        let answer = box_office.answer(query, variables).await;
        assert!(answer.get("errors").is_none(), "{answer}");
    }
    for (variables, before) in wrong.into_iter().zip(refused) {
        assert_eq!(box_office.answer(query, variables).await, before, "the same words again");
    }
    let anonymous = stage.anonymous().answer(query, json!({})).await;
    assert_eq!(code(&anonymous), "UNAUTHENTICATED", "{anonymous}");
}
