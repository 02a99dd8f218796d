//! The same idempotency key, and the same payment, from everybody at once.

use std::sync::Arc;

use hakken_domain::envelope::StoredEvent;
use hakken_tests::world::hall;
use serde_json::{Value, json};

use super::house::{
    CLIENTS, Client, House, PRICE, Told, count, done_or, everywhere, key_of, must, noticed,
};

/// Everybody has the same answer, and to all but one it is an earlier one. Gives it.
fn one_answer(told: &[Told], field: &str) -> Result<Value, String> {
    let mut first: Option<&Value> = None;
    let mut fresh = 0;
    for told in told {
        let payload = told.done().ok_or_else(|| format!("{told:?} instead of the answer"))?;
        fresh += usize::from(payload["repeated"] == false);
        let known = first.get_or_insert(&payload[field]);
        must!(payload[field] == **known, "{} and {known} for one key", payload[field]);
    }
    must!(fresh == 1, "{fresh} were told to be the first");
    first.cloned().ok_or_else(|| "nobody was answered".to_owned())
}

async fn same_request(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.usual().await;
    let seller = key_of(&tenant.box_office);
    let show = &on_sale.show;
    let told = house
        .rush(CLIENTS, &seller, |_, client| {
            let show = show.clone();
            async move { client.hold(&show, "k", "b", json!({ "seats": ["A1"] })).await }
        })
        .await?;
    let hold = one_answer(&told, "hold")?["id"].clone();
    let told = house
        .rush(CLIENTS, &seller, |_, client| {
            let (show, hold) = (show.clone(), hold.clone());
            async move { client.order(&show, "o", "b", &hold).await }
        })
        .await?;
    let order = one_answer(&told, "order")?["id"].clone();
    let told = house
        .rush(CLIENTS, &seller, |_, client| {
            let order = order.clone();
            async move { client.pay(&order, "p", ("pi-1", "card", PRICE)).await }
        })
        .await?;
    let code = one_answer(&told, "order")?["tickets"][0]["code"].clone();
    must!(code.is_string(), "no ticket: {:?}", told[0]);
    let told = house
        .rush(CLIENTS, &key_of(&tenant.gate), |_, client| {
            let (show, code) = (show.clone(), code.clone());
            async move { client.scan(&show, "s", "north", "ENTRY", &code).await }
        })
        .await?;
    must!(one_answer(&told, "result")? == "ADMITTED", "{:?}", told[0]);
    let (events, _) = house.at_rest().await?;
    for kind in [
        "seats-held",
        "order-placed",
        "payment-captured",
        "order-paid",
        "order-confirmed",
        "ticket-created",
        "ticket-issued",
        "ticket-entered",
    ] {
        must!(count(&events, kind) == 1, "{kind} was recorded {} times", count(&events, kind));
    }
    must!(count(&events, "scan-refused") == 0, "a repeated scan was another scan");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_from_64_happens_once_and_all_have_the_same_answer() {
    everywhere(same_request).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_the_same_request_happens_twice() {
    noticed(same_request).await;
}

async fn other_requests(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.on_sale(&hall(7, 10, 0), false).await;
    let told = house
        .rush(CLIENTS, &key_of(&tenant.box_office), |number, client| {
            let show = on_sale.show.clone();
            let seat = format!("{}{}", char::from(b'A' + (number / 10) as u8), number % 10 + 1);
            async move { client.hold(&show, "k", "b", json!({ "seats": [seat] })).await }
        })
        .await;
    let recorded = count(&house.events().await, "seats-held");
    must!(recorded == 1, "{recorded} requests under one key are recorded");
    let told = told?;
    let granted = done_or(&told, "IDEMPOTENCY_KEY_REUSED")?;
    must!(granted.len() == 1, "{} requests under one key were granted", granted.len());
    house.at_rest().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_different_requests_has_the_key_and_the_others_are_told_so() {
    everywhere(other_requests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_two_requests_share_a_key() {
    noticed(other_requests).await;
}

/// An order that waits for its money.
async fn ordered(house: &House) -> (String, Value) {
    let (tenant, on_sale) = house.usual().await;
    let hold = tenant.hold(&on_sale.show, "b", &["A1"]).await;
    let input = json!({
        "idempotencyKey": "o", "buyer": "b",
        "lines": [{ "show": on_sale.show, "hold": hold, "ticketType": "adult" }]
    });
    let placed = tenant.box_office.mutate("placeOrder", input, "order { id }").await;
    (key_of(&tenant.box_office), placed["order"]["id"].clone())
}

async fn paying<F>(
    house: &House,
    pay: impl Fn(usize, Client, Value) -> F,
) -> Result<(Vec<Told>, Vec<Arc<StoredEvent>>), String>
where
    F: Future<Output = Result<Told, String>> + Send + 'static,
{
    let (seller, order) = ordered(house).await;
    let told = house.rush(CLIENTS, &seller, |n, client| pay(n, client, order.clone())).await?;
    let (events, audit) = house.at_rest().await?;
    // Whose request brought the money waits for the ticket; to the others nothing was left to do.
    let done = told.iter().filter_map(Told::done).filter(|paid| paid["settled"] == "DONE");
    let with_ticket = done.filter(|paid| {
        let order = &paid["order"];
        order["status"] == "CONFIRMED" && order["tickets"].as_array().map_or(0, Vec::len) == 1
    });
    must!(with_ticket.count() == 1, "not one payer was shown the ticket");
    let settled = |paid: &Value| paid["settled"] == "DONE" || paid["settled"] == "NOTHING";
    must!(told.iter().filter_map(Told::done).all(settled), "somebody waited in vain");
    let captured = count(&events, "payment-captured");
    must!(captured == 1, "the money was taken {captured} times");
    must!(audit.money() == (PRICE, 0), "money in and out: {:?}", audit.money());
    must!(audit.live_tickets() == 1, "{} tickets", audit.live_tickets());
    Ok((told, events))
}

/// A provider's word about one payment arrives 64 times, each time as a request of its own.
async fn same_payment(house: &House) -> Result<(), String> {
    let told = paying(house, |number, client, order| async move {
        client.pay(&order, &format!("p{number}"), ("pi-1", "card", PRICE)).await
    });
    let (told, _) = told.await?;
    must!(told.iter().all(|told| told.done().is_some()), "somebody was refused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_told_64_times_is_taken_once() {
    everywhere(same_payment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_one_payment_is_taken_twice() {
    noticed(same_payment).await;
}

/// One payment is told in two different ways.
async fn differing_payment(house: &House) -> Result<(), String> {
    const METHODS: [&str; 2] = ["card", "cash"];
    let told = paying(house, |number, client, order| async move {
        let method = METHODS[(number / 2) % 2];
        client.pay(&order, &format!("p{number}"), ("pi-1", method, PRICE)).await
    });
    let (told, _) = told.await?;
    let good = done_or(&told, "PAYMENT_DIFFERS")?.len();
    must!(good == CLIENTS / 2, "{good} ways to tell it were right");
    let agree = (0..CLIENTS).all(|n| told[n].done().is_some() == told[n ^ 1].done().is_some());
    must!(agree, "the same words were right and wrong");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_ways_to_tell_a_payment_the_first_counts() {
    everywhere(differing_payment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_both_ways_to_tell_a_payment_count() {
    noticed(differing_payment).await;
}

/// 64 people pay for the same order, each with money of their own.
async fn other_payments(house: &House) -> Result<(), String> {
    let told = paying(house, |number, client, order| async move {
        let name = format!("p{number}");
        client.pay(&order, &name, (&name, "card", PRICE)).await
    });
    let (told, _) = told.await?;
    let paid = done_or(&told, "PAID_TOO_MUCH")?.len();
    must!(paid == 1, "{paid} people paid one order");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_payments_pays_the_order() {
    everywhere(other_payments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_several_payments_pay_the_order() {
    noticed(other_payments).await;
}
