//! What an error of SQLite means for who asked.

use hakken_commands::store::StoreError;

use crate::fault::{corrupt, fatal, unavailable};

// Result codes of SQLite, <https://www.sqlite.org/rescode.html>.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;
/// A page that should be in the file is not.
const SHORT_READ: i32 = 522;

/// The extended result code, if SQLite gave one.
fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// The primary result code, if SQLite gave one.
fn code(error: &sqlx::Error) -> Option<i32> {
    extended_code(error).map(|code| code & 0xff)
}

/// Whether the file itself is broken or no database.
pub(super) fn is_damaged(error: &sqlx::Error) -> bool {
    // A value of another type than the table was made with was not written by SQLite.
    matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
        || matches!(code(error), Some(CORRUPT | NOT_A_DATABASE))
        || extended_code(error) == Some(SHORT_READ)
}

/// A read that failed.
pub(crate) fn read_failed(error: sqlx::Error) -> StoreError {
    if is_damaged(&error) { corrupt(error) } else { unavailable(error) }
}

/// A write that failed. Only somebody else's lock is known to have left nothing behind; after
/// anything else (a full disk, a failed sync) this process must not write again.
pub(super) fn write_failed(error: sqlx::Error) -> StoreError {
    match code(&error) {
        Some(BUSY | LOCKED) => unavailable(error),
        _ => fatal(error),
    }
}
