//! The rules of a show, in words.

use ulid::Ulid;

use super::{decide::RuleBook, *};
use crate::{
    legs::Legs,
    money::{Currency, MAX_AMOUNT_MINOR},
    names::*,
    testing::{self, Given, START},
    ticket::EntryRule,
};

fn given(events: impl IntoIterator<Item = Event>) -> Given<RuleBook> {
    testing::given(events)
}

fn concert() -> ShowScheduled {
    ShowScheduled {
        name: Label::new("第九").unwrap(),
        venue: VenueId(Ulid(1)),
        starts_at: START.plus_seconds(3_600),
        ends_at: START.plus_seconds(7_200),
        stops: vec![],
        currency: Currency::JPY,
        entry: EntryRule {
            valid_from: START,
            valid_until: START.plus_seconds(7_200),
            reentry: false,
        },
        issuance: Issuance::Immediate,
    }
}

/// A trip with so many stops.
fn trip(stops: usize) -> ShowScheduled {
    let stop = |n| Label::new(&format!("stop {n}")).unwrap();
    ShowScheduled { stops: (0..stops).map(stop).collect(), ..concert() }
}

fn schedule(show: ShowScheduled) -> Command {
    Command::ScheduleShow(Box::new(show))
}

fn scheduled() -> Event {
    Event::ShowScheduled(concert())
}

fn type_id(name: &str) -> TicketTypeId {
    TicketTypeId::new(name).unwrap()
}

fn terms(name: &str, price_minor: u64) -> TicketType {
    TicketType {
        ticket_type: type_id(name),
        name: Label::new("whatever").unwrap(),
        price_minor,
        fares: vec![],
        categories: vec![],
        pools: vec![],
    }
}

fn fare(from: u8, to: u8, price_minor: u64) -> Fare {
    Fare { legs: Legs::new(from, to).unwrap(), price_minor }
}

fn offer(terms: TicketType) -> Command {
    Command::OfferTicketType(Box::new(terms))
}

fn offered(name: &str, price_minor: u64) -> Event {
    Event::TicketTypeOffered(terms(name, price_minor))
}

fn withdraw(name: &str) -> Command {
    Command::WithdrawTicketType { ticket_type: type_id(name) }
}

fn withdrawn(name: &str) -> Event {
    Event::TicketTypeWithdrawn(TicketTypeWithdrawn { ticket_type: type_id(name) })
}

fn cancel() -> Command {
    Command::CancelShow { reason: Reason::new("typhoon").unwrap() }
}

fn cancelled() -> Event {
    Event::ShowCancelled(ShowCancelled { reason: Reason::new("typhoon").unwrap() })
}

#[test]
fn nothing_can_be_asked_of_an_unknown_show() {
    for command in [offer(terms("adult", 1)), withdraw("adult"), cancel()] {
        given([]).when(command).then_rejected(Rejection::ShowUnknown);
    }
}

#[test]
fn a_show_is_scheduled_once() {
    given([scheduled()]).when(schedule(trip(3))).then_rejected(Rejection::ShowExists);
}

#[test]
fn nothing_is_offered_for_a_cancelled_show() {
    let over = || given([scheduled(), offered("adult", 1), cancelled()]);
    over().when(offer(terms("adult", 2))).then_rejected(Rejection::ShowCancelled);
    over().when(withdraw("adult")).then_rejected(Rejection::ShowCancelled);
}

#[test]
fn a_show_does_not_end_before_it_begins_and_lets_somebody_in() {
    let times = || Rejection::TimesInvalid;
    let backwards = ShowScheduled { ends_at: START, ..concert() };
    given([]).when(schedule(backwards)).then_rejected(times());
    let mut shut = concert();
    shut.entry.valid_until = shut.entry.valid_from;
    given([]).when(schedule(shut)).then_rejected(times());
    let open_end = ShowScheduled { ends_at: concert().starts_at, ..concert() };
    given([]).when(schedule(open_end.clone())).then([Event::ShowScheduled(open_end)]);
}

#[test]
fn a_trip_has_2_to_65_stops() {
    for stops in [1, 66] {
        given([]).when(schedule(trip(stops))).then_rejected(Rejection::StopsInvalid);
    }
    for (stops, legs) in [(0, 1), (2, 1), (3, 2), (65, 64)] {
        let event = Event::ShowScheduled(trip(stops));
        given([]).when(schedule(trip(stops))).then([event.clone()]);
        assert_eq!(given([event]).state().legs(), legs);
    }
}

#[test]
fn no_price_is_absurd() {
    let absurd = terms("adult", MAX_AMOUNT_MINOR + 1);
    given([scheduled()]).when(offer(absurd)).then_rejected(Rejection::PriceInvalid);
    let fares = vec![fare(0, 1, u64::MAX)];
    let far = TicketType { fares, ..terms("adult", 1) };
    given([scheduled()]).when(offer(far)).then_rejected(Rejection::PriceInvalid);
    for price in [0, MAX_AMOUNT_MINOR] {
        given([scheduled()]).when(offer(terms("adult", price))).then([offered("adult", price)]);
    }
}

#[test]
fn fares_are_for_legs_of_the_show_each_range_once() {
    let with = |fares| TicketType { fares, ..terms("adult", 1) };
    let train = || given([Event::ShowScheduled(trip(4))]);
    let invalid = || Rejection::FaresInvalid;
    train().when(offer(with(vec![fare(0, 4, 1)]))).then_rejected(invalid());
    train().when(offer(with(vec![fare(0, 2, 1), fare(0, 2, 1)]))).then_rejected(invalid());
    given([scheduled()]).when(offer(with(vec![fare(1, 2, 1)]))).then_rejected(invalid());
    let fine = with(vec![fare(0, 2, 1), fare(0, 3, 2), fare(2, 3, 1)]);
    train().when(offer(fine.clone())).then([Event::TicketTypeOffered(fine)]);
}

#[test]
fn a_show_has_at_most_500_ticket_types() {
    let full = || {
        let types = (0..500).map(|n| offered(&format!("type {n}"), 1));
        std::iter::once(scheduled()).chain(types)
    };
    let one_more = || offer(terms("one more", 1));
    given(full()).when(one_more()).then_rejected(Rejection::TooManyTicketTypes);
    given(full()).when(offer(terms("type 7", 2))).then([offered("type 7", 2)]);
    let some_gone = || full().chain([withdrawn("type 7")]);
    given(some_gone()).when(one_more()).then_rejected(Rejection::TooManyTicketTypes);
    given(some_gone()).when(offer(terms("type 7", 1))).then([offered("type 7", 1)]);
}

#[test]
fn only_what_was_offered_is_withdrawn() {
    given([scheduled()]).when(withdraw("adult")).then_rejected(Rejection::TicketTypeUnknown);
}

#[test]
fn a_show_is_scheduled_offered_and_cancelled() {
    given([]).when(schedule(concert())).then([scheduled()]);
    given([scheduled()]).when(schedule(concert())).then_nothing();
    given([scheduled(), cancelled()]).when(schedule(concert())).then_nothing();
    let on = || given([scheduled(), offered("adult", 100)]);
    on().when(offer(terms("adult", 100))).then_nothing();
    on().when(offer(terms("adult", 90))).then([offered("adult", 90)]);
    on().when(withdraw("adult")).then([withdrawn("adult")]);
    given([scheduled(), offered("adult", 100), withdrawn("adult")])
        .when(withdraw("adult"))
        .then_nothing();
    on().when(cancel()).then([cancelled()]);
    given([scheduled(), cancelled()]).when(cancel()).then_nothing();
}

#[test]
fn a_changed_ticket_type_keeps_its_place_in_the_list() {
    let state = given([scheduled(), offered("a", 1), offered("b", 2), offered("a", 3)]).state();
    let prices: Vec<u64> = state.ticket_types().iter().map(|t| t.price_minor).collect();
    assert_eq!(prices, [3, 2]);
}

#[test]
fn a_price_is_for_the_places_and_legs_for_which_it_is_offered() {
    let category = |name| Category::new(name).unwrap();
    let pool = |name: &str| PoolId::new(name).unwrap();
    let legs = |from, to| Legs::new(from, to).unwrap();
    let fares = vec![fare(0, 2, 50)];
    let stalls = TicketType { categories: vec![category("stalls")], fares, ..terms("s", 100) };
    let pit = TicketType { pools: vec![pool("pit")], ..terms("pit", 70) };
    let offers = [stalls, pit, terms("any", 10)].map(Event::TicketTypeOffered);
    let state = given([Event::ShowScheduled(trip(4))].into_iter().chain(offers)).state();
    let price = |name, in_category, in_pool: Option<&str>, on| {
        state.price(&type_id(name), &category(in_category), in_pool.map(pool).as_ref(), on)
    };
    assert_eq!(price("s", "stalls", None, legs(0, 3)), Some(100));
    assert_eq!(price("s", "stalls", None, legs(0, 2)), Some(50));
    assert_eq!(price("s", "stalls", Some("pit"), legs(0, 2)), Some(50));
    assert_eq!(price("s", "stalls", None, legs(0, 4)), None);
    assert_eq!(price("s", "balcony", None, legs(0, 3)), None);
    assert_eq!(price("pit", "stalls", Some("pit"), legs(0, 1)), Some(70));
    assert_eq!(price("pit", "stalls", Some("lawn"), legs(0, 1)), None);
    assert_eq!(price("pit", "stalls", None, legs(0, 1)), None);
    assert_eq!(price("any", "balcony", None, legs(1, 3)), Some(10));
    assert_eq!(price("gone", "stalls", None, legs(0, 1)), None);
}

#[test]
fn a_snapshot_of_a_show_is_the_same_show() {
    let with_fares = TicketType { fares: vec![fare(0, 1, 5)], ..terms("adult", 9) };
    let events = [
        Event::ShowScheduled(trip(3)),
        Event::TicketTypeOffered(with_fares),
        offered("child", 1),
        withdrawn("child"),
        cancelled(),
    ];
    testing::snapshot_keeps(&given(events).state());
    testing::snapshot_keeps(&State::default());
}
