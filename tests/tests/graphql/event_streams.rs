//! Operations as event streams, with the protocol of graphql-sse.

use std::time::Duration;

use hakken_api::LiveLimits;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::stage::{Actor, Ground, Stage};

/// Somebody who asks over connections of their own.
pub(super) struct Reader {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
}

impl Reader {
    pub(super) async fn new(stage: &Stage, actor: &Actor) -> Self {
        let url = format!("http://{}/graphql", stage.listen().await);
        Self { http: reqwest::Client::new(), url, key: actor.key.clone() }
    }

    fn request(&self, method: Method, more: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{more}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    fn with_key(&self, key: Option<String>) -> Self {
        Self { http: self.http.clone(), url: self.url.clone(), key }
    }

    /// Asks in the mode of distinct connections.
    pub(super) async fn stream(&self, query: &str, variables: Value) -> Events {
        let body = json!({ "query": query, "variables": variables });
        let request = self.request(Method::POST, "").header("accept", "text/event-stream");
        Events::of(request.json(&body).send().await.unwrap())
    }

    async fn reserve(&self) -> String {
        let reserved = self.request(Method::PUT, "").send().await.unwrap();
        assert_eq!(reserved.status(), 201);
        reserved.text().await.unwrap()
    }

    async fn fetch(&self, token: &str) -> Response {
        let request = self.http.get(&self.url).header("accept", "text/event-stream");
        request.header("x-graphql-event-stream-token", token).send().await.unwrap()
    }

    /// Begins an operation on a stream.
    async fn begin(&self, token: &str, id: &str, query: &str) -> Response {
        let body = json!({ "query": query, "extensions": { "operationId": id } });
        let request = self.request(Method::POST, "").header("x-graphql-event-stream-token", token);
        request.json(&body).send().await.unwrap()
    }

    async fn stop(&self, token: &str, id: &str) -> Response {
        let request = self.request(Method::DELETE, &format!("?operationId={id}"));
        request.header("x-graphql-event-stream-token", token).send().await.unwrap()
    }
}

/// An event as a browser would deliver it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: Value,
    pub(super) id: Option<String>,
}

pub(super) struct Events {
    response: Response,
    text: String,
}

impl Events {
    #[track_caller]
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        Self { response, text: String::new() }
    }

    /// The next event; none when the stream has ended. Comments are passed over.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let (mut event, mut has_data) = (Event::default(), false);
                for line in block.lines() {
                    let (field, value) = line.split_once(':').unwrap_or((line, ""));
                    let value = value.trim_start();
                    match field {
                        "event" => event.name = value.to_owned(),
                        "id" => event.id = Some(value.to_owned()),
                        "data" => {
                            has_data = true;
                            event.data = serde_json::from_str(value).unwrap_or(Value::Null);
                        }
                        _ => {}
                    }
                }
                if has_data {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk());
            let chunk = chunk.await.expect("an event in time").ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).expect("frames are whole texts"));
        }
    }

    async fn heard(&mut self) -> (String, Value) {
        let event = self.next().await.expect("an event");
        (event.name, event.data)
    }
}

fn event(name: &str, data: Value) -> (String, Value) {
    (name.to_owned(), data)
}

const FEED: &str = "subscription($after: Position) { events(after: $after) { position kind } }";

#[tokio::test]
async fn a_query_and_a_mutation_come_as_next_and_complete() {
    let stage = Stage::start().await;
    let reader = Reader::new(&stage, &stage.operator()).await;
    let mut events = reader.stream("{ viewer { role } }", json!({})).await;
    let data = json!({ "data": { "viewer": { "role": "OPERATOR" } } });
    assert_eq!(events.heard().await, event("next", data));
    assert_eq!(events.heard().await, event("complete", Value::Null));
    assert_eq!(events.next().await, None);
    let register = "mutation { registerOrganizer(input: { idempotencyKey: \"o\", name: \"O\" }) {
        organizer { name } } }";
    let mut events = reader.stream(register, json!({})).await;
    assert_eq!(
        events.heard().await.1["data"]["registerOrganizer"]["organizer"],
        json!({ "name": "O" })
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_told_as_next() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let reader = Reader::new(&stage, &tenant.gate).await;
    for (query, code) in [
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { events { kind } }", "FORBIDDEN"),
    ] {
        let mut events = reader.stream(query, json!({})).await;
        let (name, data) = events.heard().await;
        assert_eq!((name.as_str(), data.get("data")), ("next", None), "{data}");
        assert_eq!(data["errors"][0]["extensions"]["code"], code, "{query}");
        assert_eq!(events.heard().await, event("complete", Value::Null));
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_its_status() {
    let stage = Stage::start().await;
    let reader = Reader::new(&stage, &stage.operator()).await;
    let events = ("accept", "text/event-stream");
    let post = |body: Value| {
        reader.request(Method::POST, "").header(events.0, events.1).json(&body).send()
    };
    assert_eq!(post(json!({})).await.unwrap().status(), 400);
    assert_eq!(post(json!([])).await.unwrap().status(), 400);
    assert_eq!(post(json!({ "query": "#".repeat(140_000) })).await.unwrap().status(), 413);
    let text = reader.request(Method::POST, "").header(events.0, events.1).body("{}").send();
    assert_eq!(text.await.unwrap().status(), 415);
    let mutation = "?query=mutation%20%7B%20__typename%20%7D";
    let get = reader.request(Method::GET, mutation).header(events.0, events.1).send();
    let refused = get.await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["allow"]),
        (405, &"POST".parse().unwrap())
    );
    let nobody = reader.with_key(None);
    let body = json!({ "query": "{ viewer { role } }" });
    let asked = nobody.request(Method::POST, "").header(events.0, events.1).json(&body).send();
    assert_eq!(asked.await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_browser_goes_on_where_it_was_cut_off() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    tenant.on_sale("concert").await;
    let reader = Reader::new(&stage, &tenant.auditor).await;
    let url = "?query=subscription%20%7B%20events(after:%200)%20%7B%20position%20%7D%20%7D";
    let get = || reader.request(Method::GET, url).header("accept", "text/event-stream");
    let mut events = Events::of(get().send().await.unwrap());
    let mut last = String::new();
    for _ in 0..3 {
        let event = events.next().await.unwrap();
        last = event.id.unwrap();
        assert_eq!(event.data["data"]["events"]["position"].to_string(), last);
    }
    drop(events);
    // An EventSource sends the same URL again, and the last id that it saw.
    let again = get().header("last-event-id", &last).send().await.unwrap();
    let next = Events::of(again).next().await.unwrap();
    assert_eq!(next.id.unwrap().parse::<u64>().unwrap(), last.parse::<u64>().unwrap() + 1);
}

/// What is packed as it comes may wait for more in the packer.
#[tokio::test]
async fn nothing_that_is_told_as_it_happens_waits_to_be_compressed() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    tenant.on_sale("concert").await;
    let reader = Reader::new(&stage, &tenant.auditor).await;
    // All that the tenant may see of what has happened.
    let seen = "{ events(first: 100) { events { position } } }";
    let mut seen = tenant.auditor.ask(seen, json!({})).await;
    let seen = seen["events"]["events"].take();
    let seen = seen.as_array().unwrap();
    assert!((5..100).contains(&seen.len()), "{seen:?}");
    let url = "?query=subscription%20%7B%20events(after:%200)%20%7B%20position%20data%20%7D%20%7D";
    let asked = reader.request(Method::GET, url).header("accept", "text/event-stream");
    let stream = asked.header("accept-encoding", "gzip, br").send().await.unwrap();
    assert!(!stream.headers().contains_key("content-encoding"), "{:?}", stream.headers());
    // Every one of them comes, though many more would be needed to fill a packer.
    let mut events = Events::of(stream);
    for each in seen {
        let told = events.next().await.unwrap();
        let told = &told.data["data"]["events"];
        assert_eq!(told["position"], each["position"]);
        assert!(told["data"].is_object(), "{told}");
    }
    let list = reader.url.replace("/graphql", "/export/auditLog");
    let asked = reader.http.get(list).bearer_auth(reader.key.as_deref().unwrap());
    let export = asked.header("accept-encoding", "gzip").send().await.unwrap();
    assert!(!export.headers().contains_key("content-encoding"), "{:?}", export.headers());
    assert!(export.text().await.unwrap().contains("\"complete\":true"));
}

#[tokio::test]
async fn one_connection_carries_many_operations() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let reader = Reader::new(&stage, &tenant.auditor).await;
    let token = reader.reserve().await;
    let mut events = Events::of(reader.fetch(&token).await);
    let feed = "subscription { events(after: 0) { position kind } }";
    assert_eq!(reader.begin(&token, "feed", feed).await.status(), 202);
    let (name, data) = events.heard().await;
    assert_eq!((name.as_str(), &data["id"]), ("next", &json!("feed")));
    assert!(data["payload"]["data"]["events"]["position"].is_u64(), "{data}");
    assert_eq!(reader.begin(&token, "feed", feed).await.status(), 409);
    assert_eq!(reader.stop(&token, "feed").await.status(), 200);
    assert_eq!(reader.begin(&token, "q", "{ viewer { role } }").await.status(), 202);
    // What was on its way when the first was stopped comes before.
    let answer = loop {
        let (name, data) = events.heard().await;
        if data["id"] == "q" {
            break (name, data);
        }
    };
    let payload = json!({ "data": { "viewer": { "role": "AUDITOR" } } });
    assert_eq!(answer, event("next", json!({ "id": "q", "payload": payload })));
    assert_eq!(events.heard().await, event("complete", json!({ "id": "q" })));
    // The id is free again.
    assert_eq!(reader.begin(&token, "q", "{ viewer { role } }").await.status(), 202);
    assert_eq!(events.heard().await.0, "next");
}

#[tokio::test]
async fn a_reservation_is_fetched_once_and_belongs_to_its_key() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let reader = Reader::new(&stage, &tenant.auditor).await;
    let other = reader.with_key(tenant.organizer.key.clone());
    let token = reader.reserve().await;
    assert_ne!(token, reader.reserve().await);
    // Operations may be begun before the stream is fetched.
    assert_eq!(reader.begin(&token, "1", "{ viewer { role } }").await.status(), 202);
    assert_eq!(other.begin(&token, "2", "{ viewer { role } }").await.status(), 404);
    assert_eq!(other.stop(&token, "1").await.status(), 404);
    assert_eq!(reader.with_key(None).begin(&token, "2", "{ viewer { role } }").await.status(), 401);
    assert_eq!(reader.with_key(None).request(Method::PUT, "").send().await.unwrap().status(), 401);
    assert_eq!(reader.fetch("nonsense").await.status(), 404);
    let mut events = Events::of(reader.fetch(&token).await);
    assert_eq!(reader.fetch(&token).await.status(), 409);
    assert_eq!(events.heard().await.1["id"], "1");
    // What is wrong with the document is the answer to the request, and nothing is told.
    let wrong = reader.begin(&token, "3", "{ nothing }").await;
    assert_eq!(wrong.status(), 400);
    let wrong: Value = wrong.json().await.unwrap();
    assert_eq!(wrong["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(reader.begin(&token, "", "{ viewer { role } }").await.status(), 400);
    let request = reader.request(Method::DELETE, "").header("x-graphql-event-stream-token", &token);
    assert_eq!(request.send().await.unwrap().status(), 400);
    // Whoever leaves gives the token back.
    drop(events);
    for _ in 0..100 {
        if reader.begin(&token, "4", "{ viewer { role } }").await.status() == 404 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the stream is still there");
}

#[tokio::test]
async fn bounds_end_a_stream_each_in_its_own_words() {
    let limits = LiveLimits {
        greeting: Duration::from_millis(1_500),
        heartbeat: Duration::from_millis(50),
        idle: Duration::from_millis(1_500),
        operations: 1,
        ..LiveLimits::default()
    };
    let stage = Stage::on(Ground { live: limits, ..Ground::in_memory() }).await;
    let tenant = stage.tenant("hibiki").await;
    let reader = Reader::new(&stage, &tenant.auditor).await;
    // Not fetched.
    let token = reader.reserve().await;
    tokio::time::sleep(2 * limits.greeting).await;
    assert_eq!(reader.fetch(&token).await.status(), 404);
    // Nothing asked.
    let token = reader.reserve().await;
    let mut events = Events::of(reader.fetch(&token).await);
    assert_eq!(events.next().await, None);
    // Too much asked.
    let token = reader.reserve().await;
    let mut events = Events::of(reader.fetch(&token).await);
    let quiet = "subscription { events(kinds: [\"show-cancelled\"]) { id } }";
    assert_eq!(reader.begin(&token, "1", quiet).await.status(), 202);
    let refused = reader.begin(&token, "2", quiet).await;
    assert_eq!(refused.status(), 503);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "THROTTLED");
    // The key is revoked.
    let key = format!("key_{}", &tenant.auditor.key.as_deref().unwrap()[3..29]);
    let input = json!({ "idempotencyKey": "revoke", "apiKey": key });
    stage.operator().mutate("revokeApiKey", input, "").await;
    let (name, data) = events.heard().await;
    assert_eq!((name.as_str(), &data["id"]), ("next", &json!("1")));
    assert_eq!(data["payload"]["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    assert_eq!(events.heard().await, event("complete", json!({ "id": "1" })));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn no_key_reserves_all_streams() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let greedy = Reader::new(&stage, &tenant.auditor).await;
    let mut taken = 0;
    let refused = loop {
        let reserved = greedy.request(Method::PUT, "").send().await.unwrap();
        if reserved.status() != 201 {
            break reserved;
        }
        taken += 1;
        assert!(taken < 600, "{taken} streams of one key");
    };
    assert_eq!((refused.status().as_u16(), taken), (503, 512));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "THROTTLED");
    let other = greedy.with_key(tenant.organizer.key.clone());
    assert_ne!(other.reserve().await, "");
}

#[tokio::test]
async fn streams_are_cut_off_when_the_engine_stops() {
    let stage = Stage::start().await;
    let reader = Reader::new(&stage, &stage.operator()).await;
    let mut events = reader.stream(FEED, json!({ "after": 0 })).await;
    assert_eq!(events.heard().await.0, "next");
    stage.write.stop().await;
    // No `complete`: for clients it is a lost connection, and they come again.
    while let Some(event) = events.next().await {
        assert_eq!(event.name, "next");
    }
}

/// Who reads nothing for a while finds what was told until then, why it ended, and where to go on.
#[tokio::test]
async fn a_slow_reader_is_cut_off_with_a_reason_and_goes_on_without_loss() {
    let limits = LiveLimits { slow: Duration::from_secs(2), ..LiveLimits::default() };
    let stage = Stage::on(Ground { live: limits, ..Ground::in_memory() }).await;
    let tenant = stage.tenant("hibiki").await;
    let seat = |at: usize| {
        json!({ "id": at.to_string(), "number": at.to_string(), "x": at, "y": 0,
            "category": "stalls" })
    };
    let row = json!({ "name": "1", "seats": (0..2_000).map(seat).collect::<Vec<_>>() });
    let hall = json!({ "name": "Hall", "focus": { "x": 500, "y": -200 },
        "sections": [{ "name": "Stalls", "rows": [row] }] });
    for venue in 0..60 {
        let input = json!({ "idempotencyKey": format!("v{venue}"), "name": "Hall",
            "seatMap": { "json": hall.to_string() } });
        let made = tenant.organizer.mutate("registerVenue", input, "venue { id }").await;
        assert!(made["venue"]["id"].is_string(), "{made}");
    }
    let all = tenant.auditor.ask("{ events(first: 100) { events { position } } }", json!({})).await;
    let all = all["events"]["events"].as_array().unwrap().clone();
    let reader = Reader::new(&stage, &tenant.auditor).await;
    let query = "subscription($after: Position!) { events(after: $after) { position raw } }";
    let (mut seen, mut cuts, mut after) = (Vec::new(), 0, json!(0));
    while seen.len() < all.len() {
        let mut events = reader.stream(query, json!({ "after": after })).await;
        if cuts == 0 {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        while seen.len() < all.len() {
            let (name, data) = events.heard().await;
            if name == "complete" {
                assert_eq!(events.next().await, None);
                break;
            }
            match data.get("errors") {
                None => {
                    seen.push(json!({ "position": data["data"]["events"]["position"] }));
                }
                Some(errors) => {
                    let error = &errors[0]["extensions"];
                    assert_eq!(error["code"], "TOO_SLOW", "{errors}");
                    after = error["position"].clone();
                    assert_eq!(seen.last().unwrap()["position"], after);
                    cuts += 1;
                }
            }
        }
    }
    assert_eq!(seen, all);
    assert_eq!(cuts, 1, "it was cut off once");
}
