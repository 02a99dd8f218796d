//! A server is killed without warning while many hold seats. Whatever it had acknowledged is
//! there when it comes back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::program::{Client, OnSale, Server, good};

const SEATS: usize = 900;
const BUYERS: usize = 48;
const ROUNDS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_hold_survives_being_killed() {
    let temp = tempfile::tempdir().unwrap();
    let mut server = Server::start(temp.path());
    let operator_key = server.key.clone().unwrap();
    let on_sale = OnSale::open(&server.client(&operator_key), SEATS).await;
    let acknowledged = Arc::new(Mutex::new(HashMap::<usize, Value>::new()));
    for round in 0..ROUNDS {
        let seller = server.client(&on_sale.seller_key);
        let mut buyers = JoinSet::new();
        for buyer in 0..BUYERS {
            let (seller, show) = (seller.clone(), on_sale.show.clone());
            buyers.spawn(buy(seller, show, buyer, round, acknowledged.clone()));
        }
        tokio::time::sleep(Duration::from_millis(120 + 130 * round)).await;
        server.kill();
        while buyers.join_next().await.is_some() {}

        server = Server::start_again(temp.path());
        let seller = server.client(&on_sale.seller_key);
        let known = acknowledged.lock().unwrap().clone();
        assert!(!known.is_empty(), "the server was killed before anybody was answered");
        for (seat, was) in known {
            let is = seller.ask(HOLD, request(&on_sale.show, seat)).await;
            assert_eq!(is["holdSeats"]["repeated"], true, "seat {seat} in round {round}");
            assert_eq!(is["holdSeats"]["hold"], was, "seat {seat} in round {round}");
        }
    }
    nothing_is_held_twice(&server, &on_sale, &operator_key).await;
    let (url, key) = (server.url.clone(), operator_key);
    let told = good(&["verify", "--json", "--url", &url, "--key", &key]);
    for line in told.lines() {
        let report: Value = serde_json::from_str(line).unwrap();
        assert_eq!(report["equal"], true, "{report}");
    }
}

/// Asks for one seat after the other, until the server is gone.
async fn buy(
    seller: Client,
    show: String,
    buyer: usize,
    round: u64,
    acknowledged: Arc<Mutex<HashMap<usize, Value>>>,
) {
    // Each round goes over the same seats again: repeated ones get the same answer.
    let first = buyer + BUYERS * 2 * usize::try_from(round).unwrap();
    for seat in (first..SEATS).step_by(BUYERS) {
        let Ok(mut answer) = seller.try_ask(HOLD, request(&show, seat)).await else { return };
        let hold = answer["data"]["holdSeats"]["hold"].take();
        if hold.is_object() {
            acknowledged.lock().unwrap().insert(seat, hold);
        }
    }
}

async fn nothing_is_held_twice(server: &Server, on_sale: &OnSale, operator: &str) {
    let client = server.client(operator);
    let mut holders: HashMap<String, String> = HashMap::new();
    let mut after = Value::Null;
    loop {
        let variables = json!({ "show": on_sale.show, "after": after });
        let data = client.ask(HOLDS, variables).await;
        for edge in data["holds"]["edges"].as_array().unwrap() {
            let hold = &edge["node"];
            for seat in hold["seats"].as_array().unwrap() {
                let other = holders.insert(seat.to_string(), hold["id"].to_string());
                assert_eq!(other, None, "{seat} is held twice");
            }
        }
        if data["holds"]["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = data["holds"]["pageInfo"]["endCursor"].clone();
    }
    assert!(!holders.is_empty());
}

fn request(show: &str, seat: usize) -> Value {
    json!({ "input": {
        "idempotencyKey": format!("hold-{seat}"), "show": show, "buyer": format!("b{seat}"),
        "seats": [format!("S{seat}")],
    } })
}

const HOLD: &str = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
    hold { id seats expiresAt status } repeated userErrors { code } } }";
const HOLDS: &str = "query($show: ID!, $after: String) {
    holds(filter: { show: $show, status: HELD }, first: 100, after: $after) {
        edges { node { id seats } } pageInfo { hasNextPage endCursor } } }";
