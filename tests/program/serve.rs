//! `hakken serve`, from its first start to a clean end.

use std::{io::BufRead, process::Stdio};

use serde_json::json;

use super::program::{OnSale, Server, ended, hakken, refused};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_is_printed_once_and_still_opens_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let key = server.key.clone().expect("a new store has a first key");
    let viewer = "{ viewer { role } }";
    let answer = server.client(&key).ask(viewer, json!({})).await;
    assert_eq!(answer["viewer"]["role"], "OPERATOR");
    server.signal("-INT");
    assert_eq!(server.ended().code(), Some(0));

    let server = Server::start_again(temp.path());
    let answer = server.client(&key).ask(viewer, json!({})).await;
    assert_eq!(answer["viewer"]["role"], "OPERATOR");
    let ready = reqwest::get(format!("{}/readyz", server.url)).await.unwrap();
    assert_eq!(ready.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_finishes_what_it_accepted_and_exits_well() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 100).await;
    let seller = operator.with_key(&on_sale.seller_key);
    let (begun, asked) = tokio::sync::oneshot::channel();
    let mut begun = Some(begun);
    let asking: Vec<_> = (0..100)
        .map(|seat| {
            let (seller, show, begun) = (seller.clone(), on_sale.show.clone(), begun.take());
            tokio::spawn(async move {
                if let Some(begun) = begun {
                    begun.send(()).unwrap();
                }
                seller.try_ask(HOLD, hold(&show, seat)).await
            })
        })
        .collect();
    asked.await.unwrap();
    server.signal("-TERM");
    let mut granted = Vec::new();
    for (seat, answer) in asking.into_iter().enumerate() {
        // Who came too late finds nobody; who was accepted has a whole answer.
        if let Ok(answer) = answer.await.unwrap() {
            let hold = &answer["data"]["holdSeats"]["hold"];
            if let Some(id) = hold["id"].as_str() {
                granted.push((seat, id.to_owned()));
            }
        }
    }
    assert_eq!(server.ended().code(), Some(0));

    let server = Server::start_again(temp.path());
    let seller = server.client(&on_sale.seller_key);
    for (seat, id) in granted {
        let answer = seller.ask(HOLD, hold(&on_sale.show, seat)).await;
        assert_eq!(answer["holdSeats"]["hold"]["id"], *id);
        assert_eq!(answer["holdSeats"]["repeated"], true);
    }
}

#[test]
fn a_second_process_on_the_same_data_is_told_who_has_it() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().to_str().unwrap();
    let server = Server::start(temp.path());
    let words = ["is in use by process", server.url.as_str(), "--url"];
    refused(&["serve", "--data", data, "--listen", "127.0.0.1:0"], &words);
    refused(&["keys", "list", "--data", data], &words);
    refused(&["rebuild", "--data", data], &words);
}

#[test]
fn its_log_is_one_object_a_line_and_never_has_the_key() {
    let temp = tempfile::tempdir().unwrap();
    let (data, log) = (temp.path().join("data"), temp.path().join("log"));
    let arguments = ["serve", "--log", "json", "--listen", "127.0.0.1:0", "--data"];
    let mut server = hakken(&arguments)
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let out = std::io::BufReader::new(server.stdout.take().unwrap());
    let key = out.lines().map_while(Result::ok).find(|line| line.contains("hk_")).unwrap();
    let pid = server.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(ended(&mut server).success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains(key.trim()));
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let messages: Vec<String> = lines.map(|line| line["message"].to_string()).collect();
    assert!(messages.iter().any(|message| message.contains("serving")), "{messages:?}");
    assert!(messages.last().unwrap().contains("stopped"), "{messages:?}");
}

/// `/dev/full` takes nothing, as a full disk does.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_is_no_reason_to_stop() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = super::program::serve(temp.path(), &[]);
    command.stderr(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let server = Server::launch(command, true);
    let operator = server.client(&server.key.clone().unwrap());
    OnSale::open(&operator, 20).await;
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = temp.path().to_str().unwrap();
    refused(&["serve", "--data", data, "--listen", &address], &[&address, "--listen"]);
}

#[test]
fn data_without_its_secret_is_not_served() {
    let temp = tempfile::tempdir().unwrap();
    Server::start(temp.path()).kill();
    std::fs::remove_file(temp.path().join("secret")).unwrap();
    let data = temp.path().to_str().unwrap();
    refused(&["serve", "--data", data, "--listen", "127.0.0.1:0"], &["secret", "backup"]);
}

/// A shell lets files grow no further than 1.5 MB, which looks like a failing disk. The hall's map
/// takes half of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_ends_the_process_and_loses_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start_with(temp.path(), 1_500);
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 3_500).await;
    let seller = operator.with_key(&on_sale.seller_key);
    let mut granted = Vec::new();
    for seat in 0..3_500 {
        let Ok(answer) = seller.try_ask(HOLD, hold(&on_sale.show, seat)).await else { break };
        match answer["data"]["holdSeats"]["hold"]["id"].as_str() {
            Some(id) => granted.push((seat, id.to_owned())),
            None => break,
        }
    }
    assert!((10..3_500).contains(&granted.len()), "{} were granted", granted.len());
    assert_eq!(server.ended().code(), Some(70));

    let server = Server::start_again(temp.path());
    let seller = server.client(&on_sale.seller_key);
    for (seat, id) in granted {
        let answer = seller.ask(HOLD, hold(&on_sale.show, seat)).await;
        assert_eq!(answer["holdSeats"]["hold"]["id"], *id);
        assert_eq!(answer["holdSeats"]["repeated"], true);
    }
}

const HOLD: &str = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
    hold { id seats } repeated userErrors { code } } }";

fn hold(show: &str, seat: usize) -> serde_json::Value {
    json!({ "input": {
        "idempotencyKey": format!("hold-{seat}"), "show": show, "buyer": format!("b{seat}"),
        "seats": [format!("S{seat}")],
    } })
}
