//! What buyers do with what they hold: order, pay at once, in parts or too late, give it back,
//! lose a ticket, change their mind.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    buyers::{Buyer, Held},
    ledger::{Holder, Kind},
    stage::ticket_type,
};
use crate::client::Refusal;

/// What is kept of each price by those who cancel late.
const FEE: u64 = 500;
/// A hold of one second is over after this.
const TOO_LATE: Duration = Duration::from_millis(1_200);
/// How often a checkout that takes long is asked about again.
const ATTEMPTS: usize = 12;

/// A placed order.
struct Basket {
    order: String,
    total: u64,
}

/// A ticket, and where.
struct Bought {
    holder: Holder,
    item: u64,
}

/// Orders and pays; some then lose a ticket or change their mind.
pub async fn buy(buyer: &mut Buyer, held: Held) -> Result<()> {
    if buyer.dice.percent(3) {
        extend(buyer, &held).await?;
    }
    let Some(basket) = order(buyer, &held).await? else { return Ok(()) };
    if buyer.dice.percent(4) {
        pay_wrongly(buyer, &basket).await?;
    }
    let answer = if basket.total > 1 && buyer.dice.percent(12) {
        let part = basket.total / 2;
        pay(buyer, &basket, &[part], true).await?;
        buyer.crowd.ledger.count("orders paid in parts");
        pay(buyer, &basket, &[basket.total - part], false).await?
    } else if basket.total > 1 && buyer.dice.percent(6) {
        let part = basket.total / 3;
        buyer.crowd.ledger.count("orders paid with two cards");
        pay(buyer, &basket, &[part, basket.total - part], false).await?
    } else {
        pay(buyer, &basket, &[basket.total], false).await?
    };
    if answer["order"]["status"] != "CONFIRMED" {
        let status = &answer["order"]["status"];
        buyer.crowd.ledger.problem(format!("an order paid in time is {status}"));
        return Ok(());
    }
    let mut bought = take_tickets(buyer, &held, &answer)?;
    if buyer.dice.percent(4) && !bought.is_empty() {
        let lost = buyer.dice.below(bought.len());
        reissue(buyer, &mut bought[lost].holder).await?;
    } else if !buyer.crowd.is_calm() && buyer.dice.percent(6) && !bought.is_empty() {
        cancel(buyer, &basket, &held, &mut bought).await?;
    }
    let tickets = bought.into_iter().map(|bought| bought.holder);
    buyer.crowd.ledger.told().tickets.extend(tickets);
    Ok(())
}

/// Gives the hold back.
pub async fn release(buyer: &mut Buyer, held: Held) -> Result<()> {
    let crowd = buyer.crowd.clone();
    let key = buyer.key("release");
    let input = json!({ "idempotencyKey": key, "show": crowd.stage.show, "hold": held.hold });
    if tell(buyer, Kind::Other, RELEASE, input).await?.is_ok() {
        crowd.ledger.count("holds given back");
        crowd.believe(&held.seats, false);
    }
    Ok(())
}

/// Orders in time and pays when the hold is over.
pub async fn pay_late(buyer: &mut Buyer, held: Held) -> Result<()> {
    let Some(basket) = order(buyer, &held).await? else { return Ok(()) };
    buyer.crowd.believe(&held.seats, false);
    tokio::time::sleep(TOO_LATE).await;
    let answer = pay(buyer, &basket, &[basket.total], false).await?;
    let crowd = buyer.crowd.clone();
    match answer["order"]["status"].as_str() {
        Some("CONFIRMED") => {
            crowd.ledger.count("late payments re-seated");
            let bought = take_tickets(buyer, &held, &answer)?;
            let tickets = bought.into_iter().map(|bought| bought.holder);
            crowd.ledger.told().tickets.extend(tickets);
        }
        Some("UNFULFILLED") => {
            crowd.ledger.count("late payments refunded");
            crowd.ledger.told().refunded_minor += basket.total;
        }
        status => crowd.ledger.problem(format!("an order paid late is {status:?}")),
    }
    Ok(())
}

async fn extend(buyer: &mut Buyer, held: &Held) -> Result<()> {
    let key = buyer.key("extend");
    let show = buyer.crowd.stage.show.clone();
    let input =
        json!({ "idempotencyKey": key, "show": show, "hold": held.hold, "ttlSeconds": 600 });
    if tell(buyer, Kind::Other, EXTEND, input).await?.is_ok() {
        buyer.crowd.ledger.count("holds extended");
    }
    Ok(())
}

/// None if the hold was over before.
async fn order(buyer: &mut Buyer, held: &Held) -> Result<Option<Basket>> {
    let crowd = buyer.crowd.clone();
    let hall = &crowd.stage.hall;
    let mut tickets = Vec::new();
    for &seat in &held.seats {
        let seat = &hall.seats[seat];
        let kind = ticket_type(buyer.dice.percent(15), seat.category);
        tickets.push(json!({ "seat": seat.name, "ticketType": kind }));
    }
    for &(pool, count) in &held.pools {
        let pool = &hall.pools[pool];
        let places = json!({ "pool": pool.name, "count": count });
        tickets.push(json!({ "pool": places, "ticketType": ticket_type(false, pool.category) }));
    }
    let line = json!({ "show": crowd.stage.show, "hold": held.hold, "tickets": tickets });
    let input =
        json!({ "idempotencyKey": buyer.key("order"), "buyer": buyer.name, "lines": [line] });
    match tell(buyer, Kind::Order, ORDER, input).await? {
        Ok(payload) => Ok(Some(Basket {
            order: text(&payload["order"]["id"])?,
            total: minor(&payload["order"]["total"])?,
        })),
        Err(refusal) if matches!(refusal.code.as_str(), "HOLD_EXPIRED" | "HOLD_OVER") => {
            crowd.believe(&held.seats, false);
            Ok(None)
        }
        Err(refusal) => bail!("an order was {refusal}"),
    }
}

/// Pays, and waits until the tickets are there or the money is on its way back.
async fn pay(buyer: &mut Buyer, basket: &Basket, amounts: &[u64], partial: bool) -> Result<Value> {
    let input = payment(buyer, basket, amounts, partial);
    for _ in 0..ATTEMPTS {
        match tell(buyer, Kind::Pay, PAY, input.clone()).await? {
            Ok(payload) if payload["settled"] == "UNDER_WAY" => {}
            Ok(payload) => {
                buyer.crowd.ledger.told().captured_minor += amounts.iter().sum::<u64>();
                return Ok(payload);
            }
            Err(refusal) => bail!("a payment was {refusal}"),
        }
    }
    bail!("the checkout of {} does not come to its end", basket.order)
}

fn payment(buyer: &mut Buyer, basket: &Basket, amounts: &[u64], partial: bool) -> Value {
    let methods = ["card", "konbini", "bank-transfer"];
    let method = methods[buyer.dice.below(methods.len())];
    let payments: Vec<Value> = amounts
        .iter()
        .map(|amount| {
            let id = buyer.key("pi");
            json!({ "payment": id, "method": method, "amountMinor": amount })
        })
        .collect();
    json!({
        "idempotencyKey": buyer.key("pay"), "order": basket.order, "currency": "JPY",
        "payments": payments, "partial": partial,
    })
}

/// Too little or too much: refused, and nothing changes.
async fn pay_wrongly(buyer: &mut Buyer, basket: &Basket) -> Result<()> {
    let (amount, expected) = if buyer.dice.percent(50) && basket.total > 1 {
        (basket.total - 1, "PAID_TOO_LITTLE")
    } else {
        (basket.total + 1, "PAID_TOO_MUCH")
    };
    let input = payment(buyer, basket, &[amount], false);
    let answer = tell(buyer, Kind::Other, PAY, input).await?;
    if answer.as_ref().err().map(|refusal| refusal.code.as_str()) != Some(expected) {
        buyer.crowd.ledger.problem(format!("a payment of another amount gave {answer:?}"));
    }
    Ok(())
}

/// Tickets of a confirmed order; there is one for each place.
fn take_tickets(buyer: &Buyer, held: &Held, answer: &Value) -> Result<Vec<Bought>> {
    let ledger = &buyer.crowd.ledger;
    let order = text(&answer["order"]["id"])?;
    let mut bought = Vec::new();
    for ticket in list(&answer["order"]["tickets"]) {
        let holder = Holder {
            ticket: text(&ticket["id"])?,
            code: text(&ticket["code"])?,
            order: order.clone(),
        };
        bought.push(Bought { holder, item: ticket["item"].as_u64().unwrap_or(0) });
    }
    if bought.len() != held.count() {
        ledger.problem(format!("{} places made {} tickets", held.count(), bought.len()));
    }
    ledger.sell(bought.len());
    buyer.crowd.believe(&held.seats, true);
    ledger.told().sold_seats.extend(&held.seats);
    ledger.count("orders sold");
    Ok(bought)
}

async fn reissue(buyer: &mut Buyer, holder: &mut Holder) -> Result<()> {
    let input = json!({
        "idempotencyKey": buyer.key("reissue"), "ticket": holder.ticket, "reason": "紛失 lost",
    });
    match tell(buyer, Kind::Other, REISSUE, input).await? {
        Ok(payload) => {
            let code = text(&payload["ticket"]["code"])?;
            let old = std::mem::replace(&mut holder.code, code);
            buyer.crowd.ledger.told().revoked.push(old);
            buyer.crowd.ledger.count("tickets reissued");
            Ok(())
        }
        Err(refusal) => bail!("a reissue was {refusal}"),
    }
}

/// Cancels one ticket or all of them.
async fn cancel(
    buyer: &mut Buyer,
    basket: &Basket,
    held: &Held,
    bought: &mut Vec<Bought>,
) -> Result<()> {
    let mut input = json!({
        "idempotencyKey": buyer.key("cancel"), "order": basket.order, "reason": "都合 cannot come",
    });
    let gone: Vec<Bought> = if bought.len() > 1 && buyer.dice.percent(50) {
        let one = bought.remove(buyer.dice.below(bought.len()));
        input["items"] = json!([one.item]);
        vec![one]
    } else {
        std::mem::take(bought)
    };
    if buyer.dice.percent(40) {
        input["refund"] = "KEEP_FEE".into();
        input["feeMinor"] = FEE.into();
    }
    // Before they are free in fact, so that nobody goes home too early.
    let ledger = buyer.crowd.ledger.clone();
    ledger.return_places(gone.len());
    for _ in 0..ATTEMPTS {
        match tell(buyer, Kind::Other, CANCEL, input.clone()).await? {
            Ok(payload) if payload["settled"] == "UNDER_WAY" => continue,
            Ok(payload) => {
                let mut told = ledger.told();
                told.refunded_minor += minor(&payload["order"]["refunded"])?;
                *told.counts.entry("tickets cancelled").or_default() += gone.len() as u64;
                told.void.extend(gone.into_iter().map(|bought| bought.holder.code));
            }
            Err(refusal) => bail!("a cancellation was {refusal}"),
        }
        if bought.is_empty() {
            buyer.crowd.believe(&held.seats, false);
        }
        return Ok(());
    }
    bail!("the cancellation of {} does not come to its end", basket.order)
}

async fn tell(
    buyer: &Buyer,
    kind: Kind,
    mutation: &str,
    input: Value,
) -> Result<Result<Value, Refusal>> {
    let begun = Instant::now();
    let answer = buyer.crowd.stage.box_office.tell(mutation, input).await?;
    buyer.crowd.ledger.answered(kind, begun);
    if let Err(refusal) = &answer {
        buyer.crowd.ledger.refused(&refusal.code);
    }
    Ok(answer)
}

/// The items of a list.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// A text that must be there.
pub fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("the answer lacks a text")?.to_owned())
}

fn minor(money: &Value) -> Result<u64> {
    money["amountMinor"].as_u64().context("the answer lacks an amount")
}

const EXTEND: &str = "mutation($input: ExtendHoldInput!) {
    extendHold(input: $input) { userErrors { code message field } } }";
const RELEASE: &str = "mutation($input: ReleaseHoldInput!) {
    releaseHold(input: $input) { userErrors { code message field } } }";
const ORDER: &str = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) {
    order { id total { amountMinor } } userErrors { code message field } } }";
const PAY: &str = "mutation($input: PayOrderInput!) { payOrder(input: $input) {
    order { id status tickets { id item code } } settled userErrors { code message field } } }";
const REISSUE: &str = "mutation($input: ReissueTicketInput!) { reissueTicket(input: $input) {
    ticket { code } userErrors { code message field } } }";
const CANCEL: &str = "mutation($input: CancelOrderInput!) { cancelOrder(input: $input) {
    order { refunded { amountMinor } } settled userErrors { code message field } } }";
