//! What `/metrics` shows, in the text format that Prometheus reads.

use std::{sync::atomic::Ordering, time::Duration};

use async_graphql::{Value, resolver_utils::enum_value};
use hakken_commands::{WriteSide, engine::Health};
use hakken_projections::{ProjectionStatus, RunState};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::codes::ErrorCode;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabels {
    name: &'static str,
}

/// Seconds, from a millisecond to ten seconds.
const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// What the API counts by itself.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    operations: Family<OperationLabels, Counter>,
    refusals: Family<CodeLabels, Counter>,
    sockets: Gauge,
    event_streams: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            operations: Family::default(),
            refusals: Family::default(),
            sockets: Gauge::default(),
            event_streams: Gauge::default(),
        }
    }
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn answered(&self, route: &'static str, status: u16, took: Duration) {
        let status = u32::from(status);
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
        self.seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }

    /// An operation was run: `query`, `mutation`, `subscription`.
    pub(crate) fn ran(&self, operation: &'static str) {
        self.operations.get_or_create(&OperationLabels { operation }).inc();
    }

    /// A mutation was refused.
    pub(crate) fn refused(&self, code: ErrorCode) {
        let code = match enum_value(code) {
            Value::Enum(name) => name.to_string(),
            other => other.to_string(),
        };
        self.refusals.get_or_create(&CodeLabels { code }).inc();
    }

    /// WebSockets that are open.
    pub(crate) fn sockets(&self) -> &Gauge {
        &self.sockets
    }

    /// Event streams that are open.
    pub(crate) fn event_streams(&self) -> &Gauge {
        &self.event_streams
    }

    /// Everything, as text.
    pub(crate) fn text(
        &self,
        write: &WriteSide,
        projections: &[ProjectionStatus],
    ) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("hakken");
        registry.register("http_requests", "Requests answered", self.requests.clone());
        registry.register("http_request_seconds", "How long requests took", self.seconds.clone());
        registry.register("graphql_operations", "Operations run", self.operations.clone());
        registry.register("graphql_refusals", "Mutations refused, by code", self.refusals.clone());
        registry.register("websockets", "WebSockets that are open", self.sockets.clone());
        let streams = self.event_streams.clone();
        registry.register("event_streams", "Event streams that are open", streams);
        write_side(&mut registry, write);
        read_side(&mut registry, projections);
        let mut text = String::with_capacity(8_192);
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn count(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn level(registry: &mut Registry, name: &str, help: &str, value: impl TryInto<i64>) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value.try_into().unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn write_side(registry: &mut Registry, write: &WriteSide) {
    let engine = write.engine();
    let counters = engine.counters();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let waiting = counters.waiting.load(Ordering::Relaxed);
    level(registry, "commands_waiting", "Commands that wait or are under way", waiting);
    let happened = load(&counters.happened);
    count(registry, "commands_happened", "Commands that brought events about", happened);
    let rejected = load(&counters.rejected);
    count(registry, "commands_rejected", "Commands refused by the rules", rejected);
    let busy = load(&counters.busy);
    count(registry, "commands_busy", "Commands refused because too many waited", busy);
    count(registry, "events_appended", "Events made durable", load(&counters.events));
    count(registry, "batches", "Batches made durable, each with one sync", load(&counters.batches));
    let conflicts = load(&counters.conflicts);
    count(registry, "append_conflicts", "Appends that met another version", conflicts);
    let micros = load(&counters.commit_micros);
    let commit = Counter::<f64, std::sync::atomic::AtomicU64>::default();
    commit.inc_by(micros as f64 / 1e6);
    registry.register("commit_seconds", "Time spent on making batches durable", commit);
    let streams = counters.streams.load(Ordering::Relaxed);
    level(registry, "streams_in_memory", "Streams kept in memory", streams);
    let works = *engine.health().borrow() == Health::Working;
    level(registry, "write_loop_works", "1 while the write loop works", i64::from(works));
    let done = Family::<NameLabels, Gauge>::default();
    let unanswered = Family::<NameLabels, Gauge>::default();
    let retries = Family::<NameLabels, Counter>::default();
    for process in write.processes() {
        let labels = NameLabels { name: process.name() };
        let progress = process.progress();
        done.get_or_create(&labels).set(progress.done.0.try_into().unwrap_or(i64::MAX));
        unanswered.get_or_create(&labels).set(progress.waiting.try_into().unwrap_or(i64::MAX));
        retries.get_or_create(&labels).inc_by(progress.retries);
    }
    registry.register("process_position", "Every event up to here is answered", done);
    registry.register("process_unanswered", "Events read but not answered", unanswered);
    registry.register("process_retries", "Answers that were tried again", retries);
}

fn read_side(registry: &mut Registry, projections: &[ProjectionStatus]) {
    let position = Family::<NameLabels, Gauge>::default();
    let lag = Family::<NameLabels, Gauge>::default();
    let seconds = Family::<NameLabels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let running = Family::<NameLabels, Gauge>::default();
    for projection in projections {
        let labels = NameLabels { name: projection.name };
        let at = projection.checkpoint.0.try_into().unwrap_or(i64::MAX);
        position.get_or_create(&labels).set(at);
        lag.get_or_create(&labels).set(projection.lag_positions.try_into().unwrap_or(i64::MAX));
        seconds.get_or_create(&labels).set(projection.lag_seconds);
        let runs = projection.state == RunState::Running;
        running.get_or_create(&labels).set(i64::from(runs));
    }
    registry.register("projection_position", "Events up to here count", position);
    registry.register("projection_lag_positions", "Positions that it is behind", lag);
    registry.register("projection_lag_seconds", "How old the oldest missing event is", seconds);
    registry.register("projection_running", "1 while the projection follows the events", running);
}
