//! Values that a document says itself: each must be one that its place takes.

use std::collections::HashMap;

use crate::document::{
    ast::{Argument, At, Is, Value},
    types::{Base, Input, InputObject, Kind, Scalar, TypeId, Types},
    work::{Checked, Work},
};

/// What a place takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want<'a> {
    pub(super) base: &'a Base,
    pub(super) nullable: bool,
    /// Something stands there if nothing is given.
    pub(super) has_default: bool,
    /// It is the one field that is given of an object that takes exactly one.
    pub(super) one_of: bool,
}

impl<'a> Want<'a> {
    pub(super) fn of(input: &'a Input) -> Self {
        Self {
            base: &input.of.base,
            nullable: input.of.nullable,
            has_default: input.default.is_some(),
            one_of: false,
        }
    }

    /// What the elements of a list are to be. Where no list is taken, a list is taken for its
    /// elements, as the reference implementation has it.
    fn element(self) -> Self {
        let (base, nullable) = match self.base {
            Base::List(of) => (&of.base, of.nullable),
            Base::Named(_) => (self.base, true),
        };
        Self { base, nullable, has_default: false, one_of: false }
    }

    fn named(self) -> TypeId {
        match self.base {
            Base::Named(id) => *id,
            Base::List(of) => of.named(),
        }
    }

    /// As documents write it.
    pub(super) fn shown(self, types: &Types) -> String {
        let base = match self.base {
            Base::Named(id) => types.name(*id).to_owned(),
            Base::List(of) => format!("[{}]", types.shown(of)),
        };
        if self.nullable { base } else { base + "!" }
    }
}

/// A place where a variable stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use<'a> {
    pub(super) name: &'a str,
    pub(super) at: At,
    /// What the place takes; none where nobody knows.
    pub(super) want: Option<Want<'a>>,
}

struct Check<'a, 'w> {
    types: &'a Types,
    work: &'w mut Work,
    uses: &'w mut Vec<Use<'a>>,
}

/// Checks a value, and collects where variables stand in it.
pub(super) fn check<'a>(
    types: &'a Types,
    value: &'a Value<'a>,
    want: Option<Want<'a>>,
    work: &mut Work,
    uses: &mut Vec<Use<'a>>,
) -> Checked {
    Check { types, work, uses }.value(value, want, want.is_some())
}

impl<'a> Check<'a, '_> {
    /// `strict` is false within what a scalar of its own takes as it is.
    fn value(&mut self, value: &'a Value<'a>, want: Option<Want<'a>>, strict: bool) -> Checked {
        self.work.step(1)?;
        let Some(want) = want else { return self.loose(value) };
        match &value.is {
            Is::Variable(name) => {
                self.uses.push(Use { name, at: value.at, want: Some(want) });
                Ok(())
            }
            Is::Null if strict && !want.nullable => self.wrong(value, want),
            Is::Null => Ok(()),
            Is::List(values) => {
                let is_list = matches!(want.base, Base::List(_));
                if strict && !is_list && !self.is_open(want) {
                    self.wrong(value, want)?;
                }
                let within = want.element();
                values.iter().try_for_each(|each| self.value(each, Some(within), strict && is_list))
            }
            Is::Object(given) => match self.types.kind(want.named()) {
                Kind::Input(object) => self.object(value.at, given, (want.named(), object), strict),
                _ => {
                    if strict && !self.is_open(want) {
                        self.wrong(value, want)?;
                    }
                    self.loose(value)
                }
            },
            _ if strict && !self.takes(want.named(), &value.is) => self.wrong(value, want),
            _ => Ok(()),
        }
    }

    /// Where nobody knows what is wanted: only names can be wrong.
    fn loose(&mut self, value: &'a Value<'a>) -> Checked {
        match &value.is {
            Is::Variable(name) => {
                self.uses.push(Use { name, at: value.at, want: None });
                Ok(())
            }
            Is::List(values) => values.iter().try_for_each(|value| self.value(value, None, false)),
            Is::Object(fields) => {
                self.given(fields)?;
                fields.iter().try_for_each(|field| self.value(&field.value, None, false))
            }
            _ => Ok(()),
        }
    }

    /// The fields of an object by their names, which must be different.
    fn given(&mut self, fields: &'a [Argument<'a>]) -> Checked<HashMap<&'a str, &'a Argument<'a>>> {
        let mut given = HashMap::new();
        for field in fields {
            if let Some(first) = given.insert(field.name.text, field) {
                let places = [first.name.at, field.name.at];
                let message = format!("The field {:?} is given twice.", field.name.text);
                self.work.wrong(&places, message)?;
            }
        }
        Ok(given)
    }

    fn object(
        &mut self,
        at: At,
        fields: &'a [Argument<'a>],
        (id, object): (TypeId, &'a InputObject),
        strict: bool,
    ) -> Checked {
        self.work.step(fields.len() + object.fields.len())?;
        let given = self.given(fields)?;
        let known: HashMap<&str, &'a Input> =
            object.fields.iter().map(|input| (input.name.as_str(), input)).collect();
        for field in fields {
            let input = known.get(field.name.text).copied();
            if strict && input.is_none() {
                let (type_name, name) = (self.types.name(id), field.name.text);
                let message = format!("The type {type_name:?} has no field {name:?}.");
                self.work.wrong(&[field.name.at], message)?;
            }
            let want = input.map(|input| Want { one_of: object.one_of, ..Want::of(input) });
            self.value(&field.value, want, strict)?;
        }
        if !strict {
            return Ok(());
        }
        for missing in object.fields.iter().filter(|input| input.is_required()) {
            if !given.contains_key(missing.name.as_str()) {
                let of = self.types.shown(&missing.of);
                let (type_name, name) = (self.types.name(id), &missing.name);
                let message = format!("{type_name:?} needs the field {name:?}, which is {of:?}.");
                self.work.wrong(&[at], message)?;
            }
        }
        let is_one = matches!(fields, [only] if !matches!(only.value.is, Is::Null));
        if object.one_of && !is_one {
            let message = format!("{:?} takes exactly one field.", self.types.name(id));
            self.work.wrong(&[at], message)?;
        }
        Ok(())
    }

    fn wrong(&mut self, value: &'a Value<'a>, want: Want<'a>) -> Checked {
        let (wanted, found) = (want.shown(self.types), value.shown());
        self.work.wrong(&[value.at], format!("{wanted:?} is expected here, not {found}."))
    }

    /// A scalar that takes whatever it is given.
    fn is_open(&self, want: Want<'a>) -> bool {
        matches!(self.types.kind(want.named()), Kind::Scalar(Scalar::Other))
    }

    fn takes(&self, id: TypeId, value: &Is<'a>) -> bool {
        match (self.types.kind(id), value) {
            (Kind::Scalar(Scalar::Other), _) => true,
            (Kind::Scalar(Scalar::Int), Is::Int(text)) => text.parse::<i32>().is_ok(),
            (Kind::Scalar(Scalar::Float), Is::Int(text) | Is::Float(text)) => {
                text.parse::<f64>().is_ok_and(f64::is_finite)
            }
            (Kind::Scalar(Scalar::String | Scalar::Id), Is::String(_)) => true,
            (Kind::Scalar(Scalar::Id), Is::Int(_)) => true,
            (Kind::Scalar(Scalar::Boolean), Is::Boolean(_)) => true,
            (Kind::Enum(values), Is::Enum(name)) => values.contains(*name),
            _ => false,
        }
    }
}
