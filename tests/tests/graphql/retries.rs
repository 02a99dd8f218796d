//! Sending a request again is always safe.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::stage::{Actor, Stage};

/// Sends a mutation twice: the second answer is the first one again.
async fn twice(actor: &Actor, mutation: &str, input: &Value, fields: &str) -> Value {
    let first = actor.mutate(mutation, input.clone(), fields).await;
    assert_eq!(first["userErrors"], json!([]), "{mutation}: {first}");
    assert_eq!(first["repeated"], false, "{mutation}");
    let again = actor.mutate(mutation, input.clone(), fields).await;
    let mut expected = first.clone();
    expected["repeated"] = json!(true);
    assert_eq!(again, expected, "{mutation}");
    first
}

#[tokio::test]
async fn every_mutation_of_a_sale_gives_the_same_answer_again() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let (sell, show) = (&tenant.box_office, &on_sale.show);
    let input = json!({ "idempotencyKey": "1", "show": show, "buyer": "b", "seats": ["A1", "A2"] });
    let held = twice(sell, "holdSeats", &input, "hold { id status seats expiresAt }").await;
    let hold = &held["hold"]["id"];
    let input = json!({ "idempotencyKey": "2", "show": show, "hold": hold, "ttlSeconds": 600 });
    stage.clock.advance_seconds(60);
    twice(sell, "extendHold", &input, "hold { id expiresAt }").await;
    let line = json!({ "show": show, "hold": hold, "ticketType": "adult" });
    let input = json!({ "idempotencyKey": "3", "buyer": "b", "lines": [line] });
    let placed = twice(sell, "placeOrder", &input, "order { id status total { display } }").await;
    let order = &placed["order"]["id"];
    let input = json!({
        "idempotencyKey": "4", "order": order, "currency": "JPY",
        "payments": [{ "payment": "p", "method": "card", "amountMinor": 10000 }]
    });
    let fields = "settled order { id status tickets { id code } }";
    let paid = twice(sell, "payOrder", &input, fields).await;
    let ticket = &paid["order"]["tickets"][0];
    let input = json!({ "idempotencyKey": "5", "ticket": ticket["id"], "reason": "lost" });
    let reissued = twice(sell, "reissueTicket", &input, "ticket { id code }").await;
    let code = &reissued["ticket"]["code"];
    let input = json!({ "idempotencyKey": "6", "show": show, "gate": "n", "code": code });
    let scanned = twice(&tenant.gate, "scanTicket", &input, "result reason").await;
    assert_eq!(scanned["result"], "ADMITTED");
    let input = json!({ "idempotencyKey": "7", "order": order, "items": [2], "reason": "ill" });
    twice(sell, "cancelOrder", &input, "settled order { items { cancelled } }").await;
    let input = json!({
        "idempotencyKey": "8", "order": order, "amountMinor": 1000, "currency": "JPY"
    });
    twice(sell, "refundOrder", &input, "order { refunded { amountMinor } }").await;
    let input = json!({ "idempotencyKey": "9", "show": show, "buyer": "c", "seats": ["B1"] });
    let other = twice(sell, "holdSeats", &input, "hold { id }").await;
    let input = json!({ "idempotencyKey": "10", "show": show, "hold": other["hold"]["id"] });
    let released = twice(sell, "releaseHold", &input, "hold { status seats buyer }").await;
    let expected = json!({ "status": "RELEASED", "seats": ["B1"], "buyer": "c" });
    assert_eq!(released["hold"], expected);
}

#[tokio::test]
async fn every_mutation_of_the_catalogue_gives_the_same_answer_again() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let (manage, show) = (&tenant.organizer, &on_sale.show);
    let name = |name: &str| format!("{name}-again");
    let input =
        json!({ "idempotencyKey": name("block"), "show": show, "seats": ["A1"], "reason": "r" });
    twice(manage, "blockSeats", &input, "show { id }").await;
    let input = json!({ "idempotencyKey": name("unblock"), "show": show, "seats": ["A1"] });
    twice(manage, "unblockSeats", &input, "show { id }").await;
    let input = json!({
        "idempotencyKey": name("allot"), "show": show, "allotment": "fans", "seats": ["B1"],
        "pools": [{ "pool": "floor", "count": 2 }]
    });
    twice(manage, "setAllotment", &input, "show { id }").await;
    let input = json!({
        "idempotencyKey": name("rules"), "show": show,
        "rules": { "salesFrom": "2026-11-01T00:00:00Z", "salesUntil": "2026-11-21T12:00:00Z" }
    });
    twice(manage, "changeSalesRules", &input, "show { sales { rules { salesUntil } } }").await;
    let input = json!({ "idempotencyKey": name("close"), "show": show, "reason": "r" });
    twice(manage, "closeSales", &input, "show { sales { open } }").await;
    let input = json!({ "idempotencyKey": name("withdraw"), "show": show, "ticketType": "adult" });
    twice(manage, "withdrawTicketType", &input, "show { ticketTypes { name } }").await;
    let input = json!({ "idempotencyKey": name("cancel"), "show": show, "reason": "r" });
    twice(manage, "cancelShow", &input, "show { cancelled }").await;
    let input = json!({ "idempotencyKey": name("rotate") });
    let rotated = twice(manage, "rotateCodeKey", &input, "organizer { codeKeys { number state } }");
    let keys = json!([
        { "number": 1, "state": "VERIFY_ONLY" }, { "number": 2, "state": "SIGNING" }
    ]);
    assert_eq!(rotated.await["organizer"]["codeKeys"], keys);
    let input = json!({ "idempotencyKey": name("disable"), "codeKey": 1 });
    twice(manage, "disableCodeKey", &input, "organizer { codeKeys { state } }").await;
}

#[tokio::test]
async fn the_same_key_with_another_request_is_its_own_refusal() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let input =
        json!({ "idempotencyKey": "k", "show": on_sale.show, "buyer": "b", "seats": ["A1"] });
    tenant.box_office.mutate("holdSeats", input.clone(), "").await;
    let mut other = input.clone();
    other["seats"] = json!(["A2"]);
    let refused = tenant.box_office.refusal("holdSeats", other).await;
    assert_eq!(refused, ("IDEMPOTENCY_KEY_REUSED".to_owned(), "idempotencyKey".to_owned()));
    // Nulls and the order of fields are no difference.
    let same = json!({
        "seats": ["A1"], "legs": null, "buyer": "b", "show": on_sale.show, "idempotencyKey": "k"
    });
    assert_eq!(tenant.box_office.mutate("holdSeats", same, "").await["repeated"], true);
}

#[tokio::test]
async fn the_key_may_stand_in_the_header_and_must_stand_somewhere() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let query = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
        hold { id } repeated userErrors { code field } } }";
    let input = json!({ "show": on_sale.show, "buyer": "b", "seats": ["A1"] });
    let body = json!({ "query": query, "variables": { "input": input } });
    let refused = tenant.box_office.post(&body).await.json();
    let errors = json!([{ "code": "BAD_USER_INPUT", "field": "idempotencyKey" }]);
    assert_eq!(refused["data"]["holdSeats"]["userErrors"], errors);
    let send = |key: &'static str| {
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()))
            .unwrap();
        let actor = tenant.box_office.clone();
        async move { actor.send(request).await.json()["data"]["holdSeats"].clone() }
    };
    let first = send("\"from the header\"").await;
    assert!(first["hold"]["id"].is_string(), "{first}");
    let again = send("from the header").await;
    assert_eq!((&again["hold"], &again["repeated"]), (&first["hold"], &json!(true)));
}

#[tokio::test]
async fn a_key_that_is_made_again_shows_the_same_secret_to_its_maker_alone() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let input = json!({ "idempotencyKey": "k", "label": "till", "role": "BOX_OFFICE" });
    let made =
        twice(&tenant.organizer, "createApiKey", &input, "secret apiKey { id role label }").await;
    assert_eq!(made["apiKey"]["label"], "till");
    let till = stage.with_key(made["secret"].as_str().map(ToOwned::to_owned));
    let viewer = till.ask("{ viewer { role label organizer { name } } }", json!({})).await;
    let expected = json!({
        "role": "BOX_OFFICE", "label": "till", "organizer": { "name": "hibiki" }
    });
    assert_eq!(viewer["viewer"], expected);
    let mut by_operator = input.clone();
    by_operator["organizer"] = json!(tenant.id);
    let other = stage.operator().refusal("createApiKey", by_operator).await;
    assert_eq!(other.0, "IDEMPOTENCY_KEY_REUSED");
}
