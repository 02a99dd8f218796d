//! What really occurred, and what met: a generator that never meets a case proves nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

type Pairs = BTreeMap<(String, String), u64>;

/// How often what occurred.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
    /// An operation or a refusal, and what went wrong meanwhile.
    met: Pairs,
    /// Two operations at once on one stream, or on an order and its tickets.
    together: Pairs,
}

impl Coverage {
    /// It occurred.
    pub fn saw(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// It occurred so often.
    pub fn saw_times(&mut self, what: impl Into<String>, times: u64) {
        if times > 0 {
            *self.counts.entry(what.into()).or_default() += times;
        }
    }

    /// An operation was under way, or a refusal given, when this went wrong.
    pub fn met(&mut self, what: &str, fault: &str) {
        *self.met.entry((what.to_owned(), fault.to_owned())).or_default() += 1;
    }

    /// Two operations were under way at once on one stream.
    pub fn together(&mut self, one: &str, other: &str) {
        let (one, other) = if one <= other { (one, other) } else { (other, one) };
        *self.together.entry((one.to_owned(), other.to_owned())).or_default() += 1;
    }

    /// How often it occurred.
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Adds what occurred elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
        let pairs = [(&mut self.met, &other.met), (&mut self.together, &other.together)];
        for (mine, others) in pairs {
            for (pair, count) in others {
                *mine.entry(pair.clone()).or_default() += count;
            }
        }
    }

    /// What of this has occurred here and not in `before`.
    pub fn since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a str> {
        let new = |(what, count): &(&String, &u64)| before.count(what) < **count;
        self.counts.iter().filter(new).map(|(what, _)| what.as_str())
    }

    /// What of this never occurred.
    pub fn missing<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        wanted.iter().filter(|what| self.count(what) == 0).copied().collect()
    }

    /// Which of these never met: `pay × crash` or `cancel + scan`.
    pub fn missing_pairs<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        let missing = |pair: &&&str| {
            let in_pairs = |pairs: &Pairs, sign: &str| {
                let (one, other) = pair.split_once(sign)?;
                Some(pairs.contains_key(&(one.to_owned(), other.to_owned())))
            };
            !in_pairs(&self.met, " × ").or(in_pairs(&self.together, " + ")).unwrap_or(false)
        };
        wanted.iter().filter(missing).copied().collect()
    }

    /// Operations against what went wrong meanwhile, what was at once with what, and the refusals
    /// that nothing of the kind ever met.
    pub fn matrix(&self) -> String {
        let is_refusal = |what: &&String| what.starts_with("refusal ");
        let all: BTreeSet<&String> = self.met.keys().map(|(what, _)| what).collect();
        let columns: BTreeSet<&String> = self.met.keys().map(|(_, fault)| fault).collect();
        let (refusals, operations): (Vec<_>, Vec<_>) = all.into_iter().partition(is_refusal);
        let count = |row: &String, column: &String| {
            self.met.get(&(row.clone(), column.clone())).copied().unwrap_or(0)
        };
        let mut text = String::new();
        for (number, column) in (1..).zip(&columns) {
            let _ = writeln!(text, "  {number:>2} {column}");
        }
        let _ = write!(text, "  {:<24}", "");
        for number in 1..=columns.len() {
            let _ = write!(text, "{number:>5}");
        }
        let mut never = Vec::new();
        for row in operations {
            let _ = write!(text, "\n  {row:<24}");
            for column in &columns {
                match count(row, column) {
                    0 => {
                        let _ = write!(text, "{:>5}", "-");
                        never.push(format!("{row} × {column}"));
                    }
                    count => {
                        let _ = write!(text, "{count:>5}");
                    }
                }
            }
        }
        let list = |names: Vec<String>| match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        let _ = writeln!(text, "\n  never met: {}", list(never));
        for column in &columns {
            let none = refusals.iter().filter(|refusal| count(refusal, column) == 0);
            let none: Vec<_> = none.map(|refusal| refusal[8..].to_owned()).collect();
            let (without, all) = (none.len(), refusals.len());
            let _ = writeln!(text, "  {without} of {all} refusals never with {column}");
        }
        let pairs = self.together.iter().map(|((one, other), n)| format!("{one} + {other} {n}"));
        let _ = writeln!(text, "  at once: {}", list(pairs.collect()));
        text
    }
}

impl std::fmt::Display for Coverage {
    /// One line for each sort: `refusal  seat_taken 12, hold_over 3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sorts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (what, count) in &self.counts {
            let (sort, name) = what.split_once(' ').unwrap_or(("other", what));
            sorts.entry(sort).or_default().push(format!("{name} {count}"));
        }
        for (sort, names) in sorts {
            writeln!(f, "  {sort:<9} {}", names.join(", "))?;
        }
        Ok(())
    }
}
