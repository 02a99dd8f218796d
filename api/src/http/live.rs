//! What WebSockets and event streams share: how much and how long, the gate of an operation, and
//! the operations of one connection with their answers as they come.

use std::{
    collections::HashMap,
    future::pending,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use async_graphql::{Error, Response, ServerError};
use futures_util::{
    Stream, StreamExt,
    stream::{AbortHandle, Abortable, SelectAll, once},
};
use hakken_commands::engine::Health;
use hakken_domain::envelope::Position;
use tokio::sync::watch;
use tracing::Instrument;

use super::{
    App,
    document::{Refused, RequestError},
    graphql::{self, Parameters, span_of},
    traces,
};
use crate::{
    auth::{Anybody, Caller},
    faults::Fault,
    limits::Throttled,
    schema::{FeedPlace, batch::Batches, context::IdempotencyHeader, pace::Pace},
};

/// Most operations at once over all connections.
pub(super) const ALL_OPERATIONS: usize = 4_096;
/// So many of them are for keys that have less than a quarter: no key takes all.
const FOR_OTHERS: usize = ALL_OPERATIONS / 4;
/// Most bytes of a message, which is one request. Larger ones go over plain HTTP.
pub(super) const MAX_MESSAGE: usize = 128 << 10;

/// How much those who are told live may ask for, and how long they may take.
#[derive(Debug, Clone, Copy)]
pub struct LiveLimits {
    /// Until a WebSocket introduces itself, or a reserved event stream is fetched.
    pub greeting: Duration,
    /// How often the other side is asked whether it is there, and its key whether it is valid.
    pub heartbeat: Duration,
    /// A WebSocket of which nothing is heard for so long is gone.
    pub silence: Duration,
    /// A connection on which nothing is asked for so long is closed.
    pub idle: Duration,
    /// Until an answer is taken. Shorter than what the connection itself allows, so that there is
    /// time to say why it ends.
    pub slow: Duration,
    /// Most operations at once on one connection.
    pub operations: usize,
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(10),
            heartbeat: Duration::from_secs(25),
            silence: Duration::from_secs(90),
            idle: Duration::from_secs(600),
            slow: Duration::from_secs(20),
            operations: 100,
        }
    }
}

/// Who asks for an operation, and what came with it.
#[derive(Debug, Default)]
pub(super) struct Asker {
    pub(super) caller: Option<Caller>,
    pub(super) idempotency: IdempotencyHeader,
    /// The position of the last event that the client has, if its transport says so.
    pub(super) resume: Option<Position>,
}

/// Why an operation does not begin.
#[derive(Debug)]
pub(super) enum Refusal {
    Request(Refused),
    Fault(Fault),
    Throttled(Throttled),
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::Request(error.into())
    }
}

impl Refusal {
    /// As it stands in `errors`.
    pub(super) fn errors(self) -> Vec<ServerError> {
        match self {
            Self::Request(refused) => refused.errors().into_iter().map(of_json).collect(),
            Self::Fault(fault) => vec![server_error(fault)],
            Self::Throttled(throttled) => vec![of_json(throttled.error())],
        }
    }
}

/// What is written by hand for HTTP, as the schema's own errors are.
fn of_json(error: serde_json::Value) -> ServerError {
    serde_json::from_value(error)
        .unwrap_or_else(|error| server_error(Fault::Internal(error.to_string())))
}

/// A fault as it stands among `errors`.
pub(super) fn server_error(fault: Fault) -> ServerError {
    let Error { message, extensions, .. } = fault.into();
    let mut error = ServerError::new(message, None);
    error.extensions = extensions;
    error
}

type Answers = Pin<Box<dyn Stream<Item = Response> + Send>>;

/// An operation that may begin.
pub(super) struct Operation {
    pub(super) kind: &'static str,
    answers: Answers,
    place: Arc<FeedPlace>,
    pace: Arc<Pace>,
}

impl Operation {
    /// The errors with which it was refused before anything ran, if that shows at once.
    pub(super) async fn refused(&mut self) -> Option<Vec<ServerError>> {
        let first = futures_util::FutureExt::now_or_never(self.answers.next())??;
        let is_refused = !first.errors.is_empty()
            && first.data == async_graphql::Value::Null
            && first.errors.iter().all(|error| error.path.is_empty());
        if is_refused {
            let mut first = first;
            graphql::coded(&mut first);
            return Some(first.errors);
        }
        let rest = std::mem::replace(&mut self.answers, Box::pin(futures_util::stream::empty()));
        self.answers = Box::pin(once(async move { first }).chain(rest));
        None
    }
}

/// The gate of every operation that is answered live.
pub(super) fn admit(
    app: &App,
    asker: Asker,
    mut parameters: Parameters,
) -> Result<Operation, Refusal> {
    let slot = app.operations.clone().try_acquire_owned();
    let slot = slot.map_err(|_| Refusal::Fault(Fault::Busy))?;
    let keep = app.stored.resolve(&mut parameters)?;
    let text = parameters.query.clone().unwrap_or_default();
    let (ready, is_known) = parameters.ready(app).map_err(Refusal::Request)?;
    let document = ready.document.clone();
    let Asker { caller, idempotency, resume } = asker;
    if caller.is_none() && !document.introspects {
        return Err(Refusal::Fault(Fault::NoKey));
    }
    let key = caller.as_ref().map(|caller| caller.key);
    let is_scarce = app.operations.available_permits() < FOR_OTHERS;
    if is_scarce && app.limits.operations(key) >= FOR_OTHERS as u64 {
        return Err(Refusal::Fault(Fault::Busy));
    }
    let pass = app.limits.enter(key, ready.charge.cost).map_err(|throttled| {
        app.metrics.throttled();
        Refusal::Throttled(throttled)
    })?;
    let kind = document.kind_name();
    app.metrics.ran(kind);
    let span = span_of(kind, caller.as_ref());
    let place = Arc::new(FeedPlace::new(resume));
    let pace = Arc::new(Pace::default());
    // Nobody without a key decides what is kept.
    let mut keep = caller.is_some().then(|| {
        let document = (!is_known).then(|| (text.clone(), document.clone()));
        (keep, document)
    });
    let asker = caller.clone();
    let request = ready
        .request(text)
        .data(Anybody(caller))
        .data(idempotency)
        .data(Batches::default())
        .data(pace.clone())
        .data(place.clone());
    let schema = app.schema.clone();
    let subscribed = (kind == "subscription").then(|| app.metrics.subscribed());
    let answers: Answers = if kind == "subscription" {
        // The span is entered where the stream is made; each event is a small thing.
        let _entered = span.enter();
        Box::pin(schema.execute_stream(request))
    } else {
        let app = app.clone();
        let answer = async move {
            let begun = Instant::now();
            let response = traces::operation(&app, &document, schema.execute(request)).await;
            app.metrics.carried_out(kind, begun.elapsed());
            response
        };
        Box::pin(once(answer.instrument(span)))
    };
    let app = app.clone();
    let answers = answers.inspect(move |answer| {
        // They are kept as long as there may be answers.
        let _ = (&slot, &pass, &subscribed);
        graphql::failed(&app, asker.as_ref(), &answer.errors);
        if let Some((keep, document)) = keep.take_if(|_| answer.errors.is_empty()) {
            app.stored.keep(keep);
            if let Some((text, document)) = document {
                app.documents.keep(&text, document);
            }
        }
    });
    Ok(Operation { kind, answers: Box::pin(answers), place, pace })
}

/// What is told of an operation.
pub(super) enum Told {
    /// An answer; of the feed, with the position of its event.
    Next { id: String, response: Box<Response>, at: Option<Position>, pace: Arc<Pace> },
    /// It failed, and is over.
    Failed { id: String, errors: Vec<ServerError> },
    /// It is over.
    Complete { id: String },
}

/// An answer of the operation, or its end.
type Step = (String, Option<(Box<Response>, Option<Position>)>);

struct Handle {
    abort: AbortHandle,
    place: Arc<FeedPlace>,
    pace: Arc<Pace>,
    told: Option<Position>,
}

/// The operations of one connection.
#[derive(Default)]
pub(super) struct Running {
    steps: SelectAll<Pin<Box<dyn Stream<Item = Step> + Send>>>,
    handles: HashMap<String, Handle>,
}

impl Running {
    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.handles.contains_key(id)
    }

    /// Begins an operation, whose id is free.
    pub(super) fn begin(&mut self, id: String, operation: Operation) {
        let Operation { answers, place, pace, .. } = operation;
        let (abort, registration) = AbortHandle::new_pair();
        let (each, end, feed) = (id.clone(), id.clone(), place.clone());
        let steps = answers
            // Nothing newer has been asked of the feed when an answer is there.
            .map(move |answer| (each.clone(), Some((Box::new(answer), feed.reached()))))
            .chain(once(async move { (end, None) }));
        self.steps.push(Box::pin(Abortable::new(steps, registration)));
        self.handles.insert(id, Handle { abort, place, pace, told: None });
    }

    /// Nothing more is told of this operation.
    pub(super) fn stop(&mut self, id: &str) {
        if let Some(handle) = self.handles.remove(id) {
            handle.abort.abort();
        }
    }

    /// What is told next; waits as long as there is nothing.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            let Some((id, step)) = self.steps.next().await else { return pending().await };
            match step {
                Some((mut response, at)) => {
                    if graphql::coded(&mut response) {
                        // Of one that was stopped just now nothing is told any more.
                        let Some(handle) = self.handles.get_mut(&id) else { continue };
                        handle.told = at;
                        let pace = handle.pace.clone();
                        return Told::Next { id, response, at, pace };
                    }
                    // Nothing was executed, or the subscription cannot go on: it is over.
                    self.stop(&id);
                    return Told::Failed { id, errors: response.errors };
                }
                None if self.handles.remove(&id).is_some() => return Told::Complete { id },
                None => {}
            }
        }
    }

    /// Ends everything: each operation with the position of the last event that was told of it,
    /// or from which it began.
    pub(super) fn end(&mut self) -> Vec<(String, Option<Position>)> {
        self.steps.clear();
        let ended = self.handles.drain().map(|(id, handle)| {
            handle.abort.abort();
            (id, handle.told.or_else(|| handle.place.began()))
        });
        ended.collect()
    }
}

/// Until the engine no longer works.
pub(super) async fn stopped(health: &mut watch::Receiver<Health>) {
    // An error means that the loop is gone.
    let _ = health.wait_for(|health| *health != Health::Working).await;
}
