//! How much memory and processor time a process takes, as Linux counts it.

use anyhow::{Context, Result};

/// The most that was resident of this process so far.
pub fn peak_bytes() -> Result<u64> {
    peak_bytes_of(std::process::id())
}

/// What is resident of this process now.
pub fn resident_bytes() -> Result<u64> {
    resident_bytes_of(std::process::id())
}

/// The most that was resident of a process so far.
pub fn peak_bytes_of(process: u32) -> Result<u64> {
    status(process, "VmHWM:")
}

/// What is resident of a process now.
pub fn resident_bytes_of(process: u32) -> Result<u64> {
    status(process, "VmRSS:")
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

/// What the machine has.
pub fn machine_bytes() -> Result<u64> {
    line("/proc/meminfo", "MemTotal:")
}

fn status(process: u32, name: &str) -> Result<u64> {
    line(&format!("/proc/{process}/status"), name)
}

fn line(file: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(file).context("Linux alone has this file")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    let kilobytes = line.split_whitespace().next().context("no number")?;
    Ok(kilobytes.parse::<u64>()? * 1_024)
}
