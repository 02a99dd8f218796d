//! Sending a request again is always safe.

use axum::{body::Body, http::Request};
use hakken_tests::world::hall;
use serde_json::{Value, json};

use super::stage::{Actor, Stage, code};

/// Sends a mutation twice: the second answer is the first one again.
pub(super) async fn twice(actor: &Actor, mutation: &str, input: &Value, fields: &str) -> Value {
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
async fn every_mutation_that_sets_a_sale_up_gives_the_same_answer_again() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let input = json!({ "idempotencyKey": "1", "name": "new" });
    twice(&operator, "registerOrganizer", &input, "organizer { id name }").await;
    let tenant = stage.tenant("hibiki").await;
    let manage = &tenant.organizer;
    let map = json!({ "json": serde_json::to_string(&hall(2, 10, 5)).unwrap() });
    let input = json!({ "idempotencyKey": "2", "name": "Hall", "seatMap": map });
    let venue = twice(manage, "registerVenue", &input, "venue { id name }").await;
    let venue = &venue["venue"]["id"];
    let other = json!({ "json": serde_json::to_string(&hall(3, 10, 5)).unwrap() });
    let input = json!({ "idempotencyKey": "3", "venue": venue, "seatMap": other });
    twice(manage, "replaceSeatMap", &input, "venue { id }").await;
    let input = json!({
        "idempotencyKey": "4", "name": "concert", "venue": venue,
        "startsAt": "2026-11-22T10:00:00Z", "endsAt": "2026-11-22T13:00:00Z",
        "issuance": { "mode": "ON_REQUEST", "until": "2026-11-22T09:00:00Z" }
    });
    let show = twice(manage, "scheduleShow", &input, "show { id name }").await;
    let show = &show["show"]["id"];
    let input = json!({
        "idempotencyKey": "5", "show": show, "ticketType": "adult", "name": "大人",
        "priceMinor": 5000
    });
    twice(manage, "offerTicketType", &input, "show { ticketTypes { name } }").await;
    let rules = json!({
        "salesFrom": "2026-11-01T00:00:00Z", "salesUntil": "2026-11-22T10:00:00Z"
    });
    let input = json!({ "idempotencyKey": "6", "show": show, "rules": rules });
    twice(manage, "openSales", &input, "show { sales { open } }").await;
    let show = show.as_str().unwrap();
    let order = tenant.sell(show, "b", &["A1"]).await;
    let input = json!({ "idempotencyKey": "7", "ticket": order["tickets"][0]["id"] });
    twice(&tenant.box_office, "issueTicket", &input, "ticket { id code status }").await;
    let input = json!({ "idempotencyKey": "8", "label": "till", "role": "BOX_OFFICE" });
    let key = manage.mutate("createApiKey", input, "apiKey { id }").await;
    let input = json!({ "idempotencyKey": "9", "apiKey": key["apiKey"]["id"] });
    twice(manage, "revokeApiKey", &input, "apiKey { id revoked }").await;
}

#[tokio::test]
async fn every_mutation_about_money_that_goes_back_gives_the_same_answer_again() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    let sell = &tenant.box_office;
    let order = tenant.sell(&show, "b", &["A1"]).await["id"].clone();
    stage.gateway.fail_next(u32::MAX);
    let mut refunds = Vec::new();
    for key in ["1", "2"] {
        let input = json!({
            "idempotencyKey": key, "order": order, "amountMinor": 1000, "currency": "JPY"
        });
        let asked = sell.mutate("refundOrder", input, "order { refunds { id } }").await;
        let known = asked["order"]["refunds"].as_array().unwrap();
        refunds.push(known.last().unwrap()["id"].clone());
    }
    let fields = "order { id refunds { id } }";
    let input = json!({
        "idempotencyKey": "3", "order": order, "refund": refunds[0], "reference": "bank-7"
    });
    twice(sell, "settleRefund", &input, fields).await;
    let input = json!({
        "idempotencyKey": "4", "order": order, "refund": refunds[1], "reason": "no account"
    });
    twice(sell, "failRefund", &input, fields).await;
    let input = json!({ "idempotencyKey": "6", "order": order, "refund": refunds[1] });
    twice(sell, "retryRefund", &input, fields).await;
    let input =
        json!({ "idempotencyKey": "5", "order": order, "payment": "pay-b", "reason": "stolen" });
    twice(sell, "reversePayment", &input, "order { id }").await;
}

#[test]
fn every_mutation_with_a_key_is_sent_again_by_some_test_here() {
    let schema = hakken_api::sdl();
    let here = concat!(include_str!("retries.rs"), include_str!("operations.rs"));
    let here: Vec<&str> = here.split_whitespace().collect();
    let here = here.join(" ");
    let inputs = schema.split("\ninput ").skip(1);
    let keyed = inputs.filter(|input| {
        input.split("\n}").next().is_some_and(|fields| fields.contains("idempotencyKey:"))
    });
    let mut found = 0;
    for name in keyed.filter_map(|input| input.split_once("Input {")).map(|(name, _)| name) {
        found += 1;
        let mutation = format!("\"{}{}\", &input", name[..1].to_lowercase(), &name[1..]);
        assert!(here.contains(&mutation), "{name} is sent once only");
    }
    assert!(found > 25, "{found} mutations have a key");
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

/// Sends a request with this header.
async fn with_header(actor: &Actor, body: &Value, keys: &[&str]) -> Value {
    let mut request = Request::post("/graphql").header("content-type", "application/json");
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    actor.send(request.body(Body::from(body.to_string())).unwrap()).await.json()
}

#[tokio::test]
async fn a_header_that_says_another_key_than_the_input_is_refused() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    let query = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
        hold { id } repeated userErrors { code field message } } }";
    let input = json!({ "idempotencyKey": "k", "show": show, "buyer": "b", "seats": ["A1"] });
    let body = json!({ "query": query, "variables": { "input": input } });
    let refused = with_header(&tenant.box_office, &body, &["\"other\""]).await;
    let error = &refused["data"]["holdSeats"]["userErrors"][0];
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("BAD_USER_INPUT"), &json!("idempotencyKey"))
    );
    assert!(error["message"].as_str().unwrap().contains("another key than the input"), "{error}");
    let same = with_header(&tenant.box_office, &body, &["\"k\""]).await;
    assert_eq!(same["data"]["holdSeats"]["repeated"], false, "{same}");
    for keys in [&["\"open"][..], &["k", "k"], &["\"a\\b\""]] {
        let malformed = with_header(&tenant.box_office, &body, keys).await;
        assert_eq!(code(&malformed), "BAD_REQUEST", "{keys:?}: {malformed}");
        assert_eq!(malformed.get("data"), None);
    }
}

#[tokio::test]
async fn a_header_stands_for_one_mutation() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    let query = "mutation($one: HoldSeatsInput!, $two: HoldSeatsInput!) {
        one: holdSeats(input: $one) { repeated userErrors { code } }
        two: holdSeats(input: $two) { repeated userErrors { code } } }";
    let hold = |seat: &str| json!({ "show": show, "buyer": "b", "seats": [seat] });
    let variables = json!({ "one": hold("A1"), "two": hold("A2") });
    let body = json!({ "query": query, "variables": variables });
    for repeated in [false, true] {
        let answer = with_header(&tenant.box_office, &body, &["k"]).await;
        assert_eq!(answer["data"]["one"], json!({ "repeated": repeated, "userErrors": [] }));
        assert_eq!(answer["data"]["two"]["userErrors"], json!([{ "code": "BAD_USER_INPUT" }]));
    }
}

#[tokio::test]
async fn a_request_that_is_still_in_hand_gives_its_answer_to_all_who_send_it() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    let hold = tenant.hold(&show, "b", &["A1"]).await;
    let line = json!({ "show": show, "hold": hold, "ticketType": "adult" });
    let input = json!({ "idempotencyKey": "order", "buyer": "b", "lines": [line] });
    let placed = tenant.box_office.mutate("placeOrder", input, "order { id }").await;
    let requests = [
        (
            "holdSeats",
            json!({ "idempotencyKey": "h", "show": show, "buyer": "c", "seats": ["A2"] }),
            "hold { id status }",
        ),
        // It waits until the tickets are there.
        (
            "payOrder",
            json!({
                "idempotencyKey": "p", "order": placed["order"]["id"], "currency": "JPY",
                "payments": [{ "payment": "p", "method": "card", "amountMinor": 5000 }]
            }),
            "settled order { id status tickets { id code } }",
        ),
    ];
    for (mutation, input, fields) in requests {
        let asked = (0..16).map(|_| tenant.box_office.attempt(mutation, input.clone(), fields));
        let answers = futures_util::future::join_all(asked).await;
        let mut payloads: Vec<Value> =
            answers.iter().map(|answer| answer["data"][mutation].clone()).collect();
        let fresh = payloads.iter().filter(|payload| payload["repeated"] == false).count();
        assert_eq!(fresh, 1, "{mutation}: {answers:#?}");
        for payload in &mut payloads {
            payload["repeated"] = json!(false);
            assert_eq!(payload["userErrors"], json!([]), "{mutation}");
        }
        payloads.dedup();
        assert_eq!(payloads.len(), 1, "{mutation}: {payloads:#?}");
    }
}

#[tokio::test]
async fn of_two_requests_with_one_key_at_the_same_time_one_is_told_so() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    let hold = |seat: String| {
        let input = json!({ "idempotencyKey": "k", "show": show, "buyer": "b", "seats": [seat] });
        tenant.box_office.mutate("holdSeats", input, "hold { id }")
    };
    let answers = (1..=8).map(|seat| async move { hold(format!("A{seat}")).await });
    let answers = futures_util::future::join_all(answers).await;
    let granted = answers.iter().filter(|payload| payload["hold"]["id"].is_string()).count();
    let told = answers
        .iter()
        .filter(|payload| payload["userErrors"][0]["code"] == "IDEMPOTENCY_KEY_REUSED");
    assert_eq!((granted, told.count()), (1, 7), "{answers:#?}");
}

#[tokio::test]
async fn an_answer_is_the_same_for_ever_and_what_it_names_is_as_it_is_now() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    let sell = &tenant.box_office;
    let hold = json!({ "idempotencyKey": "h", "show": show, "buyer": "b", "seats": ["A1"] });
    let lost = json!({ "idempotencyKey": "l", "show": show, "buyer": "c", "seats": ["A2"] });
    let fields = "hold { id buyer seats }";
    let held = twice(sell, "holdSeats", &hold, fields).await;
    let expired = twice(sell, "holdSeats", &lost, fields).await;
    let line = json!({ "show": show, "hold": held["hold"]["id"], "ticketType": "adult" });
    let order = json!({ "idempotencyKey": "o", "buyer": "b", "lines": [line] });
    let order_fields = "order { id items { seat price { display } } }";
    let placed = twice(sell, "placeOrder", &order, order_fields).await;
    let pay = json!({
        "idempotencyKey": "p", "order": placed["order"]["id"], "currency": "JPY",
        "payments": [{ "payment": "p", "method": "card", "amountMinor": 5000 }]
    });
    let paid = twice(sell, "payOrder", &pay, "order { id tickets { id } }").await;
    stage.clock.advance_seconds(7 * 86_400);
    // Somebody else has the seat of the hold that is over.
    let input = json!({ "idempotencyKey": "n", "show": show, "buyer": "d", "seats": ["A2"] });
    let other = sell.attempt("holdSeats", input, "hold { id }").await;
    assert!(other.get("errors").is_none(), "{other}");
    for (mutation, input, fields, first) in [
        ("holdSeats", &hold, fields, &held),
        ("holdSeats", &lost, fields, &expired),
        ("placeOrder", &order, order_fields, &placed),
        ("payOrder", &pay, "order { id tickets { id } }", &paid),
    ] {
        let mut again = sell.mutate(mutation, input.clone(), fields).await;
        assert_eq!(again["repeated"], true, "{mutation}");
        // A position that shows what happened may be any later one, too.
        assert!(again["position"].as_u64() >= first["position"].as_u64(), "{mutation}");
        again["repeated"] = json!(false);
        again["position"] = first["position"].clone();
        assert_eq!(again, *first, "{mutation}");
    }
    // A hold that is over is not said to last.
    for (hold, status) in [(&hold, "CONFIRMED"), (&lost, "EXPIRED")] {
        let again = sell.mutate("holdSeats", hold.clone(), "hold { status }").await;
        assert_eq!(again["hold"]["status"], status);
    }
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
