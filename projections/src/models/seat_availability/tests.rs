//! Pools, legs, allotments, blocked seats, holds and the past.

use hakken_domain::{
    envelope::Position,
    inventory::{self, AllotmentSet, HoldEnded, HoldExtended, SeatsBlocked, SeatsHeld},
    legs::Legs,
    names::Allotment,
};

use super::{AsOf, Availability, HoldFilter, HoldStatus, SeatStatus};
use crate::{
    PageRequest,
    testing::{Bench, Store, hall},
};

async fn opened(legs: u8) -> Bench {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.sales_opened("s", legs);
    bench
}

async fn now(bench: &Bench) -> std::sync::Arc<Availability> {
    on(bench, None).await
}

async fn on(bench: &Bench, legs: Option<Legs>) -> std::sync::Arc<Availability> {
    bench.caught_up().await;
    let found = bench.models.availability(None, hall::show("s"), legs, bench.feed.now()).await;
    found.expect("an answer").expect("on sale")
}

fn legs(from: u8, to: u8) -> Legs {
    Legs::new(from, to).expect("a good range")
}

#[tokio::test]
async fn a_seat_is_free_on_the_legs_that_nobody_took() {
    let bench = opened(3).await;
    bench.feed.held("s", "h", hall::on(legs(0, 2), &["A1"]));
    let seat = hall::seat("A1");
    assert_eq!(now(&bench).await.seat(&seat), Some(SeatStatus::Held));
    assert_eq!(on(&bench, Some(legs(1, 2))).await.seat(&seat), Some(SeatStatus::Held));
    assert_eq!(on(&bench, Some(legs(2, 3))).await.seat(&seat), Some(SeatStatus::Free));
    bench.feed.confirmed("s", "h", hall::on(legs(0, 2), &["A1"]));
    assert_eq!(now(&bench).await.seat(&seat), Some(SeatStatus::Sold));
    assert_eq!(on(&bench, Some(legs(2, 3))).await.seat(&seat), Some(SeatStatus::Free));
    bench.feed.returned("s", "h", 1, hall::on(legs(0, 2), &["A1"]));
    assert_eq!(now(&bench).await.totals.free, 20);
}

#[tokio::test]
async fn a_pool_counts_held_and_sold_places_and_frees_what_ended_by_itself() {
    let bench = opened(1).await;
    bench.feed.held("s", "h1", hall::standing(3));
    bench.feed.held("s", "h2", hall::standing(2));
    bench.feed.confirmed("s", "h1", hall::standing(3));
    let found = now(&bench).await;
    let pool = &found.pools[0];
    assert_eq!((pool.free, pool.held, pool.sold, pool.allotted), (5, 2, 3, 0));
    assert_eq!((found.totals.free, found.totals.held, found.totals.sold), (15, 2, 3));
    let later = found.next_expiry.expect("a hold ends");
    let found = bench.models.availability(None, hall::show("s"), None, later).await;
    let found = found.expect("an answer").expect("on sale");
    let pool = &found.pools[0];
    assert_eq!((pool.free, pool.held, pool.sold), (7, 0, 3));
    bench.feed.expired("s", "h2", hall::standing(2));
    bench.feed.returned("s", "h1", 1, hall::standing(1));
    let pool = &now(&bench).await.pools[0];
    assert_eq!((pool.free, pool.held, pool.sold), (8, 0, 2));
}

#[tokio::test]
async fn what_is_kept_for_somebody_is_not_free_and_shrinks_as_they_take_it() {
    let bench = opened(1).await;
    let sponsors = Allotment::new("sponsors").expect("a good name");
    let set = |seats: &[&str], count| {
        inventory::Event::AllotmentSet(AllotmentSet {
            allotment: sponsors.clone(),
            seats: hall::seats(seats).seats,
            pools: if count == 0 { Vec::new() } else { hall::standing(count).pools },
        })
    };
    bench.feed.inventory("s", set(&["A1", "A2"], 4));
    let found = now(&bench).await;
    assert_eq!(found.seat(&hall::seat("A1")), Some(SeatStatus::Allotted));
    assert_eq!((found.pools[0].free, found.pools[0].allotted), (6, 4));
    let held = SeatsHeld {
        hold: hall::hold("h"),
        buyer: hall::buyer("b"),
        places: hall::standing(3),
        allotment: Some(sponsors.clone()),
        expires_at: bench.feed.now().plus_seconds(600),
    };
    bench.feed.inventory("s", inventory::Event::SeatsHeld(held));
    bench.feed.confirmed("s", "h", hall::standing(3));
    let pool = now(&bench).await.pools[0].clone();
    assert_eq!((pool.free, pool.sold, pool.allotted), (6, 3, 1));
    bench.feed.returned("s", "h", 1, hall::standing(1));
    let pool = now(&bench).await.pools[0].clone();
    assert_eq!((pool.free, pool.sold, pool.allotted), (6, 2, 2));
    bench.feed.inventory("s", set(&[], 0));
    let found = now(&bench).await;
    assert_eq!(found.seat(&hall::seat("A1")), Some(SeatStatus::Free));
    assert_eq!((found.pools[0].free, found.pools[0].allotted), (8, 0));
}

#[tokio::test]
async fn blocked_seats_are_blocked_until_they_are_unblocked() {
    let bench = opened(1).await;
    let seats = hall::seats(&["B3"]).seats;
    let blocked = SeatsBlocked { seats: seats.clone(), reason: hall::reason("camera") };
    bench.feed.inventory("s", inventory::Event::SeatsBlocked(blocked));
    let found = now(&bench).await;
    assert_eq!(found.seat(&hall::seat("B3")), Some(SeatStatus::Blocked));
    assert_eq!((found.totals.blocked, found.totals.free), (1, 19));
    let unblocked = inventory::SeatsUnblocked { seats };
    bench.feed.inventory("s", inventory::Event::SeatsUnblocked(unblocked));
    assert_eq!(now(&bench).await.totals.free, 20);
}

#[tokio::test]
async fn an_extended_hold_lasts_longer() {
    let bench = opened(1).await;
    bench.feed.held("s", "h", hall::seats(&["A1"]));
    let first_end = now(&bench).await.next_expiry.expect("a hold ends");
    let longer = first_end.plus_seconds(60);
    let extended = HoldExtended { hold: hall::hold("h"), expires_at: longer };
    bench.feed.inventory("s", inventory::Event::HoldExtended(extended));
    bench.caught_up().await;
    let show = hall::show("s");
    let at = async |time| {
        let found = bench.models.availability(None, show, None, time).await;
        found.expect("an answer").expect("on sale").seat(&hall::seat("A1"))
    };
    assert_eq!(at(first_end).await, Some(SeatStatus::Held));
    assert_eq!(at(longer).await, Some(SeatStatus::Free));
    let hold = bench.models.hold(None, hall::hold("h")).await.expect("an answer").expect("a hold");
    assert_eq!((hold.expires_at, hold.status), (longer, HoldStatus::Held));
    assert!(hold.lasts(first_end) && !hold.lasts(longer));
}

#[tokio::test]
async fn holds_are_found_by_show_buyer_and_status() {
    let bench = opened(1).await;
    bench.feed.held("s", "h1", hall::seats(&["A1"]));
    bench.feed.held("s", "h2", hall::seats(&["A2"]));
    let ended = HoldEnded { hold: hall::hold("h1"), places: hall::seats(&["A1"]) };
    bench.feed.inventory("s", inventory::Event::HoldReleased(ended));
    bench.caught_up().await;
    let found = async |filter: HoldFilter| {
        let page = bench.models.holds(None, &filter, &PageRequest::first(9)).await.expect("a page");
        page.into_nodes().into_iter().map(|hold| hold.hold).collect::<Vec<_>>()
    };
    let (h1, h2) = (hall::hold("h1"), hall::hold("h2"));
    let show = Some(hall::show("s"));
    assert_eq!(found(HoldFilter { show, ..HoldFilter::default() }).await, [h1, h2]);
    let status = Some(HoldStatus::Released);
    assert_eq!(found(HoldFilter { status, ..HoldFilter::default() }).await, [h1]);
    let buyer = Some(hall::buyer("buyer-h2"));
    assert_eq!(found(HoldFilter { buyer, ..HoldFilter::default() }).await, [h2]);
}

#[tokio::test]
async fn the_past_is_answered_by_position_and_by_time() {
    let bench = opened(1).await;
    bench.feed.held("s", "h", hall::seats(&["A1"]));
    let (held, held_at) = (bench.feed.last(), bench.feed.now());
    bench.feed.confirmed("s", "h", hall::seats(&["A1"]));
    bench.feed.returned("s", "h", 1, hall::seats(&["A1"]));
    let (show, seat) = (hall::show("s"), hall::seat("A1"));
    let then = async |as_of| {
        let found = bench.models.availability_as_of(None, show, None, as_of).await;
        found.expect("an answer").map(|found| (found.version, found.seat(&seat)))
    };
    let at = |position: u64| AsOf::Position(Position(position));
    assert_eq!(then(at(1)).await, None, "it was not on sale yet");
    assert_eq!(then(at(2)).await, Some((1, Some(SeatStatus::Free))));
    assert_eq!(then(AsOf::Position(held)).await, Some((2, Some(SeatStatus::Held))));
    assert_eq!(then(at(held.0 + 1)).await, Some((3, Some(SeatStatus::Sold))));
    assert_eq!(then(at(1_000)).await, Some((4, Some(SeatStatus::Free))));
    let before_sale = AsOf::Time(held_at.minus_seconds(1));
    assert_eq!(then(before_sale).await, Some((2, Some(SeatStatus::Held))));
    assert_eq!(then(AsOf::Time(held_at)).await, Some((3, Some(SeatStatus::Sold))));
    let tenant = Some(hall::organizer("two"));
    let other = bench.models.availability_as_of(tenant, show, None, at(1_000)).await;
    assert_eq!(other.expect("an answer"), None, "it belongs to another");
}

#[tokio::test]
async fn a_hold_that_had_ended_by_itself_was_free_then() {
    let bench = opened(1).await;
    bench.feed.held("s", "h", hall::seats(&["A1"]));
    let end = bench.feed.now().plus_seconds(700);
    let found = bench.models.availability_as_of(None, hall::show("s"), None, AsOf::Time(end)).await;
    let found = found.expect("an answer").expect("on sale");
    assert_eq!(found.seat(&hall::seat("A1")), Some(SeatStatus::Free));
}
