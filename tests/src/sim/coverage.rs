//! What really occurred: a generator that never meets a case proves nothing.

use std::collections::BTreeMap;

/// How often what occurred.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// It occurred.
    pub fn saw(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// How often it occurred.
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds what occurred elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }

    /// What of this never occurred.
    pub fn missing<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        wanted.iter().filter(|what| self.count(what) == 0).copied().collect()
    }
}

impl std::fmt::Display for Coverage {
    /// One line for each sort: `refusal  seat_taken 12, hold_over 3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sorts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (what, count) in &self.0 {
            let (sort, name) = what.split_once(' ').unwrap_or(("other", what));
            sorts.entry(sort).or_default().push(format!("{name} {count}"));
        }
        for (sort, names) in sorts {
            writeln!(f, "  {sort:<9} {}", names.join(", "))?;
        }
        Ok(())
    }
}
