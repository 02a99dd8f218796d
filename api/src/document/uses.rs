//! Where variables stand, and what that takes: each place that a variable stands in has a copy of
//! its value, so that a large one that stands in many places is many times as large.

use std::collections::HashMap;

use async_graphql::{Value as Given, Variables};

use super::{
    ast::{Argument, Is, Value},
    work::{Checked, Limit, Refusal, Work},
};

/// Most bytes of the values of variables, wherever they stand: the largest body, twice.
const MAX_BYTES: u64 = 16 << 20;
/// What a value takes beside its text.
const VALUE: u64 = 64;

/// The variables that stand in several places of an operation, with how many these are.
#[derive(Debug, Default)]
pub(super) struct Uses<'a>(HashMap<&'a str, u64>);

impl<'a> Uses<'a> {
    /// The arguments of one more field.
    pub(super) fn count(&mut self, arguments: &'a [Argument<'a>], work: &mut Work) -> Checked {
        arguments.iter().try_for_each(|argument| self.value(&argument.value, work))
    }

    fn value(&mut self, value: &'a Value<'a>, work: &mut Work) -> Checked {
        work.step(1)?;
        match &value.is {
            Is::Variable(name) => {
                *self.0.entry(name).or_default() += 1;
                Ok(())
            }
            Is::List(values) => values.iter().try_for_each(|value| self.value(value, work)),
            Is::Object(fields) => self.count(fields, work),
            _ => Ok(()),
        }
    }

    /// Those that stand in more than one place. One place has no more than the request itself.
    pub(super) fn several(self) -> Vec<(String, u64)> {
        let several = self.0.into_iter().filter(|(_, places)| *places > 1);
        several.map(|(name, places)| (name.to_owned(), places)).collect()
    }
}

/// Whether the values have room wherever they stand.
pub(super) fn check(several: &[(String, u64)], variables: &Variables) -> Result<(), Refusal> {
    let mut found: u64 = 0;
    for (name, places) in several {
        let value = variables.get(name.as_str());
        found = found.saturating_add(value.map_or(0, bytes).saturating_mul(*places));
    }
    if found <= MAX_BYTES {
        return Ok(());
    }
    let message = format!(
        "The values of the variables take {found} bytes where they stand, at most {MAX_BYTES} are \
         allowed: a large value stands in several places. Send several requests."
    );
    let limit = Some(Limit { name: "VALUE_BYTES", most: MAX_BYTES, found });
    Err(Refusal { limit, ..Refusal::new("BAD_USER_INPUT", message) })
}

fn bytes(value: &Given) -> u64 {
    VALUE
        + match value {
            Given::String(text) => text.len() as u64,
            Given::List(values) => values.iter().map(bytes).sum(),
            Given::Object(fields) => {
                fields.iter().map(|(name, value)| name.len() as u64 + bytes(value)).sum()
            }
            _ => 0,
        }
}
