//! An order's life.

use hakken_domain::{
    State,
    envelope::{StreamId, StreamKind},
    order,
};

use super::{OrderFilter, OrderStatus, RefundFilter, RefundStatus};
use crate::{
    PageRequest,
    testing::{Bench, Store, hall},
};

async fn order(bench: &Bench, word: &str) -> super::OrderView {
    bench.caught_up().await;
    let found = bench.models.order(None, hall::order(word)).await;
    found.expect("an answer").expect("an order")
}

#[tokio::test]
async fn an_order_goes_from_pending_to_confirmed_and_loses_an_item() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.placed("o", &[("s", "A1"), ("s", "A2")]);
    let found = order(&bench, "o").await;
    assert_eq!((found.status, found.total_minor), (OrderStatus::Pending, 10_000));
    bench.feed.paid("o", 10_000);
    let found = order(&bench, "o").await;
    assert_eq!((found.status, found.captured_minor), (OrderStatus::Paid, 10_000));
    bench.feed.order_confirmed("o");
    bench.feed.item_cancelled("o", 2);
    let found = order(&bench, "o").await;
    assert_eq!(found.status, OrderStatus::Confirmed);
    let cancelled: Vec<bool> = found.items.iter().map(|item| item.cancelled).collect();
    assert_eq!(cancelled, [false, true]);
    assert_eq!((found.refund_requested_minor, found.refund_settled_minor), (5_000, 0));
    assert_eq!(found.pending_cancellation, None);
    bench.feed.refund_settled("o", 2);
    assert_eq!(order(&bench, "o").await.refund_settled_minor, 5_000);
    let refunds = bench.models.refunds_of(None, hall::order("o")).await.expect("refunds");
    assert_eq!((refunds.len(), refunds[0].status), (1, RefundStatus::Settled));
}

#[tokio::test]
async fn a_failed_refund_is_no_longer_on_its_way() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.placed("o", &[("s", "A1")]);
    bench.feed.paid("o", 5_000);
    bench.feed.order_confirmed("o");
    bench.feed.item_cancelled("o", 1);
    let refund = hall::refund("o-1");
    let failed = order::RefundFailed { refund, reason: hall::reason("account closed") };
    bench.feed.order("o", order::Event::RefundFailed(failed));
    let found = order(&bench, "o").await;
    assert_eq!((found.refund_requested_minor, found.refund_settled_minor), (0, 0));
    let filter = RefundFilter { status: Some(RefundStatus::Failed), order: None };
    let page = bench.models.refunds(None, &filter, &PageRequest::first(5)).await.expect("a page");
    assert_eq!(page.edges.len(), 1);
}

#[tokio::test]
async fn orders_are_found_by_show_buyer_and_status_with_pages() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    for (word, shows) in [("o1", &["s"][..]), ("o2", &["s", "t"]), ("o3", &["t"]), ("o4", &["s"])] {
        let items: Vec<_> = shows.iter().map(|show| (*show, "A1")).collect();
        bench.feed.placed(word, &items);
    }
    bench.feed.paid("o4", 5_000);
    bench.caught_up().await;
    let found = async |filter: OrderFilter, page: PageRequest| {
        let page = bench.models.orders(None, &filter, &page).await.expect("a page");
        let cursor = page.edges.last().map(|edge| edge.cursor.clone());
        let orders: Vec<_> = page.into_nodes().into_iter().map(|order| order.order).collect();
        (orders, cursor)
    };
    let of_show =
        |status| OrderFilter { show: Some(hall::show("s")), status, ..OrderFilter::default() };
    let ids = |words: &[&str]| words.iter().map(|word| hall::order(word)).collect::<Vec<_>>();
    let (first, cursor) = found(of_show(None), PageRequest::first(2)).await;
    assert_eq!(first, ids(&["o1", "o2"]));
    let next = PageRequest::first(2).after(&cursor.expect("a cursor"));
    assert_eq!(found(of_show(None), next).await.0, ids(&["o4"]));
    let paid = found(of_show(Some(OrderStatus::Paid)), PageRequest::first(9)).await;
    assert_eq!(paid.0, ids(&["o4"]));
    let buyer = Some(hall::buyer("buyer-o3"));
    let filter = OrderFilter { buyer, ..OrderFilter::default() };
    assert_eq!(found(filter, PageRequest::first(9)).await.0, ids(&["o3"]));
}

/// Whatever happened to an order, what is due of it is what the rules say.
#[tokio::test]
async fn what_is_due_after_a_chargeback_is_what_the_rules_say() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.placed("o", &[("s", "A1"), ("s", "A2"), ("s", "A3")]);
    bench.feed.paid("o", 15_000);
    bench.feed.order_confirmed("o");
    let stream = StreamId::from(hall::order("o"));
    let due = async || {
        let seen = order(&bench, "o").await.due_minor();
        let mut rules = State::initial(StreamKind::Order);
        for event in bench.feed.events(Default::default(), usize::MAX) {
            if event.stream == stream {
                rules.evolve(&event.decoded().expect("an event").event);
            }
        }
        let State::Order(rules) = rules else { panic!("an order's rules") };
        assert_eq!(seen, rules.due_minor());
        seen
    };
    assert_eq!(due().await, 0);
    let payment = order(&bench, "o").await.payments[0].payment.clone();
    let reversed =
        order::PaymentReversed { payment, amount_minor: 15_000, reason: hall::reason("fraud") };
    bench.feed.order("o", order::Event::PaymentReversed(reversed));
    assert_eq!(due().await, 15_000);
    for (item, refund, left) in [
        (1, order::RefundPolicy::Full, 10_000),
        (2, order::RefundPolicy::KeepFeeMinor(1_000), 6_000),
        (3, order::RefundPolicy::Nothing, 0),
    ] {
        let cancellation = hall::cancellation(&format!("c{item}"));
        let items = vec![item];
        let asked = order::CancellationRequested {
            cancellation,
            items: items.clone(),
            refund,
            even_if_used: false,
            reason: hall::reason("ill"),
        };
        bench.feed.order("o", order::Event::CancellationRequested(asked));
        let done = order::ItemsCancelled { cancellation, items };
        bench.feed.order("o", order::Event::ItemsCancelled(done));
        assert_eq!(due().await, left, "item {item}");
    }
}
