//! `/metrics` of a running server, read as strictly as its format is written down, and the alert
//! rules that stand on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::program::{OnSale, PATIENCE, Server};

/// One family: its kind and its samples.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: bool,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// An exposition in the text format of OpenMetrics 1.0.
#[derive(Debug, Default)]
struct Exposition(BTreeMap<String, Family>);

const SUFFIXES: [&str; 6] = ["_total", "_bucket", "_sum", "_count", "_created", "_info"];

impl Exposition {
    /// Panics at the first thing that is not as the format wants it.
    fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with its end");
        let mut all = Self::default();
        let mut open = String::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (what, name) = (words.next().unwrap(), words.next().expect("a name"));
                let rest = words.next().unwrap_or_default();
                if open != name {
                    assert!(!all.0.contains_key(name), "{name} comes in two places");
                    open = name.to_owned();
                }
                let family = all.0.entry(name.to_owned()).or_default();
                match what {
                    "HELP" => family.help = !rest.is_empty(),
                    "TYPE" => rest.clone_into(&mut family.kind),
                    "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{name} in {rest}"),
                    other => panic!("{other}: {line}"),
                }
                continue;
            }
            let sample = sample(line);
            let family = all.0.get_mut(&open).unwrap_or_else(|| panic!("no family: {line}"));
            let suffix = sample.name.strip_prefix(open.as_str()).expect("of the family");
            let fits = match family.kind.as_str() {
                "counter" => suffix == "_total",
                "gauge" => suffix.is_empty(),
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                other => panic!("{other}: {line}"),
            };
            assert!(fits, "{} is no sample of a {}: {line}", sample.name, family.kind);
            let same = |other: &Sample| other.name == sample.name && other.labels == sample.labels;
            assert!(!family.samples.iter().any(same), "twice: {line}");
            family.samples.push(sample);
        }
        all
    }

    fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.0.values().flat_map(|family| &family.samples)
    }

    /// The sum over all samples with these labels.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut found = self.samples().filter(|sample| {
            let has = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).is_some_and(|v| v == value)
            };
            sample.name == name && labels.iter().all(has)
        });
        let first = found.next().map_or(0.0, |sample| sample.value);
        first + found.map(|sample| sample.value).sum::<f64>()
    }

    fn has(&self, name: &str) -> bool {
        self.samples().any(|sample| sample.name == name)
    }
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> Sample {
    let (name_and_labels, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let (name, labels) = match name_and_labels.split_once('{') {
        None => (name_and_labels, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').expect("a closed brace")),
    };
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(!name.is_empty() && name.chars().all(good), "{line}");
    let labels = labels.split_terminator(',').map(|label| {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(name.chars().all(good), "{line}");
        let value = value.strip_suffix('"').unwrap_or_else(|| panic!("{line}"));
        // What the engine names itself needs no escapes, and holds nothing a client chose.
        assert!(!value.contains(['"', '\\']), "{line}");
        (name.to_owned(), value.to_owned())
    });
    let labels: BTreeMap<_, _> = labels.collect();
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    Sample { name: name.to_owned(), labels, value }
}

async fn scrape(server: &Server) -> Exposition {
    let answer = reqwest::get(format!("{}/metrics", server.url)).await.expect("it answers");
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Exposition::read(&answer.text().await.expect("text"))
}

const HOLD: &str = "mutation Hold($input: HoldSeatsInput!) { holdSeats(input: $input) {
    hold { id } userErrors { code } } }";

fn hold(on_sale: &OnSale, key: &str, seat: usize) -> Value {
    json!({ "input": {
        "idempotencyKey": key, "show": on_sale.show, "buyer": "b", "seats": [format!("S{seat}")],
    } })
}

/// The figures when every read model has come to the newest event.
async fn at_rest(server: &Server) -> Exposition {
    let begun = Instant::now();
    loop {
        let figures = scrape(server).await;
        let newest = figures.value("hakken_position", &[]);
        let follows =
            |name| figures.value("hakken_projection_position", &[("name", name)]) == newest;
        if newest > 0.0 && ["holds", "tickets", "audit_log"].into_iter().all(follows) {
            return figures;
        }
        assert!(begun.elapsed() < PATIENCE, "read models do not follow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_moves_with_what_is_done_and_is_described() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 20).await;
    let seller = operator.with_key(&on_sale.seller_key);
    let before = at_rest(&server).await;
    for seat in 0..10 {
        seller.ask(HOLD, hold(&on_sale, &format!("h{seat}"), seat)).await;
    }
    // Again with the same key, again for the same seat, and what a seller may not.
    seller.ask(HOLD, hold(&on_sale, "h0", 0)).await;
    seller.ask(HOLD, hold(&on_sale, "other", 0)).await;
    seller.try_ask("{ auditLog(first: 1) { edges { cursor } } }", json!({})).await.unwrap();
    let backup = r#"{"finished_at": "2026-11-22T03:00:00Z", "position": 7}"#;
    fs::write(temp.path().join("last-backup.json"), backup).unwrap();
    let after = at_rest(&server).await;
    let grown = |name: &str, labels: &[(&str, &str)]| {
        after.value(name, labels) - before.value(name, labels)
    };
    let holds = |outcome| [("kind", "hold_seats"), ("outcome", outcome)];
    let (happened, repeated, rejected) = (holds("happened"), holds("repeated"), holds("rejected"));
    let expected: [(&str, &[(&str, &str)], f64); 15] = [
        ("hakken_commands_total", &happened, 10.0),
        ("hakken_commands_total", &repeated, 1.0),
        ("hakken_commands_total", &rejected, 1.0),
        ("hakken_commands_happened_total", &[], 10.0),
        ("hakken_events_appended_total", &[], 10.0),
        ("hakken_batch_events_sum", &[], 10.0),
        ("hakken_position", &[], 10.0),
        ("hakken_graphql_operations_total", &[("operation", "mutation")], 12.0),
        ("hakken_graphql_operation_duration_seconds_count", &[("operation", "mutation")], 12.0),
        ("hakken_graphql_refusals_total", &[("code", "SEAT_TAKEN")], 1.0),
        ("hakken_graphql_errors_total", &[("code", "FORBIDDEN")], 1.0),
        ("hakken_http_requests_total", &[("route", "/graphql"), ("status", "200")], 13.0),
        ("hakken_http_request_duration_seconds_count", &[("route", "/graphql")], 13.0),
        ("hakken_projection_position", &[("name", "holds")], 10.0),
        ("hakken_last_backup_position", &[], 7.0),
    ];
    for (name, labels, expected) in expected {
        assert_eq!(grown(name, labels), expected, "{name} {labels:?}");
    }
    let batches = grown("hakken_batch_events_count", &[]);
    assert!((1.0..=10.0).contains(&batches), "{batches}");
    assert_eq!(grown("hakken_commit_duration_seconds_count", &[]), batches);
    assert!(grown("hakken_commit_duration_seconds_sum", &[]) > 0.0);
    for (name, least) in [
        ("hakken_commands_waiting_limit", 8_192.0),
        ("hakken_connections", 1.0),
        ("hakken_connections_limit", 1.0),
        ("hakken_disk_free_bytes", 1.0),
        ("hakken_disk_size_bytes", 1e6),
        ("hakken_on_duty", 1.0),
        ("hakken_write_loop_works", 1.0),
        ("process_start_time_seconds", 1.6e9),
    ] {
        assert!(after.value(name, &[]) >= least, "{name} is {}", after.value(name, &[]));
    }
    for (name, family) in &after.0 {
        assert!(family.help && !family.kind.is_empty(), "{name} is not described");
        let plain =
            !SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) || name.ends_with("_info");
        assert!(plain, "{name} has the suffix of a sample");
        assert!(family.samples.len() < 400, "{name} has {} samples", family.samples.len());
        histograms_add_up(name, family);
    }
}

/// Buckets only grow, and the last one has everything.
fn histograms_add_up(name: &str, family: &Family) {
    if family.kind != "histogram" {
        return;
    }
    let mut counted: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        if let Some(most) = labels.remove("le") {
            counted.entry(labels).or_default().push((most.parse().unwrap(), sample.value));
        } else if sample.name.ends_with("_count") {
            counts.insert(labels, sample.value);
        }
    }
    for (labels, buckets) in counted {
        assert!(buckets.is_sorted_by(|one, two| one.0 < two.0 && one.1 <= two.1), "{name}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, counts[&labels])), "{name} {labels:?}");
    }
}

fn rules() -> (PathBuf, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alerts.yml");
    let text = fs::read_to_string(&file).expect("docs/alerts.yml");
    (file, text)
}

/// Every metric that the rules name.
fn named(rules: &str) -> BTreeSet<String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = rules.split(|c: char| !is_letter(c));
    let ours = words.filter(|word| word.starts_with("hakken_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_alert_rules_is_there() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, 20).await;
    let seller = operator.with_key(&on_sale.seller_key);
    seller.ask(HOLD, hold(&on_sale, "one", 0)).await;
    seller.ask(HOLD, hold(&on_sale, "two", 0)).await;
    seller.try_ask("{ auditLog(first: 1) { edges { cursor } } }", json!({})).await.unwrap();
    let backup = r#"{"finished_at": "2026-11-22T03:00:00Z", "position": 7}"#;
    fs::write(temp.path().join("last-backup.json"), backup).unwrap();
    let metrics = scrape(&server).await;
    let (_, text) = rules();
    let named = named(&text);
    assert!(named.len() > 15, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !metrics.has(name)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "no such metrics");
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let (_, text) = rules();
    let alerts: Vec<&str> = text.split("      - alert: ").skip(1).collect();
    assert!(alerts.len() >= 9);
    for alert in alerts {
        let name = alert.lines().next().unwrap_or_default();
        for part in ["expr:", "severity:", "summary:", "meaning:", "action:"] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
    }
}

/// Prometheus' own checker on the rules and on the examples that show when each fires.
#[test]
fn prometheus_takes_the_rules_and_fires_them_when_they_should() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let brought = root.join("target/tools/usr/bin/promtool");
    let programs = [PathBuf::from("promtool"), brought];
    let works = |program: &&PathBuf| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let Some(promtool) = programs.iter().find(works) else {
        assert!(std::env::var_os("CI").is_none(), "promtool is not on this machine");
        println!("skipped: promtool is not on this machine");
        return;
    };
    for words in [["check", "rules", "docs/alerts.yml"], ["test", "rules", "docs/alerts.test.yml"]]
    {
        let output = Command::new(promtool).args(words).current_dir(root).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
    }
    let (_, text) = rules();
    let tests = fs::read_to_string(root.join("docs/alerts.test.yml")).unwrap();
    for alert in text.split("      - alert: ").skip(1) {
        let name = alert.lines().next().unwrap_or_default();
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no example");
    }
}
