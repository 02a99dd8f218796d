//! Appending: versions, conflicts, bytes, times.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hakken_commands::store::{Appended, EventStore, MAX_CONFLICT_EVENTS, NewEvent};
use hakken_domain::{
    envelope::{Decoded, Metadata, Position},
    names::ActorRef,
    organizer,
};
use hakken_tests::stores::{append, at, conflict, event, stream, written};

use super::Store;

type Opened = Arc<dyn Store>;

fn events(store: &Opened) -> &dyn EventStore {
    &**store
}

pub async fn an_empty_stream_takes_events_at_version_0(store: &Opened) {
    let answer = events(store).append(vec![append(stream(1), 0, ["a", "b"])], at(5)).await.unwrap();
    let [one] = answer.as_slice() else { panic!("one append has one answer") };
    let found: Vec<_> = written(one)
        .iter()
        .map(|e| (e.position.0, e.version, &e.data[..], e.recorded_at))
        .collect();
    assert_eq!(found, [(1, 1, &b"a"[..], at(5)), (2, 2, b"b", at(5))]);
    let answer = events(store).append(vec![append(stream(1), 2, ["c"])], at(6)).await.unwrap();
    assert_eq!(written(&answer[0])[0].version, 3);
    assert_eq!(events(store).head().await.unwrap(), Position(3));
}

pub async fn a_wrong_version_is_a_conflict_that_brings_what_is_newer(store: &Opened) {
    let all =
        events(store).append(vec![append(stream(1), 0, ["a", "b", "c"])], at(0)).await.unwrap();
    for (expected, newer) in [(0, 3), (1, 2), (2, 1)] {
        let answer =
            events(store).append(vec![append(stream(1), expected, ["x"])], at(0)).await.unwrap();
        assert_eq!(conflict(&answer[0]), &written(&all[0])[3 - newer..], "at {expected}");
    }
    assert_eq!(events(store).head().await.unwrap(), Position(3));
}

pub async fn a_version_that_is_too_high_is_a_conflict_without_events(store: &Opened) {
    events(store).append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    for (stream, expected) in [(stream(1), 2), (stream(1), u64::MAX), (stream(2), 1)] {
        let answer = events(store).append(vec![append(stream, expected, ["x"])], at(0)).await;
        assert!(conflict(&answer.unwrap()[0]).is_empty());
    }
}

pub async fn a_conflict_brings_a_bounded_number_of_events(store: &Opened) {
    let many = (0..MAX_CONFLICT_EVENTS + 5).map(|n| n.to_string());
    events(store).append(vec![append(stream(1), 0, many)], at(0)).await.unwrap();
    let answer = events(store).append(vec![append(stream(1), 2, ["x"])], at(0)).await.unwrap();
    let newer = conflict(&answer[0]);
    assert_eq!(newer.len(), MAX_CONFLICT_EVENTS);
    assert_eq!((newer[0].version, newer[newer.len() - 1].version), (3, 1_002));
}

pub async fn a_conflict_does_not_stop_the_other_appends_of_its_batch(store: &Opened) {
    events(store).append(vec![append(stream(2), 0, ["a"])], at(0)).await.unwrap();
    let batch = vec![
        append(stream(1), 0, ["b"]),
        append(stream(2), 0, ["x", "y"]),
        append(stream(3), 4, ["x"]),
        append(stream(4), 0, ["c", "d"]),
    ];
    let answer = events(store).append(batch, at(0)).await.unwrap();
    assert_eq!(conflict(&answer[1])[0].data, "a");
    assert!(conflict(&answer[2]).is_empty());
    // The appends of a batch stand in any order; the events of one follow each other.
    let positions = |n: usize| -> Vec<u64> {
        written(&answer[n]).iter().map(|event| event.position.0).collect()
    };
    let found = [positions(0), positions(3)];
    assert!(found == [vec![2], vec![3, 4]] || found == [vec![4], vec![2, 3]], "{found:?}");
    assert_eq!(events(store).head().await.unwrap(), Position(4));
    assert!(events(store).read_stream(stream(3), 0, 9).await.unwrap().is_empty());
}

pub async fn a_batch_of_nothing_writes_nothing(store: &Opened) {
    assert!(events(store).append(Vec::new(), at(0)).await.unwrap().is_empty());
    let nothing = append(stream(1), 0, Vec::<Bytes>::new());
    let answer = events(store).append(vec![nothing], at(0)).await.unwrap();
    assert!(written(&answer[0]).is_empty());
    assert_eq!(events(store).head().await.unwrap(), Position(0));
}

pub async fn a_stream_that_stands_twice_in_a_batch_gets_no_version_twice(store: &Opened) {
    let batch = vec![append(stream(1), 0, ["a"]), append(stream(1), 0, ["b"])];
    let answer = events(store).append(batch, at(0)).await.unwrap();
    written(&answer[0]);
    conflict(&answer[1]);
    assert_eq!(events(store).read_stream(stream(1), 0, 9).await.unwrap().len(), 1);
}

pub async fn odd_bytes_come_back_as_they_went_in(store: &Opened) {
    let odd: Vec<Bytes> = vec![
        Bytes::from_static(b"{}"),
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"\0a\0\0"),
        Bytes::from_static(b"\xff\xfe\x80not UTF-8\xc3"),
        Bytes::from_static("発券 🎫 𠮷野家".as_bytes()),
        Bytes::from_static(b" { \"b\" : 1.0e0, \"a\":\r\n2 } "),
        Bytes::from_static(b"'); DROP TABLE log; --"),
        Bytes::from_iter((0..=255).cycle().take(70_001)),
    ];
    let mut batch = vec![append(stream(1), 0, odd.clone()), append(stream(2), 0, odd.clone())];
    for (new, meta) in batch[1].events.iter_mut().zip(odd.iter().rev()) {
        new.meta = meta.clone();
        new.schema = u16::MAX;
        new.kind = "a-kind-that-nobody-knows";
    }
    events(store).append(batch, at(0)).await.unwrap();
    let all = super::reading::read_everything(store, 99).await;
    let of = |number| all.iter().filter(|e| e.stream == stream(number)).cloned().collect();
    for (number, found) in [
        (1, events(store).read_stream(stream(1), 0, 99).await.unwrap()),
        (2, events(store).read_stream(stream(2), 0, 99).await.unwrap()),
        (1, of(1)),
        (2, of(2)),
    ] {
        let data: Vec<_> = found.iter().map(|event| event.data.clone()).collect();
        assert_eq!(data, odd);
        if number == 2 {
            let meta: Vec<_> = found.iter().rev().map(|event| event.meta.clone()).collect();
            assert_eq!(meta, odd);
            assert!(found.iter().all(|event| event.schema == u16::MAX));
            assert!(found.iter().all(|event| event.kind == "a-kind-that-nobody-knows"));
        }
    }
}

pub async fn a_large_event_comes_back_as_it_went_in(store: &Opened) {
    let large = Bytes::from_iter((0..5 * 1024 * 1024u32).map(|n| (n ^ (n >> 8)) as u8));
    let batch = vec![append(
        stream(1),
        0,
        [Bytes::from_static(b"a"), large.clone(), Bytes::from_static(b"b")],
    )];
    events(store).append(batch, at(0)).await.unwrap();
    let found = events(store).read_stream(stream(1), 1, 1).await.unwrap();
    assert!(found[0].data == large, "5 MB differ");
    let mut after = Position(0);
    let mut all = Vec::new();
    while after < Position(3) {
        let page = events(store).read_all(after, 9).await.unwrap();
        after = page.last().expect("a page is empty only at the end").position;
        all.extend(page);
    }
    assert!(all[1].data == large, "5 MB differ");
    assert_eq!((&all[0].data[..], &all[2].data[..]), (&b"a"[..], &b"b"[..]));
}

pub async fn the_answer_is_what_a_reader_finds(store: &Opened) {
    let batch = (0..50).map(|n| append(stream(n), 0, ["a", "b"])).collect();
    let answer = events(store).append(batch, at(7)).await.unwrap();
    let told: Vec<_> = answer.iter().flat_map(|appended| written(appended).to_vec()).collect();
    for n in 0..50 {
        let found = events(store).read_stream(stream(n), 0, 9).await.unwrap();
        assert_eq!(found, told[2 * n as usize..][..2]);
    }
    let mut in_order = told;
    in_order.sort_by_key(|event| event.position);
    assert_eq!(events(store).read_all(Position(0), 1_000).await.unwrap(), in_order);
}

pub async fn the_appends_of_a_batch_stand_in_their_order(store: &Opened) {
    events(store).append(vec![append(stream(3), 0, ["a"])], at(0)).await.unwrap();
    let appends = |n| match n {
        3 => append(stream(3), 0, ["not taken"]),
        n => append(stream(n), 0, ["b", "c"]),
    };
    let answer = events(store).append((0..50).rev().map(appends).collect(), at(7)).await.unwrap();
    let told = answer.iter().filter(|appended| matches!(appended, Appended::Written(_)));
    let told: Vec<_> = told.flat_map(|appended| written(appended).to_vec()).collect();
    assert_eq!(told.len(), 98);
    assert_eq!(events(store).read_all(Position(1), 1_000).await.unwrap(), told);
}

pub async fn what_the_writer_decoded_is_not_decoded_again(store: &Opened) {
    let meta = Metadata {
        organizer: None,
        actor: ActorRef::new("system:test").unwrap(),
        key: None,
        request: None,
        cause: None,
        correlation: None,
    };
    let happened = organizer::Event::CodeKeyAdded(organizer::CodeKeyAdded { code_key: 1 });
    let new = NewEvent::encode(event("").id, Decoded { event: happened.into(), meta });
    let bare = NewEvent { id: event("").id, decoded: None, ..new.clone() };
    let batch = vec![hakken_commands::store::Append {
        stream: stream(1),
        expected: 0,
        events: vec![new, bare],
    }];
    let answer = events(store).append(batch, at(0)).await.unwrap();
    let [decoded, bare] = written(&answer[0]) else { panic!("two events") };
    assert!(decoded.cache.get().is_some() && bare.cache.get().is_none());
    assert_eq!(decoded.decoded(), bare.decoded());
    let read = events(store).read_all(Position(0), 9).await.unwrap();
    assert_eq!(read[0].decoded(), decoded.decoded());
}

pub async fn time_never_runs_backwards_when_the_clock_does(store: &Opened) {
    let mut recorded = Vec::new();
    for (n, now) in [100, 50, 101, -7, 101, 103].into_iter().enumerate() {
        let batch = vec![append(stream(n as u64), 0, ["a"])];
        let answer = events(store).append(batch, at(now)).await.unwrap();
        recorded.push(written(&answer[0])[0].recorded_at);
    }
    assert_eq!(recorded, [100, 100, 101, 101, 101, 103].map(at));
    let found = events(store).read_all(Position(0), 99).await.unwrap();
    assert_eq!(found.iter().map(|event| event.recorded_at).collect::<Vec<_>>(), recorded);
}

pub async fn a_cancelled_append_leaves_the_store_usable(store: &Opened) {
    for n in 0..30 {
        let batch = vec![append(stream(n), 0, [vec![b'x'; 100_000]])];
        let call = events(store).append(batch, at(0));
        // From not polled at all to nearly done.
        let _ = tokio::time::timeout(Duration::from_micros(n * 100), call).await;
    }
    let answer = events(store).append(vec![append(stream(99), 0, ["a"])], at(0)).await.unwrap();
    let last = written(&answer[0])[0].position;
    let mut seen = Vec::new();
    while let Some(page) =
        Some(events(store).read_all(Position(seen.len() as u64), 9).await.unwrap())
            .filter(|page| !page.is_empty())
    {
        seen.extend(page);
    }
    assert_eq!(hakken_tests::stores::first_disorder(Position(0), &seen), None);
    assert!(seen.iter().any(|event| event.position == last));
    for n in 0..30 {
        let versions = events(store).read_stream(stream(n), 0, 9).await.unwrap().len() as u64;
        assert!(versions <= 1);
        let batch = vec![append(stream(n), versions, ["b"])];
        written(&events(store).append(batch, at(0)).await.unwrap()[0]);
    }
}
