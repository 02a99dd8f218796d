//! What one may ask, now and as of then.

use serde_json::{Value, json};

use super::stage::{Actor, OnSale, Stage, Tenant, code};

async fn opened() -> (Stage, Tenant, OnSale) {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    (stage, tenant, on_sale)
}

async fn head(stage: &Stage) -> u64 {
    stage.models.status().await.unwrap()[0].head.0
}

#[tokio::test]
async fn polling_what_is_free_costs_nothing_while_nothing_changes() {
    let (stage, tenant, on_sale) = opened().await;
    let query = "query($show: ID!, $known: String, $at: Position) {
        availability(show: $show, ifVersionIsNot: $known, atLeast: $at) {
            version unchanged seatLetters seats(status: [HELD]) { seat status }
            pools { pool free held } totals { free held } } }";
    let ask = |known: Value, at: u64| {
        let variables = json!({ "show": on_sale.show, "known": known, "at": at });
        let gate = tenant.gate.clone();
        async move { gate.ask(query, variables).await["availability"].clone() }
    };
    let first = ask(json!(null), head(&stage).await).await;
    assert_eq!(first["seatLetters"], "FFFFFFFFFFFFFFFFFFFF");
    assert_eq!(first["pools"], json!([{ "pool": "floor", "free": 5, "held": 0 }]));
    let same = ask(first["version"].clone(), 0).await;
    assert_eq!(same["unchanged"], true);
    assert_eq!(
        (&same["seatLetters"], &same["seats"], &same["pools"]),
        (&json!(null), &json!(null), &json!(null))
    );
    tenant.hold(&on_sale.show, "b", &["A3"]).await;
    let held = ask(first["version"].clone(), head(&stage).await).await;
    assert_eq!(
        (&held["unchanged"], &held["seatLetters"]),
        (&json!(false), &json!("FFHFFFFFFFFFFFFFFFFF"))
    );
    assert_eq!(held["seats"], json!([{ "seat": "A3", "status": "HELD" }]));
    // A hold that ends by itself changes the answer without an event.
    stage.clock.advance_seconds(601);
    let free = ask(held["version"].clone(), 0).await;
    assert_eq!((&free["unchanged"], &free["totals"]["free"]), (&json!(false), &json!(25)));
}

/// The same bytes again are answered from memory: only while that is the truth, and only to whom
/// it concerns.
#[tokio::test]
async fn the_same_poll_again_is_answered_with_what_is_true_now() {
    let (stage, tenant, on_sale) = opened().await;
    let stranger = stage.tenant("stranger").await;
    let query = "query($show: ID!) { availability(show: $show) { version seatLetters } }";
    let poll = async |actor: &Actor| actor.answer(query, json!({ "show": on_sale.show })).await;
    let see = "query($show: ID!, $at: Position) { availability(show: $show, atLeast: $at) {
        version } }";
    let catch_up = async || {
        tenant.gate.ask(see, json!({ "show": on_sale.show, "at": head(&stage).await })).await;
    };
    catch_up().await;
    let first = poll(&tenant.gate).await;
    assert_eq!(first["data"]["availability"]["seatLetters"], "FFFFFFFFFFFFFFFFFFFF");
    for actor in [&tenant.gate, &tenant.box_office, &stage.operator(), &tenant.gate] {
        assert_eq!(poll(actor).await, first);
    }
    assert_eq!(poll(&stranger.gate).await["data"], json!({ "availability": null }));
    assert_eq!(code(&poll(&stage.anonymous()).await), "UNAUTHENTICATED");

    tenant.hold(&on_sale.show, "b", &["A3"]).await;
    catch_up().await;
    let held = poll(&tenant.gate).await;
    assert_eq!(held["data"]["availability"]["seatLetters"], "FFHFFFFFFFFFFFFFFFFF");
    assert_eq!(poll(&tenant.box_office).await, held);
    stage.clock.advance_seconds(601);
    let free = poll(&tenant.gate).await;
    assert_eq!(free["data"]["availability"]["seatLetters"], "FFFFFFFFFFFFFFFFFFFF");
}

#[tokio::test]
async fn what_was_free_then_can_still_be_asked() {
    let (stage, tenant, on_sale) = opened().await;
    let before = head(&stage).await;
    stage.clock.advance_seconds(60);
    tenant.sell(&on_sale.show, "b", &["A1"]).await;
    let query = "query($show: ID!, $asOf: AsOfInput!) {
        availability(show: $show, asOf: $asOf) { totals { sold free } } }";
    for (as_of, sold) in [
        (json!({ "position": before }), 0),
        (json!({ "time": "2026-11-21T10:00:30Z" }), 0),
        (json!({ "time": "2026-11-21T10:01:30Z" }), 1),
        (json!({ "position": head(&stage).await }), 1),
    ] {
        let variables = json!({ "show": on_sale.show, "asOf": as_of });
        let found = tenant.auditor.ask(query, variables).await;
        assert_eq!(found["availability"]["totals"]["sold"], sold, "{as_of}");
    }
    let both =
        json!({ "show": on_sale.show, "asOf": { "position": 1, "time": "2026-11-21T10:00:30Z" } });
    assert_eq!(code(&tenant.auditor.answer(query, both).await), "BAD_USER_INPUT");
}

#[tokio::test]
async fn pages_go_on_where_they_were_while_orders_come_in() {
    let (stage, tenant, on_sale) = opened().await;
    for (buyer, seat) in [("b-1", "A1"), ("b-2", "A2"), ("b-3", "A3")] {
        tenant.sell(&on_sale.show, buyer, &[seat]).await;
    }
    let query = "query($first: Int, $after: String, $filter: OrderFilter, $order: SortOrder, $at: Position) {
        orders(first: $first, after: $after, filter: $filter, order: $order, atLeast: $at) {
            edges { cursor node { buyer } } pageInfo { hasNextPage hasPreviousPage endCursor } } }";
    let page = |variables: Value| {
        let actor = tenant.auditor.clone();
        async move { actor.ask(query, variables).await["orders"].clone() }
    };
    let buyers = |page: &Value| -> Vec<String> {
        let edges = page["edges"].as_array().unwrap();
        edges.iter().map(|edge| edge["node"]["buyer"].as_str().unwrap().to_owned()).collect()
    };
    let first = page(json!({ "first": 2, "at": head(&stage).await })).await;
    assert_eq!(buyers(&first), ["b-1", "b-2"]);
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    tenant.sell(&on_sale.show, "b-4", &["A4"]).await;
    let after = &first["pageInfo"]["endCursor"];
    let second = page(json!({ "first": 5, "after": after, "at": head(&stage).await })).await;
    assert_eq!(buyers(&second), ["b-3", "b-4"]);
    assert_eq!(second["pageInfo"]["hasPreviousPage"], true);
    let newest = page(json!({ "first": 1, "order": "NEWEST_FIRST" })).await;
    assert_eq!(buyers(&newest), ["b-4"]);
    let filter = json!({ "show": on_sale.show, "buyer": "b-2", "status": "CONFIRMED" });
    assert_eq!(buyers(&page(json!({ "filter": filter })).await), ["b-2"]);
    for wrong in [json!({ "first": 0 }), json!({ "first": 101 }), json!({ "after": "nonsense" })] {
        assert_eq!(
            code(&tenant.auditor.answer(query, wrong.clone()).await),
            "BAD_USER_INPUT",
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn an_order_is_the_same_from_the_answer_and_from_the_read_model() {
    let (stage, tenant, on_sale) = opened().await;
    let sold = tenant.sell(&on_sale.show, "b", &["A1", "A2"]).await;
    let input = json!({
        "idempotencyKey": "cancel", "order": sold["id"], "items": [1], "reason": "ill"
    });
    let fields = "id buyer status currency total { display } paid { display } due { display }
        refunded { display } refundable { display } placedAt cancellationUnderWay
        items { number seat pool legs { from to } ticketType price { display } cancelled
            show { id name } }
        payments { payment method amount { display } reversed { display } }
        refunds { payment amount { display } cause }
        tickets { id status seat code generation entries inside suspended }";
    let order = format!("order {{ {fields} }}");
    let cancelled = tenant.box_office.mutate("cancelOrder", input, &order).await;
    let query = format!(
        "query($id: ID!, $at: Position) {{ order(id: $id, atLeast: $at) {{ {fields} }}
        node(id: $id) {{ ... on Order {{ {fields} }} }} }}"
    );
    let variables = json!({ "id": sold["id"], "at": head(&stage).await });
    let patience = std::time::Duration::from_secs(5);
    let at = hakken_domain::envelope::Position(head(&stage).await);
    stage.models.wait_for_all(at, patience).await.unwrap();
    let found = tenant.box_office.ask(&query, variables).await;
    assert_eq!(found["order"], cancelled["order"]);
    assert_eq!(found["node"], cancelled["order"]);
}

/// After a chargeback the rules weigh what was cancelled since.
#[tokio::test]
async fn what_is_due_is_the_same_alone_in_a_list_and_of_the_past() {
    let (stage, tenant, on_sale) = opened().await;
    let seller = &tenant.box_office;
    let order = tenant.sell(&on_sale.show, "b", &["A1", "A2"]).await["id"].clone();
    let other = tenant.sell(&on_sale.show, "c", &["A3"]).await["id"].clone();
    let mut told = Vec::new();
    for step in 0..3 {
        match step {
            0 => {}
            1 => {
                let input = json!({ "idempotencyKey": "back", "order": order, "payment": "pay-b",
                    "reason": "stolen" });
                seller.mutate("reversePayment", input, "").await;
            }
            _ => {
                let input = json!({ "idempotencyKey": "cancel", "order": order, "items": [1],
                    "refund": "KEEP_FEE", "feeMinor": 1000, "reason": "ill" });
                let done = seller.mutate("cancelOrder", input, "settled").await;
                assert_eq!(done["settled"], "DONE", "{done}");
            }
        }
        let at = head(&stage).await;
        let query = "query($id: ID!, $at: Position, $then: AsOfInput) {
            order(id: $id, atLeast: $at) { due { amountMinor } }
            then: order(id: $id, asOf: $then) { due { amountMinor } }
            orders(atLeast: $at) { edges { node { id due { amountMinor } } } } }";
        let variables = json!({ "id": order, "at": at, "then": { "position": at } });
        let found = seller.ask(query, variables).await;
        let due = &found["order"]["due"]["amountMinor"];
        let list = json!([
            { "node": { "id": order, "due": { "amountMinor": due } } },
            { "node": { "id": other, "due": { "amountMinor": 0 } } },
        ]);
        assert_eq!((&found["then"]["due"]["amountMinor"], &found["orders"]["edges"]), (due, &list));
        told.push(due.clone());
    }
    assert_eq!(told, [json!(0), json!(10_000), json!(6_000)]);
}

#[tokio::test]
async fn the_issuance_history_and_the_audit_log_say_who_did_what() {
    let (stage, tenant, on_sale) = opened().await;
    let order = tenant.sell(&on_sale.show, "b", &["A1"]).await;
    let before = head(&stage).await;
    let ticket = &order["tickets"][0]["id"];
    let input = json!({ "idempotencyKey": "lost", "ticket": ticket, "reason": "lost" });
    tenant.box_office.mutate("reissueTicket", input, "").await;
    let at = head(&stage).await;
    let seller = tenant.box_office.ask("{ viewer { apiKeyId } }", json!({})).await;
    let seller = seller["viewer"]["apiKeyId"].as_str().unwrap().replace("key_", "key:");
    let query = "query($filter: IssuanceFilter, $asOf: AsOfInput, $at: Position) {
        issuanceHistory(filter: $filter, asOf: $asOf, atLeast: $at) {
            edges { node { act actor seat generation } } } }";
    let filter = json!({ "ticket": ticket });
    let history = tenant.auditor.ask(query, json!({ "filter": filter, "at": at })).await;
    let act = |act: &str, actor: &str, generation: u16| json!({ "node": { "act": act, "actor": actor, "seat": "A1", "generation": generation } });
    let expected = json!([
        act("CREATED", "system:checkout", 0),
        act("ISSUED", "system:checkout", 1),
        act("REISSUED", &seller, 2)
    ]);
    assert_eq!(history["issuanceHistory"]["edges"], expected);
    let then = json!({ "filter": filter, "asOf": { "position": before }, "at": at });
    let history = tenant.auditor.ask(query, then).await;
    assert_eq!(history["issuanceHistory"]["edges"].as_array().unwrap().len(), 2);
    let query = "query($filter: AuditFilter, $at: Position) {
        auditLog(filter: $filter, atLeast: $at) { edges { node {
            event { kind actor idempotencyKey data raw stream } showId ticketId } } } }";
    let filter = json!({ "show": on_sale.show, "actor": seller, "kinds": ["ticket-reissued"] });
    let log = tenant.auditor.ask(query, json!({ "filter": filter, "at": at })).await;
    let entries = log["auditLog"]["edges"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{log}");
    let event = &entries[0]["node"]["event"];
    assert_eq!(event["idempotencyKey"], "lost");
    assert_eq!(event["data"]["reason"], "lost");
    let raw = event["raw"].as_str().unwrap();
    assert!(raw.starts_with("{\"generation\":2,"), "{raw}");
    assert_eq!(serde_json::from_str::<Value>(raw).unwrap(), event["data"]);
    assert_eq!(&entries[0]["node"]["ticketId"], ticket);
    let unknown = json!({ "filter": { "kinds": ["ticket-reisued"] } });
    assert_eq!(code(&tenant.auditor.answer(query, unknown).await), "BAD_USER_INPUT");
}

#[tokio::test]
async fn the_feed_is_read_in_batches_and_shows_only_ones_own() {
    let stage = Stage::start().await;
    let (one, other) = (stage.tenant("one").await, stage.tenant("other").await);
    other.on_sale("noise").await;
    let show = one.on_sale("concert").await.show;
    one.hold(&show, "b", &["A1"]).await;
    let query = "query($after: Position, $first: Int!, $kinds: [String!]) {
        events(after: $after, first: $first, kinds: $kinds) {
            events { kind position organizerId } upTo head } }";
    let mut after = json!(0);
    let mut kinds = Vec::new();
    loop {
        let batch = one.auditor.ask(query, json!({ "after": after, "first": 3 })).await;
        let batch = &batch["events"];
        for event in batch["events"].as_array().unwrap() {
            assert_eq!(event["organizerId"], one.id, "{event}");
            kinds.push(event["kind"].as_str().unwrap().to_owned());
        }
        if batch["upTo"] == batch["head"] {
            break;
        }
        after = batch["upTo"].clone();
    }
    let expected = [
        "organizer-registered",
        "code-key-added",
        "api-key-created",
        "api-key-created",
        "api-key-created",
        "api-key-created",
        "venue-registered",
        "show-scheduled",
        "ticket-type-offered",
        "sales-opened",
        "seats-held",
    ];
    assert_eq!(kinds, expected);
    let held = json!({ "after": 0, "first": 100, "kinds": ["seats-held"] });
    let held = one.auditor.ask(query, held).await;
    assert_eq!(held["events"]["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn sales_and_money_add_up() {
    let (stage, tenant, on_sale) = opened().await;
    tenant.sell(&on_sale.show, "b", &["A1", "A2"]).await;
    let query = "query($show: ID!, $at: Position) {
        sales(show: $show, atLeast: $at) { sold ticketTypes { ticketType sold gross { display } } }
        money(atLeast: $at) { captured { amountMinor currency } } }";
    let variables = json!({ "show": on_sale.show, "at": head(&stage).await });
    let found = tenant.auditor.ask(query, variables).await;
    let expected = json!({
        "sales": {
            "sold": 2,
            "ticketTypes": [
                { "ticketType": "adult", "sold": 2, "gross": { "display": "JPY 10,000" } }
            ]
        },
        "money": [{ "captured": { "amountMinor": 10000, "currency": "JPY" } }]
    });
    assert_eq!(found, expected);
}

#[tokio::test(start_paused = true)]
async fn a_position_that_is_not_there_yet_is_said_so_and_takes_nothing_along() {
    let (stage, tenant, _) = opened().await;
    let operator = stage.operator();
    let query = "mutation { pauseProjections(input: {names: [\"orders\"]}) {
        projections { name state } userErrors { code } } }";
    let paused = operator.ask(query, json!({})).await;
    assert_eq!(paused["pauseProjections"]["projections"][0]["name"], "orders");
    let query = "{ viewer { role } orders(atLeast: 1000000) { edges { cursor } } }";
    let answer = tenant.auditor.answer(query, json!({})).await;
    assert_eq!(code(&answer), "NOT_YET_VISIBLE");
    assert_eq!(answer["data"], json!({ "viewer": { "role": "AUDITOR" }, "orders": null }));
}

#[tokio::test]
async fn at_least_holds_for_all_that_the_answer_leads_to_and_for_nothing_else() {
    let (stage, tenant, on_sale) = opened().await;
    stage.models.pause("tickets").unwrap();
    let order = tenant.sell(&on_sale.show, "b", &["A1", "A2"]).await;
    let seen = json!({ "id": order["id"], "seen": head(&stage).await });
    // What does not lead to tickets waits for none.
    let whole = "query($id: ID!, $seen: Position) { order(id: $id, atLeast: $seen) { status } }";
    let told = tenant.box_office.ask(whole, seen.clone()).await;
    assert_eq!(told["order"]["status"], "CONFIRMED");
    for (at, leads) in [
        "query($id: ID!, $seen: Position) { order(id: $id, atLeast: $seen) {
            tickets { status code } } }",
        "query($id: ID!, $seen: Position) { node(id: $id, atLeast: $seen) {
            ... on Order { ...Whole } } } fragment Whole on Order { tickets { status code } }",
        "query($seen: Position) { found: orders(first: 1, atLeast: $seen) {
            edges { node { tickets { status code } } } } }",
    ]
    .into_iter()
    .enumerate()
    {
        stage.models.pause("tickets").unwrap();
        // One more, which the read model of the tickets does not have.
        tenant.sell(&on_sale.show, &format!("b-{at}"), &[&format!("B{}", at + 1)]).await;
        let mut seen = seen.clone();
        seen["seen"] = head(&stage).await.into();
        let asked = tokio::spawn({
            let (seller, seen) = (tenant.box_office.clone(), seen.clone());
            async move { seller.ask(leads, seen).await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        assert!(!asked.is_finished(), "it does not wait: {leads}");
        stage.models.resume("tickets").unwrap();
        let told = asked.await.unwrap().to_string();
        assert_eq!(told.matches("\"ISSUED\"").count(), 2, "{told}");
    }
}

#[tokio::test]
async fn read_models_are_rebuilt_and_verified_while_they_serve() {
    let (stage, tenant, on_sale) = opened().await;
    tenant.sell(&on_sale.show, "b", &["A1"]).await;
    let operator = stage.operator();
    let query = "mutation { verifyProjection(input: {name: \"tickets\"}) {
        report { equal firstDifference tables { table servedRows differences } } userErrors { code } } }";
    let verified = operator.ask(query, json!({})).await;
    let report = &verified["verifyProjection"]["report"];
    assert_eq!((&report["equal"], &report["firstDifference"]), (&json!(true), &json!(null)));
    let every = hakken_projections::ALL.len();
    let query =
        "mutation { rebuildProjections(input: {}) { projections { name } userErrors { code } } }";
    let rebuilt = operator.ask(query, json!({})).await;
    assert_eq!(rebuilt["rebuildProjections"]["projections"].as_array().unwrap().len(), every);
    let query = "{ projections { name lastBuild { equal kind } build { phase } } }";
    for _ in 0..500 {
        let status = operator.ask(query, json!({})).await;
        let all = status["projections"].as_array().unwrap();
        let done =
            |each: &&Value| each["lastBuild"]["kind"] == "REBUILD" && each["build"].is_null();
        if all.iter().filter(done).count() == every {
            assert!(all.iter().all(|each| each["lastBuild"]["equal"] == true), "{status:#}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the rebuild did not end");
}

#[tokio::test]
async fn an_unknown_projection_is_named() {
    let stage = Stage::start().await;
    let query = "mutation { rebuildProjections(input: {names: [\"orders\", \"odrers\"]}) {
        userErrors { code field message } } }";
    let answer = stage.operator().ask(query, json!({})).await;
    let error = &answer["rebuildProjections"]["userErrors"][0];
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("PROJECTION_UNKNOWN"), &json!("names.1"))
    );
    assert!(error["message"].as_str().unwrap().contains("odrers"));
}
