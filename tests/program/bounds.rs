//! Ten times more callers than a server can serve: its memory stays flat, the surplus is told so at
//! once, nobody hangs, and afterwards everything works.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::program::{OnSale, Server, serve};

/// What the server takes.
const CONNECTIONS: usize = 64;
const REQUESTS: usize = 32;
const WAITING: usize = 16;
/// Nobody waits longer than this for any answer.
const HANGS: Duration = Duration::from_secs(20);

fn start(data: &std::path::Path, waiting: usize) -> Server {
    let (connections, requests) = (CONNECTIONS.to_string(), REQUESTS.to_string());
    let waiting = waiting.to_string();
    let more =
        ["--max-connections", &connections, "--max-requests", &requests, "--max-waiting", &waiting];
    Server::launch(serve(data, &more), true)
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It was served; refused by the rules, since the seat is taken.
    Served,
    /// `THROTTLED` in the answer of an operation: too many commands wait.
    Throttled,
    /// 503 `THROTTLED`: too many connections or requests.
    TurnedAway,
    /// Not at all.
    Cut,
}

/// Asks once, over a new connection or an open one.
async fn ask(http: &reqwest::Client, url: &str, key: &str, body: &Value) -> (Answer, Duration) {
    let begun = Instant::now();
    let sent = http.post(format!("{url}/graphql")).bearer_auth(key).json(body).send();
    let sent = tokio::time::timeout(HANGS, sent).await.expect("nobody hangs");
    let Ok(response) = sent else { return (Answer::Cut, begun.elapsed()) };
    let status = response.status().as_u16();
    let later =
        response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let answer: Value = response.json().await.expect("every answer is whole");
    let took = begun.elapsed();
    let error = &answer["errors"][0]["extensions"];
    if error.is_null() {
        let code = &answer["data"]["holdSeats"]["userErrors"][0]["code"];
        assert_eq!((status, code), (200, &json!("SEAT_TAKEN")), "{answer}");
        return (Answer::Served, took);
    }
    assert_eq!(error["code"], "THROTTLED", "{answer}");
    assert_eq!(error["retryAfterSeconds"], 1, "{answer}");
    assert_eq!(later.as_deref(), Some("1"), "{answer}");
    match status {
        200 => (Answer::Throttled, took),
        503 => (Answer::TurnedAway, took),
        other => panic!("{other}: {answer}"),
    }
}

type Record = Arc<Mutex<Vec<(Answer, Duration)>>>;

/// So many callers ask for some time, each over a connection of its own.
async fn storm(server: &Server, key: &str, body: &Value, callers: usize, time: Duration) -> Record {
    let (record, over) = (Record::default(), Arc::new(AtomicBool::new(false)));
    let mut asking = JoinSet::new();
    for caller in 0..callers {
        let (record, over) = (record.clone(), over.clone());
        let (url, key, body) = (server.url.clone(), key.to_owned(), body.clone());
        let http = reqwest::Client::builder().tcp_nodelay(true).build().unwrap();
        asking.spawn(async move {
            let mut nth = 0;
            while !over.load(Ordering::Relaxed) {
                let mut body = body.clone();
                body["variables"]["input"]["idempotencyKey"] = json!(format!("{caller}-{nth}"));
                let answer = ask(&http, &url, &key, &body).await;
                record.lock().unwrap().push(answer);
                nth += 1;
                // Whoever is turned away comes again, sooner than asked to.
                if answer.0 != Answer::Served {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    asking.join_all().await;
    record
}

/// How many were not answered, if any.
fn all_answered(record: &Record) -> Result<(), String> {
    match record.lock().unwrap().iter().filter(|(answer, _)| *answer == Answer::Cut).count() {
        0 => Ok(()),
        cut => Err(format!("{cut} requests were not answered")),
    }
}

/// The memory that a process has in hand, in KiB; none where the system does not say.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

/// The most memory it has until it is told to stop.
fn watch(pid: u32, over: Arc<AtomicBool>) -> std::thread::JoinHandle<Option<u64>> {
    std::thread::spawn(move || {
        let mut most = resident(pid);
        while !over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            most = most.max(resident(pid));
        }
        most
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_too_many_callers_cost_no_memory_and_the_surplus_is_told_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let server = start(temp.path(), WAITING);
    stands_the_surplus(&server).await.unwrap();
}

/// The control: where the bounds are out of reach the same check fails.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_bounds_ten_times_too_many_callers_are_noticed() {
    let temp = tempfile::tempdir().unwrap();
    let far = "100000";
    let more = ["--max-connections", far, "--max-requests", far, "--max-waiting", far];
    let server = Server::launch(serve(temp.path(), &more), true);
    let wrong = stands_the_surplus(&server).await.unwrap_err();
    println!("noticed: {wrong}");
}

/// As many callers as it can serve, and then ten times as many: what is wrong, if anything.
async fn stands_the_surplus(server: &Server) -> Result<(), String> {
    allow_files(4_096);
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 100).await;
    let query = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
        hold { id } userErrors { code } } }";
    let body = json!({ "query": query, "variables": { "input": {
        "show": on_sale.show, "buyer": "b", "seats": ["S0"]
    } } });
    let seller = operator.with_key(&on_sale.seller_key);
    let input = |seat: &str| {
        json!({ "input": {
            "idempotencyKey": seat, "show": on_sale.show, "buyer": "b", "seats": [seat]
        } })
    };
    seller.ask(query, input("S0")).await;

    let key = &on_sale.seller_key;
    let record = storm(server, key, &body, WAITING, Duration::from_secs(2)).await;
    all_answered(&record)?;
    let before = resident(server.pid());
    let over = Arc::new(AtomicBool::new(false));
    let watching = watch(server.pid(), over.clone());
    let record = storm(server, key, &body, 10 * CONNECTIONS, Duration::from_secs(4)).await;
    over.store(true, Ordering::Relaxed);
    let most = watching.join().unwrap();

    all_answered(&record)?;
    let record = record.lock().unwrap().clone();
    let times = |wanted: Answer| -> Vec<Duration> {
        record.iter().filter(|(answer, _)| *answer == wanted).map(|(_, took)| *took).collect()
    };
    let (served, throttled) = (times(Answer::Served), times(Answer::Throttled));
    let away = times(Answer::TurnedAway);
    println!(
        "served {} in {:?}, throttled {} in {:?}, turned away {} in {:?} (medians); memory \
         {before:?} KiB, at most {most:?} KiB",
        served.len(),
        (!served.is_empty()).then(|| median(served.clone())),
        throttled.len(),
        (!throttled.is_empty()).then(|| median(throttled.clone())),
        away.len(),
        (!away.is_empty()).then(|| median(away.clone())),
    );
    must(served.len() > 100, || format!("it served only {}", served.len()))?;
    must(away.len() > served.len() / 10, || {
        format!("{} were served and {} turned away", served.len(), away.len())
    })?;
    // The callers share the processors with the server, so that even a refusal takes its time.
    let (told, done) = (median(away), median(served));
    must(told < 2 * done + Duration::from_millis(50), || {
        format!("{told:?} for a refusal, served {done:?}")
    })?;
    if let (Some(before), Some(most)) = (before, most) {
        must(most * 2 < before * 3, || {
            format!("{before} KiB before, {most} KiB during the storm")
        })?;
    }

    // After the storm everything works.
    for seat in 1..=40 {
        let held = seller.ask(query, input(&format!("S{seat}"))).await;
        assert!(held["holdSeats"]["hold"]["id"].is_string(), "{held}");
    }
    let ready = reqwest::get(format!("{}/readyz", server.url)).await.unwrap();
    must(ready.status() == 200, || "it is not ready".to_owned())
}

fn must(condition: bool, words: impl Fn() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(words()) }
}

/// Fewer places in the queue than requests: most are refused in the answer to their operation.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told_in_the_answer() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let key = server.key.clone().unwrap();
    let on_sale = OnSale::open(&server.client(&key), 20).await;
    server.kill();
    let server = start(temp.path(), 2);
    let seller = server.client(&on_sale.seller_key);
    let query = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
        hold { id } userErrors { code } } }";
    let input = json!({ "show": on_sale.show, "buyer": "b", "seats": ["S0"] });
    let mut first = input.clone();
    first["idempotencyKey"] = json!("first");
    seller.ask(query, json!({ "input": first })).await;
    let body = json!({ "query": query, "variables": { "input": input } });
    let key = &on_sale.seller_key;
    let record = storm(&server, key, &body, REQUESTS, Duration::from_secs(1)).await;
    all_answered(&record).unwrap();
    let record = record.lock().unwrap().clone();
    let count = |wanted| record.iter().filter(|(answer, _)| *answer == wanted).count();
    let (served, throttled) = (count(Answer::Served), count(Answer::Throttled));
    assert!(served > 0 && throttled > 0, "{served} were served, {throttled} throttled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_that_it_lives() {
    let temp = tempfile::tempdir().unwrap();
    let more = ["--max-requests", "1"];
    let server = Server::launch(serve(temp.path(), &more), true);
    let address = server.url.trim_start_matches("http://").to_owned();
    // A body that never comes keeps the only place, once it came before the question that finds it
    // taken; else it was turned away itself, and the next one is sent.
    let head = "POST /graphql HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    let begun = Instant::now();
    let mut slow = Vec::new();
    loop {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
        let response = reqwest::get(format!("{}/graphql?query=x", server.url)).await.unwrap();
        if response.status() == 503 {
            assert_eq!(response.headers()["retry-after"], "1");
            break;
        }
        assert!(begun.elapsed() < HANGS, "the place is not taken");
    }
    for page in ["livez", "readyz", "metrics"] {
        let response = reqwest::get(format!("{}/{page}", server.url)).await.unwrap();
        assert_eq!(response.status(), 200, "{page}");
    }
    drop(slow);
}

/// Bodies of 8 MB that stop before their end: four of a key find room, eight of all; further ones
/// do not wait.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_share_so_much_room_and_the_surplus_is_told_at_once() {
    const BODY: usize = 8 << 20;
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let address = server.url.trim_start_matches("http://").to_owned();
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 10).await;
    let before = resident(server.pid());
    // Who has no key is told so, and takes no room.
    for key in ["", "authorization: Bearer hk_nobody\r\n"] {
        let mut nobody = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n{key}\
             content-length: {BODY}\r\n\r\n{{"
        );
        nobody.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4_096];
        let read = tokio::time::timeout(HANGS, nobody.read(&mut answer)).await;
        let length = read.expect("an answer at once").unwrap();
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(text.starts_with("HTTP/1.1 401") && text.contains("UNAUTHENTICATED"), "{text}");
    }
    let upload = |key: &str| {
        let (address, key) = (address.clone(), key.to_owned());
        async move {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            let head = format!(
                "POST /graphql HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
                 authorization: Bearer {key}\r\ncontent-length: {BODY}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            // Who is turned away need not take the rest.
            let _ = stream.write_all(&vec![b' '; BODY - 1]).await;
            let mut answer = vec![0; 4_096];
            let read = stream.read(&mut answer);
            let read = tokio::time::timeout(Duration::from_secs(5), read).await;
            let length = read.map_or(0, |read| read.unwrap_or(0));
            let text = String::from_utf8_lossy(&answer[..length]).into_owned();
            (stream, text)
        }
    };
    let mut held = Vec::new();
    for key in [server.key.as_ref().unwrap(), &on_sale.seller_key] {
        let mut uploads = JoinSet::new();
        for _ in 0..8 {
            uploads.spawn(upload(key));
        }
        let (streams, answers): (Vec<_>, Vec<_>) = uploads.join_all().await.into_iter().unzip();
        held.extend(streams);
        let refused = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503")).count();
        let waiting = answers.iter().filter(|answer| answer.is_empty()).count();
        // An answer to somebody who is still sending may be lost on its way.
        assert!(refused > 0 && waiting >= 4, "{refused} were refused, {waiting} not answered");
        for answer in answers.iter().filter(|answer| !answer.is_empty()) {
            assert!(answer.contains("THROTTLED") && answer.contains("retry-after: 1"), "{answer}");
        }
    }
    if let (Some(before), Some(after)) = (before, resident(server.pid())) {
        // The room, and as much again while what has arrived is joined.
        assert!(after < before + (160 << 10), "{before} KiB, then {after} KiB");
    }
    // Small requests are served all the while.
    assert_eq!(operator.ask("{ viewer { role } }", json!({})).await["viewer"]["role"], "OPERATOR");
}

/// The callers' own files.
#[cfg(unix)]
fn allow_files(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted) {
        let current = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }
}

#[cfg(not(unix))]
fn allow_files(_: u64) {}
