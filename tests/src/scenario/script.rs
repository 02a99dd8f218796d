//! Reading a script: its scenarios, its lines, and their words.

use std::{
    collections::{BTreeMap, VecDeque},
    str::FromStr,
};

/// What plays from nothing.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it shows.
    pub title: String,
    /// In their order.
    pub lines: Vec<Line>,
}

/// What sort of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Somebody wants something.
    Command,
    /// Somebody looks.
    Question,
    /// Something happens to the engine.
    Happening,
}

/// One line of a script.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number in the file.
    pub number: usize,
    /// What stands before the arrow.
    pub text: String,
    /// What stands behind the arrow.
    pub expected: String,
    /// What sort it is.
    pub sort: Sort,
    /// Its first word.
    pub verb: String,
    words: Vec<String>,
    options: BTreeMap<String, String>,
}

const HAPPENINGS: [&str; 3] = ["tick", "restart", "provider"];

/// Reads a script; says what is wrong with it, and where.
pub fn read(text: &str) -> Result<Vec<Scenario>, String> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('=') {
            scenarios.push(Scenario { title: title.trim().to_owned(), lines: Vec::new() });
            continue;
        }
        let scenario = scenarios.last_mut();
        let scenario = scenario.ok_or_else(|| format!("line {number} stands before any `=`"))?;
        scenario.lines.push(read_line(number, line)?);
    }
    match scenarios.iter().find(|scenario| scenario.lines.is_empty()) {
        Some(empty) => Err(format!("{:?} has no lines", empty.title)),
        None => Ok(scenarios),
    }
}

fn read_line(number: usize, line: &str) -> Result<Line, String> {
    let (text, expected) =
        line.split_once("->").ok_or_else(|| format!("line {number} has no `->`"))?;
    let (is_question, rest) = match text.trim().strip_prefix('?') {
        Some(rest) => (true, rest),
        None => (false, text.trim()),
    };
    let mut words: VecDeque<String> = rest.split_whitespace().map(str::to_owned).collect();
    let verb = words.pop_front().ok_or_else(|| format!("line {number} has no verb"))?;
    let sort = match (is_question, HAPPENINGS.contains(&verb.as_str())) {
        (true, _) => Sort::Question,
        (false, true) => Sort::Happening,
        (false, false) => Sort::Command,
    };
    let (options, words) = words.into_iter().partition::<Vec<_>, _>(|word| word.contains('='));
    let options = options.iter().filter_map(|option| option.split_once('='));
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Line { number, text, expected, sort, verb, words, options })
}

impl Line {
    /// Its words and options, to be taken one by one.
    pub(super) fn args(&self) -> Args {
        Args { words: self.words.clone().into(), options: self.options.clone() }
    }
}

/// What stands behind the verb and is not taken yet.
pub(super) struct Args {
    words: VecDeque<String>,
    options: BTreeMap<String, String>,
}

impl Args {
    /// The next word.
    pub(super) fn word(&mut self, what: &str) -> Result<String, String> {
        self.words.pop_front().ok_or_else(|| format!("{what} is missing"))
    }

    /// The next word, if there is one.
    pub(super) fn maybe_word(&mut self) -> Option<String> {
        self.words.pop_front()
    }

    /// Is this word there?
    pub(super) fn flag(&mut self, flag: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != flag);
        self.words.len() < before
    }

    /// All words that are left.
    pub(super) fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.words).into()
    }

    /// An option.
    pub(super) fn option(&mut self, name: &str) -> Option<String> {
        self.options.remove(name)
    }

    /// An option that is read from its text.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        self.option(name).map(|text| parse(&text)).transpose()
    }

    /// An option that is a number of seconds: `600` or `600s`.
    pub(super) fn seconds(&mut self, name: &str) -> Result<Option<u64>, String> {
        self.option(name).map(|text| parse(text.strip_suffix('s').unwrap_or(&text))).transpose()
    }

    /// Nothing is left that nobody understood.
    pub(super) fn end(self) -> Result<(), String> {
        match (self.words.front(), self.options.first_key_value()) {
            (None, None) => Ok(()),
            (Some(word), _) => Err(format!("nobody understands {word:?}")),
            (None, Some((name, value))) => Err(format!("nobody understands {name}={value}")),
        }
    }
}

/// Reads a value from a script.
pub(super) fn parse<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not what belongs here"))
}
