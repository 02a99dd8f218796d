//! The `hakken` program: wires the adapters to the engine, serves it, shows it, and looks after
//! its data.

mod cli;
mod client;
mod connections;
mod demo;
mod documents;
mod logging;
mod node;
mod open_files;
mod recovery;
mod serve;
mod store;
mod telemetry;
mod tools;
mod wiring;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;

use crate::cli::{Cli, Command, LogFormat};

/// Many small things are made and dropped at once on every core: this one is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What still runs when the command has ended is waited for no longer than this.
const LAST_CALL: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    open_files::allow();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("no threads can be had")),
    };
    let outcome = runtime.block_on(run(cli.command));
    runtime.shutdown_timeout(LAST_CALL);
    outcome.unwrap_or_else(|error| failed(&error))
}

async fn run(command: Command) -> Result<ExitCode> {
    let (format, level) = match &command {
        Command::Serve(options) => (options.log, "info"),
        // Its bars and tables say what there is to say.
        Command::Demo(_) => (LogFormat::Text, "error"),
        _ => (LogFormat::Text, "warn"),
    };
    logging::start(format, level).context("RUST_LOG cannot be read")?;
    let verdict = |good| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match command {
        Command::Serve(options) => return serve::run(options).await,
        Command::Demo(options) => return demo::run(options).await,
        Command::Import(options) => tools::import::run(options).await?,
        Command::Schema => tools::print_text(&hakken_api::sdl()),
        Command::Keys(command) => tools::keys::run(command).await?,
        Command::Events(options) => tools::events::run(options).await?,
        Command::Export(options) => tools::export::run(options).await?,
        Command::Replay(options) => tools::replay::run(options).await?,
        Command::Copy(options) => tools::copy::run(options).await?,
        Command::Doctor(options) => return Ok(tools::doctor::run(options).await),
        Command::Rebuild(options) => {
            tools::projections::rebuild(options).await?;
        }
        Command::Verify(options) => {
            return tools::projections::verify(options).await.map(verdict);
        }
        Command::Projections(options) => {
            return tools::read_models::run(options).await.map(verdict);
        }
        Command::Skip(options) => tools::skip::run(options).await?,
        Command::Backup(options) => tools::backup::run(options).await?,
        Command::VerifyBackup(options) => return tools::backup::verify(options).await.map(verdict),
        Command::Restore(options) => tools::restore::run(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what went wrong, in one line: each cause that the one before it does not tell already.
fn failed(error: &anyhow::Error) -> ExitCode {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    // If nobody can be told, the exit code says as much.
    let _ = writeln!(io::stderr(), "hakken: {text}");
    ExitCode::FAILURE
}
