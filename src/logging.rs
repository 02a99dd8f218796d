//! The log, on standard error. `RUST_LOG` says how much of it.

use std::io::{self, IsTerminal};

use anyhow::Result;
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

use crate::cli::LogFormat;

/// Begins to write it; `level` counts where `RUST_LOG` says nothing.
pub fn start(format: LogFormat, level: &str) -> Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(wanted) if !wanted.is_empty() => EnvFilter::try_new(wanted)?,
        _ => EnvFilter::new(level),
    };
    // A log that cannot be written, as on a full disk, is no reason to stop: to complain about it,
    // on standard error again, would be a panic.
    let log = fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).finish().try_init()?,
        LogFormat::Json => log.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
