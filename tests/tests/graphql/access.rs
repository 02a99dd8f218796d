//! Who may do what, and that tenants do not see each other.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::stage::{Actor, Stage, Tenant, code};

#[tokio::test]
async fn without_a_key_one_sees_the_schema_and_nothing_else() {
    let stage = Stage::start().await;
    let nobody = stage.anonymous();
    let schema = nobody.ask("{ __schema { queryType { name } } }", json!({})).await;
    assert_eq!(schema["__schema"]["queryType"]["name"], "Query");
    let refused = nobody.post(&json!({ "query": "{ shows { edges { cursor } } }" })).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.code(), "UNAUTHENTICATED");
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    assert_eq!(refused.json().get("data"), None);
}

#[tokio::test]
async fn a_key_that_is_wrong_unknown_or_revoked_opens_nothing() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let good = tenant.gate.key.clone().unwrap();
    let last = if good.ends_with('a') { "b" } else { "a" };
    let mistyped = format!("{}{last}", &good[..good.len() - 1]);
    let other_id = good.replacen(&good[3..29], "01ARZ3NDEKTSV4RRFFQ69G5FAV", 1);
    for key in ["hk_", "nonsense", &mistyped, &other_id] {
        let actor = stage.with_key(Some(key.to_owned()));
        let answer = actor.post(&json!({ "query": "{ __typename }" })).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED")
        );
    }
    let viewer = tenant.gate.ask("{ viewer { apiKeyId role } }", json!({})).await;
    assert_eq!(viewer["viewer"]["role"], "GATE");
    let input = json!({ "idempotencyKey": "r", "apiKey": viewer["viewer"]["apiKeyId"] });
    let revoked = tenant.organizer.mutate("revokeApiKey", input, "apiKey { revoked }").await;
    assert_eq!(revoked["apiKey"]["revoked"], true);
    let answer = tenant.gate.post(&json!({ "query": "{ viewer { role } }" })).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

/// The role's answers to one thing that each right covers.
async fn rights(actor: &Actor, show: &str) -> Vec<&'static str> {
    let mut may = Vec::new();
    for (right, query) in [
        ("operate", "mutation { resumeProjections(input: {}) { userErrors { code } } }"),
        ("keys", "mutation { rotateCodeKey(input: {}) { userErrors { code } } }"),
        (
            "manage",
            "mutation { closeSales(input: {show: $, reason: \"r\"}) { userErrors { code } } }",
        ),
        ("sell", "mutation { releaseHold(input: {show: $, hold: $}) { userErrors { code } } }"),
        (
            "scan",
            "mutation { scanTicket(input: {show: $, gate: \"g\", code: \"c\"}) \
             { userErrors { code } } }",
        ),
        ("shows", "{ shows { edges { cursor } } }"),
        ("free", "{ availability(show: $) { version } }"),
        ("tickets", "{ tickets { edges { cursor } } }"),
        ("orders", "{ orders { edges { cursor } } }"),
        ("audit", "{ auditLog { edges { cursor } } }"),
        ("events", "{ events { upTo } }"),
        ("engine", "{ projections { name } }"),
    ] {
        // None of the mutations has an idempotency key: a right shows in how they are refused.
        let query = query.replace('$', &format!("\"{show}\""));
        let answer = actor.answer(&query, json!({})).await;
        match code(&answer) {
            "" => may.push(right),
            "FORBIDDEN" => assert!(answer["data"].is_object(), "{answer}"),
            other => panic!("{right}: {other} {answer}"),
        }
    }
    may
}

#[tokio::test]
async fn each_role_may_do_what_it_is_for() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    assert_eq!(
        rights(&tenant.organizer, &show).await,
        [
            "keys", "manage", "sell", "scan", "shows", "free", "tickets", "orders", "audit",
            "events", "engine"
        ]
    );
    let box_office = rights(&tenant.box_office, &show).await;
    assert_eq!(box_office, ["sell", "shows", "free", "tickets", "orders"]);
    assert_eq!(rights(&tenant.gate, &show).await, ["scan", "shows", "free", "tickets"]);
    assert_eq!(
        rights(&tenant.auditor, &show).await,
        ["shows", "free", "tickets", "orders", "audit", "events", "engine"]
    );
    assert_eq!(
        rights(&stage.operator(), &show).await,
        ["operate", "keys", "shows", "free", "tickets", "orders", "audit", "events", "engine"]
    );
}

#[tokio::test]
async fn only_who_sells_sees_the_codes_with_which_one_can_enter() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let order = tenant.sell(&on_sale.show, "b", &["A1"]).await;
    let id = &order["tickets"][0]["id"];
    let position = stage.models.status().await.unwrap()[0].head.0;
    let query = "query($id: ID!, $at: Position) { ticket(id: $id, atLeast: $at) { seat code } }";
    let variables = json!({ "id": id, "at": position });
    let seen = tenant.box_office.ask(query, variables.clone()).await;
    assert_eq!(seen["ticket"]["code"], order["tickets"][0]["code"]);
    for actor in [&tenant.auditor, &tenant.gate, &stage.operator()] {
        let answer = actor.answer(query, variables.clone()).await;
        assert_eq!(code(&answer), "FORBIDDEN");
        assert_eq!(answer["data"]["ticket"], json!({ "seat": "A1", "code": null }));
    }
}

/// Everything of one organizer that another one might name.
struct Treasure {
    venue: Value,
    show: Value,
    hold: Value,
    order: Value,
    ticket: Value,
    code: Value,
    position: Value,
}

async fn treasure(tenant: &Tenant) -> Treasure {
    let on_sale = tenant.on_sale("secret").await;
    let order = tenant.sell(&on_sale.show, "b", &["A1"]).await;
    let input = json!({
        "idempotencyKey": "treasure", "show": on_sale.show, "buyer": "b", "seats": ["A2"]
    });
    let held = tenant.box_office.mutate("holdSeats", input, "hold { id }").await;
    Treasure {
        venue: json!(on_sale.venue),
        show: json!(on_sale.show),
        hold: held["hold"]["id"].clone(),
        order: order["id"].clone(),
        ticket: order["tickets"][0]["id"].clone(),
        code: order["tickets"][0]["code"].clone(),
        position: held["position"].clone(),
    }
}

#[tokio::test]
async fn what_is_another_organizers_looks_as_if_it_did_not_exist() {
    let stage = Stage::start().await;
    let (mine, theirs) = (stage.tenant("mine").await, stage.tenant("theirs").await);
    let own = mine.on_sale("own").await;
    let theirs = treasure(&theirs).await;
    let nothing = Treasure {
        venue: json!("venue_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        show: json!("show_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        hold: json!("hold_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        order: json!("order_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ticket: json!("ticket_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        code: json!("T1.NONSENSE"),
        position: theirs.position.clone(),
    };
    let seen = everything(&mine, &own.show, &theirs).await;
    assert_eq!(seen, everything(&mine, &own.show, &nothing).await);
    assert!(seen.iter().all(|answer| !answer.contains("secret")), "{seen:#?}");
}

/// How everything that one may ask of these ids is answered.
async fn everything(mine: &Tenant, own: &str, of: &Treasure) -> Vec<String> {
    let mut answers = Vec::new();
    let at = &of.position;
    for query in [
        format!("{{ venue(id: {}, atLeast: {at}) {{ name }} }}", of.venue),
        format!("{{ show(id: {}, atLeast: {at}) {{ name }} }}", of.show),
        format!("{{ hold(id: {}, atLeast: {at}) {{ buyer }} }}", of.hold),
        format!("{{ order(id: {}, atLeast: {at}) {{ buyer }} }}", of.order),
        format!("{{ ticket(id: {}, atLeast: {at}) {{ buyer }} }}", of.ticket),
        format!("{{ availability(show: {}, atLeast: {at}) {{ version }} }}", of.show),
        format!("{{ sales(show: {}, atLeast: {at}) {{ sold }} }}", of.show),
        format!(
            "{{ nodes(ids: [{}, {}, {}, {}, {}]) {{ id }} }}",
            of.venue, of.show, of.hold, of.order, of.ticket
        ),
        format!("{{ tickets(filter: {{show: {}}}) {{ edges {{ cursor }} }} }}", of.show),
        format!("{{ orders(filter: {{show: {}}}) {{ edges {{ cursor }} }} }}", of.show),
        format!("{{ auditLog(filter: {{show: {}}}) {{ edges {{ cursor }} }} }}", of.show),
        format!("{{ issuanceHistory(filter: {{show: {}}}) {{ edges {{ cursor }} }} }}", of.show),
    ] {
        answers.push(mine.organizer.answer(&query, json!({})).await["data"].to_string());
    }
    let key = || mine.organizer.fresh();
    for (mutation, input) in [
        ("replaceSeatMap", json!({ "venue": of.venue, "seatMap": { "json": HALL } })),
        (
            "scheduleShow",
            json!({
                "name": "n", "venue": of.venue, "startsAt": "2026-11-22T10:00:00Z",
                "endsAt": "2026-11-22T11:00:00Z"
            }),
        ),
        ("openSales", json!({ "show": of.show, "rules": RULES.clone() })),
        ("closeSales", json!({ "show": of.show, "reason": "r" })),
        ("cancelShow", json!({ "show": of.show, "reason": "r" })),
        (
            "offerTicketType",
            json!({ "show": of.show, "ticketType": "x", "name": "x", "priceMinor": 1 }),
        ),
        ("blockSeats", json!({ "show": of.show, "seats": ["B1"], "reason": "r" })),
        ("holdSeats", json!({ "show": of.show, "buyer": "b", "seats": ["B1"] })),
        ("releaseHold", json!({ "show": of.show, "hold": of.hold })),
        ("releaseHold", json!({ "show": own, "hold": of.hold })),
        (
            "placeOrder",
            json!({
                "buyer": "b",
                "lines": [{ "show": of.show, "hold": of.hold, "ticketType": "adult" }]
            }),
        ),
        (
            "payOrder",
            json!({
                "order": of.order, "currency": "JPY",
                "payments": [{ "payment": "p", "method": "cash", "amountMinor": 1 }]
            }),
        ),
        ("cancelOrder", json!({ "order": of.order, "reason": "r" })),
        ("refundOrder", json!({ "order": of.order, "amountMinor": 1, "currency": "JPY" })),
        ("issueTicket", json!({ "ticket": of.ticket })),
        ("reissueTicket", json!({ "ticket": of.ticket, "reason": "r" })),
        ("scanTicket", json!({ "show": of.show, "gate": "g", "code": of.code })),
    ] {
        let mut input = input;
        input["idempotencyKey"] = json!(key());
        let answer = mine.organizer.attempt(mutation, input, "").await;
        answers.push(answer["data"][mutation].to_string());
    }
    answers
}

const HALL: &str = r#"{"name":"h","focus":{"x":0,"y":0},"sections":[],
    "pools":[{"id":"p","capacity":1,"category":"c"}]}"#;

static RULES: std::sync::LazyLock<Value> = std::sync::LazyLock::new(
    || json!({ "salesFrom": "2026-11-01T00:00:00Z", "salesUntil": "2026-11-22T00:00:00Z" }),
);

#[tokio::test]
async fn a_code_of_another_organizer_is_invalid_at_ones_own_gate() {
    let stage = Stage::start().await;
    let (mine, theirs) = (stage.tenant("mine").await, stage.tenant("theirs").await);
    let own = mine.on_sale("own").await;
    let theirs = treasure(&theirs).await;
    let input = json!({
        "idempotencyKey": "s", "show": own.show, "gate": "north", "code": theirs.code
    });
    let scanned = mine.gate.mutate("scanTicket", input, "result reason ticket { id }").await;
    let seen = (&scanned["result"], &scanned["reason"], &scanned["ticket"]);
    assert_eq!(seen, (&json!("REFUSED"), &json!("INVALID"), &json!(null)));
}

#[tokio::test]
async fn an_operator_sees_every_organizer_or_one_and_others_only_their_own() {
    let stage = Stage::start().await;
    let (one, other) = (stage.tenant("one").await, stage.tenant("other").await);
    one.on_sale("first").await;
    other.on_sale("second").await;
    let position = stage.models.status().await.unwrap()[0].head.0;
    let query = "query($organizer: ID, $at: Position) {
        shows(organizer: $organizer, atLeast: $at) { edges { node { name } } } }";
    let names = |answer: &Value| -> Vec<String> {
        let edges = answer["data"]["shows"]["edges"].as_array().unwrap();
        edges.iter().map(|edge| edge["node"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let operator = stage.operator();
    let all = operator.answer(query, json!({ "at": position })).await;
    assert_eq!(names(&all), ["first", "second"]);
    let of_other = json!({ "organizer": other.id, "at": position });
    let one_of_them = operator.answer(query, of_other.clone()).await;
    assert_eq!(names(&one_of_them), ["second"]);
    assert_eq!(names(&one.auditor.answer(query, json!({ "at": position })).await), ["first"]);
    assert_eq!(code(&one.auditor.answer(query, of_other).await), "FORBIDDEN");
    let organizers = "{ organizers { edges { node { name } } } }";
    let seen = one.organizer.ask(organizers, json!({})).await;
    assert_eq!(seen["organizers"]["edges"], json!([{ "node": { "name": "one" } }]));
}

#[tokio::test]
async fn nobody_but_an_operator_makes_operators() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let input = json!({ "idempotencyKey": "k", "label": "l", "role": "OPERATOR" });
    let refused = tenant.organizer.refusal("createApiKey", input.clone()).await;
    assert_eq!(refused, ("ROLE_NEEDS_ORGANIZER".to_owned(), "role".to_owned()));
    let made = stage.operator().mutate("createApiKey", input, "secret").await;
    let other = stage.with_key(made["secret"].as_str().map(ToOwned::to_owned));
    let id = other.ask("{ viewer { apiKeyId } }", json!({})).await["viewer"]["apiKeyId"].clone();
    let input = json!({ "idempotencyKey": "r", "apiKey": id });
    let refused = tenant.organizer.refusal("revokeApiKey", input).await;
    assert_eq!(refused, ("API_KEY_UNKNOWN".to_owned(), "apiKey".to_owned()));
    assert_eq!(other.ask("{ viewer { role } }", json!({})).await["viewer"]["role"], "OPERATOR");
}
