//! Operations over WebSocket, with the subprotocol `graphql-transport-ws` to the letter.
//!
//! The key comes in the payload of `connection_init` (`{"authorization": "Bearer hk_…"}`) or in
//! the `Authorization` header of the upgrade. A key that is revoked closes its sockets.
//!
//! | code | what happened | what the client does next |
//! |---|---|---|
//! | 1000 | nothing was asked for ten minutes | connect when there is something to ask |
//! | 1001 | the engine stops | connect again, go on from the last position |
//! | 1009 | a message of more than 128 KiB | send it over HTTP |
//! | 1013 | the key cannot be checked just now | connect again in a moment |
//! | 4400 | a message that the protocol does not have | correct the client |
//! | 4401 | an operation before `connection_ack` | introduce yourself first |
//! | 4403 | the key opens nothing, or was revoked | use another key |
//! | 4406 | not the subprotocol `graphql-transport-ws` | offer it |
//! | 4408 | no `connection_init` within ten seconds | send it first |
//! | 4409 | the id of an operation that still runs | choose another id |
//! | 4429 | a second `connection_init` | send it once |
//! | 4499 | nothing was heard for 90 seconds, not even `pong` | answer `ping` |
//! | 4508 | an answer was not taken for 20 seconds | go on from the position in each `error` |

mod messages;

use async_graphql::ServerError;
use axum::{
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    http::{HeaderMap, header},
    response::Response as HttpResponse,
};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use messages::{FromClient, Plain, ToClient};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    App,
    graphql::{self, Parameters},
    live::{self, Asker, LiveLimits, MAX_MESSAGE, Running, Told, server_error},
};
use crate::{
    auth::{self, AuthError, Caller, PresentedKey},
    faults::Fault,
    ports::ApiContext,
};

const PROTOCOL: &str = "graphql-transport-ws";
/// Bytes that are read at once: most messages are small, and every socket has such a buffer.
const READ_AT_ONCE: usize = 8 << 10;
/// Most bytes of a reason, as RFC 6455 has it.
const MAX_REASON: usize = 123;

/// Why a socket is closed.
struct Close(u16, String);

impl Close {
    fn new(code: u16, reason: &str) -> Self {
        Self(code, reason.to_owned())
    }

    fn frame(self) -> Message {
        let Self(code, mut reason) = self;
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        Message::Close(Some(CloseFrame { code, reason: reason.into() }))
    }
}

/// Takes the upgrade.
pub(super) fn accept(app: App, socket: WebSocketUpgrade, headers: &HeaderMap) -> HttpResponse {
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|text| text.to_str().ok()).map(ToOwned::to_owned);
    let socket = socket
        .read_buffer_size(READ_AT_ONCE)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .protocols([PROTOCOL]);
    socket.on_upgrade(move |socket| serve(app, socket, authorization))
}

async fn serve(app: App, mut socket: WebSocket, authorization: Option<String>) {
    let chosen = socket.protocol().and_then(|protocol| protocol.to_str().ok());
    if chosen != Some(PROTOCOL) {
        let reason = Utf8Bytes::from_static("Subprotocol not acceptable");
        let frame = Message::Close(Some(CloseFrame { code: 4406, reason }));
        // A client that is gone already needs no reason.
        let _ = socket.send(frame).await;
        return;
    }
    app.metrics.sockets().inc();
    let metrics = app.metrics.clone();
    Connection::new(app, socket, authorization).run().await;
    metrics.sockets().dec();
}

struct Connection {
    app: App,
    limits: LiveLimits,
    out: SplitSink<WebSocket, Message>,
    input: futures_util::stream::SplitStream<WebSocket>,
    authorization: Option<String>,
    key: Option<PresentedKey>,
    caller: Option<Caller>,
    acknowledged: bool,
    running: Running,
    /// When something was asked or answered last.
    busy: Instant,
}

impl Connection {
    fn new(app: App, socket: WebSocket, authorization: Option<String>) -> Self {
        let (out, input) = socket.split();
        let limits = app.api.live;
        Self {
            app,
            limits,
            out,
            input,
            authorization,
            key: None,
            caller: None,
            acknowledged: false,
            running: Running::default(),
            busy: Instant::now(),
        }
    }

    async fn run(mut self) {
        let Err(close) = self.talk().await else {
            // Who says farewell hears it, too: browsers take anything else for a broken line.
            let _ = timeout(self.limits.slow, self.out.close()).await;
            return;
        };
        let mut farewell = Vec::new();
        if close.0 == 4508 {
            // Behind what waits already: whoever reads on learns how far they have come.
            for (id, position) in self.running.end() {
                let seconds = self.limits.slow.as_secs();
                let errors = [server_error(Fault::TooSlow { seconds, position })];
                let message = ToClient::Error { id: &id, payload: errors.as_slice() };
                farewell.extend(serde_json::to_string(&message).map(Message::text));
            }
        }
        farewell.push(close.frame());
        let farewell = async {
            for message in farewell {
                self.out.feed(message).await?;
            }
            self.out.flush().await
        };
        // A client that is gone already needs no reason.
        let _ = timeout(self.limits.slow, farewell).await;
    }

    /// Ends well when the client leaves.
    async fn talk(&mut self) -> Result<(), Close> {
        let mut beat = interval(self.limits.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        let mut health = self.app.api.write.engine().health();
        let greeting = tokio::time::sleep(self.limits.greeting);
        tokio::pin!(greeting);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = self.input.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.hear(text.as_str()).await?,
                        Some(Ok(Message::Binary(_))) => {
                            return Err(Close::new(4400, "Messages are texts"));
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Err(error)) => return too_big(&error).map_or(Ok(()), Err),
                        Some(Ok(Message::Close(_))) | None => return Ok(()),
                    }
                }
                told = self.running.next() => self.tell(told).await?,
                () = &mut greeting, if !self.acknowledged => {
                    return Err(Close::new(4408, "Connection initialisation timeout"));
                }
                _ = beat.tick() => self.beat(heard).await?,
                () = live::stopped(&mut health) => {
                    return Err(Close::new(1001, "The engine is going away"));
                }
            }
        }
    }

    /// Is anybody there, may they still be, and do they want anything?
    async fn beat(&mut self, heard: Instant) -> Result<(), Close> {
        if heard.elapsed() > self.limits.silence {
            return Err(Close::new(4499, "Nothing was heard for too long"));
        }
        if !self.acknowledged {
            return Ok(());
        }
        self.recheck().await?;
        if !self.running.is_empty() {
            self.busy = Instant::now();
        } else if self.busy.elapsed() > self.limits.idle {
            return Err(Close::new(1000, "Nothing was asked for too long"));
        }
        self.say(&Plain::Ping).await
    }

    async fn hear(&mut self, text: &str) -> Result<(), Close> {
        let message = FromClient::read(text)
            .map_err(|reason| Close(4400, format!("Invalid message: {reason}")))?;
        match message {
            FromClient::ConnectionInit { .. } if self.acknowledged => {
                Err(Close::new(4429, "Too many initialisation requests"))
            }
            FromClient::ConnectionInit { payload } => self.init(payload.as_ref()).await,
            FromClient::Ping { payload } => self.say(&Plain::Pong { payload }).await,
            FromClient::Pong { .. } => Ok(()),
            FromClient::Subscribe { .. } if !self.acknowledged => {
                Err(Close::new(4401, "Unauthorized"))
            }
            FromClient::Subscribe { id, payload } => self.subscribe(id.0, payload).await,
            FromClient::Complete { id } => {
                self.running.stop(&id.0);
                Ok(())
            }
        }
    }

    async fn init(&mut self, payload: Option<&Map<String, Value>>) -> Result<(), Close> {
        let named = payload.and_then(|fields| {
            let field = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
            field?.1.as_str()
        });
        if let Some(text) = named.or(self.authorization.as_deref()) {
            let key = auth::bearer(text).map_err(|_| Close::new(4403, "Forbidden"))?;
            self.caller = Some(check(&self.app.api, &key).await?);
            self.key = Some(key);
        }
        self.acknowledged = true;
        self.busy = Instant::now();
        self.say(&Plain::ConnectionAck).await
    }

    /// A key that was revoked since opens nothing any more.
    async fn recheck(&mut self) -> Result<(), Close> {
        let Some(key) = self.key.clone() else { return Ok(()) };
        match auth::check(&self.app.api, &key).await {
            Err(AuthError::NotAKey | AuthError::NotValid) => Err(Close::new(4403, "Forbidden")),
            // The keys cannot be read just now: what was valid stays so until they can.
            Ok(_) | Err(AuthError::Busy | AuthError::Unavailable) => Ok(()),
        }
    }

    async fn subscribe(&mut self, id: String, parameters: Parameters) -> Result<(), Close> {
        if self.running.contains(&id) {
            return Err(Close(4409, format!("Subscriber for {id} already exists")));
        }
        self.busy = Instant::now();
        let most = self.limits.operations;
        if self.running.len() >= most {
            return self.fail(&id, &[server_error(Fault::TooManyOperations { most })]).await;
        }
        let asker = Asker { caller: self.caller.clone(), ..Asker::default() };
        match live::admit(&self.app, asker, parameters) {
            Ok(operation) => {
                self.running.begin(id, operation);
                Ok(())
            }
            Err(refusal) => self.fail(&id, &refusal.errors()).await,
        }
    }

    async fn tell(&mut self, told: Told) -> Result<(), Close> {
        match told {
            Told::Next { id, response, pace, .. } => {
                let written = pace.beside(move || {
                    let payload = graphql::Answer::of(&response, true);
                    serde_json::to_string(&ToClient::Next { id: &id, payload })
                });
                // None comes when the server ends.
                let text = written.await.ok_or_else(|| Close::new(1001, "The server ends"))?;
                self.send(text).await
            }
            Told::Failed { id, errors } => self.fail(&id, &errors).await,
            Told::Complete { id } => self.say(&Plain::Complete { id: &id }).await,
        }
    }

    async fn fail(&mut self, id: &str, errors: &[ServerError]) -> Result<(), Close> {
        self.say(&ToClient::Error { id, payload: errors }).await
    }

    async fn say<P: Serialize>(&mut self, message: &ToClient<'_, P>) -> Result<(), Close> {
        self.send(serde_json::to_string(message)).await
    }

    async fn send(&mut self, written: serde_json::Result<String>) -> Result<(), Close> {
        let text = written.map_err(|_| Close::new(4500, "An answer could not be written"))?;
        match timeout(self.limits.slow, self.out.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::new(1001, "The client is gone")),
            Err(_) => {
                let seconds = self.limits.slow.as_secs();
                let reason = format!("Nothing was taken for {seconds} s: go on from the position");
                Err(Close(4508, reason))
            }
        }
    }
}

async fn check(api: &ApiContext, key: &PresentedKey) -> Result<Caller, Close> {
    auth::check(api, key).await.map_err(|error| match error {
        AuthError::NotAKey | AuthError::NotValid => Close::new(4403, "Forbidden"),
        AuthError::Busy | AuthError::Unavailable => Close::new(1013, "Try again later"),
    })
}

/// Whether reading failed because of the size of a message, which the client is told.
fn too_big(error: &axum::Error) -> Option<Close> {
    use std::error::Error;
    // Axum gives no names to the errors of the library beneath it.
    let is_capacity = error.source().is_some_and(|source| source.to_string().contains("too long"));
    is_capacity.then(|| {
        let most = MAX_MESSAGE >> 10;
        Close(1009, format!("A message has at most {most} KiB: send larger requests over HTTP"))
    })
}
