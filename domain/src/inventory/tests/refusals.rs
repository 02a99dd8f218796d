//! One test for each refusal, in the order of the checks.

use super::*;

#[test]
fn nothing_is_held_before_sales_open() {
    given([]).when(hold("H", ["A1"])).then_rejected(Rejection::SalesNotOpened);
    given([]).when(Command::Sweep).then_rejected(Rejection::SalesNotOpened);
}

#[test]
fn sales_open_once() {
    let other = SalesRules { max_places_per_hold: 2, ..rules() };
    given([opened()])
        .when(open_sales(opening(hall(), 1, other)))
        .then_rejected(Rejection::SalesAlreadyOpened);
    let other_map = map([section("stalls", [row("A", 1, "......")])]);
    given([opened()])
        .when(open_sales(opening(other_map, 1, rules())))
        .then_rejected(Rejection::SalesAlreadyOpened);
}

#[test]
fn a_seat_map_with_a_seat_twice_is_refused() {
    let twice = map([section("stalls", [row("A", 1, "."), row("A", 2, ".")])]);
    given([]).when(open_sales(opening(twice, 1, rules()))).then_rejected(Rejection::SeatMapInvalid);
}

#[test]
fn a_show_has_1_to_64_legs() {
    for legs in [0, 65, 255] {
        given([])
            .when(open_sales(opening(hall(), legs, rules())))
            .then_rejected(Rejection::LegsOutOfRange);
    }
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let bad = [
        SalesRules { sales_until: START, ..rules() },
        SalesRules { hold_ttl_seconds: 0, ..rules() },
        SalesRules { hold_ttl_seconds: MAX_HOLD_SECONDS + 1, ..rules() },
        SalesRules { hold_extension_seconds: MAX_HOLD_SECONDS + 1, ..rules() },
        SalesRules { max_places_per_hold: 0, ..rules() },
        SalesRules { max_places_per_hold: 1_001, ..rules() },
        SalesRules { max_places_per_buyer: Some(0), ..rules() },
    ];
    for rules in bad {
        given([])
            .when(open_sales(opening(hall(), 1, rules.clone())))
            .then_rejected(Rejection::RulesInvalid);
        given([opened()])
            .when(Command::ChangeSalesRules(rules))
            .then_rejected(Rejection::RulesInvalid);
    }
}

#[test]
fn a_hold_id_is_used_once() {
    let exists = |past: Vec<Event>, ask| {
        let past = [opened()].into_iter().chain(past);
        given(past).when(Command::HoldSeats(ask)).then_rejected(Rejection::HoldExists);
    };
    let live = || vec![held("H", ["A1", "A2"])];
    exists(live(), ask("H", ["A1"]));
    exists(live(), ask("H", ["A1", "A3"]));
    exists(live(), HoldSeats { buyer: buyer("bob"), ..ask("H", ["A1", "A2"]) });
    exists(live(), HoldSeats { pools: some_standing(1), ..ask("H", ["A1", "A2"]) });
    exists(live(), HoldSeats { allotment: Some(allotment("fans")), ..ask("H", ["A1", "A2"]) });
    exists(live(), ask("H", ["A1", "Z9"]));
    let over = || vec![held("H", ["A1"]), released("H", places(["A1"]))];
    exists(over(), ask("H", ["A1"]));
    let sold = || vec![held("H", ["A1"]), confirmed("H", "O", places(["A1"]))];
    exists(sold(), ask("H", ["A1"]));
}

#[test]
fn an_unknown_hold_can_do_nothing() {
    let unknown = |command| given([opened()]).when(command).then_rejected(Rejection::HoldUnknown);
    unknown(extend("H", 60));
    unknown(release("H"));
    unknown(confirm("H", "O", places(["A1"])));
    unknown(give_back("H", "O", [(0, at_seat("A1"))]));
}

#[test]
fn an_expired_hold_is_neither_extended_nor_released_nor_returned() {
    let past = [opened(), held("H", ["A1"])];
    let too_late = |command| {
        given(past.clone()).at(TTL).when(command).then_rejected(Rejection::HoldExpired);
    };
    too_late(extend("H", 60));
    too_late(release("H"));
    too_late(give_back("H", "O", [(0, at_seat("A1"))]));
}

#[test]
fn a_released_hold_is_neither_extended_nor_returned() {
    let past = [opened(), held("H", ["A1"]), released("H", places(["A1"]))];
    let refused = |command| {
        given(past.clone()).when(command).then_rejected(Rejection::HoldReleased);
    };
    refused(extend("H", 60));
    refused(give_back("H", "O", [(0, at_seat("A1"))]));
}

#[test]
fn a_confirmed_hold_is_neither_extended_nor_released() {
    let past = [opened(), held("H", ["A1"]), confirmed("H", "O", places(["A1"]))];
    given(past.clone()).when(extend("H", 60)).then_rejected(Rejection::HoldConfirmed);
    given(past).when(release("H")).then_rejected(Rejection::HoldConfirmed);
}

#[test]
fn a_hold_is_sold_to_one_order() {
    let past = [opened(), held("H", ["A1"]), confirmed("H", "O", places(["A1"]))];
    given(past.clone())
        .when(confirm("H", "P", places(["A1"])))
        .then_rejected(Rejection::HoldConfirmedForAnother);
    given(past)
        .when(give_back("H", "P", [(0, at_seat("A1"))]))
        .then_rejected(Rejection::HoldConfirmedForAnother);
}

#[test]
fn a_hold_is_sold_to_its_buyer() {
    let for_bob = HoldSeats { buyer: buyer("bob"), ..ask("H", ["A1"]) };
    given([opened(), held_at(0, for_bob)])
        .when(confirm("H", "O", places(["A1"])))
        .then_rejected(Rejection::BuyerDiffers);
}

#[test]
fn an_order_pays_for_all_that_was_held_and_nothing_else() {
    let past = [opened(), held("H", ["A1", "A2"])];
    for other in [places(["A1"]), places(["A1", "A3"]), places(["A1", "A1"]), standing(2)] {
        given(past.clone()).when(confirm("H", "O", other)).then_rejected(Rejection::PlacesDiffer);
    }
    let on_another_leg = Places { legs: legs(1, 2), ..places(["A1"]) };
    let on_the_first = HoldSeats { legs: Some(legs(0, 1)), ..ask("H", ["A1"]) };
    given([opened_for(2), held_at(0, on_the_first)])
        .when(confirm("H", "O", on_another_leg))
        .then_rejected(Rejection::PlacesDiffer);
}

#[test]
fn a_hold_is_extended_only_so_far() {
    let end = TTL + EXTENSION;
    given([opened(), held("H", ["A1"]), extended("H", end)])
        .at(1_000)
        .when(extend("H", 501))
        .then_rejected(Rejection::ExtensionLimit);
}

#[test]
fn nothing_is_held_before_the_window() {
    let later = SalesRules { sales_from: after(1), ..rules() };
    given([opened(), Event::SalesRulesChanged(later)])
        .when(hold("H", ["A1"]))
        .then_rejected(Rejection::SalesNotStarted);
}

#[test]
fn nothing_is_held_after_the_window_or_the_close() {
    given([opened()]).at(100_000).when(hold("H", ["A1"])).then_rejected(Rejection::SalesEnded);
    given([opened(), closed()]).when(hold("H", ["A1"])).then_rejected(Rejection::SalesEnded);
}

#[test]
fn who_wants_nothing_gets_a_refusal() {
    let past = [opened(), held("H", ["A1"]), released("H", places(["A1"]))];
    let nothing = |command| {
        given(past.clone()).when(command).then_rejected(Rejection::NothingWanted);
    };
    nothing(hold("G", []));
    let none = SeatChoice::BestAvailable(BestAvailable::default());
    nothing(Command::HoldSeats(HoldSeats { seats: none, ..ask("G", []) }));
    nothing(block([]));
    nothing(unblock([]));
    nothing(confirm("H", "O", places([])));
    given([opened(), held("H", ["A1"]), confirmed("H", "O", places(["A1"]))])
        .when(give_back("H", "O", []))
        .then_rejected(Rejection::NothingWanted);
}

#[test]
fn a_leg_beyond_the_last_is_unknown() {
    let beyond = HoldSeats { legs: Some(legs(1, 3)), ..ask("H", ["A1"]) };
    given([opened_for(2)]).when(Command::HoldSeats(beyond)).then_rejected(Rejection::LegsUnknown);
    given([opened(), held("H", ["A1"]), released("H", places(["A1"]))])
        .when(confirm("H", "O", Places { legs: legs(1, 2), ..places(["A1"]) }))
        .then_rejected(Rejection::LegsUnknown);
}

#[test]
fn a_request_has_its_bounds() {
    let too_many = |command| {
        let past = [opened(), held("H", ["A1"]), released("H", places(["A1"]))];
        given(past).when(command).then_rejected(Rejection::TooManyPlaces);
    };
    too_many(hold("G", ["A1", "A2", "A3", "A4", "A5", "A6", "B1"]));
    too_many(Command::HoldSeats(HoldSeats {
        pools: some_standing(4),
        ..ask("G", ["A1", "A2", "A3"])
    }));
    too_many(Command::HoldSeats(ask_standing("G", u32::MAX)));
    let seven = BestAvailable { count: 7, ..BestAvailable::default() };
    let seven = SeatChoice::BestAvailable(seven);
    too_many(Command::HoldSeats(HoldSeats { seats: seven, ..ask("G", []) }));
    let crowd = vec![seat("A1"); MAX_SEATS_AT_ONCE + 1];
    too_many(Command::BlockSeats { seats: crowd.clone(), reason: reason() });
    too_many(Command::UnblockSeats { seats: crowd.clone() });
    let pools = Vec::new();
    too_many(Command::SetAllotment { allotment: allotment("fans"), seats: crowd, pools });
    too_many(confirm("H", "O", standing(1_001)));
    let items = vec![(0, at_seat("A1")); 1_001];
    given([opened(), held("H", ["A1"]), confirmed("H", "O", places(["A1"]))])
        .when(Command::ReturnPlaces { hold: hold_id("H"), order: order_id("O"), items })
        .then_rejected(Rejection::TooManyPlaces);
}

#[test]
fn a_show_has_so_many_allotments_and_no_more() {
    let seat = |number: usize| if number.is_multiple_of(2) { "A1" } else { "A2" };
    // Empty ones count as well: each takes the seat that the one before gave back.
    let empty = |name: &str| allotted(name, [], 0);
    let past: Vec<Event> = (0..MAX_ALLOTMENTS)
        .flat_map(|number| {
            let name = format!("fans-{number}");
            [allotted(&name, [seat(number)], 0), empty(&name)]
        })
        .collect();
    let past = || [opened()].into_iter().chain(past.clone());
    given(past()).when(allot("more", ["A1"], 0)).then_rejected(Rejection::TooManyAllotments);
    given(past()).when(allot("fans-7", ["A1"], 0)).then([allotted("fans-7", ["A1"], 0)]);
}

#[test]
fn an_unknown_seat_is_named() {
    let unknown = |command| {
        let past = [opened(), held("H", ["A1"]), released("H", places(["A1"]))];
        given(past).when(command).then_rejected(Rejection::SeatUnknown(seat("Z9")));
    };
    unknown(hold("G", ["A1", "Z9"]));
    unknown(block(["A1", "Z9"]));
    unknown(unblock(["Z9"]));
    unknown(allot("fans", ["Z9"], 0));
    unknown(confirm("H", "O", places(["Z9"])));
}

#[test]
fn a_seat_stands_once_in_a_request() {
    let repeated = |command| {
        let past = [opened(), held("H", ["A1"]), released("H", places(["A1"]))];
        given(past).when(command).then_rejected(Rejection::SeatRepeated(seat("A2")));
    };
    repeated(hold("G", ["A2", "A1", "A2"]));
    repeated(block(["A2", "A2"]));
    repeated(unblock(["A2", "A2"]));
    repeated(allot("fans", ["A2", "A2"], 0));
    repeated(confirm("H", "O", places(["A2", "A2"])));
    given([opened(), held("H", ["A2"]), confirmed("H", "O", places(["A2"]))])
        .when(give_back("H", "O", [(0, at_seat("A2")), (1, at_seat("A2"))]))
        .then_rejected(Rejection::SeatRepeated(seat("A2")));
}

#[test]
fn an_unknown_pool_is_named() {
    let unknown = HoldSeats { pools: pools([("lawn", 1)]), ..ask("H", []) };
    given([opened()])
        .when(Command::HoldSeats(unknown))
        .then_rejected(Rejection::PoolUnknown(pool("lawn")));
    given([opened(), held("H", ["A1"]), confirmed("H", "O", places(["A1"]))])
        .when(give_back("H", "O", [(0, Place::Pool(pool("lawn")))]))
        .then_rejected(Rejection::PoolUnknown(pool("lawn")));
}

#[test]
fn a_pool_stands_once_and_with_a_place_or_more() {
    for wanted in [pools([("standing", 1), ("standing", 2)]), pools([("standing", 0)])] {
        given([opened()])
            .when(Command::HoldSeats(HoldSeats { pools: wanted.clone(), ..ask("H", ["A1"]) }))
            .then_rejected(Rejection::PoolRepeatedOrEmpty(pool("standing")));
        let (allotment, seats) = (allotment("fans"), Vec::new());
        given([opened()])
            .when(Command::SetAllotment { allotment, seats, pools: wanted })
            .then_rejected(Rejection::PoolRepeatedOrEmpty(pool("standing")));
    }
}

#[test]
fn an_allotment_must_be_there() {
    let from_fans =
        || Command::HoldSeats(HoldSeats { allotment: Some(allotment("fans")), ..ask("H", ["A1"]) });
    given([opened()]).when(from_fans()).then_rejected(Rejection::AllotmentUnknown);
    given([opened(), allotted("fans", ["A1"], 0), allotted("fans", [], 0)])
        .when(from_fans())
        .then_rejected(Rejection::AllotmentUnknown);
}

#[test]
fn a_blocked_seat_is_not_given() {
    let is_blocked = || Rejection::SeatBlocked(seat("A2"));
    given([opened(), blocked(["A2"])]).when(hold("H", ["A1", "A2"])).then_rejected(is_blocked());
    given([opened(), blocked(["A2"])]).when(allot("fans", ["A2"], 0)).then_rejected(is_blocked());
    given([opened(), held("H", ["A2"]), released("H", places(["A2"])), blocked(["A2"])])
        .when(confirm("H", "O", places(["A2"])))
        .then_rejected(is_blocked());
}

#[test]
fn an_allotted_seat_is_given_to_nobody_else() {
    let is_allotted = || Rejection::SeatAllotted(seat("A2"));
    let past = [opened(), allotted("fans", ["A2"], 0), allotted("press", ["A3"], 0)];
    let from_press = HoldSeats { allotment: Some(allotment("press")), ..ask("H", ["A2"]) };
    let refused = |command| given(past.clone()).when(command).then_rejected(is_allotted());
    refused(hold("H", ["A1", "A2"]));
    refused(Command::HoldSeats(from_press));
    refused(block(["A2"]));
    refused(allot("press", ["A2", "A3"], 0));
    given([opened(), held("H", ["A2"]), released("H", places(["A2"])), past[1].clone()])
        .when(confirm("H", "O", places(["A2"])))
        .then_rejected(is_allotted());
}

#[test]
fn a_taken_seat_is_not_given_again() {
    let taken = |past: Vec<Event>, command| {
        let past = [opened()].into_iter().chain(past);
        given(past).when(command).then_rejected(Rejection::SeatTaken(seat("A2")));
    };
    taken(vec![held("G", ["A2"])], hold("H", ["A1", "A2"]));
    taken(vec![held("G", ["A2"])], block(["A2"]));
    taken(vec![held("G", ["A2"])], allot("fans", ["A2"], 0));
    taken(vec![held("G", ["A2"]), confirmed("G", "O", places(["A2"]))], hold("H", ["A2"]));
    let late = vec![held("H", ["A2"]), released("H", places(["A2"])), held("G", ["A2"])];
    taken(late, confirm("H", "O", places(["A2"])));
}

#[test]
fn the_order_of_the_checks_is_the_order_of_the_refusals() {
    let past = [opened(), held("G", ["A1"]), allotted("fans", ["A2"], 0), blocked(["A3"])];
    given(past.clone())
        .when(hold("H", ["A1", "A2", "A3"]))
        .then_rejected(Rejection::SeatBlocked(seat("A3")));
    given(past.clone())
        .when(hold("H", ["A1", "A2"]))
        .then_rejected(Rejection::SeatAllotted(seat("A2")));
    given(past)
        .when(hold("H", ["A1", "A2", "A3", "Z9"]))
        .then_rejected(Rejection::SeatUnknown(seat("Z9")));
}

#[test]
fn only_a_blocked_seat_is_unblocked() {
    given([opened(), blocked(["A1"])])
        .when(unblock(["A1", "A2"]))
        .then_rejected(Rejection::SeatNotBlocked(seat("A2")));
}

#[test]
fn a_pool_does_not_go_below_zero() {
    let exhausted = || Rejection::PoolExhausted(pool("standing"));
    let past = [opened(), held_at(0, ask_standing("G", 6))];
    given(past.clone()).when(Command::HoldSeats(ask_standing("H", 5))).then_rejected(exhausted());
    given(past.clone()).when(allot("fans", [], 5)).then_rejected(exhausted());
    given(past).when(allot("fans", [], u32::MAX)).then_rejected(exhausted());
    let ended = [held_at(0, ask_standing("H", 5)), released("H", standing(5))];
    given([opened()].into_iter().chain(ended).chain([held_at(0, ask_standing("G", 6))]))
        .when(confirm("H", "O", standing(5)))
        .then_rejected(exhausted());
}

#[test]
fn an_allotment_keeps_the_pool_places_that_were_taken_from_it() {
    let exhausted = || Rejection::PoolExhausted(pool("standing"));
    let from_fans = HoldSeats { allotment: Some(allotment("fans")), ..ask_standing("H", 3) };
    let past = [opened(), allotted("fans", [], 4), held_at(0, from_fans)];
    given(past.clone()).when(allot("fans", [], 2)).then_rejected(exhausted());
    given(past.clone()).when(allot("fans", [], 0)).then_rejected(exhausted());
    given(past).when(allot("fans", [], 3)).then([allotted("fans", [], 3)]);
}

#[test]
fn a_buyer_has_a_limit() {
    let few = SalesRules { max_places_per_buyer: Some(3), ..rules() };
    let opened = Event::SalesOpened(opening(hall(), 1, few));
    given([opened, held("G", ["A1", "A2"])])
        .when(Command::HoldSeats(HoldSeats { pools: some_standing(1), ..ask("H", ["A3"]) }))
        .then_rejected(Rejection::BuyerLimit);
}

#[test]
fn only_a_sold_place_comes_back() {
    let not_sold = |past: Vec<Event>, item| {
        let past = [opened()].into_iter().chain(past);
        given(past).when(give_back("H", "O", [(0, item)])).then_rejected(Rejection::PlaceNotSold);
    };
    let sold = || vec![held("H", ["A1"]), confirmed("H", "O", places(["A1"]))];
    not_sold(vec![held("H", ["A1"])], at_seat("A1"));
    not_sold(sold(), at_seat("A2"));
    not_sold(sold(), at_standing());
    let returned_as_another_item =
        sold().into_iter().chain([returned("H", "O", [1], places(["A1"]))]);
    not_sold(returned_as_another_item.collect(), at_seat("A1"));
}
