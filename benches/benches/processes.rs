//! What several processes on one PostgreSQL sell together: the same callers divided among 1, 2 and 3
//! processes, which sell one show, many shows together, or each its own.
//!
//! `cargo bench -p hakken-benches --bench processes`; `-- 16` with so many callers in all. It starts
//! a server of its own, with fsync and synchronous_commit on. On two cores processes share what one
//! has already: this shows what sharing costs, and only with more cores what it brings.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hakken_adapters::postgres::PostgresStore;
use hakken_benches::{
    median,
    postgres::Postgres,
    report::{Plot, Table},
    shop::{Shop, Show, sell},
    thousands,
};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLERS: usize = 64;
const MOST: usize = 3;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(2_000);
const SEATS: usize = 60_000;
/// Of many shows.
const SHOWS: usize = 32;
const SEATS_OF_MANY: usize = 4_000;

/// How a child is told what to do.
const PART: &str = "HAKKEN_BENCH_PART";

const GUIDE: &str = "\
one show: everybody sells the same one, so each process must learn what the others wrote before it
  may decide; many shows: 32, of which every process sells all; own shows: each process has shows
  that no other sells, as behind a balancer that keeps a show with one process.
least: what the process that sold least sold, of what would be its even part: a total hides that one
  sells and the callers of all others wait.
conflicts: appends that were refused because another process had been first, for each hundred holds.
turns: turns that were taken, for each hundred holds.";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match std::env::var(PART) {
            Ok(part) => sell_part(&part).await,
            Err(_) => run().await,
        }
    })
}

/// How shows are shared, in the order of the columns.
const WAYS: [&str; 3] = ["one show", "many shows", "own shows"];

async fn run() -> Result<()> {
    let given = std::env::args().find_map(|word| word.parse().ok());
    let callers: usize = given.unwrap_or(CALLERS);
    let server = Postgres::own(true).context("PostgreSQL is not installed here")?;
    let title = format!("holds a second of {callers} callers in all (median of {ROUNDS} rounds)");
    let columns = [
        "processes",
        "one show",
        "times",
        "least",
        "conflicts",
        "turns",
        "many shows",
        "times",
        "least",
        "conflicts",
        "turns",
        "own shows",
        "times",
        "least",
        "conflicts",
        "turns",
    ];
    let mut table = Table::new(title, GUIDE, &columns);
    let mut lines = WAYS.map(|_| Vec::new());
    // For each number of processes and each way.
    let mut figures: [[Vec<Figures>; WAYS.len()]; MOST] = Default::default();
    for _ in 0..ROUNDS {
        for processes in 1..=MOST {
            #[allow(clippy::needless_range_loop, reason = "the ways have several lists in step")]
            for way in 0..WAYS.len() {
                let url = server.database().await.url;
                figures[processes - 1][way].push(together(&url, way, processes, callers)?);
            }
        }
    }
    let mut alone = [0.0; 3];
    for (processes, ways) in (1..).zip(figures) {
        let mut cells = vec![processes.to_string()];
        for (way, rounds) in ways.into_iter().enumerate() {
            let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
            let rate = of(|round| round.rate);
            if processes == 1 {
                alone[way] = rate;
            }
            lines[way].push((f64::from(processes), rate));
            cells.push(thousands(rate));
            cells.push(format!("{:.2}", rate / alone[way]));
            cells.push(format!("{:.0} %", 100.0 * of(|round| round.least)));
            cells.push(format!("{:.1}", of(|round| round.conflicts)));
            cells.push(format!("{:.1}", of(|round| round.turns)));
        }
        let cells: [String; 16] = cells.try_into().expect("five for each way, and one");
        table.row(cells);
    }
    table.print();
    let mut plot = Plot::new("several processes on one PostgreSQL", "processes", "holds a second");
    for (name, line) in WAYS.into_iter().zip(lines) {
        plot.line(name, line);
    }
    plot.write_log("processes")
}

/// What came of a round.
struct Figures {
    /// Holds a second of all.
    rate: f64,
    /// The share of its even part that the process had which sold least.
    least: f64,
    /// For each hundred holds.
    conflicts: f64,
    /// For each hundred holds.
    turns: f64,
}

/// Callers of the process at this place.
fn callers_of(at: usize, processes: usize, callers: usize) -> usize {
    callers / processes + usize::from(at < callers % processes)
}

/// Lets so many processes sell.
fn together(url: &str, way: usize, processes: usize, callers: usize) -> Result<Figures> {
    let name = format!("{}", std::process::id());
    let children: Vec<_> = (0..processes)
        .map(|at| {
            let callers = callers_of(at, processes, callers);
            let part = format!("{url} {name} {way} {at} {processes} {callers}");
            let exe = std::env::current_exe()?;
            let mut child = Command::new(exe);
            child.env(PART, part).stdin(Stdio::piped()).stdout(Stdio::piped());
            Ok(child.spawn()?)
        })
        .collect::<Result<_>>()?;
    let mut children: Vec<_> = children
        .into_iter()
        .map(|mut child| {
            let said = child.stdout.take().context("its output is piped")?;
            let mut said = std::io::BufReader::new(said);
            wait_for(&mut said, "ready")?;
            Ok((child, said))
        })
        .collect::<Result<_>>()?;
    // All begin when all are ready.
    for (child, _) in &mut children {
        drop(child.stdin.take());
    }
    let (mut rates, mut conflicts, mut turns) = (Vec::new(), 0.0, 0.0);
    for (mut child, mut said) in children {
        let figures = wait_for(&mut said, "sold")?;
        let mut figures = figures.split_whitespace().map(str::parse::<f64>);
        rates.push(figures.next().context("a rate")??);
        conflicts += figures.next().context("conflicts")??;
        turns += figures.next().context("turns")??;
        ensure!(child.wait()?.success(), "a process failed");
    }
    let rate: f64 = rates.iter().sum();
    let shares = rates.iter().enumerate().map(|(at, part)| {
        let even = rate * callers_of(at, processes, callers) as f64 / callers as f64;
        part / even
    });
    let least = shares.fold(f64::INFINITY, f64::min);
    let hundreds = rate * ROUND.as_secs_f64() / 100.0;
    Ok(Figures { rate, least, conflicts: conflicts / hundreds, turns: turns / hundreds })
}

/// What stands behind this word, on the line that begins with it.
fn wait_for(said: &mut impl std::io::BufRead, word: &str) -> Result<String> {
    let mut line = String::new();
    while said.read_line(&mut line)? > 0 {
        if let Some(rest) = line.strip_prefix(word) {
            return Ok(rest.trim().to_owned());
        }
        line.clear();
    }
    anyhow::bail!("a process ended before it said {word}")
}

/// One of the processes.
async fn sell_part(part: &str) -> Result<()> {
    let words: Vec<&str> = part.split(' ').collect();
    let [url, name, way, at, processes, callers] = words.as_slice() else {
        anyhow::bail!("not what a part is told: {part}");
    };
    let (way, at, processes): (usize, usize, usize) =
        (way.parse()?, at.parse()?, processes.parse()?);
    let shop = Shop::start(Arc::new(PostgresStore::open(url).await?), false)?;
    let mut shows = Vec::new();
    let (count, seats) = if way == 0 { (1, SEATS) } else { (SHOWS, SEATS_OF_MANY) };
    for show in 0..count {
        // Where shows are shared, who comes second finds them.
        let owner = if way == 2 { format!("{name}-{at}") } else { (*name).to_owned() };
        shows.push(shop.open_show_named(&format!("{owner}-{show}"), seats).await?);
    }
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    let before = shop.batches();
    let (asked, shows): (Shop, Arc<[Show]>) = (shop.clone(), shows.into());
    // Of shared shows each process takes every n-th seat, so that nobody is refused.
    let (offset, step) = if way == 2 { (0, 1) } else { (at, processes) };
    let most = SEATS.min(count * seats) / step;
    let hold = move |turn: usize| {
        let (shop, shows) = (asked.clone(), shows.clone());
        async move {
            let place = turn * step + offset;
            let show = &shows[place % shows.len()];
            shop.hold(show, place / shows.len()).await.map(drop)
        }
    };
    let rate = sell(callers.parse()?, most - 1, ROUND, hold).await?;
    let done = shop.batches().since(before);
    println!("sold {rate} {} {}", done.conflicts, done.turns);
    shop.stop().await;
    Ok(())
}
