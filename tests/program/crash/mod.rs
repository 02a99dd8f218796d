//! Servers are killed again and again while many buy, pay, scan and refund; while they start, stop
//! and rebuild. What the clients were told is the witness.
//!
//! `HAKKEN_CRASH_ROUNDS=2000 tests/run crash -- --nocapture` kills so often and tells how far it is;
//! `HAKKEN_CRASH_SEED=…` repeats the choices of a run that is printed. Without them it takes about a
//! minute.

mod lane;
pub mod life;
pub mod sale;
pub mod witness;

use std::time::Instant;

use hakken_adapters::system::random_bytes;
use hakken_tests::sim::Chance;

use self::lane::Lane;

/// Rounds of every test run, all lanes together.
const ROUNDS: u64 = 200;
/// After so many more a lane tells how far it is.
const TOLD: u64 = 100;
/// Servers at once, each on its own data.
const LANES: u64 = 2;

pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// A seed that nobody has seen.
pub fn new_seed() -> u64 {
    let bytes = random_bytes().expect("the system gives random numbers");
    bytes.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_survives_every_kill() {
    let rounds = number("HAKKEN_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("HAKKEN_CRASH_SEED").unwrap_or_else(new_seed);
    println!("HAKKEN_CRASH_SEED={seed} HAKKEN_CRASH_ROUNDS={rounds}");
    let begun = Instant::now();
    let mut chance = Chance::new(seed);
    let lanes: Vec<_> = (0..LANES)
        .map(|number| {
            let chance = chance.split();
            tokio::spawn(async move {
                let mut lane = Lane::open(number, chance).await;
                for round in 0..rounds.div_ceil(LANES) {
                    lane.round(round).await;
                    if (round + 1).is_multiple_of(TOLD) {
                        println!("lane {number}: {} rounds", round + 1);
                    }
                }
                lane.end().await
            })
        })
        .collect();
    for lane in lanes {
        let told = lane.await.unwrap_or_else(|_| panic!("HAKKEN_CRASH_SEED={seed} failed"));
        println!("{told}");
    }
    println!("{rounds} rounds in {:.0} s", begun.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_after_a_crash_would_be_noticed() {
    Lane::open(0, Chance::new(1)).await.control().await;
}
