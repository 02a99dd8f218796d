//! What is told on one event stream. A frame is written when the one before it was taken, so that
//! a client that takes nothing costs no memory.

use std::collections::VecDeque;

use async_graphql::ServerError;
use axum::body::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    super::{
        App, graphql,
        live::{self, Operation, Running, Told, server_error},
    },
    streams::{Order, Registered},
};
use crate::{
    auth::{self, AuthError, PresentedKey},
    faults::Fault,
};

/// A comment, which clients pass over: it keeps the connection, and shows that it is there.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// The body of an event stream.
pub(super) struct Events {
    frames: mpsc::Receiver<Bytes>,
    /// What is said behind everything else although nothing was taken any more.
    last: oneshot::Receiver<Bytes>,
}

impl Events {
    fn new() -> (mpsc::Sender<Bytes>, oneshot::Sender<Bytes>, Self) {
        let (frames, taken) = mpsc::channel(1);
        let (last, heard) = oneshot::channel();
        (frames, last, Self { frames: taken, last: heard })
    }

    /// Of an operation that does not begin.
    pub(super) fn failed(errors: &[ServerError]) -> Self {
        let (_, last, events) = Self::new();
        // The receiver is there: it was made a line ago.
        let _ = last.send(Bytes::from(Form::Distinct.failed("", errors)));
        events
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        stream::unfold(Some(self), |events| async move {
            let Events { mut frames, last } = events?;
            if let Some(frame) = frames.recv().await {
                return Some((Ok(frame), Some(Events { frames, last })));
            }
            // Without one the stream is cut off, which clients take for a lost connection.
            last.await.ok().map(|last| (Ok(last), None))
        })
    }
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As they are: the stream has one operation.
    Distinct,
    /// With the id of their operation.
    Single,
}

#[derive(Serialize)]
struct Named<'a, P> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<P>,
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: &'a [ServerError],
}

impl Form {
    fn next(self, id: &str, payload: impl Serialize, at: Option<u64>) -> String {
        let data = match self {
            Self::Distinct => serde_json::to_string(&payload),
            Self::Single => serde_json::to_string(&Named { id, payload: Some(payload) }),
        };
        let Ok(data) = data else {
            let fault = Fault::Internal("an answer could not be written".to_owned());
            return self.next(id, Errors { errors: &[server_error(fault)] }, at);
        };
        match (self, at) {
            (Self::Distinct, Some(at)) => format!("id: {at}\nevent: next\ndata: {data}\n\n"),
            _ => format!("event: next\ndata: {data}\n\n"),
        }
    }

    fn complete(self, id: &str) -> String {
        // Without a line of data browsers would not deliver it.
        let data = match self {
            Self::Distinct => String::new(),
            Self::Single => serde_json::json!({ "id": id }).to_string(),
        };
        format!("event: complete\ndata: {data}\n\n")
    }

    fn failed(self, id: &str, errors: &[ServerError]) -> String {
        self.next(id, Errors { errors }, None) + &self.complete(id)
    }

    async fn told(self, told: Told) -> String {
        match told {
            Told::Next { id, response, at, pace } => {
                let at = at.map(|position| position.0);
                let written = pace
                    .beside(move || self.next(&id, graphql::Answer::of(&response, true), at))
                    .await;
                // None comes when the server ends.
                written.unwrap_or_default()
            }
            Told::Failed { id, errors } => self.failed(&id, &errors),
            Told::Complete { id } => self.complete(&id),
        }
    }
}

/// Where the orders to a stream come from.
pub(super) struct Orders {
    pub(super) from: mpsc::Receiver<Order>,
    pub(super) _registered: Registered,
}

/// Writes one event stream.
pub(super) struct Pump {
    app: App,
    form: Form,
    key: Option<PresentedKey>,
    running: Running,
    frames: mpsc::Sender<Bytes>,
    last: oneshot::Sender<Bytes>,
    orders: Option<Orders>,
}

/// Why a stream ends before its operations do.
enum End {
    /// Nobody is there any more, or the engine stops: there is nothing to say.
    Cut,
    TooSlow,
    KeyRevoked,
}

impl Pump {
    /// Of one operation.
    pub(super) fn distinct(
        app: App,
        key: Option<PresentedKey>,
        operation: Operation,
    ) -> (Self, Events) {
        let (frames, last, events) = Events::new();
        let mut running = Running::default();
        running.begin(String::new(), operation);
        (Self { app, form: Form::Distinct, key, running, frames, last, orders: None }, events)
    }

    /// Of the operations that are ordered.
    pub(super) fn single(app: App, key: PresentedKey, orders: Orders) -> (Self, Events) {
        let (frames, last, events) = Events::new();
        let (form, running) = (Form::Single, Running::default());
        (Self { app, form, key: Some(key), running, frames, last, orders: Some(orders) }, events)
    }

    /// Until everything is told, or nobody listens.
    pub(super) async fn run(mut self) {
        let metrics = self.app.metrics.clone();
        metrics.event_streams().inc();
        let mut waiting = VecDeque::from([COMMENT]);
        let end = self.write(&mut waiting).await;
        metrics.event_streams().dec();
        let fault = |position| match end {
            Some(End::TooSlow) => {
                let seconds = self.app.api.live.slow.as_secs();
                Some(Fault::TooSlow { seconds, position })
            }
            Some(End::KeyRevoked) => Some(Fault::InvalidKey),
            Some(End::Cut) | None => None,
        };
        let mut rest = waiting.iter().flatten().copied().collect::<Vec<u8>>();
        for (id, position) in self.running.end() {
            if let Some(fault) = fault(position) {
                rest.extend(self.form.failed(&id, &[server_error(fault)]).into_bytes());
            }
        }
        if !matches!(end, Some(End::Cut)) && !rest.is_empty() {
            // A client that is gone already needs no reason.
            let _ = self.last.send(Bytes::from(rest));
        }
    }

    /// Gives why the stream ends early. What could not be written stays in `waiting`.
    async fn write(&mut self, waiting: &mut VecDeque<Bytes>) -> Option<End> {
        let (frames, limits) = (self.frames.clone(), self.app.api.live);
        let mut health = self.app.api.write.engine().health();
        let mut beat = interval(limits.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        let born = Instant::now();
        // Since when the next frame waits, and when there was something to do last.
        let (mut since, mut busy) = (born, born);
        let mut is_fetched = self.orders.is_none();
        loop {
            let blocked = !waiting.is_empty();
            tokio::select! {
                place = frames.reserve(), if blocked => {
                    let Ok(place) = place else { return Some(End::Cut) };
                    if let Some(frame) = waiting.pop_front() {
                        place.send(frame);
                    }
                    since = Instant::now();
                    let is_over = self.form == Form::Distinct && self.running.is_empty();
                    if is_over && waiting.is_empty() {
                        return None;
                    }
                }
                () = sleep_until(since + limits.slow), if blocked && is_fetched => {
                    return Some(End::TooSlow);
                }
                () = sleep_until(born + limits.greeting), if !is_fetched => {
                    return Some(End::Cut);
                }
                told = self.running.next(), if !blocked => {
                    waiting.push_back(Bytes::from(self.form.told(told).await));
                    (since, busy) = (Instant::now(), Instant::now());
                }
                order = ordered(&mut self.orders) => {
                    busy = Instant::now();
                    match order {
                        Order::Fetched => {
                            (is_fetched, since) = (true, Instant::now());
                        }
                        Order::Begin { id, operation, taken } => {
                            let begun = self.begin(id, *operation);
                            // Who asked may have gone meanwhile.
                            let _ = taken.send(begun);
                        }
                        Order::Stop { id } => self.running.stop(&id),
                    }
                }
                _ = beat.tick() => {
                    if self.is_revoked().await {
                        return Some(End::KeyRevoked);
                    }
                    if !self.running.is_empty() {
                        busy = Instant::now();
                    } else if busy.elapsed() > limits.idle {
                        return None;
                    }
                    if !blocked {
                        waiting.push_back(COMMENT);
                        since = Instant::now();
                    }
                }
                () = live::stopped(&mut health) => return Some(End::Cut),
                () = frames.closed() => return Some(End::Cut),
            }
        }
    }

    fn begin(&mut self, id: String, operation: Operation) -> Begun {
        let most = self.app.api.live.operations;
        if self.running.contains(&id) {
            return Begun::IdTaken;
        }
        if self.running.len() >= most {
            return Begun::TooMany { most };
        }
        self.running.begin(id, operation);
        Begun::Yes
    }

    async fn is_revoked(&mut self) -> bool {
        let Some(key) = &self.key else { return false };
        let checked = auth::check(&self.app.api, key).await;
        // As long as the keys cannot be read, what was valid stays so.
        matches!(checked, Err(AuthError::NotAKey | AuthError::NotValid))
    }
}

/// Whether an operation begins on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    Yes,
    IdTaken,
    TooMany { most: usize },
}

/// The next order; none ever comes to a stream with an operation of its own.
async fn ordered(orders: &mut Option<Orders>) -> Order {
    if let Some(orders) = orders
        && let Some(order) = orders.from.recv().await
    {
        return order;
    }
    std::future::pending().await
}
