//! Tokens to a document, after section 2 of the specification. What takes stack is bounded first.

use async_graphql::parser::types::OperationType;

use super::{
    ast::{
        Argument, Ast, At, Directive, Field, Fragment, Inline, Is, Operation, Selection, Set,
        Spread, Value, Variable, Word, Written, WrittenBase,
    },
    lexer::{Lexer, Token},
    work::{INVALID, PARSE, Refusal},
};

/// Most brackets inside each other: each takes stack.
pub(super) const MAX_NESTING: usize = 64;
/// Most tokens.
pub(super) const MAX_TOKENS: usize = 15_000;
/// Most values of one list.
pub(super) const MAX_LIST: usize = 2_000;
/// Most operations of a document.
pub(super) const MAX_OPERATIONS: usize = 100;
/// Most fragments of a document.
pub(super) const MAX_FRAGMENTS: usize = 300;

/// What a document may not begin a definition with: it is for schemas.
const OF_SCHEMAS: [&str; 9] =
    ["schema", "scalar", "type", "interface", "union", "enum", "input", "directive", "extend"];

type Read<T> = Result<T, Refusal>;

struct Parser<'a> {
    lexer: Lexer<'a>,
    at: At,
    token: Token<'a>,
    tokens: usize,
    nesting: usize,
}

/// Reads a document. Says as well how many tokens it has.
pub(super) fn parse(text: &str) -> Read<(Ast<'_>, usize)> {
    let mut lexer = Lexer::new(text);
    let (at, token) = lexer.next()?;
    let mut parser = Parser { lexer, at, token, tokens: 1, nesting: 0 };
    let mut ast = Ast::default();
    while ast.operations.is_empty() && ast.fragments.is_empty() || parser.token != Token::End {
        parser.definition(&mut ast)?;
    }
    Ok((ast, parser.tokens))
}

impl<'a> Parser<'a> {
    fn unexpected<T>(&self, wanted: &str) -> Read<T> {
        let (line, column) = (self.at.line, self.at.column);
        let message = format!(
            "The document cannot be read at {line}:{column}: {wanted} was expected, not {}.",
            self.token.shown()
        );
        Err(Refusal::at(PARSE, self.at, message))
    }

    /// The next token, and the one that it follows.
    fn take(&mut self) -> Read<(At, Token<'a>)> {
        self.tokens += 1;
        if self.tokens > MAX_TOKENS {
            return Err(Refusal::limit("TOKENS", MAX_TOKENS, self.tokens, "tokens or more"));
        }
        let (at, token) = self.lexer.next()?;
        let taken = (self.at, std::mem::replace(&mut self.token, token));
        self.at = at;
        Ok(taken)
    }

    fn is(&self, mark: u8) -> bool {
        self.token == Token::Mark(mark)
    }

    /// Takes a mark if it stands here.
    fn takes(&mut self, mark: u8) -> Read<bool> {
        let is = self.is(mark);
        if is {
            self.take()?;
        }
        Ok(is)
    }

    fn expect(&mut self, mark: u8) -> Read<At> {
        if self.is(mark) {
            return Ok(self.take()?.0);
        }
        self.unexpected(&format!("{:?}", char::from(mark)))
    }

    fn name(&mut self) -> Read<Word<'a>> {
        match self.token {
            Token::Name(text) => Ok(Word { at: self.take()?.0, text }),
            _ => self.unexpected("a name"),
        }
    }

    /// What stands in brackets.
    fn within<T>(&mut self, inner: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            let message = format!("The document nests brackets more than {MAX_NESTING} deep.");
            let broken = Refusal::limit("NESTING", MAX_NESTING, self.nesting, "");
            return Err(Refusal {
                code: PARSE,
                message,
                locations: vec![self.at.into()],
                ..broken
            });
        }
        let found = inner(self);
        self.nesting -= 1;
        found
    }

    /// One or more between two marks; none at all where the first does not stand.
    fn some<T>(
        &mut self,
        (open, close): (u8, u8),
        one: impl Fn(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        if !self.takes(open)? {
            return Ok(Vec::new());
        }
        self.within(|parser| {
            let mut found = vec![one(parser)?];
            while !parser.takes(close)? {
                found.push(one(parser)?);
            }
            Ok(found)
        })
    }

    fn definition(&mut self, ast: &mut Ast<'a>) -> Read<()> {
        let kind = match self.token {
            Token::Mark(b'{') => {
                let (at, kind, set) = (self.at, OperationType::Query, self.set()?);
                let (variables, directives) = (Vec::new(), Vec::new());
                let name = None;
                ast.operations.push(Operation { at, kind, name, variables, directives, set });
                return bounded("OPERATIONS", MAX_OPERATIONS, ast.operations.len(), "operations");
            }
            Token::Name("query") => OperationType::Query,
            Token::Name("mutation") => OperationType::Mutation,
            Token::Name("subscription") => OperationType::Subscription,
            Token::Name("fragment") => {
                let fragment = self.fragment()?;
                ast.fragments.push(fragment);
                return bounded("FRAGMENTS", MAX_FRAGMENTS, ast.fragments.len(), "fragments");
            }
            Token::Name(word) if OF_SCHEMAS.contains(&word) => {
                let message = "Only operations and fragments can be carried out: this is a \
                               definition for schemas.";
                return Err(Refusal::at(INVALID, self.at, message));
            }
            _ => return self.unexpected("an operation or a fragment"),
        };
        let at = self.take()?.0;
        let name = if matches!(self.token, Token::Name(_)) { Some(self.name()?) } else { None };
        let variables = self.some((b'(', b')'), Self::variable)?;
        let directives = self.directives(false)?;
        let set = self.set()?;
        ast.operations.push(Operation { at, kind, name, variables, directives, set });
        bounded("OPERATIONS", MAX_OPERATIONS, ast.operations.len(), "operations")
    }

    fn fragment(&mut self) -> Read<Fragment<'a>> {
        self.take()?;
        if self.token == Token::Name("on") {
            return self.unexpected("a name other than `on`");
        }
        let name = self.name()?;
        if self.token != Token::Name("on") {
            return self.unexpected("`on`");
        }
        self.take()?;
        let on = self.name()?;
        Ok(Fragment { name, on, directives: self.directives(false)?, set: self.set()? })
    }

    fn variable(&mut self) -> Read<Variable<'a>> {
        let at = self.expect(b'$')?;
        let name = Word { at, ..self.name()? };
        self.expect(b':')?;
        let of = self.written()?;
        let default = if self.takes(b'=')? { Some(self.value(true)?) } else { None };
        Ok(Variable { name, of, default, directives: self.directives(true)? })
    }

    fn written(&mut self) -> Read<Written<'a>> {
        let base = if self.takes(b'[')? {
            let of = self.within(Self::written)?;
            self.expect(b']')?;
            WrittenBase::List(Box::new(of))
        } else {
            WrittenBase::Named(self.name()?)
        };
        Ok(Written { base, nullable: !self.takes(b'!')? })
    }

    fn set(&mut self) -> Read<Set<'a>> {
        let at = self.at;
        if !self.is(b'{') {
            return self.unexpected("\"{\"");
        }
        Ok(Set { at, items: self.some((b'{', b'}'), Self::selection)? })
    }

    fn selection(&mut self) -> Read<Selection<'a>> {
        if self.token != Token::Spread {
            return Ok(Selection::Field(self.field()?));
        }
        let at = self.take()?.0;
        let on = match self.token {
            Token::Name("on") => {
                self.take()?;
                Some(self.name()?)
            }
            Token::Name(_) => {
                let (name, directives) = (self.name()?, self.directives(false)?);
                return Ok(Selection::Spread(Spread { at, name, directives }));
            }
            _ => None,
        };
        let (directives, set) = (self.directives(false)?, self.set()?);
        Ok(Selection::Inline(Inline { at, on, directives, set }))
    }

    fn field(&mut self) -> Read<Field<'a>> {
        let first = self.name()?;
        let (alias, name) =
            if self.takes(b':')? { (Some(first), self.name()?) } else { (None, first) };
        let arguments = self.arguments(false)?;
        let directives = self.directives(false)?;
        let set = if self.is(b'{') { Some(self.set()?) } else { None };
        Ok(Field { alias, name, arguments, directives, set })
    }

    fn arguments(&mut self, constant: bool) -> Read<Vec<Argument<'a>>> {
        self.some((b'(', b')'), |parser| parser.argument(constant))
    }

    fn argument(&mut self, constant: bool) -> Read<Argument<'a>> {
        let name = self.name()?;
        self.expect(b':')?;
        Ok(Argument { name, value: self.value(constant)? })
    }

    fn directives(&mut self, constant: bool) -> Read<Vec<Directive<'a>>> {
        let mut found = Vec::new();
        while self.is(b'@') {
            let at = self.take()?.0;
            let name = self.name()?;
            found.push(Directive { at, name, arguments: self.arguments(constant)? });
        }
        Ok(found)
    }

    /// `constant`: where no variable may stand.
    fn value(&mut self, constant: bool) -> Read<Value<'a>> {
        let at = self.at;
        let is = match &self.token {
            Token::Mark(b'[') => {
                self.take()?;
                return self.within(|parser| parser.list(at, constant));
            }
            Token::Mark(b'{') => {
                self.take()?;
                return self.within(|parser| parser.object(at, constant));
            }
            Token::Mark(b'$') if !constant => {
                self.take()?;
                return Ok(Value { at, is: Is::Variable(self.name()?.text) });
            }
            Token::Int(text) => Is::Int(text),
            Token::Float(text) => Is::Float(text),
            Token::String(text) => Is::String(text.clone()),
            Token::Name("true") => Is::Boolean(true),
            Token::Name("false") => Is::Boolean(false),
            Token::Name("null") => Is::Null,
            Token::Name(text) => Is::Enum(text),
            _ => return self.unexpected(if constant { "a constant value" } else { "a value" }),
        };
        self.take()?;
        Ok(Value { at, is })
    }

    fn list(&mut self, at: At, constant: bool) -> Read<Value<'a>> {
        let mut values = Vec::new();
        while !self.takes(b']')? {
            values.push(self.value(constant)?);
            bounded("LIST_VALUES", MAX_LIST, values.len(), "values or more in one list")?;
        }
        Ok(Value { at, is: Is::List(values) })
    }

    fn object(&mut self, at: At, constant: bool) -> Read<Value<'a>> {
        let mut fields = Vec::new();
        while !self.takes(b'}')? {
            fields.push(self.argument(constant)?);
        }
        Ok(Value { at, is: Is::Object(fields) })
    }
}

fn bounded(name: &'static str, most: usize, found: usize, what: &str) -> Read<()> {
    if found <= most { Ok(()) } else { Err(Refusal::limit(name, most, found, what)) }
}
