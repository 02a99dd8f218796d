//! Characters to tokens, after section 2.1 of the specification; with the place of each.

use std::borrow::Cow;

use super::{
    ast::At,
    work::{PARSE, Refusal},
};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// `! $ & ( ) : = @ [ ] { | }`.
    Mark(u8),
    Spread,
    Name(&'a str),
    Int(&'a str),
    Float(&'a str),
    String(Cow<'a, str>),
    End,
}

impl Token<'_> {
    /// As errors name it.
    pub(super) fn shown(&self) -> String {
        let cut = |text: &str| text.chars().take(60).collect::<String>();
        match self {
            Self::Mark(mark) => format!("{:?}", char::from(*mark)),
            Self::Spread => "\"...\"".to_owned(),
            Self::Name(text) | Self::Int(text) | Self::Float(text) => format!("{:?}", cut(text)),
            Self::String(text) => format!("the string {:?}", cut(text)),
            Self::End => "the end".to_owned(),
        }
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    /// Bytes of this line so far that are no character of their own.
    within: usize,
}

fn failed(at: At, message: impl Into<String>) -> Refusal {
    let message = message.into();
    let place = format!("{}:{}", at.line, at.column);
    Refusal::at(PARSE, at, format!("The document cannot be read at {place}: {message}"))
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, line_start: 0, within: 0 }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn here(&self) -> At {
        let column = self.at - self.line_start - self.within + 1;
        At { line: self.line, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    /// One byte on, which may end a line.
    fn advance(&mut self) {
        match self.peek(0) {
            Some(b'\n') => self.line_ends(1),
            Some(b'\r') => self.line_ends(if self.peek(1) == Some(b'\n') { 2 } else { 1 }),
            Some(byte) => {
                // The second and later bytes of a character are 0b10xx_xxxx.
                self.within += usize::from(byte & 0b1100_0000 == 0b1000_0000);
                self.at += 1;
            }
            None => {}
        }
    }

    fn line_ends(&mut self, bytes: usize) {
        self.at += bytes;
        self.line += 1;
        self.line_start = self.at;
        self.within = 0;
    }

    fn skip_ignored(&mut self) {
        loop {
            match self.peek(0) {
                Some(b' ' | b'\t' | b',' | b'\n' | b'\r') => self.advance(),
                Some(b'#') => {
                    while !matches!(self.peek(0), None | Some(b'\n' | b'\r')) {
                        self.advance();
                    }
                }
                // The byte order mark.
                Some(0xEF) if self.text[self.at..].starts_with('\u{FEFF}') => {
                    (0..3).for_each(|_| self.advance());
                }
                _ => return,
            }
        }
    }

    pub(super) fn next(&mut self) -> Result<(At, Token<'a>), Refusal> {
        self.skip_ignored();
        let at = self.here();
        let Some(byte) = self.peek(0) else { return Ok((at, Token::End)) };
        let token = match byte {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => {
                self.at += 1;
                Token::Mark(byte)
            }
            b'.' if self.text[self.at..].starts_with("...") => {
                self.at += 3;
                Token::Spread
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => Token::Name(self.word()),
            b'0'..=b'9' | b'-' => self.number(at)?,
            b'"' if self.text[self.at..].starts_with("\"\"\"") => self.block_string(at)?,
            b'"' => self.string(at)?,
            _ => {
                let found = self.text[self.at..].chars().next().unwrap_or_default();
                return Err(failed(at, format!("the character {found:?} has no place here.")));
            }
        };
        Ok((at, token))
    }

    fn word(&mut self) -> &'a str {
        let from = self.at;
        while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        &self.text[from..self.at]
    }

    fn number(&mut self, at: At) -> Result<Token<'a>, Refusal> {
        let from = self.at;
        let mut is_float = false;
        self.at += usize::from(self.peek(0) == Some(b'-'));
        if self.peek(0) == Some(b'0') {
            self.at += 1;
            if self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(failed(at, "a number begins with one 0 at most."));
            }
        } else {
            self.digits(at)?;
        }
        if self.peek(0) == Some(b'.') {
            is_float = true;
            self.at += 1;
            self.digits(at)?;
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(0), Some(b'+' | b'-')));
            self.digits(at)?;
        }
        if self.peek(0).is_some_and(|byte| byte.is_ascii_alphabetic() || b"_.".contains(&byte)) {
            return Err(failed(at, "a number ends before what follows it."));
        }
        let text = &self.text[from..self.at];
        Ok(if is_float { Token::Float(text) } else { Token::Int(text) })
    }

    fn digits(&mut self, at: At) -> Result<(), Refusal> {
        if !self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(failed(at, "a digit is missing in a number."));
        }
        while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self, at: At) -> Result<Token<'a>, Refusal> {
        self.at += 1;
        let mut value = Cow::Borrowed("");
        let mut from = self.at;
        loop {
            match self.peek(0) {
                None | Some(b'\n' | b'\r') => return Err(failed(at, "a string has no end.")),
                Some(b'"') => {
                    push(&mut value, &self.text[from..self.at]);
                    self.at += 1;
                    return Ok(Token::String(value));
                }
                Some(b'\\') => {
                    push(&mut value, &self.text[from..self.at]);
                    let character = self.escape()?;
                    value.to_mut().push(character);
                    from = self.at;
                }
                Some(_) => self.advance(),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Refusal> {
        let at = self.here();
        let simple = match self.peek(1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let found = if self.peek(2) == Some(b'{') { self.wide() } else { self.narrow() };
                return found.ok_or_else(|| failed(at, "an escape names no character."));
            }
            _ => return Err(failed(at, "there is no such escape.")),
        };
        self.at += 2;
        Ok(simple)
    }

    fn hex(&self, from: usize, digits: usize) -> Option<u32> {
        let text = self.text.get(from..from + digits)?;
        let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex { u32::from_str_radix(text, 16).ok() } else { None }
    }

    /// `\u{1F3AB}`.
    fn wide(&mut self) -> Option<char> {
        let from = self.at + 3;
        let digits = self.text.as_bytes()[from..].iter().take(9).position(|byte| *byte == b'}')?;
        let found = char::from_u32(self.hex(from, digits)?)?;
        self.at = from + digits + 1;
        Some(found)
    }

    /// `\u5238`, or two of them for a character beyond 16 bits.
    fn narrow(&mut self) -> Option<char> {
        let first = self.hex(self.at + 2, 4)?;
        if let Some(found) = char::from_u32(first) {
            self.at += 6;
            return Some(found);
        }
        if !self.text.get(self.at + 6..)?.starts_with("\\u") {
            return None;
        }
        let second = self.hex(self.at + 8, 4)?;
        let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
        let found = char::decode_utf16(pair).next()?.ok()?;
        self.at += 12;
        Some(found)
    }

    fn block_string(&mut self, at: At) -> Result<Token<'a>, Refusal> {
        self.at += 3;
        let mut raw = Cow::Borrowed("");
        let mut from = self.at;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            if rest.starts_with(b"\"\"\"") {
                push(&mut raw, &self.text[from..self.at]);
                self.at += 3;
                return Ok(Token::String(dedented(&raw).into()));
            }
            if rest.starts_with(b"\\\"\"\"") {
                push(&mut raw, &self.text[from..self.at]);
                raw.to_mut().push_str("\"\"\"");
                self.at += 4;
                from = self.at;
            } else if rest.is_empty() {
                return Err(failed(at, "a block string has no end."));
            } else {
                self.advance();
            }
        }
    }
}

fn push<'a>(value: &mut Cow<'a, str>, part: &'a str) {
    if value.is_empty() {
        *value = Cow::Borrowed(part);
    } else {
        value.to_mut().push_str(part);
    }
}

/// A block string without its common indentation and its blank lines at both ends.
fn dedented(raw: &str) -> String {
    let raw = raw.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = raw.split('\n').collect();
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let is_blank = |line: &str| indent(line) == line.len();
    let others = lines.iter().skip(1).filter(|line| !is_blank(line));
    let common = others.map(|line| indent(line)).min().unwrap_or(0);
    let lines: Vec<&str> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| if at == 0 { line } else { line.get(common..).unwrap_or_default() })
        .collect();
    let first = lines.iter().position(|line| !is_blank(line)).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| !is_blank(line)).map_or(first, |last| last + 1);
    lines[first..last].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Option<String> {
        match Lexer::new(text).next() {
            Ok((_, Token::String(value))) => Some(value.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn strings_have_every_escape_of_the_specification() {
        let all = r#""\" \\ \/ \b\f\n\r\t \u5238 \u{1F3AB} \uD83C\uDFAB 券""#;
        let expected = "\" \\ / \u{8}\u{C}\n\r\t 券 🎫 🎫 券";
        assert_eq!(string(all).as_deref(), Some(expected));
        for wrong in [
            r#""\x""#,
            r#""\u12""#,
            r#""\u{}""#,
            r#""\u{110000}""#,
            r#""\u{D83C}""#,
            r#""\u{000000041}""#,
            r#""\uD83C""#,
            r#""\uDFAB\uD83C""#,
            "\"a\nb\"",
            "\"a",
            "\"\\",
        ] {
            assert_eq!(string(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn block_strings_lose_their_indentation() {
        let text = "\"\"\"\n    one\n      two \\\"\"\"\r\n\n    three\n  \"\"\"";
        assert_eq!(string(text).as_deref(), Some("one\n  two \"\"\"\n\nthree"));
        assert_eq!(string("\"\"\"\"\"\"").as_deref(), Some(""));
        assert_eq!(string("\"\"\"   \n  \"\"\"").as_deref(), Some(""));
        assert_eq!(string("\"\"\" no end\""), None);
    }

    #[test]
    fn places_count_characters_and_every_kind_of_line() {
        let mut lexer = Lexer::new("\u{FEFF}# 券\r\n\"券券\" a\r b");
        let mut places = Vec::new();
        while let Ok((at, token)) = lexer.next()
            && token != Token::End
        {
            places.push((at.line, at.column));
        }
        assert_eq!(places, [(2, 1), (2, 6), (3, 2)]);
    }

    #[test]
    fn numbers_are_those_of_the_specification() {
        for (text, good) in [
            ("0", true),
            ("-0", true),
            ("10", true),
            ("01", false),
            ("-", false),
            ("1.0", true),
            ("1.", false),
            (".5", false),
            ("1e5", true),
            ("1E-5", true),
            ("1e", false),
            ("1a", false),
            ("1.0.0", false),
            ("0x1", false),
            ("1_0", false),
        ] {
            assert_eq!(Lexer::new(text).next().is_ok(), good, "{text}");
        }
    }
}
