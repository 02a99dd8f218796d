//! What is told of sampled requests, as spans of OpenTelemetry.
//!
//! request → operation → command → commit of its batch, and below the command: each fold of its
//! events, and each answer of a process, with the commands of that. Whether a request is sampled is
//! decided when it arrives, and what is not sampled costs nothing further in. No attribute has what
//! a client sent, but for the operation's own name.

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hakken_adapters::system::SystemClock;
use hakken_api::{Ended, OpenSpan, OperationHead, RequestHead, RequestTracer};
use hakken_commands::{
    clock::Clock,
    trace::{AnsweringSpan, BatchSpan, CommandSpan, SpanName, Tracer},
};
use hakken_domain::{envelope::StoredEvent, names::EventId};
use hakken_projections::trace::{FoldSpan, FoldTracer, Sampled};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    propagation::{Extractor, TextMapPropagator},
    trace::{
        Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceState,
        Tracer as _,
    },
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider, Span},
};
use tokio::time::Instant;

/// Events whose command is remembered, for those who fold and answer them.
const MOST_EVENTS: usize = 65_536;
/// Commands of one fold that get a span for it; a batch may have thousands.
const MOST_FOLDED: usize = 32;
/// Most bytes of an operation's name.
const MOST_NAME: usize = 64;

/// Ids at random, but for the span whose name was given out before.
#[derive(Debug, Default)]
pub(super) struct GivenIds(RandomIdGenerator);

thread_local! {
    static GIVEN: Cell<Option<SpanId>> = const { Cell::new(None) };
}

impl IdGenerator for GivenIds {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        GIVEN.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

/// Takes up what is told, and exports it.
#[derive(Clone)]
pub struct Traces(Arc<Inner>);

struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    ids: RandomIdGenerator,
    /// How many events are known, to be asked without the lock.
    many: AtomicUsize,
    known: Mutex<Known>,
}

/// Which command brought an event about. The oldest are forgotten.
#[derive(Default)]
struct Known {
    commands: HashMap<EventId, SpanName>,
    order: VecDeque<EventId>,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces")
    }
}

/// Moments of this process as times of day.
struct Wall {
    instant: Instant,
    time: SystemTime,
}

impl Wall {
    fn now() -> Self {
        let micros = SystemClock.now().as_micros().max(0).unsigned_abs();
        Self { instant: Instant::now(), time: UNIX_EPOCH + Duration::from_micros(micros) }
    }

    fn at(&self, instant: Instant) -> SystemTime {
        self.time - self.instant.saturating_duration_since(instant)
    }
}

fn context_of(name: SpanName) -> SpanContext {
    let SpanName { trace, span } = name;
    let (trace, span) = (TraceId::from(trace), SpanId::from(span));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default())
}

fn below(parent: SpanName) -> Context {
    Context::new().with_remote_span_context(context_of(parent))
}

fn name_of(span: &Span) -> SpanName {
    let context = span.span_context();
    SpanName {
        trace: u128::from_be_bytes(context.trace_id().to_bytes()),
        span: u64::from_be_bytes(context.span_id().to_bytes()),
    }
}

fn count(key: &'static str, value: usize) -> KeyValue {
    KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX))
}

fn position(key: &'static str, value: u64) -> KeyValue {
    KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX))
}

fn micros(key: &'static str, from: Instant, to: Instant) -> KeyValue {
    let took = to.saturating_duration_since(from).as_micros();
    KeyValue::new(key, i64::try_from(took).unwrap_or(i64::MAX))
}

impl Traces {
    pub(super) fn new(provider: SdkTracerProvider, tracer: SdkTracer) -> Self {
        Self(Arc::new(Inner {
            provider,
            tracer,
            ids: RandomIdGenerator::default(),
            many: AtomicUsize::new(0),
            known: Mutex::default(),
        }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, builder: SpanBuilder, parent: &Context) -> Span {
        let time = Wall::now().time;
        self.0.tracer.build_with_context(builder.with_start_time(time), parent)
    }

    /// A span that is over already.
    fn over(&self, builder: SpanBuilder, parent: SpanName, ended: SystemTime) -> SpanName {
        let mut span = self.0.tracer.build_with_context(builder, &below(parent));
        let name = name_of(&span);
        span.end_with_timestamp(ended);
        name
    }

    /// Sends what is left, and takes no more. Blocks as long as the collector may take.
    pub fn close(&self) {
        if let Err(error) = self.0.provider.shutdown() {
            tracing::warn!(%error, "the last traces were not exported");
        }
    }
}

struct Headers<'a>(&'a RequestHead<'a>);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.0.traceparent,
            "tracestate" => self.0.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

struct Open(Span);

/// None of a span that is not sampled: nothing is told below it.
fn opened(span: Span) -> Option<Box<dyn OpenSpan>> {
    span.span_context().is_sampled().then(|| Box::new(Open(span)) as Box<dyn OpenSpan>)
}

impl OpenSpan for Open {
    fn name(&self) -> SpanName {
        name_of(&self.0)
    }

    fn end(mut self: Box<Self>, ended: Ended<'_>) {
        if let Some(status) = ended.status {
            let code = KeyValue::new("http.response.status_code", i64::from(status));
            self.0.set_attribute(code);
            if status >= 500 {
                self.0.set_status(Status::error(""));
            }
        }
        if let Some(code) = ended.error {
            self.0.set_attribute(KeyValue::new("error.type", code.to_owned()));
            self.0.set_status(Status::error(code.to_owned()));
        }
        self.0.end_with_timestamp(Wall::now().time);
    }
}

impl RequestTracer for Traces {
    fn request(&self, head: &RequestHead<'_>) -> Option<Box<dyn OpenSpan>> {
        let parent = match head.traceparent {
            Some(_) => {
                TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(head))
            }
            None => Context::new(),
        };
        let builder = SpanBuilder::from_name(format!("{} {}", head.method, head.route))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", head.method.to_owned()),
                KeyValue::new("http.route", head.route),
                KeyValue::new("url.scheme", "http"),
                KeyValue::new("hakken.request_id", head.request_id.to_owned()),
            ]);
        opened(self.begin(builder, &parent))
    }

    fn operation(
        &self,
        parent: Option<SpanName>,
        operation: &OperationHead<'_>,
    ) -> Option<Box<dyn OpenSpan>> {
        let mut attributes = vec![KeyValue::new("graphql.operation.type", operation.kind)];
        if let Some(name) = operation.name {
            // The grammar of GraphQL lets a name have ASCII alone.
            let name = name.get(..MOST_NAME).unwrap_or(name).to_owned();
            attributes.push(KeyValue::new("graphql.operation.name", name));
        }
        let builder = SpanBuilder::from_name(operation.kind).with_attributes(attributes);
        let builder = match parent {
            Some(_) => builder,
            None => builder.with_kind(SpanKind::Server),
        };
        opened(self.begin(builder, &parent.map_or_else(Context::new, below)))
    }
}

impl Tracer for Traces {
    fn below(&self, parent: SpanName) -> SpanName {
        SpanName { span: u64::from_be_bytes(self.0.ids.new_span_id().to_bytes()), ..parent }
    }

    fn appending(&self, command: SpanName, events: &mut dyn Iterator<Item = EventId>) {
        let mut known = self.known();
        for event in events {
            if known.order.len() >= MOST_EVENTS
                && let Some(oldest) = known.order.pop_front()
            {
                known.commands.remove(&oldest);
            }
            known.order.push_back(event);
            known.commands.insert(event, command);
        }
        self.0.many.store(known.order.len(), Ordering::Release);
    }

    fn batch(&self, batch: &BatchSpan) -> SpanName {
        let wall = Wall::now();
        let builder = SpanBuilder::from_name("commit batch")
            .with_start_time(wall.at(batch.began))
            .with_attributes([
                count("hakken.batch.events", batch.events),
                count("hakken.batch.streams", batch.streams),
                count("hakken.batch.waiting", batch.waited),
                KeyValue::new("hakken.batch.durable", batch.durable),
            ]);
        self.over(builder, batch.parent, wall.at(batch.ended))
    }

    fn command(&self, command: &CommandSpan) {
        let wall = Wall::now();
        let mut attributes = vec![
            KeyValue::new("hakken.command.kind", command.kind.as_str()),
            KeyValue::new("hakken.stream.kind", command.stream.as_str()),
            KeyValue::new(
                "hakken.command.outcome",
                command.outcome.map_or("not_answered", |outcome| outcome.as_str()),
            ),
            KeyValue::new("hakken.command.attempts", i64::from(command.attempts)),
        ];
        if let Some(taken) = command.taken {
            attributes.push(micros("hakken.command.queued_us", command.asked, taken));
        }
        if let Some((from, to)) = command.decided {
            attributes.push(micros("hakken.command.decided_us", from, to));
        }
        if let Some((first, last)) = command.positions {
            attributes.push(position("hakken.position.first", first.0));
            attributes.push(position("hakken.position.last", last.0));
        }
        let links = command.batch.map(|batch| vec![Link::with_context(context_of(batch))]);
        let mut builder = SpanBuilder::from_name(command.kind.as_str())
            .with_start_time(wall.at(command.asked))
            .with_attributes(attributes);
        builder.links = links;
        GIVEN.set(Some(SpanId::from(command.name.span)));
        let mut span = self.0.tracer.build_with_context(builder, &below(command.parent));
        GIVEN.set(None);
        if command.outcome.is_none() {
            span.set_status(Status::error("not answered"));
        }
        span.end_with_timestamp(wall.at(command.ended));
    }

    fn answering(&self, process: &'static str, event: EventId) -> Option<Box<dyn AnsweringSpan>> {
        if self.0.many.load(Ordering::Acquire) == 0 {
            return None;
        }
        let parent = self.known().commands.get(&event).copied()?;
        let builder = SpanBuilder::from_name(format!("answer by {process}"))
            .with_attributes([KeyValue::new("hakken.process", process)]);
        Some(Box::new(Open(self.begin(builder, &below(parent)))))
    }
}

impl AnsweringSpan for Open {
    fn name(&self) -> SpanName {
        name_of(&self.0)
    }

    fn end(mut self: Box<Self>, retries: u32) {
        self.0.set_attribute(KeyValue::new("hakken.process.retries", i64::from(retries)));
        self.0.end_with_timestamp(Wall::now().time);
    }
}

struct Folding {
    traces: Traces,
    commands: Vec<SpanName>,
}

impl FoldTracer for Traces {
    fn sampled(&self, events: &[Arc<StoredEvent>]) -> Option<Box<dyn Sampled>> {
        if self.0.many.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut commands = Vec::new();
        let known = self.known();
        for event in events {
            let Some(command) = known.commands.get(&event.id) else { continue };
            // Those of one command come one after the other.
            if commands.last() != Some(command) {
                commands.push(*command);
            }
            if commands.len() == MOST_FOLDED {
                break;
            }
        }
        drop(known);
        if commands.is_empty() {
            return None;
        }
        Some(Box::new(Folding { traces: self.clone(), commands }))
    }
}

impl Sampled for Folding {
    fn folded(self: Box<Self>, fold: &FoldSpan) {
        let wall = Wall::now();
        for command in &self.commands {
            let builder = SpanBuilder::from_name(format!("fold {}", fold.projection))
                .with_start_time(wall.at(fold.began))
                .with_attributes([
                    KeyValue::new("hakken.projection", fold.projection),
                    count("hakken.fold.events", fold.events),
                    position("hakken.position.last", fold.position.0),
                    KeyValue::new("hakken.fold.committed", fold.committed),
                ]);
            self.traces.over(builder, *command, wall.at(fold.ended));
        }
    }
}
