//! What a check finds, and how it is told.

use serde_json::{Value, json};

/// How bad it is; the worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Facts are lost, changed or wrong.
    Broken,
    /// Somebody should do something; no fact is lost.
    Attention,
    /// Worth knowing. All is well.
    Note,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Attention => "attention",
            Self::Note => "note",
        }
    }
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which check found it.
    pub check: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it; nothing where nothing is to be done.
    pub mend: Option<String>,
}

impl Finding {
    fn json(&self) -> Value {
        let Self { severity, check, what, mend } = self;
        json!({ "severity": severity.word(), "check": check, "what": what, "mend": mend })
    }

    fn text(&self) -> String {
        let Self { severity, check, what, mend } = self;
        let word = match severity {
            Severity::Note => severity.word().to_owned(),
            _ => severity.word().to_uppercase(),
        };
        let mend = mend.as_ref().map_or(String::new(), |mend| format!("\n           -> {mend}"));
        format!("{word:<10} {check}: {what}{mend}")
    }
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Findings {
    all: Vec<Finding>,
    /// What was looked at, in words.
    pub looked_at: Vec<String>,
}

/// Findings of one check that are told one by one; the others are counted.
const MOST_TOLD: usize = 5;

impl Findings {
    /// Facts are lost, changed or wrong.
    pub fn broken(&mut self, check: &'static str, what: String, mend: impl Into<String>) {
        self.add(Severity::Broken, check, what, Some(mend.into()));
    }

    /// Somebody should do something.
    pub fn attention(&mut self, check: &'static str, what: String, mend: impl Into<String>) {
        self.add(Severity::Attention, check, what, Some(mend.into()));
    }

    /// Worth knowing.
    pub fn note(&mut self, check: &'static str, what: String) {
        self.add(Severity::Note, check, what, None);
    }

    /// Adds one.
    pub fn add(
        &mut self,
        severity: Severity,
        check: &'static str,
        what: String,
        mend: Option<String>,
    ) {
        self.all.push(Finding { severity, check, what, mend });
    }

    /// The worst of them.
    pub fn worst(&self) -> Option<Severity> {
        self.all.iter().map(|finding| finding.severity).min()
    }

    /// In the order in which they are told, those beyond the first of each check counted.
    fn told(&self) -> Vec<Finding> {
        let mut all = self.all.clone();
        all.sort_by_key(|finding| (finding.severity, finding.check));
        let mut told: Vec<Finding> = Vec::new();
        for same in all.chunk_by(|a, b| (a.severity, a.check) == (b.severity, b.check)) {
            told.extend(same.iter().take(MOST_TOLD).cloned());
            if let Some(more) = same.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
                let first = &same[0];
                let what = format!("and {more} more of this kind");
                told.push(Finding { what, mend: None, ..first.clone() });
            }
        }
        told
    }

    /// One object for programs.
    pub fn json(&self) -> Value {
        let verdict = match self.worst() {
            Some(Severity::Broken) => "broken",
            Some(Severity::Attention) => "attention",
            Some(Severity::Note) | None => "sound",
        };
        let findings: Vec<Value> = self.told().iter().map(Finding::json).collect();
        json!({ "verdict": verdict, "looked_at": self.looked_at, "findings": findings })
    }

    /// A few lines for people.
    pub fn text(&self) -> String {
        let mut lines: Vec<String> = self.told().iter().map(Finding::text).collect();
        let count = |severity| self.all.iter().filter(|found| found.severity == severity).count();
        let (broken, attention) = (count(Severity::Broken), count(Severity::Attention));
        let verdict = match (broken, attention) {
            (0, 0) => "sound".to_owned(),
            (0, attention) => format!("{attention} to be looked after"),
            (broken, attention) => format!("{broken} broken, {attention} to be looked after"),
        };
        lines.push(format!("{verdict}: looked at {}", self.looked_at.join(", ")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_many_of_a_kind_are_counted() {
        let mut findings = Findings::default();
        findings.looked_at.push("7 events".to_owned());
        assert_eq!(findings.text(), "sound: looked at 7 events");
        findings.note("server", "no server runs".to_owned());
        assert_eq!(findings.json()["verdict"], "sound");
        for n in 0..8 {
            findings.attention("orders", format!("order {n}"), "start the server");
        }
        findings.broken("events", "公演の記録 is gone".to_owned(), "restore it");
        assert_eq!(findings.worst(), Some(Severity::Broken));
        let text = findings.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "BROKEN     events: 公演の記録 is gone");
        assert_eq!(lines[1], "           -> restore it");
        assert_eq!(lines[12], "ATTENTION  orders: and 3 more of this kind");
        assert_eq!(lines[13], "note       server: no server runs");
        assert_eq!(lines[14], "1 broken, 8 to be looked after: looked at 7 events");
    }
}
