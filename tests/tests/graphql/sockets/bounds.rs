//! How much and how long on a WebSocket: each bound has its own words.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hakken_api::LiveLimits;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    super::stage::{Ground, Stage},
    Socket,
};

async fn stage(live: LiveLimits) -> Stage {
    Stage::on(Ground { live, ..Ground::in_memory() }).await
}

/// A bound that is met on purpose, and by nobody who is only slow for a moment.
fn soon() -> Duration {
    Duration::from_millis(1_500)
}

#[tokio::test]
async fn who_does_not_introduce_themselves_in_time_is_closed() {
    let stage = stage(LiveLimits { greeting: soon(), ..LiveLimits::default() }).await;
    let mut late = Socket::open(&stage, "graphql-transport-ws").await;
    let (code, reason) = late.closed_because().await;
    assert_eq!((code, reason.as_str()), (4408, "Connection initialisation timeout"));
    let mut ready = Socket::ready(&stage, &stage.operator()).await;
    tokio::time::sleep(2 * soon()).await;
    ready.say(json!({ "type": "ping" })).await;
    assert_eq!(ready.hear().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn who_is_asked_and_says_nothing_is_gone_and_who_answers_stays() {
    let limits = LiveLimits { heartbeat: soon() / 6, silence: soon(), ..LiveLimits::default() };
    let stage = stage(limits).await;
    let mut silent = Socket::ready(&stage, &stage.operator()).await;
    let mut answering = Socket::ready(&stage, &stage.operator()).await;
    for _ in 0..8 {
        assert_eq!(answering.hear().await, json!({ "type": "ping" }));
        answering.say(json!({ "type": "pong" })).await;
    }
    let code = loop {
        match silent.next().await {
            Message::Text(text) => assert_eq!(text.as_str(), r#"{"type":"ping"}"#),
            Message::Close(Some(frame)) => break u16::from(frame.code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, 4499);
}

#[tokio::test]
async fn a_socket_on_which_nothing_is_asked_is_closed_and_one_with_a_subscription_is_not() {
    let limits =
        LiveLimits { heartbeat: Duration::from_millis(50), idle: soon(), ..LiveLimits::default() };
    let stage = stage(limits).await;
    let mut idle = Socket::ready(&stage, &stage.operator()).await;
    let mut busy = Socket::ready(&stage, &stage.operator()).await;
    busy.subscribe("1", "subscription { events(kinds: [\"show-cancelled\"]) { id } }", Value::Null)
        .await;
    let closed = loop {
        match idle.next().await {
            Message::Text(_) => {}
            Message::Close(Some(frame)) => break frame,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        (u16::from(closed.code), closed.reason.as_str()),
        (1000, "Nothing was asked for too long")
    );
    for _ in 0..10 {
        assert_eq!(busy.hear().await, json!({ "type": "ping" }));
    }
}

#[tokio::test]
async fn a_revoked_key_closes_its_sockets() {
    let limits = LiveLimits { heartbeat: Duration::from_millis(50), ..LiveLimits::default() };
    let stage = stage(limits).await;
    let tenant = stage.tenant("hibiki").await;
    let mut socket = Socket::ready(&stage, &tenant.gate).await;
    let key = format!("key_{}", &tenant.gate.key.as_deref().unwrap()[3..29]);
    let input = json!({ "idempotencyKey": "revoke", "apiKey": key });
    stage.operator().mutate("revokeApiKey", input, "").await;
    let code = loop {
        match socket.next().await {
            Message::Text(_) => {}
            Message::Close(Some(frame)) => break u16::from(frame.code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, 4403);
}

#[tokio::test]
async fn operations_on_one_socket_are_bounded_and_room_comes_back() {
    let stage = stage(LiveLimits { operations: 2, ..LiveLimits::default() }).await;
    let mut socket = Socket::ready(&stage, &stage.operator()).await;
    let quiet = "subscription { events(kinds: [\"show-cancelled\"]) { id } }";
    for id in ["1", "2", "3"] {
        socket.subscribe(id, quiet, Value::Null).await;
    }
    let refused = socket.hear().await;
    assert_eq!((&refused["id"], &refused["type"]), (&json!("3"), &json!("error")));
    let error = &refused["payload"][0];
    assert_eq!(error["extensions"]["code"], "THROTTLED");
    assert!(error["message"].as_str().unwrap().contains("At most 2 operations"), "{error}");
    socket.say(json!({ "type": "complete", "id": "1" })).await;
    socket.subscribe("3", "{ viewer { role } }", Value::Null).await;
    assert_eq!(socket.hear().await["type"], "next");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told_so() {
    let stage = Stage::start().await;
    let mut socket = Socket::ready(&stage, &stage.operator()).await;
    // In one frame, and in many.
    let query = format!("{{ viewer {{ role }} }} # {}", "x".repeat(60 << 10));
    socket.subscribe("1", &query, Value::Null).await;
    assert_eq!(socket.hear().await["type"], "next");
    assert_eq!(socket.hear().await["type"], "complete");
    socket.subscribe("1", "{ viewer { role } }", json!({ "x": "x".repeat(129 << 10) })).await;
    let (code, reason) = socket.closed_because().await;
    assert_eq!(code, 1009);
    assert!(reason.contains("128 KiB"), "{reason}");
}

/// Who reads nothing for a while finds what was told until then, why it ended, and where to go on.
#[tokio::test]
async fn a_slow_reader_is_cut_off_with_a_reason_and_goes_on_without_loss() {
    let limits = LiveLimits { slow: Duration::from_secs(2), ..LiveLimits::default() };
    let stage = stage(limits).await;
    let tenant = stage.tenant("hibiki").await;
    // Every venue is an event of some hundred kilobytes.
    let row = |row: usize| {
        let seats = (0..50).map(|seat| {
            json!({ "id": format!("{row}-{seat}"), "number": seat.to_string(),
                "x": seat * 50, "y": row * 90, "category": "stalls" })
        });
        json!({ "name": row.to_string(), "seats": seats.collect::<Vec<_>>() })
    };
    let hall = json!({
        "name": "Hall", "focus": { "x": 500, "y": -200 },
        "sections": [{ "name": "Stalls", "rows": (0..40).map(row).collect::<Vec<_>>() }],
    });
    for venue in 0..60 {
        let input = json!({
            "idempotencyKey": format!("v{venue}"), "name": "Hall",
            "seatMap": { "json": hall.to_string() }
        });
        let made = tenant.organizer.mutate("registerVenue", input, "venue { id }").await;
        assert!(made["venue"]["id"].is_string(), "{made}");
    }
    let query = "subscription($after: Position!) { events(after: $after) { position raw } }";
    let (mut seen, mut cuts, mut after) = (Vec::new(), 0, json!(0));
    let all = tenant.auditor.ask("{ events(first: 100) { events { position } } }", json!({})).await;
    let all = all["events"]["events"].as_array().unwrap().clone();
    while seen.len() < all.len() {
        let mut socket = Socket::ready(&stage, &tenant.auditor).await;
        socket.subscribe("feed", query, json!({ "after": after })).await;
        if cuts == 0 {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        loop {
            match tokio::time::timeout(Duration::from_secs(10), socket.0.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == "next" {
                        let position = &message["payload"]["data"]["events"]["position"];
                        seen.push(json!({ "position": position }));
                    } else {
                        let error = &message["payload"][0];
                        assert_eq!(error["extensions"]["code"], "TOO_SLOW", "{message}");
                        after = error["extensions"]["position"].clone();
                        assert_eq!(seen.last().unwrap()["position"], after);
                        cuts += 1;
                    }
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    assert_eq!(u16::from(frame.code), 4508);
                    // A polite client answers before it leaves.
                    let _ = socket.0.flush().await;
                    break;
                }
                other => panic!("{other:?}"),
            }
            if seen.len() == all.len() {
                break;
            }
        }
    }
    assert_eq!(seen, all);
    assert_eq!(cuts, 1, "it was cut off once");
}
