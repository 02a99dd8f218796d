//! What stands in top-level `errors`: who may not, and what is down. Refusals by the rules are
//! data and stand in `userErrors`; their table is `refusals.rs`.
//! What each means for a client stands in `docs/errors.md`.

use async_graphql::{Error, ErrorExtensions, value};
use hakken_commands::engine::CommandError;
use hakken_domain::{apikey::Role, envelope::Position};

/// Why a field has no answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    NoKey,
    InvalidKey,
    Forbidden { role: Role, holders: &'static [Role] },
    OtherOrganizer,
    BadArgument { argument: String, reason: String },
    PastTooLong { most: u64, found: u64 },
    Busy,
    TooManyOperations { most: usize },
    TooSlow { seconds: u64, position: Option<Position> },
    ExportTooSlow { seconds: u64 },
    Contended { attempts: u32 },
    Unavailable,
    ReadsUnavailable,
    NotYetVisible { projection: &'static str, at: Position, wanted: Position },
    Stopped { projection: &'static str, at: Position, wanted: Position },
    Internal(String),
}

/// A role as the schema writes it.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Organizer => "ORGANIZER",
        Role::BoxOffice => "BOX_OFFICE",
        Role::Gate => "GATE",
        Role::Auditor => "AUDITOR",
        Role::Operator => "OPERATOR",
    }
}

impl Fault {
    /// An argument that cannot be read.
    pub(crate) fn argument(argument: impl Into<String>, reason: impl ToString) -> Self {
        Self::BadArgument { argument: argument.into(), reason: reason.to_string() }
    }

    /// As `extensions.code` says it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoKey | Self::InvalidKey => "UNAUTHENTICATED",
            Self::Forbidden { .. } | Self::OtherOrganizer => "FORBIDDEN",
            Self::BadArgument { .. } | Self::PastTooLong { .. } => "BAD_USER_INPUT",
            Self::Busy | Self::TooManyOperations { .. } => "THROTTLED",
            Self::TooSlow { .. } | Self::ExportTooSlow { .. } => "TOO_SLOW",
            Self::Contended { .. } => "CONTENDED",
            Self::Unavailable | Self::ReadsUnavailable => "SERVICE_UNAVAILABLE",
            Self::NotYetVisible { .. } => "NOT_YET_VISIBLE",
            Self::Stopped { .. } => "READ_MODEL_STOPPED",
            Self::Internal(_) => "INTERNAL_SERVER_ERROR",
        }
    }

    /// What happened, and what to do next.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::NoKey => "This needs an API key: send the header `Authorization: Bearer hk_…` \
                            (over WebSocket, `authorization` in the payload of connection_init)."
                .to_owned(),
            Self::InvalidKey => "The API key opens nothing: it is mistyped, unknown or revoked. \
                                 Ask whoever runs this engine for another one."
                .to_owned(),
            Self::Forbidden { role, holders } => {
                let names: Vec<_> = holders.iter().copied().map(role_name).collect();
                format!(
                    "A key with the role {} may not do this; it takes one of: {}.",
                    role_name(*role),
                    names.join(", ")
                )
            }
            Self::OtherOrganizer => {
                "Only an operator names another organizer than the one of the key.".to_owned()
            }
            Self::BadArgument { argument, reason } => {
                format!("The argument `{argument}` cannot be used: {reason}.")
            }
            Self::PastTooLong { most, .. } => format!(
                "More than {most} events would have to be read to tell how that stood. Ask for a \
                 smaller page, or for the elements of one show, order or buyer."
            ),
            Self::Busy => "Too many requests wait already. Nothing changed: try again in a \
                           second, with the same idempotency key."
                .to_owned(),
            Self::TooManyOperations { most } => format!(
                "At most {most} operations may run on one connection: end one, or open another \
                 connection."
            ),
            Self::TooSlow { seconds, position } => {
                let next = match position {
                    Some(position) => format!("subscribe again with `after: {position}`"),
                    None => "subscribe again".to_owned(),
                };
                format!(
                    "An answer waited {seconds} s to be taken, so nothing more is told here. \
                     Nothing is lost: {next}, and read faster."
                )
            }
            Self::ExportTooSlow { seconds } => format!(
                "Nothing was taken of the export for {seconds} s, so nothing more is told here. \
                 Nothing is lost: go on with `after` and this cursor, and read faster."
            ),
            Self::Contended { attempts } => format!(
                "Others changed the same thing {attempts} times in between. Nothing changed: try \
                 again, with the same idempotency key."
            ),
            Self::Unavailable => "The store cannot be used just now, and it is not known whether \
                                  this happened: try again with the same idempotency key, which \
                                  makes that safe."
                .to_owned(),
            Self::ReadsUnavailable => {
                "The read models cannot be used just now: try again in a moment.".to_owned()
            }
            Self::NotYetVisible { projection, at, wanted } => format!(
                "The read model {projection} is at position {at} and did not reach {wanted} in \
                 time: ask again."
            ),
            Self::Stopped { projection, at, wanted } => format!(
                "The read model {projection} has stopped at position {at}, before an event that it \
                 cannot fold, so it does not come to {wanted}. Ask without `atLeast` for what it \
                 shows of the time before, and tell whoever runs this engine."
            ),
            Self::Internal(_) => {
                "Something went wrong that is not your fault: report it with the request id."
                    .to_owned()
            }
        }
    }

    /// When the client may ask again, as `Retry-After` says it, too.
    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::Busy
            | Self::TooManyOperations { .. }
            | Self::Unavailable
            | Self::ReadsUnavailable
            | Self::NotYetVisible { .. } => Some(1),
            Self::Contended { .. } => Some(0),
            // An operator has to look at it first.
            Self::Stopped { .. } => Some(60),
            _ => None,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        if let Fault::Internal(reason) = &fault {
            tracing::error!(%reason, "a field could not be answered");
        }
        let code = fault.code();
        let error = Error::new(fault.message());
        error.extend_with(|_, extensions| {
            extensions.set("code", code);
            if let Fault::BadArgument { argument, .. } = &fault {
                extensions.set("argument", argument.as_str());
            }
            if let Fault::PastTooLong { most, found } = &fault {
                extensions.set("argument", "asOf");
                let limit = value!({ "name": "PAST_EVENTS", "most": most, "found": found });
                extensions.set("limit", limit);
            }
            if let Fault::Stopped { projection, at, .. } = &fault {
                extensions.set("readModel", *projection);
                extensions.set("position", at.0);
            }
            if let Fault::TooSlow { position: Some(position), .. } = &fault {
                extensions.set("position", position.0);
            }
            if let Some(seconds) = fault.retry_after_seconds() {
                extensions.set("retryAfterSeconds", seconds);
            }
        })
    }
}

/// The commands' errors that are faults; refusals are not.
pub(crate) fn infrastructure(error: &CommandError) -> Option<Fault> {
    match error {
        CommandError::Busy => Some(Fault::Busy),
        CommandError::Contended { attempts } => Some(Fault::Contended { attempts: *attempts }),
        CommandError::Unavailable => Some(Fault::Unavailable),
        CommandError::Rejected(_) | CommandError::KeyReused | CommandError::NotYours => None,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Value;

    use super::*;

    #[test]
    fn a_fault_of_the_engine_has_its_code_and_keeps_its_reason_to_the_log() {
        let error = Error::from(Fault::Internal("the table is on fire".to_owned()));
        let extensions = error.extensions.expect("extensions");
        assert_eq!(extensions.get("code"), Some(&Value::from("INTERNAL_SERVER_ERROR")));
        assert!(!error.message.contains("fire"), "{}", error.message);
        assert!(error.message.contains("request id"), "{}", error.message);
    }
}
