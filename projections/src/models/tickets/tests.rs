//! A ticket's life.

use hakken_domain::ticket::{self, ScanRefusal, TicketScanned};

use super::{TicketFilter, TicketStatus, TicketView};
use crate::testing::{Bench, Store, hall};

async fn ticket(bench: &Bench) -> TicketView {
    bench.caught_up().await;
    let found = bench.models.ticket(None, hall::ticket("t")).await;
    found.expect("an answer").expect("a ticket")
}

#[tokio::test]
async fn a_ticket_is_issued_used_reissued_and_voided() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.issued("t", "o", "s", "A1");
    let found = ticket(&bench).await;
    assert_eq!((found.status, found.generation), (TicketStatus::Issued, 1));
    bench.feed.entered("t", 1);
    bench.feed.scan_refused("t", "s", ScanRefusal::AlreadyRedeemed);
    let found = ticket(&bench).await;
    assert_eq!((found.status, found.inside, found.entries), (TicketStatus::Used, true, 1));
    assert_eq!(found.refused_scans, 1);
    let first = found.first_entered_at;
    let scanned = TicketScanned { gate: hall::gate_name("west"), generation: 1 };
    bench.feed.ticket("t", ticket::Event::TicketExited(scanned));
    assert!(!ticket(&bench).await.inside);
    bench.feed.entered("t", 1);
    let found = ticket(&bench).await;
    assert_eq!((found.entries, found.first_entered_at), (2, first));
    bench.feed.reissued("t", 2);
    let found = ticket(&bench).await;
    assert_eq!((found.status, found.generation), (TicketStatus::Used, 2));
    let suspended = ticket::TicketSuspended { reason: hall::reason("chargeback") };
    bench.feed.ticket("t", ticket::Event::TicketSuspended(suspended));
    assert!(ticket(&bench).await.suspended);
    bench.feed.ticket("t", ticket::Event::TicketReinstated(ticket::TicketReinstated {}));
    assert!(!ticket(&bench).await.suspended);
    bench.feed.voided("t");
    let found = ticket(&bench).await;
    assert_eq!(found.status, TicketStatus::Void);
    assert!(found.voided_at.is_some());
}

#[tokio::test]
async fn tickets_are_counted_by_show_and_status() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    let count = async |status| {
        let show = Some(hall::show("concert"));
        let filter = TicketFilter { show, status, ..TicketFilter::default() };
        bench.models.ticket_count(None, &filter).await.expect("a count")
    };
    assert_eq!(count(None).await, 2);
    assert_eq!(count(Some(TicketStatus::Used)).await, 1);
    assert_eq!(count(Some(TicketStatus::Void)).await, 1);
    assert_eq!(count(Some(TicketStatus::Issued)).await, 0);
}
