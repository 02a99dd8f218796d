//! Time travel: whatever was told then is told again when one asks for that moment.

use hakken_commands::clock::Clock;
use serde_json::{Value, json};

use super::stage::{Stage, Tenant, code};

/// Single things, each with its own fields alone.
const THINGS: [(&str, &str, &str); 6] = [
    ("order", "order",
        "status placedAt due { amountMinor } paid { amountMinor }
         refunds { amount { amountMinor } status } items { number price { amountMinor } cancelled }"),
    ("ticket", "ticket", "status generation suspended entries times { createdAt issuedAt voidedAt }"),
    ("hold", "hold", "status expiresAt orderId"),
    ("show", "show", "name cancelled ticketTypes { name price { amountMinor } }"),
    ("organizer", "organizer", "name"),
    ("venue", "venue", "name"),
];

async fn head(stage: &Stage) -> u64 {
    stage.models.status().await.unwrap()[0].head.0
}

/// What is told of a thing, now or as of a moment.
async fn told(tenant: &Tenant, thing: usize, id: &Value, more: Value) -> Value {
    let (name, field, fields) = THINGS[thing];
    let query = format!(
        "query($id: ID!, $asOf: AsOfInput, $at: Position) {{
             {field}(id: $id, asOf: $asOf, atLeast: $at) {{ {fields} }} }}"
    );
    let mut variables = json!({ "id": id });
    variables.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tenant.organizer.ask(&query, variables).await[name].clone()
}

#[tokio::test]
async fn a_single_thing_is_told_as_it_was_told_then() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let order = tenant.sell(&on_sale.show, "b", &["A1", "A2"]).await;
    let ids = [
        order["id"].clone(),
        order["tickets"][0]["id"].clone(),
        json!(tenant.hold(&on_sale.show, "c", &["A3"]).await),
        json!(on_sale.show),
        json!(tenant.id),
        json!(on_sale.venue),
    ];
    let mut then = Vec::new();
    for step in 0..4 {
        stage.clock.advance_seconds(400);
        let key = format!("step-{step}");
        match step {
            0 => {
                let input = json!({ "idempotencyKey": key, "ticket": ids[1], "reason": "lost" });
                tenant.box_office.mutate("reissueTicket", input, "").await;
            }
            1 => {
                let input = json!({ "idempotencyKey": key, "order": ids[0], "items": [1],
                    "refund": "FULL", "reason": "ill" });
                tenant.box_office.mutate("cancelOrder", input, "").await;
            }
            2 => {
                // Somebody takes the seats of the hold that is over.
                tenant.hold(&on_sale.show, "d", &["A3"]).await;
            }
            _ => {
                let input =
                    json!({ "idempotencyKey": key, "show": on_sale.show, "reason": "rain" });
                tenant.organizer.mutate("cancelShow", input, "").await;
            }
        }
        let at = head(&stage).await;
        let mut things = Vec::new();
        for (thing, id) in ids.iter().enumerate() {
            things.push(told(&tenant, thing, id, json!({ "at": at })).await);
        }
        then.push((at, things));
    }
    assert_ne!(then[0].1, then[3].1);
    for (at, things) in &then {
        for (thing, id) in ids.iter().enumerate() {
            let as_of = json!({ "asOf": { "position": at } });
            let again = told(&tenant, thing, id, as_of).await;
            assert_eq!(again, things[thing], "{} as of {at}", THINGS[thing].0);
        }
    }
    // Before it was made there is nothing, and nobody sees what is another's.
    let stranger = stage.tenant("stranger").await;
    for (thing, id) in ids.iter().enumerate() {
        let early = told(&tenant, thing, id, json!({ "asOf": { "position": 1 } })).await;
        assert_eq!(early, Value::Null, "{}", THINGS[thing].0);
        let as_of = json!({ "asOf": { "position": then[3].0 } });
        assert_eq!(told(&stranger, thing, id, as_of).await, Value::Null);
    }
    let query = "query($id: ID!, $asOf: AsOfInput) { order(id: $id, asOf: $asOf) { status } }";
    for wrong in [json!({}), json!({ "position": 1, "time": "2026-11-21T10:00:30Z" })] {
        let answer = tenant.organizer.answer(query, json!({ "id": ids[0], "asOf": wrong })).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn lists_of_what_happened_end_where_the_past_ended() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let order = tenant.sell(&on_sale.show, "b", &["A1", "A2"]).await;
    let scan = async |at: usize| {
        let input = json!({ "idempotencyKey": format!("scan-{at}"), "show": on_sale.show,
            "gate": "north", "code": order["tickets"][at]["code"] });
        tenant.gate.mutate("scanTicket", input, "result").await;
    };
    scan(0).await;
    let middle = head(&stage).await;
    let query = "query($asOf: AsOfInput, $at: Position) {
        scans(asOf: $asOf, atLeast: $at) { edges { node { ticketId } } }
        auditLog(asOf: $asOf, atLeast: $at, last: 1) { edges { node { event { position } } } } }";
    let then = tenant.organizer.ask(query, json!({ "at": middle })).await;
    let time = stage.clock.now().to_string();
    stage.clock.advance_seconds(60);
    scan(1).await;
    let now = tenant.organizer.ask(query, json!({ "at": head(&stage).await })).await;
    assert_eq!(now["scans"]["edges"].as_array().unwrap().len(), 2);
    for as_of in [json!({ "position": middle }), json!({ "time": time })] {
        assert_eq!(tenant.organizer.ask(query, json!({ "asOf": as_of })).await, then, "{as_of}");
    }
}
