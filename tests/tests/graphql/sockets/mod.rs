//! Operations over WebSocket.

mod bounds;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::stage::{Actor, Stage};

pub(super) struct Socket(pub(super) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects, with this subprotocol.
    pub(super) async fn open(stage: &Stage, protocol: &str) -> Self {
        let address = stage.listen().await;
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        Self(connect_async(request).await.unwrap().0)
    }

    /// Connects and introduces itself.
    pub(super) async fn ready(stage: &Stage, actor: &Actor) -> Self {
        let mut socket = Self::open(stage, "graphql-transport-ws").await;
        let key = actor.key.clone().unwrap();
        socket
            .say(json!({
                "type": "connection_init", "payload": { "authorization": format!("Bearer {key}") }
            }))
            .await;
        assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
        socket
    }

    pub(super) async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(super) async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.say(json!({ "id": id, "type": "subscribe", "payload": payload })).await;
    }

    pub(super) async fn hear(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The code with which the server closes.
    pub(super) async fn closed(&mut self) -> u16 {
        self.closed_because().await.0
    }

    /// The same, and its words.
    pub(super) async fn closed_because(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("not closed: {other:?}"),
        }
    }

    pub(super) async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(Duration::from_secs(10), self.0.next());
        next.await.expect("an answer in time").expect("an open socket").unwrap()
    }
}

const FREE: &str = "subscription($show: ID!) { availabilityChanged(show: $show) {
    initial seatLetters seats { seat status } pools { pool free } totals { free } } }";

#[tokio::test]
async fn who_watches_a_show_sees_everything_first_and_then_every_change() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale("concert").await;
    let head = stage.models.status().await.unwrap()[0].head;
    stage.models.wait_for_all(head, Duration::from_secs(5)).await.unwrap();
    let mut socket = Socket::ready(&stage, &tenant.box_office).await;
    socket.subscribe("1", FREE, json!({ "show": on_sale.show })).await;
    let first = socket.hear().await;
    let change = &first["payload"]["data"]["availabilityChanged"];
    assert_eq!((&first["id"], &first["type"]), (&json!("1"), &json!("next")), "{first}");
    assert_eq!((&change["initial"], &change["seats"]), (&json!(true), &json!([])));
    assert_eq!(change["seatLetters"].as_str().unwrap().len(), 20);
    tenant.hold(&on_sale.show, "b", &["A1", "A2"]).await;
    let change = socket.hear().await["payload"]["data"]["availabilityChanged"].clone();
    let held = |seat: &str| json!({ "seat": seat, "status": "HELD" });
    assert_eq!(change["seats"], json!([held("A1"), held("A2")]));
    assert_eq!((&change["initial"], &change["pools"]), (&json!(false), &json!([])));
    socket.say(json!({ "id": "1", "type": "complete" })).await;
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.hear().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn the_feed_goes_on_from_a_position_without_gap_or_repetition() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let other = stage.tenant("other").await;
    let on_sale = tenant.on_sale("concert").await;
    let query = "subscription($after: Position) { events(after: $after) { position kind } }";
    let mut socket = Socket::ready(&stage, &tenant.auditor).await;
    socket.subscribe("feed", query, json!({ "after": 0 })).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(socket.hear().await["payload"]["data"]["events"].clone());
    }
    drop(socket);
    other.on_sale("noise").await;
    tenant.hold(&on_sale.show, "b", &["A1"]).await;
    let mut socket = Socket::ready(&stage, &tenant.auditor).await;
    let last = seen.last().unwrap()["position"].clone();
    socket.subscribe("feed", query, json!({ "after": last })).await;
    while seen.last().unwrap()["kind"] != "seats-held" {
        seen.push(socket.hear().await["payload"]["data"]["events"].clone());
    }
    tenant.hold(&on_sale.show, "b", &["A2"]).await;
    seen.push(socket.hear().await["payload"]["data"]["events"].clone());
    let batch = "{ events(first: 100) { events { position kind } } }";
    let all = tenant.auditor.ask(batch, json!({})).await;
    assert_eq!(json!(seen), all["events"]["events"]);
}

#[tokio::test]
async fn queries_and_mutations_run_over_the_socket_too() {
    let stage = Stage::start().await;
    let mut socket = Socket::ready(&stage, &stage.operator()).await;
    socket.subscribe("q", "{ viewer { role } }", json!({})).await;
    let answer = socket.hear().await;
    assert_eq!(answer["payload"], json!({ "data": { "viewer": { "role": "OPERATOR" } } }));
    assert_eq!(socket.hear().await, json!({ "type": "complete", "id": "q" }));
    let register = "mutation { registerOrganizer(input: { idempotencyKey: \"o\", name: \"O\" }) {
        organizer { name } userErrors { code } } }";
    socket.subscribe("q", register, json!({})).await;
    let made = socket.hear().await["payload"]["data"]["registerOrganizer"].clone();
    assert_eq!(made, json!({ "organizer": { "name": "O" }, "userErrors": [] }));
    assert_eq!(socket.hear().await, json!({ "type": "complete", "id": "q" }));
}

#[tokio::test]
async fn what_cannot_begin_is_an_error_and_the_socket_stays() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let mut socket = Socket::ready(&stage, &tenant.gate).await;
    for (query, code) in [
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { events { kind } }", "FORBIDDEN"),
        (
            "subscription { availabilityChanged(show: \"show_01ARZ3NDEKTSV4RRFFQ69G5FAV\") { version } }",
            "BAD_USER_INPUT",
        ),
    ] {
        socket.subscribe("x", query, json!({})).await;
        let answer = socket.hear().await;
        assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &json!("x")), "{answer}");
        assert_eq!(answer["payload"][0]["extensions"]["code"], code, "{query}");
    }
}

#[tokio::test]
async fn who_breaks_the_protocol_is_told_how() {
    let stage = Stage::start().await;
    let key = stage.operator().key.unwrap();
    let init = json!({
        "type": "connection_init", "payload": { "authorization": format!("Bearer {key}") }
    });
    let forged =
        json!({ "type": "connection_init", "payload": { "authorization": "Bearer hk_x" } });
    let subscribe = json!({
        "type": "subscribe", "id": "1",
        "payload": { "query": "subscription { events { kind } }" }
    });
    for (said, code) in [
        (vec![json!("nonsense")], 4400),
        (vec![json!({ "type": "unknown" })], 4400),
        (vec![json!({ "type": "connection_init", "payload": "hk_" })], 4400),
        (vec![json!({ "type": "next", "id": "1", "payload": {} })], 4400),
        (vec![init.clone(), json!({ "type": "subscribe", "id": "1", "payload": {} })], 4400),
        (vec![init.clone(), json!({ "type": "complete", "id": "" })], 4400),
        (vec![subscribe.clone()], 4401),
        (vec![forged], 4403),
        (vec![init.clone(), init.clone()], 4429),
        (vec![init, subscribe.clone(), subscribe], 4409),
    ] {
        let mut socket = Socket::open(&stage, "graphql-transport-ws").await;
        let acknowledged = said.len() > 1;
        for message in &said {
            socket.say(message.clone()).await;
        }
        if acknowledged {
            assert_eq!(socket.hear().await["type"], "connection_ack");
        }
        assert_eq!(socket.closed().await, code, "{said:?}");
    }
}

#[tokio::test]
async fn other_subprotocols_are_not_spoken_and_the_right_one_is_chosen() {
    let stage = Stage::start().await;
    // A client that offered only another one would close by itself.
    let url = format!("ws://{}/graphql", stage.listen().await);
    let mut socket = Socket(connect_async(url).await.unwrap().0);
    assert_eq!(socket.closed_because().await, (4406, "Subprotocol not acceptable".to_owned()));
    let mut socket = Socket::open(&stage, "graphql-ws, graphql-transport-ws").await;
    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
    socket.say(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(socket.hear().await, json!({ "type": "pong", "payload": { "n": 1 } }));
    // Without a key one may ask about the schema, and nothing else.
    socket.subscribe("1", "{ __typename }", json!({})).await;
    assert_eq!(socket.hear().await["payload"], json!({ "data": { "__typename": "Query" } }));
    assert_eq!(socket.hear().await["type"], "complete");
    socket.subscribe("2", "{ viewer { role } }", json!({})).await;
    assert_eq!(socket.hear().await["payload"][0]["extensions"]["code"], "UNAUTHENTICATED");
}

#[tokio::test]
async fn who_says_farewell_hears_it_too() {
    let stage = Stage::start().await;
    let mut socket = Socket::ready(&stage, &stage.operator()).await;
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    socket.0.send(Message::Close(Some(frame))).await.unwrap();
    assert_eq!(socket.closed().await, 1000);
}

#[tokio::test]
async fn an_id_is_free_again_when_its_operation_is_over() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let mut socket = Socket::ready(&stage, &tenant.auditor).await;
    let query = "subscription($after: Position!) { events(after: $after) { position } }";
    for _ in 0..3 {
        socket.subscribe("1", query, json!({ "after": 0 })).await;
        let first = socket.hear().await;
        assert_eq!(first["type"], "next", "{first}");
        socket.say(json!({ "type": "complete", "id": "1" })).await;
        // What was on its way when the operation ended is the last of it.
        socket.say(json!({ "type": "ping" })).await;
        while socket.hear().await["type"] != "pong" {}
    }
    socket.subscribe("1", "{ nothing }", json!({})).await;
    assert_eq!(socket.hear().await["type"], "error");
    socket.subscribe("1", "{ viewer { role } }", json!({})).await;
    assert_eq!(socket.hear().await["type"], "next");
}

#[tokio::test]
async fn sockets_close_when_the_engine_stops() {
    let stage = Stage::start().await;
    let mut socket = Socket::ready(&stage, &stage.operator()).await;
    stage.write.stop().await;
    assert_eq!(socket.closed().await, 1001);
}

const QUIET: &str = "subscription { events(kinds: [\"show-cancelled\"]) { id } }";

/// Opens sockets with a hundred operations each until one is refused.
async fn fill(stage: &Stage, actor: &Actor) -> (Vec<Socket>, Value) {
    let mut sockets = Vec::new();
    loop {
        assert!(sockets.len() < 50, "5,000 operations at once");
        let mut socket = Socket::ready(stage, actor).await;
        for id in 0..100 {
            socket.subscribe(&id.to_string(), QUIET, Value::Null).await;
        }
        socket.say(json!({ "type": "ping" })).await;
        let heard = socket.hear().await;
        sockets.push(socket);
        if heard["type"] == "error" {
            return (sockets, heard);
        }
        assert_eq!(heard["type"], "pong");
    }
}

#[tokio::test]
async fn all_sockets_together_have_so_many_operations_and_no_key_takes_the_last_of_them() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let operator = stage.operator();
    let (mut sockets, refused) = fill(&stage, &operator).await;
    assert_eq!(refused["payload"][0]["extensions"]["code"], "THROTTLED", "{refused}");
    assert_eq!(sockets.len(), 31, "three quarters of 4,096");
    // There is room for others, until there is none.
    let (others, refused) = fill(&stage, &tenant.auditor).await;
    assert_eq!(refused["payload"][0]["extensions"]["code"], "THROTTLED", "{refused}");
    assert_eq!(others.len(), 11, "the last quarter");
    sockets.extend(others);
    // Whoever leaves makes room.
    drop(sockets);
    let mut socket = Socket::ready(&stage, &operator).await;
    for id in 0..500 {
        let id = id.to_string();
        socket.subscribe(&id, "{ viewer { role } }", Value::Null).await;
        let heard = socket.hear().await;
        if heard["type"] == "next" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the places are not given back");
}
