//! What clients say over a WebSocket, a line for each message. Names of the small world such as
//! `$ORGANIZER` stand for its keys and ids.

use std::{collections::HashMap, time::Duration};

use axum::serve::Listener;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::http::check_error;
use crate::fuzz::{
    Target, Verdict,
    stage::{Stage, block_on, fixture},
};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "socket",
    run: socket,
    words: &[
        "{\"type\":\"connection_init\",\"payload\":{\"authorization\":\"Bearer $ORGANIZER\"}}",
        "{\"type\":\"connection_init\"}",
        "\"connection_init\"",
        "\"ping\"",
        "\"pong\"",
        "\"subscribe\"",
        "\"complete\"",
        "\"next\"",
        "\"payload\":",
        "\"id\":",
        "\"query\":",
        "\"1\"",
        "\"\"",
        "{\"type\":\"ping\"}",
        "{\"id\":\"1\",\"type\":\"complete\"}",
        "$AUDITOR",
        "$REVOKED",
        "subscription { events(after: 0) { kind } }",
        "{ viewer { role } }",
        "$show",
    ],
    made: Vec::new,
    mutations: 80,
};

/// Most messages of one input.
const MOST_MESSAGES: usize = 150;

/// The server keeps to the protocol whatever it hears: nothing but `pong` before it acknowledged,
/// one end for each operation, errors with known codes, and a code of the protocol when it closes.
pub fn socket(input: &[u8]) -> Verdict {
    let fixture = fixture();
    let text = fixture.filled(&String::from_utf8_lossy(input));
    let lines: Vec<&str> = text.lines().take(MOST_MESSAGES).collect();
    let (heard, code) = block_on(async {
        let stage = Stage::of(fixture).await;
        let talked = talk(&stage, &lines).await;
        stage.stop().await;
        talked
    });
    let said: Vec<Value> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let acknowledged = check(&said, &heard, code);
    if let Some(code) = code {
        const CODES: [u16; 8] = [4400, 4401, 4403, 4408, 4409, 4429, 1009, 1013];
        assert!(CODES.contains(&code), "closed with {code}");
        assert!(code != 4408 || !acknowledged, "closed as silent after it was heard");
    }
    Verdict::of(code.is_none())
}

/// Accepts connections that tasks of this process open.
struct Within(mpsc::Receiver<DuplexStream>);

impl Listener for Within {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

type Socket = WebSocketStream<DuplexStream>;

async fn talk(stage: &Stage, lines: &[&str]) -> (Vec<Value>, Option<u16>) {
    let (connect, accept) = mpsc::channel(1);
    let router = stage.router.clone();
    let server = tokio::spawn(async move { axum::serve(Within(accept), router).await });
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    connect.send(theirs).await.expect("the server listens");
    let mut request = "ws://within/graphql".into_client_request().expect("a good address");
    let protocol = "graphql-transport-ws".parse().expect("a good header");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = client_async(request, ours).await.expect("it is accepted");
    let mut heard = Vec::new();
    let mut code = None;
    for line in lines {
        // A server that has closed hears nothing any more; its reason is read below.
        let _ = socket.send(Message::text(*line)).await;
        if code.is_none() {
            code = hear(&mut socket, &mut heard, Duration::from_millis(20)).await;
        }
    }
    if code.is_none() {
        code = hear(&mut socket, &mut heard, Duration::from_secs(15)).await;
    }
    server.abort();
    (heard, code)
}

/// Takes what is said until nothing was for so long; the code if the server closes.
async fn hear(socket: &mut Socket, heard: &mut Vec<Value>, silence: Duration) -> Option<u16> {
    while let Ok(Some(message)) = tokio::time::timeout(silence, socket.next()).await {
        match message {
            Ok(Message::Text(text)) => {
                heard.push(serde_json::from_str(&text).expect("the server says JSON"));
            }
            Ok(Message::Close(Some(frame))) => {
                assert!(frame.reason.len() <= 123);
                return Some(frame.code.into());
            }
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(other) => panic!("the server says {other:?}"),
            Err(_) => return None,
        }
    }
    None
}

/// Whether the server acknowledged.
fn check(said: &[Value], heard: &[Value], code: Option<u16>) -> bool {
    let of_type = |message: &Value, kind: &str| message["type"] == kind;
    let id = |message: &Value| message["id"].as_str().unwrap_or("none").to_owned();
    let mut open: HashMap<String, usize> = HashMap::new();
    for message in said.iter().filter(|message| of_type(message, "subscribe")) {
        *open.entry(id(message)).or_default() += 1;
    }
    let mut acknowledged = false;
    for message in heard {
        match message["type"].as_str().unwrap_or("none") {
            "connection_ack" => {
                assert!(!acknowledged, "acknowledged twice");
                acknowledged = true;
            }
            "ping" | "pong" => {}
            kind @ ("next" | "error" | "complete") => {
                assert!(acknowledged, "{kind} before the acknowledgement");
                let left = open.entry(id(message)).or_default();
                assert!(*left > 0, "{message} of an operation that is over or was never asked for");
                if kind != "next" {
                    *left -= 1;
                }
                let errors = match kind {
                    "next" => &message["payload"]["errors"],
                    _ => &message["payload"],
                };
                errors.as_array().into_iter().flatten().for_each(check_error);
                let is_empty = errors.as_array().is_none_or(Vec::is_empty);
                assert!(kind != "error" || !is_empty, "an error without a reason");
            }
            other => panic!("the server says {other:?}"),
        }
    }
    let goes_on = |message: &Value| {
        of_type(message, "complete") || message.to_string().contains("subscription")
    };
    if code.is_none() && !said.iter().any(goes_on) {
        assert!(open.values().all(|left| *left == 0), "an operation has no end: {open:?}");
    }
    acknowledged
}
