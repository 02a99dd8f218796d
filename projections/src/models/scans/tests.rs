//! What is found by which filter.

use hakken_domain::ticket::ScanRefusal;

use super::{ScanFilter, ScanView};
use crate::{
    PageRequest,
    testing::{Bench, Store, hall},
};

async fn found(bench: &Bench, filter: ScanFilter) -> Vec<ScanView> {
    let page = bench.models.scans(None, &filter, &PageRequest::first(100)).await.expect("a page");
    let scans = page.into_nodes();
    let count = bench.models.scan_count(None, &filter).await.expect("a count");
    assert_eq!(count, scans.len() as u64);
    scans
}

#[tokio::test]
async fn scans_are_found_by_show_ticket_gate_result_and_reason() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.whole_life();
    bench.feed.scan_refused("t1", "match", ScanRefusal::WrongShow);
    bench.caught_up().await;
    let of_show = |show| ScanFilter { show: Some(hall::show(show)), ..ScanFilter::default() };
    let concert = found(&bench, of_show("concert")).await;
    let refusals: Vec<_> = concert.iter().map(|scan| scan.refused).collect();
    use ScanRefusal::{AlreadyRedeemed, Invalid, WrongShow};
    assert_eq!(refusals, [None, Some(AlreadyRedeemed), Some(Invalid)]);
    assert_eq!(concert[0].order, Some(hall::order("h1")));
    assert_eq!((concert[2].ticket, concert[2].order), (None, None), "a forged code has no ticket");
    assert_eq!(concert[2].code_digest.as_deref(), Some("0123456789abcdef"));
    let wrong = found(&bench, of_show("match")).await;
    assert_eq!(wrong.len(), 1, "a refused scan belongs to the gate's show");
    assert_eq!((wrong[0].ticket, wrong[0].refused), (Some(hall::ticket("t1")), Some(WrongShow)));
    let ticket = Some(hall::ticket("t1"));
    assert_eq!(found(&bench, ScanFilter { ticket, ..ScanFilter::default() }).await.len(), 3);
    let gate = Some(hall::gate_name("east"));
    assert_eq!(found(&bench, ScanFilter { gate, ..ScanFilter::default() }).await.len(), 1);
    let accepted = Some(true);
    assert_eq!(found(&bench, ScanFilter { accepted, ..ScanFilter::default() }).await.len(), 1);
    let reason = Some(AlreadyRedeemed);
    assert_eq!(found(&bench, ScanFilter { reason, ..ScanFilter::default() }).await.len(), 1);
    let from = Some(wrong[0].recorded_at);
    assert_eq!(found(&bench, ScanFilter { from, ..ScanFilter::default() }).await, wrong);
}
