//! What can be wrong with a file of the log.

use std::{
    io,
    path::{Path, PathBuf},
};

use hakken_commands::store::StoreError;
use hakken_domain::envelope::StreamId;

use crate::fault::{corrupt, unavailable};

/// Stored bytes that are no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::embedded) enum Damage {
    #[error("its first 64 bytes do not match their checksum")]
    Header,
    #[error("it should have {size} bytes and has {found}")]
    FileCutShort { found: u64, size: u64 },
    #[error("the events after position {after} do not match their checksum (byte {offset})")]
    Checksum { after: u64, offset: u64 },
    #[error("the events from position {first} do not belong behind position {after}")]
    Order { after: u64, first: u64 },
    #[error("the events after position {after} are missing: the next are those from {first}")]
    Gap { after: u64, first: u64 },
    #[error("the events after position {after} are missing")]
    Missing { after: u64 },
    #[error("the event at position {position} is cut short")]
    CutShort { position: u64 },
    #[error("the event at position {position} has a bad {what}: {found:?}")]
    BadText { position: u64, what: &'static str, found: String },
    #[error("bytes follow the event at position {position}")]
    TooLong { position: u64 },
    #[error("position {position} should be version {version} of {stream}, but is not")]
    Misplaced { position: u64, stream: StreamId, version: u64 },
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        corrupt(damage)
    }
}

/// Why a file of the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::embedded) enum LogFault {
    #[error("{}: {error}", file.display())]
    Io { file: PathBuf, error: io::Error },
    #[error("{}: {damage}", file.display())]
    Damaged { file: PathBuf, damage: Damage },
    #[error("{} is no file of events", file.display())]
    Foreign { file: PathBuf },
    #[error("{} has format {format}", file.display())]
    OtherFormat { file: PathBuf, format: u32 },
}

impl LogFault {
    pub(super) fn io(file: &Path, error: io::Error) -> Self {
        Self::Io { file: file.to_owned(), error }
    }

    pub(super) fn damaged(file: &Path, damage: Damage) -> Self {
        Self::Damaged { file: file.to_owned(), damage }
    }
}

impl From<LogFault> for StoreError {
    fn from(fault: LogFault) -> Self {
        match fault {
            LogFault::Io { .. } => unavailable(fault),
            _ => corrupt(fault),
        }
    }
}
