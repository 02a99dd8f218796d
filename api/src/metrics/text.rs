//! What `/metrics` shows, in the text format that Prometheus reads (OpenMetrics 1.0).
//!
//! Names end in their unit (`_seconds`, `_bytes`, `_ratio`), counters in `_total`. No label has a
//! value that a client chose.

use std::{
    fmt::Error,
    sync::atomic::{AtomicU64, Ordering},
};

use hakken_commands::{
    WriteSide,
    engine::{Counted, Counters, Health},
};
use hakken_projections::{ProjectionStatus, RunState};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::Metrics;
use crate::telemetry::Vitals;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabels {
    name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    name: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    version: String,
}

type Floating = Gauge<f64, AtomicU64>;

/// A histogram that was counted elsewhere, in units of `scale`.
#[derive(Debug)]
struct Elsewhere {
    counted: Counted,
    scale: f64,
}

impl EncodeMetric for Elsewhere {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), Error> {
        let Counted { buckets, sum, count } = &self.counted;
        let bound =
            |bound: u64| if bound == u64::MAX { f64::INFINITY } else { bound as f64 / self.scale };
        let buckets: Vec<_> = buckets.iter().map(|(most, count)| (bound(*most), *count)).collect();
        encoder.encode_histogram::<NoLabelSet>(*sum as f64 / self.scale, *count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// What is shown beside what the API counts.
pub(crate) struct Sources<'a> {
    pub(crate) write: &'a WriteSide,
    pub(crate) projections: &'a [ProjectionStatus],
    pub(crate) vitals: &'a Vitals,
    pub(crate) version: &'a str,
}

impl Metrics {
    /// Everything, as text.
    pub(crate) fn text(&self, sources: &Sources<'_>) -> Result<String, Error> {
        let mut registry = Registry::default();
        process(&mut registry, sources.vitals);
        let mut hakken = Registry::with_prefix("hakken");
        let build = Family::<VersionLabels, Gauge>::default();
        build.get_or_create(&VersionLabels { version: sources.version.to_owned() }).set(1);
        hakken.register("build_info", "1, with the version of the program", build);
        self.doors(&mut hakken, sources.vitals);
        write_loop(&mut hakken, sources.write);
        processes(&mut hakken, sources.write);
        read_side(&mut hakken, sources.projections);
        rebuilds(&mut hakken, sources.projections);
        storage(&mut hakken, sources.vitals);
        let (mut text, mut own) = (String::with_capacity(4_096), String::with_capacity(32_768));
        encode(&mut text, &registry)?;
        encode(&mut own, &hakken)?;
        // One exposition has one end.
        text.truncate(text.len() - text.strip_suffix("# EOF\n").map_or(0, |_| "# EOF\n".len()));
        text.push_str(&own);
        Ok(text)
    }

    /// Requests, operations and connections.
    fn doors(&self, registry: &mut Registry, vitals: &Vitals) {
        let name = "http_request_duration";
        let help = "How long requests took until their answer began";
        registry.register_with_unit(name, help, Unit::Seconds, self.request_times.clone());
        registry.register("http_requests", "Requests answered", self.requests.clone());
        let help = "Operations that were begun, by their kind";
        registry.register("graphql_operations", help, self.operations.clone());
        let (name, help) = ("graphql_operation_duration", "How long queries and mutations took");
        registry.register_with_unit(name, help, Unit::Seconds, self.operation_times.clone());
        let help = "Mutations refused, by the code in userErrors";
        registry.register("graphql_refusals", help, self.refusals.clone());
        let help = "Errors beside the data of answers, by their code";
        registry.register("graphql_errors", help, self.errors.clone());
        registry.register("websockets", "WebSockets that are open", self.sockets.clone());
        let help = "Event streams that are open";
        registry.register("event_streams", help, self.event_streams.clone());
        let help = "Subscriptions that are being told";
        registry.register("subscriptions", help, self.subscriptions.clone());
        let throttled = Family::<ReasonLabels, Counter>::default();
        let count = |reason| throttled.get_or_create(&ReasonLabels { reason }).clone();
        count("connections").inc_by(vitals.connections_turned_away);
        count("requests").inc_by(vitals.requests_turned_away);
        count("key").inc_by(self.throttled.get());
        let help = "Turned away with THROTTLED: too many connections or requests, or a key that \
                    asked for too much";
        registry.register("throttled", help, throttled);
        if let Some((open, most)) = vitals.connections {
            level(registry, "connections", "Connections that are open", open);
            level(registry, "connections_limit", "Connections that may be open", most);
        }
        if let Some((open, most)) = vitals.requests {
            level(registry, "requests_under_way", "Requests that are being answered", open);
            level(registry, "requests_under_way_limit", "Requests that may be under way", most);
        }
    }
}

fn count(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn level(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(signed(value));
    registry.register(name, help, gauge);
}

fn measure(registry: &mut Registry, name: &str, help: &str, unit: Unit, value: f64) {
    let gauge = Floating::default();
    gauge.set(value);
    registry.register_with_unit(name, help, unit, gauge);
}

/// By the names that every client library of Prometheus uses.
fn process(registry: &mut Registry, vitals: &Vitals) {
    if let Some(at) = vitals.started_at {
        let (name, help) = ("process_start_time", "When the process was started, as Unix time");
        measure(registry, name, help, Unit::Seconds, at.as_micros() as f64 / 1e6);
    }
    if let Some(seconds) = vitals.cpu_seconds {
        let cpu = Counter::<f64, AtomicU64>::default();
        cpu.inc_by(seconds);
        registry.register_with_unit("process_cpu", "Processor time used", Unit::Seconds, cpu);
    }
    if let Some(bytes) = vitals.resident_bytes {
        let (name, help) = ("process_resident_memory", "Memory that the process has");
        measure(registry, name, help, Unit::Bytes, bytes as f64);
    }
    if let Some(files) = vitals.open_files {
        level(registry, "process_open_fds", "Files that are open", files);
    }
    if let Some(files) = vitals.most_open_files {
        level(registry, "process_max_fds", "Files that may be open", files);
    }
}

fn write_loop(registry: &mut Registry, write: &WriteSide) {
    let engine = write.engine();
    let Counters { commits, batch_sizes, answered, .. } = engine.counters();
    let counters = engine.counters();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let waiting = counters.waiting.load(Ordering::Relaxed) as u64;
    let help = "Commands and questions that wait for the write loop or are under way";
    level(registry, "commands_waiting", help, waiting);
    let help = "So many may wait; one more is refused";
    level(registry, "commands_waiting_limit", help, engine.most_waiting() as u64);
    let commands = Family::<CommandLabels, Counter>::default();
    for (kind, outcome, count) in answered.counts() {
        let labels = CommandLabels { kind: kind.as_str(), outcome: outcome.as_str() };
        commands.get_or_create(&labels).inc_by(count);
    }
    let help = "Commands that were answered, by what was asked for and what came of it";
    registry.register("commands", help, commands);
    let happened = load(&counters.happened);
    count(registry, "commands_happened", "Commands that brought events about", happened);
    let rejected = load(&counters.rejected);
    count(registry, "commands_rejected", "Commands refused by the rules", rejected);
    let busy = load(&counters.busy);
    count(registry, "commands_busy", "Commands refused because too many waited", busy);
    count(registry, "events_appended", "Events made durable", load(&counters.events));
    let help = "Events in each batch that was made durable";
    let sizes = Elsewhere { counted: batch_sizes.counted(), scale: 1.0 };
    registry.register("batch_events", help, sizes);
    let help = "How long it took to make each batch durable, with its one sync";
    let times = Elsewhere { counted: commits.counted(), scale: 1e6 };
    registry.register_with_unit("commit_duration", help, Unit::Seconds, times);
    let failed = load(&counters.failed_batches);
    count(registry, "batches_failed", "Batches that the store did not acknowledge", failed);
    let conflicts = load(&counters.conflicts);
    count(registry, "append_conflicts", "Appends that met another version", conflicts);
    let help = "Turns taken at streams that other processes write, too";
    count(registry, "turns", help, load(&counters.turns));
    let streams = counters.streams.load(Ordering::Relaxed) as u64;
    level(registry, "streams_in_memory", "Streams kept in memory", streams);
    let help = "The newest position that this process has seen durable";
    level(registry, "position", help, engine.position().0);
    let works = *engine.health().borrow() == Health::Working;
    level(registry, "write_loop_works", "1 while the write loop works", u64::from(works));
}

fn processes(registry: &mut Registry, write: &WriteSide) {
    let done = Family::<NameLabels, Gauge>::default();
    let unanswered = Family::<NameLabels, Gauge>::default();
    let retries = Family::<NameLabels, Counter>::default();
    for process in write.processes() {
        let labels = NameLabels { name: process.name() };
        let progress = process.progress();
        done.get_or_create(&labels).set(signed(progress.done.0));
        unanswered.get_or_create(&labels).set(signed(progress.waiting as u64));
        retries.get_or_create(&labels).inc_by(progress.retries);
    }
    registry.register("process_position", "Every event up to here is answered", done);
    registry.register("process_unanswered", "Events read but not answered", unanswered);
    registry.register("process_retries", "Answers that were tried again", retries);
}

fn read_side(registry: &mut Registry, projections: &[ProjectionStatus]) {
    let position = Family::<NameLabels, Gauge>::default();
    let lag = Family::<NameLabels, Gauge>::default();
    let seconds = Family::<NameLabels, Floating>::default();
    let running = Family::<NameLabels, Gauge>::default();
    let states = Family::<StateLabels, Gauge>::default();
    for projection in projections {
        let name = projection.name;
        let labels = NameLabels { name };
        position.get_or_create(&labels).set(signed(projection.checkpoint.0));
        lag.get_or_create(&labels).set(signed(projection.lag_positions));
        seconds.get_or_create(&labels).set(projection.lag_seconds);
        let runs = projection.state == RunState::Running;
        running.get_or_create(&labels).set(i64::from(runs));
        for state in ["running", "paused", "stopped", "retrying"] {
            let is_so = projection.state.as_str() == state;
            states.get_or_create(&StateLabels { name, state }).set(i64::from(is_so));
        }
    }
    if let Some(head) = projections.iter().map(|projection| projection.head.0).max() {
        level(registry, "head_position", "The newest position in the store", head);
    }
    registry.register("projection_position", "Events up to here count", position);
    registry.register("projection_lag_positions", "Positions that it is behind", lag);
    let help = "How old the oldest missing event is";
    registry.register_with_unit("projection_lag", help, Unit::Seconds, seconds);
    registry.register("projection_running", "1 while the projection follows the events", running);
    let help = "1 for what the projection is doing; stopped: it met an event that it cannot fold";
    registry.register("projection_state", help, states);
}

fn rebuilds(registry: &mut Registry, projections: &[ProjectionStatus]) {
    let ratio = Family::<NameLabels, Floating>::default();
    let rate = Family::<NameLabels, Floating>::default();
    let left = Family::<NameLabels, Floating>::default();
    let paused = Family::<NameLabels, Gauge>::default();
    let failed = Family::<NameLabels, Gauge>::default();
    for projection in projections {
        let labels = NameLabels { name: projection.name };
        let has_failed = projection.last_build_error.is_some();
        failed.get_or_create(&labels).set(i64::from(has_failed));
        let Some(build) = &projection.build else { continue };
        let share = if build.total == 0 { 1.0 } else { build.done as f64 / build.total as f64 };
        ratio.get_or_create(&labels).set(share);
        paused.get_or_create(&labels).set(i64::from(build.paused));
        if let Some(speed) = build.rate {
            rate.get_or_create(&labels).set(speed);
        }
        if let Some(seconds) = build.eta_seconds {
            left.get_or_create(&labels).set(seconds);
        }
    }
    let help = "Share of the positions that a rebuild or verification has behind it, while it runs";
    registry.register_with_unit("rebuild_progress", help, Unit::Ratios, ratio);
    let help = "Positions a second that a rebuild folds, while it runs";
    registry.register("rebuild_positions_per_second", help, rate);
    let help = "How long a rebuild's folding will take at its rate, while it runs";
    registry.register_with_unit("rebuild_left", help, Unit::Seconds, left);
    registry.register("rebuild_paused", "1 while a rebuild is halted", paused);
    let help = "1 if the newest rebuild of the projection failed since the start";
    registry.register("rebuild_failed", help, failed);
}

fn storage(registry: &mut Registry, vitals: &Vitals) {
    if let Some(bytes) = vitals.disk_free_bytes {
        let help = "Bytes that may still be written where the data is";
        measure(registry, "disk_free", help, Unit::Bytes, bytes as f64);
    }
    if let Some(bytes) = vitals.disk_size_bytes {
        let help = "Bytes that there are where the data is";
        measure(registry, "disk_size", help, Unit::Bytes, bytes as f64);
    }
    let help = "1 if this process answers events and sweeps: of all processes on a store, one";
    level(registry, "on_duty", help, u64::from(vitals.on_duty.unwrap_or(true)));
    if let Some(made) = vitals.store_connections {
        let help = "Connections made to the database, beside those that read: a few at the start, \
                    and one more for each that was lost";
        count(registry, "store_connections", help, made);
    }
    if let Some(backup) = vitals.last_backup {
        let help = "When the newest good backup was finished, as Unix time";
        let at = backup.at.as_micros() as f64 / 1e6;
        measure(registry, "last_backup_time", help, Unit::Seconds, at);
        let help = "Every event up to here is in the newest good backup";
        level(registry, "last_backup_position", help, backup.position.0);
    }
}
