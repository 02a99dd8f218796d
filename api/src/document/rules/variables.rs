//! Variables: defined once, of types that take values, used, and only where their values fit.

use std::collections::HashMap;

use super::{
    Scope,
    fields::Uses,
    values::{self, Use, Want},
};
use crate::document::{
    ast::{Is, Operation, Variable},
    types::{Base, Of, Types},
    work::{Checked, Work},
};

struct Defined<'a> {
    variable: &'a Variable<'a>,
    /// None if there is no such type.
    of: Option<Of>,
    used: bool,
}

pub(super) fn check<'a>(scope: Scope<'a>, uses: &Uses<'a>, work: &mut Work) -> Checked {
    for (at, operation) in scope.ast.operations.iter().enumerate() {
        let mut defined = define(scope.types, operation, work)?;
        for usage in &uses.operations[at] {
            one_use(scope.types, &mut defined, usage, operation, work)?;
        }
        for fragment in scope.graph.used(at, work)? {
            for usage in &uses.fragments[fragment] {
                one_use(scope.types, &mut defined, usage, operation, work)?;
            }
        }
        for variable in &operation.variables {
            let name = variable.name;
            if defined.get(name.text).is_some_and(|defined| !defined.used) {
                let message = format!("The variable \"${}\" is never used.", name.text);
                work.wrong(&[name.at], message)?;
            }
        }
    }
    Ok(())
}

fn define<'a>(
    types: &'a Types,
    operation: &'a Operation<'a>,
    work: &mut Work,
) -> Checked<HashMap<&'a str, Defined<'a>>> {
    let mut defined = HashMap::new();
    for variable in &operation.variables {
        work.step(1)?;
        let (name, written) = (variable.name, variable.of.name());
        let of = types.resolve(&variable.of);
        match &of {
            None => {
                work.wrong(&[written.at], format!("There is no type {:?}.", written.text))?;
            }
            Some(of) if !types.is_input(of.named()) => {
                let of = types.shown(of);
                let message = format!("The variable \"${}\" cannot be {of:?}.", name.text);
                work.wrong(&[written.at], message)?;
            }
            Some(of) => check_default(types, variable, of, work)?,
        }
        let entry = Defined { variable, of, used: false };
        if let Some(first) = defined.insert(name.text, entry) {
            let places = [first.variable.name.at, name.at];
            let message = format!("There are two variables \"${}\".", name.text);
            work.wrong(&places, message)?;
        }
    }
    Ok(defined)
}

fn check_default<'a>(
    types: &Types,
    variable: &'a Variable<'a>,
    of: &Of,
    work: &mut Work,
) -> Checked {
    let Some(default) = &variable.default else { return Ok(()) };
    let want = Want { base: &of.base, nullable: of.nullable, has_default: false, one_of: false };
    // A default is constant: no variable is used in it.
    values::check(types, default, Some(want), work, &mut Vec::new())
}

fn one_use<'a>(
    types: &Types,
    defined: &mut HashMap<&'a str, Defined<'a>>,
    usage: &Use<'a>,
    operation: &Operation<'a>,
    work: &mut Work,
) -> Checked {
    work.step(1)?;
    let Some(found) = defined.get_mut(usage.name) else {
        let message = format!("The variable \"${}\" is not defined.", usage.name);
        return work.wrong(&[usage.at, operation.at], message);
    };
    found.used = true;
    let (Some(of), Some(want)) = (&found.of, usage.want) else { return Ok(()) };
    let default = found.variable.default.as_ref();
    let has_value = default.is_some_and(|default| !matches!(default.is, Is::Null));
    if !fits(of, want, has_value) || (want.one_of && of.nullable) {
        let message = format!(
            "The variable \"${}\", which is {:?}, cannot stand where {:?} is expected.",
            usage.name,
            types.shown(of),
            want.shown(types)
        );
        work.wrong(&[found.variable.name.at, usage.at], message)?;
    }
    Ok(())
}

/// Section 5.8.5: with a default on either side, a variable that may be null may stand where null
/// may not; what comes of an explicit null is told when the value is there.
fn fits(of: &Of, want: Want<'_>, has_value: bool) -> bool {
    let nullable_fits = want.nullable || has_value || want.has_default;
    (!of.nullable || nullable_fits)
        && match (&of.base, want.base) {
            (Base::Named(own), Base::Named(wanted)) => own == wanted,
            (Base::List(own), Base::List(wanted)) => own.fits(wanted),
            _ => false,
        }
}
