//! One sentence or more for each refusal, in the order of their declaration.

use super::*;

#[test]
fn nothing_can_be_asked_of_an_unknown_order() {
    let id = refund_id(1);
    for command in [
        pay(&[("p1", 1)]),
        reverse("p1"),
        Command::ConfirmOrder,
        fail(),
        cancel(1, &[]),
        complete(1, &[1], &[]),
        give_back(1, 1),
        settle(id, "r"),
        fail_refund(id),
        retry(id, 2),
    ] {
        given([]).when(command).then_rejected(Rejection::OrderUnknown);
    }
}

#[test]
fn an_order_is_placed_once() {
    let other = vec![item(1, "A1", 2_999)];
    given([placed(items())]).when(place(other)).then_rejected(Rejection::OrderExists);
}

#[test]
fn an_order_has_1_to_100_items() {
    let seats = |n| (1..=n).map(|i| item(i, &format!("A{i}"), 10)).collect::<Vec<_>>();
    given([]).when(place(vec![])).then_rejected(Rejection::ItemCount);
    given([]).when(place(seats(101))).then_rejected(Rejection::ItemCount);
    given([]).when(place(seats(100))).then(placed(seats(100)));
}

#[test]
fn items_are_numbered_from_1_and_each_has_one_place_of_its_own() {
    let misnumbered = vec![item(1, "A1", 1), item(3, "A2", 1)];
    let nowhere = vec![Item { seat: None, ..item(1, "A1", 1) }];
    let pool = Some(PoolId::new("standing").unwrap());
    let two_places = vec![Item { pool: pool.clone(), ..item(1, "A1", 1) }];
    let same_seat = vec![item(1, "A1", 1), item(2, "A1", 1)];
    for items in [misnumbered, nowhere, two_places, same_seat] {
        given([]).when(place(items)).then_rejected(Rejection::ItemsInvalid);
    }
    let other_show = Item { show: ShowId(Ulid(2)), ..item(2, "A1", 1) };
    let other_leg = Item { legs: Legs::new(1, 3).unwrap(), ..item(3, "A1", 1) };
    let standing = |n| Item { seat: None, pool: pool.clone(), ..item(n, "X", 1) };
    let fine = vec![item(1, "A1", 1), other_show, other_leg.clone(), standing(4), standing(5)];
    given([]).when(place(fine.clone())).then(placed(fine));
    let overlap = vec![
        Item { legs: Legs::new(0, 2).unwrap(), ..item(1, "A1", 1) },
        Item { item: 2, ..other_leg },
    ];
    given([]).when(place(overlap)).then_rejected(Rejection::ItemsInvalid);
}

#[test]
fn the_total_is_at_most_what_one_amount_can_be() {
    let most = vec![item(1, "A1", MAX_AMOUNT_MINOR)];
    given([]).when(place(most.clone())).then(placed(most));
    let more = vec![item(1, "A1", MAX_AMOUNT_MINOR), item(2, "A2", 1)];
    given([]).when(place(more)).then_rejected(Rejection::TotalTooLarge);
    let absurd = vec![item(1, "A1", u64::MAX), item(2, "A2", u64::MAX)];
    given([]).when(place(absurd)).then_rejected(Rejection::TotalTooLarge);
}

#[test]
fn money_is_of_the_orders_currency() {
    let currency = "EUR".parse().unwrap();
    let euros =
        Command::CapturePayments { payments: vec![card("p1", 6_000)], currency, partial: false };
    given([placed(items())]).when(euros).then_rejected(Rejection::CurrencyMismatch);
    let back = Command::RefundMoney { refund: refund_id(1), amount_minor: 1, currency };
    given([sold()]).when(back).then_rejected(Rejection::CurrencyMismatch);
}

#[test]
fn an_order_has_at_most_50_payments() {
    let ids: Vec<String> = (1..=51).map(|n| format!("p{n}")).collect();
    let all: Vec<(&str, u64)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    given([placed(items())]).when(pay(&[])).then_rejected(Rejection::PaymentCount);
    given([placed(items())]).when(pay_part(&all)).then_rejected(Rejection::PaymentCount);
    let first: Vec<Event> = all[..50].iter().flat_map(|(id, n)| captured(id, *n)).collect();
    given([placed(items())]).when(pay_part(&all[..50])).then(first.clone());
    let more = given([placed(items()), first]).when(pay_part(&all[49..]));
    more.then_rejected(Rejection::PaymentCount);
}

#[test]
fn no_amount_is_nothing_or_absurd() {
    for amount in [0, MAX_AMOUNT_MINOR + 1, u64::MAX] {
        let payment = given([placed(items())]).when(pay(&[("p1", amount)]));
        payment.then_rejected(Rejection::AmountInvalid);
        given([sold()]).when(give_back(1, amount)).then_rejected(Rejection::AmountInvalid);
    }
}

#[test]
fn a_payment_has_one_amount_and_one_method() {
    let differs = || Rejection::PaymentDiffers(pay_id("p1"));
    let some = [placed(items()), captured("p1", 1_000)];
    given(some.clone()).when(pay(&[("p1", 999), ("p2", 5_001)])).then_rejected(differs());
    let method = PaymentMethod::new("konbini").unwrap();
    let payments = vec![Payment { method, ..card("p1", 1_000) }];
    let other = Command::CapturePayments { payments, currency: Currency::JPY, partial: true };
    given(some).when(other).then_rejected(differs());
    given([placed(items())]).when(pay(&[("p1", 2_000), ("p1", 4_000)])).then_rejected(differs());
}

#[test]
fn nobody_pays_more_than_what_is_due() {
    let too_much = |due_minor| Rejection::PaidTooMuch { due_minor };
    given([placed(items())]).when(pay(&[("p1", 6_001)])).then_rejected(too_much(6_000));
    given([placed(items())]).when(pay_part(&[("p1", 6_001)])).then_rejected(too_much(6_000));
    given([sold()]).when(pay(&[("p2", 1)])).then_rejected(too_much(0));
    let rest = given([placed(items()), captured("p1", 4_000)]).when(pay(&[("p2", 2_001)]));
    rest.then_rejected(too_much(2_000));
}

#[test]
fn nobody_pays_less_than_what_is_due_without_saying_so() {
    let too_little = |due_minor| Rejection::PaidTooLittle { due_minor };
    let short = pay(&[("p1", 3_000), ("p2", 2_999)]);
    given([placed(items())]).when(short).then_rejected(too_little(6_000));
    let rest = given([placed(items()), captured("p1", 4_000)]).when(pay(&[("p2", 1_999)]));
    rest.then_rejected(too_little(2_000));
}

#[test]
fn an_unknown_payment_is_not_reversed() {
    given([sold()]).when(reverse("p2")).then_rejected(Rejection::PaymentUnknown(pay_id("p2")));
}

#[test]
fn an_unknown_cancellation_is_not_completed() {
    let unknown = Rejection::CancellationUnknown;
    given([sold()]).when(complete(1, &[1], &[])).then_rejected(unknown.clone());
    given([sold(), wanted(1, &[1])]).when(complete(2, &[1], &[])).then_rejected(unknown);
}

#[test]
fn an_unknown_item_is_neither_cancelled_nor_refused() {
    given([sold()]).when(cancel(1, &[1, 4])).then_rejected(Rejection::ItemUnknown(4));
    given([sold()]).when(cancel(1, &[0])).then_rejected(Rejection::ItemUnknown(0));
    given([placed(items())]).when(cancel(1, &[9])).then_rejected(Rejection::ItemUnknown(9));
    let other = given([sold(), wanted(1, &[1])]).when(complete(1, &[1, 2], &[]));
    other.then_rejected(Rejection::ItemUnknown(2));
}

#[test]
fn no_item_is_named_twice() {
    given([sold()]).when(cancel(1, &[2, 1, 2])).then_rejected(Rejection::ItemRepeated(2));
    let both = given([sold(), wanted(1, &[1, 2])]).when(complete(1, &[1, 2], &[1]));
    both.then_rejected(Rejection::ItemRepeated(1));
}

#[test]
fn a_cancellation_is_answered_for_every_item() {
    let part = given([sold(), wanted(1, &[1, 2])]).when(complete(1, &[1], &[]));
    part.then_rejected(Rejection::ItemMissing(2));
}

#[test]
fn an_order_that_is_over_stays_over() {
    let over = || Rejection::OrderOver;
    let failed = || [paid_order(), unfulfilled()];
    given(failed()).when(Command::ConfirmOrder).then_rejected(over());
    given(failed()).when(cancel(1, &[])).then_rejected(over());
    let gone = || [placed(items()), order_cancelled()];
    given(gone()).when(Command::ConfirmOrder).then_rejected(over());
    given(gone()).when(fail()).then_rejected(over());
    given(gone()).when(cancel(1, &[1])).then_rejected(over());
    given([all_cancelled()]).when(cancel(2, &[])).then_rejected(over());
    given([all_cancelled()]).when(fail()).then_rejected(over());
}

#[test]
fn a_confirmed_order_does_not_fail_any_more() {
    given([sold()]).when(fail()).then_rejected(Rejection::OrderConfirmed);
}

#[test]
fn what_is_not_paid_is_not_sold() {
    let not_paid = || Rejection::NotPaid;
    let part = || [placed(items()), captured("p1", 5_999)];
    given(part()).when(Command::ConfirmOrder).then_rejected(not_paid());
    given(part()).when(fail()).then_rejected(not_paid());
    given(part()).when(cancel(1, &[1])).then_rejected(not_paid());
}

#[test]
fn a_chargeback_does_not_stop_a_checkout_half_way() {
    let taken_back = || [paid_order(), reversed("p1", 6_000)];
    let confirmed = Event::OrderConfirmed(OrderConfirmed {});
    given(taken_back()).when(Command::ConfirmOrder).then([confirmed]);
    given(taken_back()).when(cancel(1, &[])).then_rejected(Rejection::CheckoutUnderWay);
}

#[test]
fn nothing_is_cancelled_while_the_places_are_being_sold() {
    given([paid_order()]).when(cancel(1, &[])).then_rejected(Rejection::CheckoutUnderWay);
    given([paid_order()]).when(cancel(1, &[1])).then_rejected(Rejection::CheckoutUnderWay);
}

#[test]
fn one_cancellation_at_a_time() {
    let second = given([sold(), wanted(1, &[1])]).when(cancel(2, &[2]));
    second.then_rejected(Rejection::CancellationUnderWay);
}

#[test]
fn a_cancelled_item_is_not_cancelled_again() {
    let first = [sold(), wanted(1, &[1]), items_cancelled(1, &[1])];
    given(first).when(cancel(2, &[1, 2])).then_rejected(Rejection::ItemCancelled(1));
}

#[test]
fn an_unknown_refund_neither_settles_nor_fails_nor_is_retried() {
    for command in [settle(refund_id(9), "r"), fail_refund(refund_id(9)), retry(refund_id(9), 10)] {
        given([sold()]).when(command).then_rejected(Rejection::RefundUnknown);
    }
}

#[test]
fn a_refund_has_one_amount() {
    let more = given([sold(), goodwill(1, "p1", 500)]).when(give_back(1, 501));
    more.then_rejected(Rejection::RefundExists);
    let (one, two) = (goodwill_id(1, "p1"), goodwill_id(2, "p1"));
    let failed = [sold(), goodwill(1, "p1", 500), goodwill(2, "p1", 5), refund_failed(one)];
    let taken = given(failed).when(Command::RetryRefund { failed: one, refund: two });
    taken.then_rejected(Rejection::RefundExists);
}

#[test]
fn a_settled_refund_is_settled() {
    let id = goodwill_id(1, "p1");
    let done = || [sold(), goodwill(1, "p1", 500), settled(id, "r1")];
    given(done()).when(settle(id, "r2")).then_rejected(Rejection::RefundSettled);
    given(done()).when(fail_refund(id)).then_rejected(Rejection::RefundSettled);
}

#[test]
fn a_failed_refund_does_not_settle() {
    let id = goodwill_id(1, "p1");
    let failed = [sold(), goodwill(1, "p1", 500), refund_failed(id)];
    given(failed).when(settle(id, "r1")).then_rejected(Rejection::RefundFailed);
}

#[test]
fn only_a_failed_refund_is_tried_again_and_only_once() {
    let id = goodwill_id(1, "p1");
    let asked = || [sold(), goodwill(1, "p1", 500)].concat();
    let not_failed = || Rejection::RefundNotFailed;
    given([asked()]).when(retry(id, 2)).then_rejected(not_failed());
    given([asked(), settled(id, "r")]).when(retry(id, 2)).then_rejected(not_failed());
    let again = [asked(), refund_failed(id), retried(id, 2, "p1", 500)];
    given(again).when(retry(id, 3)).then_rejected(not_failed());
}

#[test]
fn an_order_has_so_many_refunds_that_are_asked_for() {
    let past = || {
        let refunds = (0..MAX_REFUNDS as u128).map(|n| goodwill(n + 1, "p1", 1));
        [sold()].into_iter().chain(refunds)
    };
    given(past()).when(give_back(900, 1)).then_rejected(Rejection::RefundCount);
    given(past()).when(give_back(1, 1)).then_nothing();
    let id = goodwill_id(1, "p1");
    let failed = past().chain([refund_failed(id)]);
    given(failed).when(retry(id, 900)).then_rejected(Rejection::RefundCount);
}

#[test]
fn nobody_gets_more_back_than_was_paid() {
    let too_much = |refundable_minor| Rejection::RefundTooMuch { refundable_minor };
    given([sold()]).when(give_back(1, 6_001)).then_rejected(too_much(6_000));
    given([placed(items())]).when(give_back(1, 1)).then_rejected(too_much(0));
    let some = [sold(), goodwill(1, "p1", 4_000)];
    given(some).when(give_back(2, 2_001)).then_rejected(too_much(2_000));
    let taken = [sold(), reversed("p1", 6_000)];
    given(taken).when(give_back(1, 1)).then_rejected(too_much(0));
    let id = goodwill_id(1, "p1");
    let spent = [sold(), goodwill(1, "p1", 4_000), refund_failed(id), goodwill(2, "p1", 5_000)];
    given(spent).when(retry(id, 3)).then_rejected(too_much(1_000));
}
