//! The values of variables, after section 6.1.2 of the specification. Mostly they are plainly what
//! is wanted, and stay as they are.

use std::collections::HashSet;

use async_graphql::{Name, Number, Value, Variables, indexmap::IndexMap};

use super::{
    ast::At,
    types::{Base, InputObject, Kind, Of, Scalar, TypeId, Types},
    work::{Limit, Refusal},
};

/// Most values in all variables, within lists and objects too.
pub(crate) const MAX_VALUES: usize = 200_000;
/// As `extensions.code` says it.
const BAD_VALUE: &str = "BAD_USER_INPUT";
/// Most errors that are told at once.
const MAX_ERRORS: usize = 8;

/// A variable of an operation.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) at: At,
    pub(super) of: Of,
    pub(super) has_default: bool,
}

impl Wanted {
    /// Whether it may be left out, so that what it stands for is as if it were not written.
    pub(super) fn may_be_omitted(&self) -> bool {
        self.of.nullable && !self.has_default
    }
}

struct Coerce<'a> {
    types: &'a Types,
    left: usize,
    errors: Vec<Refusal>,
    variable: &'a Wanted,
    /// Where in the variable, outermost first.
    path: Vec<String>,
}

/// Values as the operation wants them.
pub(super) fn coerce(
    types: &Types,
    wanted: &[Wanted],
    mut variables: Variables,
) -> Result<Variables, Vec<Refusal>> {
    let mut left = MAX_VALUES;
    let mut errors = Vec::new();
    for variable in wanted {
        let Some(given) = variables.get_mut(variable.name.as_str()) else {
            if !variable.of.nullable && !variable.has_default {
                let (name, of) = (&variable.name, types.shown(&variable.of));
                let message = format!("The variable \"${name}\", which is {of:?}, has no value.");
                errors.push(Refusal::at(BAD_VALUE, variable.at, message));
            }
            continue;
        };
        if plain(types, &variable.of, given, &mut left) {
            continue;
        }
        let path = Vec::new();
        let mut coerce = Coerce { types, left, errors, variable, path };
        *given = coerce.value(&variable.of, std::mem::take(given));
        (left, errors) = (coerce.left, coerce.errors);
        if left == 0 {
            let message = format!("The variables have more than {MAX_VALUES} values.");
            let (most, found) = (MAX_VALUES as u64, MAX_VALUES as u64 + 1);
            let limit = Some(Limit { name: "VALUES", most, found });
            return Err(vec![Refusal { limit, ..Refusal::new(BAD_VALUE, message) }]);
        }
    }
    if errors.is_empty() { Ok(variables) } else { Err(errors) }
}

/// Whether a value is what is wanted, and needs no change.
fn plain(types: &Types, of: &Of, value: &Value, left: &mut usize) -> bool {
    if *left == 0 {
        return false;
    }
    *left -= 1;
    match (&of.base, value) {
        (_, Value::Null) => of.nullable,
        (Base::List(of), Value::List(values)) => {
            values.iter().all(|value| plain(types, of, value, left))
        }
        (Base::List(_), _) => false,
        (Base::Named(id), value) => match (types.kind(*id), value) {
            (Kind::Scalar(Scalar::Other), _)
            | (Kind::Scalar(Scalar::String | Scalar::Id), Value::String(_))
            | (Kind::Scalar(Scalar::Boolean), Value::Boolean(_)) => true,
            (Kind::Scalar(Scalar::Float), Value::Number(number)) => number.is_f64(),
            (Kind::Scalar(Scalar::Int), Value::Number(number)) => {
                number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
            }
            (Kind::Enum(known), Value::String(name)) => known.contains(name),
            (Kind::Input(object), Value::Object(given)) => plain_object(types, object, given, left),
            _ => false,
        },
    }
}

fn plain_object(
    types: &Types,
    object: &InputObject,
    given: &IndexMap<Name, Value>,
    left: &mut usize,
) -> bool {
    let mut known = 0;
    let fields_are_plain = object.fields.iter().all(|input| match given.get(input.name.as_str()) {
        Some(value) => {
            known += 1;
            plain(types, &input.of, value, left)
        }
        None => !input.is_required(),
    });
    let is_one = given.len() == 1 && given.values().all(|value| *value != Value::Null);
    fields_are_plain && known == given.len() && (!object.one_of || is_one)
}

impl Coerce<'_> {
    fn wrong(&mut self, reason: &str) -> Value {
        if self.errors.len() < MAX_ERRORS {
            let place =
                self.path.iter().fold(self.variable.name.clone(), |place, part| place + "." + part);
            let message = format!("The variable \"${place}\" has no good value: {reason}.");
            self.errors.push(Refusal::at(BAD_VALUE, self.variable.at, message));
        }
        Value::Null
    }

    fn value(&mut self, of: &Of, value: Value) -> Value {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || self.errors.len() >= MAX_ERRORS {
            return Value::Null;
        }
        match (&of.base, value) {
            (_, Value::Null) if of.nullable => Value::Null,
            (_, Value::Null) => self.wrong(&format!("{:?} may not be null", self.types.shown(of))),
            (Base::List(of), Value::List(values)) => {
                let values = values.into_iter().enumerate().map(|(at, value)| {
                    self.path.push(at.to_string());
                    let value = self.value(of, value);
                    self.path.pop();
                    value
                });
                Value::List(values.collect())
            }
            // One value is taken for a list of one.
            (Base::List(of), value) => Value::List(vec![self.value(of, value)]),
            (Base::Named(id), value) => match (self.types.kind(*id), value) {
                (Kind::Input(object), Value::Object(given)) => self.object(*id, object, given),
                (kind, value) => match leaf(kind, value) {
                    Some(value) => value,
                    None => {
                        let of = self.types.name(*id).to_owned();
                        self.wrong(&format!("{of:?} is expected"))
                    }
                },
            },
        }
    }

    fn object(
        &mut self,
        id: TypeId,
        object: &InputObject,
        mut given: IndexMap<Name, Value>,
    ) -> Value {
        let mut made = IndexMap::with_capacity(given.len());
        let mut known = HashSet::new();
        for input in &object.fields {
            match given.get_mut(input.name.as_str()) {
                Some(value) => {
                    let value = std::mem::take(value);
                    self.path.push(input.name.clone());
                    made.insert(Name::new(&input.name), self.value(&input.of, value));
                    self.path.pop();
                    known.insert(input.name.as_str());
                }
                None if input.is_required() => {
                    let of = self.types.shown(&input.of);
                    self.wrong(&format!("the field {:?}, which is {of:?}, is missing", input.name));
                }
                None => {}
            }
        }
        for name in given.keys().filter(|name| !known.contains(name.as_str())) {
            let shown: String = name.chars().take(60).collect();
            let of = self.types.name(id).to_owned();
            self.wrong(&format!("{of:?} has no field {shown:?}"));
        }
        let is_one = made.len() == 1 && made.values().all(|value| *value != Value::Null);
        if object.one_of && !is_one && self.errors.is_empty() {
            let of = self.types.name(id).to_owned();
            self.wrong(&format!("{of:?} takes exactly one field"));
        }
        Value::Object(made)
    }
}

/// A scalar or the value of an enum; none if it is none of these.
fn leaf(kind: &Kind, value: Value) -> Option<Value> {
    match (kind, value) {
        (Kind::Scalar(Scalar::Other), value) => Some(value),
        (Kind::Scalar(Scalar::String | Scalar::Id), value @ Value::String(_)) => Some(value),
        (Kind::Scalar(Scalar::Boolean), value @ Value::Boolean(_)) => Some(value),
        (Kind::Scalar(Scalar::Id), Value::Number(number)) => {
            whole(&number).map(|number| Value::String(number.to_string()))
        }
        (Kind::Scalar(Scalar::Int), Value::Number(number)) => {
            let number = i32::try_from(whole(&number)?).ok()?;
            Some(Value::Number(number.into()))
        }
        (Kind::Scalar(Scalar::Float), Value::Number(number)) => {
            number.as_f64().and_then(Number::from_f64).map(Value::Number)
        }
        (Kind::Enum(known), Value::String(name)) if known.contains(&name) => {
            Some(Value::String(name))
        }
        _ => None,
    }
}

/// A number without a fraction, however it is written: `1.0` is one.
fn whole(number: &Number) -> Option<i64> {
    let exact = 2_f64.powi(53);
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= exact)?;
        Some(float as i64)
    })
}

/// Which variables were left out that may be.
pub(super) fn omitted<'a>(wanted: &'a [Wanted], given: &Variables) -> HashSet<&'a str> {
    let absent = wanted.iter().filter(|variable| {
        variable.may_be_omitted() && !given.contains_key(variable.name.as_str())
    });
    absent.map(|variable| variable.name.as_str()).collect()
}
