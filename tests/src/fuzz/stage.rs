//! A small world behind its API, the same for every input: an organizer with a key for each role,
//! a concert and a trip on sale, orders in every state, tickets with codes. It is made once; each
//! input gets a copy of its events.

use std::{
    future::Future,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use hakken_adapters::{
    memory::MemoryStore,
    payments::SimulatedGateway,
    system::{ManualClock, SeededIds},
};
use hakken_api::create_operator_key;
use hakken_commands::{
    WriteOptions, WriteSide,
    engine::Ports,
    store::{Append, EventStore, NewEvent, SideStore},
};
use hakken_domain::{
    codec,
    envelope::{Position, StoredEvent},
};
use hakken_projections::{ReadModels, rows::MemoryRows};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    edge::{FixedSecret, api_context, engine_secret},
    world::{START, hall},
};

/// Runs to the end, on this thread, with a clock that jumps when everybody waits.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(work)
}

/// What every input begins with.
pub(super) struct Fixture {
    pub(super) events: Vec<Arc<StoredEvent>>,
    /// What stands for an id, a key or a code in an input (`$show`), and the thing itself.
    names: Vec<(&'static str, String)>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    // A thread of its own: a runtime cannot be entered where another one runs already.
    let made = std::thread::spawn(|| block_on(make()));
    made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
});

/// What every input begins with.
pub(super) fn fixture() -> &'static Fixture {
    &FIXTURE
}

impl Fixture {
    /// What stands for something, such as `$show`.
    pub(super) fn named(&self, name: &str) -> &str {
        let found = self.names.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("the fixture has no {name}")).1
    }

    /// Every name and what it stands for.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.names.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// A text in which names are replaced by what they stand for.
    pub(super) fn filled(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

/// A copy of the small world.
pub(super) struct Stage {
    pub(super) memory: Arc<MemoryStore>,
    pub(super) write: Arc<WriteSide>,
    pub(super) models: ReadModels,
    pub(super) router: Router,
}

/// An answer over HTTP.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Writes recorded events to an empty store; the same ones come out of it.
pub(super) async fn record(memory: &MemoryStore, events: &[Arc<StoredEvent>]) {
    for event in events {
        let new = NewEvent {
            id: event.id,
            kind: codec::known_kind(&event.kind).expect("a kind that is known"),
            schema: event.schema,
            data: event.data.clone(),
            meta: event.meta.clone(),
            decoded: None,
        };
        let append =
            Append { stream: event.stream, expected: event.version - 1, events: vec![new] };
        memory.append(vec![append], event.recorded_at).await.expect("memory takes it");
    }
}

impl Stage {
    /// The world as the fixture has it.
    pub(super) async fn of(fixture: &Fixture) -> Self {
        let memory = Arc::new(MemoryStore::new());
        record(&memory, &fixture.events).await;
        let head = Position(fixture.events.len() as u64);
        for process in ["checkout", "refunds"] {
            memory.save_checkpoint(process, head).await.expect("memory takes it");
        }
        Self::on(memory).await
    }

    /// A world on this store.
    pub(super) async fn on(memory: Arc<MemoryStore>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let ports = Ports {
            store: memory.clone(),
            side: memory.clone(),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(1)),
        };
        let options = WriteOptions { patience: Duration::from_secs(10), ..WriteOptions::default() };
        let gateway = Arc::new(SimulatedGateway::new());
        let write = Arc::new(WriteSide::start(ports, gateway, engine_secret(), options));
        let rows = Arc::new(MemoryRows::default());
        let models = ReadModels::start(memory.clone(), rows, clock).await.expect("started");
        let router = hakken_api::router(api_context(write.clone(), models.clone(), memory.clone()));
        Self { memory, write, models, router }
    }

    /// Sends a request.
    pub(super) async fn send(&self, request: Request<Body>) -> Answered {
        let answer = self.router.clone().oneshot(request).await;
        let response = answer.unwrap_or_else(|never| match never {});
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body").to_vec();
        Answered { status, headers, body }
    }

    /// Sends an operation.
    pub(super) async fn ask(&self, key: &str, query: &str, variables: &Value) -> Value {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .body(Body::from(body))
            .expect("a good request");
        let answer = self.send(request).await;
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| {
            panic!("{} is no JSON: {query}", String::from_utf8_lossy(&answer.body))
        })
    }

    /// All events, in order.
    pub(super) async fn events(&self) -> Vec<Arc<StoredEvent>> {
        let read = EventStore::read_all(&*self.memory, Position(0), usize::MAX).await;
        read.expect("memory can be read")
    }

    /// Waits until every process has answered everything.
    pub(super) async fn rest(&self) {
        for _ in 0..200 {
            let head = self.events().await.len() as u64;
            let quiet = self.write.processes().iter().all(|process| {
                let progress = process.progress();
                progress.waiting == 0 && progress.done.0 >= head
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
            if quiet && self.events().await.len() as u64 == head {
                return;
            }
        }
        panic!("the processes do not come to rest");
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.models.shutdown().await;
        self.write.stop().await;
    }
}

/// Whoever makes the fixture.
struct Maker {
    stage: Stage,
    names: Vec<(&'static str, String)>,
    keys: u32,
}

impl Maker {
    async fn mutate(&mut self, key: &str, mutation: &str, mut input: Value, fields: &str) -> Value {
        self.keys += 1;
        input["idempotencyKey"] = json!(format!("made-{}", self.keys));
        let (first, rest) = mutation.split_at(1);
        let query = format!(
            "mutation($input: {}{rest}Input!) {{ {mutation}(input: $input) {{ {fields} userErrors \
             {{ code message }} }} }}",
            first.to_uppercase()
        );
        let answer = self.stage.ask(key, &query, &json!({ "input": input })).await;
        let payload = answer["data"][mutation].clone();
        assert_eq!(payload["userErrors"], json!([]), "{mutation}: {answer:#}");
        payload
    }

    /// Remembers what stands in an answer under a name.
    fn name(&mut self, name: &'static str, value: &Value) -> String {
        let text = value.as_str().unwrap_or_else(|| panic!("{name}: {value}")).to_owned();
        self.names.push((name, text.clone()));
        text
    }

    async fn show(&mut self, key: &str, name: &'static str, venue: &str, stops: &[&str]) -> String {
        let input = json!({
            "name": "公演 <1> & 2", "venue": venue, "startsAt": "2026-11-22T10:00:00Z",
            "endsAt": "2026-11-22T13:00:00Z", "stops": stops,
            "entry": { "validFrom": "2026-11-21T09:00:00Z", "reentry": true }
        });
        let made = self.mutate(key, "scheduleShow", input, "show { id }").await;
        let show = self.name(name, &made["show"]["id"]);
        let input = json!({
            "show": show, "ticketType": "adult", "name": "大人", "priceMinor": 5000
        });
        self.mutate(key, "offerTicketType", input, "show { id }").await;
        let input = json!({ "show": show, "rules": {
            "salesFrom": "2026-11-01T00:00:00Z", "salesUntil": "2026-11-22T10:00:00Z"
        } });
        self.mutate(key, "openSales", input, "show { id }").await;
        show
    }

    async fn hold(&mut self, key: &str, show: &str, seats: &[&str]) -> Value {
        let input = json!({ "show": show, "buyer": "b-1", "seats": seats });
        self.mutate(key, "holdSeats", input, "hold { id }").await["hold"]["id"].clone()
    }

    async fn order(&mut self, key: &str, show: &str, seats: &[&str]) -> Value {
        let hold = self.hold(key, show, seats).await;
        let input = json!({
            "buyer": "b-1", "lines": [{ "show": show, "hold": hold, "ticketType": "adult" }]
        });
        self.mutate(key, "placeOrder", input, "order { id }").await["order"]["id"].clone()
    }

    async fn sold(&mut self, key: &str, show: &str, seats: &[&str]) -> Value {
        let order = self.order(key, show, seats).await;
        let input = json!({ "order": order, "currency": "JPY", "payments": [{
            "payment": format!("pay-{}", seats[0]), "method": "card",
            "amountMinor": 5000 * seats.len()
        }] });
        let fields = "settled order { id tickets { id code } }";
        let paid = self.mutate(key, "payOrder", input, fields).await;
        assert_eq!(paid["settled"], "DONE", "{paid}");
        paid["order"].clone()
    }
}

async fn make() -> Fixture {
    let stage = Stage::on(Arc::new(MemoryStore::new())).await;
    let secret = engine_secret();
    let operator = create_operator_key(stage.write.desk(), &secret, &FixedSecret(42)).await;
    let operator = operator.expect("an operator");
    let mut made = Maker { stage, names: Vec::new(), keys: 0 };
    let input = json!({ "name": "発券 & Co" });
    let organizer = made.mutate(&operator, "registerOrganizer", input, "organizer { id }").await;
    let organizer = made.name("$organizer", &organizer["organizer"]["id"]);
    made.name("$OPERATOR", &json!(operator));
    let roles = [
        ("$ORGANIZER", "ORGANIZER"),
        ("$BOX_OFFICE", "BOX_OFFICE"),
        ("$GATE", "GATE"),
        ("$AUDITOR", "AUDITOR"),
        ("$REVOKED", "ORGANIZER"),
    ];
    let mut own = String::new();
    for (name, role) in roles {
        let input = json!({ "label": name, "role": role, "organizer": organizer });
        let key = made.mutate(&operator, "createApiKey", input, "secret apiKey { id }").await;
        let secret = made.name(name, &key["secret"]);
        match name {
            "$ORGANIZER" => own = secret,
            "$REVOKED" => {
                let input = json!({ "apiKey": made.name("$key", &key["apiKey"]["id"]) });
                made.mutate(&operator, "revokeApiKey", input, "apiKey { id }").await;
            }
            _ => {}
        }
    }
    let map = serde_json::to_string(&hall(2, 6, 5)).expect("a map can be written");
    let input = json!({ "name": "Hall", "seatMap": { "json": map } });
    let venue = made.mutate(&own, "registerVenue", input, "venue { id }").await;
    let venue = made.name("$venue", &venue["venue"]["id"]);
    let show = made.show(&own, "$show", &venue, &[]).await;
    made.show(&own, "$trip", &venue, &["東京", "名古屋", "京都", "大阪"]).await;
    sell(&mut made, &own, &show).await;
    made.stage.rest().await;
    let query =
        "query($at: Position) { orders(first: 1, atLeast: $at) { pageInfo { endCursor } } }";
    let head = made.stage.events().await.last().map(|event| event.position.to_string());
    let first = made.stage.ask(&own, query, &json!({ "at": head })).await;
    made.name("$cursor", &first["data"]["orders"]["pageInfo"]["endCursor"]);
    let events = made.stage.events().await;
    made.stage.stop().await;
    // Longer names first: `$order` must not eat the beginning of another one.
    made.names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    Fixture { events, names: made.names }
}

/// Orders in every state, a hold, an allotment, blocked seats, scans.
async fn sell(made: &mut Maker, key: &str, show: &str) {
    let input = json!({ "show": show, "seats": ["B6"], "reason": "pillar" });
    made.mutate(key, "blockSeats", input, "show { id }").await;
    let input = json!({ "show": show, "allotment": "sponsors", "seats": ["B5"],
        "pools": [{ "pool": "floor", "count": 2 }] });
    made.mutate(key, "setAllotment", input, "show { id }").await;
    let held = made.hold(key, show, &["A1"]).await;
    made.name("$hold", &held);
    let pending = made.order(key, show, &["A2"]).await;
    made.name("$pending", &pending);
    let sold = made.sold(key, show, &["A3", "A4"]).await;
    made.name("$order", &sold["id"]);
    let code = made.name("$code", &sold["tickets"][0]["code"]);
    made.name("$ticket", &sold["tickets"][0]["id"]);
    made.name("$unused", &sold["tickets"][1]["id"]);
    let input = json!({ "show": show, "gate": "north", "code": code });
    made.mutate(key, "scanTicket", input, "result").await;
    let input = json!({ "show": show, "gate": "north", "code": "T1.NO" });
    made.mutate(key, "scanTicket", input, "result").await;
    let back = made.sold(key, show, &["A5"]).await;
    let input = json!({ "order": made.name("$cancelled", &back["id"]), "reason": "ill" });
    made.mutate(key, "cancelOrder", input, "order { id }").await;
}
