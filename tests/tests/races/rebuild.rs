//! Every read model is rebuilt again and again while 64 buyers buy and others look.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hakken_tests::world::hall;
use serde_json::{Value, json};

use super::house::{CLIENTS, Client, House, Kind, PRICE, key_of, must};
use crate::graphql::stage::Actor;

/// What one buyer buys, one after the other.
const EACH: usize = 2;
/// What is looked at all the time.
const LOOKS: [&str; 5] = [
    "query($show: ID!) { availability(show: $show) { version totals { free held sold } } }",
    "query($show: ID!) { sales(show: $show) { sold held ticketTypes { sold } } }",
    "query($show: ID!) { orders(filter: { show: $show }, first: 20) { edges { node { status } } } }",
    "query($show: ID!) { tickets(filter: { show: $show }, first: 20) { edges { node { seat } } } }",
    "query($show: ID!) { auditLog(filter: { show: $show }, first: 20) { edges { cursor } } }",
];
const PROJECTIONS: &str = "{ projections { name state build { done } lastBuildError
    lastBuild { equal firstDifference } } }";

async fn buy(client: Client, show: String, number: usize) -> Result<Vec<Value>, String> {
    let mut seats = Vec::new();
    for nth in 0..EACH {
        let name = format!("b{number}-{nth}");
        let wanted = json!({ "bestAvailable": { "count": 1 } });
        let held = client.hold(&show, &format!("{name}-h"), &name, wanted).await?;
        let held = held.done().ok_or("there was room")?["hold"].clone();
        let order = client.order(&show, &format!("{name}-o"), &name, &held["id"]).await?;
        let order = order.done().ok_or("it was held")?["order"]["id"].clone();
        let paid = client.pay(&order, &format!("{name}-p"), (&name, "card", PRICE)).await?;
        must!(paid.done().is_some(), "{paid:?}");
        seats.push(held["seats"][0].clone());
    }
    Ok(seats)
}

/// Begins another rebuild of everything whenever the one before is over.
async fn rebuild(operator: Actor, over: Arc<AtomicBool>) -> Result<usize, String> {
    let mut rounds = 0;
    while !over.load(Ordering::SeqCst) {
        let query =
            "mutation($input: RebuildProjectionsInput!) { rebuildProjections(input: $input) {
            userErrors { code } } }";
        operator.ask(query, json!({ "input": {} })).await;
        loop {
            let projections = operator.ask(PROJECTIONS, json!({})).await["projections"].take();
            let projections = projections.as_array().cloned().unwrap_or_default();
            if let Some(bad) = projections.iter().find(|p| {
                p["state"] != "RUNNING"
                    || !p["lastBuildError"].is_null()
                    || p["lastBuild"]["equal"] == false
            }) {
                return Err(format!("{bad}"));
            }
            if projections.iter().all(|projection| projection["build"].is_null()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        rounds += 1;
    }
    Ok(rounds)
}

/// What the read models must show: each seat that a buyer was told, sold, and no other.
fn compare(told: &[Value], shown: &Value) -> Result<(), String> {
    let mut told: Vec<&str> = told.iter().filter_map(Value::as_str).collect();
    let mut shown: Vec<&str> =
        shown.as_array().into_iter().flatten().filter_map(|seat| seat["seat"].as_str()).collect();
    told.sort_unstable();
    shown.sort_unstable();
    must!(told == shown, "the buyers have {told:?}, shown is {shown:?}");
    Ok(())
}

async fn sold_while_rebuilt(house: &House) -> Result<Vec<Value>, String> {
    let (tenant, on_sale) = house.on_sale(&hall(10, 20, 0), false).await;
    let (show, over) = (on_sale.show.clone(), Arc::new(AtomicBool::new(false)));
    let looks = Arc::new(AtomicUsize::new(0));
    let operator = house.stage().operator();
    let rebuilding = tokio::spawn(rebuild(operator.clone(), over.clone()));
    let seller = key_of(&tenant.box_office);
    let buyers = house.rush(CLIENTS, &seller, |number, client| buy(client, show.clone(), number));
    let looker = key_of(&tenant.organizer);
    let lookers = house.rush(4, &looker, |number, client| {
        let (show, over, looks) = (show.clone(), over.clone(), looks.clone());
        async move {
            let mut nth = number;
            while !over.load(Ordering::SeqCst) {
                client.ask(LOOKS[nth % LOOKS.len()], json!({ "show": show })).await?;
                nth += 1;
                looks.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    });
    let buyers = async {
        let bought = buyers.await;
        over.store(true, Ordering::SeqCst);
        bought
    };
    let (bought, looked) = tokio::join!(buyers, lookers);
    let (bought, _) = (bought?.concat(), looked?);
    let rounds = rebuilding.await.map_err(|panic| panic.to_string())??;
    println!("{rounds} rebuilds and {} looks meanwhile", looks.load(Ordering::Relaxed));
    must!(rounds >= 1, "nothing was rebuilt meanwhile");

    let (_, audit) = house.at_rest().await?;
    must!(audit.sold() == (CLIENTS * EACH) as u64, "the events sell {}", audit.sold());
    let at = house.events().await.last().map_or(0, |event| event.position.0);
    let query = "query($show: ID!, $at: Position) { availability(show: $show, atLeast: $at) {
        seats(status: [SOLD]) { seat } } sales(show: $show, atLeast: $at) { sold } }";
    let shown = tenant.box_office.ask(query, json!({ "show": show, "at": at })).await;
    compare(&bought, &shown["availability"]["seats"])?;
    must!(shown["sales"]["sold"] == CLIENTS * EACH, "sales show {}", shown["sales"]);
    let projections = operator.ask(PROJECTIONS, json!({})).await;
    for projection in projections["projections"].as_array().into_iter().flatten() {
        let query = "mutation($input: VerifyProjectionInput!) { verifyProjection(input: $input) {
            report { equal firstDifference } userErrors { code } } }";
        let input = json!({ "input": { "name": projection["name"] } });
        let report = operator.ask(query, input).await["verifyProjection"]["report"].take();
        must!(report["equal"] == true, "{}: {report}", projection["name"]);
    }
    Ok(bought)
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_rebuilt_during_a_rush_are_the_live_ones_and_no_query_fails() {
    let house = House::open(Kind::Embedded).await;
    let bought = sold_while_rebuilt(&house).await.unwrap();

    // The check looks: a seat too many, or another one, in the buyers' record is found.
    let shown: Vec<Value> = bought.iter().map(|seat| json!({ "seat": seat })).collect();
    compare(&bought, &json!(shown)).unwrap();
    compare(&bought[1..], &json!(shown)).unwrap_err();
    let mut doctored = bought.clone();
    doctored[0] = json!("Z9");
    compare(&doctored, &json!(shown)).unwrap_err();
}
