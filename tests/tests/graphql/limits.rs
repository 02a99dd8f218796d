//! What no document may do: hold a processor. Work is counted in steps, which are the same on
//! every machine, and each key has its share.

mod adversaries;

use std::{
    future::{Future, poll_fn},
    pin::pin,
};

use axum::{body::Body, http::Request};
use hakken_api::{DocumentGate, KeyLimits, sdl};
use serde_json::{Value, json};

use super::{
    sockets::Socket,
    stage::{Actor, Answered, Ground, Stage},
};
use adversaries::adversaries;
use hakken_tests::world::hall;

/// A step takes less than 100 ns, so that so many take less than 20 ms.
const MOST_STEPS: u64 = 200_000;

#[test]
fn no_document_takes_more_steps_than_are_given_it() {
    let gate = DocumentGate::new(&sdl());
    let mut worst = (0, String::new());
    for (name, text) in adversaries() {
        assert!(text.len() <= 10 << 10, "{name} has {} bytes", text.len());
        let steps = match gate.check(&text, None, json!({})) {
            Ok(passed) => passed.steps,
            Err(refused) => refused.steps,
        };
        println!("{steps:>8} steps, {:>6} bytes: {name}", text.len());
        worst = worst.max((steps, name));
    }
    // Who gives up does so in the step after the last; a loop counts its steps beforehand.
    assert!(worst.0 <= MOST_STEPS + 10_000, "{worst:?}");
    // The control: the bombs do go off.
    assert!(worst.0 > 10_000, "{worst:?}");
}

#[test]
fn ten_times_the_document_is_ten_times_the_work_or_the_end() {
    let gate = DocumentGate::new(&sdl());
    let steps = |text: &str| match gate.check(text, None, json!({})) {
        Ok(passed) => passed.steps,
        Err(refused) => refused.steps,
    };
    let same = |count: usize| format!("{{ viewer {{ {} }} }}", "role ".repeat(count));
    assert!(steps(&same(1_000)) < 11 * steps(&same(100)));
    let nested = |count: usize| {
        let each = "show(id: 1) { venue { name } } ".repeat(count);
        format!("query($id: ID!) {{ order(id: $id) {{ items {{ show {{ name }} }} }} }} #{each}")
    };
    assert!(steps(&nested(200)) <= steps(&nested(1)) + 1);
}

#[test]
fn what_programs_send_is_far_from_every_bound() {
    let gate = DocumentGate::new(&sdl());
    let order = "query($id: ID!) { order(id: $id) { id buyer status items { number seat show { \
                 name startsAt } price { amountMinor currency } } total { display } tickets { id \
                 status seat entries } } }";
    let passed = gate.check(order, None, json!({ "id": "a" })).unwrap();
    assert!(passed.steps < MOST_STEPS / 100, "{passed:?}");
}

/// What GraphiQL and the generators of code ask first.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { description
    queryType { name kind } mutationType { name kind } subscriptionType { name kind }
    types { ...FullType }
    directives { name description isRepeatable locations
        args(includeDeprecated: true) { ...InputValue } } } }
fragment FullType on __Type { kind name description specifiedByURL isOneOf
    fields(includeDeprecated: true) { name description
        args(includeDeprecated: true) { ...InputValue } type { ...TypeRef }
        isDeprecated deprecationReason }
    inputFields(includeDeprecated: true) { ...InputValue }
    interfaces { ...TypeRef }
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
    possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue
    isDeprecated deprecationReason }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name } } } } } } } } } }";

/// Nobody needs a key to ask about the schema, and no list of it has pages.
#[test]
fn what_tools_ask_about_the_schema_passes_and_what_would_multiply_does_not() {
    let gate = DocumentGate::new(&sdl());
    let passed = gate.check(INTROSPECTION, None, json!({})).expect("what every tool asks");
    println!("{} steps", passed.steps);
    assert!(passed.steps < MOST_STEPS / 2, "{passed:?}");
    let limit = |text: &str| match gate.check(text, None, json!({})) {
        Ok(passed) => panic!("{passed:?}: {text}"),
        Err(refused) => refused.reasons[0].limit,
    };
    let (head, fragments) = INTROSPECTION.split_once(" } }\nfragment FullType").expect("two parts");
    let (_, inner) = head.split_once("{ __schema {").expect("the field");
    let again: String = (0..12).map(|at| format!("a{at}: __schema {{ {inner} }} ")).collect();
    let many = format!("query Q {{ {again} }} fragment FullType{fragments}");
    assert!(limit(&many).is_some(), "all of it twelve times");
    let names: String = (0..190).map(|at| format!("a{at}:name ")).collect();
    let all: String = (0..50)
        .map(|at| {
            format!("a{at}: __schema {{ types {{ kind name fields {{ name description }} }} }} ")
        })
        .collect();
    for text in [
        format!("{{ __schema {{ types {{ fields {{ type {{ fields {{ {names} }} }} }} }} }} }}"),
        format!("{{ __schema {{ types {{ fields {{ {names} }} }} }} }}"),
        format!("{{ {all} }}"),
    ] {
        assert!(text.len() < 10 << 10);
        let found = limit(&text);
        assert!([Some("SCHEMA_VALUES"), Some("STEPS")].contains(&found), "{found:?}: {text}");
    }
}

/// The seats of a hall are compared with each of them, if one is not careful.
#[tokio::test]
async fn a_status_that_is_named_again_and_again_is_no_more_work() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale_in("concert", &hall(26, 400, 0), false).await.show;
    let query = "query($show: ID!, $status: [SeatStatus!]) {
        availability(show: $show) { seats(status: $status) { seat } } }";
    let many = json!({ "show": show, "status": vec!["SOLD"; 190_000] });
    let begun = std::time::Instant::now();
    let found = tenant.box_office.ask(query, many).await;
    assert_eq!(found["availability"]["seats"], json!([]));
    // Two thousand million comparisons take longer than that on any machine.
    assert!(begun.elapsed() < std::time::Duration::from_secs(6), "{:?}", begun.elapsed());
}

async fn send(actor: &Actor, media: &str, query: &str, extensions: Value) -> Answered {
    let body = json!({ "query": query, "extensions": extensions }).to_string();
    let request = Request::post("/graphql")
        .header("accept", media)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    actor.send(request).await
}

async fn stage(points: u64, points_per_second: u64) -> Stage {
    let limits = KeyLimits { points, points_per_second, operations: 0 };
    Stage::on(Ground { limits, ..Ground::in_memory() }).await
}

const MODERN: &str = "application/graphql-response+json";
const VIEWER: &str = "{ viewer { role } }";

#[tokio::test(start_paused = true)]
async fn a_key_that_has_used_up_its_points_is_told_when_they_are_back() {
    let stage = stage(5, 1).await;
    let operator = stage.operator();
    for _ in 0..2 {
        assert_eq!(send(&operator, MODERN, VIEWER, json!({})).await.status, 200);
    }
    let refused = send(&operator, MODERN, VIEWER, json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    let body = refused.json();
    let expected = json!({
        "requestedQueryCost": 2,
        "throttleStatus": { "maximumAvailable": 5, "currentlyAvailable": 1, "restoreRate": 1 },
    });
    assert_eq!(body["extensions"]["cost"], expected);
    let error = &body["errors"][0]["extensions"];
    assert_eq!((&error["code"], &error["retryAfterSeconds"]), (&json!("THROTTLED"), &json!(1)));
    // Who takes the older media type hears of it in the body alone.
    let legacy = send(&operator, "application/json", VIEWER, json!({})).await;
    assert_eq!((legacy.status.as_u16(), legacy.code().as_str()), (200, "THROTTLED"));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(send(&operator, MODERN, VIEWER, json!({})).await.status, 200);
}

#[tokio::test]
async fn what_a_key_uses_up_is_taken_from_no_other() {
    let stage = stage(100, 0).await;
    let tenant = stage.tenant("T").await;
    while send(&tenant.auditor, MODERN, VIEWER, json!({})).await.status == 200 {}
    assert_eq!(send(&tenant.gate, MODERN, VIEWER, json!({})).await.status, 200);
}

/// Over whatever transport they came.
#[tokio::test]
async fn operations_of_a_key_at_once_are_bounded_subscriptions_included() {
    let limits = KeyLimits { points: 0, points_per_second: 0, operations: 1 };
    let stage = Stage::on(Ground { limits, ..Ground::in_memory() }).await;
    let (operator, tenant) = (stage.operator(), stage.tenant("T").await);
    let mut socket = Socket::ready(&stage, &operator).await;
    let quiet = "subscription { events(kinds: [\"show-cancelled\"]) { id } }";
    socket.subscribe("1", quiet, Value::Null).await;
    socket.subscribe("2", VIEWER, Value::Null).await;
    let told = socket.hear().await;
    assert_eq!((&told["type"], &told["id"]), (&json!("error"), &json!("2")));
    let refused = &told["payload"][0]["extensions"];
    assert_eq!((&refused["code"], &refused["retryAfterSeconds"]), (&json!("THROTTLED"), &json!(1)));
    assert_eq!(refused["cost"]["requestedQueryCost"], 2);
    let refused = send(&operator, MODERN, VIEWER, json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "THROTTLED"));
    assert_eq!(send(&tenant.gate, MODERN, VIEWER, json!({})).await.status, 200);
    socket.say(json!({ "type": "complete", "id": "1" })).await;
    socket.subscribe("3", VIEWER, Value::Null).await;
    assert_eq!(socket.hear().await["type"], "next");
}

#[tokio::test]
async fn whoever_asks_is_told_what_an_operation_costs() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let told = send(&operator, MODERN, VIEWER, json!({ "cost": true })).await.json();
    let cost = &told["extensions"]["cost"];
    assert_eq!((&cost["requestedQueryCost"], &cost["actualQueryCost"]), (&json!(2), &json!(2)));
    assert!(cost["throttleStatus"]["currentlyAvailable"].is_u64(), "{told}");
    assert_eq!(send(&operator, MODERN, VIEWER, json!({})).await.json().get("extensions"), None);
}

#[tokio::test]
async fn a_broken_bound_is_named_with_what_is_allowed_and_what_was_found() {
    let stage = Stage::start().await;
    let aliases: String = (0..201).map(|at| format!("a{at}: role ")).collect();
    let query = format!("{{ viewer {{ {aliases} }} }}");
    let refused = send(&stage.operator(), MODERN, &query, json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (400, "GRAPHQL_VALIDATION_FAILED")
    );
    let limit = &refused.json()["errors"][0]["extensions"]["limit"];
    assert_eq!(*limit, json!({ "name": "ALIASES", "most": 200, "found": 201 }));
}

#[tokio::test]
async fn pages_within_pages_are_bounded_together() {
    let stage = Stage::start().await;
    for (many, few) in [
        // A whole map is brought into memory, whatever is told of it.
        ("shows(first: 100)", "seatMap { sections { name } }"),
        ("shows(first: 9)", "seatMap { seatCount }"),
        ("venues(first: 9)", "seatMap { json }"),
        ("orders(first: 2)", "items { show { seatMap { name } } }"),
    ] {
        let query = format!("{{ {many} {{ edges {{ node {{ {few} }} }} }} }}");
        let refused = send(&stage.operator(), MODERN, &query, json!({})).await;
        let limit = &refused.json()["errors"][0]["extensions"]["limit"];
        assert_eq!(limit["name"], "ANSWER_LARGE_PARTS", "{query}: {limit}");
    }
    for good in [
        "{ shows(first: 8) { edges { node { seatMap { sections { name } } } } } }",
        "{ venues(first: 8) { edges { node { seatMap { seatCount } } } } }",
    ] {
        let answered = send(&stage.operator(), MODERN, good, json!({})).await;
        assert_eq!(answered.json()["errors"], json!(null), "{good}");
    }
}

#[tokio::test]
async fn an_answer_about_many_seats_gives_the_core_away_again_and_again() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale_in("concert", &hall(26, 400, 0), false).await;
    let seats = 26 * 400;
    for query in [
        "query($show: ID!) { availability(show: $show) { seats { seat status } } }",
        "query($show: ID!) { show(id: $show) { seatMap { sections { rows { seats { name } } } } } }",
    ] {
        let body = json!({ "query": query, "variables": { "show": on_sale.show } }).to_string();
        let request = Request::post("/graphql").header("content-type", "application/json");
        let mut answer = pin!(tenant.box_office.send(request.body(Body::from(body)).unwrap()));
        let mut steps = 0;
        let answered = poll_fn(|context| {
            steps += 1;
            answer.as_mut().poll(context)
        });
        let answered = answered.await;
        assert_eq!(answered.json()["errors"], json!(null));
        assert!(answered.body.len() > 10 * seats, "{query}");
        assert!(steps > seats / 1_000, "{steps} steps for {seats} seats: {query}");
    }
}

#[tokio::test]
async fn lists_beside_lists_are_bounded_together() {
    let stage = Stage::start().await;
    let fields = "id name startsAt endsAt ticketTypes { name price { amountMinor display } }";
    let lists = |count: usize| -> String {
        let list = |at| format!("a{at}: shows(first: 100) {{ edges {{ node {{ {fields} }} }} }} ");
        format!("{{ {} }}", (0..count).map(list).collect::<String>())
    };
    let answered = send(&stage.operator(), MODERN, &lists(10), json!({})).await;
    assert_eq!(answered.json()["errors"], json!(null), "ten pages are not too many");
    let refused = send(&stage.operator(), MODERN, &lists(49), json!({})).await;
    let limit = &refused.json()["errors"][0]["extensions"]["limit"];
    assert_eq!(limit["name"], "ANSWER_VALUES", "{limit}");
}
