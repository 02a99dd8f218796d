//! What there is.

use hakken_domain::{apikey, organizer, show};

use super::ShowFilter;
use crate::{
    PageRequest,
    testing::{Bench, START, Store, hall},
};

#[tokio::test]
async fn shows_are_listed_by_their_begin_with_what_is_offered_now() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.venue_registered("hall");
    bench.feed.show_scheduled("s");
    let stream = hakken_domain::envelope::StreamId::show(hall::show("s"));
    let child = show::TicketType {
        ticket_type: hall::ticket_type("child"),
        name: hall::label("Child"),
        price_minor: 2_000,
        fares: Vec::new(),
        categories: Vec::new(),
        pools: Vec::new(),
    };
    bench.feed.record(stream, show::Event::TicketTypeOffered(child.clone()));
    let withdrawn = show::TicketTypeWithdrawn { ticket_type: hall::ticket_type("general") };
    bench.feed.record(stream, show::Event::TicketTypeWithdrawn(withdrawn));
    bench.caught_up().await;
    let page = PageRequest::first(5);
    let shows = bench.models.shows(None, &ShowFilter::default(), &page).await.expect("a page");
    assert_eq!(shows.edges.len(), 1);
    assert_eq!(shows.edges[0].node.ticket_types, [child]);
    let begins = START.plus_seconds(86_400);
    for (from, until, found) in [(begins, begins.plus_seconds(1), 1), (START, begins, 0)] {
        let filter = ShowFilter {
            venue: Some(hall::venue("hall")),
            starts_from: Some(from),
            starts_until: Some(until),
        };
        let shows = bench.models.shows(None, &filter, &page).await.expect("a page");
        assert_eq!(shows.edges.len(), found);
    }
    let venue = bench.models.venue(None, hall::venue("hall")).await.expect("ok").expect("a venue");
    assert_eq!((venue.seats, venue.pool_places), (10, 10));
    let map = bench.models.venue_seat_map(None, hall::venue("hall")).await.expect("an answer");
    assert_eq!(map, Some(hall::seat_map()));
}

#[tokio::test]
async fn keys_are_listed_without_their_hashes() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.organizer_registered("one");
    bench.feed.key_created("desk", Some("one"));
    let revoked = apikey::Event::ApiKeyRevoked(apikey::ApiKeyRevoked {});
    bench.feed.record(hall::key("desk"), revoked);
    let added = organizer::CodeKeyAdded { code_key: 1 };
    bench.feed.record(hall::organizer("one"), organizer::Event::CodeKeyAdded(added));
    let disabled = organizer::CodeKeyDisabled { code_key: 1 };
    bench.feed.record(hall::organizer("one"), organizer::Event::CodeKeyDisabled(disabled));
    bench.caught_up().await;
    let keys = bench.models.api_keys(None, &PageRequest::first(5)).await.expect("a page");
    let key = &keys.edges[0].node;
    assert_eq!((key.label.as_str(), key.revoked), ("desk", true));
    assert!(!format!("{key:?}").contains(&"0".repeat(64)), "no hash");
    let one = bench.models.organizer(None, hall::organizer("one")).await.expect("an answer");
    assert!(one.expect("an organizer").code_keys[0].disabled);
}
