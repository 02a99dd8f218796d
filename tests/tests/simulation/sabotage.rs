//! Each guard of the engine is taken out, and the simulation must find that.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use hakken_domain::guard::Guard;
use hakken_projections::testing::{Bench, Store, rebuilds::rebuild_damaged};

use hakken_tests::sim::{Options, STEPS, run};

use crate::{engine::older_reading, races::reader::read_beside_a_writer};

/// Guards against what the simulation does not meet: one story about each, told below, does.
const MISSED_ELSEWHERE: [Guard; 2] = [Guard::OlderReading, Guard::BeingWritten];

/// Steps within which every guard that is out is missed, seed after seed.
const WITHIN: u32 = 10 * STEPS;

/// Runs seeds without a guard until one of them finds it; in how many steps, and by what.
fn found(guard: Guard) -> Result<(u64, u32, String), Guard> {
    for seed in 1..=u64::from(WITHIN / STEPS) {
        let _out = guard.take_out();
        if let Err(failure) = run(Options::new(seed)) {
            return Ok((seed, failure.step, failure.wrong));
        }
    }
    Err(guard)
}

#[test]
fn every_guard_that_is_missing_is_missed() {
    let only = std::env::var("HAKKEN_SIM_GUARD").ok();
    let is_here = |guard: &&Guard| !MISSED_ELSEWHERE.contains(guard);
    let wanted = |guard: &&Guard| {
        is_here(guard) && only.as_ref().is_none_or(|only| format!("{guard:?}") == *only)
    };
    let left: Mutex<Vec<Guard>> = Mutex::new(Guard::ALL.iter().filter(wanted).copied().collect());
    let results: Mutex<Vec<_>> = Mutex::default();
    let work = || {
        while let Some(guard) = { left.lock().expect("nobody panics").pop() } {
            let result = (guard, found(guard));
            results.lock().expect("nobody panics").push(result);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let mut found = results.into_inner().expect("nobody panics");
    found.sort_by_key(|(guard, _)| Guard::ALL.iter().position(|known| known == guard));
    println!("{:<16}{:>5}{:>6}  found by", "without", "seed", "step");
    for (guard, result) in &found {
        match result {
            Ok((seed, step, wrong)) => {
                println!("{:<16}{seed:>5}{step:>6}  {wrong}", format!("{guard:?}"))
            }
            Err(_) => println!("{:<16}    -     -  not found", format!("{guard:?}")),
        }
    }
    let missed: Vec<_> = found.into_iter().filter_map(|(_, result)| result.err()).collect();
    assert!(missed.is_empty(), "not found in {WITHIN} steps: {missed:?}");
}

/// Two readings of one stream, and the older one comes late.
#[test]
fn an_older_reading_that_counts_is_missed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let _out = Guard::OlderReading.take_out();
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(older_reading())));
    // Or the loop meets the seat that is given twice, and stops.
    assert!(!matches!(ended, Ok(Ok(()))), "the same story ends well without the guard");
}

/// Readers beside a writer.
#[test]
fn an_append_that_is_taken_for_damage_is_missed() {
    let wrong = read_beside_a_writer(600, || Some(Guard::BeingWritten.take_out()));
    assert!(wrong.is_some(), "nobody took anything for damage");
    println!("noticed: {}", wrong.unwrap_or_default());
}

/// A rebuild that is not folded a second time swaps in whatever befell its rows. Verifying finds
/// it, and the next rebuild mends it.
#[tokio::test]
async fn a_rebuild_that_is_folded_once_serves_damaged_rows_and_that_is_noticed() {
    let bench = Bench::start(Store::in_memory()).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    let rebuilt = {
        let _out = Guard::FoldedTwice.take_out();
        rebuild_damaged(&bench).await
    };
    assert!(rebuilt.is_ok_and(|report| !report.equal()), "nothing stands in its way");
    let verified = bench.models.verify("tickets").await.expect("verified");
    let words = "ticket damaged is served, the events know nothing of it";
    assert_eq!(verified.comparison.first_difference.as_deref(), Some(words));
    let mended = bench.models.rebuild("tickets").await.expect("rebuilt");
    assert!(!mended.equal(), "what was served was wrong");
    assert!(bench.models.verify("tickets").await.expect("verified").equal());
}
