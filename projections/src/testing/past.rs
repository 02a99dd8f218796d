//! What is told of the past, over every row store: after each event the lists and sums are noted,
//! and at the end each moment is asked for again.

use std::fmt::Debug;

use hakken_domain::{envelope::Position, names::OrganizerId};

use super::{Bench, PATIENCE, Store, hall};
use crate::{
    ALL, Page, PageRequest, QueryError,
    models::{
        catalogue::ShowFilter,
        holds::{HoldFilter, HoldStatus},
        orders::{OrderFilter, OrderStatus, RefundFilter, RefundStatus},
        seat_availability::AsOf,
        tickets::{TicketFilter, TicketStatus},
    },
    past,
    rows::{Query, TableChanges, Value},
};

/// A page with its cursors and its ends, in words.
fn words<T: Debug>(page: Result<Page<T>, QueryError>) -> String {
    format!("{:#?}", page.expect("a page"))
}

/// Every list and sum that is not a list of what happened: as it is now, or as it was.
async fn told(bench: &Bench, tenant: Option<OrganizerId>, at: Option<Position>) -> Vec<String> {
    let models = &bench.models;
    let mut told = Vec::new();
    let all = PageRequest::first(50);
    let two = PageRequest::first(2);
    let newest = PageRequest::last(2).newest_first();
    /// The list as it is, or as it was.
    macro_rules! list {
        ($now:ident, $then:ident($($filter:expr),*), $page:expr) => {
            told.push(match at {
                None => words(models.$now(tenant, $(&$filter,)* $page).await),
                Some(at) => words(models.$then(tenant, $(&$filter,)* $page, at).await),
            })
        };
    }
    list!(organizers, organizers_as_of(), &two);
    list!(api_keys, api_keys_as_of(), &newest);
    list!(venues, venues_as_of(), &all);
    let show = Some(hall::show("concert"));
    list!(shows, shows_as_of(ShowFilter::default()), &two);
    let venue = Some(hall::venue("hall"));
    list!(shows, shows_as_of(ShowFilter { venue, ..ShowFilter::default() }), &newest);
    list!(holds, holds_as_of(HoldFilter::default()), &two);
    for status in [HoldStatus::Held, HoldStatus::Confirmed] {
        let filter = HoldFilter { show, buyer: None, status: Some(status) };
        list!(holds, holds_as_of(filter), &PageRequest::first(1));
    }
    list!(tickets, tickets_as_of(TicketFilter { show, ..TicketFilter::default() }), &newest);
    for status in [TicketStatus::Issued, TicketStatus::Void] {
        let filter = TicketFilter { status: Some(status), ..TicketFilter::default() };
        list!(tickets, tickets_as_of(filter), &PageRequest::first(1));
    }
    list!(refunds, refunds_as_of(RefundFilter::default()), &all);
    let requested = RefundFilter { order: None, status: Some(RefundStatus::Requested) };
    list!(refunds, refunds_as_of(requested), &all);
    for (show, status) in [
        (None, None),
        (show, None),
        (show, Some(OrderStatus::Confirmed)),
        (None, Some(OrderStatus::Pending)),
    ] {
        let filter = OrderFilter { show, buyer: None, status };
        told.push(match at {
            None => words(models.orders(tenant, &filter, &two).await),
            Some(at) => {
                let orders = models.orders_as_of(tenant, &filter, &two, at).await;
                words(orders.map(|page| page.map(|order| order.view)))
            }
        });
    }
    for show in ["concert", "match", "rival", "unknown"].map(hall::show) {
        let sales = match at {
            None => models.show_sales(tenant, show).await,
            Some(at) => models.show_sales_as_of(tenant, show, at).await,
        };
        told.push(format!("{:#?}", sales.expect("an answer")));
    }
    let money = match at {
        None => models.money(tenant).await,
        Some(at) => models.money_as_of(tenant, at).await,
    };
    told.push(format!("{:#?}", money.expect("an answer")));
    told
}

/// Every list and sum is told again as it was told after each event.
pub async fn lists_and_sums_are_told_as_they_were(store: Store) {
    let whole = Bench::start(Store::in_memory()).await;
    whole.feed.whole_life();
    let bench = Bench::start(store).await;
    let tenants = [None, Some(hall::organizer("one")), Some(hall::organizer("two"))];
    let mut noted = Vec::new();
    for event in whole.feed.events(Position(0), usize::MAX) {
        bench.feed.repeat(&event);
        let caught_up = bench.models.wait_for_all(event.position, PATIENCE).await;
        caught_up.expect("caught up");
        for tenant in tenants {
            noted.push((event.position, tenant, told(&bench, tenant, None).await));
        }
    }
    assert_ne!(noted[0].2, noted[noted.len() - 3].2);
    for (at, tenant, then) in &noted {
        for (again, then) in told(&bench, *tenant, Some(*at)).await.iter().zip(then) {
            assert_eq!(again, then, "at {at} for {tenant:?}");
        }
    }
    // The future is now.
    let (_, tenant, now) = &noted[noted.len() - 3];
    assert_eq!(&told(&bench, *tenant, Some(Position(u64::MAX))).await, now);
}

/// The cursors of a list lead through its past as well.
pub async fn pages_of_the_past_follow_each_other(store: Store) {
    let bench = Bench::start(store).await;
    bench.feed.organizer_registered("one");
    for n in 0..9 {
        bench.feed.placed(&format!("o{n}"), &[("concert", "A1")]);
    }
    for n in [1, 2, 5, 7, 8] {
        bench.feed.paid(&format!("o{n}"), 5_000);
    }
    let at = bench.feed.last();
    for n in [1, 2, 5, 7, 8] {
        bench.feed.order_confirmed(&format!("o{n}"));
        bench.feed.placed(&format!("later-{n}"), &[("concert", "A1")]);
    }
    bench.caught_up().await;
    let paid = OrderFilter { status: Some(OrderStatus::Paid), ..OrderFilter::default() };
    for (filter, words) in [
        (paid.clone(), &["o1", "o2", "o5", "o7", "o8"][..]),
        (
            OrderFilter { show: Some(hall::show("concert")), ..paid },
            &["o1", "o2", "o5", "o7", "o8"],
        ),
        (OrderFilter::default(), &["o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8"]),
    ] {
        for sort in [false, true] {
            let mut expected: Vec<_> = words.iter().map(|word| hall::order(word)).collect();
            let mut page = PageRequest::first(2);
            if sort {
                expected.reverse();
                page = page.newest_first();
            }
            let mut found = Vec::new();
            loop {
                let next = bench.models.orders_as_of(None, &filter, &page, at).await;
                let next = next.expect("a page");
                assert_eq!(next.has_previous, !found.is_empty());
                found.extend(next.edges.iter().map(|edge| edge.node.view.order));
                let Some(last) = next.edges.last().filter(|_| next.has_next) else { break };
                page = page.after(&last.cursor);
            }
            assert_eq!(found, expected);
        }
    }
}

/// A time is found among the events, whichever of them were recorded at once.
pub async fn a_time_has_its_place_among_the_events(store: Store) {
    let bench = Bench::start(store).await;
    let mut times = Vec::new();
    for n in 0..40_i64 {
        bench.feed.set_time(super::START.plus_seconds((n / 3 * 10).unsigned_abs()));
        bench.feed.organizer_registered(&format!("o{n}"));
        times.push(bench.feed.events(Position(times.len() as u64), 1)[0].recorded_at);
    }
    for seconds in 0..150 {
        let time = super::START.plus_seconds(seconds);
        let expected = times.iter().filter(|recorded| **recorded <= time).count() as u64;
        let found = bench.models.position_of(AsOf::Time(time)).await.expect("a position");
        assert_eq!(found, Position(expected), "{seconds}");
    }
    let future = bench.models.position_of(AsOf::Position(Position(1_000))).await;
    assert_eq!(future.expect("a position"), bench.feed.last());
}

/// What would take too much is refused, with how much it was.
pub async fn an_answer_about_the_past_costs_so_much_and_no_more(store: Store) {
    let bench = Bench::start(store).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    let at = bench.feed.last();
    let (models, page) = (&bench.models, PageRequest::first(5));
    models.bound_past(12);
    let holds = models.holds_as_of(None, &HoldFilter::default(), &page, at).await;
    let sales = models.show_sales_as_of(None, hall::show("concert"), at).await.map(drop);
    let money = models.money_as_of(None, at).await.map(drop);
    for refused in [holds.map(drop), sales, money] {
        match refused {
            Err(QueryError::PastTooLong { most, found }) => assert!(most == 12 && found > 12),
            other => panic!("{other:?}"),
        }
    }
    models.bound_past(1_000);
    assert!(models.money_as_of(None, at).await.is_ok());
}

/// A sample of a sound read model is sound, and a row that is not what its events say, that no
/// event made, or that is missing, is found.
pub async fn a_sample_finds_what_no_event_says(store: Store) {
    let bench = Bench::start(store).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    let sample = async |name: &str| {
        let projection = ALL.iter().find(|known| known.name == name).expect("a projection");
        let (build, rows) = (bench.served(name).await, bench.store.rows.clone());
        let sampled = past::sample(&*bench.feed, rows, &build, projection, (24, 7)).await;
        sampled.expect("a sample")
    };
    for projection in ALL {
        let sampled = sample(projection.name).await;
        assert_eq!(sampled.difference, None, "{}", projection.name);
        assert_eq!(sampled.rows > 0, !projection.own.is_empty(), "{}", projection.name);
    }
    for projection in ALL {
        for own in projection.own {
            let (build, table) = (bench.served(projection.name).await, own.table);
            let query = Query::all(table, None, 24);
            let rows = bench.store.rows.query(build.id, query).await.expect("rows");
            let Some(row) = rows.iter().find(|row| own.of(row).is_some()) else { continue };
            let key = row[..table.key].to_vec();
            let put = async |upserts, deletes| {
                let changes = vec![TableChanges { table, upserts, deletes }];
                let at = build.checkpoint;
                let rows = &bench.store.rows;
                rows.commit(build.id, &changes, at.position, at).await.expect("committed");
            };
            let mut wrong = row.clone();
            let last = wrong.last_mut().expect("columns");
            *last = match last {
                Value::Bytes(_) => Value::Bytes([1, 2].into()),
                _ => Value::text("wrong"),
            };
            put(vec![wrong], Vec::new()).await;
            let told = sample(projection.name).await.difference;
            assert!(told.is_some_and(|words| words.contains(table.noun)), "{}", table.name);
            put(Vec::new(), vec![key]).await;
            // Where other rows lead to the same stream, what is missing is missed.
            let told = sample(projection.name).await.difference;
            let mut others = 0;
            for other in projection.own {
                let query = Query::all(other.table, None, 24);
                let rows = bench.store.rows.query(build.id, query).await.expect("rows");
                others += rows.iter().filter(|found| other.of(found) == own.of(row)).count();
            }
            assert_eq!(told.is_some(), others > 0, "{}: {told:?}", table.name);
            put(vec![row.clone()], Vec::new()).await;
            assert_eq!(sample(projection.name).await.difference, None, "{}", table.name);
        }
    }
}

/// Makes the tests of this suite over a row store.
#[macro_export]
macro_rules! past_suite {
    ($make:expr) => {
        $crate::each_test!($make, past: [
            lists_and_sums_are_told_as_they_were,
            pages_of_the_past_follow_each_other,
            a_time_has_its_place_among_the_events,
            an_answer_about_the_past_costs_so_much_and_no_more,
            a_sample_finds_what_no_event_says,
        ]);
    };
}
