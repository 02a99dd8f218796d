//! Holds, seats, pools, allotments and sales.

use serde_json::{Value, json};

use super::{super::stage::Stage, Met, done};
use hakken_tests::world::hall;

const NOBODY: &str = "00000000000000000000000000";

pub(super) async fn meet(met: &mut Met) {
    let stage = Stage::start().await;
    let tenant = stage.tenant("places").await;
    let on_sale = tenant.on_sale_in("concert", &hall(2, 10, 20), false).await;
    let (seller, boss) = (&tenant.box_office, &tenant.organizer);
    let show = &on_sale.show;
    let hold = |buyer: &str, seats: Value| json!({ "show": show, "buyer": buyer, "seats": seats });

    // What there is, and is not.
    let held = tenant.hold(show, "first", &["A1"]).await;
    met.refused("SEAT_TAKEN", seller, "holdSeats", hold("b", json!(["A1"]))).await;
    met.refused("SEAT_UNKNOWN", seller, "holdSeats", hold("b", json!(["Z1"]))).await;
    met.refused("SEAT_REPEATED", seller, "holdSeats", hold("b", json!(["A2", "A2"]))).await;
    met.refused("NOTHING_WANTED", seller, "holdSeats", hold("b", json!([]))).await;
    met.refused("BAD_USER_INPUT", seller, "holdSeats", hold("a@b.jp", json!(["A2"]))).await;
    let seats: Vec<String> = (1..=10).map(|at| format!("B{at}")).chain(["A2".to_owned()]).collect();
    met.refused("TOO_MANY_PLACES", seller, "holdSeats", hold("b", json!(seats))).await;
    met.refused("BUYER_LIMIT", seller, "holdSeats", hold("b", json!(seats[..9]))).await;
    let pool = |pool: &str, count: u32| json!({ "show": show, "buyer": "b", "pools": [{ "pool": pool, "count": count }] });
    met.refused("POOL_UNKNOWN", seller, "holdSeats", pool("roof", 1)).await;
    let twice = json!([{ "pool": "floor", "count": 1 }, { "pool": "floor", "count": 1 }]);
    let twice = json!({ "show": show, "buyer": "b", "pools": twice });
    met.refused("POOL_REPEATED_OR_EMPTY", seller, "holdSeats", twice).await;
    for buyer in ["p1", "p2", "p3"] {
        let input =
            json!({ "show": show, "buyer": buyer, "pools": [{ "pool": "floor", "count": 6 }] });
        done(seller, "holdSeats", input, "").await;
    }
    met.refused("POOL_EXHAUSTED", seller, "holdSeats", pool("floor", 3)).await;
    let mut legs = hold("b", json!(["A2"]));
    legs["legs"] = json!({ "from": 0, "to": 2 });
    met.refused("LEGS_UNKNOWN", seller, "holdSeats", legs).await;
    let mut kept = hold("b", json!(["A2"]));
    kept["allotment"] = json!("fans");
    met.refused("ALLOTMENT_UNKNOWN", seller, "holdSeats", kept).await;

    // Blocked and allotted.
    let block = json!({ "show": show, "seats": ["A10"], "reason": "camera" });
    done(boss, "blockSeats", block, "").await;
    met.refused("SEAT_BLOCKED", seller, "holdSeats", hold("b", json!(["A10"]))).await;
    let open = json!({ "show": show, "seats": ["A9"] });
    met.refused("SEAT_NOT_BLOCKED", boss, "unblockSeats", open).await;
    let fans = json!({ "show": show, "allotment": "fans", "seats": ["B10"] });
    done(boss, "setAllotment", fans, "").await;
    met.refused("SEAT_ALLOTTED", seller, "holdSeats", hold("b", json!(["B10"]))).await;

    // The best.
    let best = |of: Value| json!({ "show": show, "buyer": "best", "bestAvailable": of });
    let nowhere = best(json!({ "count": 1, "section": "roof" }));
    met.refused("NO_SUCH_SEATS", seller, "holdSeats", nowhere).await;
    for (buyer, seats) in [("s1", ["A3", "A6"]), ("s2", ["B3", "B6"]), ("s3", ["A9", "B9"])] {
        done(seller, "holdSeats", hold(buyer, json!(seats)), "").await;
    }
    met.refused("NO_ADJACENT_SEATS", seller, "holdSeats", best(json!({ "count": 5 }))).await;
    for (buyer, seats) in [("t1", ["A2", "A4", "A5"]), ("t2", ["B1", "B2", "B4"])] {
        done(seller, "holdSeats", hold(buyer, json!(seats)), "").await;
    }
    let many = best(json!({ "count": 8, "maySplit": true }));
    met.refused("NOT_ENOUGH_SEATS", seller, "holdSeats", many).await;

    // A hold and what becomes of it.
    let one = |id: &str| json!({ "show": show, "hold": id });
    met.refused("HOLD_UNKNOWN", seller, "extendHold", one(&format!("hold_{NOBODY}"))).await;
    let mut long = one(&held);
    long["ttlSeconds"] = json!(2_000_000);
    done(seller, "extendHold", long.clone(), "").await;
    met.refused("EXTENSION_LIMIT", seller, "extendHold", long).await;
    let given = tenant.hold(show, "given", &["B5"]).await;
    done(seller, "releaseHold", one(&given), "").await;
    met.refused("HOLD_RELEASED", seller, "extendHold", one(&given)).await;
    stage.clock.advance_seconds(1_201);
    met.refused("HOLD_EXPIRED", seller, "extendHold", one(&held)).await;
    let reused = json!({ "idempotencyKey": "k", "show": show, "buyer": "k", "seats": ["A1"] });
    done(seller, "holdSeats", reused.clone(), "").await;
    let mut other = reused;
    other["seats"] = json!(["A2"]);
    met.refused("IDEMPOTENCY_KEY_REUSED", seller, "holdSeats", other).await;

    sales(met, &stage).await;
}

async fn sales(met: &mut Met, stage: &Stage) {
    let tenant = stage.tenant("sales").await;
    let on_sale = tenant.on_sale("concert").await;
    let (seller, boss, show) = (&tenant.box_office, &tenant.organizer, &on_sale.show);
    let hold = |show: &str| json!({ "show": show, "buyer": "b", "seats": ["A1"] });
    met.refused("SALES_NOT_OPENED", seller, "holdSeats", hold(&format!("show_{NOBODY}"))).await;
    let rules = |from: &str, until: &str| json!({ "show": show, "rules": { "salesFrom": from, "salesUntil": until } });
    let good = rules("2026-11-01T00:00:00Z", "2026-11-22T10:00:00Z");
    met.refused("SALES_ALREADY_OPENED", boss, "openSales", good.clone()).await;
    let backwards = rules("2026-11-22T10:00:00Z", "2026-11-01T00:00:00Z");
    met.refused("RULES_INVALID", boss, "changeSalesRules", backwards).await;
    let later = rules("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z");
    done(boss, "changeSalesRules", later, "").await;
    met.refused("SALES_NOT_STARTED", seller, "holdSeats", hold(show)).await;
    done(boss, "changeSalesRules", good, "").await;
    for number in 0..1_000 {
        let input = json!({ "show": show, "allotment": format!("a{number}"), "seats": ["A1"] });
        done(boss, "setAllotment", input, "").await;
        let input = json!({ "show": show, "allotment": format!("a{number}") });
        done(boss, "setAllotment", input, "").await;
    }
    let more = json!({ "show": show, "allotment": "more", "seats": ["A1"] });
    met.refused("TOO_MANY_ALLOTMENTS", boss, "setAllotment", more).await;
    done(boss, "closeSales", json!({ "show": show, "reason": "over" }), "").await;
    met.refused("SALES_ENDED", seller, "holdSeats", hold(show)).await;
}
