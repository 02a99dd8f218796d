//! Operations over WebSocket, with the subprotocol `graphql-transport-ws` to the letter.
//!
//! The key comes in the payload of `connection_init` (`{"authorization": "Bearer hk_…"}`) or in
//! the `Authorization` header of the upgrade. A key that is revoked closes its sockets.

use std::{collections::HashMap, pin::Pin, time::Duration};

use async_graphql::Response;
use axum::{
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    http::{HeaderMap, header},
    response::Response as HttpResponse,
};
use futures_util::{
    SinkExt, Stream, StreamExt,
    stream::{AbortHandle, Abortable, SelectAll, SplitSink},
};
use hakken_commands::engine::Health;
use hakken_domain::text::shortened_within;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::Instrument;

use super::{
    App,
    document::{self, Refused},
    graphql::{self, Parameters, span_of},
};
use crate::{
    auth::{self, Anybody, AuthError, Caller, PresentedKey},
    faults::Fault,
    ports::ApiContext,
    schema::context::IdempotencyHeader,
};

const PROTOCOL: &str = "graphql-transport-ws";
/// How long a client may take to introduce itself.
const INIT: Duration = Duration::from_secs(10);
/// How often the client is asked whether it is there, and its key whether it is valid.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A client that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(90);
/// A client that takes nothing for so long is cut off; it can go on from its last position.
const SLOW: Duration = Duration::from_secs(30);
/// Most operations at once on one socket.
const MAX_OPERATIONS: usize = 100;
/// Most operations at once over all sockets.
pub(super) const ALL_OPERATIONS: usize = 4_096;
/// Most bytes of a message.
const MAX_MESSAGE: usize = 8 << 20;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromClient {
    ConnectionInit {
        #[serde(default)]
        payload: Option<serde_json::Value>,
    },
    Ping {
        #[serde(default)]
        payload: Option<serde_json::Value>,
    },
    Pong {},
    Subscribe {
        id: String,
        payload: Parameters,
    },
    Complete {
        id: String,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToClient<'a, P: Serialize> {
    ConnectionAck,
    Ping,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<serde_json::Value>,
    },
    Next {
        id: &'a str,
        payload: P,
    },
    Error {
        id: &'a str,
        payload: P,
    },
    Complete {
        id: &'a str,
    },
}

type Plain<'a> = ToClient<'a, ()>;

/// Why a socket is closed.
struct Close(u16, String);

impl Close {
    fn new(code: u16, reason: &str) -> Self {
        Self(code, reason.to_owned())
    }
}

enum Step {
    Answered(Box<Response>),
    Ended,
}

type Operation = Pin<Box<dyn Stream<Item = (String, Step)> + Send>>;

/// Takes the upgrade.
pub(super) fn accept(app: App, socket: WebSocketUpgrade, headers: &HeaderMap) -> HttpResponse {
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|text| text.to_str().ok()).map(ToOwned::to_owned);
    let socket = socket.max_message_size(MAX_MESSAGE).protocols([PROTOCOL]);
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
    out: SplitSink<WebSocket, Message>,
    input: futures_util::stream::SplitStream<WebSocket>,
    authorization: Option<String>,
    key: Option<PresentedKey>,
    caller: Option<Caller>,
    acknowledged: bool,
    operations: SelectAll<Operation>,
    running: HashMap<String, AbortHandle>,
}

impl Connection {
    fn new(app: App, socket: WebSocket, authorization: Option<String>) -> Self {
        let (out, input) = socket.split();
        Self {
            app,
            out,
            input,
            authorization,
            key: None,
            caller: None,
            acknowledged: false,
            operations: SelectAll::new(),
            running: HashMap::new(),
        }
    }

    async fn run(mut self) {
        let Err(Close(code, mut reason)) = self.talk().await else { return };
        // A close frame has at most 123 bytes of reason.
        while reason.len() > 123 {
            reason.pop();
        }
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // A client that is gone already needs no reason.
        let _ = timeout(SLOW, self.out.send(frame)).await;
    }

    /// Ends well when the client leaves.
    async fn talk(&mut self) -> Result<(), Close> {
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        let mut health = self.app.api.write.engine().health();
        let init = tokio::time::sleep(INIT);
        tokio::pin!(init);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = self.input.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.hear(text.as_bytes()).await?,
                        Some(Ok(Message::Binary(_))) => {
                            return Err(Close::new(4400, "Messages are texts"));
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                    }
                }
                Some((id, step)) = self.operations.next() => self.report(&id, step).await?,
                () = &mut init, if !self.acknowledged => {
                    return Err(Close::new(4408, "Connection initialisation timeout"));
                }
                _ = beat.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(Close::new(4499, "Nothing was heard for too long"));
                    }
                    self.recheck().await?;
                    if self.acknowledged {
                        self.say(&Plain::Ping).await?;
                    }
                }
                () = stopped(&mut health) => {
                    return Err(Close::new(1001, "The engine is going away"));
                }
            }
        }
    }

    async fn hear(&mut self, text: &[u8]) -> Result<(), Close> {
        let message: FromClient = serde_json::from_slice(text)
            .map_err(|error| Close(4400, format!("Invalid message: {error}")))?;
        match message {
            FromClient::ConnectionInit { .. } if self.acknowledged => {
                Err(Close::new(4429, "Too many initialisation requests"))
            }
            FromClient::ConnectionInit { payload } => self.init(payload.as_ref()).await,
            FromClient::Ping { payload } => self.say(&Plain::Pong { payload }).await,
            FromClient::Pong {} => Ok(()),
            FromClient::Subscribe { .. } if !self.acknowledged => {
                Err(Close::new(4401, "Unauthorized"))
            }
            FromClient::Subscribe { id, payload } => self.subscribe(id, payload).await,
            FromClient::Complete { id } => {
                if let Some(operation) = self.running.remove(&id) {
                    operation.abort();
                }
                Ok(())
            }
        }
    }

    async fn init(&mut self, payload: Option<&serde_json::Value>) -> Result<(), Close> {
        let named = payload.and_then(|payload| {
            let fields = payload.as_object()?;
            let field = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
            field?.1.as_str()
        });
        if let Some(text) = named.or(self.authorization.as_deref()) {
            let key = auth::bearer(text).map_err(|_| Close::new(4403, "Forbidden"))?;
            self.caller = Some(check(&self.app.api, &key).await?);
            self.key = Some(key);
        }
        self.acknowledged = true;
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
        if self.running.contains_key(&id) {
            return Err(Close(4409, format!("Subscriber for {id} already exists")));
        }
        if self.running.len() >= MAX_OPERATIONS {
            let message = format!("At most {MAX_OPERATIONS} operations may run on one socket.");
            return self.refuse(&id, "THROTTLED", &message).await;
        }
        let Ok(place) = self.app.operations.clone().try_acquire_owned() else {
            let fault = Fault::Busy;
            return self.refuse(&id, fault.code(), &fault.message()).await;
        };
        let text = parameters.query.clone().unwrap_or_default();
        let (ready, _) = match parameters.ready(&self.app) {
            Ok(ready) => ready,
            Err(refused) => return self.refuse_all(&id, &refused).await,
        };
        let document = ready.document.clone();
        if self.caller.is_none() && !document.introspects {
            let fault = Fault::NoKey;
            return self.refuse(&id, fault.code(), &fault.message()).await;
        }
        let key = self.caller.as_ref().map(|caller| caller.key);
        let pass = match self.app.limits.enter(key, ready.charge.cost) {
            Ok(pass) => pass,
            Err(throttled) => {
                return self.say(&ToClient::Error { id: &id, payload: [throttled.error()] }).await;
            }
        };
        let kind = document.kind_name();
        self.app.metrics.ran(kind);
        let span = span_of(kind, self.caller.as_ref());
        let request = ready
            .request(text)
            .data(Anybody(self.caller.clone()))
            .data(IdempotencyHeader::default());
        let schema = self.app.schema.clone();
        let answers: Pin<Box<dyn Stream<Item = Response> + Send>> = if kind == "subscription" {
            // The span is entered where the stream is made; each event is a small thing.
            let _entered = span.enter();
            Box::pin(schema.execute_stream(request))
        } else {
            let answer = async move { schema.execute(request).await }.instrument(span);
            Box::pin(futures_util::stream::once(answer))
        };
        let (handle, registration) = AbortHandle::new_pair();
        let (each, end) = (id.clone(), id.clone());
        let steps = answers
            .map(move |response| {
                // They are kept as long as there may be answers.
                let _ = (&place, &pass);
                (each.clone(), Step::Answered(Box::new(response)))
            })
            .chain(futures_util::stream::once(async move { (end, Step::Ended) }));
        self.operations.push(Box::pin(Abortable::new(steps, registration)));
        self.running.insert(id, handle);
        Ok(())
    }

    async fn report(&mut self, id: &str, step: Step) -> Result<(), Close> {
        match step {
            Step::Answered(mut response) => {
                let executed = graphql::coded(&mut response);
                if executed {
                    let payload = graphql::Answer::of(&response, true);
                    return self.say(&ToClient::Next { id, payload }).await;
                }
                // Nothing was executed, or the subscription could not begin: it is over.
                if let Some(operation) = self.running.remove(id) {
                    operation.abort();
                }
                self.say(&ToClient::Error { id, payload: &response.errors }).await
            }
            Step::Ended if self.running.remove(id).is_some() => {
                self.say(&Plain::Complete { id }).await
            }
            Step::Ended => Ok(()),
        }
    }

    async fn refuse_all(&mut self, id: &str, refused: &Refused) -> Result<(), Close> {
        self.say(&ToClient::Error { id, payload: refused.errors() }).await
    }

    async fn refuse(&mut self, id: &str, code: &str, message: &str) -> Result<(), Close> {
        let message = shortened_within(message, document::MAX_MESSAGE);
        let payload = serde_json::json!([{ "message": message, "extensions": { "code": code } }]);
        self.say(&ToClient::Error { id, payload }).await
    }

    async fn say<P: Serialize>(&mut self, message: &ToClient<'_, P>) -> Result<(), Close> {
        let text = serde_json::to_string(message)
            .map_err(|_| Close::new(4500, "An answer could not be written"))?;
        match timeout(SLOW, self.out.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::new(1001, "The client is gone")),
            Err(_) => Err(Close::new(4508, "The client reads too slowly: go on from its position")),
        }
    }
}

async fn check(api: &ApiContext, key: &PresentedKey) -> Result<Caller, Close> {
    auth::check(api, key).await.map_err(|error| match error {
        AuthError::NotAKey | AuthError::NotValid => Close::new(4403, "Forbidden"),
        AuthError::Busy | AuthError::Unavailable => Close::new(1013, "Try again later"),
    })
}

async fn stopped(health: &mut watch::Receiver<Health>) {
    // An error means that the loop is gone.
    let _ = health.wait_for(|health| *health != Health::Working).await;
}
