//! The simulation: seeds that run every time, some that nobody has seen, and controls that show
//! that it would see what it looks for.
//!
//! `cargo sim 7` does one again, and `cargo sim --count 500` tries that many new ones.

mod crashes;
mod expected;
mod reading;
#[cfg(feature = "sabotage")]
mod sabotage;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use expected::{MUST_MEET, MUST_OCCUR};
use futures_util::future::BoxFuture;
use hakken_adapters::payments::SimulatedGateway;
use hakken_commands::payments::{Payments, PaymentsError, RefundOutcome, RefundRequest};
use hakken_domain::names::RefundId;
use hakken_tests::sim::{Coverage, Failure, Options, run};

/// Seeds that run every time.
const SEEDS: u64 = 20;

/// Runs seeds on two threads; panics with what went wrong.
fn run_all(seeds: &[u64]) -> Coverage {
    let mut all = Coverage::default();
    let (left, right) = seeds.split_at(seeds.len() / 2);
    let some = |seeds: &[u64]| {
        seeds.iter().map(|seed| run(Options::new(*seed))).collect::<Result<Vec<_>, _>>()
    };
    let reports = std::thread::scope(|scope| {
        let left = scope.spawn(move || some(left));
        let right = some(right);
        [left.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), right]
    });
    for reports in reports {
        match reports {
            Ok(reports) => reports.iter().for_each(|report| all.add(&report.coverage)),
            Err(failure) => panic!("{failure}"),
        }
    }
    all
}

#[test]
fn the_seeds_that_run_every_time() {
    let coverage = run_all(&(1..=SEEDS).collect::<Vec<_>>());
    println!("{SEEDS} seeds\n{coverage}\n{}", coverage.matrix());
    let missing = coverage.missing(MUST_OCCUR);
    assert!(missing.is_empty(), "the generator never met {missing:?}");
    let missing = coverage.missing_pairs(MUST_MEET);
    assert!(missing.is_empty(), "these never met: {missing:?}");
}

#[test]
fn one_seed_is_one_history() {
    for seed in 1..=3 {
        let run = || run(Options::new(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        let (first, again) = (run(), std::thread::scope(|scope| scope.spawn(run).join().unwrap()));
        let both = first.history.iter().zip(&again.history);
        let differs = both.enumerate().find(|(_, (first, again))| first != again);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.digest, again.digest, "seed {seed}: the events differ");
    }
}

#[test]
fn a_seed_that_nobody_has_seen() {
    let seed = RandomState::new().build_hasher().finish() >> 32;
    println!("seed {seed}; again: cargo sim {seed}");
    run_all(&[seed]);
}

/// What is wrong with a simulation that must go wrong, and at which step.
fn must_fail(seeds: u64, options: impl Fn(u64) -> Options) -> Vec<Failure> {
    (1..=seeds).filter_map(|seed| run(options(seed)).err()).map(|failure| *failure).collect()
}

#[test]
fn a_store_that_looks_at_no_versions_is_found_within_ten_steps() {
    let failures = must_fail(4, |seed| Options {
        nodes: 2,
        most_nodes: 2,
        sole_writer: false,
        faults: false,
        ignore_versions: true,
        only_holds: true,
        ..Options::new(seed)
    });
    assert_eq!(failures.len(), 4, "every seed must find it");
    let oversold =
        |failure: &Failure| [" given twice", " taken"].iter().any(|w| failure.wrong.contains(w));
    assert!(failures.iter().filter(|failure| oversold(failure)).count() >= 2, "{failures:?}");
    for failure in failures {
        // Otherwise a write loop met the seat that is given twice before the audit did.
        assert!(oversold(&failure) || failure.wrong.contains("ended by itself"), "{failure}");
        assert!(failure.step <= 10, "{failure}");
    }
}

/// Moves the money again whenever it is asked.
struct Forgetful(Arc<SimulatedGateway>);

impl Payments for Forgetful {
    fn refund(
        &self,
        request: RefundRequest,
    ) -> BoxFuture<'_, Result<RefundOutcome, PaymentsError>> {
        let refund = RefundId::derived("forgetful", &self.0.calls().to_string());
        self.0.refund(RefundRequest { refund, ..request })
    }
}

#[test]
fn a_provider_that_forgets_is_found_at_one_of_the_first_three_rests() {
    let failures = must_fail(4, |seed| Options {
        nodes: 2,
        most_nodes: 2,
        sole_writer: false,
        payments: Some(|gateway| Arc::new(Forgetful(gateway))),
        ..Options::new(seed)
    });
    assert_eq!(failures.len(), 4, "every seed must find it");
    for failure in failures {
        assert!(failure.wrong.contains("the provider moved"), "{failure}");
        assert!(failure.step <= 72, "{failure}");
    }
}

#[test]
fn a_write_loop_that_trusts_its_memory_among_others_is_found() {
    let failures = must_fail(8, |seed| Options {
        nodes: 2,
        most_nodes: 2,
        sole_writer: false,
        claims_sole_writer: true,
        ..Options::new(seed)
    });
    assert!(!failures.is_empty(), "one of eight seeds must find it");
    let by_itself = |failure: &Failure| failure.wrong.contains("ended by itself");
    assert!(!failures.iter().all(by_itself), "it is found by what it does: {failures:?}");
}

/// What stands between the API and whoever asks: it says nothing of the last seat, the last order
/// of a page, and the last item.
fn distorts(data: &mut serde_json::Value) {
    if let Some(letters) = data["seatLetters"].as_str() {
        let cut = letters.len().saturating_sub(1);
        data["seatLetters"] = serde_json::json!(&letters[..cut]);
    }
    for list in ["edges", "items"] {
        if let Some(list) = data.get_mut(list).and_then(|list| list.as_array_mut()) {
            list.pop();
        }
    }
}

#[test]
fn an_api_that_answers_wrongly_is_found_before_the_second_rest() {
    let failures = must_fail(4, |seed| Options { distorts: Some(distorts), ..Options::new(seed) });
    assert_eq!(failures.len(), 4, "every seed must find it");
    for failure in failures {
        assert!(failure.wrong.contains("the API says of"), "{failure}");
        assert!(failure.step < 48, "{failure}");
    }
}

/// Forgets that anything was answered before.
fn forgets(data: &mut serde_json::Value) {
    if data["repeated"] == serde_json::json!(true) {
        data["position"] = serde_json::json!("1");
    }
}

#[test]
fn an_api_that_answers_a_repetition_otherwise_is_found() {
    let failures = must_fail(4, |seed| Options { distorts: Some(forgets), ..Options::new(seed) });
    assert!(!failures.is_empty(), "one of four seeds must find it");
    for failure in failures {
        assert!(failure.wrong.contains("again was answered"), "{failure}");
    }
}
