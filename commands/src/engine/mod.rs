//! The write loop: commands queue up, are decided in memory in the order in which they came,
//! and what they bring about is appended in batches, each made durable once (group commit).
//! While batch n is being made durable, batch n + 1 is already decided on top of it; if n fails,
//! n + 1 is thrown away and decided again. Callers are answered only after durability.

mod batch;
mod counters;
mod entry;
mod kinds;
mod load;
mod run;
mod shelf;
mod traced;

use std::{
    any::Any,
    sync::{Arc, atomic::Ordering},
};

use hakken_domain::{
    Command, Rejection, State,
    envelope::{Fingerprint, Metadata, Position, StoredEvent, StreamId, Version},
    names::{ActorRef, CommandKey, EventId, OrganizerId},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};

use crate::{
    clock::{Clock, Ids},
    store::{EventStore, SideStore},
    trace::Tracer,
};
pub use counters::{BatchSizes, CommitTimes, Counted, Counters, Histogram, Outcome, Tally};
use entry::KeyHash;
pub use kinds::CommandKind;
use shelf::Shelf;
use traced::Traced;

/// Who asks, for whom, and how a repetition is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The tenant. A stream answers only the tenant that made it.
    pub organizer: Option<OrganizerId>,
    /// Who asks.
    pub actor: ActorRef,
    /// The idempotency key, with the fingerprint of the request that came with it.
    pub key: Option<(CommandKey, Fingerprint)>,
    /// The event that a process answers with this command.
    pub cause: Option<EventId>,
    /// The first event of the chain.
    pub correlation: Option<EventId>,
}

/// A command for a stream.
#[derive(Debug, Clone)]
pub struct Request {
    /// The stream.
    pub stream: StreamId,
    /// What is asked for.
    pub command: Command,
    /// By whom.
    pub asker: Asker,
    /// The stream is probably new: decide as if it were empty, without reading it first. If it
    /// is not, the append conflicts and the command is decided again.
    pub creates: bool,
}

/// What a command brought about. Everything in it is durable.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The stream.
    pub stream: StreamId,
    /// The command's own events; none when what it asks for was so already.
    pub events: Vec<Arc<StoredEvent>>,
    /// Read models that have come this far show it.
    pub position: Position,
    /// The answer of an earlier request with the same key.
    pub repeated: bool,
}

/// Why a command brought nothing about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// The rules say no. Nothing changed; the same key may be tried again.
    Rejected(Rejection),
    /// The key was used for another request on this stream.
    KeyReused,
    /// The stream belongs to another organizer.
    NotYours,
    /// Too many commands wait already. Nothing changed; try again soon.
    Busy,
    /// Other processes wrote the stream again and again. Nothing changed; try again.
    Contended {
        /// How often it was decided.
        attempts: u32,
    },
    /// The store cannot be used just now. It is not known whether the command happened: try
    /// again with the same key.
    Unavailable,
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rejected(rejection) => write!(f, "refused: {rejection:?}"),
            Self::KeyReused => f.write_str("the idempotency key was used for another request"),
            Self::NotYours => f.write_str("there is no such thing for this organizer"),
            Self::Busy => f.write_str("too many commands wait already"),
            Self::Contended { attempts } => {
                write!(f, "other processes wrote the stream {attempts} times in between")
            }
            Self::Unavailable => f.write_str("the event store cannot be used just now"),
        }
    }
}

impl std::error::Error for CommandError {}

/// Bounds of the loop.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Commands that may wait or be under way at once; one more is `Busy`.
    pub waiting: usize,
    /// Events of one batch; a decision is never split.
    pub batch_events: usize,
    /// Bytes (about) that streams in memory may take.
    pub cache_bytes: usize,
    /// How often a command is decided before it is `Contended` or `Unavailable`.
    pub attempts: u32,
    /// Fewest events between two snapshots of a stream.
    pub snapshot_events: u64,
    /// And at least one event for so many bytes of its state: small enough that a growing stream
    /// is kept again and again, large enough that keeping it costs little beside the events.
    pub snapshot_share: usize,
    /// Whether a batch waits a little for those whom the one before it answered.
    pub gathers: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiting: 8_192,
            batch_events: 4_096,
            cache_bytes: 256 << 20,
            attempts: 8,
            snapshot_events: 2_000,
            snapshot_share: 64,
            gathers: true,
        }
    }
}

/// Whether the loop still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Working,
    /// The store failed in a way that forbids further writing: the process must end, and
    /// recovers from what is on disk when it starts again.
    Failed,
    /// It was told to stop and has drained.
    Stopped,
}

/// A handle to the write loop. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: mpsc::UnboundedSender<Work>,
    shelf: Arc<Shelf>,
    counters: Arc<Counters>,
    health: watch::Receiver<Health>,
    waiting: usize,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    tracer: Option<Arc<dyn Tracer>>,
}

/// What the loop is asked to do.
enum Work {
    Decide(Box<Pending>),
    Stop,
}

/// A question that waits for its answer.
struct Pending {
    stream: StreamId,
    creates: bool,
    attempts: u32,
    /// Its stream is read after it was asked, so that nothing can be missing that others wrote
    /// before.
    fresh: bool,
    key_hash: Option<KeyHash>,
    ask: Ask,
    place: Place,
    /// Only of commands that are sampled.
    trace: Option<Box<Traced>>,
}

enum Ask {
    Execute {
        command: Command,
        asker: Asker,
        reply: oneshot::Sender<Result<Receipt, CommandError>>,
    },
    Recall {
        asker: Asker,
        reply: oneshot::Sender<Result<Option<Receipt>, CommandError>>,
    },
    Read {
        tenant: Tenant,
        question: Question,
        sight: Sight,
        reply: oneshot::Sender<Result<Box<dyn Any + Send>, CommandError>>,
    },
}

/// Whose streams a question may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant {
    /// Everybody's: the engine's own processes.
    Any,
    /// Those of this organizer, or the engine's own.
    Of(Option<OrganizerId>),
}

/// What a question may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// What is durable when the answer comes.
    Durable,
    /// Also what is decided and not durable yet.
    Decided,
}

type Question = Box<dyn FnMut(&State, Version) -> Box<dyn Any + Send> + Send>;

/// A place in the queue; given back when dropped, however the question ends.
struct Place(Arc<Counters>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the loop needs.
#[derive(Clone)]
pub struct Ports {
    /// The events.
    pub store: Arc<dyn EventStore>,
    /// Snapshots and checkpoints.
    pub side: Arc<dyn SideStore>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub ids: Arc<dyn Ids>,
}

impl Engine {
    /// Starts the loop. It ends when it is told to stop or its store fails for good.
    pub fn start(ports: Ports, limits: Limits) -> Self {
        Self::start_on(&Handle::current(), ports, limits)
    }

    /// The same on another runtime: the loop does not wait behind the thousands whom it answers.
    pub fn start_on(runtime: &Handle, ports: Ports, limits: Limits) -> Self {
        Self::start_traced(runtime, ports, limits, None)
    }

    /// The same; what is sampled is told to the tracer.
    pub fn start_traced(
        runtime: &Handle,
        ports: Ports,
        limits: Limits,
        tracer: Option<Arc<dyn Tracer>>,
    ) -> Self {
        let (inbox, work) = mpsc::unbounded_channel();
        let (health_out, health) = watch::channel(Health::Working);
        let counters = Arc::new(Counters::default());
        let waiting = limits.waiting;
        let (clock, ids) = (ports.clock.clone(), ports.ids.clone());
        let shelf = Arc::new(Shelf::new());
        let gear =
            run::Gear { shelf: shelf.clone(), counters: counters.clone(), tracer: tracer.clone() };
        let run = runtime.spawn(run::run(ports, limits, work, gear, health_out.clone()));
        runtime.spawn(async move {
            // It never ends by a panic but for a bug: then, too, this process must not go on.
            if run.await.is_err() {
                health_out.send_replace(Health::Failed);
            }
        });
        let inner = Inner { inbox, shelf, counters, health, waiting, clock, ids, tracer };
        Self { inner: Arc::new(inner) }
    }

    /// Decides a command and answers when what it brought about is durable.
    pub async fn execute(&self, request: Request) -> Result<Receipt, CommandError> {
        let Request { stream, command, asker, creates } = request;
        let key_hash = asker.key.as_ref().map(|(key, _)| KeyHash::of(key));
        let tracer = self.inner.tracer.as_ref();
        let trace = tracer.and_then(|tracer| Traced::begin(tracer, &command, stream.kind));
        let (reply, answer) = oneshot::channel();
        self.send(stream, creates, key_hash, Ask::Execute { command, asker, reply }, trace)?;
        answer.await.unwrap_or(Err(CommandError::Unavailable))
    }

    /// The answer that was given to this key before, if any. `KeyReused` if it came with
    /// another request.
    pub async fn recall(
        &self,
        stream: StreamId,
        asker: Asker,
    ) -> Result<Option<Receipt>, CommandError> {
        let Some((key, _)) = &asker.key else { return Ok(None) };
        let key_hash = Some(KeyHash::of(key));
        let (reply, answer) = oneshot::channel();
        self.send(stream, false, key_hash, Ask::Recall { asker, reply }, None)?;
        answer.await.unwrap_or(Err(CommandError::Unavailable))
    }

    /// Looks at the state of a stream; what is seen is durable when the answer comes. Version 0
    /// is a stream that does not exist. The question may be asked more than once. `NotYours` if
    /// the stream is another organizer's.
    pub async fn read<R: Send + 'static>(
        &self,
        tenant: Tenant,
        stream: impl Into<StreamId>,
        question: impl FnMut(&State, Version) -> R + Send + 'static,
    ) -> Result<R, CommandError> {
        self.see(tenant, stream.into(), Sight::Durable, question).await
    }

    /// The same, without waiting until what is seen is durable: only for deciding what to ask
    /// next. Whatever is asked after it becomes durable after what was seen, or not at all, and
    /// nobody may be told of it before.
    ///
    /// That cannot be where others write the same store: what was seen of one stream may meet a
    /// conflict and be thrown away, and what was asked after it, of another stream, be written all
    /// the same: an order for a hold that never was. There, it waits like [`Engine::read`].
    pub async fn glance<R: Send + 'static>(
        &self,
        tenant: Tenant,
        stream: impl Into<StreamId>,
        question: impl FnMut(&State, Version) -> R + Send + 'static,
    ) -> Result<R, CommandError> {
        self.see(tenant, stream.into(), Sight::Decided, question).await
    }

    async fn see<R: Send + 'static>(
        &self,
        tenant: Tenant,
        stream: StreamId,
        sight: Sight,
        mut question: impl FnMut(&State, Version) -> R + Send + 'static,
    ) -> Result<R, CommandError> {
        let mut question: Question =
            Box::new(move |state, version| Box::new(question(state, version)));
        let answer = match self.inner.shelf.look(tenant, stream, &mut question) {
            Some(answer) => {
                self.inner.counters.shelved.fetch_add(1, Ordering::Relaxed);
                answer?
            }
            None => {
                let (reply, answer) = oneshot::channel();
                let ask = Ask::Read { tenant, question, sight, reply };
                self.send(stream, false, None, ask, None)?;
                answer.await.unwrap_or(Err(CommandError::Unavailable))?
            }
        };
        Ok(*answer.downcast().expect("the question gives an R"))
    }

    /// Most commands and questions that may wait or be under way at once.
    pub fn most_waiting(&self) -> usize {
        self.inner.waiting
    }

    /// Counters since the start.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// The newest position that this loop has made durable: read models that have come this far
    /// show everything that was answered until now.
    pub fn position(&self) -> Position {
        Position(self.inner.counters.position.load(Ordering::Acquire))
    }

    /// Whether the loop still works; tells when it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.clone()
    }

    /// The clock that decisions use.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// A seed for choices among equals.
    pub fn seed(&self) -> u64 {
        self.inner.ids.seed()
    }

    /// Answers what waits, takes no more, and returns when all is durable.
    pub async fn stop(&self) {
        // An error means that the loop has ended already.
        let _ = self.inner.inbox.send(Work::Stop);
        let mut health = self.health();
        let _ = health.wait_for(|health| *health != Health::Working).await;
    }

    fn send(
        &self,
        stream: StreamId,
        creates: bool,
        key_hash: Option<KeyHash>,
        ask: Ask,
        trace: Option<Box<Traced>>,
    ) -> Result<(), CommandError> {
        let counters = &self.inner.counters;
        if counters.waiting.fetch_add(1, Ordering::Relaxed) >= self.inner.waiting {
            counters.waiting.fetch_sub(1, Ordering::Relaxed);
            counters.busy.fetch_add(1, Ordering::Relaxed);
            return Err(CommandError::Busy);
        }
        let place = Place(counters.clone());
        let (attempts, fresh) = (0, false);
        let pending = Pending { stream, creates, attempts, fresh, key_hash, ask, place, trace };
        self.inner
            .inbox
            .send(Work::Decide(Box::new(pending)))
            .map_err(|_| CommandError::Unavailable)
    }
}

impl Asker {
    fn metadata(&self) -> Metadata {
        let (key, request) = self.key.clone().unzip();
        Metadata {
            organizer: self.organizer,
            actor: self.actor.clone(),
            key,
            request,
            cause: self.cause,
            correlation: self.correlation,
        }
    }
}

impl Ask {
    fn asker(&self) -> Option<&Asker> {
        match self {
            Self::Execute { asker, .. } | Self::Recall { asker, .. } => Some(asker),
            Self::Read { .. } => None,
        }
    }

    fn tenant(&self) -> Tenant {
        match self {
            Self::Execute { asker, .. } | Self::Recall { asker, .. } => Tenant::Of(asker.organizer),
            Self::Read { tenant, .. } => *tenant,
        }
    }

    /// Answers with an error. Nobody listens any more: that is their right.
    fn fail(self, error: CommandError) {
        match self {
            Self::Execute { reply, .. } => drop(reply.send(Err(error))),
            Self::Recall { reply, .. } => drop(reply.send(Err(error))),
            Self::Read { reply, .. } => drop(reply.send(Err(error))),
        }
    }

    /// Answers with what an earlier or this very command brought about.
    fn succeed(self, receipt: Receipt) {
        match self {
            Self::Execute { reply, .. } => drop(reply.send(Ok(receipt))),
            Self::Recall { reply, .. } => drop(reply.send(Ok(Some(receipt)))),
            Self::Read { .. } => unreachable!("a question is answered with what it saw"),
        }
    }
}
