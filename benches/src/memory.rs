//! How much memory this process takes, as Linux counts it.

use anyhow::{Context, Result};

/// The most that was resident so far.
pub fn peak_bytes() -> Result<u64> {
    status("VmHWM:")
}

/// What is resident now.
pub fn resident_bytes() -> Result<u64> {
    status("VmRSS:")
}

fn status(name: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status").context("Linux alone has this file")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    let kilobytes = line.split_whitespace().next().context("no number")?;
    Ok(kilobytes.parse::<u64>()? * 1_024)
}
