//! The feed, cut off at random moments while others write: every event comes once, in order,
//! over WebSockets and event streams alike. Two feeds that do it wrong show that this is noticed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture};
use hakken_adapters::memory::MemoryStore;
use hakken_domain::envelope::{Position, StoredEvent, StreamId, Version};
use hakken_projections::feed::{EventFeed, EventStream, FeedError};
use hakken_tests::world::hall;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::{
    event_streams::Reader,
    sockets::Socket,
    stage::{Ground, Stage, Tenant},
};

const FEED: &str = "subscription($after: Position!) { events(after: $after) { position } }";
/// How often the reader is cut off.
const CUTS: usize = 60;
/// So long nothing comes, although there is more: it was lost.
const LOST: Duration = Duration::from_secs(10);

/// A feed that takes up again one event too late, or too early.
struct Amiss {
    inner: Arc<MemoryStore>,
    shift: i64,
}

impl EventFeed for Amiss {
    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        EventFeed::read_all(&*self.inner, after, limit)
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        EventFeed::read_stream(&*self.inner, stream, after, limit)
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, FeedError>> {
        EventFeed::head(&*self.inner)
    }

    fn follow(&self, after: Position) -> EventStream {
        let after = if after.0 == 0 { 0 } else { after.0.saturating_add_signed(self.shift) };
        EventFeed::follow(&*self.inner, Position(after))
    }
}

/// Small steps that look random, and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Who reads, over the one or the other.
enum Line {
    Socket(Box<Socket>),
    Stream(super::event_streams::Events),
}

impl Line {
    async fn open(stage: &Stage, reader: &Reader, tenant: &Tenant, after: u64, by: u64) -> Self {
        let variables = json!({ "after": after });
        if by == 0 {
            return Self::Stream(reader.stream(FEED, variables).await);
        }
        let mut socket = Socket::ready(stage, &tenant.auditor).await;
        socket.subscribe("feed", FEED, variables).await;
        Self::Socket(Box::new(socket))
    }

    /// The position of the next event.
    async fn next(&mut self) -> u64 {
        let data: Value = match self {
            Self::Socket(socket) => match socket.0.next().await.unwrap().unwrap() {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    message["payload"]["data"].clone()
                }
                other => panic!("{other:?}"),
            },
            Self::Stream(events) => events.next().await.expect("an event").data["data"].clone(),
        };
        data["events"]["position"].as_u64().expect("a position")
    }
}

/// Reads everything while others write, and is cut off again and again; gives what came, and what
/// there is.
async fn read_with_cuts(seed: u64, shift: i64) -> (Vec<u64>, Vec<u64>) {
    // So little is kept in memory that whoever reads goes over to the store and back.
    let memory = Arc::new(MemoryStore::with_live_bytes(4_000));
    let told = Arc::new(Amiss { inner: memory.clone(), shift });
    let ground = Ground {
        store: memory.clone(),
        side: memory.clone(),
        feed: memory,
        told: Some(told),
        ..Ground::in_memory()
    };
    let stage = Stage::on(ground).await;
    let tenant = stage.tenant("hibiki").await;
    let over = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..3 {
        let (organizer, over) = (tenant.organizer.clone(), over.clone());
        writers.spawn(async move {
            let map = json!({ "json": serde_json::to_string(&hall(1, 1, 1)).unwrap() });
            let mut nth = 0;
            while !over.load(Ordering::Relaxed) {
                let input = json!({ "idempotencyKey": format!("{writer}-{nth}"),
                    "name": "Hall", "seatMap": map });
                let made = organizer.mutate("registerVenue", input, "venue { id }").await;
                assert!(made["venue"]["id"].is_string(), "{made}");
                nth += 1;
                tokio::time::sleep(Duration::from_micros(nth % 7 * 100)).await;
            }
        });
    }
    let reader = Reader::new(&stage, &tenant.auditor).await;
    let (mut dice, mut seen) = (Dice(seed), Vec::new());
    for _ in 0..CUTS {
        let after = seen.last().copied().unwrap_or(0);
        let mut line = Line::open(&stage, &reader, &tenant, after, dice.below(2)).await;
        for _ in 0..dice.below(12) {
            let Ok(position) = tokio::time::timeout(LOST, line.next()).await else { break };
            seen.push(position);
        }
    }
    over.store(true, Ordering::Relaxed);
    writers.join_all().await;
    let mut all: Vec<u64> = Vec::new();
    loop {
        let query = "query($after: Position!) { events(first: 100, after: $after) { events {
            position } } }";
        let after = all.last().copied().unwrap_or(0);
        let page = tenant.auditor.ask(query, json!({ "after": after })).await;
        let page = page["events"]["events"].as_array().unwrap().clone();
        if page.is_empty() {
            break;
        }
        all.extend(page.iter().map(|event| event["position"].as_u64().unwrap()));
    }
    let mut line = Line::open(&stage, &reader, &tenant, *seen.last().unwrap(), 1).await;
    while seen.last() < all.last() {
        let Ok(position) = tokio::time::timeout(LOST, line.next()).await else { break };
        seen.push(position);
    }
    (seen, all)
}

#[tokio::test]
async fn cuts_at_random_moments_lose_nothing_and_repeat_nothing() {
    for seed in 1..=3 {
        let (seen, all) = read_with_cuts(seed, 0).await;
        assert!(all.len() > 2 * CUTS, "only {} events", all.len());
        assert_eq!(seen, all, "seed {seed}");
    }
}

#[tokio::test]
async fn a_feed_that_loses_or_repeats_an_event_is_noticed() {
    let (seen, all) = read_with_cuts(1, 1).await;
    assert!(seen.len() < all.len(), "something is missing");
    let (seen, all) = read_with_cuts(1, -1).await;
    assert!(seen.len() > all.len(), "something came twice");
}
