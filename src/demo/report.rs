//! What the demo tells in the end: for people a table, for programs one JSON object.

use std::{collections::BTreeMap, fmt::Write as _, io::IsTerminal, time::Duration};

use comfy_table::{
    Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width, presets,
};
use hakken_domain::money::Currency;
use serde_json::json;

use super::{
    count::Recount,
    hall::Hall,
    ledger::{Kind, Latency, Told},
};
use crate::tools::projections::Outcome;

/// How wide the columns of the tables are.
const NAMES: u16 = 24;
const WORDS: u16 = 76;
const FEWEST_WORDS: u16 = 30;
const BORDERS: u16 = 3;

/// Everything that is told.
pub struct Summary {
    /// Numbered seats and pool places on sale.
    pub places: u64,
    /// Numbered seats alone.
    pub numbered: u64,
    /// What the hall is called.
    pub hall: String,
    /// How many bought at once.
    pub buyers: u16,
    /// Who wanted what.
    pub seed: u64,
    /// What the events say.
    pub recount: Recount,
    /// What people were told.
    pub told: Told,
    /// Events that an auditor heard over WebSocket while all of it happened.
    pub heard: u64,
    /// Every read model, rebuilt while sales went on.
    pub rebuilt: Vec<Outcome>,
    /// The same, verified in the end.
    pub verified: Vec<Outcome>,
    /// How long things took.
    pub took: Took,
    /// What did not hold.
    pub problems: Vec<String>,
}

/// How long each part took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    /// From the opening of sales until nothing was left.
    pub sale: Duration,
    /// From the opening of the gates until everybody had tried.
    pub gates: Duration,
    /// Rebuilding every read model while sales went on.
    pub rebuild: Duration,
    /// Verifying every read model in the end.
    pub verify: Duration,
    /// All of it.
    pub all: Duration,
}

fn per_second(number: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { number as f64 / seconds } else { 0.0 }
}

fn folded(outcomes: &[Outcome]) -> u64 {
    outcomes.iter().map(|outcome| outcome.folded).sum()
}

impl Summary {
    /// Every read model was what the events say, whenever it was compared.
    pub fn rebuilt_equal(&self) -> bool {
        self.rebuilt.iter().chain(&self.verified).all(|outcome| outcome.equal)
    }

    fn orders_sold(&self) -> u64 {
        self.recount.paid - self.recount.unfulfilled
    }

    fn rates(&self) -> [(&'static str, f64); 5] {
        let answers = |kind| self.told.latency(kind).answers;
        [
            ("holds", per_second(answers(Kind::Hold), self.took.sale)),
            ("orders", per_second(self.orders_sold(), self.took.sale)),
            ("scans", per_second(answers(Kind::Scan), self.took.gates)),
            ("rebuild_events", per_second(folded(&self.rebuilt), self.took.rebuild)),
            ("verify_events", per_second(folded(&self.verified), self.took.verify)),
        ]
    }

    /// One object for programs.
    pub fn json(&self) -> String {
        let (recount, told) = (&self.recount, &self.told);
        let rates = self.rates().map(|(name, rate)| (name, (rate * 10.0).round() / 10.0));
        let latencies = KINDS.map(|(name, kind)| {
            let Latency { answers, p50, p99 } = told.latency(kind);
            let millis = |time: Duration| (time.as_secs_f64() * 1e5).round() / 100.0;
            (name, json!({ "answers": answers, "p50": millis(p50), "p99": millis(p99) }))
        });
        let seconds = |time: Duration| (time.as_secs_f64() * 1e3).round() / 1e3;
        // A list of pairs keeps the order in which people read it.
        let fields = [
            ("ok", json!(self.problems.is_empty())),
            ("hall", json!(self.hall)),
            ("seats", json!(self.places)),
            ("sold", json!(recount.sold)),
            ("oversold", json!(recount.oversold)),
            ("issued", json!(recount.issued)),
            ("admitted", json!(recount.admitted)),
            ("refused", json!(recount.refused)),
            ("captured_minor", json!(recount.captured_minor)),
            ("refunded_minor", json!(recount.refunded_minor)),
            ("currency", json!("JPY")),
            ("rebuilt_equal", json!(self.rebuilt_equal())),
            ("rates", json!(BTreeMap::from(rates))),
            ("latencies_ms", json!(BTreeMap::from(latencies))),
            ("numbered_seats", json!(self.numbered)),
            ("reissued", json!(recount.reissued)),
            ("voided", json!(recount.voided)),
            ("refused_by_reason", json!(recount.refusals)),
            (
                "holds",
                json!({
                    "granted": recount.holds,
                    "refused_by_code": told.refusals,
                    "released": recount.released,
                    "expired": recount.expired,
                }),
            ),
            (
                "orders",
                json!({
                    "sold": self.orders_sold(),
                    "reseated": recount.reseated,
                    "refunded_late": recount.unfulfilled,
                }),
            ),
            ("events", json!(recount.events)),
            ("events_heard", json!(self.heard)),
            (
                "seconds",
                json!({
                    "sale": seconds(self.took.sale),
                    "gates": seconds(self.took.gates),
                    "rebuild": seconds(self.took.rebuild),
                    "all": seconds(self.took.all),
                }),
            ),
            ("buyers", json!(self.buyers)),
            ("seed", json!(self.seed)),
            ("problems", json!(self.problems)),
        ];
        let fields = fields.map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", fields.join(","))
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut page = Page(String::new());
        self.happened(&mut page);
        self.money(&mut page);
        self.speed(&mut page);
        self.proof(&mut page);
        page.0
    }

    fn happened(&self, page: &mut Page) {
        let (recount, told) = (&self.recount, &self.told);
        let mut rows = Rows::new();
        let sold = format!("{} of {} places", grouped(recount.sold), grouped(self.places));
        rows.good("sold 販売", &sold, recount.sold == self.places);
        rows.good("oversold", &grouped(recount.oversold), recount.oversold == 0);
        let requests = told.latency(Kind::Hold).answers;
        let refused: u64 = told.refusals.values().sum();
        rows.row(
            "holds 仮押さえ",
            &format!(
                "{} asked for, {} granted, {} given back, {} expired, {} sent twice and made once",
                grouped(requests),
                grouped(recount.holds),
                recount.released,
                recount.expired,
                told.counted("holds sent twice"),
            ),
        );
        rows.row("refused", &format!("{}: {}", grouped(refused), listed(&told.refusals)));
        rows.row(
            "orders 注文",
            &format!(
                "{} sold; {} paid in parts, {} with two cards",
                grouped(self.orders_sold()),
                told.counted("orders paid in parts"),
                told.counted("orders paid with two cards"),
            ),
        );
        rows.row(
            "paid too late",
            &format!(
                "{} re-seated, {} refunded by themselves",
                recount.reseated, recount.unfulfilled
            ),
        );
        rows.row(
            "tickets 発券",
            &format!(
                "{} issued and live, {} reissued, {} cancelled and sold again",
                grouped(recount.issued),
                recount.reissued,
                recount.voided
            ),
        );
        rows.good(
            "admitted 入場",
            &format!("{} at {} gates", grouped(recount.admitted), super::stage::GATES.len()),
            recount.admitted == recount.sold,
        );
        rows.row(
            "refused entry",
            &format!("{}: {}", grouped(recount.refused), listed(&recount.refusals)),
        );
        page.add("What happened", rows);
    }

    fn money(&self, page: &mut Page) {
        let yen = |minor| Currency::JPY.display(minor);
        let recount = &self.recount;
        let mut rows = Rows::new();
        rows.row("in", &yen(recount.captured_minor));
        rows.row("out", &yen(recount.refunded_minor));
        rows.row("kept", &yen(recount.captured_minor.saturating_sub(recount.refunded_minor)));
        page.add("Money", rows);
    }

    fn speed(&self, page: &mut Page) {
        let mut rows = Rows::new();
        let [holds, orders, scans, rebuild, verify] = self.rates().map(|(_, rate)| rate);
        let latency = |kind| {
            let Latency { p50, p99, .. } = self.told.latency(kind);
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            format!("half within {:.1} ms, 99% within {:.1} ms", millis(p50), millis(p99))
        };
        let line = |rate: f64, kind| format!("{rate:>7.0}/s   {}", latency(kind));
        rows.row("holds", &line(holds, Kind::Hold));
        rows.row("orders", &line(orders, Kind::Pay));
        rows.row("scans", &line(scans, Kind::Scan));
        rows.row(
            "rebuilding",
            &format!(
                "{rebuild:>7.0}/s   events, all {} read models at once, while sales went on",
                self.rebuilt.len()
            ),
        );
        rows.row("verifying", &format!("{verify:>7.0}/s   events, in the end"));
        let title = format!("How fast, with {} buyers at once and everything durable", self.buyers);
        page.add(&title, rows);
    }

    fn proof(&self, page: &mut Page) {
        let mut rows = Rows::new();
        let equal = |outcomes: &[Outcome]| {
            format!(
                "{} of {} read models equal to what was served",
                outcomes.iter().filter(|outcome| outcome.equal).count(),
                outcomes.len()
            )
        };
        let all = |outcomes: &[Outcome]| outcomes.iter().all(|outcome| outcome.equal);
        rows.good("rebuilt under load", &equal(&self.rebuilt), all(&self.rebuilt));
        rows.good("verified in the end", &equal(&self.verified), all(&self.verified));
        let events = grouped(self.recount.events);
        rows.good(
            "heard over WebSocket",
            &format!("{} of {events} events, each once and in order", grouped(self.heard)),
            self.heard == self.recount.events,
        );
        let held = self.problems.is_empty();
        let words = if held {
            format!("{events} events counted again: seats, tickets, scans and money agree")
        } else {
            format!("{} things do not hold", self.problems.len())
        };
        rows.good("recount", &words, held);
        for problem in self.problems.iter().take(12) {
            rows.good("", problem, false);
        }
        page.add("Does it hold?", rows);
    }
}

const KINDS: [(&str, Kind); 4] =
    [("hold", Kind::Hold), ("order", Kind::Order), ("pay", Kind::Pay), ("scan", Kind::Scan)];

/// Tables one below the other, each with a title.
struct Page(String);

impl Page {
    fn add(&mut self, title: &str, mut rows: Rows) {
        let fixed = |width| ColumnConstraint::Absolute(Width::Fixed(width));
        let room = rows.0.width().map_or(WORDS, |width| width.saturating_sub(NAMES + BORDERS));
        rows.0.set_constraints([fixed(NAMES), fixed(room.clamp(FEWEST_WORDS, WORDS))]);
        let bold = if console_colours() { ("\x1b[1;36m", "\x1b[0m") } else { ("", "") };
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "\n  {}{title}{}", bold.0, bold.1);
        let _ = writeln!(self.0, "{}", rows.0);
    }
}

/// Standard output shows colours.
pub fn console_colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

struct Rows(Table);

impl Rows {
    fn new() -> Self {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic);
        Self(table)
    }

    fn row(&mut self, name: &str, text: &str) {
        let name = Cell::new(name).set_alignment(CellAlignment::Right);
        self.0.add_row([name, Cell::new(text)]);
    }

    fn good(&mut self, name: &str, text: &str, good: bool) {
        let name = Cell::new(name).set_alignment(CellAlignment::Right);
        let (mark, colour) = if good { ("✓", Color::Green) } else { ("✗", Color::Red) };
        self.0.add_row([name, Cell::new(format!("{mark} {text}")).fg(colour)]);
    }
}

/// Words with their numbers, the most frequent first.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(word, count)| (std::cmp::Reverse(**count), word.as_str()));
    let mut text = String::new();
    for (word, count) in sorted {
        let comma = if text.is_empty() { "" } else { ", " };
        let words = word.to_lowercase().replace('_', " ");
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{} {words}", grouped(*count));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

/// 1,926.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The hall in the terminal: the warmer a seat, the earlier it was sold.
pub fn picture(hall: &Hall, sold: &[usize]) -> String {
    const WIDTH: usize = 76;
    const HEIGHT: usize = 40;
    const COLOURS: [u8; 8] = [196, 202, 208, 214, 184, 114, 74, 62];
    let seats: Vec<_> = hall.map.seats().map(|seat| seat.at).collect();
    let bounds = |values: &mut dyn Iterator<Item = i32>| {
        values.fold((i32::MAX, i32::MIN), |(low, high), v| (low.min(v), high.max(v)))
    };
    let x = bounds(&mut seats.iter().map(|at| at.x));
    let y = bounds(&mut seats.iter().map(|at| at.y));
    let place = |value: i32, (low, high): (i32, i32), cells: usize| {
        let span = (i64::from(high) - i64::from(low)).max(1);
        let offset = i64::from(value) - i64::from(low);
        usize::try_from(offset * (cells as i64 - 1) / span).unwrap_or(0)
    };
    let mut cells = vec![[None::<u8>; WIDTH]; HEIGHT];
    for (rank, &seat) in sold.iter().enumerate() {
        let Some(at) = seats.get(seat) else { continue };
        let colour = COLOURS[rank * COLOURS.len() / sold.len().max(1)];
        cells[place(at.y, y, HEIGHT)][place(at.x, x, WIDTH)] = Some(colour);
    }
    let mut text = String::new();
    for pair in cells.chunks(2) {
        text.push_str("  ");
        for (upper, lower) in pair[0].iter().zip(&pair[1]) {
            // Writing to a string cannot fail.
            let _ = match (upper, lower) {
                (None, None) => write!(text, " "),
                (Some(up), None) => write!(text, "\x1b[38;5;{up}m▀\x1b[0m"),
                (None, Some(low)) => write!(text, "\x1b[38;5;{low}m▄\x1b[0m"),
                (Some(up), Some(low)) => {
                    write!(text, "\x1b[38;5;{up};48;5;{low}m▀\x1b[0m")
                }
            };
        }
        text.push('\n');
    }
    let legend: Vec<String> = COLOURS.iter().map(|c| format!("\x1b[38;5;{c}m■\x1b[0m")).collect();
    let _ = writeln!(text, "  sold first {} sold last", legend.concat());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_as_people_read_them() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"].map(ToOwned::to_owned),
            [0, 999, 1_000, 1_234_567].map(grouped)
        );
    }

    #[test]
    fn a_picture_has_a_line_for_every_two_rows_of_cells() {
        let hall = Hall::open(None).unwrap();
        let all: Vec<usize> = (0..hall.seats.len()).collect();
        assert_eq!(picture(&hall, &all).lines().count(), 21);
    }
}
