//! How large a document is with its fragments wherever they are used. Each fragment is measured
//! once, however often it is used.

use super::{
    ast::{Ast, Selection, Set},
    graph::Graph,
    work::{Checked, Refusal, Work},
};

/// Most fields inside each other.
pub(super) const MAX_DEPTH: usize = 20;
/// Most fields.
pub(super) const MAX_FIELDS: usize = 2_000;
/// Most fields, spreads and inline fragments.
pub(super) const MAX_SELECTIONS: usize = 4_000;
/// Most fields at the root: so many queries or mutations at once.
pub(super) const MAX_ROOT_FIELDS: usize = 50;
/// Most fields with an alias.
pub(super) const MAX_ALIASES: usize = 200;
/// Most directives.
pub(super) const MAX_DIRECTIVES: usize = 200;

/// How large a selection set is.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    fields: usize,
    selections: usize,
    depth: usize,
    roots: usize,
    aliases: usize,
    directives: usize,
    /// How many fields stand for something else than the schema.
    beyond_schema: usize,
}

impl Size {
    fn beside(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            selections: self.selections.saturating_add(other.selections),
            depth: self.depth.max(other.depth),
            roots: self.roots.saturating_add(other.roots),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            beyond_schema: self.beyond_schema.saturating_add(other.beyond_schema),
        }
    }
}

/// What a document's operations are, apart from being small enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// It asks about the schema alone.
    pub(super) introspects: bool,
}

struct Ruler<'a> {
    ast: &'a Ast<'a>,
    graph: &'a Graph<'a>,
    known: Vec<Option<Size>>,
}

/// Measures every operation; stops at the first that is too large.
pub(super) fn measure(ast: &Ast<'_>, graph: &Graph<'_>, work: &mut Work) -> Checked<Vec<Measured>> {
    let mut ruler = Ruler { ast, graph, known: vec![None; ast.fragments.len()] };
    let mut found = Vec::new();
    let mut all = Size::default();
    for operation in &ast.operations {
        let mut size = ruler.set(&operation.set, work)?;
        size.directives = size.directives.saturating_add(operation.directives.len());
        for (name, most, found, what) in [
            ("DEPTH", MAX_DEPTH, size.depth, "fields inside each other"),
            ("FIELDS", MAX_FIELDS, size.fields, "fields"),
            ("SELECTIONS", MAX_SELECTIONS, size.selections, "fields and fragments"),
            ("DIRECTIVES", MAX_DIRECTIVES, size.directives, "directives"),
            ("ROOT_FIELDS", MAX_ROOT_FIELDS, size.roots, "fields at its root"),
            ("ALIASES", MAX_ALIASES, size.aliases, "aliases"),
        ] {
            if found > most {
                let what = format!("{what}, fragments counted wherever they are used");
                return work.stop(Refusal::limit(name, most, found, &what));
            }
        }
        all = all.beside(size);
        found.push(Measured { introspects: size.beyond_schema == 0 });
    }
    // Whoever compares fields goes through all of them.
    work.step(all.selections)?;
    Ok(found)
}

impl<'a> Ruler<'a> {
    fn set(&mut self, set: &'a Set<'a>, work: &mut Work) -> Checked<Size> {
        work.step(set.items.len())?;
        let mut total = Size::default();
        for item in &set.items {
            let size = match item {
                Selection::Field(field) => {
                    let below = match &field.set {
                        Some(set) => self.set(set, work)?,
                        None => Size::default(),
                    };
                    Size {
                        fields: below.fields.saturating_add(1),
                        selections: below.selections.saturating_add(1),
                        depth: below.depth + 1,
                        roots: 1,
                        aliases: below.aliases + usize::from(field.alias.is_some()),
                        directives: below.directives.saturating_add(field.directives.len()),
                        beyond_schema: usize::from(!field.name.text.starts_with("__")),
                    }
                }
                Selection::Inline(inline) => {
                    let size = self.set(&inline.set, work)?;
                    wrapped(size, inline.directives.len())
                }
                Selection::Spread(spread) => {
                    let size = match self.graph.fragment(spread.name.text) {
                        Some(fragment) => self.fragment(fragment, work)?,
                        None => Size::default(),
                    };
                    wrapped(size, spread.directives.len())
                }
            };
            total = total.beside(size);
        }
        Ok(total)
    }

    fn fragment(&mut self, at: usize, work: &mut Work) -> Checked<Size> {
        if let Some(size) = self.known[at] {
            return Ok(size);
        }
        let fragment = &self.ast.fragments[at];
        let mut size = self.set(&fragment.set, work)?;
        size.directives = size.directives.saturating_add(fragment.directives.len());
        self.known[at] = Some(size);
        Ok(size)
    }
}

fn wrapped(size: Size, directives: usize) -> Size {
    Size {
        selections: size.selections.saturating_add(1),
        directives: size.directives.saturating_add(directives),
        ..size
    }
}
