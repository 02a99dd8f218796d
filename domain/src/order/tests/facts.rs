//! What happens, and that asking again brings nothing new.

use super::*;

#[test]
fn an_order_is_placed_with_the_prices_as_they_are() {
    given([]).when(place(items())).then(placed(items()));
    given([placed(items())]).when(place(items())).then_nothing();
    given([all_cancelled()]).when(place(items())).then_nothing();
    let state = given([placed(items())]).state();
    assert_eq!((state.total_minor(), state.due_minor()), (6_000, 6_000));
    assert_eq!(state.status(), OrderStatus::Pending);
    assert_eq!(state.item(3).unwrap().item.price_minor, 1_000);
    assert!(state.item(0).is_none() && state.item(4).is_none());
}

#[test]
fn a_free_order_is_paid_at_once() {
    let free = vec![item(1, "A1", 0)];
    given([]).when(place(free.clone())).then([placed(free.clone()), paid(0)].concat());
    let order = || [placed(free.clone()), paid(0)];
    assert_eq!(given(order()).state().status(), OrderStatus::Paid);
    given(order()).when(Command::ConfirmOrder).then(confirmed());
    given(order()).when(fail()).then(unfulfilled());
    given(order()).when(pay(&[("p", 1)])).then_rejected(Rejection::PaidTooMuch { due_minor: 0 });
    let cancelled = given([order().concat(), confirmed(), wanted(1, &[1])]);
    cancelled.when(complete(1, &[1], &[])).then(items_cancelled(1, &[1]));
}

#[test]
fn one_payment_pays_all() {
    given([placed(items())])
        .when(pay(&[("p1", 6_000)]))
        .then([captured("p1", 6_000), paid(6_000)].concat());
    given([paid_order()]).when(pay(&[("p1", 6_000)])).then_nothing();
    assert_eq!(given([paid_order()]).state().status(), OrderStatus::Paid);
}

#[test]
fn several_payments_pay_together_or_one_after_the_other() {
    let both = [captured("p1", 2_000), captured("p2", 4_000), paid(6_000)].concat();
    given([placed(items())]).when(pay(&[("p1", 2_000), ("p2", 4_000)])).then(both);
    let first = || [placed(items()), captured("p1", 2_000)];
    given([placed(items())]).when(pay_part(&[("p1", 2_000)])).then(captured("p1", 2_000));
    let rest = || [captured("p2", 4_000), paid(6_000)].concat();
    given(first()).when(pay(&[("p2", 4_000)])).then(rest());
    given(first()).when(pay_part(&[("p2", 4_000)])).then(rest());
    // A payment that is known already is not counted again.
    given(first()).when(pay(&[("p1", 2_000), ("p2", 4_000)])).then(rest());
    given(first()).when(pay(&[("p1", 2_000)])).then_nothing();
    given(first()).when(pay(&[("p2", 4_000), ("p2", 4_000)])).then(rest());
}

#[test]
fn a_paid_order_is_confirmed_once() {
    given([paid_order()]).when(Command::ConfirmOrder).then(confirmed());
    given([sold()]).when(Command::ConfirmOrder).then_nothing();
    given([all_cancelled()]).when(Command::ConfirmOrder).then_nothing();
    assert_eq!(given([sold()]).state().status(), OrderStatus::Confirmed);
}

#[test]
fn when_a_place_is_gone_all_money_goes_back() {
    let parts = || [placed(items()), captured("p1", 2_000), captured("p2", 4_000), paid(6_000)];
    let id = |p| refunds::Origin::Unfulfilled(hold()).refund_of(&pay_id(p));
    let back = |p, n| refund(id(p), p, n, RefundCause::Unfulfilled);
    let all = || [unfulfilled(), back("p1", 2_000), back("p2", 4_000)].concat();
    given(parts()).when(fail()).then(all());
    let order = || given([parts().concat(), all()]);
    order().when(fail()).then_nothing();
    order().when(Command::FailOrder { hold: HoldId(Ulid(8)) }).then_nothing();
    let state = order().state();
    assert_eq!(state.status(), OrderStatus::Unfulfilled);
    assert_eq!((state.paid_minor(), state.refunded_minor(), state.due_minor()), (6_000, 6_000, 0));
    // What went back out of goodwill already does not go back again.
    let some = [parts().concat(), goodwill(1, "p1", 2_000), goodwill(2, "p2", 1)];
    given(some).when(fail()).then([unfulfilled(), back("p2", 3_999)].concat());
}

#[test]
fn an_unpaid_order_is_cancelled_as_a_whole() {
    for items_wanted in [&[][..], &[3, 1, 2][..]] {
        given([placed(items())]).when(cancel(1, items_wanted)).then(order_cancelled());
    }
    let gone = || given([placed(items()), order_cancelled()]);
    gone().when(cancel(1, &[])).then_nothing();
    assert_eq!(gone().state().status(), OrderStatus::Cancelled);
    // Nothing was sold, so no fee is kept.
    let part = [placed(items()), captured("p1", 1_000), captured("p2", 500)];
    given(part).when(cancel_with(1, &[], RefundPolicy::Nothing)).then(
        [order_cancelled(), cancel_refund(1, "p1", 1_000), cancel_refund(1, "p2", 500)].concat(),
    );
}

#[test]
fn money_that_comes_when_the_order_is_over_goes_back_at_once() {
    let ends = [
        [placed(items()), order_cancelled()].concat(),
        [paid_order(), unfulfilled()].concat(),
        all_cancelled(),
    ];
    for end in ends {
        let state = given([end.clone()]).state();
        let back = |p: &str, amount| {
            let id = refunds::Origin::Late(&state).refund_of(&pay_id(p));
            [captured(p, amount), refund(id, p, amount, RefundCause::PaidAfterCancellation)]
                .concat()
        };
        let late = pay(&[("l1", 9_999), ("l2", 1)]);
        let all = [back("l1", 9_999), back("l2", 1)].concat();
        given([end.clone()]).when(late.clone()).then(all.clone());
        given([end, all]).when(late).then_nothing();
    }
}

#[test]
fn late_refunds_of_two_orders_never_share_an_id() {
    let order = |hold| {
        let mut items = items();
        items[0].hold = HoldId(Ulid(hold));
        given([placed(items), order_cancelled()]).state()
    };
    let id = |hold| refunds::Origin::Late(&order(hold)).refund_of(&pay_id("cash"));
    assert_ne!(id(1), id(2));
}

#[test]
fn some_items_are_cancelled_and_their_price_goes_back() {
    given([sold()]).when(cancel(1, &[3, 1])).then(wanted(1, &[1, 3]));
    given([sold(), wanted(1, &[1, 3])]).when(cancel(1, &[3, 1])).then_nothing();
    let done = || [items_cancelled(1, &[1, 3]), cancel_refund(1, "p1", 4_000)].concat();
    given([sold(), wanted(1, &[1, 3])]).when(complete(1, &[3, 1], &[])).then(done());
    let after = || given([sold(), wanted(1, &[1, 3]), done()]);
    after().when(complete(1, &[3, 1], &[])).then_nothing();
    after().when(cancel(1, &[3, 1])).then_nothing();
    after().when(cancel(2, &[])).then(wanted(2, &[2]));
    let state = after().state();
    assert_eq!(state.live_items().collect::<Vec<_>>(), [2]);
    assert_eq!((state.refunded_minor(), state.refundable_minor()), (4_000, 2_000));
    assert_eq!((state.status(), state.due_minor()), (OrderStatus::Confirmed, 0));
    assert!(state.pending_cancellation().is_none());
}

#[test]
fn a_fee_is_kept_for_each_item_but_never_more_than_its_price() {
    let keep = RefundPolicy::KeepFeeMinor(1_500);
    given([sold(), wanted_with(1, &[1, 2, 3], keep)])
        .when(complete(1, &[1, 2, 3], &[]))
        .then([items_cancelled(1, &[1, 2, 3]), cancel_refund(1, "p1", 2_000)].concat());
    let nothing = RefundPolicy::Nothing;
    let strict = given([sold(), wanted_with(1, &[1], nothing)]).when(complete(1, &[1], &[]));
    strict.then(items_cancelled(1, &[1]));
}

#[test]
fn items_whose_tickets_were_used_are_not_cancelled() {
    let asked = || [sold(), wanted(1, &[1, 2])];
    let answer = [items_cancelled(1, &[2]), cancel_refund(1, "p1", 2_000), not_cancelled(1, &[1])];
    given(asked()).when(complete(1, &[2], &[1])).then(answer.concat());
    given(asked()).when(complete(1, &[], &[1, 2])).then(not_cancelled(1, &[1, 2]));
    let refused = || given([asked().concat(), not_cancelled(1, &[1, 2])]);
    refused().when(complete(1, &[], &[1, 2])).then_nothing();
    refused().when(cancel(2, &[1])).then(wanted(2, &[1]));
    let state = given([asked().concat(), answer.concat()]).state();
    assert!(state.pending_cancellation().is_none());
    assert!(state.is_cancellation_complete(cancellation(1)));
}

#[test]
fn when_every_item_is_cancelled_the_order_is_over() {
    let state = given([all_cancelled()]).state();
    assert!(state.is_over() && state.was_confirmed());
    assert_eq!(state.status(), OrderStatus::Cancelled);
}

#[test]
fn what_went_back_out_of_goodwill_does_not_go_back_again() {
    let some = [sold(), goodwill(1, "p1", 5_000), wanted(1, &[1])];
    given(some)
        .when(complete(1, &[1], &[]))
        .then([items_cancelled(1, &[1]), cancel_refund(1, "p1", 1_000)].concat());
    let all = [sold(), goodwill(1, "p1", 6_000), wanted(1, &[1])];
    given(all).when(complete(1, &[1], &[])).then(items_cancelled(1, &[1]));
}

#[test]
fn a_refund_is_taken_from_as_few_payments_as_possible() {
    let paid_with = |parts: &[(&str, u64)]| {
        let captures = parts.iter().flat_map(|(id, amount)| captured(id, *amount)).collect();
        [placed(items()), captures, paid(6_000), confirmed()]
    };
    let three = || paid_with(&[("p1", 1_000), ("p2", 3_000), ("p3", 2_000)]);
    given(three()).when(give_back(1, 2_000)).then(goodwill(1, "p3", 2_000));
    given(three()).when(give_back(1, 1_500)).then(goodwill(1, "p3", 1_500));
    given(three())
        .when(give_back(1, 4_500))
        .then([goodwill(1, "p2", 3_000), goodwill(1, "p3", 1_500)].concat());
    let equal = || paid_with(&[("p1", 2_000), ("p2", 2_000), ("p3", 2_000)]);
    given(equal()).when(give_back(1, 2_000)).then(goodwill(1, "p1", 2_000));
    given(equal())
        .when(give_back(1, 4_001))
        .then([goodwill(1, "p1", 2_000), goodwill(1, "p2", 2_000), goodwill(1, "p3", 1)].concat());
    let parts = [goodwill(1, "p1", 2_000), goodwill(1, "p2", 2_000), goodwill(1, "p3", 1)];
    given([equal().concat(), parts.concat()]).when(give_back(1, 4_001)).then_nothing();
}

#[test]
fn a_refund_is_asked_for_and_settled_once() {
    let id = goodwill_id(1, "p1");
    let asked = || [sold(), goodwill(1, "p1", 500)];
    given([sold()]).when(give_back(1, 500)).then(goodwill(1, "p1", 500));
    given(asked()).when(give_back(1, 500)).then_nothing();
    given(asked()).when(settle(id, "r1")).then(settled(id, "r1"));
    let done = || given([asked().concat(), settled(id, "r1")]);
    done().when(settle(id, "r1")).then_nothing();
    done().when(give_back(1, 500)).then_nothing();
    assert_eq!(done().state().refunded_minor(), 500);
}

#[test]
fn a_failed_refund_is_the_buyers_money_still_and_is_tried_again() {
    let id = goodwill_id(1, "p1");
    let asked = || [sold(), goodwill(1, "p1", 500)].concat();
    given([asked()]).when(fail_refund(id)).then(refund_failed(id));
    let failed = || given([asked(), refund_failed(id)]);
    failed().when(fail_refund(id)).then_nothing();
    failed().when(give_back(1, 500)).then_nothing();
    assert_eq!(failed().state().refunded_minor(), 0);
    failed().when(retry(id, 2)).then(retried(id, 2, "p1", 500));
    let again = || given([asked(), refund_failed(id), retried(id, 2, "p1", 500)]);
    again().when(retry(id, 2)).then_nothing();
    again().when(settle(refund_id(2), "r1")).then(settled(refund_id(2), "r1"));
    assert_eq!(again().state().refunded_minor(), 500);
    let first = again().state().refund(id).unwrap().state.clone();
    assert_eq!(first, RefundState::Failed { retried_by: Some(refund_id(2)) });
}

#[test]
fn a_chargeback_takes_what_was_not_refunded_and_makes_it_due_again() {
    let some = || [sold(), goodwill(1, "p1", 500)];
    given(some()).when(reverse("p1")).then(reversed("p1", 5_500));
    let owing = || given([some().concat(), reversed("p1", 5_500)]);
    owing().when(reverse("p1")).then_nothing();
    let state = owing().state();
    assert_eq!((state.due_minor(), state.refundable_minor()), (5_500, 0));
    assert_eq!(state.status(), OrderStatus::Confirmed);
    owing().when(pay(&[("p2", 5_500)])).then([captured("p2", 5_500), paid(6_000)].concat());
    // All of it has gone back already: nothing is left to be taken, and that is recorded.
    let back = [sold(), goodwill(1, "p1", 6_000)];
    given(back).when(reverse("p1")).then(reversed("p1", 0));
}

#[test]
fn what_is_cancelled_after_a_chargeback_need_not_be_paid_any_more() {
    let owing = || [sold(), reversed("p1", 6_000), wanted(1, &[1])].concat();
    given([owing()]).when(complete(1, &[1], &[])).then(items_cancelled(1, &[1]));
    let state = given([owing(), items_cancelled(1, &[1])]).state();
    assert_eq!((state.due_minor(), state.total_minor()), (3_000, 6_000));
    let rest = given([owing(), items_cancelled(1, &[1])]).when(pay(&[("p2", 3_000)]));
    rest.then([captured("p2", 3_000), paid(3_000)].concat());
}

#[test]
fn a_credit_settles_the_debt_first_and_the_rest_goes_back() {
    let owing = [
        placed(items()),
        captured("p1", 1_000),
        captured("p2", 5_000),
        paid(6_000),
        confirmed(),
        reversed("p1", 1_000),
        wanted(1, &[1]),
    ];
    given(owing)
        .when(complete(1, &[1], &[]))
        .then([items_cancelled(1, &[1]), cancel_refund(1, "p2", 2_000), paid(5_000)].concat());
}
