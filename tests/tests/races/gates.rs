//! One ticket at two gates, and tickets that are cancelled or reissued while they are scanned.

use hakken_tests::world::hall;
use serde_json::{Value, json};

use super::house::{CLIENTS, House, PRICE, Told, count, everywhere, key_of, must, noticed};
use crate::graphql::stage::Tenant;

const GATES: [&str; 2] = ["north", "south"];

/// Some tickets in orders of their own.
async fn tickets(tenant: &Tenant, show: &str, number: usize) -> Vec<Value> {
    let mut orders = Vec::new();
    for at in 0..number {
        let seat = format!("{}{}", char::from(b'A' + (at / 10) as u8), at % 10 + 1);
        orders.push(tenant.sell(show, &format!("b{at}"), &[&seat]).await);
    }
    orders
}

fn verdict(told: &Told) -> Result<(&str, &str), String> {
    let payload = told.done().ok_or_else(|| format!("a scan without a verdict: {told:?}"))?;
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    Ok((text("result"), text("reason")))
}

async fn one_ticket(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.usual().await;
    let code = tickets(&tenant, &on_sale.show, 1).await[0]["tickets"][0]["code"].clone();
    let told = house
        .rush(CLIENTS, &key_of(&tenant.gate), |number, client| {
            let (show, code) = (on_sale.show.clone(), code.clone());
            let gate = GATES[(number / 2) % 2];
            async move { client.scan(&show, &format!("s{number}"), gate, "ENTRY", &code).await }
        })
        .await?;
    let mut admitted = 0;
    for told in &told {
        match verdict(told)? {
            ("ADMITTED", _) => admitted += 1,
            ("REFUSED", "ALREADY_REDEEMED") => {}
            other => return Err(format!("a scan ended with {other:?}")),
        }
    }
    must!(admitted == 1, "{admitted} people came in with one ticket");
    let (events, _) = house.at_rest().await?;
    let (came, refused) = (count(&events, "ticket-entered"), count(&events, "scan-refused"));
    must!((came, refused) == (1, CLIENTS - 1), "recorded: {came} in, {refused} refused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ticket_at_two_gates_lets_one_of_64_in() {
    everywhere(one_ticket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_one_ticket_lets_several_in() {
    noticed(one_ticket).await;
}

/// A ticket that may leave and come again: never two people inside with it.
async fn in_and_out(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.on_sale(&hall(1, 10, 0), true).await;
    let code = tickets(&tenant, &on_sale.show, 1).await[0]["tickets"][0]["code"].clone();
    let told = house
        .rush(CLIENTS, &key_of(&tenant.gate), |number, client| {
            let (show, code) = (on_sale.show.clone(), code.clone());
            let gate = GATES[(number / 2) % 2];
            let direction = if (number / 4).is_multiple_of(2) { "ENTRY" } else { "EXIT" };
            async move { client.scan(&show, &format!("s{number}"), gate, direction, &code).await }
        })
        .await?;
    let (mut came, mut left) = (0_usize, 0_usize);
    for told in &told {
        match verdict(told)? {
            ("ADMITTED", _) => came += 1,
            ("EXITED", _) => left += 1,
            ("REFUSED", "ALREADY_REDEEMED" | "NOT_INSIDE") => {}
            other => return Err(format!("a scan ended with {other:?}")),
        }
    }
    must!(came >= 1 && (came == left || came == left + 1), "{came} came in and {left} left");
    let (events, _) = house.at_rest().await?;
    let recorded = (count(&events, "ticket-entered"), count(&events, "ticket-exited"));
    must!(recorded == (came, left), "recorded {recorded:?}, told ({came}, {left})");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ticket_that_may_come_again_is_inside_once() {
    everywhere(in_and_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_a_ticket_is_inside_twice() {
    noticed(in_and_out).await;
}

/// 32 tickets, each scanned and cancelled in the same moment.
async fn cancelled_or_used(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.usual().await;
    let orders = tickets(&tenant, &on_sale.show, CLIENTS / 2).await;
    let seller = key_of(&tenant.box_office);
    let told = house
        .rush(CLIENTS, &key_of(&tenant.gate), |number, client| {
            let (show, at) = (on_sale.show.clone(), number / 2);
            let (order, client_of_seller) = (orders[at].clone(), client.with_key(&seller));
            async move {
                let name = format!("r{number}");
                if (number + at).is_multiple_of(2) {
                    // A cancellation takes a few steps: the scan meets another one each time.
                    tokio::time::sleep(std::time::Duration::from_millis(at as u64 / 2)).await;
                    let code = &order["tickets"][0]["code"];
                    client.scan(&show, &name, "north", "ENTRY", code).await
                } else {
                    let input = json!({
                        "idempotencyKey": name, "order": order["id"], "reason": "ill"
                    });
                    client_of_seller.tell("cancelOrder", "settled", input).await
                }
            }
        })
        .await?;
    let (_, audit) = house.at_rest().await?;
    let mut used = 0;
    for (at, order) in orders.iter().enumerate() {
        let scan = &told[2 * at + at % 2];
        let order = house.order(&tenant.box_office, &order["id"]).await;
        let cancelled = order["items"][0]["cancelled"] == true;
        let back = &order["refunded"]["amountMinor"];
        match verdict(scan)? {
            ("ADMITTED", _) => {
                used += 1;
                must!(!cancelled && *back == 0, "used, and {back} went back");
            }
            ("REFUSED", "CANCELED") => {
                must!(cancelled && *back == PRICE, "refused at the gate, and {back} went back");
            }
            other => return Err(format!("a scan ended with {other:?}")),
        }
    }
    let left = audit.live_tickets();
    must!(left == used, "{used} tickets were used, {left} live");
    println!("{used} of {} were used before they were cancelled", orders.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_used_or_refunded_and_never_both() {
    everywhere(cancelled_or_used).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_a_ticket_is_used_and_refunded() {
    noticed(cancelled_or_used).await;
}

/// 32 tickets, each scanned with its first code while it is issued again.
async fn reissued_or_used(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.usual().await;
    let orders = tickets(&tenant, &on_sale.show, CLIENTS / 2).await;
    let seller = key_of(&tenant.box_office);
    let told = house
        .rush(CLIENTS, &key_of(&tenant.gate), |number, client| {
            let (show, at) = (on_sale.show.clone(), number / 2);
            let (order, client_of_seller) = (orders[at].clone(), client.with_key(&seller));
            async move {
                let (name, ticket) = (format!("r{number}"), &order["tickets"][0]);
                if (number + at).is_multiple_of(2) {
                    client.scan(&show, &name, "north", "ENTRY", &ticket["code"]).await
                } else {
                    let input = json!({
                        "idempotencyKey": name, "ticket": ticket["id"], "reason": "lost"
                    });
                    let fields = "ticket { code generation }";
                    client_of_seller.tell("reissueTicket", fields, input).await
                }
            }
        })
        .await?;
    let (_, _) = house.at_rest().await?;
    let mut used = 0;
    for at in 0..orders.len() {
        let (scan, reissue) = (&told[2 * at + at % 2], &told[2 * at + 1 - at % 2]);
        match verdict(scan)? {
            ("ADMITTED", _) => {
                used += 1;
                must!(reissue.is_refused("ALREADY_USED"), "used, and reissued: {reissue:?}");
            }
            ("REFUSED", "REVOKED") => {
                let generation = reissue.done().map(|done| &done["ticket"]["generation"]);
                must!(generation == Some(&json!(2)), "revoked, and not reissued: {reissue:?}");
            }
            other => return Err(format!("a scan ended with {other:?}")),
        }
    }
    println!("{used} of {} were used before they were reissued", orders.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_code_comes_in_before_the_reissue_or_never() {
    everywhere(reissued_or_used).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_an_old_code_comes_in_after_the_reissue() {
    noticed(reissued_or_used).await;
}
