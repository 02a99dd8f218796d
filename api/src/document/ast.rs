//! A document as it was read: every name and value with its place, nothing left out. Two fields of
//! one name in an object, which a map would merge, are two here.

use std::borrow::Cow;

use async_graphql::{Pos, parser::types::OperationType};

/// A place in the text; both numbers begin with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl From<At> for Pos {
    fn from(at: At) -> Self {
        Self { line: at.line as usize, column: at.column as usize }
    }
}

/// A name and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) at: At,
    pub(super) text: &'a str,
}

#[derive(Debug, Default)]
pub(super) struct Ast<'a> {
    pub(super) operations: Vec<Operation<'a>>,
    pub(super) fragments: Vec<Fragment<'a>>,
}

#[derive(Debug)]
pub(super) struct Operation<'a> {
    pub(super) at: At,
    pub(super) kind: OperationType,
    pub(super) name: Option<Word<'a>>,
    pub(super) variables: Vec<Variable<'a>>,
    pub(super) directives: Vec<Directive<'a>>,
    pub(super) set: Set<'a>,
}

#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) name: Word<'a>,
    pub(super) on: Word<'a>,
    pub(super) directives: Vec<Directive<'a>>,
    pub(super) set: Set<'a>,
}

/// The definition of a variable.
#[derive(Debug)]
pub(super) struct Variable<'a> {
    pub(super) name: Word<'a>,
    pub(super) of: Written<'a>,
    pub(super) default: Option<Value<'a>>,
    pub(super) directives: Vec<Directive<'a>>,
}

/// A type as it is written.
#[derive(Debug)]
pub(super) struct Written<'a> {
    pub(super) base: WrittenBase<'a>,
    pub(super) nullable: bool,
}

#[derive(Debug)]
pub(super) enum WrittenBase<'a> {
    Named(Word<'a>),
    List(Box<Written<'a>>),
}

impl<'a> Written<'a> {
    /// The name inside all lists.
    pub(super) fn name(&self) -> Word<'a> {
        match &self.base {
            WrittenBase::Named(name) => *name,
            WrittenBase::List(of) => of.name(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Set<'a> {
    pub(super) at: At,
    pub(super) items: Vec<Selection<'a>>,
}

#[derive(Debug)]
pub(super) enum Selection<'a> {
    Field(Field<'a>),
    Spread(Spread<'a>),
    Inline(Inline<'a>),
}

#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) alias: Option<Word<'a>>,
    pub(super) name: Word<'a>,
    pub(super) arguments: Vec<Argument<'a>>,
    pub(super) directives: Vec<Directive<'a>>,
    pub(super) set: Option<Set<'a>>,
}

impl<'a> Field<'a> {
    /// The name under which the answer has it.
    pub(super) fn key(&self) -> Word<'a> {
        self.alias.unwrap_or(self.name)
    }
}

#[derive(Debug)]
pub(super) struct Spread<'a> {
    pub(super) at: At,
    pub(super) name: Word<'a>,
    pub(super) directives: Vec<Directive<'a>>,
}

#[derive(Debug)]
pub(super) struct Inline<'a> {
    pub(super) at: At,
    pub(super) on: Option<Word<'a>>,
    pub(super) directives: Vec<Directive<'a>>,
    pub(super) set: Set<'a>,
}

#[derive(Debug)]
pub(super) struct Directive<'a> {
    pub(super) at: At,
    pub(super) name: Word<'a>,
    pub(super) arguments: Vec<Argument<'a>>,
}

/// An argument, or a field of an object: a name with a value.
#[derive(Debug)]
pub(super) struct Argument<'a> {
    pub(super) name: Word<'a>,
    pub(super) value: Value<'a>,
}

#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) at: At,
    pub(super) is: Is<'a>,
}

#[derive(Debug)]
pub(super) enum Is<'a> {
    Variable(&'a str),
    Int(&'a str),
    Float(&'a str),
    String(Cow<'a, str>),
    Boolean(bool),
    Null,
    Enum(&'a str),
    List(Vec<Value<'a>>),
    Object(Vec<Argument<'a>>),
}

impl Value<'_> {
    /// As it is written, cut short.
    pub(super) fn shown(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        const LONG: usize = 80;
        if out.len() > LONG {
            if !out.ends_with('…') {
                out.push('…');
            }
            return;
        }
        match &self.is {
            Is::Variable(name) => *out += &format!("${name}"),
            Is::Int(text) | Is::Float(text) | Is::Enum(text) => {
                out.extend(text.chars().take(LONG));
            }
            Is::String(text) => {
                *out += &format!("{:?}", text.chars().take(LONG).collect::<String>())
            }
            Is::Boolean(value) => *out += if *value { "true" } else { "false" },
            Is::Null => *out += "null",
            Is::List(values) => {
                out.push('[');
                for (at, value) in values.iter().enumerate().take(LONG) {
                    *out += if at == 0 { "" } else { ", " };
                    value.write(out);
                }
                out.push(']');
            }
            Is::Object(fields) => {
                out.push('{');
                for (at, field) in fields.iter().enumerate().take(LONG) {
                    *out += if at == 0 { "" } else { ", " };
                    *out += field.name.text;
                    *out += ": ";
                    field.value.write(out);
                }
                out.push('}');
            }
        }
    }
}
