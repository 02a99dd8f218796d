//! What a benchmark leaves: a table with a guide how to read it, and a plot.
//!
//! Plots are SVG files in `target/bench/`, so that nothing but figures is printed.

use std::{fs, ops::Range, path::PathBuf};

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, Table as Cells, presets};
use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color, DrawingArea, IntoDrawingArea, IntoLogRange, LineSeries,
    PathElement, RGBColor, SVGBackend, WHITE,
};

/// Where plots and the data directories of benchmarks lie: beside the build, so that it is the
/// same disk as in ordinary use and never a memory disk.
pub fn bench_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("a program has a path")?;
    let target = exe.ancestors().nth(3).context("a benchmark lies in target/release/deps")?;
    let dir = target.join("bench");
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}

/// A table of figures: a title, a guide, columns, and rows.
pub struct Table {
    title: String,
    guide: &'static str,
    cells: Cells,
}

impl Table {
    /// `guide` says in a few sentences what the columns mean and which of them matter.
    pub fn new(title: impl Into<String>, guide: &'static str, columns: &[&str]) -> Self {
        let mut cells = Cells::new();
        cells.load_style(presets::ASCII_BORDERS_ONLY_CONDENSED).set_header(columns);
        for column in cells.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self { title: title.into(), guide, cells }
    }

    /// One cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.cells.add_row(cells.map(Cell::new));
    }

    /// Prints it.
    pub fn print(&self) {
        println!("\n{}\n{}\n{}", self.title, self.cells, self.guide);
    }
}

/// A share of a limit: `36 %`.
pub fn percent(part: f64, whole: f64) -> String {
    format!("{:.0} %", 100.0 * part / whole)
}

/// Lines over a logarithmic axis: how figures grow.
pub struct Plot {
    title: String,
    across: &'static str,
    up: &'static str,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Told apart also by those who see no red or green (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

impl Plot {
    /// `across` and `up` name the axes, with their units.
    pub fn new(title: impl Into<String>, across: &'static str, up: &'static str) -> Self {
        Self { title: title.into(), across, up, lines: Vec::new() }
    }

    /// Adds a line through these points.
    pub fn line(&mut self, name: impl Into<String>, points: Vec<(f64, f64)>) {
        self.lines.push((name.into(), points));
    }

    /// Writes `<name>.svg` with both axes logarithmic, and says where.
    pub fn write_log(&self, name: &str) -> Result<()> {
        let path = bench_dir()?.join(format!("{name}.svg"));
        {
            let area = SVGBackend::new(&path, (900, 540)).into_drawing_area();
            self.draw(&area).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        }
        println!("plot: {}", path.display());
        Ok(())
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<()> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let x = span(points().map(|point| point.0));
        let y = span(points().map(|point| point.1));
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 22))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(x.log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.across)
            .y_desc(self.up)
            .x_label_formatter(&|value| crate::thousands(*value))
            .y_label_formatter(&|value| crate::thousands(*value))
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], *colour));
            chart
                .draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()?;
        area.present()?;
        Ok(())
    }
}

/// From somewhat below the smallest to somewhat above the largest, so that no point lies on the
/// frame.
fn span(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) =
        values.fold((f64::MAX, f64::MIN_POSITIVE), |(a, b), v| (v.min(a), v.max(b)));
    least * 0.8..most * 1.25
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_a_picture_with_its_lines_named() {
        let mut plot = Plot::new("growth", "events", "per second");
        plot.line("holds", vec![(1e5, 90_000.0), (1e6, 95_000.0)]);
        plot.line("rebuild", vec![(1e5, 1e6), (1e6, 1.1e6)]);
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (900, 540)).into_drawing_area();
        plot.draw(&area).unwrap();
        drop(area);
        assert!(svg.contains("holds") && svg.contains("rebuild") && svg.ends_with("</svg>\n"));
    }
}
