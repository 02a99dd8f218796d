//! A picture of a hall, coloured by what can be had. Compact: the seats of one colour are one path
//! of round dots, so that a hall of 2,000 seats is about 30 kB.

use std::fmt::Write;

use hakken_domain::{
    names::SeatId,
    seatmap::{Point, Row, Seat, SeatMap, Section},
};

/// What is known about a seat. Wheelchair places are squares, whatever their colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeatColour {
    /// Can be had.
    Free,
    /// Set aside until a time.
    Held,
    /// Gone.
    Sold,
    /// Not for sale.
    Blocked,
}

impl SeatColour {
    /// All, in the order of the legend.
    pub const ALL: [Self; 4] = [Self::Free, Self::Held, Self::Sold, Self::Blocked];

    /// Told apart by people who see no red or no green, too.
    fn css(self) -> &'static str {
        match self {
            Self::Free => "#2a9d8f",
            Self::Held => "#f4a300",
            Self::Sold => "#8d99ae",
            Self::Blocked => "#3d405b",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Free => "空席 free",
            Self::Held => "仮押さえ held",
            Self::Sold => "販売済 sold",
            Self::Blocked => "販売停止 blocked",
        }
    }
}

/// Widths and heights of the picture, in its own unit.
const WIDTH: f64 = 1_000.0;
const MARGIN: f64 = 40.0;
const LEGEND: f64 = 70.0;
/// Fonts with Japanese letters, as systems call them.
const FONT: &str = r#"font-size="14" font-family="'Hiragino Sans','Noto Sans CJK JP',sans-serif""#;
/// Text that can be read on top of seats.
const ON_SEATS: &str =
    r##"text-anchor="middle" stroke="#fff" stroke-width="4" paint-order="stroke""##;

/// Draws the map; `status` says the colour of each seat.
pub fn render(map: &SeatMap, status: impl Fn(&SeatId) -> SeatColour) -> String {
    let scale = Scale::of(map);
    let mut out = String::with_capacity(4_096 + map.seats().count() * 16);
    let (width, height) = (WIDTH, scale.height + LEGEND);
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" "##
    );
    let _ = write!(out, r##"width="{width}" height="{height:.0}" fill="#22223b" {FONT}>"##);
    let name = escaped(map.name.as_str());
    let _ = write!(out, r##"<title>{name}</title><rect width="100%" height="100%" fill="#fff"/>"##);
    dots(&mut out, map, &scale, status);
    for section in &map.sections {
        label(&mut out, section, map.focus, &scale);
    }
    stage(&mut out, &scale, map.focus);
    legend(&mut out, map, scale.height);
    out.push_str("</svg>\n");
    out
}

/// From hundredths of the map's unit to the picture.
struct Scale {
    left: f64,
    top: f64,
    factor: f64,
    height: f64,
    /// The diameter of a seat.
    seat: f64,
}

impl Scale {
    fn of(map: &SeatMap) -> Self {
        let points = || map.seats().map(|seat| seat.at).chain([map.focus]);
        let x = bounds(points().map(|at| at.x));
        let y = bounds(points().map(|at| at.y));
        let factor = (WIDTH - 2.0 * MARGIN) / (x.1 - x.0).max((y.1 - y.0) * 0.7).max(1.0);
        let spare = WIDTH - (x.1 - x.0) * factor;
        Self {
            left: spare / 2.0 - x.0 * factor,
            top: MARGIN + 30.0 - y.0 * factor,
            factor,
            height: (y.1 - y.0) * factor + 2.0 * MARGIN + 40.0,
            seat: (usual_step(map) * factor * 0.78).clamp(1.5, 18.0),
        }
    }

    fn at(&self, point: Point) -> (f64, f64) {
        (f64::from(point.x) * self.factor + self.left, f64::from(point.y) * self.factor + self.top)
    }
}

fn bounds(values: impl Iterator<Item = i32>) -> (f64, f64) {
    values.map(f64::from).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The median distance from a seat to the next one of its row.
fn usual_step(map: &SeatMap) -> f64 {
    let rows = map.sections.iter().flat_map(|section| &section.rows);
    let mut steps: Vec<f64> = rows
        .flat_map(|row| row.seats.windows(2))
        .map(|pair| {
            let x = f64::from(pair[1].at.x) - f64::from(pair[0].at.x);
            let y = f64::from(pair[1].at.y) - f64::from(pair[0].at.y);
            (x * x + y * y).sqrt()
        })
        .collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len() / 2).copied().unwrap_or(1_000.0)
}

/// One path for each colour and shape: `h0` draws a dot as wide as the stroke.
fn dots(out: &mut String, map: &SeatMap, scale: &Scale, status: impl Fn(&SeatId) -> SeatColour) {
    let mut paths = [const { String::new() }; 8];
    for seat in map.seats() {
        let (x, y) = scale.at(seat.at);
        let path = &mut paths[status(&seat.id) as usize * 2 + usize::from(seat.wheelchair)];
        let _ = write!(path, "M{x:.1} {y:.1}h0");
    }
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let colour = SeatColour::ALL[index / 2].css();
        let cap = if index % 2 == 1 { "square" } else { "round" };
        let width = if index % 2 == 1 { scale.seat * 0.9 } else { scale.seat };
        let stroke = format!(r#"stroke="{colour}" stroke-width="{width:.1}""#);
        let _ = write!(out, r#"<path d="{path}" {stroke} stroke-linecap="{cap}"/>"#);
    }
}

/// The section's name behind its last row, as seen from the focus; above the left part of a
/// section that has no seats in the middle, such as boxes along the walls.
fn label(out: &mut String, section: &Section, focus: Point, scale: &Scale) {
    let seats: Vec<&Seat> = section.rows.iter().flat_map(|row: &Row| &row.seats).collect();
    if seats.is_empty() {
        return;
    }
    let x = bounds(seats.iter().map(|s| s.at.x));
    let (middle, width) = (x.0.midpoint(x.1), x.1 - x.0);
    let within = |low: f64, high: f64| {
        let part = |s: &&&Seat| (low..=high).contains(&f64::from(s.at.x));
        bounds(seats.iter().filter(part).map(|s| s.at.y))
    };
    let centre = within(middle - width * 0.1, middle + width * 0.1);
    let below = centre.0.midpoint(centre.1) >= f64::from(focus.y);
    let (edge_x, edge_y, below) = if !centre.0.is_finite() {
        (x.0 + width * 0.08, within(x.0, middle).0, false)
    } else if below {
        (middle, centre.1, true)
    } else {
        (middle, centre.0, false)
    };
    let offset = if below { scale.seat * 0.5 + 15.0 } else { -scale.seat * 0.5 - 8.0 };
    let at_x = (edge_x * scale.factor + scale.left).max(MARGIN * 2.0);
    let at_y = edge_y * scale.factor + scale.top + offset;
    let name = escaped(section.name.as_str());
    let _ = write!(out, r#"<text x="{at_x:.0}" y="{at_y:.0}" {ON_SEATS}>{name}</text>"#);
}

/// Just above the focus, so that a first row on its line stays in sight.
fn stage(out: &mut String, scale: &Scale, focus: Point) {
    let (x, y) = scale.at(focus);
    let y = y - scale.seat * 0.5 - 6.0;
    let (left, top, base) = (x - 110.0, y - 28.0, y - 9.0);
    let rect = r##"width="220" height="28" rx="6" fill="#22223b""##;
    let _ = write!(out, r#"<rect x="{left:.0}" y="{top:.0}" {rect}/>"#);
    let text = r##"text-anchor="middle" fill="#fff""##;
    let _ = write!(out, r#"<text x="{x:.0}" y="{base:.0}" {text}>舞台 STAGE</text>"#);
}

fn legend(out: &mut String, map: &SeatMap, top: f64) {
    let y = top + 12.0;
    let mut entry = |index: usize, cap: &str, colour: &str, words: &str| {
        let x = MARGIN + 10.0 + index as f64 * 180.0;
        let (text_x, text_y) = (x + 14.0, y + 5.0);
        let stroke = format!(r#"stroke="{colour}" stroke-width="13" stroke-linecap="{cap}""#);
        let _ = write!(out, r#"<path d="M{x:.0} {y:.0}h0" {stroke}/>"#);
        let _ = write!(out, r#"<text x="{text_x:.0}" y="{text_y:.0}">{words}</text>"#);
    };
    for (index, colour) in SeatColour::ALL.into_iter().enumerate() {
        entry(index, "round", colour.css(), colour.words());
    }
    if map.seats().any(|seat| seat.wheelchair) {
        entry(4, "square", SeatColour::Free.css(), "車椅子席 wheelchair");
    }
    let pools: Vec<String> = map
        .pools
        .iter()
        .take(6)
        .map(|pool| format!("{} {}", escaped(pool.id.as_str()), pool.capacity))
        .collect();
    let mut line = format!("{} · {} 席 seats", escaped(map.name.as_str()), map.seats().count());
    if !pools.is_empty() {
        let more = if map.pools.len() > pools.len() { " …" } else { "" };
        let _ = write!(line, " · 定員枠 pools: {}{more}", pools.join(", "));
    }
    let _ = write!(out, r#"<text x="{MARGIN}" y="{:.0}">{line}</text>"#, y + 36.0);
}

/// Text that stands in XML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // Names have no control characters; XML has no noncharacters either.
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}
