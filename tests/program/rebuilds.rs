//! Rebuilds as an operator has them: halted and killed, gone on with, while seats are sold; former
//! rows served again; one show alone; an event left out.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::program::{Client, OnSale, Server, good, refused, run, text};

const STATUS: &str = "{ projections { name state build { paused done total secondsLeft }
    lastBuildError lastBuild { equal } former { position } } }";

async fn projections(client: &Client) -> Vec<Value> {
    let data = client.ask(STATUS, json!({})).await;
    data["projections"].as_array().expect("projections").clone()
}

/// Waits until every read model is like this.
async fn all_are(client: &Client, wanted: impl Fn(&Value) -> bool) {
    let mut last = Vec::new();
    for _ in 0..1_200 {
        last = projections(client).await;
        if last.iter().all(&wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the read models are {last:#?}");
}

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

async fn hold(server: &Server, on_sale: &OnSale, seats: std::ops::Range<usize>) {
    let seller = server.client(&on_sale.seller_key);
    for seat in seats {
        let input = json!({
            "idempotencyKey": format!("hold-{seat}"), "show": on_sale.show,
            "buyer": format!("b{seat}"), "seats": [format!("S{seat}")],
        });
        seller.tell("holdSeats", "hold { id }", input).await;
    }
}

/// Starts rebuilds, and in the same request something more.
fn rebuild_and(more: &str) -> String {
    format!("mutation {{ rebuildProjections(input: {{}}) {{ userErrors {{ code }} }} {more} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilds_survive_kills_while_seats_are_sold_and_former_rows_come_back() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path();
    let server = Server::start(data);
    let key = server.key.clone().unwrap();
    let on_sale = OnSale::open(&server.client(&key), 200).await;
    hold(&server, &on_sale, 0..60).await;

    // Halted, and killed: it is still halted.
    let halt = rebuild_and("pauseRebuilds(input: {}) { userErrors { code } }");
    // One that has nothing left to do but to be swapped in is so: it is begun again.
    for _ in 0..20 {
        server.client(&key).ask(&halt, json!({})).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let all = projections(&server.client(&key)).await;
        if all.iter().all(|each| each["build"]["paused"] == true) {
            break;
        }
    }
    all_are(&server.client(&key), |each| each["build"]["paused"] == true).await;
    hold(&server, &on_sale, 60..70).await;
    server.kill();
    let server = Server::start_again(data);
    let client = server.client(&key);
    all_are(&client, |each| {
        each["build"]["paused"] == true && each["build"]["secondsLeft"].is_null()
    })
    .await;
    hold(&server, &on_sale, 70..80).await;
    let to = ["--url", &server.url, "--key", &key];
    let with = |arguments: &[&str]| -> String {
        good(&arguments.iter().copied().chain(to).collect::<Vec<_>>())
    };
    assert!(with(&["projections"]).contains("halted"));
    let gone_on = lines(&with(&["rebuild", "--resume", "--json"]));
    let reports: Vec<&Value> = gone_on.iter().filter(|line| line["equal"].is_boolean()).collect();
    assert_eq!(reports.len(), 9, "{gone_on:?}");
    assert!(reports.iter().all(|report| report["equal"] == true), "{reports:?}");

    // Ended: nothing is left of it.
    client.ask(&halt, json!({})).await;
    let ended = with(&["rebuild", "--cancel"]);
    assert!(ended.contains("ended; what is served stays as it is"), "{ended}");
    all_are(&client, |each| each["build"].is_null()).await;
    assert!(with(&["rebuild", "--cancel"]).contains("nothing is being rebuilt"));

    // Killed in the middle of all: it goes on by itself.
    client.ask(&rebuild_and(""), json!({})).await;
    server.kill();
    let server = Server::start_again(data);
    let client = server.client(&key);
    hold(&server, &on_sale, 80..90).await;
    all_are(&client, |each| each["build"].is_null() && each["lastBuildError"].is_null()).await;
    let to = ["--url", &server.url, "--key", &key];
    let with = |arguments: &[&str]| -> String {
        good(&arguments.iter().copied().chain(to).collect::<Vec<_>>())
    };
    let verified = lines(&with(&["verify", "--json"]));
    assert!(verified.iter().all(|report| report["equal"] == true), "{verified:?}");

    // Back to what was served before, and forth.
    with(&["rebuild", "holds"]);
    hold(&server, &on_sale, 90..100).await;
    assert!(with(&["projections", "holds"]).contains("--swap-back"));
    let back = with(&["rebuild", "holds", "--swap-back"]);
    assert!(back.contains("swapped back") && back.contains("equal to what was served"), "{back}");
    with(&["rebuild", "holds", "--remove-former"]);
    let listed = lines(&with(&["projections", "holds", "--json"]));
    assert_eq!((listed.len(), &listed[0]["former"]), (1, &Value::Null));
    let one = with(&["rebuild", "--show", &on_sale.show]);
    assert!(one.contains("show folded afresh, nothing replaced"), "{one}");
    assert_eq!(one.lines().count(), 5, "{one}");
    let holds =
        "query($show: ID!) { holds(first: 200, filter: { show: $show }) { edges { cursor } } }";
    let held = server.client(&on_sale.seller_key).ask(holds, json!({ "show": on_sale.show })).await;
    assert_eq!(held["holds"]["edges"].as_array().map(Vec::len), Some(100));
    server.kill();
    offline(data, &on_sale.show);
}

/// The same without a server.
fn offline(data: &Path, show: &str) {
    let data = data.to_str().unwrap();
    let at = ["--data", data];
    let with = |arguments: &[&str]| -> String {
        good(&arguments.iter().copied().chain(at).collect::<Vec<_>>())
    };
    let listed = lines(&with(&["projections", "--json"]));
    assert_eq!(listed.len(), 9);
    assert!(listed.iter().all(|each| each["state"] == "RUNNING"), "{listed:?}");
    assert!(with(&["rebuild", "tickets"]).contains("rebuilt and swapped in"));
    assert!(with(&["rebuild", "tickets", "--swap-back"]).contains("swapped back"));
    assert!(with(&["rebuild", "holds", "--show", show]).contains("nothing replaced"));
    let refuse = |arguments: &[&str], words: &[&str]| {
        refused(&arguments.iter().copied().chain(at).collect::<Vec<_>>(), words);
    };
    refuse(&["rebuild", "sales", "--show", show], &["several shows", "tickets"]);
    refuse(&["rebuild", "--swap-back"], &["name the read models", "hakken projections"]);
    refuse(&["rebuild", "sales", "--swap-back"], &["sales", "kept for a day"]);
    let skip = ["skip", "tickets", "1", "--reason", "a trial"];
    refuse(&skip, &["has not stopped", "running"]);
    let withdraw = ["skip", "tickets", "1", "--reason", "a trial", "--withdraw"];
    refuse(&withdraw, &["hakken projections"]);
    let mistaken = run(&["rebuild", "--pause", "--data", data]);
    assert_eq!(mistaken.status.code(), Some(2), "{}", text(&mistaken.stderr));
}
