//! How long a server takes to serve again after it was killed, and how much memory it has then.
//!
//! `cargo bench -p hakken-benches --bench startup` takes 100,000 and 1,000,000 events; `--
//! 10000000` as many as are named (ten million take some minutes to be made).

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use hakken_adapters::{data_dir::DataDir, system::EngineSecret};
use hakken_benches::{
    history::history,
    http::Program,
    median, memory,
    report::{Plot, Table, bench_dir},
    thousands,
};

const STARTS: usize = 3;
const LONGEST: Duration = Duration::from_secs(3_600);

const GUIDE: &str = "\
first: seconds from nothing but events to ready, all read models made.
again: seconds from starting the killed server to ready (median of 3); open: to taking connections.
memory, most: megabytes resident when it is ready again, and the most that was so until then.";

fn main() -> Result<()> {
    let given: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let sizes = if given.is_empty() { vec![100_000, 1_000_000] } else { given };
    let program = Program::build()?;
    let columns = ["events", "first", "open", "again", "memory", "most"];
    let mut table = Table::new("starting again after kill -9", GUIDE, &columns);
    let mut line = Vec::new();
    for events in sizes {
        let dir = tempfile::Builder::new().prefix("startup-").tempdir_in(bench_dir()?)?;
        let data = DataDir::at(dir.path().join("data"));
        data.create()?;
        // Before the events: a server does not serve events whose secret is lost.
        EngineSecret::open(&data)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let made = runtime.block_on(history(&data, events))?;
        drop(runtime);
        let first = start(&program, dir.path())?;
        let starts: Vec<Start> =
            (0..STARTS).map(|_| start(&program, dir.path())).collect::<Result<_>>()?;
        let middle = |of: fn(&Start) -> f64| median(starts.iter().map(of).collect());
        let again = middle(|start| start.ready);
        line.push((made as f64, again));
        table.row([
            thousands(made as f64),
            format!("{:.1}", first.ready),
            format!("{:.2}", middle(|start| start.open)),
            format!("{again:.2}"),
            format!("{:.0}", middle(|start| start.memory)),
            format!("{:.0}", middle(|start| start.most)),
        ]);
    }
    table.print();
    let mut plot = Plot::new("starting again", "events", "seconds");
    plot.line("ready", line);
    plot.write_log("startup")
}

/// One start.
struct Start {
    open: f64,
    ready: f64,
    memory: f64,
    most: f64,
}

/// Starts the server, waits until it is ready, and kills it.
fn start(program: &Path, dir: &Path) -> Result<Start> {
    let began = Instant::now();
    let server = Program::serve(program, dir)?;
    let open = began.elapsed().as_secs_f64();
    while !is_ready(server.address) {
        if began.elapsed() > LONGEST {
            bail!("it is not ready after {} s: look into its log", LONGEST.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(Start {
        open,
        ready: began.elapsed().as_secs_f64(),
        memory: megabytes(memory::resident_bytes_of(server.id())?),
        most: megabytes(memory::peak_bytes_of(server.id())?),
    })
}

fn is_ready(server: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}
