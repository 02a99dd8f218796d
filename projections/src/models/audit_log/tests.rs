//! What is found by which filter.

use hakken_domain::{envelope::StreamId, names::ActorRef};

use super::AuditFilter;
use crate::{
    PageRequest,
    testing::{Bench, START, Store, hall},
};

async fn lived() -> Bench {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    bench
}

async fn kinds(bench: &Bench, filter: AuditFilter) -> Vec<String> {
    let page = bench.models.audit_log(None, &filter, &PageRequest::first(100)).await;
    page.expect("a page").into_nodes().into_iter().map(|entry| entry.kind).collect()
}

#[tokio::test]
async fn every_event_is_there_as_it_was_stored() {
    let bench = lived().await;
    let (filter, page) = (AuditFilter::default(), PageRequest::first(100));
    let page = bench.models.audit_log(None, &filter, &page);
    let entries = page.await.expect("a page").into_nodes();
    let events = bench.feed.events(Default::default(), usize::MAX);
    assert_eq!(entries.len(), events.len());
    for (entry, event) in entries.iter().zip(events) {
        assert_eq!((entry.position, entry.event), (event.position, event.id));
        assert_eq!((entry.stream, entry.version), (event.stream, event.version));
        assert_eq!(entry.stored.data, event.data, "byte for byte");
        assert_eq!(entry.recorded_at, event.recorded_at);
        assert!(entry.key.is_some());
    }
}

#[tokio::test]
async fn a_ticket_brings_its_order_and_show() {
    let bench = lived().await;
    let ticket = Some(hall::ticket("t2"));
    let filter = AuditFilter { ticket, ..AuditFilter::default() };
    assert_eq!(
        kinds(&bench, filter.clone()).await,
        ["ticket-created", "ticket-issued", "ticket-voided"]
    );
    let both = AuditFilter { order: Some(hall::order("h1")), ..filter };
    assert_eq!(kinds(&bench, both).await.len(), 3);
    let order = AuditFilter { order: Some(hall::order("h1")), ..AuditFilter::default() };
    let found = kinds(&bench, order).await;
    for kind in ["order-placed", "hold-confirmed", "ticket-entered", "places-returned"] {
        assert!(found.iter().any(|found| found == kind), "{kind} is missing in {found:?}");
    }
}

#[tokio::test]
async fn an_order_over_two_shows_is_in_both_logs_and_once_in_the_whole() {
    let bench = lived().await;
    let placed = vec!["order-placed".to_owned()];
    for (show, found) in [("concert", 2), ("match", 1), ("rival", 0)] {
        let show = Some(hall::show(show));
        let filter = AuditFilter { show, kinds: placed.clone(), ..AuditFilter::default() };
        assert_eq!(kinds(&bench, filter).await.len(), found);
    }
    let filter = AuditFilter { kinds: placed, ..AuditFilter::default() };
    assert_eq!(kinds(&bench, filter).await.len(), 2);
}

#[tokio::test]
async fn actors_streams_and_times_are_found() {
    let bench = lived().await;
    bench.feed.actor("key:desk");
    bench.feed.voided("t1");
    bench.caught_up().await;
    let actor = Some(ActorRef::new("key:desk").expect("a good actor"));
    let filter = AuditFilter { actor, ..AuditFilter::default() };
    assert_eq!(kinds(&bench, filter).await, ["ticket-voided"]);
    let stream = Some(StreamId::gate(hall::show("concert")));
    let filter = AuditFilter { stream, ..AuditFilter::default() };
    assert_eq!(kinds(&bench, filter).await, ["code-refused"]);
    let (from, until) = (Some(START.plus_seconds(1)), Some(START.plus_seconds(3)));
    let filter = AuditFilter { from, until, ..AuditFilter::default() };
    assert_eq!(kinds(&bench, filter).await, ["organizer-registered", "api-key-created"]);
    let future = Some(bench.feed.now());
    let filter = AuditFilter { from: future, ..AuditFilter::default() };
    assert!(kinds(&bench, filter).await.is_empty());
    let kinds_wanted = vec!["code-refused".to_owned(), "scan-refused".to_owned()];
    let filter = AuditFilter { kinds: kinds_wanted, ..AuditFilter::default() };
    assert_eq!(kinds(&bench, filter).await, ["scan-refused", "code-refused"]);
}
