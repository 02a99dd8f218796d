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
    /// Twelve orders for four shows, each in a venue of its own, some with two tickets, all with
    /// money that went back, some with money that the payer's bank took back.
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
            if buyer % 3 == 1 {
                let input = json!({
                    "idempotencyKey": format!("chargeback-{buyer}"), "order": order["id"],
                    "payment": format!("pay-buyer-{buyer}"), "reason": "stolen"
                });
                let fields = "order { due { amountMinor } }";
                let reversed = tenant.box_office.mutate("reversePayment", input, fields).await;
                assert_ne!(reversed["order"]["due"]["amountMinor"], 0, "{reversed}");
                suspended(&tenant.box_office, &order["id"]).await;
            }
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

impl Sold {
    /// The ids of so many orders.
    async fn orders(&self, count: usize) -> Vec<String> {
        let query = "query($first: Int!) { orders(first: $first) { edges { node { id } } } }";
        let (_, data) = self.reads(query, count).await;
        let edges = data["orders"]["edges"].as_array().unwrap().clone();
        edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Waits until the tickets of an order are suspended.
async fn suspended(seller: &Actor, order: &Value) {
    let query = "query($id: ID!) { order(id: $id) { tickets { suspended } } }";
    for _ in 0..1_000 {
        let found = seller.ask(query, json!({ "id": order })).await;
        let is_suspended = |ticket: &Value| ticket["suspended"] == true;
        if found["order"]["tickets"]
            .as_array()
            .is_some_and(|all| !all.is_empty() && all.iter().all(is_suspended))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the tickets of {order} are not suspended");
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
                due { amountMinor } paid { amountMinor } tickets { id seat times { createdAt } show { name } }
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

/// A type of the schema with its fields, as introspection tells it.
struct Types(Value);

/// Fields that an answer may have a few times only: they have a test of their own.
const FEW: [(&str, &str); 2] = [("Show", "seatMap"), ("Venue", "seatMap")];
/// Lists of which an organizer sees less than a page has here.
const SHORT: [&str; 4] = ["apiKeys", "organizers", "shows", "venues"];

impl Types {
    async fn of(actor: &Actor) -> Self {
        let of = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
        let query = format!(
            "{{ __schema {{ types {{ name fields {{ name type {{ {of} }} \
             args {{ name defaultValue type {{ kind }} }} }} }} }} }}"
        );
        Self(actor.ask(&query, json!({})).await["__schema"]["types"].clone())
    }

    fn fields(&self, of: &str) -> Vec<&Value> {
        let types = self.0.as_array().unwrap();
        let found = types.iter().find(|each| each["name"] == of);
        let found = found.unwrap_or_else(|| panic!("no type {of}"));
        found["fields"].as_array().map_or_else(Vec::new, |fields| fields.iter().collect())
    }

    /// The kind and the name of a field's type, within lists.
    fn named(field: &Value) -> (String, String) {
        let mut of = &field["type"];
        while !of["ofType"].is_null() {
            of = &of["ofType"];
        }
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        (text(&of["kind"]), text(&of["name"]))
    }

    fn lists(&self) -> Vec<(String, String)> {
        let fields = self.fields("Query");
        let lists = fields.iter().filter_map(|field| {
            let node = Self::named(field).1.strip_suffix("Connection").map(str::to_owned)?;
            Some((field["name"].as_str().unwrap().to_owned(), node))
        });
        // An edge says of what its list is.
        lists
            .map(|(list, of)| {
                let edge = self.fields(&format!("{of}Edge"));
                let node = edge.iter().find(|field| field["name"] == "node").expect("a node");
                (list, Self::named(node).1)
            })
            .collect()
    }

    /// Every field of a type, and of what it leads to that does not lead back.
    fn everything(&self, of: &str, way: &mut Vec<String>) -> String {
        way.push(of.to_owned());
        let mut selection = String::new();
        for field in self.fields(of) {
            let name = field["name"].as_str().unwrap();
            let (kind, leads_to) = Self::named(field);
            let arguments = field["args"].as_array().unwrap();
            let asks = |argument: &Value| {
                argument["type"]["kind"] == "NON_NULL" && argument["defaultValue"].is_null()
            };
            assert!(!arguments.iter().any(asks), "{of}.{name}: with which arguments?");
            if FEW.contains(&(of, name)) || way.contains(&leads_to) {
                continue;
            }
            match kind.as_str() {
                "SCALAR" | "ENUM" => selection += &format!("{name} "),
                "OBJECT" => {
                    let inner = self.everything(&leads_to, way);
                    selection += &format!("{name} {{ {inner} }} ");
                }
                other => panic!("{of}.{name} is of the kind {other}: how is it asked for?"),
            }
        }
        way.pop();
        selection
    }
}

#[tokio::test]
async fn no_field_of_any_listed_type_is_asked_for_once_for_each_element() {
    let sold = Sold::out().await;
    let types = Types::of(&Stage::start().await.operator()).await;
    let lists = types.lists();
    assert!(lists.len() >= 11, "{lists:?}");
    for (list, node) in lists {
        let everything = types.everything(&node, &mut Vec::new());
        let query = format!(
            "query($first: Int!) {{ {list}(first: $first) {{ edges {{ cursor node {{ \
             {everything} }} }} pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        let ((fewer, _), (more, data)) =
            (sold.reads(&query, 4).await, sold.reads(&query, BUYERS).await);
        let elements = data[&list]["edges"].as_array().map_or(0, Vec::len);
        println!("{list}: {fewer} and {more} reads for 4 and {elements}");
        let is_short = SHORT.contains(&list.as_str());
        assert!(elements == BUYERS || is_short, "{elements} elements of {list}");
        assert!(more <= fewer, "{fewer} and {more} reads for 4 and {elements}: {query}");
        assert!(fewer <= 24, "{fewer} reads for {query}");
    }
    for list in ["shows", "venues"] {
        let query = format!(
            "query($first: Int!) {{ {list}(first: $first) {{ edges {{ node {{ \
             seatMap {{ name seatCount }} }} }} }} }}"
        );
        let ((fewer, _), (more, data)) = (sold.reads(&query, 2).await, sold.reads(&query, 4).await);
        let last = &data[list]["edges"][3]["node"]["seatMap"]["seatCount"];
        assert_eq!((last, more), (&json!(30), fewer), "{query}");
    }
    let ids = sold.orders(6).await;
    let nodes = |count: usize| {
        let ids = &ids[..count];
        format!("{{ nodes(ids: {}) {{ id ... on Order {{ tickets {{ code }} }} }} }}", json!(ids))
    };
    let ((fewer, _), (more, data)) =
        (sold.reads(&nodes(2), 1).await, sold.reads(&nodes(6), 1).await);
    assert!(data["nodes"][5]["tickets"][0]["code"].is_string(), "{data:#}");
    assert_eq!(fewer, more, "things by their ids");
}

#[tokio::test]
async fn the_counting_sees_what_is_asked_for_once_for_each() {
    let sold = Sold::out().await;
    let ids = sold.orders(10).await;
    let each = |count: usize| {
        let each = ids[..count].iter().enumerate();
        let each = each.map(|(at, id)| format!("o{at}: order(id: \"{id}\") {{ buyer }} "));
        format!("{{ {} }}", each.collect::<String>())
    };
    let ((fewer, _), (more, data)) =
        (sold.reads(&each(2), 1).await, sold.reads(&each(10), 1).await);
    assert!(data["o9"]["buyer"].is_string(), "{data:#}");
    assert!(more >= fewer + 8, "{fewer} and {more}");
}
