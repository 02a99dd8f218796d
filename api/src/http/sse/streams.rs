//! Event streams that were reserved, by their tokens.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{http::StatusCode, response::Response};
use data_encoding::BASE32_NOPAD;
use hakken_domain::names::ApiKeyId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{App, fault, live::Operation, problem},
    event_stream,
    pump::{Begun, Events, Orders, Pump},
    refuse,
};
use crate::{auth::PresentedKey, faults::Fault};

const TOKEN_DOMAIN: &[u8] = b"hakken event stream token v1\0";
/// Most streams at once.
const MAX_STREAMS: usize = 4_096;
/// Most streams of one key, so that none takes all.
const MAX_STREAMS_OF_KEY: usize = 512;
/// Orders that wait for one stream.
const WAITING_ORDERS: usize = 16;

/// What a stream is told to do.
pub(super) enum Order {
    /// Somebody reads it from now on.
    Fetched,
    /// Begin an operation.
    Begin { id: String, operation: Box<Operation>, taken: oneshot::Sender<Begun> },
    /// Tell nothing more of an operation.
    Stop { id: String },
}

struct Reserved {
    key: ApiKeyId,
    orders: mpsc::Sender<Order>,
    /// None once they were fetched.
    events: Option<Events>,
}

/// The streams that were reserved and are not over.
#[derive(Default)]
pub(crate) struct EventStreams {
    reserved: Mutex<HashMap<String, Reserved>>,
    count: AtomicU64,
}

impl EventStreams {
    fn reserved(&self) -> MutexGuard<'_, HashMap<String, Reserved>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a stream from the list when it is over.
pub(super) struct Registered {
    app: App,
    token: String,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.app.event_streams.reserved().remove(&self.token);
    }
}

/// A token that nobody can guess, and that is given once.
fn fresh_token(app: &App) -> String {
    let count = app.event_streams.count.fetch_add(1, Ordering::Relaxed);
    let secret = app.api.secret.0.as_ref();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(TOKEN_DOMAIN);
    mac.update(&app.api.write.engine().seed().to_le_bytes());
    mac.update(&app.api.write.engine().clock().now().as_micros().to_le_bytes());
    mac.update(&count.to_le_bytes());
    BASE32_NOPAD.encode(&mac.finalize().into_bytes()).to_ascii_lowercase()
}

/// Reserves a stream for the holder of a key.
pub(super) fn reserve(app: &App, id: ApiKeyId, key: PresentedKey) -> Result<String, Box<Response>> {
    let token = fresh_token(app);
    let (orders, from) = mpsc::channel(WAITING_ORDERS);
    let registered = Registered { app: app.clone(), token: token.clone() };
    let (pump, events) = Pump::single(app.clone(), key, Orders { from, _registered: registered });
    {
        let mut reserved = app.event_streams.reserved();
        let of_key = reserved.values().filter(|stream| stream.key == id).count();
        if reserved.len() >= MAX_STREAMS || of_key >= MAX_STREAMS_OF_KEY {
            drop(reserved);
            return Err(Box::new(fault(StatusCode::SERVICE_UNAVAILABLE, &Fault::Busy)));
        }
        reserved.insert(token.clone(), Reserved { key: id, orders, events: Some(events) });
    }
    tokio::spawn(pump.run());
    Ok(token)
}

fn not_found() -> Box<Response> {
    let message = "No event stream is reserved under this token, or it is over: reserve one with \
                   PUT and fetch it within ten seconds.";
    Box::new(problem(StatusCode::NOT_FOUND, "NOT_FOUND", message))
}

/// Fetches a stream, which can be done once.
pub(super) fn fetch(app: &App, token: &str) -> Result<Response, Box<Response>> {
    let (events, orders) = {
        let mut reserved = app.event_streams.reserved();
        let Entry::Occupied(mut found) = reserved.entry(token.to_owned()) else {
            return Err(not_found());
        };
        let found = found.get_mut();
        (found.events.take(), found.orders.clone())
    };
    let open = || refuse(StatusCode::CONFLICT, "This event stream is open already.");
    let events = events.ok_or_else(open)?;
    // A queue that is full before the stream is read has orders enough.
    tokio::spawn(async move { orders.send(Order::Fetched).await });
    Ok(event_stream(events))
}

/// A stream to which operations are ordered.
pub(super) struct Stream(mpsc::Sender<Order>);

/// The stream of a token, if it was reserved with this key.
pub(super) fn find(app: &App, token: &str, key: ApiKeyId) -> Result<Stream, Box<Response>> {
    let reserved = app.event_streams.reserved();
    let found = reserved.get(token).filter(|found| found.key == key);
    found.map(|found| Stream(found.orders.clone())).ok_or_else(not_found)
}

impl Stream {
    pub(super) async fn begin(
        &self,
        id: String,
        operation: Operation,
    ) -> Result<(), Box<Response>> {
        let (taken, begun) = oneshot::channel();
        let order = Order::Begin { id, operation: Box::new(operation), taken };
        self.0.send(order).await.map_err(|_| not_found())?;
        match begun.await.map_err(|_| not_found())? {
            Begun::Yes => Ok(()),
            Begun::IdTaken => {
                let message = "An operation with this operationId is running on the stream.";
                Err(refuse(StatusCode::CONFLICT, message))
            }
            Begun::TooMany { most } => {
                let too_many = Fault::TooManyOperations { most };
                Err(Box::new(fault(StatusCode::SERVICE_UNAVAILABLE, &too_many)))
            }
        }
    }

    pub(super) async fn stop(&self, id: String) -> Result<(), Box<Response>> {
        self.0.send(Order::Stop { id }).await.map_err(|_| not_found())
    }
}
