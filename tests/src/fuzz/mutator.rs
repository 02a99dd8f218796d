//! Makes inputs from inputs: bytes are flipped and cut, words and numbers are replaced, JSON is
//! changed as JSON. It knows nothing of coverage; it is for the run that every test run has.

use serde_json::Value;

use super::corpus::Entry;
use crate::sim::Chance;

/// Longest input that it makes.
const MOST_BYTES: usize = 64 << 10;

/// What text readers stumble over.
pub const ODDITIES: &[&str] = &[
    "\0",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{ad}",
    "\u{300}",
    "か\u{3099}",
    "e\u{301}\u{302}",
    "\u{200b}",
    "\u{200d}",
    "\u{202e}",
    "\u{2028}",
    "\u{3000}",
    "\u{fe0f}",
    "\u{feff}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{1fffe}",
    "\u{10ffff}",
    "０１２３",
    "－１",
    "１２．５",
    "Ａ１",
    "ⅷ",
    "٣",
    "ｱ",
    "席",
    "髙",
    "𠮷",
    "👩‍👩‍👧",
    "שלום",
    "مقعد",
    "İ",
    "ß",
    "ﬁ",
    "K",
    "&",
    "<",
    ">",
    "\"",
    "'",
    "\\",
    "/",
    "]]>",
    "&#0;",
    "<!--",
    "%00",
    "%FF",
    "\r\n",
    "\t",
    " ",
    "",
];

/// What number readers stumble over.
pub const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "1",
    "00",
    "1.0",
    "0.5",
    "-0.0",
    "1e0",
    "1e400",
    "-1e400",
    "1e-400",
    "1E2",
    "NaN",
    "Infinity",
    "-Infinity",
    "0x10",
    "1_000",
    "+1",
    "127",
    "128",
    "255",
    "256",
    "32768",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "1000000000000000",
    "1000000000000001",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "0.1000000000000000055511151231257827021181583404541",
];

/// Makes inputs.
pub struct Mutator<'a> {
    chance: Chance,
    corpus: &'a [Entry],
    words: &'a [&'a str],
}

impl<'a> Mutator<'a> {
    /// The inputs of this seed.
    pub fn new(seed: u64, corpus: &'a [Entry], words: &'a [&'a str]) -> Self {
        assert!(!corpus.is_empty(), "mutations need something to begin with");
        Self { chance: Chance::new(seed), corpus, words }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.other().to_vec();
        let changes = 1 + self.chance.below(4).min(self.chance.below(8));
        for _ in 0..changes {
            input = self.change(input);
            input.truncate(MOST_BYTES);
        }
        input
    }

    fn other(&mut self) -> &'a [u8] {
        let at = self.chance.below(self.corpus.len());
        &self.corpus[at].bytes
    }

    fn change(&mut self, mut input: Vec<u8>) -> Vec<u8> {
        match self.chance.below(16) {
            0 => self.flip(&mut input),
            1 => self.set(&mut input),
            2 => self.cut(&mut input),
            3 => self.repeat(&mut input),
            4 => self.swap(&mut input),
            5 => self.splice(&mut input),
            6 | 7 => self.put_word(&mut input),
            8 | 9 => self.change_number(&mut input),
            10 => self.change_lines(&mut input),
            11 => self.nest(&mut input),
            12 => self.change_word(&mut input),
            _ => self.change_json(&mut input),
        }
        input
    }

    fn flip(&mut self, input: &mut [u8]) {
        if !input.is_empty() {
            let at = self.chance.below(input.len());
            input[at] ^= 1 << self.chance.below(8);
        }
    }

    fn set(&mut self, input: &mut [u8]) {
        if !input.is_empty() {
            let at = self.chance.below(input.len());
            const SPECIAL: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, b'"', b'\\'];
            let any = (self.chance.next() & 0xff) as u8;
            input[at] = *self.chance.pick(&SPECIAL).filter(|byte| **byte != 1).unwrap_or(&any);
        }
    }

    /// A part of the input: mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.chance.below(length + 1);
        let longest = length - start;
        let wanted = if self.chance.percent(80) { longest.min(32) } else { longest };
        start..start + self.chance.below(wanted + 1)
    }

    fn cut(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        if self.chance.percent(25) {
            input.truncate(range.start);
        } else {
            input.drain(range);
        }
    }

    fn repeat(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        let times = 1 + self.chance.below(3) * self.chance.below(20);
        let part = input[range.clone()].repeat(times.min(MOST_BYTES / range.len().max(1)));
        input.splice(range.end..range.end, part);
    }

    fn swap(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        let part: Vec<u8> = input.drain(range).collect();
        let at = self.chance.below(input.len() + 1);
        input.splice(at..at, part);
    }

    fn splice(&mut self, input: &mut Vec<u8>) {
        let other = self.other();
        let there = self.range(other.len());
        let here = self.range(input.len());
        input.splice(here, other[there].iter().copied());
    }

    fn word(&mut self) -> &'a str {
        let lists = [self.words, ODDITIES, NUMBERS];
        let weight = [0, 0, 0, 1, 2];
        let list = lists[weight[self.chance.below(weight.len())]];
        self.chance.pick(list).copied().unwrap_or("券")
    }

    fn put_word(&mut self, input: &mut Vec<u8>) {
        let word = self.word();
        let at = self.chance.below(input.len() + 1);
        let end = if self.chance.percent(50) { (at + word.len()).min(input.len()) } else { at };
        input.splice(at..end, word.bytes());
    }

    /// Replaces one run of such bytes.
    fn change_run(&mut self, input: &mut Vec<u8>, is_in: impl Fn(u8) -> bool, with: &str) {
        let starts: Vec<usize> = (0..input.len())
            .filter(|&at| is_in(input[at]) && (at == 0 || !is_in(input[at - 1])))
            .collect();
        let Some(&start) = self.chance.pick(&starts) else { return };
        let length = input[start..].iter().take_while(|byte| is_in(**byte)).count();
        input.splice(start..start + length, with.bytes());
    }

    fn change_number(&mut self, input: &mut Vec<u8>) {
        let number = self.chance.pick(NUMBERS).copied().unwrap_or("0");
        self.change_run(input, |byte| byte.is_ascii_digit() || b"-.+".contains(&byte), number);
    }

    fn change_word(&mut self, input: &mut Vec<u8>) {
        let word = self.word();
        self.change_run(input, |byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte), word);
    }

    fn change_lines(&mut self, input: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> =
            input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let (one, other) = (self.chance.below(lines.len()), self.chance.below(lines.len()));
        match self.chance.below(4) {
            0 => lines.swap(one, other),
            1 => drop(lines.remove(one)),
            2 => lines.insert(other, lines[one].clone()),
            _ => {
                let theirs: Vec<&[u8]> = self.other().split(|byte| *byte == b'\n').collect();
                let line = self.chance.pick(&theirs).map_or(Vec::new(), |line| line.to_vec());
                lines.insert(other, line);
            }
        }
        *input = lines.join(&b'\n');
    }

    /// Wraps a part into brackets, some of them very many.
    fn nest(&mut self, input: &mut Vec<u8>) {
        const BRACKETS: [(&str, &str); 5] =
            [("[", "]"), ("{\"a\":", "}"), ("{", "}"), ("(", ")"), ("\"", "\"")];
        let (open, close) = BRACKETS[self.chance.below(BRACKETS.len())];
        let depths = [1, 2, 60, 65, 127, 129, 2_000];
        let depth = depths[self.chance.below(depths.len())];
        let range = self.range(input.len());
        input.splice(range.end..range.end, close.repeat(depth).bytes());
        input.splice(range.start..range.start, open.repeat(depth).bytes());
    }

    /// Changes one value of the JSON that a line ends with, or of the whole input.
    fn change_json(&mut self, input: &mut Vec<u8>) {
        let whole =
            serde_json::from_slice::<Value>(input).ok().map(|value| (0..input.len(), value));
        let (range, mut value) = match whole.or_else(|| self.json_line(input)) {
            Some(found) => found,
            None => return self.put_word(input),
        };
        let nodes = count(&value);
        let at = self.chance.below(nodes);
        self.change_node(&mut value, &mut { at });
        let text = value.to_string();
        input.splice(range, text.bytes());
    }

    fn json_line(&mut self, input: &[u8]) -> Option<(std::ops::Range<usize>, Value)> {
        let starts: Vec<usize> = input
            .iter()
            .enumerate()
            .filter(|(at, byte)| {
                **byte == b'{' && (*at == 0 || matches!(input[at - 1], b' ' | b'\n'))
            })
            .map(|(at, _)| at)
            .collect();
        let start = *self.chance.pick(&starts)?;
        let line = input[start..].split(|byte| *byte == b'\n').next()?;
        let value = serde_json::from_slice(line).ok()?;
        Some((start..start + line.len(), value))
    }

    fn change_node(&mut self, value: &mut Value, left: &mut usize) {
        if *left == 0 {
            *left = usize::MAX;
            return self.replace(value);
        }
        *left -= 1;
        match value {
            Value::Array(items) => {
                for item in items {
                    if *left != usize::MAX {
                        self.change_node(item, left);
                    }
                }
            }
            Value::Object(fields) => {
                for (_, field) in fields.iter_mut() {
                    if *left != usize::MAX {
                        self.change_node(field, left);
                    }
                }
            }
            _ => {}
        }
    }

    fn replace(&mut self, value: &mut Value) {
        match (self.chance.below(6), &mut *value) {
            (0, _) => *value = Value::Null,
            (1, _) => *value = Value::Bool(self.chance.percent(50)),
            (2, _) => *value = self.number(),
            (3, Value::Array(items)) if !items.is_empty() => {
                let at = self.chance.below(items.len());
                if self.chance.percent(50) {
                    items.push(items[at].clone());
                } else {
                    items.remove(at);
                }
            }
            (4, Value::Object(fields)) if !fields.is_empty() => {
                let names: Vec<String> = fields.keys().cloned().collect();
                let name = &names[self.chance.below(names.len())];
                let taken = fields.remove(name);
                if self.chance.percent(30) {
                    let name = self.word().to_owned();
                    fields.insert(name, taken.unwrap_or_default());
                }
            }
            (3, Value::String(text)) => text.push_str(self.word()),
            (4, Value::String(text)) => {
                let times = 1 + self.chance.below(3) * self.chance.below(200);
                *value = Value::String(text.repeat(times));
            }
            (_, Value::Number(_)) => *value = self.number(),
            _ => *value = Value::String(self.word().to_owned()),
        }
    }

    fn number(&mut self) -> Value {
        let text = self.chance.pick(NUMBERS).copied().unwrap_or("0");
        serde_json::from_str(text).unwrap_or_else(|_| Value::from(self.chance.next() as i64))
    }
}

/// How many values it has, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}
