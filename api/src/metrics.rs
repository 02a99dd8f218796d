//! What the API counts by itself. What `/metrics` makes of it stands in `metrics/text.rs`.

mod newest;
mod text;

use std::time::Duration;

use async_graphql::{Value, resolver_utils::enum_value};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

use crate::codes::ErrorCode;
pub(crate) use newest::{Newest, Notice};
pub(crate) use text::Sources;

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

/// Seconds, from a millisecond to ten seconds.
const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

type Times<L> = Family<L, Histogram, fn() -> Histogram>;

/// What the API counts by itself.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_times: Times<RouteLabels>,
    operations: Family<OperationLabels, Counter>,
    operation_times: Times<OperationLabels>,
    refusals: Family<CodeLabels, Counter>,
    errors: Family<CodeLabels, Counter>,
    throttled: Counter,
    sockets: Gauge,
    event_streams: Gauge,
    subscriptions: Gauge,
    newest: Newest,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            request_times: Family::new_with_constructor(histogram),
            operations: Family::default(),
            operation_times: Family::new_with_constructor(histogram),
            refusals: Family::default(),
            errors: Family::default(),
            throttled: Counter::default(),
            sockets: Gauge::default(),
            event_streams: Gauge::default(),
            subscriptions: Gauge::default(),
            newest: Newest::default(),
        }
    }
}

/// A subscription that is told; it is no longer counted when this is dropped.
pub(crate) struct Subscribed(Gauge);

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn answered(&self, route: &'static str, status: u16, took: Duration) {
        let status = u32::from(status);
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
        self.request_times.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }

    /// An operation is about to be run: `query`, `mutation`, `subscription`.
    pub(crate) fn ran(&self, operation: &'static str) {
        self.operations.get_or_create(&OperationLabels { operation }).inc();
    }

    /// It was carried out.
    pub(crate) fn carried_out(&self, operation: &'static str, took: Duration) {
        let labels = OperationLabels { operation };
        self.operation_times.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A mutation was refused.
    pub(crate) fn refused(&self, notice: Notice, code: ErrorCode) {
        let code = match enum_value(code) {
            Value::Enum(name) => name.to_string(),
            other => other.to_string(),
        };
        self.refusals.get_or_create(&CodeLabels { code: code.clone() }).inc();
        self.newest.keep(Notice { code, ..notice });
    }

    /// An answer has an error beside its data.
    pub(crate) fn failed(&self, notice: Notice) {
        self.count_error(&notice.code);
        self.newest.keep(notice);
    }

    /// Codes are the engine's own words, of which there are few.
    fn count_error(&self, code: &str) {
        self.errors.get_or_create(&CodeLabels { code: code.to_owned() }).inc();
    }

    /// A key had asked for too much.
    pub(crate) fn throttled(&self) {
        self.throttled.inc();
        self.count_error("THROTTLED");
    }

    /// The newest refusals and errors.
    pub(crate) fn newest(&self) -> &Newest {
        &self.newest
    }

    /// WebSockets that are open.
    pub(crate) fn sockets(&self) -> &Gauge {
        &self.sockets
    }

    /// Event streams that are open.
    pub(crate) fn event_streams(&self) -> &Gauge {
        &self.event_streams
    }

    /// A subscription begins to be told.
    pub(crate) fn subscribed(&self) -> Subscribed {
        self.subscriptions.inc();
        Subscribed(self.subscriptions.clone())
    }
}
