//! Pages of large events: a seat map is some hundred kilobytes, and a page of them is bounded in
//! bytes as well as in elements.

use hakken_tests::world::hall;
use serde_json::{Value, json};

use super::stage::{Stage, Tenant};

/// Venues with maps of about a megabyte.
const VENUES: usize = 9;
/// Most bytes of events in a page, unless one alone has more.
const PAGE: usize = 4 << 20;

async fn registered() -> (Stage, Tenant, Vec<u64>) {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let map = serde_json::to_string(&hall(26, 400, 0)).unwrap();
    for venue in 0..VENUES {
        let input = json!({ "idempotencyKey": format!("v{venue}"), "name": "Hall",
            "seatMap": { "json": map } });
        let made = tenant.organizer.mutate("registerVenue", input, "venue { id }").await;
        assert!(made["venue"]["id"].is_string(), "{made}");
    }
    let head = stage.models.status().await.unwrap()[0].head;
    stage.models.wait_for_all(head, std::time::Duration::from_secs(20)).await.unwrap();
    let positions = (head.0 + 1 - VENUES as u64..=head.0).collect();
    (stage, tenant, positions)
}

#[tokio::test]
async fn a_page_of_the_audit_log_ends_early_where_events_are_large_and_loses_none() {
    let (_stage, tenant, all) = registered().await;
    let query =
        "query($first: Int, $after: String, $last: Int, $before: String, $order: SortOrder) {
        auditLog(first: $first, after: $after, last: $last, before: $before, order: $order,
                 filter: { kinds: [\"venue-registered\"] }) {
            edges { node { event { position raw } } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    for (order, forward) in [
        ("OLDEST_FIRST", true),
        ("NEWEST_FIRST", true),
        ("OLDEST_FIRST", false),
        ("NEWEST_FIRST", false),
    ] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
        loop {
            let (size, place) = if forward { ("first", "after") } else { ("last", "before") };
            let mut variables = json!({ "order": order });
            (variables[size], variables[place]) = (json!(100), cursor.clone());
            let page = tenant.auditor.ask(query, variables).await["auditLog"].take();
            let edges = page["edges"].as_array().expect("edges");
            let raw = |edge: &Value| edge["node"]["event"]["raw"].as_str().unwrap().len();
            let bytes: usize = edges.iter().map(raw).sum();
            assert!(!edges.is_empty() && (bytes <= PAGE || edges.len() == 1), "{bytes} bytes");
            let at = |edge: &Value| edge["node"]["event"]["position"].as_u64().unwrap();
            let mut found: Vec<u64> = edges.iter().map(at).collect();
            if !forward {
                found.reverse();
            }
            seen.extend(found);
            pages += 1;
            let info = &page["pageInfo"];
            let (behind, end) = if forward {
                ("hasNextPage", "endCursor")
            } else {
                ("hasPreviousPage", "startCursor")
            };
            if info[behind] != true {
                break;
            }
            cursor = info[end].clone();
        }
        let mut expected = all.clone();
        if forward == (order == "NEWEST_FIRST") {
            expected.reverse();
        }
        assert_eq!(seen, expected, "{order}, forward: {forward}");
        assert!(pages > 1 && pages < VENUES, "{pages} pages");
    }
}

#[tokio::test]
async fn an_answer_of_the_feed_ends_early_where_events_are_large_and_loses_none() {
    let (_stage, tenant, all) = registered().await;
    let query = "query($after: Position) {
        events(first: 100, after: $after, kinds: [\"venue-registered\"]) {
            events { position raw } upTo head } }";
    let (mut seen, mut after, mut answers) = (Vec::new(), Value::Null, 0);
    loop {
        let found = tenant.auditor.ask(query, json!({ "after": after })).await["events"].take();
        let events = found["events"].as_array().expect("events");
        let bytes: usize = events.iter().map(|event| event["raw"].as_str().unwrap().len()).sum();
        assert!(bytes <= PAGE || events.len() == 1, "{bytes} bytes");
        seen.extend(events.iter().map(|event| event["position"].as_u64().unwrap()));
        answers += 1;
        after = found["upTo"].clone();
        if found["upTo"] == found["head"] {
            break;
        }
    }
    assert_eq!(seen, all);
    assert!(answers > 1, "one answer");
}

#[tokio::test]
async fn an_export_of_large_events_is_whole() {
    let (_stage, tenant, all) = registered().await;
    let filter = "filter=%7B%22kinds%22:%5B%22venue-registered%22%5D%7D";
    let answered = tenant.auditor.get(&format!("/export/auditLog?{filter}"), "*/*").await;
    let text = String::from_utf8(answered.body).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let seen: Vec<u64> =
        lines.iter().filter_map(|line| line["node"]["event"]["position"].as_u64()).collect();
    assert_eq!(seen, all);
    assert_eq!(lines.last().unwrap()["complete"], true);
}
