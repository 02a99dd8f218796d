//! Who issued what, when; and what was known then.

use super::{AsOf, IssuanceAct, IssuanceFilter};
use crate::{
    PageRequest,
    testing::{Bench, Store, hall},
};

async fn acts(bench: &Bench, filter: IssuanceFilter) -> Vec<(IssuanceAct, u16)> {
    bench.caught_up().await;
    let page = bench.models.issuance_history(None, &filter, &PageRequest::first(100)).await;
    let entries = page.expect("a page").into_nodes();
    entries.iter().map(|entry| (entry.act, entry.issued_for.generation)).collect()
}

#[tokio::test]
async fn every_act_says_what_the_ticket_is_for_and_which_code_is_live() {
    use IssuanceAct::{Created, Issued, Reissued, Voided};
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.issued("t", "o", "s", "A1");
    bench.feed.entered("t", 1);
    bench.feed.actor("key:desk");
    bench.feed.reissued("t", 2);
    let (reissued, reissued_at) = (bench.feed.last(), bench.feed.now().minus_seconds(1));
    bench.feed.voided("t");
    let all = [(Created, 0), (Issued, 1), (Reissued, 2), (Voided, 2)];
    let of_ticket = IssuanceFilter { ticket: Some(hall::ticket("t")), ..IssuanceFilter::default() };
    assert_eq!(acts(&bench, of_ticket.clone()).await, all);
    let page = bench.models.issuance_history(None, &of_ticket, &PageRequest::last(2)).await;
    let entry = &page.expect("a page").edges[0].node;
    assert_eq!(entry.actor.as_str(), "key:desk");
    assert_eq!(entry.reason.as_ref().map(|reason| reason.as_str()), Some("lost"));
    assert_eq!(entry.issued_for.seat, Some(hall::seat("A1")));
    assert_eq!((entry.position, entry.recorded_at), (reissued, reissued_at));
    for as_of in [AsOf::Position(reissued), AsOf::Time(reissued_at)] {
        let then = IssuanceFilter { as_of: Some(as_of), ..of_ticket.clone() };
        assert_eq!(acts(&bench, then).await, all[..3]);
    }
    let only = IssuanceFilter { act: Some(Voided), ..IssuanceFilter::default() };
    assert_eq!(acts(&bench, only).await, [(Voided, 2)]);
    let other = IssuanceFilter { show: Some(hall::show("x")), ..IssuanceFilter::default() };
    assert_eq!(acts(&bench, other).await, []);
}
