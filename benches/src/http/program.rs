//! The processes that are measured: the program itself, as it is shipped, and a bare route that
//! shows what HTTP costs by itself.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// Clock ticks a second, in which Linux counts processor time.
const TICKS: f64 = 100.0;

/// The program, serving a data directory.
pub struct Program {
    /// Where it listens.
    pub address: SocketAddr,
    /// The first operator's key of a new store.
    pub key: Option<String>,
    child: Child,
}

impl Program {
    /// Builds the program as it is shipped, so that figures are never those of an old one.
    /// `HAKKEN_PROGRAM` names another one, to compare with.
    pub fn build() -> Result<PathBuf> {
        if let Some(program) = std::env::var_os("HAKKEN_PROGRAM") {
            return Ok(program.into());
        }
        let cargo = std::env::var_os("CARGO").context("start this with cargo bench")?;
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
        let built = Command::new(cargo)
            .args(["build", "--release", "--quiet", "--bin", "hakken", "--manifest-path"])
            .arg(manifest)
            .status()?;
        if !built.success() {
            bail!("the program cannot be built");
        }
        let exe = std::env::current_exe()?;
        Ok(exe.ancestors().nth(2).context("target/release")?.join("hakken"))
    }

    /// Starts it. Its log goes to a file in `dir`, as a supervisor would have it.
    pub fn serve(program: &Path, dir: &Path) -> Result<Self> {
        let is_new = !dir.join("data").exists();
        let log = fs::File::options().create(true).append(true).open(dir.join("log"))?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(dir.join("data"));
        Self::start(command.stderr(log), is_new)
    }

    /// Starts this very program again with this variable set: it says what `hakken serve` says on
    /// a new store, and serves.
    pub fn again(variable: &str, value: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(command.env(variable, value), true)
    }

    fn start(command: &mut Command, is_new: bool) -> Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| command.get_program().display().to_string())?;
        let out = child.stdout.take().context("its output is piped")?;
        let (mut address, mut key) = (None, None);
        let last = if is_new { "hk_" } else { "GraphiQL" };
        for line in BufReader::new(out).lines() {
            let line = line?;
            let word = line.trim();
            if let Some(url) = word.strip_prefix("Hakken serves http://") {
                address = Some(url.trim_end_matches("/graphql").parse()?);
            }
            if word.starts_with("hk_") {
                key = Some(word.to_owned());
            }
            if word.starts_with(last) {
                break;
            }
        }
        let address = address.context("the program did not start: look into its log")?;
        Ok(Self { address, key, child })
    }

    /// Processor seconds that it has used.
    pub fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }

    /// Its process id, for a profiler.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A bare route.
pub struct Plain {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

/// Tells this program that it is to serve the bare route.
const PLAIN: &str = "HAKKEN_BENCH_PLAIN";

impl Plain {
    /// Starts this very program again, which calls [`Plain::serve_if_asked`] first of all.
    pub fn start() -> Result<Self> {
        let exe = std::env::current_exe()?;
        let mut child = Command::new(exe).env(PLAIN, "1").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        Ok(Self { address: line.trim().parse()?, child })
    }

    /// Serves the bare route and never returns, if this is the program that was started for it.
    pub fn serve_if_asked() -> Result<()> {
        if std::env::var_os(PLAIN).is_none() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            println!("{}", listener.local_addr()?);
            let hello = axum::routing::post(async || "{\"data\":{\"hello\":\"world\"}}");
            axum::serve(listener, axum::Router::new().route("/graphql", hello)).await?;
            Ok(())
        })
    }

    /// Processor seconds that it has used.
    pub fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Processor seconds that this process has used.
pub fn cpu_of_self() -> f64 {
    cpu_of("self")
}

/// Of a process with all its threads; 0 if it is gone.
fn cpu_of(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is a name in brackets, in which anything may stand.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let field = |at: usize| behind.split_whitespace().nth(at)?.parse::<f64>().ok();
    (field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)) / TICKS
}

fn end(child: &mut Child) {
    // What cannot be ended has ended already.
    let _ = child.kill();
    let _ = child.wait();
    std::thread::sleep(Duration::from_millis(50));
}
