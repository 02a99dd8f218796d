//! A checked document in the form in which it is carried out: the one operation, and the fragments
//! that it uses.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, Number, Pos, Positioned, Value as Constant, indexmap::IndexMap, parser::types as out,
};
use async_graphql_value::Value as Mixed;

use super::ast::{
    Argument, Ast, At, Directive, Field, Is, Operation, Selection, Set, Value, Word, Written,
    WrittenBase,
};

/// Names, each made once.
#[derive(Default)]
struct Lower<'a> {
    names: HashMap<&'a str, Name>,
}

fn placed<T>(at: At, node: T) -> Positioned<T> {
    Positioned::new(node, Pos::from(at))
}

/// `fragments` are those that the operation uses.
pub(super) fn lower<'a>(
    ast: &'a Ast<'a>,
    operation: &'a Operation<'a>,
    fragments: &[usize],
) -> out::ExecutableDocument {
    let mut lower = Lower::default();
    let fragments = fragments.iter().map(|at| &ast.fragments[*at]);
    let fragments = fragments.map(|fragment| {
        let definition = out::FragmentDefinition {
            type_condition: lower.condition(fragment.on),
            directives: lower.directives(&fragment.directives),
            selection_set: lower.set(&fragment.set),
        };
        (lower.name(fragment.name.text), placed(fragment.name.at, definition))
    });
    let fragments = fragments.collect();
    let variables = operation.variables.iter().map(|variable| {
        let definition = out::VariableDefinition {
            name: lower.word(variable.name),
            var_type: placed(variable.name.at, lower.written(&variable.of)),
            // They say nothing to whoever carries the operation out.
            directives: Vec::new(),
            default_value: variable.default.as_ref().map(|value| placed(value.at, constant(value))),
        };
        placed(variable.name.at, definition)
    });
    let definition = out::OperationDefinition {
        ty: operation.kind,
        variable_definitions: variables.collect(),
        directives: lower.directives(&operation.directives),
        selection_set: lower.set(&operation.set),
    };
    let operations = out::DocumentOperations::Single(placed(operation.at, definition));
    out::ExecutableDocument { operations, fragments }
}

impl<'a> Lower<'a> {
    fn name(&mut self, text: &'a str) -> Name {
        self.names.entry(text).or_insert_with(|| Name::new(text)).clone()
    }

    fn word(&mut self, word: Word<'a>) -> Positioned<Name> {
        placed(word.at, self.name(word.text))
    }

    fn condition(&mut self, on: Word<'a>) -> Positioned<out::TypeCondition> {
        let on_name = self.word(on);
        placed(on.at, out::TypeCondition { on: on_name })
    }

    fn written(&mut self, written: &Written<'a>) -> out::Type {
        let base = match &written.base {
            WrittenBase::Named(name) => out::BaseType::Named(self.name(name.text)),
            WrittenBase::List(of) => out::BaseType::List(Box::new(self.written(of))),
        };
        out::Type { base, nullable: written.nullable }
    }

    fn set(&mut self, set: &'a Set<'a>) -> Positioned<out::SelectionSet> {
        let items = set.items.iter().map(|item| match item {
            Selection::Field(field) => {
                let at = field.key().at;
                placed(at, out::Selection::Field(placed(at, self.field(field))))
            }
            Selection::Spread(spread) => {
                let made = out::FragmentSpread {
                    fragment_name: self.word(spread.name),
                    directives: self.directives(&spread.directives),
                };
                placed(spread.at, out::Selection::FragmentSpread(placed(spread.at, made)))
            }
            Selection::Inline(inline) => {
                let made = out::InlineFragment {
                    type_condition: inline.on.map(|on| self.condition(on)),
                    directives: self.directives(&inline.directives),
                    selection_set: self.set(&inline.set),
                };
                placed(inline.at, out::Selection::InlineFragment(placed(inline.at, made)))
            }
        });
        placed(set.at, out::SelectionSet { items: items.collect() })
    }

    fn field(&mut self, field: &'a Field<'a>) -> out::Field {
        out::Field {
            alias: field.alias.map(|alias| self.word(alias)),
            name: self.word(field.name),
            arguments: self.arguments(&field.arguments),
            directives: self.directives(&field.directives),
            selection_set: match &field.set {
                Some(set) => self.set(set),
                None => placed(field.name.at, out::SelectionSet::default()),
            },
        }
    }

    fn directives(&mut self, directives: &'a [Directive<'a>]) -> Vec<Positioned<out::Directive>> {
        let each = directives.iter().map(|directive| {
            let made = out::Directive {
                name: self.word(directive.name),
                arguments: self.arguments(&directive.arguments),
            };
            placed(directive.at, made)
        });
        each.collect()
    }

    fn arguments(
        &mut self,
        arguments: &'a [Argument<'a>],
    ) -> Vec<(Positioned<Name>, Positioned<Mixed>)> {
        let each = arguments.iter().map(|argument| {
            let value = placed(argument.value.at, self.value(&argument.value));
            (self.word(argument.name), value)
        });
        each.collect()
    }

    fn value(&mut self, value: &'a Value<'a>) -> Mixed {
        match &value.is {
            Is::Variable(name) => Mixed::Variable(self.name(name)),
            Is::List(values) => Mixed::List(values.iter().map(|value| self.value(value)).collect()),
            Is::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|field| (self.name(field.name.text), self.value(&field.value)));
                Mixed::Object(fields.collect::<IndexMap<_, _>>())
            }
            _ => constant(value).into_value(),
        }
    }
}

/// A value without variables; where one stands, the check has refused the document.
pub(super) fn constant(value: &Value<'_>) -> Constant {
    match &value.is {
        Is::Variable(_) | Is::Null => Constant::Null,
        Is::Int(text) => Constant::Number(whole(text)),
        Is::Float(text) => Constant::Number(real(text)),
        Is::String(text) => Constant::String(text.clone().into_owned()),
        Is::Boolean(value) => Constant::Boolean(*value),
        Is::Enum(name) => Constant::Enum(Name::new(name)),
        Is::List(values) => Constant::List(values.iter().map(constant).collect()),
        Is::Object(fields) => {
            let fields =
                fields.iter().map(|field| (Name::new(field.name.text), constant(&field.value)));
            Constant::Object(fields.collect())
        }
    }
}

fn whole(text: &str) -> Number {
    let small = text.parse::<i64>().map(Number::from);
    small.or_else(|_| text.parse::<u64>().map(Number::from)).unwrap_or_else(|_| real(text))
}

/// A number beyond what can be written is a scalar's own to refuse, which the largest one is.
fn real(text: &str) -> Number {
    let number = text.parse::<f64>().unwrap_or(f64::MAX).clamp(f64::MIN, f64::MAX);
    Number::from_f64(number).unwrap_or_else(|| Number::from(0))
}

/// Takes out the arguments and fields of objects that stand for variables of which no value was
/// given: to leave one out is not to say null.
pub(super) fn omit(document: &mut out::ExecutableDocument, omitted: &HashSet<&str>) {
    if let out::DocumentOperations::Single(operation) = &mut document.operations {
        omit_in_set(&mut operation.node.selection_set.node, omitted);
    }
    for fragment in document.fragments.values_mut() {
        omit_in_set(&mut fragment.node.selection_set.node, omitted);
    }
}

fn omit_in_set(set: &mut out::SelectionSet, omitted: &HashSet<&str>) {
    for item in &mut set.items {
        match &mut item.node {
            out::Selection::Field(field) => {
                let field = &mut field.node;
                field.arguments.retain(|(_, value)| !is_omitted(&value.node, omitted));
                for (_, value) in &mut field.arguments {
                    omit_in_value(&mut value.node, omitted);
                }
                omit_in_set(&mut field.selection_set.node, omitted);
            }
            out::Selection::InlineFragment(inline) => {
                omit_in_set(&mut inline.node.selection_set.node, omitted);
            }
            out::Selection::FragmentSpread(_) => {}
        }
    }
}

fn is_omitted(value: &Mixed, omitted: &HashSet<&str>) -> bool {
    matches!(value, Mixed::Variable(name) if omitted.contains(name.as_str()))
}

fn omit_in_value(value: &mut Mixed, omitted: &HashSet<&str>) {
    match value {
        Mixed::List(values) => values.iter_mut().for_each(|value| omit_in_value(value, omitted)),
        Mixed::Object(fields) => {
            fields.retain(|_, value| !is_omitted(value, omitted));
            fields.values_mut().for_each(|value| omit_in_value(value, omitted));
        }
        _ => {}
    }
}
