//! What happens when nothing is in the way, and what happens when it is asked for twice.

use super::*;
use crate::Decider;

fn with_limit(places: u32) -> Event {
    let few = SalesRules { max_places_per_buyer: Some(places), ..rules() };
    Event::SalesOpened(opening(hall(), 1, few))
}

fn hold_of(ask: HoldSeats) -> Command {
    Command::HoldSeats(ask)
}

fn from(name: &str, ask: HoldSeats) -> HoldSeats {
    HoldSeats { allotment: Some(allotment(name)), ..ask }
}

fn on(from: u8, to: u8, ask: HoldSeats) -> HoldSeats {
    HoldSeats { legs: Some(legs(from, to)), ..ask }
}

#[test]
fn sales_open() {
    given([]).when(open_sales(opening(hall(), 1, rules()))).then([opened()]);
}

#[test]
fn sales_opened_again_with_the_same_contents_change_nothing() {
    let later = Event::SalesRulesChanged(SalesRules { max_places_per_hold: 1, ..rules() });
    given([opened(), later]).when(open_sales(opening(hall(), 1, rules()))).then_nothing();
}

#[test]
fn rules_change_once() {
    let other = SalesRules { max_places_per_hold: 1, ..rules() };
    given([opened()])
        .when(Command::ChangeSalesRules(other.clone()))
        .then([Event::SalesRulesChanged(other.clone())]);
    given([opened(), Event::SalesRulesChanged(other.clone())])
        .when(Command::ChangeSalesRules(other.clone()))
        .then_nothing();
    given([opened(), Event::SalesRulesChanged(other)])
        .when(hold("H", ["A1", "A2"]))
        .then_rejected(Rejection::TooManyPlaces);
}

#[test]
fn sales_close_once_and_what_is_held_may_still_be_paid() {
    let close = || Command::CloseSales { reason: reason() };
    given([opened()]).when(close()).then([closed()]);
    given([opened(), closed()]).when(close()).then_nothing();
    given([opened(), held("H", ["A1"]), closed()])
        .when(confirm("H", "O", places(["A1"])))
        .then([confirmed("H", "O", places(["A1"]))]);
}

#[test]
fn seats_are_held_for_the_time_of_the_rules() {
    given([opened()]).when(hold("H", ["A2", "A1"])).then([held("H", ["A2", "A1"])]);
}

#[test]
fn a_hold_may_be_shorter_than_the_rules_say_but_not_longer() {
    let lasting = |ttl_seconds| HoldSeats { ttl_seconds, ..ask("H", ["A1"]) };
    given([opened()]).when(hold_of(lasting(Some(60)))).then([held_at(0, lasting(Some(60)))]);
    given([opened()]).when(hold_of(lasting(Some(u32::MAX)))).then([held_at(0, lasting(None))]);
    given([opened()]).when(hold_of(lasting(Some(0)))).then([held_at(0, lasting(Some(1)))]);
}

#[test]
fn the_same_hold_again_changes_nothing() {
    let past = [opened(), held("H", ["A1", "A2"])];
    given(past.clone()).at(5).when(hold("H", ["A1", "A2"])).then_nothing();
    given(past.clone()).at(5).when(hold("H", ["A2", "A1"])).then_nothing();
    let best = BestAvailable { count: 2, ..BestAvailable::default() };
    let best = HoldSeats { seats: SeatChoice::BestAvailable(best), ..ask("H", []) };
    given(past).at(5).when(hold_of(best)).then_nothing();
    given([opened(), held("H", ["A1"]), closed()]).when(hold("H", ["A1"])).then_nothing();
}

#[test]
fn a_hold_expires_at_its_instant_and_not_a_microsecond_before() {
    let state = given([opened(), held("H", ["A1"])]).state();
    let end = after(TTL);
    assert_eq!(state.next_expiry(), Some(end));
    let before = Timestamp::from_micros(end.as_micros() - 1);
    assert_eq!(RuleBook::due(&state, before), []);
    assert_eq!(RuleBook::due(&state, end), [expired("H", places(["A1"]))]);
}

#[test]
fn holds_expire_in_the_order_of_their_ends() {
    let short = HoldSeats { ttl_seconds: Some(60), ..ask("G", ["A2"]) };
    let past = [opened(), held("H", ["A1"]), held_at(0, short), extended("H", 700)];
    let state = given(past).state();
    assert_eq!(RuleBook::due(&state, after(699)), [expired("G", places(["A2"]))]);
    assert_eq!(
        RuleBook::due(&state, after(700)),
        [expired("G", places(["A2"])), expired("H", places(["A1"]))]
    );
}

#[test]
fn an_expired_hold_is_recorded_before_anything_else() {
    given([opened(), held("H", ["A1"])])
        .at(TTL)
        .when(hold("G", ["A1"]))
        .then([expired("H", places(["A1"])), held_at(TTL, ask("G", ["A1"]))]);
}

#[test]
fn a_sweep_adds_nothing_to_what_was_due() {
    given([opened(), held("H", ["A1"])]).at(TTL).when(Command::Sweep).then_nothing();
}

#[test]
fn a_hold_is_extended_from_now_up_to_the_limit() {
    let past = [opened(), held("H", ["A1"])];
    given(past.clone()).at(300).when(extend("H", 400)).then([extended("H", 700)]);
    given(past.clone()).at(300).when(extend("H", 300)).then_nothing();
    given(past.clone()).at(300).when(extend("H", 0)).then_nothing();
    let latest = TTL + EXTENSION;
    given(past.clone()).at(300).when(extend("H", u32::MAX)).then([extended("H", latest)]);
    let by_the_rules = Command::ExtendHold { hold: hold_id("H"), ttl_seconds: None };
    given(past).at(300).when(by_the_rules).then([extended("H", 300 + TTL)]);
}

#[test]
fn the_limit_of_extension_counts_from_the_first_end() {
    let latest = TTL + EXTENSION;
    given([opened(), held("H", ["A1"]), extended("H", latest - 10)])
        .at(1_000)
        .when(extend("H", 600))
        .then([extended("H", latest)]);
}

#[test]
fn an_extended_hold_outlives_its_first_end() {
    given([opened(), held("H", ["A1"]), extended("H", 700)])
        .at(699)
        .when(hold("G", ["A1"]))
        .then_rejected(Rejection::SeatTaken(seat("A1")));
}

#[test]
fn a_hold_is_released_once() {
    let past = [opened(), held("H", ["A1"])];
    given(past.clone()).when(release("H")).then([released("H", places(["A1"]))]);
    let past = past.into_iter().chain([released("H", places(["A1"]))]);
    given(past).when(release("H")).then_nothing();
}

#[test]
fn a_released_seat_is_free() {
    given([opened(), held("H", ["A1"]), released("H", places(["A1"]))])
        .when(hold("G", ["A1"]))
        .then([held("G", ["A1"])]);
}

#[test]
fn a_hold_is_confirmed_in_whatever_order_the_items_stand() {
    given([opened(), held("H", ["A1", "A2"])])
        .when(confirm("H", "O", places(["A2", "A1"])))
        .then([confirmed("H", "O", places(["A1", "A2"]))]);
}

#[test]
fn a_hold_is_confirmed_once() {
    given([opened(), held("H", ["A1"]), confirmed("H", "O", places(["A1"]))])
        .when(confirm("H", "O", places(["A1"])))
        .then_nothing();
}

#[test]
fn a_confirmed_hold_does_not_expire() {
    let state = given([opened(), held("H", ["A1"]), confirmed("H", "O", places(["A1"]))]).state();
    assert_eq!(state.next_expiry(), None);
    assert_eq!(RuleBook::due(&state, Timestamp::MAX), []);
}

#[test]
fn a_late_payment_gets_the_same_seats_if_they_are_free() {
    given([opened(), held("H", ["A1"])])
        .at(TTL)
        .when(confirm("H", "O", places(["A1"])))
        .then([expired("H", places(["A1"])), reseated("H", "O", places(["A1"]))]);
    given([opened(), held("H", ["A1"]), released("H", places(["A1"])), closed()])
        .at(200_000)
        .when(confirm("H", "O", places(["A1"])))
        .then([reseated("H", "O", places(["A1"]))]);
}

#[test]
fn a_late_payment_is_above_the_limit_of_its_buyer() {
    given([with_limit(1), held("H", ["A1"]), released("H", places(["A1"])), held("G", ["A2"])])
        .when(confirm("H", "O", places(["A1"])))
        .then([reseated("H", "O", places(["A1"]))]);
}

#[test]
fn who_was_reseated_owns_the_seats() {
    let past = [
        opened(),
        held("H", ["A1"]),
        released("H", places(["A1"])),
        reseated("H", "O", places(["A1"])),
    ];
    given(past.clone()).when(confirm("H", "O", places(["A1"]))).then_nothing();
    given(past.clone()).when(hold("G", ["A1"])).then_rejected(Rejection::SeatTaken(seat("A1")));
    given(past).when(give_back("H", "O", [(7, at_seat("A1"))])).then([returned(
        "H",
        "O",
        [7],
        places(["A1"]),
    )]);
}

#[test]
fn sold_places_come_back_once() {
    let bought = Places { pools: some_standing(2), ..places(["A1", "A2"]) };
    let wanted = HoldSeats { pools: some_standing(2), ..ask("H", ["A1", "A2"]) };
    let sold = [opened(), held_at(0, wanted), confirmed("H", "O", bought)];
    let first = Places { pools: some_standing(1), ..places(["A2"]) };
    given(sold.clone())
        .when(give_back("H", "O", [(1, at_seat("A2")), (2, at_standing())]))
        .then([returned("H", "O", [1, 2], first.clone())]);

    let some_back = || sold.iter().cloned().chain([returned("H", "O", [1, 2], first.clone())]);
    given(some_back()).when(give_back("H", "O", [(1, at_seat("A2"))])).then_nothing();
    given(some_back())
        .when(give_back("H", "O", [(1, at_seat("A2")), (3, at_standing()), (0, at_seat("A1"))]))
        .then([returned("H", "O", [0, 3], Places { pools: some_standing(1), ..places(["A1"]) })]);
    given(some_back())
        .when(give_back("H", "O", [(3, at_standing()), (4, at_standing())]))
        .then_rejected(Rejection::PlaceNotSold);
}

#[test]
fn one_item_may_have_several_places() {
    given([opened(), held("H", ["A1", "A2"]), confirmed("H", "O", places(["A1", "A2"]))])
        .when(give_back("H", "O", [(0, at_seat("A1")), (0, at_seat("A2"))]))
        .then([returned("H", "O", [0], places(["A1", "A2"]))]);
}

#[test]
fn a_returned_seat_is_free() {
    given([
        opened(),
        held("H", ["A1", "A2"]),
        confirmed("H", "O", places(["A1", "A2"])),
        returned("H", "O", [0], places(["A1"])),
    ])
    .when(hold("G", ["A1"]))
    .then([held("G", ["A1"])]);
}

#[test]
fn pool_places_come_back() {
    let past = [opened(), held_at(0, ask_standing("H", 6)), confirmed("H", "O", standing(6))];
    let wanted = || hold_of(ask_standing("G", 6));
    given(past.clone()).when(wanted()).then_rejected(Rejection::PoolExhausted(pool("standing")));
    let past = past.into_iter().chain([returned("H", "O", [0, 1], standing(2))]);
    given(past).when(wanted()).then([held_at(0, ask_standing("G", 6))]);
}

#[test]
fn a_seat_is_sold_again_on_other_legs() {
    let past = [opened_for(4), held_at(0, on(0, 2, ask("H", ["A1"])))];
    let again = |from, to| hold_of(on(from, to, ask("G", ["A1"])));
    given(past.clone()).when(again(2, 4)).then([held_at(0, on(2, 4, ask("G", ["A1"])))]);
    for (from, to) in [(0, 4), (0, 1), (1, 3)] {
        given(past.clone()).when(again(from, to)).then_rejected(Rejection::SeatTaken(seat("A1")));
    }
}

#[test]
fn who_names_no_legs_gets_all() {
    given([opened_for(64)]).when(hold("H", ["A1"])).then([held_at(0, on(0, 64, ask("H", ["A1"])))]);
    given([opened_for(64), held_at(0, on(63, 64, ask("G", ["A1"])))])
        .when(hold("H", ["A1"]))
        .then_rejected(Rejection::SeatTaken(seat("A1")));
}

#[test]
fn a_pool_is_counted_on_each_leg() {
    let past = [opened_for(3), held_at(0, on(0, 2, ask_standing("H", 6)))];
    let more = |from, to, count| hold_of(on(from, to, ask_standing("G", count)));
    given(past.clone()).when(more(2, 3, 6)).then([held_at(0, on(2, 3, ask_standing("G", 6)))]);
    given(past.clone()).when(more(1, 2, 4)).then([held_at(0, on(1, 2, ask_standing("G", 4)))]);
    given(past).when(more(1, 3, 5)).then_rejected(Rejection::PoolExhausted(pool("standing")));
}

#[test]
fn seats_are_blocked_and_unblocked() {
    given([opened()]).when(block(["A1", "A2"])).then([blocked(["A1", "A2"])]);
    given([opened(), blocked(["A1"])]).when(block(["A1", "A2"])).then([blocked(["A2"])]);
    given([opened(), blocked(["A1"])]).when(block(["A1"])).then_nothing();
    let unblocked = Event::SeatsUnblocked(SeatsUnblocked { seats: seats(["A1"]) });
    given([opened(), blocked(["A1"])]).when(unblock(["A1"])).then([unblocked.clone()]);
    given([opened(), blocked(["A1"]), unblocked]).when(hold("H", ["A1"])).then([held("H", ["A1"])]);
}

#[test]
fn an_allotment_is_set_as_a_whole() {
    given([opened()]).when(allot("fans", ["A2", "A1"], 4)).then([allotted(
        "fans",
        ["A2", "A1"],
        4,
    )]);
    let past = [opened(), allotted("fans", ["A1", "A2"], 4)];
    given(past.clone()).when(allot("fans", ["A2", "A1"], 4)).then_nothing();
    given(past.clone()).when(allot("fans", ["A2", "A3"], 0)).then([allotted(
        "fans",
        ["A2", "A3"],
        0,
    )]);
    let past = past.into_iter().chain([allotted("fans", ["A2", "A3"], 0)]);
    let past: Vec<Event> = past.collect();
    given(past.clone()).when(hold("H", ["A1"])).then([held("H", ["A1"])]);
    given(past.clone()).when(hold("H", ["A3"])).then_rejected(Rejection::SeatAllotted(seat("A3")));
    given([opened()]).when(allot("fans", [], 0)).then_nothing();
}

#[test]
fn an_allotment_keeps_its_sold_seats_or_lets_them_go() {
    let past = [opened(), allotted("fans", ["A1"], 0), held_at(0, from("fans", ask("H", ["A1"])))];
    given(past.clone()).when(allot("fans", ["A1", "A2"], 0)).then([allotted(
        "fans",
        ["A1", "A2"],
        0,
    )]);
    given(past.clone()).when(allot("fans", [], 0)).then([allotted("fans", [], 0)]);
    let past = past.into_iter().chain([allotted("fans", [], 0)]);
    let past: Vec<Event> = past.collect();
    given(past.clone()).when(hold("G", ["A1"])).then_rejected(Rejection::SeatTaken(seat("A1")));
    given(past)
        .at(TTL)
        .when(hold("G", ["A1"]))
        .then([expired("H", places(["A1"])), held_at(TTL, ask("G", ["A1"]))]);
}

#[test]
fn an_allotment_gives_its_own_seats_and_open_ones() {
    let wanted = from("fans", ask("H", ["A1", "A2"]));
    given([opened(), allotted("fans", ["A1"], 0)])
        .when(hold_of(wanted.clone()))
        .then([held_at(0, wanted)]);
}

#[test]
fn pool_places_come_out_of_the_allotment_or_out_of_the_rest() {
    let past = [opened(), allotted("fans", ["A1"], 6)];
    let fans = |count| from("fans", ask_standing("H", count));
    given(past.clone())
        .when(hold_of(ask_standing("H", 5)))
        .then_rejected(Rejection::PoolExhausted(pool("standing")));
    given(past.clone())
        .when(hold_of(ask_standing("H", 4)))
        .then([held_at(0, ask_standing("H", 4))]);
    given(past.clone()).when(hold_of(fans(6))).then([held_at(0, fans(6))]);
    let all = past.into_iter().chain([held_at(0, fans(6))]);
    given(all)
        .when(hold_of(from("fans", ask_standing("G", 1))))
        .then_rejected(Rejection::PoolExhausted(pool("standing")));
}

#[test]
fn an_allotment_without_places_in_a_pool_gives_none() {
    given([opened(), allotted("fans", ["A1"], 0)])
        .when(hold_of(from("fans", ask_standing("H", 1))))
        .then_rejected(Rejection::PoolExhausted(pool("standing")));
}

#[test]
fn what_comes_back_goes_to_the_quota_it_came_from() {
    let past = [
        opened(),
        allotted("fans", ["A1"], 6),
        held_at(0, from("fans", HoldSeats { pools: some_standing(5), ..ask("H", ["A1"]) })),
        confirmed("H", "O", Places { pools: some_standing(5), ..places(["A1"]) }),
        returned("H", "O", [0, 1], Places { pools: some_standing(1), ..places(["A1"]) }),
    ];
    given(past.clone()).when(hold("G", ["A1"])).then_rejected(Rejection::SeatAllotted(seat("A1")));
    given(past.clone())
        .when(hold_of(from("fans", ask_standing("G", 2))))
        .then([held_at(0, from("fans", ask_standing("G", 2)))]);
    given(past)
        .when(hold_of(ask_standing("G", 5)))
        .then_rejected(Rejection::PoolExhausted(pool("standing")));
}

#[test]
fn a_late_payment_is_served_from_its_allotment() {
    let wanted = from("fans", HoldSeats { pools: some_standing(5), ..ask("H", ["A1"]) });
    let bought = || Places { pools: some_standing(5), ..places(["A1"]) };
    let past = [opened(), allotted("fans", ["A1"], 5), held_at(0, wanted)];
    given(past.clone())
        .at(TTL)
        .when(confirm("H", "O", bought()))
        .then([expired("H", bought()), reseated("H", "O", bought())]);
    let dissolved = [released("H", bought()), allotted("fans", [], 0)];
    given(past.into_iter().chain(dissolved)).when(confirm("H", "O", bought())).then([reseated(
        "H",
        "O",
        bought(),
    )]);
}

#[test]
fn the_limit_of_a_buyer_counts_what_is_held_and_sold() {
    let limit = || Rejection::BuyerLimit;
    let past = [with_limit(3), held("G", ["A1"]), held_at(0, ask_standing("F", 1))];
    given(past.clone()).when(hold("H", ["A3", "A4"])).then_rejected(limit());
    given(past.clone()).when(hold("H", ["A3"])).then([held("H", ["A3"])]);
    let bob = HoldSeats { buyer: buyer("bob"), ..ask("H", ["A3", "A4"]) };
    given(past.clone()).when(hold_of(bob.clone())).then([held_at(0, bob)]);
    let past = past.into_iter().chain([confirmed("G", "O", places(["A1"]))]);
    given(past).when(hold("H", ["A3", "A4"])).then_rejected(limit());
}

#[test]
fn the_limit_of_a_buyer_is_free_again_after_release_expiry_and_return() {
    let wanted = || hold("H", ["A3", "A4"]);
    let past = [with_limit(2), held("G", ["A1"])];
    given(past.clone()).when(wanted()).then_rejected(Rejection::BuyerLimit);
    given(past.iter().cloned().chain([released("G", places(["A1"]))]))
        .when(wanted())
        .then([held("H", ["A3", "A4"])]);
    given(past.clone())
        .at(TTL)
        .when(wanted())
        .then([expired("G", places(["A1"])), held_at(TTL, ask("H", ["A3", "A4"]))]);
    let back = [confirmed("G", "O", places(["A1"])), returned("G", "O", [0], places(["A1"]))];
    given(past.into_iter().chain(back)).when(wanted()).then([held("H", ["A3", "A4"])]);
}

#[test]
fn the_state_tells_about_holds_and_categories() {
    let state = given([
        opened_for(2),
        allotted("fans", ["A1"], 0),
        held_at(0, from("fans", on(0, 2, ask("H", ["A1"])))),
        held_at(0, on(0, 1, ask("G", ["A2"]))),
        confirmed("G", "O", places(["A2"])),
        held_at(0, on(0, 1, ask("F", ["A3"]))),
        expired("F", places(["A3"])),
    ])
    .state();
    let live = HoldView::Live {
        buyer: buyer("ann"),
        places: Places { legs: legs(0, 2), ..places(["A1"]) },
        allotment: Some(allotment("fans")),
        expires_at: after(TTL),
    };
    let sold = HoldView::Confirmed {
        buyer: buyer("ann"),
        order: order_id("O"),
        places: places(["A2"]),
        allotment: None,
    };
    assert_eq!(state.hold(hold_id("H")), Some(live));
    assert_eq!(state.hold(hold_id("G")), Some(sold));
    assert_eq!(state.hold(hold_id("F")), Some(HoldView::Expired));
    assert_eq!(state.hold(hold_id("E")), None);
    assert_eq!((state.legs(), state.is_open()), (2, true));
    assert_eq!(state.places_of(&buyer("ann")), 2);
    assert_eq!(state.seat_category(&seat("A1")).map(Category::as_str), Some("A"));
    assert_eq!(state.pool_category(&pool("standing")).map(Category::as_str), Some("S"));
    assert_eq!(state.seat_category(&seat("Z9")), None);
    assert!(!given([opened(), closed()]).state().is_open());
}
