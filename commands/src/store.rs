//! The port to the event store, as the write side needs it. Every adapter passes the same
//! contract suite (`tests/`).

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use hakken_domain::{
    codec,
    envelope::{Decoded, Position, StoredEvent, StreamId, Version},
    names::EventId,
    time::Timestamp,
};

/// An event that is to be appended.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// Its kind.
    pub kind: &'static str,
    /// The schema version of its data.
    pub schema: u16,
    /// Its data, stored byte for byte.
    pub data: Bytes,
    /// Its metadata, stored byte for byte.
    pub meta: Bytes,
    /// The same, decoded, so that nobody who follows the store live decodes it again.
    pub decoded: Option<Decoded>,
}

impl NewEvent {
    /// Encodes an event.
    pub fn encode(id: EventId, decoded: Decoded) -> Self {
        let (kind, schema) = codec::kind_of(&decoded.event);
        Self {
            id,
            kind,
            schema,
            data: codec::encode(&decoded.event).into(),
            meta: codec::encode_metadata(&decoded.meta).into(),
            decoded: Some(decoded),
        }
    }
}

/// Events for one stream, to be appended together or not at all.
#[derive(Debug, Clone)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// The version that the stream must have: 0 if it must be empty.
    pub expected: Version,
    /// One or more events.
    pub events: Vec<NewEvent>,
}

/// What became of one [`Append`].
#[derive(Debug, Clone)]
pub enum Appended {
    /// The events are durable, with these positions.
    Written(Vec<Arc<StoredEvent>>),
    /// The stream has another version. Nothing of this append was written.
    Conflict {
        /// What the stream has after `expected`, oldest first; at most
        /// [`MAX_CONFLICT_EVENTS`] and about a page of bytes, read on from the store for more.
        /// Empty when the stream is shorter than `expected`.
        newer: Vec<Arc<StoredEvent>>,
    },
}

/// What became of events that another store recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// They are durable, behind what was here.
    Taken,
    /// This one of them, by its position in the store it comes from, does not follow what is
    /// here: its stream has another version, or the newest event is later. Of those before it
    /// some may have been taken.
    DoesNotFollow(Position),
}

/// Most events that a conflict brings along.
pub const MAX_CONFLICT_EVENTS: usize = 1_000;

/// A page of a stream that has fewer events than this, and than were asked for, and less than
/// [`FULL_PAGE_BYTES`], ends where the stream ended when it was read.
pub const FULL_PAGE_EVENTS: usize = 2_000;

/// Bytes of data and metadata from which on a page may be cut off.
pub const FULL_PAGE_BYTES: usize = 1 << 20;

/// Whether a page of a stream, of at most `limit` events, ends where the stream ended. One that is
/// full may end there, too.
pub fn is_last(page: &[Arc<StoredEvent>], limit: usize) -> bool {
    let bytes = || page.iter().map(|event| event.data.len() + event.meta.len()).sum::<usize>();
    page.len() < limit.min(FULL_PAGE_EVENTS) && bytes() < FULL_PAGE_BYTES
}

/// Why a store did not do what it was asked.
#[derive(Debug)]
pub struct StoreError {
    /// What to do about it.
    pub kind: StoreErrorKind,
    /// What went wrong underneath.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What to do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The store cannot be reached just now. Whether an append was written is not known.
    Unavailable,
    /// Writing or syncing failed, or the disk is full: this process must not write again. What
    /// is on disk is found again at the next start.
    Fatal,
    /// What is stored cannot be read.
    Corrupt,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StoreErrorKind::Unavailable => "the event store cannot be reached",
            StoreErrorKind::Fatal => "the event store can no longer be written",
            StoreErrorKind::Corrupt => "the event store cannot be read",
        };
        write!(f, "{what}: {}", self.source)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Events of one stream, in their order.
type Events = Vec<Arc<StoredEvent>>;

/// How somebody appends whose turn it is.
type AppendInTurn = Box<
    dyn FnOnce(Vec<Append>, Timestamp) -> BoxFuture<'static, Result<Vec<Appended>, StoreError>>
        + Send,
>;

/// A turn at writing: until it ends, nobody else appends to the store, as far as the store can see
/// to that. It ends with its append, or when it is dropped: then nothing is written.
pub struct Turn {
    /// What each stream that was asked for has beyond the version that was known, in the order in
    /// which they were asked for: all of it, oldest first. None where that is more than others
    /// should wait for; such a stream is to be read.
    pub newer: Vec<Option<Events>>,
    append: AppendInTurn,
}

impl Turn {
    /// Whoever drops `append` without calling it ends the turn.
    pub fn new(
        newer: Vec<Option<Events>>,
        append: impl FnOnce(
            Vec<Append>,
            Timestamp,
        ) -> BoxFuture<'static, Result<Vec<Appended>, StoreError>>
        + Send
        + 'static,
    ) -> Self {
        Self { newer, append: Box::new(append) }
    }

    /// Appends as [`EventStore::append`] does, expected versions and all, and ends the turn. A
    /// batch of nothing ends it well, too.
    pub fn append(
        self,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Appended>, StoreError>> {
        (self.append)(batch, now)
    }
}

/// Batches of events in order of position, without a gap: first what is stored, then what is
/// appended, live. It ends after an error; whoever reads on asks again from where they were.
pub type EventStream = BoxStream<'static, Result<Vec<Arc<StoredEvent>>, StoreError>>;

/// The event store.
///
/// - Positions are totally ordered. A reader never sees n + 1 before n is visible and final.
/// - `recorded_at` never runs backwards along positions.
/// - Bytes come back byte for byte.
/// - Appends of one call need not be atomic together; the events of one append are.
/// - A call that is dropped half-way may or may not have written.
pub trait EventStore: Send + Sync + 'static {
    /// Appends to many streams with one sync. Each stream stands at most once in a batch. The
    /// answer has one entry for each append, in their order, and comes when what is written is
    /// durable. Each event gets `now` as its recorded time, or the time of the event before it if
    /// that is later.
    fn append(
        &self,
        batch: Vec<Append>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>>;

    /// Waits until nobody else can append, and then brings what is newer in these streams than the
    /// versions that are known of them. No promise hangs on turns: expected versions are looked at
    /// in any case. Where several write the same streams a turn saves deciding in vain, and sees to
    /// it that all come through; a store that has no locks lets those wait who just came through.
    /// Nobody may be held up by a turn for long: a store ends one whose owner stands still.
    ///
    /// None: this store gives no turns.
    fn turn(
        &self,
        _known: Vec<(StreamId, Version)>,
    ) -> Option<BoxFuture<'static, Result<Turn, StoreError>>> {
        None
    }

    /// Takes events that another store recorded, in their order, behind what is here. Everything of
    /// them stays as it is, their recorded times too; only positions are this store's own. Nobody
    /// else should write meanwhile. A store that has no faster way appends them one stream after
    /// the other.
    fn import(&self, events: Vec<Arc<StoredEvent>>) -> BoxFuture<'_, Result<Imported, StoreError>> {
        Box::pin(import_by_appending(self, events))
    }

    /// Events of a stream with versions after `after`, oldest first, at most `limit` and at most
    /// about a page of bytes. Whether the stream ended there tells [`is_last`].
    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, StoreError>>;

    /// Events of all streams with positions after `after`, in order, at most `limit` and at most
    /// about a page of bytes: only an empty answer is the end.
    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, StoreError>>;

    /// The position of the newest event; 0 if there is none.
    fn head(&self) -> BoxFuture<'_, Result<Position, StoreError>>;

    /// Nobody else can append while this store is open: what this process has decided is all there
    /// is. Where others can, an answer that no append stands behind is checked against the store.
    fn is_sole_writer(&self) -> bool {
        false
    }

    /// Everything after `after`, and then whatever is appended, as it becomes durable. A reader
    /// that is too slow for the live feed is fed from the store until it has caught up.
    fn follow(&self, after: Position) -> EventStream;
}

/// Imports with appends alone. Since recorded times never run backwards, the time of each event is
/// the time that an append at that time gives it. Events of one stream that were recorded together
/// go together; whatever stands between them ends an append, so that the order stays. A store may
/// answer an append that it has already with where it stands: that does not follow.
async fn import_by_appending<S: EventStore + ?Sized>(
    store: &S,
    events: Vec<Arc<StoredEvent>>,
) -> Result<Imported, StoreError> {
    let together = |one: &Arc<StoredEvent>, next: &Arc<StoredEvent>| {
        (one.stream, one.recorded_at, one.version + 1)
            == (next.stream, next.recorded_at, next.version)
    };
    let mut head = store.head().await?;
    let newest = store.read_all(Position(head.0.saturating_sub(1)), 1).await?;
    let mut since = newest.last().map_or_else(Timestamp::default, |event| event.recorded_at);
    for run in events.chunk_by(together) {
        let first = &run[0];
        if first.recorded_at < since {
            return Ok(Imported::DoesNotFollow(first.position));
        }
        let append = Append {
            stream: first.stream,
            expected: first.version.saturating_sub(1),
            events: run.iter().map(|event| as_new(event)).collect::<Result<_, _>>()?,
        };
        let answers = store.append(vec![append], first.recorded_at).await?;
        let Some(Appended::Written(written)) = answers.first() else {
            return Ok(Imported::DoesNotFollow(first.position));
        };
        let is_later = |(new, old): (&Arc<StoredEvent>, &Arc<StoredEvent>)| {
            new.position > head && new.recorded_at == old.recorded_at
        };
        if !written.iter().zip(run).all(is_later) {
            return Ok(Imported::DoesNotFollow(first.position));
        }
        head = written.last().map_or(head, |event| event.position);
        since = first.recorded_at;
    }
    Ok(Imported::Taken)
}

fn as_new(event: &StoredEvent) -> Result<NewEvent, StoreError> {
    let kind = codec::known_kind(&event.kind).ok_or_else(|| StoreError {
        kind: StoreErrorKind::Unavailable,
        source: format!(
            "position {} has an event of the kind {:?}, which this version does not know: use the \
             version of Hakken that wrote it, or a newer one",
            event.position, event.kind
        )
        .into(),
    })?;
    Ok(NewEvent {
        id: event.id,
        kind,
        schema: event.schema,
        data: event.data.clone(),
        meta: event.meta.clone(),
        decoded: None,
    })
}

/// Snapshots of streams and durable checkpoints of processes: small things that the write side
/// keeps beside the events. A lost snapshot costs time, a lost checkpoint costs repeated work;
/// neither loses a fact.
pub trait SideStore: Send + Sync + 'static {
    /// The newest snapshot of a stream.
    fn load_snapshot(
        &self,
        stream: StreamId,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>>;

    /// Keeps a snapshot; it replaces the one before.
    fn save_snapshot(
        &self,
        stream: StreamId,
        snapshot: Snapshot,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// How far a process has come.
    fn load_checkpoint(&self, process: &'static str)
    -> BoxFuture<'_, Result<Position, StoreError>>;

    /// Remembers how far a process has come.
    fn save_checkpoint(
        &self,
        process: &'static str,
        position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A stream's state at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Up to which event.
    pub version: Version,
    /// Which program can read it (`hakken_domain::SNAPSHOT_FORMAT` and the loop's own).
    pub format: u32,
    /// The state.
    pub bytes: Bytes,
}
