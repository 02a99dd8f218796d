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

use super::{BLOCK_TABLE, Elements, List, Lists, Packed, Postings, TAIL_TABLE, Wanted};
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
    fn at(&self, positions: Vec<u64>) -> BoxFuture<'_, Result<Vec<(u64, u64)>, QueryError>> {
        async { Ok(positions.into_iter().map(|at| (at, at)).collect()) }.boxed()
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
