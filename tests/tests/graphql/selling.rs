//! A hall goes through its life.

use std::time::Duration;

use hakken_domain::money::Currency;
use serde_json::json;

use super::stage::Stage;

#[tokio::test]
async fn a_seat_is_held_ordered_paid_issued_scanned_and_scanned_again() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let order = tenant.sell(&on_sale.show, "buyer-1", &["A1", "A2"]).await;
    assert_eq!(order["status"], "CONFIRMED");
    let tickets = order["tickets"].as_array().unwrap();
    assert_eq!(tickets.len(), 2);
    assert_eq!((&tickets[0]["seat"], &tickets[0]["status"]), (&json!("A1"), &json!("ISSUED")));
    let code = tickets[0]["code"].as_str().unwrap();
    assert!(code.starts_with("T1."), "{code}");

    let scan = |key: &str, code: &str| {
        let input = json!({
            "idempotencyKey": key, "show": on_sale.show, "gate": "north", "code": code
        });
        let gate = tenant.gate.clone();
        let fields = "result reason ticket { seat ticketType entries inside show { name } }";
        async move { gate.mutate("scanTicket", input, fields).await }
    };
    let admitted = scan("scan-1", code).await;
    assert_eq!(admitted["result"], "ADMITTED", "{admitted}");
    assert_eq!(admitted["ticket"]["entries"], 1);
    assert_eq!(admitted["ticket"]["show"]["name"], "concert");
    let copied = scan("scan-2", code).await;
    assert_eq!(
        (&copied["result"], &copied["reason"]),
        (&json!("REFUSED"), &json!("ALREADY_REDEEMED"))
    );
    assert_eq!(copied["userErrors"], json!([]));
    let forged = scan("scan-3", &code.replace("T1.A", "T1.B")).await;
    assert_eq!((&forged["reason"], &forged["ticket"]), (&json!("INVALID"), &json!(null)));
}

#[tokio::test]
async fn the_best_seats_are_side_by_side_and_pools_have_no_seats() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let input = json!({
        "idempotencyKey": "best",
        "show": on_sale.show,
        "buyer": "b",
        "bestAvailable": { "count": 3 },
        "pools": [{ "pool": "floor", "count": 2 }]
    });
    let fields = "hold { seats pools { pool count } status expiresAt legs { from to } }";
    let held = tenant.box_office.mutate("holdSeats", input, fields).await;
    let hold = &held["hold"];
    assert_eq!(hold["seats"].as_array().unwrap().len(), 3, "{held}");
    assert_eq!(hold["pools"], json!([{ "pool": "floor", "count": 2 }]));
    assert_eq!(hold["status"], "HELD");
    assert_eq!(hold["expiresAt"], "2026-11-21T10:10:00Z");
}

#[tokio::test]
async fn one_ticket_is_cancelled_its_seat_is_free_and_its_price_goes_back() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let order = tenant.sell(&on_sale.show, "buyer-1", &["A1", "A2"]).await;
    let input = json!({
        "idempotencyKey": "cancel", "order": order["id"], "items": [2],
        "refund": "KEEP_FEE", "feeMinor": 500, "reason": "ill"
    });
    let fields =
        "settled order { status refunded { amountMinor display } refundable { amountMinor }
        items { number cancelled price { display } } tickets { seat status code } }";
    let cancelled = tenant.box_office.mutate("cancelOrder", input, fields).await;
    let order = &cancelled["order"];
    assert_eq!((&cancelled["settled"], &order["status"]), (&json!("DONE"), &json!("CONFIRMED")));
    assert_eq!(order["refunded"], json!({ "amountMinor": 4500, "display": "JPY 4,500" }));
    assert_eq!(order["items"][1]["cancelled"], true);
    assert_eq!(order["tickets"][1], json!({ "seat": "A2", "status": "VOID", "code": null }));
    let query = "query($show: ID!, $at: Position) { availability(show: $show, atLeast: $at) {
        seats(status: [SOLD]) { seat } totals { free sold } } }";
    let variables = json!({ "show": on_sale.show, "at": cancelled["position"] });
    let found = tenant.box_office.ask(query, variables).await;
    assert_eq!(found["availability"]["seats"], json!([{ "seat": "A1" }]));
    assert_eq!(found["availability"]["totals"], json!({ "free": 24, "sold": 1 }));
    assert_eq!(tenant.sell(&on_sale.show, "buyer-2", &["A2"]).await["status"], "CONFIRMED");
}

#[tokio::test]
async fn a_lost_ticket_gets_a_new_code_and_the_old_one_is_revoked() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let order = tenant.sell(&on_sale.show, "buyer-1", &["B5"]).await;
    let ticket = &order["tickets"][0];
    let input = json!({ "idempotencyKey": "lost", "ticket": ticket["id"], "reason": "lost" });
    let again =
        tenant.box_office.mutate("reissueTicket", input, "ticket { code generation }").await;
    assert_eq!(again["ticket"]["generation"], 2);
    assert_ne!(again["ticket"]["code"], ticket["code"]);
    let input = json!({
        "idempotencyKey": "scan", "show": on_sale.show, "gate": "n", "code": ticket["code"]
    });
    let old = tenant.gate.mutate("scanTicket", input, "result reason").await;
    assert_eq!((&old["result"], &old["reason"]), (&json!("REFUSED"), &json!("REVOKED")));
}

#[tokio::test]
async fn a_late_payment_of_a_seat_that_is_gone_goes_back_by_itself() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let hold = tenant.hold(&on_sale.show, "slow", &["A1"]).await;
    let input = json!({
        "idempotencyKey": "order", "buyer": "slow",
        "lines": [{ "show": on_sale.show, "hold": hold, "ticketType": "adult" }]
    });
    let fields = "order { id due { display } status placedAt }";
    let placed = tenant.box_office.mutate("placeOrder", input, fields).await;
    assert_eq!(placed["order"]["due"]["display"], "JPY 5,000");
    assert_eq!(placed["order"]["placedAt"], "2026-11-21T10:00:00Z");
    stage.clock.advance_seconds(601);
    tenant.sell(&on_sale.show, "quick", &["A1"]).await;
    let input = json!({
        "idempotencyKey": "pay", "order": placed["order"]["id"], "currency": "JPY",
        "payments": [{ "payment": "p-1", "method": "card", "amountMinor": 5000 }]
    });
    let fields = "settled order { status tickets { id } refunds { amount { amountMinor } cause } }";
    let paid = tenant.box_office.mutate("payOrder", input, fields).await;
    assert_eq!(paid["order"]["status"], "UNFULFILLED", "{paid}");
    let refund = json!([{ "amount": { "amountMinor": 5000 }, "cause": "UNFULFILLED" }]);
    assert_eq!(paid["order"]["refunds"], refund);
    assert_eq!(paid["order"]["tickets"], json!([]));
    let query = "{ refunds(filter: {status: SETTLED}) { edges { node { reference } } } }";
    for _ in 0..500 {
        let settled = tenant.auditor.ask(query, json!({})).await;
        if settled["refunds"]["edges"].as_array().unwrap().len() == 1 {
            assert_eq!(stage.gateway.moved_minor(Currency::JPY), 5_000);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the refund did not go out");
}
