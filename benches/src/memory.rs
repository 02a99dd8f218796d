//! How much memory and processor time this process takes, as Linux counts it.

use anyhow::{Context, Result};

/// The most that was resident so far.
pub fn peak_bytes() -> Result<u64> {
    status("VmHWM:")
}

/// What is resident now.
pub fn resident_bytes() -> Result<u64> {
    status("VmRSS:")
}

/// Seconds of all processors together, in the program and in the kernel for it. Linux counts them
/// in hundredths.
pub fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").context("Linux alone has this file")?;
    // The name of the program stands in brackets and may have spaces.
    let (_, fields) = text.rsplit_once(')').context("no name")?;
    let ticks = |at| -> Result<f64> {
        Ok(fields.split_whitespace().nth(at).context("no such field")?.parse::<f64>()?)
    };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn status(name: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status").context("Linux alone has this file")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    let kilobytes = line.split_whitespace().next().context("no number")?;
    Ok(kilobytes.parse::<u64>()? * 1_024)
}
