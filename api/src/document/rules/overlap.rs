//! Fields that share a place in the answer must be able to share it.
//!
//! The rule of section 5.3.2 compares every two of them. Here all fields of one place are compared
//! with the first of them, which says the same: first whether their values have one shape, for all
//! that share a name; then, for those that can be asked of one and the same object, whether they
//! are the same field with the same arguments. So work grows with the document and not with its
//! square, but for abstract types nested in each other, of which no set is looked at twice.

use std::collections::{HashMap, HashSet};

use super::Scope;
use crate::document::{
    ast::{Argument, Field, Is, Selection, Set, Value},
    types::{Base, Of, TypeId, Types},
    work::{Checked, Work},
};

/// A field, with the type that it is asked of.
#[derive(Clone, Copy)]
struct Asked<'a> {
    field: &'a Field<'a>,
    parent: TypeId,
    of: &'a Of,
}

struct Overlap<'a, 'w> {
    scope: Scope<'a>,
    work: &'w mut Work,
    /// Numbers for the arguments of fields: equal arguments have equal numbers.
    arguments: HashMap<*const Field<'a>, usize>,
    written: HashMap<String, usize>,
    /// Sets of fields that were looked at.
    seen: HashSet<Vec<*const Field<'a>>>,
}

pub(super) fn check(scope: Scope<'_>, work: &mut Work) -> Checked {
    let (arguments, written) = (HashMap::new(), HashMap::new());
    let mut overlap = Overlap { scope, work, arguments, written, seen: HashSet::new() };
    for operation in &scope.ast.operations {
        let Some(root) = scope.types.root(operation.kind) else {
            let message = format!("There is no {} here.", operation.kind);
            overlap.work.wrong(&[operation.at], message)?;
            continue;
        };
        let mut fields = Vec::new();
        overlap.collect(&operation.set, root, &mut fields, &mut HashSet::new())?;
        overlap.shapes(&fields)?;
        overlap.parents(&fields)?;
    }
    Ok(())
}

impl<'a> Overlap<'a, '_> {
    /// The fields of a set, those of its fragments among them.
    fn collect(
        &mut self,
        set: &'a Set<'a>,
        parent: TypeId,
        fields: &mut Vec<Asked<'a>>,
        seen: &mut HashSet<usize>,
    ) -> Checked {
        self.work.step(set.items.len())?;
        let types = self.scope.types;
        for item in &set.items {
            match item {
                Selection::Field(field) => {
                    if let Some(known) = types.field(parent, field.name.text) {
                        fields.push(Asked { field, parent, of: &known.of });
                    }
                }
                Selection::Inline(inline) => {
                    let on = inline.on.and_then(|on| types.find(on.text)).unwrap_or(parent);
                    self.collect(&inline.set, on, fields, seen)?;
                }
                Selection::Spread(spread) => {
                    let fragment = self.scope.graph.fragment(spread.name.text);
                    let Some(at) = fragment.filter(|at| seen.insert(*at)) else { continue };
                    let fragment = &self.scope.ast.fragments[at];
                    let on = types.find(fragment.on.text).unwrap_or(parent);
                    self.collect(&fragment.set, on, fields, seen)?;
                }
            }
        }
        Ok(())
    }

    /// What is asked of the values of these fields, all together.
    fn below(&mut self, group: &[Asked<'a>]) -> Checked<Vec<Asked<'a>>> {
        let (mut fields, mut seen) = (Vec::new(), HashSet::new());
        for asked in group {
            if let Some(set) = &asked.field.set {
                self.collect(set, asked.of.named(), &mut fields, &mut seen)?;
            }
        }
        Ok(fields)
    }

    fn groups(&mut self, fields: &[Asked<'a>]) -> Checked<Vec<Vec<Asked<'a>>>> {
        self.work.step(fields.len())?;
        let (mut groups, mut known) = (Vec::new(), HashMap::new());
        for asked in fields {
            let at = *known.entry(asked.field.key().text).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[at].push(*asked);
        }
        Ok(groups)
    }

    /// Values under one name must have one shape, whatever object they are of.
    fn shapes(&mut self, fields: &[Asked<'a>]) -> Checked {
        for group in self.groups(fields)? {
            let first = group[0];
            for other in &group[1..] {
                if !same_shape(self.scope.types, first.of, other.of) {
                    let types = self.scope.types;
                    let (one, two) = (types.shown(first.of), types.shown(other.of));
                    let reason = format!("one is {one:?}, the other {two:?}");
                    self.conflict(first, *other, &reason)?;
                    return Ok(());
                }
            }
            let below = self.below(&group)?;
            self.shapes(&below)?;
        }
        Ok(())
    }

    /// Fields under one name that can be asked of one object must be the same.
    fn parents(&mut self, fields: &[Asked<'a>]) -> Checked {
        for group in self.groups(fields)? {
            let types = self.scope.types;
            let mut objects: Vec<TypeId> = group.iter().map(|asked| asked.parent).collect();
            objects.retain(|parent| types.is_object(*parent));
            objects.sort_unstable();
            objects.dedup();
            if objects.len() < 2 {
                self.same(&group)?;
                continue;
            }
            for object in objects {
                self.work.step(group.len())?;
                let meets =
                    |asked: &&Asked<'a>| asked.parent == object || !types.is_object(asked.parent);
                let some: Vec<_> = group.iter().filter(meets).copied().collect();
                self.same(&some)?;
            }
        }
        Ok(())
    }

    fn same(&mut self, group: &[Asked<'a>]) -> Checked {
        self.work.step(group.len())?;
        let mut set: Vec<_> = group.iter().map(|asked| std::ptr::from_ref(asked.field)).collect();
        set.sort_unstable();
        if !self.seen.insert(set) {
            return Ok(());
        }
        let first = group[0];
        for other in &group[1..] {
            let (one, two) = (first.field.name.text, other.field.name.text);
            if one != two {
                return self.conflict(first, *other, &format!("{one:?} and {two:?} differ"));
            }
            if self.arguments(first.field)? != self.arguments(other.field)? {
                return self.conflict(first, *other, "their arguments differ");
            }
        }
        let below = self.below(group)?;
        self.parents(&below)
    }

    fn conflict(&mut self, one: Asked<'a>, other: Asked<'a>, reason: &str) -> Checked {
        let key = one.field.key();
        let message = format!(
            "Two fields cannot both be {:?} in the answer: {reason}. Give one of them an alias.",
            key.text
        );
        self.work.wrong(&[key.at, other.field.key().at], message)
    }

    /// A number that is the same for the same arguments, in whatever order.
    fn arguments(&mut self, field: &'a Field<'a>) -> Checked<usize> {
        if let Some(number) = self.arguments.get(&std::ptr::from_ref(field)) {
            return Ok(*number);
        }
        let mut text = String::new();
        write_fields(&field.arguments, &mut text);
        self.work.step(1 + text.len() / 16)?;
        let next = self.written.len();
        let number = *self.written.entry(text).or_insert(next);
        self.arguments.insert(field, number);
        Ok(number)
    }
}

fn same_shape(types: &Types, one: &Of, other: &Of) -> bool {
    one.nullable == other.nullable
        && match (&one.base, &other.base) {
            (Base::List(one), Base::List(other)) => same_shape(types, one, other),
            (Base::Named(one), Base::Named(other)) => {
                one == other || (types.is_composite(*one) && types.is_composite(*other))
            }
            _ => false,
        }
}

fn write_fields(fields: &[Argument<'_>], out: &mut String) {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by_key(|field| field.name.text);
    for field in sorted {
        out.push_str(field.name.text);
        out.push(':');
        write(&field.value, out);
        out.push(',');
    }
}

fn write(value: &Value<'_>, out: &mut String) {
    match &value.is {
        Is::Variable(name) => {
            out.push('$');
            out.push_str(name);
        }
        Is::Int(text) | Is::Float(text) | Is::Enum(text) => out.push_str(text),
        Is::String(text) => {
            // Its length comes first, so that nothing in it can be taken for something else.
            out.push_str(&format!("\"{}\"", text.len()));
            out.push_str(text);
        }
        Is::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Is::Null => out.push_str("null"),
        Is::List(values) => {
            out.push('[');
            for value in values {
                write(value, out);
                out.push(',');
            }
            out.push(']');
        }
        Is::Object(fields) => {
            out.push('{');
            write_fields(fields, out);
            out.push('}');
        }
    }
}
