//! A list costs as many reads of the stores as one of its elements: nothing is asked for once for
//! each of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hakken_adapters::memory::MemoryStore;
use hakken_projections::rows::MemoryRows;
use hakken_tests::{
    faults::{Fault, FaultyStore},
    faulty_rows::{FaultyRows, RowFault},
    world::hall,
};
use serde_json::{Value, json};

use super::stage::{Actor, Ground, Stage};

/// Two organizers' worth of sales, which servers that have just started are asked about.
struct Sold {
    store: Arc<MemoryStore>,
    rows: Arc<MemoryRows>,
    /// Of the organizer.
    key: Option<String>,
}

const BUYERS: usize = 12;

impl Sold {
    /// Twelve orders for four shows, each in a venue of its own, some with two tickets and with
    /// money that went back.
    async fn out() -> Self {
        let (store, rows) = (Arc::new(MemoryStore::new()), Arc::new(MemoryRows::default()));
        let ground = Ground {
            store: store.clone(),
            side: store.clone(),
            feed: store.clone(),
            rows: rows.clone(),
            ..Ground::in_memory()
        };
        let stage = Stage::on(ground).await;
        let tenant = stage.tenant("hibiki").await;
        let mut shows = Vec::new();
        for show in 0..4 {
            shows.push(
                tenant.on_sale_in(&format!("show-{show}"), &hall(3, 10, 0), false).await.show,
            );
        }
        for buyer in 0..BUYERS {
            let seats = [format!("A{}", buyer / 4 + 1), format!("B{}", buyer / 4 + 1)];
            let seats: Vec<&str> = seats.iter().map(String::as_str).take(1 + buyer % 2).collect();
            let show = &shows[buyer % 4];
            let order = tenant.sell(show, &format!("buyer-{buyer}"), &seats).await;
            tenant.hold(show, &format!("waiting-{buyer}"), &[&format!("C{}", buyer / 4 + 1)]).await;
            let input = json!({
                "idempotencyKey": format!("scan-{buyer}"), "show": show, "gate": "main",
                "code": order["tickets"][0]["code"]
            });
            tenant.gate.mutate("scanTicket", input, "result").await;
            let input = json!({
                "idempotencyKey": format!("refund-{buyer}"), "order": order["id"],
                "amountMinor": 1_000, "currency": "JPY"
            });
            tenant.box_office.mutate("refundOrder", input, "order { id }").await;
        }
        settle(&stage).await;
        stage.write.stop().await;
        stage.models.shutdown().await;
        Self { store, rows, key: tenant.organizer.key.clone() }
    }

    /// How many reads the answer of a server takes that has just started.
    async fn reads(&self, query: &str, first: usize) -> (u64, Value) {
        let reads = Arc::new(AtomicU64::new(0));
        let counter = reads.clone();
        let store = FaultyStore::new(self.store.clone(), |_| Fault::None).with_reads(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        });
        let rows = FaultyRows::new(self.rows.clone(), || RowFault::None).counting(&reads);
        let ground = Ground {
            store: Arc::new(store),
            side: Arc::new(MemoryStore::new()),
            feed: self.store.clone(),
            rows: Arc::new(rows),
            operator: Some("nobody needs it".to_owned()),
            ..Ground::in_memory()
        };
        let stage = Stage::on(ground).await;
        let actor: Actor = stage.with_key(self.key.clone());
        actor.ask("{ viewer { role } }", json!({})).await;
        settle(&stage).await;
        // What follows the log has come to its end, too, and is quiet.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = reads.load(Ordering::Relaxed);
        let data = actor.ask(query, json!({ "first": first })).await;
        let taken = reads.load(Ordering::Relaxed) - before;
        stage.write.stop().await;
        stage.models.shutdown().await;
        (taken, data)
    }
}

async fn settle(stage: &Stage) {
    let head = stage.models.status().await.unwrap()[0].head;
    stage.models.wait_for_all(head, Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn what_the_elements_of_a_list_name_is_asked_for_together() {
    let sold = Sold::out().await;
    for (query, few, many) in [
        (
            "query($first: Int!) { orders(first: $first) { edges { node { id placedAt
                tickets { id seat times { createdAt } show { name } }
                refunds { id amount { amountMinor } }
                items { seat show { name venue { name } } } } } } }",
            4,
            BUYERS,
        ),
        (
            "query($first: Int!) { holds(first: $first) { edges { node { id seats
                show { name venue { name } } } } } }",
            4,
            BUYERS,
        ),
        (
            "query($first: Int!) { tickets(first: $first) { edges { node { id
                show { name venue { name } } order { id buyer status } times { issuedAt } } } } }",
            6,
            BUYERS + BUYERS / 2,
        ),
        (
            "query($first: Int!) { shows(first: $first) { edges { node { name venue { name } } } } }",
            2,
            4,
        ),
        (
            "query($first: Int!) { scans(first: $first) { edges { node { gate show { name }
                ticket { seat order { buyer } } } } } }",
            4,
            BUYERS,
        ),
    ] {
        let ((fewer, _), (more, data)) =
            (sold.reads(query, few).await, sold.reads(query, many).await);
        let root = data.as_object().unwrap().values().next().unwrap();
        assert_eq!(root["edges"].as_array().unwrap().len(), many, "{query}: {data:#}");
        assert_eq!(fewer, more, "{few} and {many} elements of {query}");
        assert!(more <= 12, "{more} reads for {query}");
    }
}

#[tokio::test]
async fn the_counting_sees_what_is_asked_for_once_for_each() {
    let sold = Sold::out().await;
    // A code is signed afresh, from what the rules know of the ticket.
    let query = "query($first: Int!) { tickets(first: $first) { edges { node { code } } } }";
    let ((fewer, _), (more, data)) = (sold.reads(query, 2).await, sold.reads(query, 10).await);
    assert!(data["tickets"]["edges"][9]["node"]["code"].is_string(), "{data:#}");
    assert!(more >= fewer + 8, "{fewer} and {more}");
}
