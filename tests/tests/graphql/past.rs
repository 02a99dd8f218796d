//! Time travel: whatever was told then is told again when one asks for that moment.

use hakken_commands::clock::Clock;
use serde_json::{Value, json};

use super::stage::{OnSale, Stage, Tenant, code};

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

/// Every list and sum that is told from read models, with what changes of its elements.
const LISTS: &str = "query($show: ID!, $asOf: AsOfInput, $at: Position) {
    organizers(asOf: $asOf, atLeast: $at) { edges { cursor node { name codeKeys { number } } } }
    apiKeys(asOf: $asOf, atLeast: $at) { edges { cursor node { label revoked } } }
    venues(asOf: $asOf, atLeast: $at) { edges { cursor node { id name } } }
    shows(asOf: $asOf, atLeast: $at, order: NEWEST_FIRST) {
        edges { cursor node { name cancelled ticketTypes { name price { amountMinor } } } } }
    holds(asOf: $asOf, atLeast: $at) { edges { cursor node { id status expiresAt orderId } } }
    held: holds(asOf: $asOf, atLeast: $at, filter: { show: $show, status: HELD }, last: 1) {
        pageInfo { hasPreviousPage } edges { cursor node { id } } }
    orders(asOf: $asOf, atLeast: $at) { edges { cursor node {
        status due { amountMinor } paid { amountMinor } refundable { amountMinor }
        refunds { status amount { amountMinor } } items { number cancelled } } } }
    confirmed: orders(asOf: $asOf, atLeast: $at, filter: { show: $show, status: CONFIRMED },
        first: 1) { pageInfo { hasNextPage } edges { cursor node { id status } } }
    refunds(asOf: $asOf, atLeast: $at) { edges { cursor node { status amount { amountMinor } } } }
    tickets(asOf: $asOf, atLeast: $at, filter: { show: $show }) {
        edges { cursor node { id status generation suspended entries } } }
    void: tickets(asOf: $asOf, atLeast: $at, filter: { status: VOID }) {
        edges { cursor node { id } } }
    scans(asOf: $asOf, atLeast: $at) { edges { cursor node { ticketId accepted } } }
    sales(show: $show, asOf: $asOf, atLeast: $at) { held sold returned
        ticketTypes { ticketType sold cancelled gross { amountMinor } } }
    money(asOf: $asOf, atLeast: $at) { captured { amountMinor } refundRequested { amountMinor }
        refundSettled { amountMinor } } }";

/// Fields of the schema's root that have no past of their own: who asks, what is known by its id
/// alone and has a field of its own, the events themselves, and how the engine is doing.
const WITHOUT_PAST: [&str; 9] = [
    "viewer",
    "node",
    "nodes",
    "events",
    "projections",
    "newestRefusals",
    "processes",
    "_service",
    "_entities",
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

/// What happens one after the other.
const STEPS: usize = 4;

/// Something happens to the order (0), its ticket (1), the hold (2) or the show of these ids.
async fn step(stage: &Stage, tenant: &Tenant, on_sale: &OnSale, ids: &[Value], step: usize) {
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
            let input = json!({ "idempotencyKey": key, "show": on_sale.show, "reason": "rain" });
            tenant.organizer.mutate("cancelShow", input, "").await;
        }
    }
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
    for at_step in 0..STEPS {
        step(&stage, &tenant, &on_sale, &ids, at_step).await;
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

/// The lists at the very position of the newest event.
async fn lists_now(stage: &Stage, tenant: &Tenant, show: &str) -> (u64, Value) {
    loop {
        let at = head(stage).await;
        let told = tenant.organizer.ask(LISTS, json!({ "show": show, "at": at })).await;
        if head(stage).await == at {
            return (at, told);
        }
    }
}

#[tokio::test]
async fn lists_and_sums_are_told_as_they_were_told_then() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let show = &on_sale.show;
    let order = tenant.sell(show, "b", &["A1", "A2"]).await;
    let hold = json!(tenant.hold(show, "c", &["A3"]).await);
    let ids = [order["id"].clone(), order["tickets"][0]["id"].clone(), hold];
    let mut then = vec![(lists_now(&stage, &tenant, show).await, stage.clock.now())];
    for at_step in 0..STEPS {
        // Whatever happens now, had not happened at the moment before.
        stage.clock.advance_seconds(1);
        tenant.sell(show, &format!("e{at_step}"), &[["B1", "B2", "B3", "B4"][at_step]]).await;
        step(&stage, &tenant, &on_sale, &ids, at_step).await;
        then.push((lists_now(&stage, &tenant, show).await, stage.clock.now()));
    }
    let answers: std::collections::HashSet<String> =
        then.iter().map(|((_, told), _)| told.to_string()).collect();
    assert_eq!(answers.len(), then.len(), "each step is seen");
    for ((at, told), time) in &then {
        for as_of in [json!({ "position": at }), json!({ "time": time.to_string() })] {
            let variables = json!({ "show": show, "asOf": as_of });
            let again = tenant.organizer.ask(LISTS, variables).await;
            for (name, then) in told.as_object().unwrap() {
                assert_eq!(&again[name], then, "{name} as of {as_of}");
            }
        }
    }
    let stranger = stage.tenant("stranger").await;
    let variables = json!({ "show": show, "asOf": { "position": then[STEPS].0.0 } });
    let theirs = stranger.organizer.ask(LISTS, variables).await;
    assert_eq!((&theirs["sales"], &theirs["orders"]["edges"]), (&Value::Null, &json!([])));
    assert_eq!((&theirs["money"], &theirs["tickets"]["edges"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_list_of_the_past_that_takes_too_much_is_refused_with_how_much() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    tenant.sell(&on_sale.show, "b", &["A1"]).await;
    stage.models.bound_past(8);
    let as_of = json!({ "asOf": { "position": head(&stage).await } });
    for field in ["orders(asOf: $asOf) { edges { cursor } }", "money(asOf: $asOf) { organizerId }"]
    {
        let query = format!("query($asOf: AsOfInput!) {{ {field} }}");
        let answer = tenant.organizer.answer(&query, as_of.clone()).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!((code(&answer), &extensions["argument"]), ("BAD_USER_INPUT", &json!("asOf")));
        let limit = &extensions["limit"];
        assert_eq!((&limit["name"], &limit["most"]), (&json!("PAST_EVENTS"), &json!(8)));
        assert!(limit["found"].as_u64() > Some(8), "{limit}");
    }
}

#[test]
fn every_public_read_model_has_a_past() {
    let sdl = hakken_api::sdl();
    let query = sdl.split("\ntype Query {").nth(1).expect("the root");
    let query = query.split("\n}").next().expect("its end");
    // Fields stand one tab in, their arguments two.
    let (mut lacking, mut in_words) = (Vec::new(), false);
    for line in query.lines() {
        let Some(line) = line.strip_prefix('\t').filter(|line| !line.starts_with('\t')) else {
            if line.trim_start().starts_with("asOf: AsOfInput") {
                lacking.pop();
            }
            continue;
        };
        if line == "\"\"\"" {
            in_words = !in_words;
        } else if !in_words && !line.starts_with(')') {
            lacking.push(line.split(['(', ':']).next().expect("a name"));
        }
    }
    assert_eq!(lacking, WITHOUT_PAST);
}
