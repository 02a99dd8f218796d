//! Whole lists as JSON lines: complete, resumable, and only one's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use futures_util::{StreamExt, stream::BoxStream};
use hakken_api::LiveLimits;
use hakken_projections::rows::MemoryRows;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::stage::{Actor, Ground, OnSale, Stage, Tenant};
use hakken_tests::{
    faulty_rows::{FaultyRows, RowFault},
    world::hall,
};

/// Holds of one place each: more than two pages of them.
const HOLDS: usize = 230;

async fn with_holds(count: usize) -> (Stage, Tenant, OnSale) {
    with_holds_on(Ground::in_memory(), count).await
}

async fn with_holds_on(ground: Ground, count: usize) -> (Stage, Tenant, OnSale) {
    let stage = Stage::on(ground).await;
    let tenant = stage.tenant("hibiki").await;
    let on_sale = tenant.on_sale_in("concert", &hall(2, 10, 5_000), false).await;
    for number in 0..count {
        let input = json!({
            "idempotencyKey": format!("hold-{number}"), "show": on_sale.show,
            "buyer": format!("b-{number}"), "pools": [{ "pool": "floor", "count": 1 }]
        });
        let held = tenant.box_office.mutate("holdSeats", input, "hold { id }").await;
        assert!(held["hold"]["id"].is_string(), "{held}");
    }
    settle(&stage).await;
    (stage, tenant, on_sale)
}

async fn settle(stage: &Stage) -> u64 {
    let head = stage.models.status().await.unwrap()[0].head;
    let patience = std::time::Duration::from_secs(10);
    stage.models.wait_for_all(head, patience).await.unwrap();
    head.0
}

fn lines(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    assert!(text.ends_with('\n'), "a line is cut off");
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

/// The lines of a whole export.
async fn exported(actor: &Actor, path: &str) -> Vec<Value> {
    let answered = actor.get(&format!("/export/{path}"), "*/*").await;
    assert_eq!(answered.status, 200, "{}", String::from_utf8_lossy(&answered.body));
    assert!(answered.header("content-type").starts_with("application/x-ndjson"));
    lines(&answered.body)
}

/// The code of an export that does not begin, with its status.
async fn refused(actor: &Actor, path: &str) -> (u16, String) {
    let answered = actor.get(&format!("/export/{path}"), "*/*").await;
    (answered.status.as_u16(), answered.code())
}

/// The body of an export, piece by piece.
async fn begun(actor: &Actor, path: &str) -> BoxStream<'static, Bytes> {
    let request = Request::get(format!("/export/{path}")).body(Body::empty()).unwrap();
    let response = actor.open(request).await;
    assert_eq!(response.status(), 200);
    response.into_body().into_data_stream().map(Result::unwrap).boxed()
}

fn ids(lines: &[Value]) -> Vec<String> {
    let nodes = lines.iter().filter(|line| line.get("node").is_some());
    nodes.map(|line| line["node"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_of_more_rows_than_a_page_comes_whole_and_says_so() {
    let (stage, tenant, on_sale) = with_holds(HOLDS).await;
    let head = settle(&stage).await;
    let lines = exported(&tenant.auditor, "holds").await;
    assert_eq!(lines[0], json!({ "export": "holds", "position": head, "after": null }));
    let end = lines.last().unwrap();
    let last = &lines[lines.len() - 2]["cursor"];
    let expected = json!({ "complete": true, "rows": HOLDS, "cursor": last, "position": head });
    assert_eq!(*end, expected);
    let ids = ids(&lines);
    assert_eq!(ids.len(), HOLDS);
    // In the order of the list, and with the cursors of the list.
    let query =
        "query($after: String) { holds(first: 1, after: $after) { edges { node { id } } } }";
    for at in [0, 99, 100, 228] {
        let after = &lines[at + 1]["cursor"];
        let next = tenant.auditor.ask(query, json!({ "after": after })).await;
        assert_eq!(next["holds"]["edges"][0]["node"]["id"], ids[at + 1], "behind {at}");
    }
    let node = &lines[1]["node"];
    assert_eq!((&node["showId"], &node["buyer"]), (&json!(on_sale.show), &json!("b-0")));
    assert_eq!(node["pools"], json!([{ "pool": "floor", "count": 1 }]));
}

#[tokio::test]
async fn an_export_that_was_cut_off_goes_on_behind_its_last_line() {
    let (_stage, tenant, _) = with_holds(HOLDS).await;
    let whole = ids(&exported(&tenant.auditor, "holds").await);
    let mut body = begun(&tenant.auditor, "holds").await;
    let first = body.next().await.unwrap();
    // Cut off in the middle of a line.
    let cut = first.len() - 30;
    drop(body);
    let text = std::str::from_utf8(&first[..cut]).unwrap();
    let (kept, _) = text.rsplit_once('\n').unwrap();
    let kept = lines(format!("{kept}\n").as_bytes());
    assert!(kept.iter().all(|line| line.get("complete").is_none()), "a cut is noticed");
    let cursor = kept.last().unwrap()["cursor"].as_str().unwrap();
    let rest = exported(&tenant.auditor, &format!("holds?after={cursor}")).await;
    assert_eq!(rest[0]["after"], cursor);
    let rows = rest.last().unwrap()["rows"].as_u64().unwrap() as usize;
    assert_eq!(rows, HOLDS - (kept.len() - 1));
    let joined = [ids(&kept), ids(&rest)].concat();
    assert_eq!(joined, whole, "nothing is lost and nothing comes twice");
}

#[tokio::test]
async fn a_list_of_events_ends_where_it_was_when_the_export_began() {
    let (stage, tenant, on_sale) = with_holds(150).await;
    let head = settle(&stage).await;
    let mut body = begun(&tenant.auditor, "auditLog").await;
    let mut read = body.next().await.unwrap().to_vec();
    tenant.hold(&on_sale.show, "late", &["A1"]).await;
    settle(&stage).await;
    while let Some(more) = body.next().await {
        read.extend(more);
    }
    let lines = lines(&read);
    assert_eq!(lines[0]["position"], head);
    assert_eq!(lines.last().unwrap()["position"], head);
    let positions: Vec<u64> =
        lines.iter().filter_map(|line| line["node"]["event"]["position"].as_u64()).collect();
    assert!(positions.is_sorted_by(|one, next| one < next) && positions.len() > 150);
    assert_eq!(positions.last(), Some(&head), "the late one is not in it");
    let raw = lines[1]["node"]["event"]["raw"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(raw).unwrap().is_object());
    // The same once more, and up to an earlier position.
    let again = exported(&tenant.auditor, &format!("auditLog?upTo={head}")).await;
    assert_eq!(again, lines);
    let earlier = head - 40;
    let part = exported(&tenant.auditor, &format!("auditLog?upTo={earlier}")).await;
    assert_eq!(part.last().unwrap()["position"], earlier);
    assert_eq!(part[part.len() - 2]["node"]["event"]["position"], earlier);
}

#[tokio::test]
async fn every_list_is_exported_with_the_rights_that_it_has() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let stranger = stage.tenant("stranger").await;
    let on_sale = tenant.on_sale("concert").await;
    let order = tenant.sell(&on_sale.show, "b", &["A1", "A2"]).await;
    let code = order["tickets"][0]["code"].as_str().unwrap();
    let scan = json!({
        "idempotencyKey": "s", "show": on_sale.show, "gate": "north", "code": code
    });
    tenant.gate.mutate("scanTicket", scan, "result").await;
    let refund = json!({
        "idempotencyKey": "r", "order": order["id"], "amountMinor": 100, "currency": "JPY"
    });
    tenant.box_office.mutate("refundOrder", refund, "order { id }").await;
    settle(&stage).await;
    for (list, rows) in [
        ("organizers", 1),
        ("apiKeys", 4),
        ("venues", 1),
        ("shows", 1),
        ("holds", 1),
        ("orders", 1),
        ("refunds", 1),
        ("tickets", 2),
        ("scans", 1),
        ("issuanceHistory", 4),
    ] {
        let lines = exported(&tenant.auditor, list).await;
        assert_eq!(lines.last().unwrap()["rows"], rows, "{list}");
        let fields = lines[1]["node"].as_object().unwrap();
        assert!(fields.len() > 1 && !fields.contains_key("code"), "{list}: {fields:?}");
        let others = exported(&stranger.auditor, list).await;
        let own = &tenant.id;
        assert!(!others.iter().any(|line| line.to_string().contains(own)), "{list}");
        if !["organizers", "apiKeys"].contains(&list) {
            assert_eq!(others.last().unwrap()["rows"], 0, "{list}");
            let path = format!("{list}?organizer={}", tenant.id);
            let of_one = exported(&stage.operator(), &path).await;
            assert_eq!(of_one.last().unwrap()["rows"], rows, "{list}");
        }
    }
    for (list, actor) in
        [("orders", &tenant.gate), ("auditLog", &tenant.box_office), ("apiKeys", &tenant.gate)]
    {
        assert_eq!(refused(actor, list).await, (403, "FORBIDDEN".to_owned()), "{list}");
    }
    assert_eq!(refused(&stage.anonymous(), "orders").await, (401, "UNAUTHENTICATED".to_owned()));
    let wrong = stage.with_key(Some("hk_wrong".to_owned()));
    assert_eq!(refused(&wrong, "orders").await, (401, "UNAUTHENTICATED".to_owned()));
    let path = format!("orders?organizer={}", tenant.id);
    assert_eq!(refused(&stranger.auditor, &path).await, (403, "FORBIDDEN".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_a_line_is_sent() {
    let (stage, tenant, on_sale) = with_holds(3).await;
    let head = settle(&stage).await;
    let encoded = |filter: Value| filter.to_string().replace('"', "%22").replace(' ', "%20");
    let ahead = format!("auditLog?upTo={}", head + 1);
    let of_nobody = encoded(json!({ "show": "show_x" }));
    let of_nobody = format!("holds?filter={of_nobody}");
    for (path, status, code) in [
        ("holds?after=nonsense", 400, "BAD_USER_INPUT"),
        ("holds?afer=nonsense", 400, "BAD_REQUEST"),
        ("holds?filter=nonsense", 400, "BAD_REQUEST"),
        ("holds?filter=%7B%22buyr%22:%22b-1%22%7D", 400, "BAD_REQUEST"),
        ("holds?upTo=3", 400, "BAD_REQUEST"),
        (of_nobody.as_str(), 400, "BAD_USER_INPUT"),
        (ahead.as_str(), 400, "BAD_REQUEST"),
        ("seats", 404, "NOT_FOUND"),
        ("organizers?organizer=organizer_x", 400, "BAD_REQUEST"),
    ] {
        assert_eq!(refused(&tenant.auditor, path).await, (status, code.to_owned()), "{path}");
    }
    let filter = encoded(json!({ "show": on_sale.show, "buyer": "b-1", "status": "HELD" }));
    let found = exported(&tenant.auditor, &format!("holds?filter={filter}")).await;
    assert_eq!(ids(&found).len(), 1);
    assert_eq!(found[1]["node"]["buyer"], "b-1");
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_export_with_a_reason() {
    let (stage, tenant, _) = with_holds(HOLDS).await;
    let mut body = begun(&tenant.auditor, "holds").await;
    let first = lines(&body.next().await.unwrap());
    let me = tenant.auditor.ask("{ viewer { apiKeyId } }", json!({})).await;
    let input = json!({ "idempotencyKey": "gone", "apiKey": me["viewer"]["apiKeyId"] });
    stage.operator().mutate("revokeApiKey", input, "apiKey { revoked }").await;
    let rest = lines(&body.next().await.unwrap());
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(rest[0]["error"]["code"], "UNAUTHENTICATED");
    assert_eq!(rest[0]["cursor"], first.last().unwrap()["cursor"]);
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn one_key_exports_a_few_lists_at_once_and_an_export_that_ends_makes_room() {
    let (_stage, tenant, _) = with_holds(HOLDS).await;
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(begun(&tenant.auditor, "holds").await);
    }
    let fifth = tenant.auditor.get("/export/holds", "*/*").await;
    assert_eq!((fifth.status.as_u16(), fifth.code().as_str()), (503, "THROTTLED"));
    assert_eq!(fifth.header("retry-after"), "1");
    exported(&tenant.organizer, "holds").await;
    running.pop();
    exported(&tenant.auditor, "holds").await;
}

/// Holds enough that what the system keeps of an export is a small part of it.
const MANY: usize = 2_000;

/// An export over a connection that keeps little of what is not read.
async fn asked(stage: &Stage, actor: &Actor, path: &str) -> TcpStream {
    let address = stage.listen().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let key = actor.key.as_deref().unwrap();
    let request =
        format!("GET /export/{path} HTTP/1.0\r\nhost: h\r\nauthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The lines of an export, read to its end.
async fn rest(mut stream: TcpStream) -> Vec<Value> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("headers and a body");
    assert!(head.contains("200 OK"), "{head}");
    lines(body.as_bytes())
}

/// The positions of the exported events.
fn positions(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter_map(|line| line["node"]["event"]["position"].as_u64()).collect()
}

#[tokio::test]
async fn who_stops_reading_makes_nobody_read_ahead_and_may_go_on() {
    let reads = Arc::new(AtomicU64::new(0));
    let rows = FaultyRows::new(Arc::new(MemoryRows::default()), || RowFault::None);
    let ground = Ground { rows: Arc::new(rows.counting(&reads)), ..Ground::in_memory() };
    let (stage, tenant, _) = with_holds_on(ground, MANY).await;
    let whole = positions(&exported(&tenant.auditor, "auditLog").await);
    assert!(whole.len() > MANY);
    let before = reads.load(Ordering::Relaxed);
    let stream = asked(&stage, &tenant.auditor, "auditLog").await;
    // Until nothing more is read, for as long as nothing is taken.
    let (mut ahead, mut still) = (0, 0);
    while still < 3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = reads.load(Ordering::Relaxed) - before;
        still = if now == ahead && now > 0 { still + 1 } else { 0 };
        ahead = now;
    }
    let lines = rest(stream).await;
    let all = reads.load(Ordering::Relaxed) - before;
    assert!(4 * ahead < 3 * all, "{ahead} of {all} reads were for nobody");
    assert_eq!(lines.last().unwrap()["complete"], true);
    assert_eq!(positions(&lines), whole);
}

#[tokio::test]
async fn who_takes_nothing_for_too_long_loses_the_place_is_told_so_and_goes_on_from_there() {
    let live = LiveLimits { slow: Duration::from_secs(2), ..LiveLimits::default() };
    let (stage, tenant, _) = with_holds_on(Ground { live, ..Ground::in_memory() }, MANY).await;
    let whole = positions(&exported(&tenant.auditor, "auditLog").await);
    let status = async || tenant.auditor.get("/export/shows", "*/*").await.status;
    // Whoever came first may have lost the place again before the last one is taken.
    let mut slow = Vec::new();
    let all_are_taken = async {
        while status().await != 503 {
            slow.push(asked(&stage, &tenant.auditor, "auditLog").await);
        }
    };
    let come_back = async {
        while status().await != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, all_are_taken).await.expect("all places are taken");
    tokio::time::timeout(patience, come_back).await.expect("places come back");
    tokio::time::sleep(live.slow * 2).await;
    // Who reads after all finds the reason at the end, and a cursor with which to go on.
    let lines = rest(slow.swap_remove(0)).await;
    let end = lines.last().unwrap();
    assert_eq!(end["error"]["code"], "TOO_SLOW", "{end}");
    assert_eq!(end["cursor"], lines[lines.len() - 2]["cursor"]);
    let cursor = end["cursor"].as_str().unwrap();
    let more = exported(&tenant.auditor, &format!("auditLog?after={cursor}")).await;
    assert_eq!([positions(&lines), positions(&more)].concat(), whole);
}
