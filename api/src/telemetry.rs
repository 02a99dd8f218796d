//! What the API tells those who watch it, and what it hears from the process around it.

use std::{fmt::Debug, sync::Arc};

use hakken_commands::trace::SpanName;
use hakken_domain::{envelope::Position, time::Timestamp};

/// Who watches. Nobody, by default.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// Is told of requests and operations.
    pub tracer: Option<Arc<dyn RequestTracer>>,
    /// Knows the process around the API.
    pub host: Option<Arc<dyn Host>>,
}

/// Takes requests up into traces.
pub trait RequestTracer: Debug + Send + Sync + 'static {
    /// A request arrived. None if it is not sampled.
    fn request(&self, head: &RequestHead<'_>) -> Option<Box<dyn OpenSpan>>;

    /// An operation is about to be carried out: of a request, or of a connection that has many.
    /// None if it is not sampled.
    fn operation(
        &self,
        parent: Option<SpanName>,
        operation: &OperationHead<'_>,
    ) -> Option<Box<dyn OpenSpan>>;
}

/// What is known of a request when it arrives.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The route, never a text that a client chose.
    pub route: &'static str,
    /// As the answer's header says it.
    pub request_id: &'a str,
    /// The W3C header: of which trace the request is a part already.
    pub traceparent: Option<&'a str>,
    /// The W3C header that belongs to it.
    pub tracestate: Option<&'a str>,
}

/// What is known of an operation before it is carried out. Never its variables.
#[derive(Debug, Clone, Copy)]
pub struct OperationHead<'a> {
    /// `query`, `mutation`.
    pub kind: &'static str,
    /// What the client calls it.
    pub name: Option<&'a str>,
}

/// A span that has begun. Dropped, it ends without a word about its outcome.
pub trait OpenSpan: Send + Sync + 'static {
    /// What is done within it is told below this.
    fn name(&self) -> SpanName;

    /// It ends.
    fn end(self: Box<Self>, ended: Ended<'_>);
}

/// How a span ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ended<'a> {
    /// Of a request: the status of its answer.
    pub status: Option<u16>,
    /// Of an operation: the code of its first error.
    pub error: Option<&'a str>,
}

/// The process around the API. It is asked whenever somebody asks for metrics.
pub trait Host: Debug + Send + Sync + 'static {
    /// How it is now. Must not wait.
    fn vitals(&self) -> Vitals;
}

/// How a process is. What cannot be known is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vitals {
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// Processor time that it has used.
    pub cpu_seconds: Option<f64>,
    /// Memory that it has.
    pub resident_bytes: Option<u64>,
    /// Files that it has open.
    pub open_files: Option<u64>,
    /// Files that it may have open.
    pub most_open_files: Option<u64>,
    /// Bytes that may still be written where the data is.
    pub disk_free_bytes: Option<u64>,
    /// Bytes that there are, where the data is.
    pub disk_size_bytes: Option<u64>,
    /// Connections that are open, and how many may be.
    pub connections: Option<(u64, u64)>,
    /// Requests that are being answered, and how many may be.
    pub requests: Option<(u64, u64)>,
    /// Connections that were turned away, since the start.
    pub connections_turned_away: u64,
    /// Requests that were turned away, since the start.
    pub requests_turned_away: u64,
    /// Whether this process answers events and sweeps; none if it is the only one that can.
    pub on_duty: Option<bool>,
    /// Connections that were made to a database, beside those that read: a few at the start, and
    /// one more for each that was lost.
    pub store_connections: Option<u64>,
    /// The newest backup that was made well.
    pub last_backup: Option<LastBackup>,
}

/// A backup that was made well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastBackup {
    /// When it was finished.
    pub at: Timestamp,
    /// Every event up to here is in it.
    pub position: Position,
}
