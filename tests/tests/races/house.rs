//! Servers on real sockets, the clients that rush at them, and the record of what happened.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hakken_adapters::{
    data_dir::DataDir, embedded::EmbeddedStore, memory::MemoryStore, rows::SqliteRows,
};
use hakken_commands::store::EventStore;
use hakken_domain::{envelope::StoredEvent, seatmap::SeatMap};
use hakken_tests::{
    audit::Audit,
    faults::{Fault, FaultyStore},
    world::hall,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Barrier, task::JoinSet};

use crate::graphql::stage::{Actor, Ground, OnSale, Stage, Tenant};

/// So many clients at once.
pub const CLIENTS: usize = 64;
/// The price of every place.
pub const PRICE: u64 = 5_000;

/// Fails a race with words about what is wrong.
macro_rules! must {
    ($condition:expr, $($words:tt)*) => {
        if !$condition { return Err(format!($($words)*)); }
    };
}
pub(super) use must;

/// How a race is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One server on the embedded store.
    Embedded,
    /// Two servers on one store, as processes share a database.
    Two,
    /// The same, and from the race on the store does not look at versions.
    TwoUnguarded,
}

/// Servers that sell from one store.
pub struct House {
    kind: Kind,
    servers: Vec<(Stage, String)>,
    store: Arc<dyn EventStore>,
    is_unguarded: Arc<AtomicBool>,
    _serving: JoinSet<()>,
    _directory: tempfile::TempDir,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The payload.
    Done(Value),
    /// The code of the refusal.
    Refused(String),
}

impl Told {
    pub fn is_refused(&self, code: &str) -> bool {
        matches!(self, Self::Refused(refusal) if refusal == code)
    }

    pub fn done(&self) -> Option<&Value> {
        match self {
            Self::Done(payload) => Some(payload),
            Self::Refused(_) => None,
        }
    }
}

/// The payloads, when everybody else was refused with this code.
pub fn done_or<'a>(told: &'a [Told], code: &str) -> Result<Vec<&'a Value>, String> {
    if let Some(other) = told.iter().find(|t| t.done().is_none() && !t.is_refused(code)) {
        return Err(format!("{other:?} instead of {code}"));
    }
    Ok(told.iter().filter_map(Told::done).collect())
}

/// Runs a race where nothing may go wrong.
pub async fn everywhere(race: impl AsyncFn(&House) -> Result<(), String>) {
    for kind in [Kind::Embedded, Kind::Two] {
        let house = House::open(kind).await;
        if let Err(wrong) = race(&house).await {
            panic!("{kind:?}: {wrong}");
        }
    }
}

/// Runs a race where the guard is gone until its checks, or the audit of the events, find what is
/// wrong. Luck decides how often that takes. That an engine whose memory was contradicted stops is
/// good, and no proof that the checks look.
pub async fn noticed(race: impl AsyncFn(&House) -> Result<(), String>) {
    for _ in 0..10 {
        let house = House::open(Kind::TwoUnguarded).await;
        let Err(wrong) = race(&house).await else { continue };
        let audited = Audit::read(&house.events().await).err();
        if audited.is_some() || !wrong.contains(IN_VAIN) {
            println!("noticed: {wrong}; in the events: {audited:?}");
            return;
        }
    }
    panic!("ten races without a guard, and nothing was found to be wrong");
}

impl House {
    pub async fn open(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let is_unguarded = Arc::new(AtomicBool::new(false));
        let (grounds, store) = match kind {
            Kind::Embedded => embedded(directory.path()).await,
            Kind::Two | Kind::TwoUnguarded => shared(kind, &is_unguarded),
        };
        let mut servers: Vec<(Stage, String)> = Vec::new();
        let mut serving = JoinSet::new();
        for mut ground in grounds {
            ground.operator = servers.first().and_then(|(stage, _)| stage.operator().key);
            let stage = Stage::on(ground).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/graphql", listener.local_addr().unwrap());
            let router = stage.router.clone();
            serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
            servers.push((stage, url));
        }
        Self { kind, servers, store, is_unguarded, _serving: serving, _directory: directory }
    }

    /// The first server, without a network between, for what stands before a race.
    pub fn stage(&self) -> &Stage {
        &self.servers[0].0
    }

    /// A show in such a hall, and its people.
    pub async fn on_sale(&self, hall: &SeatMap, reentry: bool) -> (Tenant, OnSale) {
        let tenant = self.stage().tenant("hibiki").await;
        let on_sale = tenant.on_sale_in("concert", hall, reentry).await;
        (tenant, on_sale)
    }

    /// 40 seats in four rows, a floor of 10.
    pub async fn usual(&self) -> (Tenant, OnSale) {
        self.on_sale(&hall(4, 10, 10), false).await
    }

    fn client(&self, number: usize, key: &str) -> Client {
        let url = self.servers[number % self.servers.len()].1.clone();
        // A client of its own has a socket of its own.
        let http = reqwest::Client::builder().tcp_nodelay(true).build().unwrap();
        Client { http, url, key: key.to_owned() }
    }

    /// So many clients do something in the same moment, each over its own open socket. Gives what
    /// came of it, in their order.
    pub async fn rush<T, F>(
        &self,
        count: usize,
        key: &str,
        act: impl Fn(usize, Client) -> F,
    ) -> Result<Vec<T>, String>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, String>> + Send + 'static,
    {
        let start = Arc::new(Barrier::new(count + 1));
        let mut rushing = JoinSet::new();
        for number in 0..count {
            let client = self.client(number, key);
            let (start, act) = (start.clone(), act(number, client.clone()));
            rushing.spawn(async move {
                let here = client.ask("{ viewer { role } }", json!({})).await;
                start.wait().await;
                here?;
                Ok::<_, String>((number, act.await?))
            });
        }
        self.is_unguarded.store(self.kind == Kind::TwoUnguarded, Ordering::SeqCst);
        start.wait().await;
        let mut came: Vec<(usize, T)> = Vec::new();
        while let Some(done) = rushing.join_next().await {
            came.push(done.map_err(|panic| panic.to_string())??);
        }
        came.sort_by_key(|(number, _)| *number);
        Ok(came.into_iter().map(|(_, came)| came).collect())
    }

    /// All events.
    pub async fn events(&self) -> Vec<Arc<StoredEvent>> {
        let mut events: Vec<Arc<StoredEvent>> = Vec::new();
        loop {
            let after = events.last().map_or_else(Default::default, |event| event.position);
            let page = self.store.read_all(after, 10_000).await.unwrap();
            if page.is_empty() {
                return events;
            }
            events.extend(page);
        }
    }

    /// An order as the read models show it now.
    pub async fn order(&self, actor: &Actor, order: &Value) -> Value {
        let at = self.events().await.last().map_or(0, |event| event.position.0);
        let query = "query($id: ID!, $at: Position) { order(id: $id, atLeast: $at) { status
            paid { amountMinor } refunded { amountMinor } items { cancelled } } }";
        actor.ask(query, json!({ "id": order, "at": at })).await["order"].take()
    }

    /// Waits until nothing is half done; gives all events, which the audit found to be right.
    pub async fn at_rest(&self) -> Result<(Vec<Arc<StoredEvent>>, Audit), String> {
        let patience = Duration::from_secs(if self.kind == Kind::TwoUnguarded { 1 } else { 30 });
        let begun = Instant::now();
        loop {
            let events = self.events().await;
            let audit = Audit::read(&events)?;
            match audit.at_rest() {
                Ok(()) => return Ok((events, audit)),
                Err(wrong) if begun.elapsed() > patience => return Err(wrong),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// How many events of a kind there are.
pub fn count(events: &[Arc<StoredEvent>], kind: &str) -> usize {
    events.iter().filter(|event| &*event.kind == kind).count()
}

async fn embedded(directory: &std::path::Path) -> (Vec<Ground>, Arc<dyn EventStore>) {
    let files = DataDir::at(directory.join("data"));
    let store = Arc::new(EmbeddedStore::open(&files).await.unwrap());
    let rows = Arc::new(SqliteRows::open(&files.read_models).await.unwrap());
    let ground = Ground {
        store: store.clone(),
        side: store.clone(),
        feed: store.clone(),
        rows,
        ..Ground::in_memory()
    };
    (vec![ground], store)
}

fn shared(kind: Kind, is_unguarded: &Arc<AtomicBool>) -> (Vec<Ground>, Arc<dyn EventStore>) {
    let memory = Arc::new(MemoryStore::new());
    let first = Ground::in_memory();
    let (clock, gateway) = (first.clock.clone(), first.gateway.clone());
    let grounds = (1..=2).map(|seed| {
        let (blind, slow) = (is_unguarded.clone(), is_unguarded.clone());
        let blind = FaultyStore::new(memory.clone(), move |_| match blind.load(Ordering::SeqCst) {
            true => Fault::IgnoreVersions,
            false => Fault::None,
        });
        let blind = if kind == Kind::TwoUnguarded { blind.without_turns() } else { blind };
        // Long enough for the other server to decide the same thing meanwhile.
        let store = FaultyStore::new(Arc::new(blind), move |_| match slow.load(Ordering::SeqCst) {
            true => Fault::Slow(15),
            false => Fault::None,
        });
        Ground {
            store: Arc::new(store),
            // Each process has its own checkpoints.
            side: Arc::new(MemoryStore::new()),
            feed: memory.clone(),
            clock: clock.clone(),
            gateway: gateway.clone(),
            seed,
            ..Ground::in_memory()
        }
    });
    (grounds.collect(), memory.clone())
}

/// Talks to one server over its own socket.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

/// How often and after which pause a client asks again when it is told to.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);
/// What a client says of a server that can no longer serve.
const IN_VAIN: &str = "asked again and again, in vain";

impl Client {
    /// The same socket with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    async fn answer(&self, query: &str, variables: &Value) -> Result<Value, String> {
        let body = json!({ "query": query, "variables": variables });
        let sent = self.http.post(&self.url).bearer_auth(&self.key).json(&body).send().await;
        let answer = sent.map_err(|error| format!("no answer: {error:?}"))?;
        answer.json().await.map_err(|error| format!("half an answer: {error:?}"))
    }

    /// The data of an answer without errors.
    pub async fn ask(&self, query: &str, variables: Value) -> Result<Value, String> {
        let mut answer = self.answer(query, &variables).await?;
        must!(answer["errors"].is_null(), "{query}: {}", answer["errors"]);
        Ok(answer["data"].take())
    }

    /// Carries out a mutation as the guide says: what passes is asked again with the same key.
    pub async fn tell(&self, mutation: &str, fields: &str, input: Value) -> Result<Told, String> {
        let (first, rest) = mutation.split_at(1);
        let query = format!(
            "mutation($input: {}{rest}Input!) {{ {mutation}(input: $input) {{ {fields} repeated \
             userErrors {{ code message }} }} }}",
            first.to_uppercase()
        );
        let variables = json!({ "input": input });
        for _ in 0..ATTEMPTS {
            let mut answer = self.answer(&query, &variables).await?;
            match answer["errors"][0]["extensions"]["code"].as_str() {
                Some("THROTTLED" | "CONTENDED" | "SERVICE_UNAVAILABLE") => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Some(_) => return Err(format!("{mutation}: {}", answer["errors"])),
                None => {}
            }
            let payload = answer["data"][mutation].take();
            let refusal = payload["userErrors"][0]["code"].as_str();
            return Ok(match refusal {
                Some(code) => Told::Refused(code.to_owned()),
                None => Told::Done(payload),
            });
        }
        Err(format!("{mutation}: {IN_VAIN}"))
    }

    /// Holds what `wanted` says for a buyer.
    pub async fn hold(
        &self,
        show: &str,
        key: &str,
        buyer: &str,
        wanted: Value,
    ) -> Result<Told, String> {
        let mut input = json!({ "idempotencyKey": key, "show": show, "buyer": buyer });
        for (name, value) in wanted.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        self.tell("holdSeats", "hold { id seats pools { pool count } }", input).await
    }

    /// Orders everything under a hold.
    pub async fn order(
        &self,
        show: &str,
        key: &str,
        buyer: &str,
        hold: &Value,
    ) -> Result<Told, String> {
        let input = json!({
            "idempotencyKey": key, "buyer": buyer,
            "lines": [{ "show": show, "hold": hold, "ticketType": "adult" }]
        });
        self.tell("placeOrder", "order { id total { amountMinor } }", input).await
    }

    /// Pays an order.
    pub async fn pay(
        &self,
        order: &Value,
        key: &str,
        payment: (&str, &str, u64),
    ) -> Result<Told, String> {
        let (payment, method, amount) = payment;
        let input = json!({
            "idempotencyKey": key, "order": order, "currency": "JPY",
            "payments": [{ "payment": payment, "method": method, "amountMinor": amount }]
        });
        let fields = "settled order { id status tickets { id seat code } }";
        self.tell("payOrder", fields, input).await
    }

    /// Reads a code at a gate.
    pub async fn scan(
        &self,
        show: &str,
        key: &str,
        gate: &str,
        direction: &str,
        code: &Value,
    ) -> Result<Told, String> {
        let input = json!({
            "idempotencyKey": key, "show": show, "gate": gate, "direction": direction, "code": code
        });
        self.tell("scanTicket", "result reason", input).await
    }
}

/// The key of somebody who has one.
pub fn key_of(actor: &Actor) -> String {
    actor.key.clone().expect("everybody of a tenant has a key")
}
