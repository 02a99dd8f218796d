//! Refunds against refunds, and against a cancellation: never more goes out than came in.

use serde_json::{Value, json};

use super::house::{
    CLIENTS, Client, House, PRICE, Told, done_or, everywhere, key_of, must, noticed,
};

const SEATS: [&str; 5] = ["A1", "A2", "A3", "A4", "A5"];
const PAID: u64 = PRICE * SEATS.len() as u64;
/// Twelve of these fit into what was paid, and something is left over.
const PART: u64 = 2_000;

async fn refund(client: Client, order: Value, number: usize) -> Result<Told, String> {
    let input = json!({
        "idempotencyKey": format!("r{number}"), "order": order, "amountMinor": PART,
        "currency": "JPY"
    });
    client.tell("refundOrder", "order { refunded { amountMinor } }", input).await
}

async fn refunds(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.usual().await;
    let order = tenant.sell(&on_sale.show, "b", &SEATS).await["id"].clone();
    let told = house
        .rush(CLIENTS, &key_of(&tenant.box_office), |number, client| {
            refund(client, order.clone(), number)
        })
        .await?;
    let granted = done_or(&told, "REFUND_TOO_MUCH")?.len() as u64;
    must!(granted == PAID / PART, "{granted} times {PART} of {PAID} went back");
    let (_, audit) = house.at_rest().await?;
    must!(audit.money() == (PAID, granted * PART), "money in and out: {:?}", audit.money());
    let order = house.order(&tenant.box_office, &order).await;
    let shown = &order["refunded"]["amountMinor"];
    must!(*shown == granted * PART, "the order shows {shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_against_refund_never_gives_more_than_was_paid() {
    everywhere(refunds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_more_goes_back_than_was_paid() {
    noticed(refunds).await;
}

/// The whole order is cancelled while parts of its money go back.
async fn refund_and_cancel(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.usual().await;
    let order = tenant.sell(&on_sale.show, "b", &SEATS).await["id"].clone();
    let told = house
        .rush(CLIENTS, &key_of(&tenant.box_office), |number, client| {
            let order = order.clone();
            async move {
                if number > 0 {
                    return refund(client, order, number).await;
                }
                let input = json!({ "idempotencyKey": "c", "order": order, "reason": "ill" });
                client.tell("cancelOrder", "settled", input).await
            }
        })
        .await?;
    must!(told[0].done().is_some(), "the cancellation ended with {:?}", told[0]);
    done_or(&told[1..], "REFUND_TOO_MUCH")?;
    let (_, audit) = house.at_rest().await?;
    must!(audit.money() == (PAID, PAID), "money in and out: {:?}", audit.money());
    must!(audit.live_tickets() == 0, "{} tickets live on", audit.live_tickets());
    must!(audit.sold() == 0, "{} seats stay sold", audit.sold());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_against_cancellation_gives_back_what_was_paid_and_no_more() {
    everywhere(refund_and_cancel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_a_cancellation_and_refunds_give_too_much() {
    noticed(refund_and_cancel).await;
}
