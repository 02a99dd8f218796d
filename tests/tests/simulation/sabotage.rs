//! Each guard of the engine is taken out, and the simulation must find that.

use std::sync::Mutex;

use hakken_domain::guard::Guard;

use hakken_tests::sim::{Options, STEPS, run};

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
    let wanted = |guard: &&Guard| only.as_ref().is_none_or(|only| format!("{guard:?}") == *only);
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
