//! An engine with its API, and the actors who use it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, Response, StatusCode},
};
use hakken_adapters::{
    memory::MemoryStore,
    payments::SimulatedGateway,
    system::{ManualClock, SeededIds},
};
use hakken_api::{
    ApiContext, DocumentRules, KeyLimits, LiveLimits, SeatMapPicture, SeatMark, create_operator_key,
};
use hakken_commands::{
    WriteOptions, WriteSide,
    engine::Ports,
    store::{EventStore, SideStore},
};
use hakken_domain::{names::SeatId, seatmap::SeatMap};
use hakken_projections::{
    ReadModels,
    feed::EventFeed,
    rows::{MemoryRows, RowStore},
};
use hakken_tests::{
    edge::{FixedSecret, api_context, engine_secret},
    world::{START, hall},
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

/// Says how many seats are free.
struct FreeSeats;

impl SeatMapPicture for FreeSeats {
    fn svg(&self, map: &SeatMap, mark: &dyn Fn(&SeatId) -> SeatMark) -> String {
        let free = map.seats().filter(|seat| mark(&seat.id) == SeatMark::Free).count();
        format!("<svg><!-- {free} free --></svg>")
    }
}

/// A running engine with its API.
pub struct Stage {
    pub write: Arc<WriteSide>,
    pub models: ReadModels,
    pub clock: Arc<ManualClock>,
    pub gateway: Arc<SimulatedGateway>,
    pub router: Router,
    operator: String,
}

/// What a stage stands on.
pub struct Ground {
    pub store: Arc<dyn EventStore>,
    pub side: Arc<dyn SideStore>,
    pub feed: Arc<dyn EventFeed>,
    pub rows: Arc<dyn RowStore>,
    pub clock: Arc<ManualClock>,
    pub gateway: Arc<SimulatedGateway>,
    /// Makes ids differ from those of another stage on the same ground.
    pub seed: u64,
    /// The operator's key, if another stage on the same ground has made it.
    pub operator: Option<String>,
    /// What the API tells as the feed, if it is another one than the read models follow.
    pub told: Option<Arc<dyn EventFeed>>,
    /// How long those who are told live may take.
    pub live: LiveLimits,
    /// How much each key may ask.
    pub limits: KeyLimits,
    /// Whether it answers events, if somebody says so; then nobody waits long for it.
    pub on_duty: Option<watch::Receiver<bool>>,
}

impl Ground {
    /// Everything in memory.
    pub fn in_memory() -> Self {
        let memory = Arc::new(MemoryStore::new());
        Self {
            store: memory.clone(),
            side: memory.clone(),
            feed: memory,
            rows: Arc::new(MemoryRows::default()),
            clock: Arc::new(ManualClock::new(START)),
            gateway: Arc::new(SimulatedGateway::new()),
            seed: 1,
            operator: None,
            told: None,
            live: LiveLimits::default(),
            limits: KeyLimits::default(),
            on_duty: None,
        }
    }
}

impl Stage {
    pub async fn start() -> Self {
        Self::on(Ground::in_memory()).await
    }

    pub async fn on(ground: Ground) -> Self {
        Self::with(ground, DocumentRules::default()).await
    }

    /// The same, with documents that an operator trusts.
    pub async fn with(ground: Ground, documents: DocumentRules) -> Self {
        let Ground { store, side, feed, rows, clock, gateway, seed, operator, .. } = ground;
        let Ground { told, live, limits, on_duty, .. } = ground;
        let ids = Arc::new(SeededIds::new(seed));
        let ports = Ports { store, side, clock: clock.clone(), ids };
        let secret = engine_secret();
        let patience = Duration::from_millis(if on_duty.is_some() { 100 } else { 10_000 });
        let options = WriteOptions { patience, on_duty, ..WriteOptions::default() };
        let write = WriteSide::start(ports, gateway.clone(), secret.clone(), options);
        let write = Arc::new(write);
        let models = ReadModels::start(feed.clone(), rows, clock.clone()).await.unwrap();
        let context = ApiContext {
            pictures: Some(Arc::new(FreeSeats)),
            live,
            limits,
            ..api_context(write.clone(), models.clone(), told.unwrap_or(feed))
        };
        let router = hakken_api::router_with(context, documents);
        let operator = match operator {
            Some(operator) => operator,
            None => create_operator_key(write.desk(), &secret, &FixedSecret(42)).await.unwrap(),
        };
        Self { write, models, clock, gateway, router, operator }
    }

    /// Serves it on a port of its own. The system keeps so little of what is not read that a slow
    /// reader is soon noticed.
    pub async fn listen(&self) -> std::net::SocketAddr {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(16 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1_024).unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Who runs the engine.
    pub fn operator(&self) -> Actor {
        self.with_key(Some(self.operator.clone()))
    }

    /// Who has no key.
    pub fn anonymous(&self) -> Actor {
        self.with_key(None)
    }

    pub fn with_key(&self, key: Option<String>) -> Actor {
        Actor { router: self.router.clone(), key, keys: Arc::new(AtomicU64::new(0)) }
    }

    /// An organizer and its people.
    pub async fn tenant(&self, name: &str) -> Tenant {
        let operator = self.operator();
        let input = json!({ "idempotencyKey": name, "name": name });
        let made = operator.mutate("registerOrganizer", input, "organizer { id }").await;
        let id = made["organizer"]["id"].as_str().expect("registered").to_owned();
        let mut actors = Vec::new();
        for role in ["ORGANIZER", "BOX_OFFICE", "GATE", "AUDITOR"] {
            let input = json!({
                "idempotencyKey": format!("{name}-{role}"),
                "label": format!("{name} {role}"),
                "role": role,
                "organizer": id
            });
            let made = operator.mutate("createApiKey", input, "secret apiKey { id }").await;
            let secret = made["secret"].as_str().expect("shown once").to_owned();
            actors.push(self.with_key(Some(secret)));
        }
        let mut actors = actors.into_iter();
        let mut next = || actors.next().expect("four roles");
        Tenant { id, organizer: next(), box_office: next(), gate: next(), auditor: next() }
    }
}

/// An organizer's people.
pub struct Tenant {
    pub id: String,
    pub organizer: Actor,
    pub box_office: Actor,
    pub gate: Actor,
    pub auditor: Actor,
}

/// A show that is on sale.
pub struct OnSale {
    pub venue: String,
    pub show: String,
}

impl Tenant {
    /// A show in a hall of rows A and B with ten seats each and a pool `floor` of 5, with the
    /// ticket type `adult` at 5,000 yen.
    pub async fn on_sale(&self, label: &str) -> OnSale {
        self.on_sale_in(label, &hall(2, 10, 5), false).await
    }

    /// The same in another hall, which one may leave and enter again or not.
    pub async fn on_sale_in(&self, label: &str, hall: &SeatMap, reentry: bool) -> OnSale {
        let map = serde_json::to_string(hall).unwrap();
        let organizer = &self.organizer;
        let input = json!({
            "idempotencyKey": format!("{label}-venue"), "name": "Hall", "seatMap": { "json": map }
        });
        let made = organizer.mutate("registerVenue", input, "venue { id }").await;
        let venue = made["venue"]["id"].as_str().expect("registered").to_owned();
        let input = json!({
            "idempotencyKey": format!("{label}-show"),
            "name": label,
            "venue": venue,
            "startsAt": "2026-11-22T10:00:00Z",
            "endsAt": "2026-11-22T13:00:00Z",
            "entry": { "validFrom": "2026-11-21T09:00:00Z", "reentry": reentry }
        });
        let made = organizer.mutate("scheduleShow", input, "show { id }").await;
        let show = made["show"]["id"].as_str().expect("scheduled").to_owned();
        let input = json!({
            "idempotencyKey": format!("{label}-adult"),
            "show": show,
            "ticketType": "adult",
            "name": "大人",
            "priceMinor": 5000
        });
        organizer.mutate("offerTicketType", input, "show { id }").await;
        let input = json!({
            "idempotencyKey": format!("{label}-open"),
            "show": show,
            "rules": {
                "salesFrom": "2026-11-01T00:00:00Z",
                "salesUntil": "2026-11-22T10:00:00Z",
                "maxPlacesPerBuyer": 8
            }
        });
        let opened = organizer.mutate("openSales", input, "show { sales { open } }").await;
        assert_eq!(opened["show"]["sales"]["open"], true, "{opened}");
        OnSale { venue, show }
    }

    /// Holds seats for a buyer; gives the hold's id.
    pub async fn hold(&self, show: &str, buyer: &str, seats: &[&str]) -> String {
        let input = json!({
            "idempotencyKey": self.box_office.fresh(),
            "show": show,
            "buyer": buyer,
            "seats": seats
        });
        let held = self.box_office.mutate("holdSeats", input, "hold { id }").await;
        held["hold"]["id"].as_str().unwrap_or_else(|| panic!("not held: {held}")).to_owned()
    }

    /// Holds, orders and pays seats for a buyer; gives the order with its tickets.
    pub async fn sell(&self, show: &str, buyer: &str, seats: &[&str]) -> Value {
        let hold = self.hold(show, buyer, seats).await;
        let input = json!({
            "idempotencyKey": self.box_office.fresh(),
            "buyer": buyer,
            "lines": [{ "show": show, "hold": hold, "ticketType": "adult" }]
        });
        let placed = self.box_office.mutate("placeOrder", input, "order { id }").await;
        let order = placed["order"]["id"].as_str().expect("placed").to_owned();
        let input = json!({
            "idempotencyKey": self.box_office.fresh(),
            "order": order,
            "currency": "JPY",
            "payments": [{
                "payment": format!("pay-{buyer}"), "method": "card",
                "amountMinor": 5000 * seats.len()
            }]
        });
        let fields = "settled order { id status tickets { id seat status code } }";
        let paid = self.box_office.mutate("payOrder", input, fields).await;
        assert_eq!(paid["settled"], "DONE", "{paid}");
        paid["order"].clone()
    }
}

/// Somebody who asks.
#[derive(Clone)]
pub struct Actor {
    router: Router,
    pub key: Option<String>,
    keys: Arc<AtomicU64>,
}

/// An HTTP answer.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of the first error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or("").to_owned()
    }
}

/// The code of the first error of an answer.
pub fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("")
}

impl Actor {
    /// An idempotency key that was not used before.
    pub fn fresh(&self) -> String {
        let holder = self.key.as_deref().map_or("nobody", |key| &key[3..29]);
        format!("{holder}-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// The answer before its body is read.
    pub async fn open(&self, mut request: Request<Body>) -> Response<Body> {
        if let Some(key) = &self.key
            && !request.headers().contains_key("authorization")
        {
            let value = format!("Bearer {key}").parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.open(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
        Answered { status, headers, body }
    }

    pub async fn get(&self, path: &str, accept: &str) -> Answered {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        self.send(request).await
    }

    pub async fn post(&self, body: &Value) -> Answered {
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    /// The whole answer, errors included.
    pub async fn answer(&self, query: &str, variables: Value) -> Value {
        self.post(&json!({ "query": query, "variables": variables })).await.json()
    }

    /// The data of an answer without errors.
    #[track_caller]
    pub fn ask(&self, query: &str, variables: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        let (query, actor) = (query.to_owned(), self.clone());
        async move {
            let answer = actor.answer(&query, variables).await;
            assert!(answer.get("errors").is_none(), "at {place}: {query}\n{answer:#}");
            answer["data"].clone()
        }
    }

    /// The payload of a mutation, refused or not.
    pub async fn mutate(&self, mutation: &str, input: Value, fields: &str) -> Value {
        let answer = self.attempt(mutation, input, fields).await;
        assert!(answer.get("errors").is_none(), "{mutation}: {answer:#}");
        answer["data"][mutation].clone()
    }

    /// The whole answer to a mutation.
    pub async fn attempt(&self, mutation: &str, input: Value, fields: &str) -> Value {
        let (first, rest) = mutation.split_at(1);
        let kind = format!("{}{rest}Input", first.to_uppercase());
        let query = format!(
            "mutation($input: {kind}!) {{ {mutation}(input: $input) {{ {fields} \
             userErrors {{ code message field }} position repeated }} }}"
        );
        self.answer(&query, json!({ "input": input })).await
    }

    /// The code and the field of a mutation's refusal.
    pub async fn refusal(&self, mutation: &str, input: Value) -> (String, String) {
        let payload = self.mutate(mutation, input, "").await;
        let error = &payload["userErrors"][0];
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        (text(&error["code"]), text(&error["field"]))
    }
}
