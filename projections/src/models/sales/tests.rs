//! Places and money.

use hakken_domain::order;

use super::{ItemsSold, MoneyMoved, PlacesSold};
use crate::testing::{Bench, Store, hall};

#[tokio::test]
async fn places_and_money_add_up() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    let sales = async |show| {
        let found = bench.models.show_sales(None, hall::show(show)).await;
        found.expect("an answer").expect("sales")
    };
    let concert = sales("concert").await;
    assert_eq!(concert.places, PlacesSold { held: 0, sold: 1, returned: 1 });
    assert_eq!(concert.types.len(), 1);
    assert_eq!(
        concert.types[0].items,
        ItemsSold { confirmed: 2, gross_minor: 10_000, cancelled: 1, cancelled_minor: 5_000 }
    );
    assert_eq!(sales("match").await.places, PlacesSold { held: 0, sold: 4, returned: 0 });
    assert_eq!(sales("rival").await.places, PlacesSold { held: 1, sold: 1, returned: 0 });
    let money = bench.models.money(None).await.expect("an answer");
    assert_eq!(money.len(), 1);
    assert_eq!(
        money[0].money,
        MoneyMoved {
            captured_minor: 10_000,
            reversed_minor: 0,
            refund_requested_minor: 5_000,
            refund_settled_minor: 5_000,
        }
    );
}

#[tokio::test]
async fn an_item_that_was_cancelled_before_the_sale_was_never_sold() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.sales_opened("s", 1);
    bench.feed.placed("o", &[("s", "A1"), ("s", "A2")]);
    let cancellation = hall::cancellation("c");
    let cancelled = order::ItemsCancelled { cancellation, items: vec![1] };
    bench.feed.order("o", order::Event::ItemsCancelled(cancelled));
    bench.feed.order_confirmed("o");
    bench.caught_up().await;
    let found = bench.models.show_sales(None, hall::show("s")).await.expect("an answer");
    let items = found.expect("sales").types[0].items;
    assert_eq!((items.confirmed, items.gross_minor, items.cancelled), (1, 5_000, 0));
}
