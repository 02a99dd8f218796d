//! How long one answer holds a core at worst: `cargo bench -p hakken-benches --bench answers`.
//!
//! Each request is carried out in this process, and every step that it takes between two times
//! that it gives the core to others is measured in processor time.

use std::{
    fs,
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::Request,
};
use hakken_benches::{
    halls::stadium,
    http::Door,
    median,
    report::{Table, percent},
    thousands,
};
use serde_json::{Value, json};
use tower::ServiceExt;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Each request is sent so often.
const TIMES: usize = 5;
/// No answer may hold a processor for longer, in microseconds.
const LIMIT_MICROS: f64 = 50_000.0;
/// The largest hall.
const SEATS: usize = 40_000;
/// Orders of so many items each: a page of them.
const ORDERS: usize = 100;
const ITEMS: usize = 10;
const GUIDE: &str = "\
longest µs: processor time of the longest step of the request, between two times that it gives \
the core to others: the first time, when nothing of it is in memory, and as a rule (the median). \
`of 50 ms`: the longer of both as a share of what no answer may take. steps: how often it took \
the core. ms: from the request to the whole answer.";

fn main() -> Result<()> {
    // One thread, so that whatever holds it holds everything.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run())
}

/// Who asks, without a network between.
struct Asker {
    router: Router,
    key: String,
}

/// What an answer took.
struct Taken {
    longest: f64,
    steps: usize,
    time: Duration,
    body: Bytes,
}

/// Processor time of this thread, in microseconds.
fn processor() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split(' ').next().context("three numbers")?;
    Ok(nanos.parse::<f64>()? / 1e3)
}

impl Asker {
    async fn send(&self, request: Request<Body>) -> Result<Taken> {
        let router = self.router.clone();
        let mut answer = pin!(async move {
            let response = router.oneshot(request).await?;
            let body = to_bytes(response.into_body(), usize::MAX).await?;
            anyhow::Ok(body)
        });
        let (mut longest, mut steps) = (0_f64, 0);
        let begun = Instant::now();
        let body = poll_fn(|context| {
            let before = processor();
            let polled = answer.as_mut().poll(context);
            steps += 1;
            match (before, processor()) {
                (Ok(before), Ok(after)) => longest = longest.max(after - before),
                (Err(error), _) | (_, Err(error)) => return Poll::Ready(Err(error)),
            }
            polled
        });
        let body = body.await?;
        Ok(Taken { longest, steps, time: begun.elapsed(), body })
    }

    async fn ask(&self, query: &str, variables: &Value) -> Result<Taken> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("accept-encoding", "gzip")
            .header("authorization", format!("Bearer {}", self.key))
            .body(Body::from(body))?;
        self.send(request).await
    }

    async fn get(&self, path: &str) -> Result<Taken> {
        let key = format!("Bearer {}", self.key);
        self.send(Request::get(path).header("authorization", key).body(Body::empty())?).await
    }

    async fn tell(&self, mutation: &str, fields: &str, input: Value) -> Result<Value> {
        let (first, rest) = mutation.split_at(1);
        let kind = format!("{}{rest}Input", first.to_uppercase());
        let query = format!(
            "mutation($input: {kind}!) {{ {mutation}(input: $input) {{ {fields} \
             userErrors {{ code message }} }} }}"
        );
        let body = json!({ "query": query, "variables": { "input": input } }).to_string();
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.key))
            .body(Body::from(body))?;
        let answer: Value = serde_json::from_slice(&self.send(request).await?.body)?;
        let payload = &answer["data"][mutation];
        ensure!(payload["userErrors"] == json!([]), "{mutation}: {answer}");
        Ok(payload.clone())
    }
}

/// The largest that one may ask for: halls on sale, a page of orders, and who sees all that.
struct Scene {
    auditor: Asker,
    venue: Value,
    shows: Vec<Value>,
}

impl Scene {
    async fn set() -> Result<Self> {
        let (router, operator) = Door::Gate.here().await?;
        let with = |key: String| Asker { router: router.clone(), key };
        let operator = with(operator);
        let input = json!({ "idempotencyKey": "o", "name": "Bench" });
        let made = operator.tell("registerOrganizer", "organizer { id }", input).await?;
        let mut keys = Vec::new();
        for role in ["ORGANIZER", "BOX_OFFICE", "AUDITOR"] {
            let input = json!({
                "idempotencyKey": role, "label": role, "role": role,
                "organizer": made["organizer"]["id"]
            });
            let made = operator.tell("createApiKey", "secret", input).await?;
            keys.push(with(made["secret"].as_str().context("a key")?.to_owned()));
        }
        let [owner, seller, auditor] = keys.try_into().ok().context("three keys")?;
        let map = serde_json::to_string(&stadium(SEATS, 100_000)?)?;
        let input = json!({ "idempotencyKey": "v", "name": "Arena", "seatMap": { "json": map } });
        let venue = owner.tell("registerVenue", "venue { id }", input).await?["venue"]["id"].take();
        let mut shows = Vec::new();
        for at in 0..8 {
            let input = json!({
                "idempotencyKey": format!("s{at}"), "name": format!("Show {at}"), "venue": venue,
                "startsAt": "2098-01-01T10:00:00Z", "endsAt": "2098-01-01T12:00:00Z"
            });
            let made = owner.tell("scheduleShow", "show { id }", input).await?;
            let show = made["show"]["id"].clone();
            let input = json!({
                "idempotencyKey": format!("t{at}"), "show": show, "ticketType": "adult",
                "name": "Adult", "priceMinor": 5_000
            });
            owner.tell("offerTicketType", "position", input).await?;
            let input = json!({
                "idempotencyKey": format!("p{at}"), "show": show,
                "rules": {
                    "salesFrom": "2020-01-01T00:00:00Z", "salesUntil": "2098-01-01T00:00:00Z"
                }
            });
            owner.tell("openSales", "position", input).await?;
            shows.push(show);
        }
        for at in 0..ORDERS {
            let input = json!({
                "idempotencyKey": format!("h{at}"), "show": shows[0], "buyer": format!("b{at}"),
                "pools": [{ "pool": "standing", "count": ITEMS }]
            });
            let held = seller.tell("holdSeats", "hold { id }", input).await?;
            let input = json!({
                "idempotencyKey": format!("o{at}"), "buyer": format!("b{at}"),
                "lines": [{ "show": shows[0], "hold": held["hold"]["id"], "ticketType": "adult" }]
            });
            let placed = seller.tell("placeOrder", "order { id }", input).await?;
            let input = json!({
                "idempotencyKey": format!("c{at}"), "order": placed["order"]["id"],
                "currency": "JPY", "payments": [{
                    "payment": format!("p{at}"), "method": "card", "amountMinor": 5_000 * ITEMS
                }]
            });
            seller.tell("payOrder", "settled", input).await?;
        }
        // The read models follow within a moment.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Self { auditor, venue, shows })
    }

    /// What is asked, by its name: a query or a path.
    fn requests(&self) -> Vec<(&'static str, String)> {
        let each = |query: &dyn Fn(usize, &Value) -> String| -> String {
            let parts = self.shows.iter().enumerate();
            let parts: String = parts.map(|(at, show)| query(at, show)).collect();
            format!("{{ {parts} }}")
        };
        vec![
            ("a map", format!("{{ venue(id: {}) {{ {MAP} }} }}", self.venue)),
            ("a map as JSON", format!("{{ venue(id: {}) {{ seatMap {{ json }} }} }}", self.venue)),
            ("eight maps", each(&|at, show| format!("s{at}: show(id: {show}) {{ {MAP} }} "))),
            (
                "eight lists of all seats",
                each(&|at, show| {
                    format!("s{at}: availability(show: {show}) {{ seats {{ seat status }} }} ")
                }),
            ),
            (
                "eight shows that are polled",
                each(&|at, show| {
                    format!("s{at}: availability(show: {show}) {{ version seatLetters }} ")
                }),
            ),
            ("a page of orders", ORDERS_QUERY.to_owned()),
            ("a page of tickets", TICKETS_QUERY.to_owned()),
            ("a page of the audit log", AUDIT_QUERY.to_owned()),
            ("fifty pages of shows", {
                let list = |at| {
                    format!(
                        "a{at}: shows(first: 100) {{ edges {{ cursor node {{ id \
                    name startsAt endsAt }} }} }} "
                    )
                };
                format!("{{ {} }}", (0..50).map(list).collect::<String>())
            }),
            ("the schema", INTROSPECTION.to_owned()),
            ("an export of orders", "/export/orders".to_owned()),
            ("an export of the audit log", "/export/auditLog".to_owned()),
        ]
    }
}

async fn run() -> Result<()> {
    let scene = Scene::set().await?;
    let columns =
        ["request", "bytes", "steps", "ms", "first, longest µs", "longest µs", "of 50 ms"];
    let mut table = Table::new("one answer on one core", GUIDE, &columns);
    for (name, asked) in scene.requests() {
        let (mut longest, mut times) = (Vec::new(), Vec::new());
        let (mut steps, mut bytes) = (0, 0);
        for _ in 0..TIMES {
            let taken = match asked.strip_prefix('/') {
                Some(_) => scene.auditor.get(&asked).await?,
                None => scene.auditor.ask(&asked, &json!({})).await?,
            };
            let head = String::from_utf8_lossy(&taken.body[..taken.body.len().min(200)]);
            ensure!(!head.contains("\"errors\""), "{name}: {head}");
            longest.push(taken.longest);
            times.push(taken.time.as_secs_f64() * 1e3);
            (steps, bytes) = (taken.steps, taken.body.len());
        }
        let (first, longest) = (longest[0], median(longest));
        table.row([
            name.to_owned(),
            thousands(bytes as f64),
            thousands(steps as f64),
            format!("{:.0}", median(times)),
            thousands(first),
            thousands(longest),
            percent(first.max(longest), LIMIT_MICROS),
        ]);
    }
    table.print();
    Ok(())
}

const MAP: &str = "seatMap { name seatCount focus { x y } sections { name rows { name seats { \
    name number at { x y } category wheelchair aisleAfter } } } pools { name capacity category } }";
const ORDERS_QUERY: &str = "{ orders(first: 100) { edges { cursor node { id buyer status currency \
    items { number show { id name } holdId pool ticketType price { amountMinor display } cancelled } \
    total { amountMinor } paid { amountMinor } due { amountMinor } refunded { amountMinor } \
    payments { payment method amount { amountMinor } } refunds { id } placedAt \
    tickets { id status pool ticketType generation entries inside times { createdAt issuedAt } } \
    } } } }";
const TICKETS_QUERY: &str = "{ tickets(first: 100) { edges { cursor node { id status suspended \
    show { id name venue { name } } order { id buyer status } item pool ticketType buyer \
    entry { validFrom validUntil } generation entries inside times { createdAt issuedAt } } } } }";
const AUDIT_QUERY: &str = "{ auditLog(first: 100, order: NEWEST_FIRST) { edges { cursor node { \
    showId orderId ticketId event { id position recordedAt kind stream version actor data raw } \
    } } } }";
const INTROSPECTION: &str = "{ __schema { queryType { name } mutationType { name } types { kind \
    name description specifiedByURL fields(includeDeprecated: true) { name description \
    args(includeDeprecated: true) { name description defaultValue type { ...Of } } type { ...Of } \
    isDeprecated deprecationReason } inputFields(includeDeprecated: true) { name description \
    defaultValue type { ...Of } } interfaces { ...Of } enumValues(includeDeprecated: true) { name \
    description isDeprecated deprecationReason } possibleTypes { ...Of } } directives { name \
    description locations args { name description defaultValue type { ...Of } } } } } \
    fragment Of on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
