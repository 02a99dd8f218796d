//! Snapshots: whatever lies where the state of a stream should be is taken or thrown away, and the
//! stream is there all the same.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use hakken_adapters::{
    memory::MemoryStore,
    system::{ManualClock, SeededIds},
};
use hakken_commands::{
    engine::{Asker, Engine, Limits, Ports, Request, Tenant},
    store::{EventStore, SideStore, Snapshot, StoreError},
};
use hakken_domain::{
    State,
    envelope::{Position, StoredEvent, StreamId, StreamKind},
    inventory,
};

use crate::{
    fuzz::{
        Target, Verdict,
        corpus::Entry,
        stage::{block_on, fixture, record},
    },
    world::{START, asker, name},
};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "snapshot",
    run: snapshot,
    // Lengths as postcard writes them: seven bits a byte, the lowest first.
    words: &[
        "\0",
        "\u{1}",
        "\u{2}",
        "\u{7}",
        "\u{7f}",
        "A1",
        "floor",
        "stalls",
        "b-1",
        "01J8000000000000000000000A",
        "2026-11-21T10:00:00Z",
    ],
    made: saved,
    mutations: 250,
};

/// Gives this snapshot of every stream, and remembers what is saved.
struct Shelf {
    given: Option<Snapshot>,
    saved: Mutex<Vec<(StreamId, Snapshot)>>,
}

impl SideStore for Shelf {
    fn load_snapshot(&self, _: StreamId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        std::future::ready(Ok(self.given.clone())).boxed()
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        snapshot: Snapshot,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).push((stream, snapshot));
        std::future::ready(Ok(())).boxed()
    }

    fn load_checkpoint(&self, _: &'static str) -> BoxFuture<'_, Result<Position, StoreError>> {
        std::future::ready(Ok(Position(0))).boxed()
    }

    fn save_checkpoint(
        &self,
        _: &'static str,
        _: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }
}

struct Known {
    events: Vec<Arc<StoredEvent>>,
    inventory: StreamId,
    /// What the program itself saved when the stream was as long as it is.
    saved: Snapshot,
    /// The state without any snapshot.
    state: State,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    // A thread of its own: a runtime cannot be entered where another one runs already.
    let made = std::thread::spawn(|| block_on(make()));
    made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
});

fn start(events: Arc<MemoryStore>, given: Option<Snapshot>) -> (Engine, Arc<Shelf>) {
    let shelf = Arc::new(Shelf { given, saved: Mutex::default() });
    let ports = Ports {
        store: events,
        side: shelf.clone(),
        clock: Arc::new(ManualClock::new(START)),
        ids: Arc::new(SeededIds::new(1)),
    };
    let limits = Limits { snapshot_events: 1, snapshot_share: usize::MAX, ..Limits::default() };
    (Engine::start(ports, limits), shelf)
}

/// The fixture's show, closed, which makes the program save a snapshot of it.
async fn make() -> Known {
    let events = &fixture().events;
    let of_show = |event: &&Arc<StoredEvent>| event.stream.kind == StreamKind::Inventory;
    let inventory = events.iter().find(of_show).expect("a show is on sale").stream;
    let own: Vec<_> = events.iter().filter(|e| e.stream == inventory).cloned().collect();
    let memory = Arc::new(MemoryStore::new());
    record(&memory, &own).await;
    let (engine, shelf) = start(memory.clone(), None);
    let organizer = own[0].decoded().expect("it decodes").meta.organizer;
    let command = inventory::Command::CloseSales { reason: name("over") };
    let asker = Asker { organizer, ..asker("close") };
    let request = Request { stream: inventory, command: command.into(), asker, creates: false };
    engine.execute(request).await.expect("closed");
    engine.stop().await;
    let events = memory.read_stream(inventory, 0, usize::MAX).await.expect("memory can be read");
    let mut state = State::initial(StreamKind::Inventory);
    for event in &events {
        state.evolve(&event.decoded().expect("it decodes").event);
    }
    let mut saved = shelf.saved.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, saved) = saved.pop().expect("a snapshot was saved");
    assert_eq!(saved.version, events.len() as u64, "a snapshot of all of it");
    Known { events, inventory, saved, state }
}

fn saved() -> Vec<Entry> {
    vec![Entry { name: "saved".to_owned(), bytes: KNOWN.saved.bytes.to_vec() }]
}

/// Whatever is found where the snapshot should be, the stream can be read, and so can another one.
/// What is not taken changes nothing about what is read.
pub fn snapshot(input: &[u8]) -> Verdict {
    let known = &*KNOWN;
    let given = Snapshot { bytes: Bytes::copy_from_slice(input), ..known.saved.clone() };
    for bit in [1, 1 << 16] {
        let other = Snapshot { format: given.format ^ bit, ..given.clone() };
        assert!(!is_taken(known, other), "a snapshot of another program is used");
    }
    let taken = is_taken(known, given.clone());
    let other = Snapshot { version: given.version + 1, ..given.clone() };
    assert!(!taken || !is_taken(known, other), "a snapshot of another version is used");
    let state = read(known, &known.events, given, |state, _| state.clone());
    assert!(taken || state == known.state, "a snapshot that was not taken changes the state");
    Verdict::of(taken)
}

/// Without any events, a stream is as long as its snapshot says.
fn is_taken(known: &Known, given: Snapshot) -> bool {
    read(known, &[], given, |_, version| version) > 0
}

/// Reads the stream with this snapshot beside it.
fn read<R: Send + 'static>(
    known: &Known,
    events: &[Arc<StoredEvent>],
    given: Snapshot,
    question: fn(&State, u64) -> R,
) -> R {
    block_on(async {
        let memory = Arc::new(MemoryStore::new());
        record(&memory, events).await;
        let (engine, _) = start(memory, Some(given));
        let seen = engine.read(Tenant::Any, known.inventory, question).await;
        let other = StreamId { kind: StreamKind::Order, id: known.inventory.id };
        let other = engine.read(Tenant::Any, other, |_, version| version).await;
        engine.stop().await;
        assert!(other.is_ok(), "the engine goes on: {other:?}");
        seen.unwrap_or_else(|error| panic!("the stream cannot be read: {error}"))
    })
}
