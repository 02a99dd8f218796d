//! Walking a file's values with the place at hand, for errors that say where.

use std::fmt;

use hakken_domain::names::{Category, Label, NameError, PoolId, SeatId};

use super::{ImportError, json::Node};

/// A place in the file.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Root,
    Property(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the file"),
            Self::Property(Self::Root, name) => f.write_str(name),
            Self::Property(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl<'a> At<'a> {
    pub(super) fn property(&'a self, name: &'a str) -> At<'a> {
        At::Property(self, name)
    }

    pub(super) fn item(&'a self, index: usize) -> At<'a> {
        At::Item(self, index)
    }

    pub(super) fn wrong_type(&self, expected: &'static str, node: &Node) -> ImportError {
        ImportError::WrongType { place: self.to_string(), expected, found: node.kind() }
    }

    pub(super) fn text<'n>(&self, node: &'n Node) -> Result<&'n str, ImportError> {
        match node {
            Node::Text(text) => Ok(text),
            other => Err(self.wrong_type("a text", other)),
        }
    }

    pub(super) fn number(&self, node: &Node) -> Result<f64, ImportError> {
        match node {
            Node::Number(number) => Ok(*number),
            other => Err(self.wrong_type("a number", other)),
        }
    }

    /// A whole number; `5.0` is one, as in JSON Schema.
    pub(super) fn integer(&self, node: &Node) -> Result<f64, ImportError> {
        match node {
            Node::Number(number) if number.fract() == 0.0 => Ok(*number),
            other => Err(self.wrong_type("a whole number", other)),
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer_within(
        &self,
        node: &Node,
        min: i64,
        max: i64,
    ) -> Result<i64, ImportError> {
        let value = self.integer(node)?;
        if value < min as f64 || value > max as f64 {
            return Err(ImportError::NumberOutOfRange { place: self.to_string(), value, min, max });
        }
        Ok(value as i64)
    }

    pub(super) fn flag(&self, node: &Node) -> Result<bool, ImportError> {
        match node {
            Node::Bool(flag) => Ok(*flag),
            other => Err(self.wrong_type("true or false", other)),
        }
    }

    pub(super) fn list<'n>(&self, node: &'n Node) -> Result<&'n [Node], ImportError> {
        match node {
            Node::Array(items) => Ok(items),
            other => Err(self.wrong_type("a list", other)),
        }
    }

    /// An object with no other properties than these, none of them twice.
    pub(super) fn object<'n>(
        &self,
        node: &'n Node,
        allowed: &'static [&'static str],
    ) -> Result<Fields<'n>, ImportError> {
        let Node::Object(entries) = node else {
            return Err(self.wrong_type("an object", node));
        };
        for (at, (name, _)) in entries.iter().enumerate() {
            if !allowed.contains(&&**name) {
                return Err(ImportError::UnknownProperty {
                    place: self.to_string(),
                    property: shortened(name),
                    allowed: allowed.join(", "),
                });
            }
            if entries[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(ImportError::RepeatedProperty {
                    place: self.to_string(),
                    property: name.to_string(),
                });
            }
        }
        Ok(Fields(entries))
    }

    pub(super) fn named<T>(&self, made: Result<T, NameError>) -> Result<T, ImportError> {
        made.map_err(|reason| ImportError::BadName { place: self.to_string(), reason })
    }

    pub(super) fn label(&self, node: &Node) -> Result<Label, ImportError> {
        self.named(Label::new(self.text(node)?))
    }

    pub(super) fn category(&self, node: &Node) -> Result<Category, ImportError> {
        self.named(Category::new(self.text(node)?))
    }

    pub(super) fn seat_id(&self, node: &Node) -> Result<SeatId, ImportError> {
        self.named(SeatId::new(self.text(node)?))
    }

    pub(super) fn pool_id(&self, node: &Node) -> Result<PoolId, ImportError> {
        self.named(PoolId::new(self.text(node)?))
    }
}

/// The properties of an object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'n>(&'n [(Box<str>, Node)]);

impl<'n> Fields<'n> {
    pub(super) fn optional(&self, name: &str) -> Option<&'n Node> {
        self.0.iter().find(|(found, _)| **found == *name).map(|(_, node)| node)
    }

    pub(super) fn required(&self, at: &At, name: &'static str) -> Result<&'n Node, ImportError> {
        self.optional(name)
            .ok_or_else(|| ImportError::Missing { place: at.to_string(), property: name })
    }
}

/// What a file says, short enough for an error.
pub(super) fn shortened(text: &str) -> String {
    hakken_domain::text::shortened(text, 60)
}

/// Words in a row, the first few of them.
pub(super) fn listed<'a>(words: impl ExactSizeIterator<Item = &'a str>) -> String {
    const MOST: usize = 8;
    let more = words.len().saturating_sub(MOST);
    let shown = |word| shortened(word).replace(char::is_control, "\u{fffd}");
    let mut list: Vec<String> = words.take(MOST).map(shown).collect();
    if more > 0 {
        list.push(format!("{more} more"));
    }
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}
