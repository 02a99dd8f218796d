//! Rules of the inventory as sentences. This file has their vocabulary.

mod arena;
mod best;
mod life;
mod refusals;

use super::{decide::RuleBook, *};
use crate::{
    legs::Legs,
    names::{
        Allotment, BuyerRef, Category, HoldId, Label, OrderId, PoolId, Reason, SeatId, VenueId,
    },
    seatmap::{Point, Pool, Row, Seat, SeatMap, Section},
    testing::{self, Given, START},
    time::Timestamp,
};

/// How long a hold lasts in these tests, and how much later it may end.
const TTL: u64 = 600;
const EXTENSION: u64 = 900;

fn given(events: impl IntoIterator<Item = Event>) -> Given<RuleBook> {
    testing::given(events)
}

fn after(seconds: u64) -> Timestamp {
    START.plus_seconds(seconds)
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub(super) fn seat(id: &str) -> SeatId {
    SeatId::new(id).unwrap()
}

fn seats<const N: usize>(ids: [&str; N]) -> Vec<SeatId> {
    ids.map(seat).to_vec()
}

pub(super) fn pool(id: &str) -> PoolId {
    PoolId::new(id).unwrap()
}

fn pools<const N: usize>(counts: [(&str, u32); N]) -> Vec<PoolPlaces> {
    counts.map(|(id, count)| PoolPlaces { pool: pool(id), count }).to_vec()
}

fn legs(from: u8, to: u8) -> Legs {
    Legs::new(from, to).unwrap()
}

fn hold_id(name: &str) -> HoldId {
    HoldId::derived("test", name)
}

fn order_id(name: &str) -> OrderId {
    OrderId::derived("test", name)
}

fn buyer(name: &str) -> BuyerRef {
    BuyerRef::new(name).unwrap()
}

fn allotment(name: &str) -> Allotment {
    Allotment::new(name).unwrap()
}

fn reason() -> Reason {
    Reason::new("test").unwrap()
}

pub(super) fn rules() -> SalesRules {
    SalesRules {
        sales_from: START,
        sales_until: after(100_000),
        hold_ttl_seconds: TTL as u32,
        hold_extension_seconds: EXTENSION as u32,
        max_places_per_hold: 6,
        max_places_per_buyer: None,
    }
}

/// A row in front of the focal point, its seats one unit apart and its middle at x = 0. Each
/// character is a seat: `.` a plain one, `w` a wheelchair place, a capital its category; `|` is an
/// aisle.
pub(super) fn row(name: &str, y: i32, plan: &str) -> Row {
    let count = plan.chars().filter(|&c| c != '|').count() as i32;
    let mut seats: Vec<Seat> = Vec::new();
    for mark in plan.chars() {
        if mark == '|' {
            seats.last_mut().unwrap().aisle_after = true;
            continue;
        }
        let number = seats.len() as i32 + 1;
        let category = if mark.is_ascii_uppercase() { mark } else { 'A' };
        seats.push(Seat {
            id: seat(&format!("{name}{number}")),
            number: label(&number.to_string()),
            at: Point { x: (2 * number - count - 1) * 50, y: y * 100 },
            category: Category::new(&category.to_string()).unwrap(),
            wheelchair: mark == 'w',
            aisle_after: false,
        });
    }
    Row { name: label(name), seats }
}

pub(super) fn section(name: &str, rows: impl IntoIterator<Item = Row>) -> Section {
    Section { name: label(name), rows: rows.into_iter().collect() }
}

pub(super) fn map(sections: impl IntoIterator<Item = Section>) -> SeatMap {
    SeatMap {
        name: label("hall"),
        focus: Point::default(),
        sections: sections.into_iter().collect(),
        pools: vec![Pool {
            id: pool("standing"),
            capacity: 10,
            category: Category::new("S").unwrap(),
        }],
    }
}

/// A1 to A6 and B1 to B6 in the stalls, a pool with 10 places, one leg.
fn hall() -> SeatMap {
    map([section("stalls", [row("A", 1, "......"), row("B", 2, "......")])])
}

fn opening(seat_map: SeatMap, legs: u8, rules: SalesRules) -> SalesOpened {
    SalesOpened { venue: VenueId::derived("test", "venue"), seat_map, legs, rules }
}

fn opened() -> Event {
    Event::SalesOpened(opening(hall(), 1, rules()))
}

fn opened_for(legs: u8) -> Event {
    Event::SalesOpened(opening(hall(), legs, rules()))
}

fn open_sales(SalesOpened { venue, seat_map, legs, rules }: SalesOpened) -> Command {
    Command::OpenSales { venue, seat_map: Box::new(seat_map), legs, rules }
}

fn closed() -> Event {
    Event::SalesClosed(SalesClosed { reason: reason() })
}

fn blocked<const N: usize>(ids: [&str; N]) -> Event {
    Event::SeatsBlocked(SeatsBlocked { seats: seats(ids), reason: reason() })
}

fn block<const N: usize>(ids: [&str; N]) -> Command {
    Command::BlockSeats { seats: seats(ids), reason: reason() }
}

fn unblock<const N: usize>(ids: [&str; N]) -> Command {
    Command::UnblockSeats { seats: seats(ids) }
}

fn allotted<const N: usize>(name: &str, ids: [&str; N], standing: u32) -> Event {
    Event::AllotmentSet(AllotmentSet {
        allotment: allotment(name),
        seats: seats(ids),
        pools: some_standing(standing),
    })
}

fn allot<const N: usize>(name: &str, ids: [&str; N], standing: u32) -> Command {
    Command::SetAllotment {
        allotment: allotment(name),
        seats: seats(ids),
        pools: some_standing(standing),
    }
}

fn some_standing(count: u32) -> Vec<PoolPlaces> {
    if count == 0 { Vec::new() } else { pools([("standing", count)]) }
}

/// Ann wants these seats.
fn ask<const N: usize>(hold: &str, ids: [&str; N]) -> HoldSeats {
    HoldSeats {
        hold: hold_id(hold),
        buyer: buyer("ann"),
        seats: SeatChoice::Named(seats(ids)),
        pools: Vec::new(),
        legs: None,
        allotment: None,
        ttl_seconds: None,
    }
}

/// Ann wants so many standing places.
fn ask_standing(hold: &str, count: u32) -> HoldSeats {
    HoldSeats { pools: pools([("standing", count)]), ..ask(hold, []) }
}

fn hold<const N: usize>(name: &str, ids: [&str; N]) -> Command {
    Command::HoldSeats(ask(name, ids))
}

/// What becomes of a request for named seats, made when the clock stood at `at`.
fn held_at(at: u64, ask: HoldSeats) -> Event {
    let SeatChoice::Named(seats) = ask.seats else { panic!("only for named seats") };
    Event::SeatsHeld(SeatsHeld {
        hold: ask.hold,
        buyer: ask.buyer,
        places: Places { seats, pools: ask.pools, legs: ask.legs.unwrap_or(Legs::ONE) },
        allotment: ask.allotment,
        expires_at: after(at + ask.ttl_seconds.map_or(TTL, u64::from)),
    })
}

fn held<const N: usize>(name: &str, ids: [&str; N]) -> Event {
    held_at(0, ask(name, ids))
}

fn places<const N: usize>(ids: [&str; N]) -> Places {
    Places { seats: seats(ids), ..Places::default() }
}

fn standing(count: u32) -> Places {
    Places { pools: some_standing(count), ..Places::default() }
}

fn extend(name: &str, ttl_seconds: u32) -> Command {
    Command::ExtendHold { hold: hold_id(name), ttl_seconds: Some(ttl_seconds) }
}

fn extended(name: &str, expires_at: u64) -> Event {
    Event::HoldExtended(HoldExtended { hold: hold_id(name), expires_at: after(expires_at) })
}

fn release(name: &str) -> Command {
    Command::ReleaseHold { hold: hold_id(name) }
}

fn released(name: &str, places: Places) -> Event {
    Event::HoldReleased(HoldEnded { hold: hold_id(name), places })
}

fn expired(name: &str, places: Places) -> Event {
    Event::HoldExpired(HoldEnded { hold: hold_id(name), places })
}

fn confirm(name: &str, order: &str, places: Places) -> Command {
    Command::ConfirmHold {
        hold: hold_id(name),
        order: order_id(order),
        buyer: buyer("ann"),
        places,
    }
}

fn sold(name: &str, order: &str, places: Places) -> HoldConfirmed {
    HoldConfirmed { hold: hold_id(name), order: order_id(order), buyer: buyer("ann"), places }
}

fn confirmed(name: &str, order: &str, places: Places) -> Event {
    Event::HoldConfirmed(sold(name, order, places))
}

fn reseated(name: &str, order: &str, places: Places) -> Event {
    Event::OrderReseated(sold(name, order, places))
}

fn at_seat(id: &str) -> Place {
    Place::Seat(seat(id))
}

fn at_standing() -> Place {
    Place::Pool(pool("standing"))
}

fn give_back<const N: usize>(name: &str, order: &str, items: [(u16, Place); N]) -> Command {
    Command::ReturnPlaces { hold: hold_id(name), order: order_id(order), items: items.to_vec() }
}

fn returned<const N: usize>(name: &str, order: &str, items: [u16; N], places: Places) -> Event {
    Event::PlacesReturned(PlacesReturned {
        hold: hold_id(name),
        order: order_id(order),
        items: items.to_vec(),
        places,
    })
}
