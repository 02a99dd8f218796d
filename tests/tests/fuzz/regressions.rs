//! What fuzzing found, in a sentence each. The inputs stand in the corpus.

use std::sync::Arc;

use hakken_adapters::{
    memory::MemoryStore,
    seating::{self, ImportOptions},
};
use hakken_commands::{
    engine::{CommandError, Tenant},
    store::{Append, EventStore, NewEvent},
};
use hakken_domain::{
    Event, codec,
    envelope::{Decoded, Position, StreamId},
    inventory::{self, HoldEnded, Places},
    names::{EventId, HoldId, ShowId, derived_ulid},
};
use hakken_tests::world::{START, Setup, World, asker, hall, name, organizer_id};

/// Events that no rule decided, written past the engine.
async fn written(memory: &MemoryStore, stream: StreamId, after: u64, events: Vec<Event>) {
    let meta = hakken_domain::envelope::Metadata {
        organizer: Some(organizer_id()),
        actor: name("system:test"),
        key: None,
        request: None,
        cause: None,
        correlation: None,
    };
    let events = (after..).zip(events).map(|(number, event)| {
        let id = EventId(derived_ulid(&["written", &stream.to_string(), &number.to_string()]));
        NewEvent::encode(id, Decoded { event, meta: meta.clone() })
    });
    let append = Append { stream, expected: after, events: events.collect() };
    memory.append(vec![append], START).await.expect("memory takes it");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_tampered_with_is_not_served_and_all_others_are() {
    let memory = Arc::new(MemoryStore::new());
    let bad = StreamId::inventory(ShowId::derived("test", "tampered"));
    let places = Places { seats: vec![name("A1")], ..Places::default() };
    let ended = HoldEnded { hold: HoldId::derived("test", "none"), places };
    written(&memory, bad, 0, vec![Event::Inventory(inventory::Event::HoldExpired(ended))]).await;
    let world = World::with(Setup { memory, ..Setup::default() });
    for _ in 0..3 {
        let seen = world.write.engine().read(Tenant::Any, bad, |_, version| version).await;
        assert_eq!(seen, Err(CommandError::Unavailable));
    }
    let show = world.show("other", hall(1, 3, 0), &[]).await;
    world.hold(show, "b", &["A1"], "k").await.expect("other shows are sold");
    world.stop().await;
}

/// A pretix plan of one row with seats at these places.
fn plan(seats: impl Iterator<Item = (usize, usize)>) -> Vec<u8> {
    let seats: Vec<String> = seats
        .enumerate()
        .map(|(at, (x, y))| {
            format!(
                r#"{{"seat_number":"{at}","seat_guid":"S-{at}","uuid":"u","category":"c","position":{{"x":{x},"y":{y}}}}}"#
            )
        })
        .collect();
    format!(
        r##"{{"name":"h","size":{{"width":1,"height":1}},"categories":[{{"name":"c","color":"#fff"}}],
        "zones":[{{"name":"z","zone_id":"z","uuid":"u","position":{{"x":0,"y":0}},"areas":[],"rows":[{{
        "row_number":"1","row_number_position":"both","uuid":"r","position":{{"x":0,"y":0}},
        "seats":[{}]}}]}}]}}"##,
        seats.join(",")
    )
    .into()
}

#[test]
fn a_plan_whose_seats_crowd_takes_hardly_longer_than_one_whose_seats_stand_in_rows() {
    const SEATS: usize = 8_000;
    let mixed = |at: usize| at * 2_741 % SEATS;
    let rows = plan((0..SEATS).map(mixed).map(|at| (at % 60 * 25, at / 60 * 25)));
    // Half of the seats stand far apart, the others where two of them would.
    let crowd = plan((0..SEATS).map(mixed).map(|at| match at < SEATS / 2 + 1 {
        true => (at % 80 * 1_000, at / 80 * 1_000),
        false => (40_300 + at % 71, 20_300 + at / 71 % 113),
    }));
    // The best of several: a machine that does something else meanwhile takes longer.
    let took = |plan: &[u8]| {
        let once = |_| {
            let begun = std::time::Instant::now();
            let map = seating::parse(plan, &ImportOptions::default()).expect("a good plan");
            assert_eq!(map.seats().count(), SEATS);
            begun.elapsed()
        };
        (0..3).map(once).min().expect("three times")
    };
    let (rows, crowd) = (took(&rows), took(&crowd));
    assert!(crowd < rows * 8 + std::time::Duration::from_millis(200), "{crowd:?} against {rows:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_in_the_wrong_kind_of_stream_is_not_served() {
    let memory = Arc::new(MemoryStore::new());
    let stream = StreamId::show(ShowId::derived("test", "tampered"));
    let data = br#"{"code_key":1}"#;
    let event = codec::decode_event("code-key-added", 1, data).expect("it decodes");
    written(&memory, stream, 0, vec![event]).await;
    let world = World::with(Setup { memory, ..Setup::default() });
    let seen = world.write.engine().read(Tenant::Any, stream, |_, version| version).await;
    assert_eq!(seen, Err(CommandError::Unavailable));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_told_that_it_is_so_already_is_told_from_which_position_on_it_shows() {
    let world = World::start();
    let show = world.show("show", hall(1, 3, 0), &[]).await;
    let stream = StreamId::inventory(show);
    let block = || inventory::Command::BlockSeats { seats: vec![name("A1")], reason: name("r") };
    let first = world.ask(stream, block()).await.expect("blocked");
    let again = world.desk().ask(asker("another key"), stream, block()).await.expect("so already");
    assert_eq!((again.events.len(), again.repeated), (0, false));
    assert!(first.position > Position(0));
    assert_eq!(again.position, first.position);
    world.stop().await;
}
