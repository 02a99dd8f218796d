//! JSON with everything that the file says: properties in their order, repeated ones included, so
//! that whoever walks it can refuse them with their place. Bounded in the number of values.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{ImportError, MAX_FILE_BYTES};

/// Most values that one file may have: a map of the most seats with every property has half.
const MAX_VALUES: usize = 5_000_000;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<str>),
    Array(Vec<Node>),
    Object(Vec<(Box<str>, Node)>),
}

impl Node {
    /// What it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads a whole file, or says where it stops being one.
pub(super) fn read(bytes: &[u8]) -> Result<Node, ImportError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ImportError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ImportError::NotUtf8 { at: error.valid_up_to() })?;
    // Some editors begin a file with a byte order mark, which JSON does not know.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let left = Cell::new(MAX_VALUES);
    let mut reader = serde_json::Deserializer::from_str(text);
    let node = ValueSeed { left: &left }.deserialize(&mut reader).and_then(|node| {
        reader.end()?;
        Ok(node)
    });
    node.map_err(|error| {
        if left.get() == 0 {
            return ImportError::TooManyValues { max: MAX_VALUES };
        }
        let full = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        ImportError::NotJson {
            line: error.line(),
            column: error.column(),
            reason: full.strip_suffix(&place).unwrap_or(&full).to_owned(),
        }
    })
}

/// Counts down with each value.
#[derive(Clone, Copy)]
struct ValueSeed<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Node;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        if left == 0 {
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(name) = entries.next_key::<Box<str>>()? {
            list.push((name, entries.next_value_seed(self)?));
        }
        Ok(Node::Object(list))
    }
}
