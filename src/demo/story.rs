//! What is seen while the demo runs.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Tells it, or keeps quiet.
#[derive(Clone, Copy)]
pub struct Story {
    /// Nothing but one JSON object is wanted.
    pub quiet: bool,
}

impl Story {
    /// Colours and pictures can be seen.
    pub fn is_colourful(self) -> bool {
        !self.quiet && super::report::console_colours()
    }

    /// A line that stays.
    pub fn line(self, text: &str) {
        if !self.quiet {
            crate::tools::print_line(text);
        }
    }

    /// Begins a part: a bar on a terminal, a line elsewhere.
    pub fn part(self, name: &'static str, length: u64) -> ProgressBar {
        let style = ProgressStyle::with_template(
            "  {spinner:.cyan} {prefix:<22} {bar:32.cyan/black} {pos:>6}/{len} {msg}",
        )
        .expect("a good template");
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        if self.quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_style(style);
        bar.set_prefix(name);
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// Ends a part with what it brought.
    pub fn done(self, bar: &ProgressBar, text: &str) {
        bar.finish_and_clear();
        self.line(&format!("  ✓ {text}"));
    }
}
