//! Orders, payments, cancellations and refunds.

use hakken_domain::names::PaymentMethod;
use serde_json::{Value, json};

use super::{
    super::stage::{Actor, OnSale, Stage, Tenant},
    Met, done,
};
use hakken_tests::world::hall;

const NOBODY: &str = "00000000000000000000000000";

async fn placed(seller: &Actor, show: &str, buyer: &str, hold: &str) -> String {
    let line = json!({ "show": show, "hold": hold, "ticketType": "adult" });
    let input = json!({ "buyer": buyer, "lines": [line] });
    let placed = done(seller, "placeOrder", input, "order { id }").await;
    placed["order"]["id"].as_str().expect("placed").to_owned()
}

fn pay(order: &str, payment: &str, minor: u64) -> Value {
    let payment = json!({ "payment": payment, "method": "card", "amountMinor": minor });
    json!({ "order": order, "currency": "JPY", "payments": [payment] })
}

pub(super) async fn meet(met: &mut Met) {
    let stage = Stage::start().await;
    let tenant = stage.tenant("money").await;
    let on_sale = tenant.on_sale_in("concert", &hall(2, 10, 500), false).await;
    orders(met, &tenant, &on_sale).await;
    payments(met, &tenant, &on_sale).await;
    cancellations(met, &tenant, &on_sale).await;
    refunds(met, &stage, &tenant, &on_sale).await;
}

async fn orders(met: &mut Met, tenant: &Tenant, on_sale: &OnSale) {
    let (seller, boss, show) = (&tenant.box_office, &tenant.organizer, &on_sale.show);
    let hold = tenant.hold(show, "b", &["A1", "A2"]).await;
    let line = |more: Value| {
        let mut line = json!({ "show": show, "hold": hold });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let order = |lines: Vec<Value>| json!({ "buyer": "b", "lines": lines });
    let adult = line(json!({ "ticketType": "adult" }));
    met.refused("ITEM_COUNT", seller, "placeOrder", order(vec![])).await;
    met.refused("HOLD_REPEATED", seller, "placeOrder", order(vec![adult.clone(), adult.clone()]))
        .await;
    let mut others = order(vec![adult.clone()]);
    others["buyer"] = json!("another");
    met.refused("BUYER_DIFFERS", seller, "placeOrder", others).await;
    met.refused("TICKET_TYPE_MISSING", seller, "placeOrder", order(vec![line(json!({}))])).await;
    let child = line(json!({ "ticketType": "child" }));
    met.refused("TICKET_TYPE_NOT_OFFERED", seller, "placeOrder", order(vec![child])).await;
    let wish =
        json!({ "ticketType": "adult", "tickets": [{ "seat": "B9", "ticketType": "adult" }] });
    met.refused("PLACE_NOT_HELD", seller, "placeOrder", order(vec![line(wish)])).await;
    let dear = json!({
        "show": show, "ticketType": "dear", "name": "Dear", "priceMinor": 1_000_000_000_000_000_u64
    });
    done(boss, "offerTicketType", dear, "").await;
    let dear = line(json!({ "ticketType": "dear" }));
    met.refused("TOTAL_TOO_LARGE", seller, "placeOrder", order(vec![dear])).await;
    let given = tenant.hold(show, "b", &["A3"]).await;
    done(seller, "releaseHold", json!({ "show": show, "hold": given }), "").await;
    let over = json!({ "show": show, "hold": given, "ticketType": "adult" });
    met.refused("HOLD_OVER", seller, "placeOrder", order(vec![over])).await;

    // Another show in another currency.
    let euro = json!({
        "name": "euro", "venue": on_sale.venue, "currency": "EUR",
        "startsAt": "2026-11-22T10:00:00Z", "endsAt": "2026-11-22T13:00:00Z"
    });
    let made = done(boss, "scheduleShow", euro, "show { id }").await;
    let euro = made["show"]["id"].clone();
    let adult_there =
        json!({ "show": euro, "ticketType": "adult", "name": "Adult", "priceMinor": 100 });
    done(boss, "offerTicketType", adult_there, "").await;
    let rules = json!({
        "salesFrom": "2026-11-01T00:00:00Z", "salesUntil": "2026-11-22T10:00:00Z"
    });
    done(boss, "openSales", json!({ "show": euro, "rules": rules }), "").await;
    let there = tenant.hold(euro.as_str().unwrap(), "b", &["A1"]).await;
    let there = json!({ "show": euro, "hold": there, "ticketType": "adult" });
    met.refused("CURRENCY_DIFFERS", seller, "placeOrder", order(vec![adult, there])).await;
}

async fn payments(met: &mut Met, tenant: &Tenant, on_sale: &OnSale) {
    let (seller, show) = (&tenant.box_office, &on_sale.show);
    let hold = tenant.hold(show, "pays", &["A4"]).await;
    let order = placed(seller, show, "pays", &hold).await;
    let nobody = format!("order_{NOBODY}");
    met.refused("ORDER_UNKNOWN", seller, "payOrder", pay(&nobody, "p", 5_000)).await;
    met.refused("PAID_TOO_LITTLE", seller, "payOrder", pay(&order, "p", 4_000)).await;
    met.refused("PAID_TOO_MUCH", seller, "payOrder", pay(&order, "p", 6_000)).await;
    met.refused("AMOUNT_INVALID", seller, "payOrder", pay(&order, "p", 0)).await;
    let none = json!({ "order": order, "currency": "JPY", "payments": [] });
    met.refused("PAYMENT_COUNT", seller, "payOrder", none).await;
    let mut euro = pay(&order, "p", 5_000);
    euro["currency"] = json!("EUR");
    met.refused("CURRENCY_MISMATCH", seller, "payOrder", euro).await;
    let mut part = pay(&order, "p", 1_000);
    part["partial"] = json!(true);
    done(seller, "payOrder", part, "").await;
    met.refused("PAYMENT_DIFFERS", seller, "payOrder", pay(&order, "p", 4_000)).await;
    let reverse = json!({ "order": order, "payment": "q", "reason": "fraud" });
    met.refused("PAYMENT_UNKNOWN", seller, "reversePayment", reverse).await;
}

async fn cancellations(met: &mut Met, tenant: &Tenant, on_sale: &OnSale) {
    let (seller, show) = (&tenant.box_office, &on_sale.show);
    let cancel =
        |order: &str, items: Value| json!({ "order": order, "items": items, "reason": "ill" });
    let hold = tenant.hold(show, "open", &["A5", "A6"]).await;
    let order = placed(seller, show, "open", &hold).await;
    met.refused("NOT_PAID", seller, "cancelOrder", cancel(&order, json!([1]))).await;
    done(seller, "payOrder", pay(&order, "p-open", 10_000), "settled").await;
    met.refused("ITEM_UNKNOWN", seller, "cancelOrder", cancel(&order, json!([9]))).await;
    met.refused("ITEM_REPEATED", seller, "cancelOrder", cancel(&order, json!([1, 1]))).await;
    let release = json!({ "show": show, "hold": hold });
    met.refused("HOLD_CONFIRMED", seller, "releaseHold", release).await;
    done(seller, "cancelOrder", cancel(&order, json!([1])), "settled").await;
    met.refused("ITEM_CANCELLED", seller, "cancelOrder", cancel(&order, json!([1]))).await;
    done(seller, "cancelOrder", cancel(&order, json!([2])), "settled").await;
    met.refused("ORDER_OVER", seller, "cancelOrder", cancel(&order, json!(null))).await;
}

async fn refunds(met: &mut Met, stage: &Stage, tenant: &Tenant, on_sale: &OnSale) {
    let (seller, show) = (&tenant.box_office, &on_sale.show);
    let sold = tenant.sell(show, "refunds", &["B1"]).await;
    let order = sold["id"].clone();
    let back = |minor: u64| json!({ "order": order, "amountMinor": minor, "currency": "JPY" });
    let fields = "order { refunds { id status } }";
    met.refused("REFUND_TOO_MUCH", seller, "refundOrder", back(6_000)).await;
    done(seller, "refundOrder", back(10), fields).await;
    settled(seller, &order, "SETTLED").await;
    let found =
        seller.ask("query($id: ID!) { order(id: $id) { refunds { id } } }", json!({ "id": order }));
    let refund = found.await["order"]["refunds"][0]["id"].clone();
    let of = |refund: &Value, name: &str, value: &str| {
        let mut input = json!({ "order": order, "refund": refund });
        input[name] = value.into();
        input
    };
    let nobody = json!(format!("refund_{NOBODY}"));
    met.refused("REFUND_UNKNOWN", seller, "settleRefund", of(&nobody, "reference", "r")).await;
    met.refused("REFUND_SETTLED", seller, "failRefund", of(&refund, "reason", "no")).await;
    let retry = json!({ "order": order, "refund": refund });
    met.refused("REFUND_NOT_FAILED", seller, "retryRefund", retry).await;

    let card = PaymentMethod::new("card").unwrap();
    let reason = hakken_domain::names::Reason::new("the card is closed").unwrap();
    stage.gateway.refuse_method(card.clone(), reason);
    done(seller, "refundOrder", back(11), fields).await;
    let failed = settled(seller, &order, "FAILED").await;
    met.refused("REFUND_FAILED", seller, "settleRefund", of(&failed, "reference", "r")).await;
    stage.gateway.accept_method(&card);
    for _ in 2..200 {
        done(seller, "refundOrder", back(1), "").await;
    }
    met.refused("REFUND_COUNT", seller, "refundOrder", back(1)).await;
}

/// Waits until a refund of the order has come so far; gives its id.
async fn settled(seller: &Actor, order: &Value, status: &str) -> Value {
    let query = "query($id: ID!) { order(id: $id) { refunds { id status } } }";
    for _ in 0..500 {
        let found = seller.ask(query, json!({ "id": order })).await;
        let refunds = found["order"]["refunds"].as_array().cloned().unwrap_or_default();
        if let Some(refund) = refunds.iter().find(|refund| refund["status"] == status) {
            return refund["id"].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no refund of {order} is {status}")
}
