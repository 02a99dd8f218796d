//! What stands before execution: the document is parsed once, measured, and its operation chosen.
//! A fragment is measured once however often it is used, so that no document can make the measuring
//! itself take long.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned,
    parser::{
        parse_query,
        types::{
            ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType, Selection,
            VariableDefinition,
        },
    },
};
use hakken_domain::text::shortened_within;

/// Most bytes of a document. Large values belong in variables.
const MAX_BYTES: usize = 64 << 10;
/// Most brackets inside each other, before anything recursive looks at them.
const MAX_NESTING: usize = 64;
/// Most fields inside each other.
const MAX_DEPTH: usize = 20;
/// Most fields, fragments counted wherever they are used.
const MAX_FIELDS: usize = 2_000;
/// Most fields at the root: so many queries or mutations at once.
const MAX_ROOT_FIELDS: usize = 50;
/// Most directives, fragments counted wherever they are used.
const MAX_DIRECTIVES: usize = 200;

/// Most characters of a message: what cannot be read is quoted, and may be long.
pub(super) const MAX_MESSAGE: usize = 1_000;

/// Why a request is not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

fn error(code: &'static str, message: impl Into<String>) -> RequestError {
    RequestError { code, message: message.into() }
}

/// A document that is small enough, and the operation that is asked for.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) parsed: ExecutableDocument,
    /// The operation's name, as it was asked for.
    pub(crate) operation: Option<String>,
    pub(crate) kind: OperationType,
    /// It asks about the schema alone.
    pub(crate) introspects: bool,
    /// It asks what is free of one show, and nothing else.
    pub(crate) polls: bool,
}

impl Document {
    /// The variables of the operation.
    pub(crate) fn variables(&self) -> &[Positioned<VariableDefinition>] {
        let chosen = choose(&self.parsed, self.operation.as_deref());
        chosen.map_or(&[], |operation| &operation.variable_definitions)
    }

    /// The kind, as metrics and spans name it.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        }
    }
}

/// Reads a document and chooses its operation.
pub(crate) fn read(text: &str, operation: Option<&str>) -> Result<Document, RequestError> {
    if text.len() > MAX_BYTES {
        return Err(error(
            "BAD_REQUEST",
            format!(
                "The document has {} bytes, at most {MAX_BYTES} are allowed. Send large values in \
                 variables.",
                text.len()
            ),
        ));
    }
    check_nesting(text)?;
    let parsed = parse_query(text).map_err(|wrong| {
        let wrong = shortened_within(&quoted_shortly(&wrong.to_string()), MAX_MESSAGE - 100);
        error("GRAPHQL_PARSE_FAILED", format!("The document cannot be read: {wrong}"))
    })?;
    let chosen = choose(&parsed, operation)?;
    let mut ruler = Ruler { fragments: &parsed.fragments, known: HashMap::new() };
    let size = ruler.set(&chosen.selection_set.node.items, 0)?;
    let roots = ruler.roots(&chosen.selection_set.node.items, 0)?;
    let (kind, introspects) = (chosen.ty, roots.1);
    check(size.depth, MAX_DEPTH, "fields inside each other")?;
    check(size.fields, MAX_FIELDS, "fields")?;
    check(size.directives, MAX_DIRECTIVES, "directives")?;
    check(roots.0, MAX_ROOT_FIELDS, "fields at its root")?;
    let polls = kind == OperationType::Query
        && matches!(chosen.selection_set.node.items.as_slice(), [Positioned {
            node: Selection::Field(only), ..
        }] if only.node.name.node == "availability");
    let operation = operation.map(ToOwned::to_owned);
    Ok(Document { parsed, operation, kind, introspects, polls })
}

/// The parser shows the line and points at the column: of a long line only what stands before it,
/// which is the place, and behind it, which is the reason.
fn quoted_shortly(wrong: &str) -> String {
    let is_short = |line: &&str| line.len() <= 200;
    if wrong.lines().all(|line| is_short(&line)) {
        return wrong.to_owned();
    }
    wrong.lines().filter(is_short).filter(|line| line.trim() != "|").collect::<Vec<_>>().join("\n")
}

fn check(found: usize, max: usize, what: &str) -> Result<(), RequestError> {
    if found <= max {
        return Ok(());
    }
    let message = format!(
        "The document has {found} {what}, fragments counted wherever they are used; at most {max} \
         are allowed. Ask for less, or in several requests."
    );
    Err(error("GRAPHQL_VALIDATION_FAILED", message))
}

/// Counts brackets without recursion: a parser would need stack for each.
fn check_nesting(text: &str) -> Result<(), RequestError> {
    let mut depth = 0_usize;
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'#' => {
                let end = rest.iter().position(|byte| b"\r\n".contains(byte));
                rest = &rest[end.unwrap_or(rest.len())..];
            }
            b'"' => rest = behind_string(rest),
            _ => {}
        }
        if depth > MAX_NESTING {
            let message = format!("The document nests brackets more than {MAX_NESTING} deep.");
            return Err(error("GRAPHQL_PARSE_FAILED", message));
        }
    }
    Ok(())
}

/// What follows a string, whose first quotation mark is behind us.
fn behind_string(text: &[u8]) -> &[u8] {
    let (mut rest, block) = match text.strip_prefix(b"\"\"") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    loop {
        match rest {
            [] => return rest,
            [b'\\', b'"', b'"', b'"', after @ ..] if block => rest = after,
            [b'"', b'"', b'"', after @ ..] if block => return after,
            [b'\\', _, after @ ..] if !block => rest = after,
            [b'"', after @ ..] if !block => return after,
            [b'\n' | b'\r', ..] if !block => return rest,
            [_, after @ ..] => rest = after,
        }
    }
}

fn choose<'a>(
    parsed: &'a ExecutableDocument,
    wanted: Option<&str>,
) -> Result<&'a OperationDefinition, RequestError> {
    let failure = |message: String| error("OPERATION_RESOLUTION_FAILURE", message);
    let mut operations = parsed.operations.iter();
    let chosen = match wanted {
        Some(wanted) => operations
            .find(|(name, _)| name.is_some_and(|name| name.as_str() == wanted))
            .ok_or_else(|| failure(format!("The document has no operation {wanted:?}.")))?,
        None => match (operations.next(), operations.next()) {
            (Some(only), None) => only,
            _ => {
                return Err(failure(
                    "The document has several operations: say which with operationName.".to_owned(),
                ));
            }
        },
    };
    Ok(&chosen.1.node)
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    fields: usize,
    depth: usize,
    directives: usize,
}

impl Size {
    fn beside(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            depth: self.depth.max(other.depth),
            directives: self.directives.saturating_add(other.directives),
        }
    }
}

/// Measures selections; each fragment once.
struct Ruler<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// `None` while it is being measured.
    known: HashMap<&'a str, Option<Size>>,
}

impl<'a> Ruler<'a> {
    fn set(
        &mut self,
        items: &'a [Positioned<Selection>],
        chain: usize,
    ) -> Result<Size, RequestError> {
        let mut total = Size::default();
        for item in items {
            let size = match &item.node {
                Selection::Field(field) => {
                    let below = self.set(&field.node.selection_set.node.items, chain)?;
                    Size {
                        fields: below.fields.saturating_add(1),
                        depth: below.depth + 1,
                        directives: below.directives.saturating_add(field.node.directives.len()),
                    }
                }
                Selection::InlineFragment(inline) => {
                    let mut size = self.set(&inline.node.selection_set.node.items, chain)?;
                    size.directives = size.directives.saturating_add(inline.node.directives.len());
                    size
                }
                Selection::FragmentSpread(spread) => {
                    let mut size = self.fragment(&spread.node.fragment_name.node, chain)?;
                    size.directives = size.directives.saturating_add(spread.node.directives.len());
                    size
                }
            };
            total = total.beside(size);
        }
        Ok(total)
    }

    fn fragment(&mut self, name: &'a Name, chain: usize) -> Result<Size, RequestError> {
        match self.known.get(name.as_str()) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => {
                let message = format!("The fragment {name:?} contains itself.");
                return Err(error("GRAPHQL_VALIDATION_FAILED", message));
            }
            None => {}
        }
        // The validation names a fragment that is not there.
        let Some(fragment) = self.fragments.get(name) else { return Ok(Size::default()) };
        check(chain + 1, MAX_NESTING, "fragments inside each other")?;
        self.known.insert(name.as_str(), None);
        let size = self.set(&fragment.node.selection_set.node.items, chain + 1)?;
        self.known.insert(name.as_str(), Some(size));
        Ok(size)
    }

    /// How many fields stand at the root, and whether all of them are about the schema.
    fn roots(
        &self,
        items: &'a [Positioned<Selection>],
        chain: usize,
    ) -> Result<(usize, bool), RequestError> {
        check(chain, MAX_NESTING, "fragments inside each other")?;
        let (mut fields, mut introspects) = (0_usize, true);
        for item in items {
            let (more, meta) = match &item.node {
                Selection::Field(field) => (1, field.node.name.node.starts_with("__")),
                Selection::InlineFragment(inline) => {
                    self.roots(&inline.node.selection_set.node.items, chain + 1)?
                }
                Selection::FragmentSpread(spread) => {
                    match self.fragments.get(&spread.node.fragment_name.node) {
                        Some(fragment) => {
                            self.roots(&fragment.node.selection_set.node.items, chain + 1)?
                        }
                        None => (0, true),
                    }
                }
            };
            fields += more;
            check(fields, MAX_ROOT_FIELDS, "fields at its root")?;
            introspects &= meta;
        }
        Ok((fields, introspects))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, code: &str, part: &str) {
        let error = read(text, None).map(|document| document.kind).unwrap_err();
        assert_eq!(error.code, code, "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
    }

    #[test]
    fn a_query_about_the_schema_is_recognised_through_fragments() {
        let asks = |text: &str| read(text, None).unwrap().introspects;
        assert!(asks("{ __schema { types { name } } }"));
        assert!(asks("query { ...F } fragment F on Query { __typename }"));
        assert!(!asks("query { ...F } fragment F on Query { __typename viewer { role } }"));
        assert!(!asks("{ ... on Query { viewer { role } } }"));
    }

    #[test]
    fn a_poll_asks_what_is_free_and_nothing_else() {
        let polls = |text: &str| read(text, None).unwrap().polls;
        assert!(polls("query($s: ID!) { free: availability(show: $s) { version } }"));
        assert!(!polls("{ availability(show: \"s\") { version } viewer { role } }"));
        assert!(!polls("{ ...F } fragment F on Query { availability(show: \"s\") { version } }"));
        assert!(!polls("{ viewer { role } }"));
    }

    #[test]
    fn a_fragment_bomb_is_measured_at_once_and_refused() {
        let mut bomb = "{ ...F0 }".to_owned();
        for at in 0..60 {
            let next = at + 1;
            bomb += &format!(" fragment F{at} on Query {{ ...F{next} ...F{next} }}");
        }
        bomb += " fragment F60 on Query { shows { edges { cursor } } }";
        refused(&bomb, "GRAPHQL_VALIDATION_FAILED", "fields");
    }

    #[test]
    fn the_reason_is_short_however_long_the_line_is() {
        let text = format!("{{ viewer {{ role }} }} # {}\n}}", "長".repeat(9_000));
        refused(&text, "GRAPHQL_PARSE_FAILED", "2:1");
        let text = format!("{{ {} }} }}", "viewer { role } ".repeat(2_000));
        let error = read(&text, None).unwrap_err();
        assert!(error.message.contains("1:32006"), "{}", error.message);
        assert!(error.message.chars().count() <= MAX_MESSAGE, "{}", error.message);
    }

    #[test]
    fn a_fragment_in_itself_is_refused() {
        let text = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }";
        refused(text, "GRAPHQL_VALIDATION_FAILED", "contains itself");
    }

    #[test]
    fn depth_width_roots_and_bytes_are_bounded() {
        let deep = format!("{}{}", "{ a ".repeat(21), "}".repeat(21));
        refused(&deep, "GRAPHQL_VALIDATION_FAILED", "inside each other");
        let nested = format!("{}{}", "{a".repeat(30_000), "}".repeat(4));
        refused(&nested, "GRAPHQL_PARSE_FAILED", "64 deep");
        let wide = format!("{{ a {{ {} }} }}", "b ".repeat(2_001));
        refused(&wide, "GRAPHQL_VALIDATION_FAILED", "2002 fields");
        let roots = format!("{{ {} }}", "a ".repeat(51));
        refused(&roots, "GRAPHQL_VALIDATION_FAILED", "at its root");
        refused(&"#".repeat(65_537), "BAD_REQUEST", "65537 bytes");
        let directives = format!("{{ a {} }}", "@include(if: true) ".repeat(201));
        refused(&directives, "GRAPHQL_VALIDATION_FAILED", "directives");
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let brackets = "{".repeat(100);
        let text = format!(
            "# {brackets}\n{{ a(b: \"{brackets}\\\"\", c: \"\"\"{brackets}\\\"\"\"\"\"\", d: \"\") }}"
        );
        assert_eq!(read(&text, None).map(|document| document.introspects), Ok(false));
    }

    #[test]
    fn the_operation_is_the_one_that_is_named() {
        let text = "query A { a } mutation B { b }";
        assert_eq!(read(text, Some("B")).unwrap().kind, OperationType::Mutation);
        assert_eq!(read(text, None).unwrap_err().code, "OPERATION_RESOLUTION_FAILURE");
        assert_eq!(read(text, Some("C")).unwrap_err().code, "OPERATION_RESOLUTION_FAILURE");
        assert_eq!(read("query A { a }", None).unwrap().kind, OperationType::Query);
    }
}
