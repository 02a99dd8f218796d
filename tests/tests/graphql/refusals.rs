//! Refusals are data: a code, a sentence, and the field concerned.

use serde_json::{Value, json};

use super::stage::{OnSale, Stage, Tenant};

async fn opened() -> (Stage, Tenant, OnSale) {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    (stage, tenant, on_sale)
}

fn pair(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

fn with(mut input: Value, name: &str, value: Value) -> Value {
    input[name] = value;
    input
}

#[tokio::test]
async fn a_hold_says_which_of_its_fields_is_wrong() {
    let (_stage, tenant, on_sale) = opened().await;
    tenant.hold(&on_sale.show, "first", &["A2"]).await;
    let good = json!({
        "idempotencyKey": "k", "show": on_sale.show, "buyer": "b", "seats": ["A1", "A2"]
    });
    let cases = [
        (good.clone(), "SEAT_TAKEN", "seats.1"),
        (with(good.clone(), "seats", json!(["A1", "Z9"])), "SEAT_UNKNOWN", "seats.1"),
        (with(good.clone(), "seats", json!(["A1", "A1"])), "SEAT_REPEATED", "seats.0"),
        (with(good.clone(), "seats", json!([])), "NOTHING_WANTED", "seats"),
        (with(good.clone(), "buyer", json!("a@b.jp")), "BAD_USER_INPUT", "buyer"),
        (with(good.clone(), "show", json!("show_x")), "BAD_USER_INPUT", "show"),
        (with(good.clone(), "seats", json!(["A1", ""])), "BAD_USER_INPUT", "seats.1"),
        (with(good.clone(), "legs", json!({ "from": 1, "to": 1 })), "BAD_USER_INPUT", "legs"),
        (with(good.clone(), "legs", json!({ "from": 0, "to": 2 })), "LEGS_UNKNOWN", "legs"),
        (with(good.clone(), "allotment", json!("fans")), "ALLOTMENT_UNKNOWN", "allotment"),
        (
            with(good.clone(), "pools", json!([{ "pool": "floor", "count": 6 }])),
            "SEAT_TAKEN",
            "seats.1",
        ),
        (
            json!({
                "idempotencyKey": "k", "show": on_sale.show, "buyer": "b",
                "pools": [{ "pool": "floor", "count": 6 }]
            }),
            "POOL_EXHAUSTED",
            "pools.0.pool",
        ),
        (
            json!({
                "idempotencyKey": "k", "show": on_sale.show, "buyer": "b",
                "bestAvailable": { "count": 9 }
            }),
            "BUYER_LIMIT",
            "buyer",
        ),
        (
            with(good.clone(), "bestAvailable", json!({ "count": 1 })),
            "BAD_USER_INPUT",
            "bestAvailable",
        ),
    ];
    for (input, code, field) in cases {
        let refused = tenant.box_office.refusal("holdSeats", input.clone()).await;
        assert_eq!(refused, pair(code, field), "{input}");
    }
    // A refusal is not remembered: the same key may ask for something else.
    let free = with(good, "seats", json!(["A3"]));
    let held = tenant.box_office.mutate("holdSeats", free, "hold { seats }").await;
    assert_eq!(held["hold"]["seats"], json!(["A3"]), "{held}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_carries_nothing_else() {
    let (_stage, tenant, on_sale) = opened().await;
    tenant.hold(&on_sale.show, "first", &["A2"]).await;
    let input = json!({
        "idempotencyKey": "k", "show": on_sale.show, "buyer": "b", "seats": ["A2"]
    });
    let refused = tenant.box_office.mutate("holdSeats", input, "hold { id }").await;
    let expected = json!({
        "hold": null,
        "userErrors": [{
            "code": "SEAT_TAKEN",
            "message": "Seat \"A2\" is held or sold already. Choose another; `availability` shows \
                        what is free.",
            "field": "seats.0"
        }],
        "position": null,
        "repeated": false
    });
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_hold_that_is_over_is_neither_extended_nor_ordered() {
    let (stage, tenant, on_sale) = opened().await;
    let hold = tenant.hold(&on_sale.show, "b", &["A1"]).await;
    stage.clock.advance_seconds(601);
    let extend = json!({ "idempotencyKey": "e", "show": on_sale.show, "hold": hold });
    let refused = tenant.box_office.refusal("extendHold", extend.clone()).await;
    assert_eq!(refused, pair("HOLD_EXPIRED", "hold"));
    let order = json!({
        "idempotencyKey": "o", "buyer": "b",
        "lines": [{ "show": on_sale.show, "hold": hold, "ticketType": "adult" }]
    });
    let refused = tenant.box_office.refusal("placeOrder", order).await;
    assert_eq!(refused, pair("HOLD_OVER", "lines.0.hold"));
}

#[tokio::test]
async fn an_order_says_which_line_and_which_ticket_is_wrong() {
    let (_stage, tenant, on_sale) = opened().await;
    let hold = tenant.hold(&on_sale.show, "b", &["A1", "A2"]).await;
    let order = |line: Value| json!({ "idempotencyKey": "o", "buyer": "b", "lines": [line] });
    let cases = [
        (json!({ "show": on_sale.show, "hold": hold }), "TICKET_TYPE_MISSING", "lines.0.hold"),
        (
            json!({ "show": on_sale.show, "hold": hold, "ticketType": "child" }),
            "TICKET_TYPE_NOT_OFFERED",
            "lines.0.ticketType",
        ),
        (
            json!({
                "show": on_sale.show, "hold": hold, "ticketType": "adult",
                "tickets": [{ "seat": "B1", "ticketType": "adult" }]
            }),
            "PLACE_NOT_HELD",
            "lines.0.tickets.0.seat",
        ),
        (
            json!({
                "show": on_sale.show, "hold": hold, "ticketType": "adult",
                "tickets": [{ "ticketType": "adult" }]
            }),
            "BAD_USER_INPUT",
            "lines.0.tickets.0.seat",
        ),
    ];
    for (line, code, field) in cases {
        let refused = tenant.box_office.refusal("placeOrder", order(line.clone())).await;
        assert_eq!(refused, pair(code, field), "{line}");
    }
}

#[tokio::test]
async fn too_little_too_much_and_another_currency_are_refused() {
    let (_stage, tenant, on_sale) = opened().await;
    let hold = tenant.hold(&on_sale.show, "b", &["A1"]).await;
    let input = json!({
        "idempotencyKey": "o", "buyer": "b",
        "lines": [{ "show": on_sale.show, "hold": hold, "ticketType": "adult" }]
    });
    let placed = tenant.box_office.mutate("placeOrder", input, "order { id }").await;
    let pay = |amount: u64, currency: &str| {
        json!({
            "idempotencyKey": "p", "order": placed["order"]["id"], "currency": currency,
            "payments": [{ "payment": "p", "method": "card", "amountMinor": amount }]
        })
    };
    for (input, code, field) in [
        (pay(4_999, "JPY"), "PAID_TOO_LITTLE", "payments"),
        (pay(5_001, "JPY"), "PAID_TOO_MUCH", "payments"),
        (pay(0, "JPY"), "AMOUNT_INVALID", "payments"),
        (pay(5_000, "EUR"), "CURRENCY_MISMATCH", "currency"),
        (pay(5_000, "yen"), "BAD_USER_INPUT", "currency"),
    ] {
        let refused = tenant.box_office.refusal("payOrder", input.clone()).await;
        assert_eq!(refused, pair(code, field), "{input}");
    }
}

#[tokio::test]
async fn a_broken_seat_map_is_refused_with_its_place() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let broken = json!({
        "idempotencyKey": "v", "name": "Hall",
        "seatMap": { "json": "{\"name\": \"x\", \"focus\": {\"x\": 0, \"y\": 0}, \"sections\": [1]}" }
    });
    let payload = tenant.organizer.mutate("registerVenue", broken, "venue { id }").await;
    let error = &payload["userErrors"][0];
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("SEAT_MAP_INVALID"), &json!("seatMap.json"))
    );
    assert!(error["message"].as_str().unwrap().contains("sections[0]"), "{error}");
}
