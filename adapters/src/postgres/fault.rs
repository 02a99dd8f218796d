//! What an error of PostgreSQL means for who asked.

use hakken_commands::store::StoreError;

use crate::fault::{corrupt, unavailable};

/// A server that is being started, stopped, changed for another, or has no connection left.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
const PASSING: [&str; 9] =
    ["57P01", "57P02", "57P03", "57P05", "53300", "25006", "40001", "40P01", "55P03"];

/// May the same question be answered a moment later?
pub(super) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        // What arrived is not what TLS allows, such as a certificate that is not trusted: the
        // next connection would be given the same one.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => false,
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| PASSING.contains(&&*code) || code.starts_with("08"))
        }
        _ => false,
    }
}

/// Nothing that PostgreSQL says forbids this process to write again: what it refuses it has rolled
/// back, a full disk included. But what became of an append whose answer is lost is not known.
pub(super) fn of(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => corrupt(error),
        error => unavailable(error),
    }
}
