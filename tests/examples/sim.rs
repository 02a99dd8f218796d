//! `cargo sim`: the simulation by hand.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    io::{IsTerminal, Write},
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
};

use clap::Parser;
use hakken_tests::sim::{Coverage, Failure, Options, Report, STEPS, run};

/// Runs the whole engine in one process from a seed, with everything that may go wrong.
///
/// One seed is one history, byte for byte: the digest at its end is the same each time. A seed that
/// finds something prints the last things that were done and how to do it again.
///
/// Without any seed or count, one seed that nobody has seen.
#[derive(Parser)]
#[command(name = "cargo sim", max_term_width = 100)]
struct Cli {
    /// Seeds to do again.
    seeds: Vec<u64>,
    /// A seed to do again.
    #[arg(long = "seed", value_name = "SEED")]
    named: Vec<u64>,
    /// Tries so many seeds that nobody has seen, one after the other from a random one.
    #[arg(long, conflicts_with_all = ["seeds", "named"])]
    count: Option<u64>,
    /// The first of them.
    #[arg(long, requires = "count", value_name = "SEED")]
    from: Option<u64>,
    /// Steps of each. A seed's history depends on it.
    #[arg(long, default_value_t = STEPS)]
    steps: u32,
    /// Seeds at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Goes on after a seed that found something.
    #[arg(long)]
    keep_going: bool,
    /// Prints all that was done, not only the end of it.
    #[arg(long)]
    history: bool,
    /// Prints what occurred, and what met.
    #[arg(long)]
    coverage: bool,
}

impl Cli {
    fn seeds(&self) -> Vec<u64> {
        let given: Vec<u64> = self.seeds.iter().chain(&self.named).copied().collect();
        if !given.is_empty() {
            return given;
        }
        let fresh = || RandomState::new().build_hasher().finish() >> 32;
        let first = self.from.unwrap_or_else(fresh);
        (first..first.saturating_add(self.count.unwrap_or(1))).collect()
    }
}

#[derive(Default)]
struct Found {
    done: usize,
    steps: u64,
    events: usize,
    failures: Vec<Failure>,
    coverage: Coverage,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What the engine's own assertions say is told with the seed that met them.
    std::panic::set_hook(Box::new(|panic| eprintln!("\n{panic}")));
    let seeds = cli.seeds();
    let (count, left) = (seeds.len(), Mutex::new(VecDeque::from(seeds)));
    let found = Mutex::new(Found::default());
    let work = || {
        while let Some(seed) = next(&cli, &left, &found) {
            let result = run(Options { steps: cli.steps, ..Options::new(seed) });
            note(&cli, &mut lock(&found), seed, result, count);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cli.threads.clamp(1, count.max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let Found { done, steps, events, failures, coverage } =
        found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if cli.coverage {
        println!("{coverage}\n{}", coverage.matrix());
    }
    println!(
        "{done} of {count} seeds, {steps} steps, {events} events, {} failures",
        failures.len()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next(cli: &Cli, left: &Mutex<VecDeque<u64>>, found: &Mutex<Found>) -> Option<u64> {
    let stops = !cli.keep_going && !lock(found).failures.is_empty();
    if stops { None } else { lock(left).pop_front() }
}

fn note(
    cli: &Cli,
    found: &mut Found,
    seed: u64,
    result: Result<Report, Box<Failure>>,
    count: usize,
) {
    found.done += 1;
    match result {
        Ok(report) => {
            found.steps += u64::from(cli.steps);
            found.events += report.events;
            found.coverage.add(&report.coverage);
            if cli.history {
                println!("{}", report.history.join("\n"));
            }
            if count <= 20 {
                let (events, digest) = (report.events, report.digest);
                println!("seed {seed}: {} steps, {events} events, digest {digest:016x}", cli.steps);
            }
        }
        Err(failure) => {
            found.steps += u64::from(failure.step);
            println!("\n{failure}");
            found.failures.push(*failure);
        }
    }
    if count > 20 && (std::io::stderr().is_terminal() || found.done.is_multiple_of(25)) {
        let end = if std::io::stderr().is_terminal() { '\r' } else { '\n' };
        let (done, failures) = (found.done, found.failures.len());
        eprint!("{done} of {count} seeds, {} steps, {failures} failures{end}", found.steps);
        // Nobody may be reading.
        let _ = std::io::stderr().flush();
    }
}
