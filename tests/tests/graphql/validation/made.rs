//! Documents made from others: words exchanged, left out, repeated, moved. Most are wrong in one
//! way, many are right.

use hakken_tests::sim::Chance;

/// Makes documents; the same from the same seed.
pub struct Maker<'a> {
    chance: Chance,
    documents: Vec<Vec<&'a str>>,
    words: Vec<&'a str>,
}

impl<'a> Maker<'a> {
    /// From documents, with words of others.
    pub fn new(seed: u64, from: &[&'a str], others: &[&'a str]) -> Self {
        let documents = from.iter().map(|text| words(text)).collect();
        let mut known: Vec<&str> = others.iter().flat_map(|text| words(text)).collect();
        known.sort_unstable();
        known.dedup();
        Self { chance: Chance::new(seed), documents, words: known }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance.below(bound)
    }

    pub fn make(&mut self) -> String {
        let which = self.below(self.documents.len());
        let mut made = self.documents[which].clone();
        let changes = if self.below(4) == 0 { 2 } else { 1 };
        for _ in 0..changes {
            self.change(&mut made);
        }
        made.join(" ")
    }

    fn change(&mut self, made: &mut Vec<&'a str>) {
        let at = self.below(made.len());
        match self.below(8) {
            0 => {
                made.remove(at);
            }
            1 => {
                let word = made[at];
                made.insert(at, word);
            }
            2 => {
                let other = self.below(made.len());
                made.swap(at, other);
            }
            3 => {
                let which = self.below(self.words.len());
                made[at] = self.words[which];
            }
            // A word of the same document, which is more often right.
            4 => {
                let other = self.below(made.len());
                made[at] = made[other];
            }
            5 => {
                let (from, to) = part(made, at);
                let part: Vec<&str> = made[from..to].to_vec();
                made.splice(to..to, part);
            }
            6 => {
                let (from, to) = part(made, at);
                made.drain(from..to);
            }
            // A part of another document in the place of one of this.
            _ => {
                let other = self.below(self.documents.len());
                let place = self.below(self.documents[other].len());
                let (from, to) = part(&self.documents[other], place);
                let taken: Vec<&str> = self.documents[other][from..to].to_vec();
                let (from, to) = part(made, at);
                made.splice(from..to, taken);
            }
        }
        if made.is_empty() {
            made.push("{");
        }
    }
}

/// A word, with the brackets that follow it.
fn part(words: &[&str], at: usize) -> (usize, usize) {
    let mut to = at + 1;
    while words.get(to).is_some_and(|word| ["{", "(", "["].contains(word)) {
        let mut depth = 0_usize;
        while let Some(word) = words.get(to) {
            to += 1;
            match *word {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    (at, to)
}

/// The words of a document: names, values and marks, without comments.
fn words(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' if rest.starts_with("\"\"\"") => {
                rest[3..].find("\n\"\"\"").map_or(rest.len(), |end| end + 7)
            }
            '"' => {
                let end =
                    rest[1..].match_indices('"').find(|(at, _)| !rest[..=*at].ends_with('\\'));
                end.map_or(rest.len(), |(end, _)| end + 2)
            }
            '.' if rest.starts_with("...") => 3,
            '_' | '-' | '$' | '@' | 'a'..='z' | 'A'..='Z' | '0'..='9' => {
                let more = |of: char| !(of.is_ascii_alphanumeric() || of == '_' || of == '.');
                rest[1..].find(more).map_or(rest.len(), |end| end + 1)
            }
            other => other.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        if !word.trim().is_empty() && !word.starts_with('#') && word != "," {
            found.push(word);
        }
        rest = after;
    }
    found
}
