//! `hakken demo`, whole halls from opening to gates.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::program::{PATIENCE, ended, hakken, hall, real, refused, run, text};

/// Runs it and reads the one object that it prints.
#[track_caller]
fn told(arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["demo", "--json"].iter().chain(arguments).copied().collect();
    let output = run(&arguments);
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).expect("one JSON object")
}

fn number(told: &Value, name: &str) -> u64 {
    told[name].as_u64().unwrap_or_else(|| panic!("{name} is no number in {told}"))
}

#[track_caller]
fn everything_held(told: &Value, seats: u64) {
    assert_eq!(number(told, "seats"), seats);
    assert_eq!(number(told, "sold"), seats);
    assert_eq!(number(told, "oversold"), 0);
    assert_eq!(number(told, "issued"), seats);
    assert_eq!(number(told, "admitted"), seats);
    assert!(number(told, "refused") > 0, "{told}");
    assert!(number(told, "captured_minor") > number(told, "refunded_minor"), "{told}");
    assert_eq!(told["rebuilt_equal"], true);
    for rate in ["holds", "orders", "scans", "rebuild_events"] {
        assert!(told["rates"][rate].as_f64().is_some_and(|rate| rate > 0.0), "{rate}: {told}");
    }
}

#[test]
fn the_shipped_hall_is_sold_once_and_everybody_comes_in() {
    let told = told(&[]);
    everything_held(&told, 1_926);
    assert_eq!(told["numbered_seats"], 1_626);
    let reasons = ["already_redeemed", "canceled", "invalid", "revoked", "wrong_show"];
    for reason in reasons {
        assert!(told["refused_by_reason"][reason].as_u64() > Some(0), "{reason}: {told}");
    }
    assert!(told["holds"]["refused_by_code"]["SEAT_TAKEN"].as_u64() > Some(0), "{told}");
    assert!(number(&told["orders"], "refunded_late") > 0, "{told}");
    assert_eq!(told["events"], told["events_heard"]);
}

#[test]
fn a_real_plan_is_sold_just_so() {
    let Some(plan) = real("seating/converted-pretix/ticketland-demo.json") else { return };
    let told = told(&["--hall", plan.to_str().unwrap(), "--seed", "7"]);
    everything_held(&told, 1_115);
}

#[test]
fn a_hall_of_three_seats_is_enough() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("three.json");
    fs::write(&file, hall(3).to_string()).unwrap();
    for seed in ["1", "2"] {
        let told = told(&["--hall", file.to_str().unwrap(), "--seed", seed, "--buyers", "5"]);
        everything_held(&told, 3);
    }
}

#[test]
fn a_hall_without_anything_to_sell_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("areas.json");
    let plan = r#"{"name":"Areas","size":{"width":9,"height":9},"categories":[],"zones":[]}"#;
    fs::write(&file, plan).unwrap();
    let file = file.to_str().unwrap();
    refused(&["demo", "--json", "--hall", file], &[file, "neither a seat nor a pool"]);
    refused(&["demo", "--exit", "--hall", "missing.json"], &["missing.json", "cannot be read"]);
}

#[test]
fn temporary_data_goes_away_when_it_is_interrupted() {
    let temp = tempfile::tempdir().unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(1_500)] {
        let mut demo = hakken(&["demo"])
            .env("TMPDIR", temp.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while fs::read_dir(temp.path()).unwrap().count() == 0 {
            assert!(begun.elapsed() < PATIENCE, "the demo does not begin");
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(wait);
        let pid = demo.id().to_string();
        std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert_eq!(ended(&mut demo).code(), Some(130));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
