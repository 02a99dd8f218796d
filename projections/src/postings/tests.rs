//! What is found in lists is what a filter over everything finds, in every direction.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use futures_util::future::{BoxFuture, FutureExt};
use hakken_domain::{
    envelope::Position,
    names::{OrderId, ShowId, derived_ulid},
    time::Timestamp,
};

use super::{
    BLOCK_TABLE, Elements, List, Lists, Packed, Postings, TAIL_TABLE, Taken, Wanted, events_within,
};
use crate::{
    PageRequest, QueryError,
    cache::AnyRows,
    engine::Lease,
    rows::{Changes, Checkpoint, MemoryRows, Purpose, RowStore},
};

/// About the greatest position.
const MOST: u64 = 20_000;

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % count
    }
}

fn list(number: u64) -> List {
    if number == 0 { List::Kind("seats-held") } else { List::Show(show(number)) }
}

fn show(number: u64) -> ShowId {
    ShowId(derived_ulid(&[&number.to_string()]))
}

/// Lists of very different lengths, written in batches of any size, and what is in them.
async fn written(seed: u64, most: u64) -> (Lease, BTreeMap<u64, Vec<(u64, Option<u32>)>>) {
    let rows: Arc<dyn RowStore> = Arc::new(MemoryRows::new());
    const TABLES: crate::rows::Tables = &[&TAIL_TABLE, &BLOCK_TABLE];
    let build = rows.create("p", 1, Purpose::Served, TABLES).await.expect("a build");
    let (mut draw, mut postings) = (Draw(seed), Postings::default());
    let mut plain: BTreeMap<u64, Vec<(u64, Option<u32>)>> = BTreeMap::new();
    let mut at = Position(0);
    let mut position = 0;
    while position < most {
        let batch = 1 + draw.below(700);
        for _ in 0..batch {
            position += 1 + draw.below(3) / 2 * draw.below(200);
            for number in 0..4_u64 {
                if draw.below(1 << (2 * number)) == 0 {
                    let tag = (number == 2).then(|| draw.below(9) as u32);
                    let list = list(number);
                    postings.need(&list);
                    let known = postings.tails.missing();
                    let loaded = rows.load(build, &TAIL_TABLE, known).await.expect("rows");
                    postings.tails.load(loaded).expect("good rows");
                    postings.push(&list, Position(position), tag).expect("in order");
                    plain.entry(number).or_default().push((position, tag));
                }
            }
        }
        let changes: Changes = postings.rows().into_iter().map(AnyRows::changes).collect();
        let checkpoint = Checkpoint {
            position: Position(position),
            event: None,
            recorded_at: Timestamp::from_micros(0),
        };
        rows.commit(build, &changes, at, checkpoint).await.expect("a commit");
        at = checkpoint.position;
        if draw.below(3) == 0 {
            postings = Postings::default();
        }
    }
    (Lease::over(rows, build), plain)
}

/// Positions are their own elements.
struct Themselves;

impl Elements for Themselves {
    type Element = u64;
    fn at(&self, positions: Vec<u64>, _: usize) -> BoxFuture<'_, Result<Taken<u64>, QueryError>> {
        let looked_at = positions.len();
        let elements = positions.into_iter().map(|at| (at, at)).collect();
        async move { Ok(Taken { elements, looked_at, bytes: 0 }) }.boxed()
    }
}

/// Positions that weigh much: of the larger ones a few fill a page. Some are none after all.
struct Heavy;

fn weight(at: u64) -> usize {
    if at.is_multiple_of(7) { 3 << 20 } else { 1_000 }
}

fn is_none(at: u64) -> bool {
    at.is_multiple_of(3)
}

impl Elements for Heavy {
    type Element = u64;
    fn at(
        &self,
        positions: Vec<u64>,
        room: usize,
    ) -> BoxFuture<'_, Result<Taken<u64>, QueryError>> {
        let mut taken = Taken { elements: Vec::new(), looked_at: 0, bytes: 0 };
        for at in positions {
            if taken.looked_at > 0 && taken.bytes + weight(at) > room {
                break;
            }
            taken.looked_at += 1;
            taken.bytes += weight(at);
            if !is_none(at) {
                taken.elements.push((at, at));
            }
        }
        async move { Ok(taken) }.boxed()
    }
}

#[tokio::test]
async fn pages_of_heavy_elements_end_early_and_lose_nothing() {
    let (lease, plain) = written(1, 8_000).await;
    let every: Vec<u64> = plain[&0].iter().map(|(at, _)| *at).filter(|at| !is_none(*at)).collect();
    for (newest_first, is_forward) in [(false, true), (true, true), (false, false), (true, false)] {
        let (mut seen, mut cursor, mut early) = (Vec::new(), None, 0);
        loop {
            let mut lists = Lists::up_to(&lease, Position(u64::MAX));
            lists.and(Wanted::In(list(0), None));
            let (first, last) = (crate::Slice::First(40), crate::Slice::Last(40));
            let request = PageRequest {
                slice: if is_forward { first } else { last },
                cursor: cursor.clone(),
                sort: if newest_first { crate::Sort::Descending } else { crate::Sort::Ascending },
            };
            let page = lists.page(&request, &Heavy).await.expect("a page");
            let mut found: Vec<u64> = page.edges.iter().map(|edge| edge.node).collect();
            let bytes: usize = found.iter().map(|at| weight(*at)).sum();
            assert!(bytes <= 4 << 20, "{bytes} bytes: {found:?}");
            let more = if is_forward { page.has_next } else { page.has_previous };
            let end = if is_forward { page.edges.last() } else { page.edges.first() };
            let Some(end) = end else { panic!("an empty page after {}", seen.len()) };
            cursor = Some(end.cursor.clone());
            early += usize::from(more && found.len() < 40);
            if !is_forward {
                found.reverse();
            }
            seen.extend(found);
            if !more {
                break;
            }
        }
        let mut expected = every.clone();
        if newest_first == is_forward {
            expected.reverse();
        }
        assert_eq!(seen, expected, "newest first: {newest_first}, forward: {is_forward}");
        assert!(early > 10, "only {early} pages ended early");
    }
}

#[tokio::test]
async fn no_more_events_are_read_at_once_than_have_room() {
    let feed = crate::testing::MemoryFeed::new();
    let stream = hakken_domain::envelope::StreamId::gate(show(1));
    for at in 1..=400_usize {
        let bytes = if at.is_multiple_of(10) { 100_000 } else { 100 };
        feed.record_raw(stream, "code-refused", 1, &vec![b' '; bytes]);
    }
    // Near each other and far, and some that are missing.
    let up: Vec<u64> = (1..=60).chain((80..=390).step_by(5)).chain([420, 430]).collect();
    let down: Vec<u64> = up.iter().rev().copied().collect();
    for positions in [up, down] {
        for room in [1, 150_000, 1_000_000, usize::MAX] {
            let (mut left, mut seen, mut rounds) = (positions.as_slice(), Vec::new(), 0);
            while !left.is_empty() {
                let found = events_within(&*feed, left, room).await.expect("events");
                assert!(found.looked_at > 0, "it goes on");
                assert!(found.bytes <= room || found.events.len() == 1, "{} bytes", found.bytes);
                seen.extend(found.events.iter().map(|event| event.position.0));
                left = &left[found.looked_at..];
                rounds += 1;
            }
            let there = positions.iter().copied().filter(|at| *at <= 400);
            assert_eq!(seen, there.collect::<Vec<_>>(), "room for {room}");
            assert_eq!(rounds == 1, room == usize::MAX, "{rounds} rounds for {room}");
        }
    }
}

#[tokio::test]
async fn lists_find_what_a_filter_over_everything_finds() {
    for seed in 0..3 {
        let (lease, plain) = written(seed, MOST).await;
        let mut draw = Draw(seed + 100);
        for turn in 0..60 {
            let last = if turn % 3 == 0 { draw.below(MOST) } else { u64::MAX };
            let mut lists = Lists::up_to(&lease, Position(last));
            lists.first = if turn % 4 == 0 { draw.below(MOST / 2) } else { 1 };
            let mut expected: Vec<u64> = (lists.first..=last.min(4 * MOST)).collect();
            for _ in 0..1 + draw.below(2) {
                let number = draw.below(4);
                let entries = &plain[&number];
                // A list with tags is asked for one of them.
                let tag = (number == 2).then(|| draw.below(9) as u32);
                let mut of_list: Vec<u64> = entries
                    .iter()
                    .filter(|(_, found)| tag.is_none() || *found == tag)
                    .map(|(position, _)| *position)
                    .collect();
                match draw.below(3) {
                    0 if number != 2 => {
                        lists.and(Wanted::InOneOf(vec![list(number), list(3)]));
                        of_list.extend(plain[&3].iter().map(|(position, _)| position));
                    }
                    1 if number == 3 => lists.and(Wanted::At(of_list.clone())),
                    _ => lists.and(Wanted::In(list(number), tag)),
                }
                let of_list: HashSet<u64> = of_list.into_iter().collect();
                expected.retain(|position| of_list.contains(position));
            }
            let count = 1 + draw.below(40) as usize;
            let newest_first = draw.below(2) == 0;
            let from = draw.below(MOST + 1_000);
            let request = PageRequest {
                slice: if draw.below(2) == 0 {
                    crate::Slice::First(count)
                } else {
                    crate::Slice::Last(count)
                },
                cursor: (draw.below(2) == 0).then(|| crate::page::position_cursor(from)),
                sort: if newest_first { crate::Sort::Descending } else { crate::Sort::Ascending },
            };
            let page = lists.page(&request, &Themselves).await.expect("a page");
            if newest_first {
                expected.reverse();
            }
            let is_forward = matches!(request.slice, crate::Slice::First(_));
            if request.cursor.is_some() {
                expected.retain(|at| (*at > from) == (is_forward != newest_first) && *at != from);
            }
            let cut = expected.len().saturating_sub(count);
            let more = cut > 0;
            let expected =
                if is_forward { &expected[..expected.len() - cut] } else { &expected[cut..] };
            let found: Vec<u64> = page.edges.iter().map(|edge| edge.node).collect();
            assert_eq!(found, expected, "seed {seed}, turn {turn}, {request:?}");
            assert_eq!(if is_forward { page.has_next } else { page.has_previous }, more);
        }
    }
}

#[test]
fn packed_entries_come_back_with_their_tags() {
    let mut packed = Packed::default();
    let positions = [7, 8, 135, 136 + 16_384, u64::MAX / 2];
    for (position, tag) in positions.into_iter().zip(0..) {
        assert!(packed.push(position, Some(tag % 2)));
    }
    assert_eq!(packed.positions(Some(1)), Some(vec![8, 136 + 16_384]));
    let row = packed.to_row(&List::Orders(9));
    assert_eq!(Packed::read(&BLOCK_TABLE, &row).expect("a good row"), packed);
    packed.bytes.pop();
    assert_eq!(packed.positions(Some(1)), None, "it is cut short");
}

#[test]
fn a_list_is_named_and_found_by_its_name() {
    let show = show(1);
    let order = OrderId(derived_ulid(&["order"]));
    for list in [
        List::Show(show),
        List::Kind("ticket-issued"),
        List::Actor("system:checkout".parse().expect("a good name")),
        List::of_order(order).0,
        List::Stream(hakken_domain::envelope::StreamId::gate(show)),
    ] {
        assert_eq!(list.to_string().parse(), Ok(list));
    }
    assert_eq!("kind:nonsense".parse::<List>(), Err(()));
}

#[test]
fn what_a_list_has_already_is_not_added_again() {
    let (mut postings, list) = (Postings::default(), list(0));
    postings.need(&list);
    postings.tails.missing();
    postings.tails.load(Vec::new()).expect("there is none");
    postings.push(&list, Position(7), None).expect("the first");
    postings.push(&list, Position(9), None).expect("the next");
    for again in [7, 8, 9] {
        let refused = postings.push(&list, Position(again), None).expect_err("it is there");
        assert!(refused.0.ends_with("goes on to 9 already"), "{refused}");
    }
}
