//! An auditor who listens: every event of the organizer, over WebSocket
//! (`graphql-transport-ws`), while everything happens.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

/// The last events may take this long to be heard.
const LAST_WORDS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// Who listens, and what was heard.
pub struct Listener {
    heard: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

impl Listener {
    /// Begins with what happens after this position.
    pub async fn begin(server: SocketAddr, key: &str, after: u64) -> Result<Self> {
        let socket = subscribe(server, key, after).await.context("nobody can subscribe")?;
        let heard = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(listen(socket, after, heard.clone()));
        Ok(Self { heard, task })
    }

    /// Waits until so many were heard, and gives how many were.
    pub async fn conclude(self, expected: u64) -> Result<u64> {
        let begun = Instant::now();
        let heard = || self.heard.load(Ordering::Relaxed);
        while heard() < expected && begun.elapsed() < LAST_WORDS && !self.task.is_finished() {
            tokio::time::sleep(PAUSE).await;
        }
        if self.task.is_finished() {
            self.task.await?.context("the subscription ended early")?;
            bail!("the subscription ended early");
        }
        self.task.abort();
        Ok(heard())
    }
}

async fn subscribe(
    server: SocketAddr,
    key: &str,
    after: u64,
) -> Result<WebSocketStream<TcpStream>> {
    let mut request = format!("ws://{server}/graphql").into_client_request()?;
    let protocol = HeaderValue::from_static("graphql-transport-ws");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = client_async(request, TcpStream::connect(server).await?).await?;
    let payload = json!({ "authorization": format!("Bearer {key}") });
    say(&mut socket, &json!({ "type": "connection_init", "payload": payload })).await?;
    loop {
        let message = hear(&mut socket).await?;
        match message["type"].as_str() {
            Some("connection_ack") => break,
            Some("ping") => say(&mut socket, &json!({ "type": "pong" })).await?,
            _ => bail!("the server does not greet, but says {message}"),
        }
    }
    let payload = json!({ "query": EVENTS, "variables": { "after": after } });
    say(&mut socket, &json!({ "type": "subscribe", "id": "1", "payload": payload })).await?;
    Ok(socket)
}

/// Hears each event once and in order, or says what is wrong.
async fn listen(
    mut socket: WebSocketStream<TcpStream>,
    after: u64,
    heard: Arc<AtomicU64>,
) -> Result<()> {
    let mut last = after;
    loop {
        let message = hear(&mut socket).await?;
        match message["type"].as_str() {
            Some("next") => {
                let event = &message["payload"]["data"]["events"];
                let Some(position) = event["position"].as_u64() else {
                    bail!("an event has no position: {message}");
                };
                if position <= last {
                    bail!("position {position} was heard after {last}");
                }
                last = position;
                heard.fetch_add(1, Ordering::Relaxed);
            }
            Some("ping") => say(&mut socket, &json!({ "type": "pong" })).await?,
            _ => bail!("the server says {message}"),
        }
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, message: &Value) -> Result<()> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Result<Value> {
    loop {
        match socket.next().await.context("the server hung up")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Close(frame) => bail!("the server hung up: {frame:?}"),
            _ => {}
        }
    }
}

const EVENTS: &str =
    "subscription($after: Position!) { events(after: $after) { position kind stream } }";
