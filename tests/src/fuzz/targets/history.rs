//! Histories that decode and that no rule can have decided: a store that somebody tampered with.
//! A line for each event: `stream kind data`.
//!
//! The folds of the rule book are not asked to make sense of them. They must refuse, in words, at
//! the first event that does not follow from those before it; the engine must turn that into a
//! stream that cannot be used just now, and serve all others; and every projection must follow to
//! the end or stop at an event that it names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hakken_adapters::{
    memory::MemoryStore,
    system::{ManualClock, SeededIds},
};
use hakken_commands::{
    engine::{CommandError, Engine, Limits, Ports, Tenant},
    store::{Append, EventStore, NewEvent},
};
use hakken_domain::{
    Command, Context, State, codec,
    envelope::{StoredEvent, StreamId, StreamKind},
    inventory::{self, BestAvailable, HoldSeats, SeatChoice},
    names::{EventId, HoldId, ShowId, derived_ulid},
};
use hakken_projections::RunState;

use crate::{
    fuzz::{
        Target, Verdict, assert_short,
        corpus::Entry,
        panics,
        stage::{Stage, block_on, fixture},
    },
    world::{START, name, organizer_id},
};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "history",
    run: history,
    words: &[
        "inventory-01J80000000000000000000001",
        "order-01J80000000000000000000002",
        "ticket-01J80000000000000000000003",
        "gate-01J80000000000000000000001",
        "hold-expired",
        "hold-released",
        "hold-confirmed",
        "seats-held",
        "places-returned",
        "order-reseated",
        "items-cancelled",
        "payment-reversed",
        "refund-failed",
        "refund-requested",
        "[0,1]",
        "[0,2]",
        "[62,64]",
        "A1",
        "A2",
        "floor",
        "sponsors",
        "\"legs\":0",
        "\"legs\":64",
        "\"legs\":65",
        "\"legs\":255",
        "4294967295",
        "18446744073709551615",
    ],
    made: happened,
    mutations: 90,
};

/// The history of the small world.
fn happened() -> Vec<Entry> {
    let line = |event: &Arc<StoredEvent>| {
        format!("{} {} {}\n", event.stream, event.kind, String::from_utf8_lossy(&event.data))
    };
    let text: String = fixture().events.iter().map(line).collect();
    vec![Entry { name: "happened".to_owned(), bytes: text.into() }]
}

/// Most events of one input.
const MOST_EVENTS: usize = 300;

/// Where a stream's fold refuses: the number of the event in the stream, and its words.
type Folded = Result<State, (u64, String)>;

/// As said above.
pub fn history(input: &[u8]) -> Verdict {
    let events = events(input);
    let mut streams: BTreeMap<StreamId, Vec<NewEvent>> = BTreeMap::new();
    for (stream, event) in &events {
        streams.entry(*stream).or_default().push(event.clone());
    }
    let folded: BTreeMap<StreamId, Folded> =
        streams.iter().map(|(stream, events)| (*stream, fold(*stream, events))).collect();
    block_on(async {
        let memory = Arc::new(MemoryStore::new());
        let mut versions: BTreeMap<StreamId, u64> = BTreeMap::new();
        for (stream, event) in events {
            let version = versions.entry(stream).or_default();
            let append = Append { stream, expected: *version, events: vec![event] };
            *version += 1;
            memory.append(vec![append], START).await.expect("memory takes it");
        }
        served(memory.clone(), &folded).await;
        let stage = Stage::on(memory).await;
        followed(&stage, folded.keys()).await;
        stage.stop().await;
        // Processes ask the engine for streams that cannot be read, again and again.
        panics::forgive(is_rule);
    });
    Verdict::of(folded.values().all(Result::is_ok))
}

/// The lines that are events; of others nothing could have been stored.
fn events(input: &[u8]) -> Vec<(StreamId, NewEvent)> {
    let text = String::from_utf8_lossy(input);
    let meta = format!(r#"{{"organizer":"{}","actor":"system:fuzz"}}"#, organizer_id());
    let mut events = Vec::new();
    for line in text.lines().take(MOST_EVENTS) {
        let mut parts = line.splitn(3, ' ');
        let (Some(stream), Some(kind), Some(data)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (Ok(stream), Some(kind)) = (stream.parse::<StreamId>(), codec::known_kind(kind)) else {
            continue;
        };
        if codec::decode_event(kind, 1, data.as_bytes()).is_err() {
            continue;
        }
        let number = events.len().to_string();
        let event = NewEvent {
            id: EventId(derived_ulid(&["fuzz", &number])),
            kind,
            schema: 1,
            data: Bytes::copy_from_slice(data.as_bytes()),
            meta: meta.clone().into(),
            decoded: None,
        };
        events.push((stream, event));
    }
    events
}

/// Folds a stream by itself. It refuses in words of its own: an index out of bounds or a number
/// that wraps round says that a check is missing, and would go unnoticed in a release build.
fn fold(stream: StreamId, events: &[NewEvent]) -> Folded {
    let mut state = State::initial(stream.kind);
    for (version, event) in (1..).zip(events) {
        let decoded = codec::decode_event(event.kind, 1, &event.data).expect("it was decoded");
        let (done, panicked) = panics::watch(|| state.evolve(&decoded));
        if done.is_none() {
            let first = panicked.first().expect("it panicked");
            const MISSING: [&str; 6] =
                ["attempt to ", "index out", "out of range", "`Option::", "`Result::", "capacity"];
            let message = &first.message;
            let is_missing = MISSING.iter().any(|words| message.contains(words));
            assert!(!is_missing && !message.is_empty(), "no check refuses this: {first}");
            assert_short(message);
            assert!(is_rule(first), "the refusal is in the rule book: {first}");
            return Err((version, message.clone()));
        }
    }
    // What others ask of a state never fails.
    let (done, panicked) = panics::watch(|| look(&state));
    assert!(done.is_some(), "a question fails: {panicked:?}");
    Ok(state)
}

/// What the rest of the program asks of every state.
fn look(state: &State) {
    let _ = state.due(START.plus_seconds(1 << 30));
    match state {
        State::Inventory(inventory) => {
            let _ = (inventory.next_expiry(), inventory.weight(), inventory.is_open());
            let _ = state.decide(&wish(), &Context { now: START, actor: name("system:fuzz") });
        }
        State::Order(order) => {
            let money = (order.due_minor(), order.paid_minor(), order.refunded_minor());
            let _ = (money, order.refundable_minor(), order.status());
        }
        State::Ticket(ticket) => drop((ticket.status(), ticket.is_inside())),
        _ => {}
    }
}

/// Two seats side by side, wherever they are best.
fn wish() -> Command {
    let best = BestAvailable {
        count: 2,
        section: None,
        category: None,
        wheelchair: false,
        may_split: true,
        seed: 1,
    };
    Command::Inventory(inventory::Command::HoldSeats(HoldSeats {
        hold: HoldId::derived("fuzz", "wish"),
        buyer: name("b-9"),
        seats: SeatChoice::BestAvailable(best),
        pools: Vec::new(),
        legs: None,
        allotment: None,
        ttl_seconds: None,
    }))
}

fn is_rule(panicked: &panics::Panicked) -> bool {
    panicked.file.replace('\\', "/").contains("domain/src/")
}

/// The engine answers for every stream whose fold refuses nothing, and for no other.
async fn served(memory: Arc<MemoryStore>, folded: &BTreeMap<StreamId, Folded>) {
    let ports = Ports {
        store: memory.clone(),
        side: memory,
        clock: Arc::new(ManualClock::new(START)),
        ids: Arc::new(SeededIds::new(1)),
    };
    let engine = Engine::start(ports, Limits::default());
    for (stream, folded) in folded {
        let seen = engine.read(Tenant::Any, *stream, |state, _| state.clone()).await;
        // The engine folds what is stored, met the same refusal, and caught it.
        panics::forgive(is_rule);
        match (folded, seen) {
            (Ok(state), Ok(seen)) => assert_eq!(seen, *state, "{stream}"),
            (Err(_), Err(CommandError::Unavailable)) => {}
            (Ok(_), Err(error)) => panic!("{stream} is not served: {error}"),
            (Err((version, why)), other) => {
                panic!("{stream} refuses its event {version} ({why}), but {other:?} is served")
            }
        }
    }
    let empty = StreamId { kind: StreamKind::Venue, id: derived_ulid(&["nobody's"]) };
    let other = engine.read(Tenant::Any, empty, |_, version| version).await;
    assert_eq!(other, Ok(0), "the engine goes on");
    engine.stop().await;
}

/// Every projection comes to the end or stops at an event that it names.
async fn followed(stage: &Stage, streams: impl Iterator<Item = &StreamId>) {
    tokio::time::sleep(Duration::from_secs(3)).await;
    let head = stage.events().await.len() as u64;
    for status in stage.models.status().await.expect("memory can be read") {
        match &status.state {
            RunState::Running => assert_eq!(status.checkpoint.0, head, "{} lags", status.name),
            RunState::Stopped(poison) => {
                assert!((1..=head).contains(&poison.position.0), "{poison:?}");
                assert_short(&poison.reason);
            }
            other => panic!("{} is {other:?}", status.name),
        }
    }
    let shows: BTreeSet<ShowId> = streams
        .filter(|stream| stream.kind == StreamKind::Inventory)
        .map(|stream| ShowId(stream.id))
        .collect();
    for show in shows {
        let free = stage.models.availability(None, show, None, START).await;
        if let Err(error) = free {
            assert_short(&error.to_string());
        }
    }
}
