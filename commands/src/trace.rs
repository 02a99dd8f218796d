//! Traces, as the write side tells them: how long a sampled request's commands waited and were
//! decided, in which batch they became durable, and how a process answered what they brought about.
//!
//! What is told goes to a [`Tracer`], if there is one; what becomes of it is not known here. Nothing
//! is measured for a request that is not sampled.

use std::{fmt::Debug, future::Future};

use hakken_domain::{
    envelope::{Position, StreamKind},
    names::EventId,
};
use tokio::{task::futures::TaskLocalFuture, time::Instant};

use crate::engine::{CommandKind, Outcome};

/// A span of a sampled trace, by the numbers that W3C Trace Context gives both. Neither is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanName {
    /// Of the trace.
    pub trace: u128,
    /// Of the span in it.
    pub span: u64,
}

tokio::task_local! {
    static CURRENT: Option<SpanName>;
}

/// Does this work within a span: the commands that it asks for are told below it.
pub fn within<F: Future>(span: Option<SpanName>, work: F) -> TaskLocalFuture<Option<SpanName>, F> {
    CURRENT.scope(span, work)
}

/// The span within which this is done, if it is sampled.
pub fn current() -> Option<SpanName> {
    CURRENT.try_with(|span| *span).ok().flatten()
}

/// Takes up what is told of sampled requests. It must not wait: the write loop calls it.
pub trait Tracer: Debug + Send + Sync + 'static {
    /// A fresh name for a span below this one.
    fn below(&self, parent: SpanName) -> SpanName;

    /// A command's events are handed to the store: whoever answers or folds one of them does so
    /// below the command. Told before anybody can see them.
    fn appending(&self, command: SpanName, events: &mut dyn Iterator<Item = EventId>);

    /// A batch is durable, or failed. Gives the name of its span, for the commands in it.
    fn batch(&self, batch: &BatchSpan) -> SpanName;

    /// A command was answered.
    fn command(&self, command: &CommandSpan);

    /// A process begins to answer this event. None if nothing sampled brought the event about.
    fn answering(&self, process: &'static str, event: EventId) -> Option<Box<dyn AnsweringSpan>>;
}

/// An event that is being answered.
pub trait AnsweringSpan: Send + 'static {
    /// Commands of the answer are told below this.
    fn name(&self) -> SpanName;

    /// It is answered, after so many tries that failed.
    fn end(self: Box<Self>, retries: u32);
}

/// A batch in which at least one sampled command stands.
#[derive(Debug, Clone, Copy)]
pub struct BatchSpan {
    /// The first sampled command in it: the batch is told below that, the others name it.
    pub parent: SpanName,
    /// When it was handed to the store.
    pub began: Instant,
    /// When the store answered.
    pub ended: Instant,
    /// Commands and questions that waited for it.
    pub waited: usize,
    /// Streams that it wrote.
    pub streams: usize,
    /// Events in it.
    pub events: usize,
    /// Whether the store acknowledged it.
    pub durable: bool,
}

/// A sampled command, from question to answer.
#[derive(Debug, Clone, Copy)]
pub struct CommandSpan {
    /// Its name.
    pub name: SpanName,
    /// Within which span it was asked.
    pub parent: SpanName,
    /// What was asked for.
    pub kind: CommandKind,
    /// Of what kind of stream.
    pub stream: StreamKind,
    /// When it took its place in the queue.
    pub asked: Instant,
    /// When the loop took it up first.
    pub taken: Option<Instant>,
    /// When it was decided last: begin and end.
    pub decided: Option<(Instant, Instant)>,
    /// How often it was decided.
    pub attempts: u32,
    /// In which batch its events, or what it had seen, became durable.
    pub batch: Option<SpanName>,
    /// What came of it; none if it could not be answered.
    pub outcome: Option<Outcome>,
    /// The first and the last of its events.
    pub positions: Option<(Position, Position)>,
    /// When it was answered.
    pub ended: Instant,
}
