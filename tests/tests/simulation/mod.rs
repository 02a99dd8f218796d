//! The simulation, from seeds.

use hakken_tests::sim::{Options, Report, simulate};

fn run(options: Options) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(simulate(options)).map_err(|failure| failure.to_string())
}

#[test]
fn one() {
    for seed in 1..=60 {
        let start = std::time::Instant::now();
        let most_nodes = std::env::var("NODES").map_or(2, |n| n.parse().unwrap());
        match run(Options { most_nodes, ..Options::new(seed) }) {
            Ok(report) => println!(
                "{} events {:x} {:?}\n{}",
                report.events,
                report.digest,
                start.elapsed(),
                report.coverage
            ),
            Err(failure) => println!("FAILED {failure}"),
        }
    }
}
