//! What the schema promises: things are found by their ids, also by a router, and a field that
//! fails takes nothing along.

use serde_json::{Value, json};

use super::stage::{OnSale, Stage, Tenant, code};

async fn sold() -> (Stage, Tenant, OnSale, Value) {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let order = tenant.sell(&on_sale.show, "b", &["A1"]).await;
    let head = stage.models.status().await.unwrap()[0].head;
    stage.models.wait_for_all(head, std::time::Duration::from_secs(10)).await.unwrap();
    (stage, tenant, on_sale, order)
}

#[tokio::test]
async fn a_field_that_fails_leaves_its_siblings_and_its_parent() {
    let (_stage, tenant, on_sale, order) = sold().await;
    let ticket = &order["tickets"][0]["id"];
    // A gate may see the ticket, but neither its order nor its code.
    let query = "query($id: ID!) { ticket(id: $id) {
        seat order { id } orderId code show { id name } } viewer { role } }";
    let answer = tenant.gate.answer(query, json!({ "id": ticket })).await;
    let expected = json!({
        "ticket": {
            "seat": "A1", "order": null, "orderId": order["id"], "code": null,
            "show": { "id": on_sale.show, "name": "concert" }
        },
        "viewer": { "role": "GATE" }
    });
    assert_eq!(answer["data"], expected, "{answer:#}");
    let mut paths: Vec<Value> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .inspect(|error| assert_eq!(error["extensions"]["code"], "FORBIDDEN"))
        .map(|error| error["path"].clone())
        .collect();
    paths.sort_by_key(ToString::to_string);
    assert_eq!(paths, [json!(["ticket", "code"]), json!(["ticket", "order"])]);
}

#[tokio::test]
async fn an_element_whose_field_fails_stays_in_its_page() {
    let (_stage, tenant, _, _) = sold().await;
    let query = "{ tickets { edges { cursor node { seat code times { createdAt } } }
        pageInfo { hasNextPage } } }";
    let answer = tenant.auditor.answer(query, json!({})).await;
    let edge = &answer["data"]["tickets"]["edges"][0];
    assert_eq!((&edge["node"]["seat"], &edge["node"]["code"]), (&json!("A1"), &json!(null)));
    assert!(edge["node"]["times"]["createdAt"].is_string());
    let error = &answer["errors"][0];
    assert_eq!(error["path"], json!(["tickets", "edges", 0, "node", "code"]));
}

/// The read model is not there: what only it knows is missing, and what happened is told.
#[tokio::test(start_paused = true)]
async fn a_mutation_whose_answer_cannot_be_read_in_full_tells_what_it_can() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let hold = tenant.hold(&on_sale.show, "b", &["A1"]).await;
    let pause = json!({ "input": { "names": ["orders"] } });
    let query = "mutation($input: PauseProjectionsInput!) { pauseProjections(input: $input) {
        projections { name } userErrors { code } } }";
    let paused = stage.operator().ask(query, pause).await;
    assert_eq!(paused["pauseProjections"]["projections"], json!([{ "name": "orders" }]));
    let input = json!({
        "idempotencyKey": "o", "buyer": "b",
        "lines": [{ "show": on_sale.show, "hold": hold, "ticketType": "adult" }]
    });
    let fields = "order { status placedAt total { amountMinor } items { seat } }";
    let answer = tenant.box_office.attempt("placeOrder", input, fields).await;
    let expected = json!({
        "status": "PENDING", "placedAt": null, "total": { "amountMinor": 5000 },
        "items": [{ "seat": "A1" }]
    });
    assert_eq!(answer["data"]["placeOrder"]["order"], expected, "{answer:#}");
    assert_eq!(code(&answer), "NOT_YET_VISIBLE");
    assert_eq!(answer["errors"][0]["path"], json!(["placeOrder", "order", "placedAt"]));
}

#[tokio::test]
async fn whatever_has_an_id_is_found_by_it() {
    let (stage, tenant, on_sale, order) = sold().await;
    let input = json!({
        "idempotencyKey": "r", "order": order["id"], "amountMinor": 100, "currency": "JPY"
    });
    let refunded =
        tenant.box_office.mutate("refundOrder", input, "order { refunds { id orderId } }").await;
    let refund = &refunded["order"]["refunds"][0];
    assert_eq!(refund["orderId"], order["id"]);
    let head = stage.models.status().await.unwrap()[0].head.0;
    let me = tenant.organizer.ask("{ viewer { apiKeyId } }", json!({})).await;
    let holds = tenant.organizer.ask("{ holds { edges { node { id } } } }", json!({})).await;
    let ids = [
        json!(tenant.id),
        json!(on_sale.venue),
        json!(on_sale.show),
        order["id"].clone(),
        order["tickets"][0]["id"].clone(),
        refund["id"].clone(),
        me["viewer"]["apiKeyId"].clone(),
        holds["holds"]["edges"][0]["node"]["id"].clone(),
    ];
    let query = "query($ids: [ID!]!, $at: Position) { nodes(ids: $ids, atLeast: $at) { id } }";
    let found = tenant.organizer.ask(query, json!({ "ids": ids, "at": head })).await;
    let expected: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
    assert_eq!(found["nodes"], json!(expected));
    let stranger = stage.tenant("stranger").await;
    let unseen = stranger.organizer.ask(query, json!({ "ids": ids })).await;
    assert_eq!(unseen["nodes"], json!(vec![Value::Null; ids.len()]));
}

#[tokio::test]
async fn a_router_finds_entities_and_one_that_fails_takes_no_other_along() {
    let (stage, tenant, on_sale, order) = sold().await;
    let ticket = &order["tickets"][0]["id"];
    let query = "query($named: [_Any!]!) { _entities(representations: $named) { __typename
        ... on Ticket { seat } ... on Order { buyer } ... on Show { name } } }";
    let named = json!([
        { "__typename": "Show", "id": on_sale.show },
        { "__typename": "Venue", "id": on_sale.venue },
        { "__typename": "Order", "id": order["id"] },
        { "__typename": "Ticket", "id": ticket },
        { "__typename": "Order", "id": ticket },
        { "__typename": "Ticket", "id": "ticket_00000000000000000000000000" },
    ]);
    let answer = tenant.auditor.answer(query, json!({ "named": named })).await;
    let expected = json!([
        { "__typename": "Show", "name": "concert" },
        null,
        { "__typename": "Order", "buyer": "b" },
        { "__typename": "Ticket", "seat": "A1" },
        null,
        null
    ]);
    assert_eq!(answer["data"]["_entities"], expected, "{answer:#}");
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    assert_eq!(answer["errors"][0]["path"], json!(["_entities", 1]));
    let stranger = stage.tenant("stranger").await;
    let unseen = stranger.auditor.answer(query, json!({ "named": [named[0]] })).await;
    assert_eq!(unseen["data"]["_entities"], json!([null]));
    let many: Vec<Value> = vec![named[0].clone(); 101];
    let refused = tenant.auditor.answer(query, json!({ "named": many })).await;
    assert_eq!(code(&refused), "BAD_USER_INPUT");
    let sdl = tenant.auditor.ask("{ _service { sdl } }", json!({})).await;
    assert_eq!(sdl["_service"]["sdl"], hakken_api::subgraph_sdl());
}
