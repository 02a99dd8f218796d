//! Races for seats: one, the last, all of them, and one whose hold ends in that moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hakken_tests::world::hall;
use serde_json::{Value, json};

use super::house::{
    CLIENTS, Client, House, PRICE, Told, count, done_or, everywhere, key_of, must, noticed,
};

fn seats_of(payload: &Value) -> Vec<String> {
    let seats = payload["hold"]["seats"].as_array();
    seats.into_iter().flatten().filter_map(|seat| seat.as_str().map(ToOwned::to_owned)).collect()
}

async fn one_seat(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.usual().await;
    let told = house
        .rush(CLIENTS, &key_of(&tenant.box_office), |number, client| {
            let show = on_sale.show.clone();
            async move {
                let name = format!("b{number}");
                client.hold(&show, &name, &name, json!({ "seats": ["A5"] })).await
            }
        })
        .await?;
    let granted = done_or(&told, "SEAT_TAKEN")?;
    must!(granted.len() == 1, "the seat was granted {} times", granted.len());
    must!(seats_of(granted[0]) == ["A5"], "granted was {}", granted[0]);
    let (events, _) = house.at_rest().await?;
    must!(count(&events, "seats-held") == 1, "{} holds", count(&events, "seats-held"));
    let held = events.iter().find(|event| &*event.kind == "seats-held").expect("one");
    let id = granted[0]["hold"]["id"].as_str().unwrap_or_default().replace("hold_", "");
    let data = String::from_utf8_lossy(&held.data);
    must!(data.contains(&id), "the events say {data}, the winner was told {id}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_gets_the_one_seat() {
    everywhere(one_seat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_one_seat_goes_to_several() {
    noticed(one_seat).await;
}

async fn last_seats(house: &House) -> Result<(), String> {
    // Ten seats and ten places are left.
    let (tenant, on_sale) = house.on_sale(&hall(2, 10, 10), false).await;
    for from in [1, 6] {
        let seats: Vec<String> = (from..from + 5).map(|number| format!("A{number}")).collect();
        let seats: Vec<&str> = seats.iter().map(String::as_str).collect();
        tenant.hold(&on_sale.show, &format!("early-{from}"), &seats).await;
    }
    let (seat, place) = (
        json!({ "bestAvailable": { "count": 1 } }),
        json!({ "pools": [{ "pool": "floor", "count": 1 }] }),
    );
    let key = key_of(&tenant.box_office);
    for (round, wanted, code) in [("s", seat, "NOT_ENOUGH_SEATS"), ("p", place, "POOL_EXHAUSTED")] {
        let told = house
            .rush(CLIENTS, &key, |number, client| {
                let (show, wanted) = (on_sale.show.clone(), wanted.clone());
                async move {
                    let name = format!("{round}{number}");
                    client.hold(&show, &name, &name, wanted).await
                }
            })
            .await?;
        let granted = done_or(&told, code)?;
        must!(granted.len() == 10, "{} of the last ten were granted", granted.len());
        let seats: BTreeSet<String> = granted.iter().flat_map(|hold| seats_of(hold)).collect();
        let left: BTreeSet<String> = (1..=10).map(|number| format!("B{number}")).collect();
        must!(round == "p" || seats == left, "granted were {seats:?}");
    }
    let (events, _) = house.at_rest().await?;
    must!(count(&events, "seats-held") == 22, "{} holds", count(&events, "seats-held"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_of_64_get_the_last_ten_seats() {
    everywhere(last_seats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_the_last_seats_go_to_too_many() {
    noticed(last_seats).await;
}

/// Buys groups until there is nothing left, smaller ones when there is no room for larger ones.
async fn buy_all(client: Client, show: String, number: usize) -> Result<Vec<Vec<String>>, String> {
    let mut bought = Vec::new();
    let mut size = 1 + number % 4;
    while size > 0 {
        let name = format!("c{number}-{size}-{}", bought.len());
        let wanted = json!({ "bestAvailable": { "count": size } });
        let hold = match client.hold(&show, &format!("{name}-h"), &name, wanted).await? {
            Told::Done(payload) => payload,
            refused => {
                let expected = if size == 1 {
                    refused.is_refused("NOT_ENOUGH_SEATS")
                } else {
                    refused.is_refused("NOT_ENOUGH_SEATS")
                        || refused.is_refused("NO_ADJACENT_SEATS")
                };
                must!(expected, "a group of {size}: {refused:?}");
                size -= 1;
                continue;
            }
        };
        let seats = seats_of(&hold);
        must!(seats.len() == size, "{size} were asked for, {seats:?} came");
        let order = client.order(&show, &format!("{name}-o"), &name, &hold["hold"]["id"]).await?;
        let order = order.done().ok_or("a hold that cannot be ordered")?["order"].clone();
        let amount = PRICE * size as u64;
        let paid = client.pay(&order["id"], &format!("{name}-p"), (&name, "card", amount)).await?;
        let tickets = paid.done().and_then(|paid| paid["order"]["tickets"].as_array().cloned());
        must!(tickets.map_or(0, |tickets| tickets.len()) == size, "paid, and told {paid:?}");
        bought.push(seats);
    }
    Ok(bought)
}

/// Row and number: `B7` is (`B`, 7).
fn place_of(seat: &str) -> (String, u32) {
    let (row, number) = seat.split_at(1);
    (row.to_owned(), number.parse().expect("seats are a letter and a number"))
}

async fn to_exhaustion(house: &House) -> Result<(), String> {
    const ROWS: u32 = 7;
    const SEATS: u32 = 15;
    let (tenant, on_sale) = house.on_sale(&hall(ROWS, SEATS, 0), false).await;
    let bought = house
        .rush(CLIENTS, &key_of(&tenant.box_office), |number, client| {
            buy_all(client, on_sale.show.clone(), number)
        })
        .await?;
    let mut sold: BTreeMap<(String, u32), usize> = BTreeMap::new();
    for group in bought.iter().flatten() {
        let mut places: Vec<(String, u32)> = group.iter().map(|seat| place_of(seat)).collect();
        places.sort();
        let adjacent =
            places.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 + 1 == pair[1].1);
        must!(adjacent, "{group:?} is no group of neighbours");
        for place in places {
            *sold.entry(place).or_default() += 1;
        }
    }
    let twice = sold.iter().find(|(_, times)| **times > 1);
    must!(twice.is_none(), "{twice:?} was sold more than once");
    let seats = (ROWS * SEATS) as usize;
    must!(sold.len() == seats, "{} of {seats} seats were sold", sold.len());
    let (_, audit) = house.at_rest().await?;
    must!(audit.sold() == seats as u64, "the events sell {}", audit.sold());
    must!(audit.live_tickets() == seats, "{} tickets", audit.live_tickets());
    let money = audit.money();
    must!(money == (PRICE * seats as u64, 0), "money in and out: {money:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn best_available_sells_every_seat_once_and_groups_sit_together() {
    everywhere(to_exhaustion).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_best_available_sells_seats_twice() {
    noticed(to_exhaustion).await;
}

/// The holds of 32 unpaid orders end while they are paid and 32 others want the same seats.
async fn expiry(house: &House) -> Result<(), String> {
    let (tenant, on_sale) = house.usual().await;
    let (show, key) = (on_sale.show.clone(), key_of(&tenant.box_office));
    let seats: Vec<String> = (0..CLIENTS / 2)
        .map(|n| format!("{}{}", ["A", "B", "C", "D"][n / 10], n % 10 + 1))
        .collect();
    let mut orders = Vec::new();
    for (number, seat) in seats.iter().enumerate() {
        let buyer = format!("early-{number}");
        let hold = tenant.hold(&show, &buyer, &[seat]).await;
        let input = json!({
            "idempotencyKey": format!("order-{number}"), "buyer": buyer,
            "lines": [{ "show": show, "hold": hold, "ticketType": "adult" }]
        });
        let placed = tenant.box_office.mutate("placeOrder", input, "order { id }").await;
        orders.push(placed["order"]["id"].clone());
    }
    let clock = house.stage().clock.clone();
    let told = house
        .rush(CLIENTS, &key, |number, client| {
            let (show, at) = (show.clone(), number / 2);
            let (seat, order, clock) = (seats[at].clone(), orders[at].clone(), clock.clone());
            async move {
                // Some pairs meet before the holds end, some after, and some in that moment.
                tokio::time::sleep(Duration::from_millis(2 * at as u64)).await;
                if number == CLIENTS / 2 {
                    clock.advance_seconds(601);
                }
                let name = format!("e{number}");
                // Payers and rivals for one seat come to different servers now and then.
                if (number + at).is_multiple_of(2) {
                    client.pay(&order, &name, ("p", "card", PRICE)).await
                } else {
                    client.hold(&show, &name, &name, json!({ "seats": [seat] })).await
                }
            }
        })
        .await?;
    let (_, audit) = house.at_rest().await?;
    let mut bought = 0;
    for (at, order) in orders.iter().enumerate() {
        let order = house.order(&tenant.box_office, order).await;
        let (status, back) = (&order["status"], &order["refunded"]["amountMinor"]);
        let (one, other) = (&told[2 * at], &told[2 * at + 1]);
        let rival = if (2 * at + at).is_multiple_of(2) { other } else { one };
        match status.as_str() {
            Some("CONFIRMED") => {
                bought += 1;
                must!(rival.is_refused("SEAT_TAKEN"), "sold, and the rival was told {rival:?}");
                must!(*back == 0, "confirmed, and {back} went back");
            }
            Some("UNFULFILLED") => {
                must!(rival.done().is_some(), "not sold, and the rival was told {rival:?}");
                must!(*back == PRICE, "unfulfilled, and {back} went back");
            }
            _ => return Err(format!("an order at rest is {status}")),
        }
    }
    must!(audit.sold() == bought, "{bought} orders are confirmed, {} sold", audit.sold());
    println!("{bought} of {} were paid in time", seats.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_whose_hold_ends_is_the_payers_or_the_next_ones() {
    everywhere(expiry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_a_seat_whose_hold_ends_is_both() {
    noticed(expiry).await;
}
