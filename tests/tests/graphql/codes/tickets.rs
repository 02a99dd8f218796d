//! Tickets and their codes.

use serde_json::{Value, json};

use super::{super::stage::Stage, Met, done};

pub(super) async fn meet(met: &mut Met) {
    let stage = Stage::start().await;
    let tenant = stage.tenant("tickets").await;
    let on_sale = tenant.on_sale("concert").await;
    let (seller, show) = (&tenant.box_office, &on_sale.show);
    let ticket_of = |order: &Value| order["tickets"][0]["id"].clone();
    let issue = |ticket: &Value| json!({ "ticket": ticket });
    let reissue = |ticket: &Value| json!({ "ticket": ticket, "reason": "lost" });

    let order = tenant.sell(show, "a", &["A1"]).await;
    let ticket = ticket_of(&order);
    let nobody = json!("ticket_00000000000000000000000000");
    met.refused("TICKET_UNKNOWN", seller, "issueTicket", issue(&nobody)).await;
    met.refused("ALREADY_ISSUED", seller, "issueTicket", issue(&ticket)).await;
    let scan = json!({ "show": show, "gate": "north", "code": order["tickets"][0]["code"] });
    let admitted = done(&tenant.gate, "scanTicket", scan, "result").await;
    assert_eq!(admitted["result"], "ADMITTED");
    met.refused("ALREADY_USED", seller, "reissueTicket", reissue(&ticket)).await;

    let order = tenant.sell(show, "b", &["A2"]).await;
    let reverse = json!({ "order": order["id"], "payment": "pay-b", "reason": "fraud" });
    done(seller, "reversePayment", reverse, "").await;
    wait_for(&tenant.box_office, &ticket_of(&order), "suspended", json!(true)).await;
    met.refused("TICKET_SUSPENDED", seller, "reissueTicket", reissue(&ticket_of(&order))).await;

    let order = tenant.sell(show, "c", &["A3"]).await;
    let cancel = json!({ "order": order["id"], "reason": "ill" });
    done(seller, "cancelOrder", cancel, "settled").await;
    wait_for(&tenant.box_office, &ticket_of(&order), "status", json!("VOID")).await;
    met.refused("TICKET_VOID", seller, "reissueTicket", reissue(&ticket_of(&order))).await;

    // Fetched on request, until a deadline.
    let later = json!({
        "name": "later", "venue": on_sale.venue, "startsAt": "2026-11-22T10:00:00Z",
        "endsAt": "2026-11-22T13:00:00Z",
        "issuance": { "mode": "ON_REQUEST", "until": "2026-11-21T12:00:00Z" }
    });
    let made = done(&tenant.organizer, "scheduleShow", later, "show { id }").await;
    let later = made["show"]["id"].as_str().unwrap().to_owned();
    let adult =
        json!({ "show": later, "ticketType": "adult", "name": "Adult", "priceMinor": 5000 });
    done(&tenant.organizer, "offerTicketType", adult, "").await;
    let rules = json!({
        "salesFrom": "2026-11-01T00:00:00Z", "salesUntil": "2026-11-22T10:00:00Z"
    });
    done(&tenant.organizer, "openSales", json!({ "show": later, "rules": rules }), "").await;
    let order = tenant.sell(&later, "d", &["A1"]).await;
    let ticket = ticket_of(&order);
    met.refused("TICKET_NOT_ISSUED", seller, "reissueTicket", reissue(&ticket)).await;
    stage.clock.advance_seconds(86_400);
    met.refused("ISSUANCE_DEADLINE_PASSED", seller, "issueTicket", issue(&ticket)).await;
}

/// Waits until a field of a ticket has this value.
async fn wait_for(actor: &super::super::stage::Actor, ticket: &Value, field: &str, value: Value) {
    let query = format!("query($id: ID!) {{ ticket(id: $id) {{ {field} }} }}");
    for _ in 0..500 {
        let found = actor.ask(&query, json!({ "id": ticket })).await;
        if found["ticket"][field] == value {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{field} of {ticket} is not {value}")
}
