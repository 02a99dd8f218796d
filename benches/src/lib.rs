//! What the benchmarks share: a raw log as the limit, medians, and how figures are shown.

pub mod halls;
pub mod history;
pub mod http;
pub mod memory;
// The same server as the tests have; their crate would bring the whole engine along.
pub mod peers;
#[path = "../../tests/src/postgres.rs"]
pub mod postgres;
pub mod rawlog;
pub mod report;
pub mod shop;

/// The middle of several measurements.
pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value that a share of the values (0.5, 0.99) does not exceed.
pub fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// Thousands with a separator: `123,456`.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
