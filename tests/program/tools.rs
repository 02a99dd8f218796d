//! The tools, on the data that a demo leaves behind, alone and beside a server.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};

use super::program::{OnSale, Server, ended, good, hakken, hall, real, refused, run, text};

/// A directory with the data of a small demo.
fn after_a_demo() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("hall.json");
    fs::write(&file, hall(12).to_string()).unwrap();
    let (file, data) = (file.to_str().unwrap(), data_of(temp.path()));
    good(&["demo", "--json", "--hall", file, "--buyers", "4", "--data", data.to_str().unwrap()]);
    temp
}

fn data_of(temp: &Path) -> PathBuf {
    temp.join("data")
}

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

#[test]
fn events_are_told_filtered_and_whole() {
    let temp = after_a_demo();
    let data = data_of(temp.path());
    let data = data.to_str().unwrap();
    let all = lines(&good(&["events", "--json", "--data", data]));
    let positions: Vec<u64> = all.iter().map(|e| e["position"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert_eq!(positions, expected);

    let issued = lines(&good(&["events", "--json", "--kind", "ticket-issued", "--data", data]));
    assert!(issued.len() >= 12 && issued.iter().all(|e| e["kind"] == "ticket-issued"));
    let tail = lines(&good(&["events", "--json", "--tail", "3", "--data", data]));
    assert_eq!(tail, all[all.len() - 3..]);
    let by_checkout = good(&["events", "--json", "--actor", "system:checkout", "--data", data]);
    assert!(lines(&by_checkout).iter().all(|e| e["meta"]["actor"] == "system:checkout"));
    let plain = good(&["events", "--after", "2", "--data", data]);
    assert_eq!(plain.lines().count(), all.len() - 2);
    refused(&["events", "--data", "no-such-directory"], &["no-such-directory", "does not exist"]);
}

#[test]
fn a_mistyped_directory_is_not_made() {
    let temp = tempfile::tempdir().unwrap();
    let missing = temp.path().join("dta");
    let data = missing.to_str().unwrap();
    for command in [&["keys", "list"][..], &["verify"], &["rebuild"], &["events"]] {
        let arguments: Vec<&str> = command.iter().copied().chain(["--data", data]).collect();
        refused(&arguments, &[data, "does not exist"]);
    }
    assert!(!missing.exists());
}

#[test]
fn a_reader_that_goes_away_ends_events_quietly() {
    let temp = after_a_demo();
    let data = data_of(temp.path());
    let mut events = hakken(&["events", "--json", "--data", data.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    events.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let status = ended(&mut events);
    let mut error = String::new();
    events.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(status.success() && error.is_empty(), "{status}: {error}");
}

#[test]
fn a_ticket_is_replayed_as_it_is_and_as_it_was() {
    let temp = after_a_demo();
    let data = data_of(temp.path());
    let data = data.to_str().unwrap();
    let entered = lines(&good(&["events", "--json", "--kind", "ticket-entered", "--data", data]));
    let stream = entered[0]["stream"].as_str().unwrap();
    let now = lines(&good(&["replay", stream, "--json", "--data", data]));
    let kinds: Vec<&str> = now.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds[..2], ["ticket-created", "ticket-issued"]);
    assert!(kinds.contains(&"ticket-entered"));
    assert_eq!(now[now.len() - 1]["state"]["Ticket"]["created"], now[0]["data"]);
    let issued = now[1]["position"].to_string();
    let then = lines(&good(&["replay", stream, "--json", "--as-of", &issued, "--data", data]));
    assert_eq!(then.len(), 3);
    assert_ne!(then[2]["state"], now[now.len() - 1]["state"]);
    let time = now[1]["recorded_at"].as_str().unwrap();
    let then_too = good(&["replay", stream, "--json", "--as-of-time", time, "--data", data]);
    assert!(lines(&then_too).len() >= 3);

    let unknown = "ticket-01ARZ3NDEKTSV4RRFFQ69G5FAV";
    refused(&["replay", unknown, "--data", data], &[unknown, "no events"]);
    assert_eq!(run(&["replay", "ticket-1", "--data", data]).status.code(), Some(2));

    // By its public id, and at a time in the place of a position.
    let public = stream.replace('-', "_");
    assert_eq!(lines(&good(&["replay", &public, "--json", "--data", data])), now);
    let at_time = good(&["replay", &public, "--json", "--as-of", time, "--data", data]);
    assert_eq!(at_time, then_too);
    let words = good(&["replay", &public, "--as-of", &issued, "--data", data]);
    assert!(words.contains(&format!("state at version 2, position {issued}")), "{words}");
    let before = (now[0]["position"].as_u64().unwrap() - 1).to_string();
    let created = format!("position {}", now[0]["position"]);
    refused(
        &["replay", &public, "--as-of", &before, "--data", data],
        &["no events then", &created],
    );
    let future = ["replay", &public, "--as-of", "999999", "--data", data];
    refused(&future, &["has not happened yet", "the newest event is at"]);
    let future = ["replay", &public, "--as-of", "9990-01-01T00:00:00Z", "--data", data];
    refused(&future, &["in the future"]);
    for wrong in [["seat_1", "1"], [&*public, "yesterday"]] {
        let output = run(&["replay", wrong[0], "--as-of", wrong[1], "--data", data]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("such as"), "{}", text(&output.stderr));
    }
}

#[test]
fn orders_shows_and_holds_are_replayed_by_their_public_ids() {
    let temp = after_a_demo();
    let data = data_of(temp.path());
    let data = data.to_str().unwrap();
    for kind in ["order-confirmed", "show-scheduled"] {
        let found = lines(&good(&["events", "--json", "--kind", kind, "--data", data]));
        let public = found[0]["stream"].as_str().unwrap().replace('-', "_");
        let told = lines(&good(&["replay", &public, "--json", "--data", data]));
        let last = &told[told.len() - 1];
        assert_eq!(last["stream"], found[0]["stream"]);
        assert_eq!(last["version"], told.len() - 1);
    }
    let sold = lines(&good(&["events", "--json", "--kind", "hold-confirmed", "--data", data]));
    let hold = sold[0]["data"]["hold"].as_str().unwrap();
    let public = format!("hold_{hold}");
    let told = lines(&good(&["replay", &public, "--json", "--data", data]));
    // Some buyers have theirs extended first.
    let kinds = told.iter().filter_map(|line| line["kind"].as_str());
    let kinds: Vec<&str> = kinds.filter(|kind| *kind != "hold-extended").collect();
    assert_eq!(kinds[..2], ["seats-held", "hold-confirmed"]);
    assert_eq!(told[told.len() - 1]["state"]["status"], "confirmed");
    let held = told[0]["position"].to_string();
    let then = lines(&good(&["replay", &public, "--json", "--as-of", &held, "--data", data]));
    assert_eq!((then.len(), &then[1]["state"]["status"]), (2, &json!("held")));
    assert_eq!(then[1]["state"]["lasts"], true);
    let before = (told[0]["position"].as_u64().unwrap() - 1).to_string();
    refused(&["replay", &public, "--as-of", &before, "--data", data], &["was not made then"]);
    let never = "hold_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    refused(&["replay", never, "--data", data], &[never, "was never made"]);
}

#[test]
fn read_models_are_verified_and_rebuilt_in_place() {
    let temp = after_a_demo();
    let data = data_of(temp.path());
    let data = data.to_str().unwrap();
    for command in ["verify", "rebuild"] {
        let reports = lines(&good(&[command, "--json", "--data", data]));
        assert_eq!(reports.len(), 9);
        assert!(reports.iter().all(|report| report["equal"] == true), "{reports:?}");
    }
    // They may be deleted at any time.
    for file in ["read-models.db", "read-models.db-wal", "read-models.db-shm"] {
        let _ = fs::remove_file(Path::new(data).join(file));
    }
    assert!(good(&["verify", "sales", "--data", data]).contains("equal to what was served"));
    refused(&["verify", "seats", "--data", data], &["\"seats\"", "seat_availability"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_work_beside_a_server() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let key = server.key.clone().unwrap();
    let on_sale = OnSale::open(&server.client(&key), 20).await;
    let data = temp.path().to_str().unwrap();
    let events = lines(&good(&["events", "--json", "--data", data]));
    assert_eq!(events.last().unwrap()["kind"], "sales-opened");
    let inventory = on_sale.show.replace("show_", "inventory-");
    assert!(good(&["replay", &inventory, "--data", data]).contains("state at version 1"));
    let told = good(&["rebuild", "--url", &server.url, "--key", &key, "--json"]);
    assert!(lines(&told).iter().all(|report| report["equal"] == true), "{told}");
    let wrong = ["rebuild", "--url", &server.url, "--key", "hk_wrong"];
    refused(&wrong, &["UNAUTHENTICATED"]);
    let nobody = ["verify", "--url", "http://127.0.0.1:9", "--key", &key];
    refused(&nobody, &["does not answer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_leaves_whole_and_goes_on_in_the_file_where_it_was_cut() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let key = server.key.clone().unwrap();
    OnSale::open(&server.client(&key), 20).await;
    let export = |list: &str, out: Option<&Path>| -> Vec<String> {
        let mut arguments = vec!["export", list, "--url", &server.url, "--key", &key];
        arguments.extend(out.into_iter().flat_map(|out| ["--out", out.to_str().unwrap()]));
        arguments.into_iter().map(str::to_owned).collect()
    };
    let words = |arguments: &[String]| -> Vec<&'static str> {
        arguments.iter().map(|word| &*word.clone().leak()).collect()
    };
    // What the read model has: it follows within a moment.
    let head = lines(&good(&["events", "--json", "--data", temp.path().to_str().unwrap()])).len();
    let (whole, last) = loop {
        let whole = good(&words(&export("auditLog", None)));
        let last = lines(&whole).pop().unwrap();
        if last["position"] == head {
            break (whole, last);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let rows = whole.lines().count() - 2;
    assert!(rows > 5 && last["complete"] == true && last["rows"] == rows, "{last}");

    // Cut off in the middle of the fourth line.
    let file = temp.path().join("audit.jsonl");
    let cut = whole.lines().take(3).map(|line| line.len() + 1).sum::<usize>() + 10;
    fs::write(&file, &whole[..cut]).unwrap();
    let again = export("auditLog", Some(&file));
    good(&words(&again));
    let rows_of = |text: &str| -> Vec<Value> {
        lines(text).into_iter().filter(|line| line.get("node").is_some()).collect()
    };
    assert_eq!(rows_of(&fs::read_to_string(&file).unwrap()), rows_of(&whole));
    refused(&words(&again), &["holds a complete export already"]);

    // What is no part of this export is left alone.
    for other in ["no line end", "a line\n", &whole] {
        fs::write(&file, other).unwrap();
        let list = if other == whole { "shows" } else { "auditLog" };
        refused(&words(&export(list, Some(&file))), &["holds something else", "another file"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), other);
    }
    refused(&words(&export("audits", None)), &["no such list", "auditLog"]);

    // As the page of recipes has it; nothing has to settle before.
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes.md");
    let page = fs::read_to_string(page).unwrap();
    let shown = page.lines().find_map(|line| line.strip_prefix("hakken export ")).unwrap();
    let on_sale = OnSale::open(&server.client(&key), 20).await;
    let seller = server.client(&on_sale.seller_key);
    let input = json!({
        "idempotencyKey": "at-least", "show": on_sale.show, "buyer": "b", "seats": ["S7"]
    });
    let position = seller.tell("holdSeats", "position", input).await["position"].to_string();
    let out = temp.path().join("shown.jsonl");
    let mut arguments = vec!["export"];
    for word in shown.split(' ') {
        arguments.push(match word {
            "http://127.0.0.1:8090" => &server.url,
            "hk_…" => &key,
            "28" => &position,
            "audit.jsonl" => out.to_str().unwrap(),
            word => word,
        });
    }
    good(&arguments);
    let lines = lines(&fs::read_to_string(&out).unwrap());
    assert!(lines.last().unwrap()["position"].as_u64() >= position.parse().ok(), "{position}");
    assert!(lines.iter().any(|line| line.to_string().contains("S7")), "the sale is in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_and_revoked_while_no_server_runs() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().to_str().unwrap();
    let server = Server::start(temp.path());
    let first = server.key.clone().unwrap();
    let on_sale = OnSale::open(&server.client(&first), 20).await;
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));

    let create = |role: &str, more: &[&str]| {
        let mut arguments = vec!["keys", "create", "--role", role, "--label", "made by hand"];
        arguments.extend(["--data", data]);
        arguments.extend(more);
        good(&arguments).trim().to_owned()
    };
    let organizer = on_sale.organizer.trim_start_matches("organizer_").to_owned();
    let gate = create("gate", &["--organizer", &organizer]);
    let operator = create("operator", &[]);
    let listed = lines(&good(&["keys", "list", "--json", "--data", data]));
    assert_eq!(listed.len(), 5, "{listed:?}");
    assert!(listed.iter().all(|key| !key.to_string().contains("hk_")));
    let id = gate.split('_').nth(1).unwrap();
    assert!(good(&["keys", "revoke", id, "--data", data]).contains("is revoked"));
    assert!(good(&["keys", "revoke", id, "--data", data]).contains("was revoked before"));
    let nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    refused(&["keys", "revoke", nobody, "--data", data], &["there is no key"]);
    let stranger =
        ["keys", "create", "--role", "gate", "--organizer", nobody, "--label", "x", "--data", data];
    refused(&stranger, &["there is no organizer"]);

    let server = Server::start_again(temp.path());
    let viewer = "{ viewer { role } }";
    let answer = server.client(&operator).ask(viewer, json!({})).await;
    assert_eq!(answer["viewer"]["role"], "OPERATOR");
    let answer = server.client(&gate).try_ask(viewer, json!({})).await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn seat_maps_are_imported_whole_or_not_at_all() {
    let temp = tempfile::tempdir().unwrap();
    let data = data_of(temp.path());
    let server = Server::start(&data);
    let on_sale = OnSale::open(&server.client(&server.key.clone().unwrap()), 20).await;
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));
    let data = data.to_str().unwrap();
    let organizer = on_sale.organizer.trim_start_matches("organizer_").to_owned();

    let mut map = hall(40);
    let file = temp.path().join("map.json");
    let path = file.to_str().unwrap();
    fs::write(&file, map.to_string()).unwrap();
    let picture = temp.path().join("map.svg");
    let told = good(&["import", path, "--check", "--picture", picture.to_str().unwrap()]);
    assert!(told.contains("40 seats"), "{told}");
    assert!(fs::read_to_string(&picture).unwrap().starts_with("<svg"));
    let arguments = ["import", path, "--organizer", &organizer, "--data", data];
    assert!(good(&arguments).contains("is imported"));
    assert!(good(&arguments).contains("was imported before"));

    let before = good(&["events", "--data", data]);
    map["sections"][0]["rows"][1]["seats"][3]["id"] = "S0".into();
    fs::write(&file, map.to_string()).unwrap();
    refused(&arguments, &[path, "sections[0].rows[1].seats[3]", "\"S0\"", "stands already at"]);
    fs::write(&file, "{ \"name\": ").unwrap();
    refused(&arguments, &[path, "not JSON", "line 1"]);
    refused(&["import", "missing.json", "--check"], &["missing.json", "cannot be read"]);
    assert_eq!(good(&["events", "--data", data]), before);

    if let Some(plan) = real("seating/converted-pretix/ticketland-demo.json") {
        let output = run(&["import", plan.to_str().unwrap(), "--check"]);
        assert!(text(&output.stdout).contains("1115 seats"), "{}", text(&output.stdout));
    }
}
