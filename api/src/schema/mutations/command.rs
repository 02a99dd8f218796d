//! What every mutation does around its command: who asks, the idempotency key, the fingerprint of
//! the request, and refusals with the field that they concern.

use std::{borrow::Cow, fmt::Write as _};

use async_graphql::{Context, ID, Value};
use hakken_commands::{
    desk::{DeskError, DeskRejection},
    engine::{Asker, CommandError, Receipt},
};
use hakken_domain::{
    envelope::{Fingerprint, StreamId},
    names::{CommandKey, OrganizerId},
};

use crate::{
    auth::{Caller, Right},
    codes::{ErrorCode, UserError},
    faults::{Fault, infrastructure},
    ids::GlobalId,
    metrics::Notice,
    refusals::{self, At, Refusal},
    schema::{
        context::{Answer, Asked, IdempotencyHeader},
        scalars::PositionScalar,
    },
};

/// Why a mutation did nothing.
pub(crate) enum Stop {
    /// The rules, or the input, say no: data.
    Refused(UserError),
    /// Something is down, or the caller may not: an error.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a payload says of the command that was carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) position: PositionScalar,
    pub(crate) repeated: bool,
}

impl From<&Receipt> for Stamp {
    fn from(receipt: &Receipt) -> Self {
        Self { position: PositionScalar(receipt.position), repeated: receipt.repeated }
    }
}

/// An answer that can say why nothing happened.
pub(crate) trait Payload: Sized {
    fn refused(error: UserError) -> Self;
}

/// Makes a payload type: nullable fields of its own, and those that every payload has.
macro_rules! payload {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)*
            /// Why nothing happened; empty if it did. Refusals are data: switch on their code.
            pub user_errors: Vec<$crate::codes::UserError>,
            /// Queries that say `atLeast` this position see what happened. Null if nothing did.
            pub position: Option<$crate::schema::scalars::PositionScalar>,
            /// It happened before: this is the answer to an earlier request with the same
            /// idempotency key.
            pub repeated: bool,
        }

        impl $name {
            pub(crate) fn done(
                stamp: $crate::schema::mutations::command::Stamp,
                $($field: impl Into<Option<$type>>,)*
            ) -> Self {
                Self {
                    $($field: $field.into(),)*
                    user_errors: Vec::new(),
                    position: Some(stamp.position),
                    repeated: stamp.repeated,
                }
            }
        }

        impl $crate::schema::mutations::command::Payload for $name {
            fn refused(error: $crate::codes::UserError) -> Self {
                Self {
                    $($field: None,)*
                    user_errors: vec![error],
                    position: None,
                    repeated: false,
                }
            }
        }
    };
}
pub(crate) use payload;

/// A request to change something.
pub(crate) struct Ask<'a> {
    pub(crate) asked: Asked<'a>,
    pub(crate) caller: &'a Caller,
    key: CommandKey,
    fingerprint: Fingerprint,
    input: Value,
}

/// Carries a mutation out: refusals become data.
pub(crate) async fn carry_out<'a, P: Payload, F>(
    ctx: &Context<'a>,
    right: Right,
    key: Option<String>,
    work: impl FnOnce(Ask<'a>) -> F,
) -> Answer<P>
where
    F: Future<Output = Result<P, Stop>>,
{
    let asked = Asked::of(ctx);
    let outcome = match Ask::new(ctx, asked, right, key) {
        Ok(ask) => work(ask).await,
        Err(stop) => Err(stop),
    };
    Some(match outcome {
        Ok(payload) => Ok(payload),
        Err(Stop::Refused(error)) => {
            let at = asked.api.write.engine().clock().now();
            let (caller, field) = (asked.anybody.0.as_ref(), ctx.field().name());
            let notice = Notice::now(at, caller, Some(field), &error.message);
            asked.metrics.refused(notice, error.code);
            Ok(P::refused(error))
        }
        Err(Stop::Fault(fault)) => Err(fault.into()),
    })
}

impl<'a> Ask<'a> {
    fn new(
        ctx: &Context<'a>,
        asked: Asked<'a>,
        right: Right,
        key: Option<String>,
    ) -> Result<Self, Stop> {
        let caller = asked.with(right)?;
        let arguments = ctx.field().arguments().map_err(|error| {
            Fault::Internal(format!("the arguments cannot be read again: {}", error.message))
        })?;
        let input = arguments.into_iter().find(|(name, _)| *name == "input");
        let input = input.map_or(Value::Null, |(_, value)| value);
        let key = key_of(key.as_deref(), asked.idempotency)
            .map_err(|reason| bad_input(Some("idempotencyKey"), reason))?;
        let key = key.parse().map_err(|error| bad_input(Some("idempotencyKey"), error))?;
        let fingerprint = fingerprint(ctx.field().name(), &input);
        Ok(Self { asked, caller, key, fingerprint, input })
    }

    /// The tenant of the caller, who has one by their role.
    pub(crate) fn organizer(&self) -> Result<OrganizerId, Stop> {
        self.caller
            .organizer
            .ok_or_else(|| self.stop(refusals::desk(&DeskRejection::OrganizerMissing)))
    }

    /// Who asks, for the write side.
    pub(crate) fn asker(&self, organizer: Option<OrganizerId>) -> Asker {
        Asker {
            organizer,
            actor: self.caller.actor(),
            key: Some((self.key.clone(), self.fingerprint)),
            cause: None,
            correlation: None,
        }
    }

    /// The idempotency key, from which ids of what is made are derived.
    pub(crate) fn key(&self) -> &CommandKey {
        &self.key
    }

    /// Reads a field that holds a name, a time or the like.
    pub(crate) fn read<T: std::str::FromStr>(&self, field: &str, text: &str) -> Result<T, Stop>
    where
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error: T::Err| bad_input(Some(field), error))
    }

    /// Reads a field that may be absent.
    pub(crate) fn maybe<T: std::str::FromStr>(
        &self,
        field: &str,
        text: Option<&str>,
    ) -> Result<Option<T>, Stop>
    where
        T::Err: std::fmt::Display,
    {
        text.map(|text| self.read(field, text)).transpose()
    }

    /// Reads a list.
    pub(crate) fn list<T: std::str::FromStr>(
        &self,
        field: &str,
        texts: &[String],
    ) -> Result<Vec<T>, Stop>
    where
        T::Err: std::fmt::Display,
    {
        let each = |(at, text): (usize, &String)| self.read(&format!("{field}.{at}"), text);
        texts.iter().enumerate().map(each).collect()
    }

    /// Reads a global id.
    pub(crate) fn id<T: GlobalId>(&self, field: &str, id: &ID) -> Result<T, Stop> {
        T::parse(id).map_err(|error| bad_input(Some(field), error))
    }

    /// What came of a command to a stream.
    pub(crate) fn told<T>(
        &self,
        stream: impl Into<StreamId>,
        outcome: Result<T, CommandError>,
    ) -> Result<T, Stop> {
        outcome.map_err(|error| match refusals::command(&error, stream.into()) {
            Some(refusal) => self.stop(refusal),
            None => Stop::Fault(
                infrastructure(&error).unwrap_or_else(|| Fault::Internal(error.to_string())),
            ),
        })
    }

    /// What came of asking the desk.
    pub(crate) fn desk<T>(
        &self,
        stream: impl Into<StreamId>,
        outcome: Result<T, DeskError>,
    ) -> Result<T, Stop> {
        match outcome {
            Ok(done) => Ok(done),
            Err(DeskError::Refused(rejection)) => Err(self.stop(refusals::desk(&rejection))),
            Err(DeskError::Command(error)) => self.told(stream, Err(error)),
        }
    }

    /// A refusal, with the path of the field that it concerns.
    pub(crate) fn stop(&self, refusal: Refusal) -> Stop {
        let Refusal { code, message, at } = refusal;
        let field = match at {
            At::Nowhere => None,
            At::Field(names) => {
                names.iter().find_map(|name| path_of(&self.input, &[name], None, None))
            }
            At::Value(names, value) => path_of(&self.input, names, Some(&value), None),
        };
        Stop::Refused(UserError { code, message: message.into_owned(), field })
    }
}

/// The one idempotency key of a mutation, wherever it stands.
fn key_of<'k>(
    input: Option<&'k str>,
    header: &'k IdempotencyHeader,
) -> Result<&'k str, &'static str> {
    match (input, header.key()) {
        (None, None) => Err("an idempotency key is needed, in the input or in the header \
             Idempotency-Key: a text of your choice, up to 128 characters, fresh for every new \
             request and the same when you send one again"),
        (Some(key), None) => Ok(key),
        (Some(key), Some(other)) if key != other => {
            Err("the header Idempotency-Key says another key than the input: send one of them")
        }
        (_, Some(key)) if header.take() => Ok(key),
        (_, Some(_)) => {
            Err("the header Idempotency-Key stands for one mutation: if a request has \
             several, give each its own key in its input, and send no header")
        }
    }
}

/// A field that cannot be read.
pub(crate) fn bad_input(field: Option<&str>, reason: impl std::fmt::Display) -> Stop {
    let reason = reason.to_string();
    let mut message = String::with_capacity(reason.len() + 1);
    let mut chars = reason.chars();
    message.extend(chars.next().into_iter().flat_map(char::to_uppercase));
    message.push_str(chars.as_str());
    message.push('.');
    let field = field.map(ToOwned::to_owned);
    Stop::Refused(UserError { code: ErrorCode::BadUserInput, message, field })
}

/// Where a field of one of these names stands, with this value in or below it if one is given.
fn path_of(
    value: &Value,
    names: &[&str],
    wanted: Option<&str>,
    path: Option<(&str, bool)>,
) -> Option<String> {
    let below = |part: &str| match path {
        Some((path, _)) => format!("{path}.{part}"),
        None => part.to_owned(),
    };
    let inside = path.is_some_and(|(_, inside)| inside);
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let named = names.contains(&name.as_str());
            let path = below(name);
            if named && wanted.is_none() && *value != Value::Null {
                return Some(path);
            }
            path_of(value, names, wanted, Some((&path, named)))
        }),
        Value::List(values) => values.iter().enumerate().find_map(|(at, value)| {
            path_of(value, names, wanted, Some((&below(&at.to_string()), inside)))
        }),
        Value::Null => None,
        leaf => {
            let text = match leaf {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                leaf => Cow::Owned(leaf.to_string()),
            };
            let (path, _) = path.filter(|(_, inside)| *inside)?;
            (wanted == Some(text.as_ref())).then(|| path.to_owned())
        }
    }
}

/// Of the mutation's name and its input, without nulls and without the key itself: two requests
/// that say the same in another order, or through variables, are the same.
fn fingerprint(mutation: &str, input: &Value) -> Fingerprint {
    let mut text = format!("{mutation}\n");
    write_canonical(&mut text, input, true);
    Fingerprint::of(text.as_bytes())
}

fn write_canonical(out: &mut String, value: &Value, top: bool) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields
                .iter()
                .filter(|(name, value)| {
                    **value != Value::Null && !(top && name.as_str() == "idempotencyKey")
                })
                .collect();
            sorted.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
            out.push('{');
            for (at, (name, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(out, name.as_str());
                out.push(':');
                write_canonical(out, value, false);
            }
            out.push('}');
        }
        Value::List(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(out, value, false);
            }
            out.push(']');
        }
        Value::String(text) => write_text(out, text),
        // An enum value is written like the text that stands for it in variables.
        Value::Enum(name) => write_text(out, name.as_str()),
        other => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{other}");
        }
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: serde_json::Value) -> Value {
        Value::from_json(json).unwrap()
    }

    #[test]
    fn the_fingerprint_of_a_request_is_the_same_for_ever() {
        let request = value(serde_json::json!({
            "show": "show_1", "seats": ["A1", "A2"], "ttlSeconds": 600, "idempotencyKey": "k"
        }));
        assert_eq!(fingerprint("holdSeats", &request).to_string(), "145c6f8efce2ae3d");
    }

    #[test]
    fn order_nulls_and_the_key_make_no_difference_and_all_else_does() {
        let json = serde_json::json!({"a": [1, {"x": "A", "y": null}], "b": "B"});
        let one = fingerprint("m", &value(json));
        let same = serde_json::json!({
            "b": "B", "idempotencyKey": "k", "c": null, "a": [1, {"x": "A"}]
        });
        assert_eq!(one, fingerprint("m", &value(same)));
        assert_ne!(one, fingerprint("n", &value(serde_json::json!({"b": "B"}))));
        let moved = serde_json::json!({"a": [1, {"x": "B"}], "b": "A"});
        assert_ne!(one, fingerprint("m", &value(moved)));
    }

    #[test]
    fn a_value_is_found_where_it_stands() {
        let input = value(serde_json::json!({
            "buyer": "A2",
            "seats": ["A1", "A2"],
            "lines": [{"hold": "h1"}, {"hold": "h2", "tickets": [{"seat": "B1"}]}],
            "items": [3, 5],
            "nothing": null
        }));
        let seat = |id| path_of(&input, &["seats", "seat"], Some(id), None);
        assert_eq!(seat("A2").as_deref(), Some("seats.1"));
        assert_eq!(seat("B1").as_deref(), Some("lines.1.tickets.0.seat"));
        assert_eq!(seat("C1"), None);
        let item = path_of(&input, &["items"], Some("5"), None);
        assert_eq!(item.as_deref(), Some("items.1"));
        let hold = path_of(&input, &["hold"], Some("h2"), None);
        assert_eq!(hold.as_deref(), Some("lines.1.hold"));
        assert_eq!(path_of(&input, &["buyer"], None, None).as_deref(), Some("buyer"));
        assert_eq!(path_of(&input, &["nothing"], None, None), None);
    }
}
