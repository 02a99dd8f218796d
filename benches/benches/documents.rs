//! How long the check of one document takes at worst: `cargo bench -p hakken-benches --bench
//! documents`. The documents are those of the tests, made to be as much work as they can.

#[path = "../../tests/tests/graphql/limits/adversaries.rs"]
mod adversaries;

use std::time::Instant;

use anyhow::Result;
use hakken_api::{DocumentGate, sdl};
use hakken_benches::{
    report::{Table, percent},
    thousands,
};
use serde_json::json;

/// Each document is checked so often; the median counts.
const TIMES: usize = 51;
/// No document of up to 10 KB may hold a processor for longer, in microseconds.
const LIMIT_MICROS: f64 = 50_000.0;
/// Lines of the table.
const WORST: usize = 12;
const GUIDE: &str = "\
The worst documents of up to 10 KB that were found, by the median time to read, measure and check
one that was never seen. `steps` is what the check counts and bounds; `of 50 ms` is the share of
the time that no document may take.";

fn main() -> Result<()> {
    let gate = DocumentGate::new(&sdl());
    let mut found = Vec::new();
    for (name, text) in adversaries::adversaries() {
        let mut micros = Vec::new();
        let mut steps = 0;
        for _ in 0..TIMES {
            let begun = Instant::now();
            let checked = gate.check(&text, None, json!({}));
            micros.push(begun.elapsed().as_secs_f64() * 1e6);
            steps = checked.map_or_else(|refused| refused.steps, |passed| passed.steps);
        }
        micros.sort_by(f64::total_cmp);
        found.push((micros[TIMES / 2], steps, text.len(), name));
    }
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    let columns = ["document", "bytes", "steps", "p50 µs", "of 50 ms"];
    let mut table = Table::new("checking a document", GUIDE, &columns);
    for (micros, steps, bytes, name) in found.into_iter().take(WORST) {
        let share = percent(micros, LIMIT_MICROS);
        table.row([
            name,
            thousands(bytes as f64),
            thousands(steps as f64),
            format!("{micros:.0}"),
            share,
        ]);
    }
    table.print();
    Ok(())
}
