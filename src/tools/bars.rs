//! Progress bars of long work, with the time left as it was measured so far.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Recorded events.
    Events,
    /// Bytes of files.
    Bytes,
}

/// A bar on standard error, which is shown only where that is a terminal, and not if `quiet`.
pub fn bar(words: &'static str, unit: Unit, total: u64, quiet: bool) -> ProgressBar {
    let template = match unit {
        Unit::Events => "{prefix:<24} {bar:30} {pos}/{len} events, {per_sec}, {eta} left",
        Unit::Bytes => "{prefix:<24} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
    };
    let style = ProgressStyle::with_template(template).expect("a good template");
    let bar = ProgressBar::new(total).with_style(style).with_prefix(words);
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}
