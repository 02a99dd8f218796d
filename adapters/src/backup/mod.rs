//! Backups: one format for every store, in a directory.
//!
//! - `manifest.json` says what there is: positions, digests, and each part with its SHA-256.
//! - `FIRST.part` has the events from this position on (see `part`). A part never changes.
//! - `secret` is the engine's secret, unless it is kept elsewhere.
//!
//! Everything is written under another name, synced and then renamed, the manifest last. What no
//! manifest names does not count, so a backup that is cut off leaves the one before it whole. The
//! next one adds what is new. Read models, snapshots and the index of streams are derived and left
//! out.

mod manifest;
mod order;
mod part;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use hakken_domain::{
    envelope::Position,
    time::{NotATime, Timestamp},
};
use sha2::{Digest as _, Sha256};

pub use self::{
    manifest::{FORMAT, Manifest, Part, Run, SecretFile},
    order::NotNext,
    reader::{Backup, BackupEvents, Verified},
    writer::BackupWriter,
};
use crate::system::SecretError;

/// A digest as 64 hexadecimal digits.
fn hex(hasher: Sha256) -> String {
    let digest: [u8; 32] = hasher.finalize().into();
    HEXLOWER.encode(&digest)
}

fn sha256_of(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

const MANIFEST: &str = "manifest.json";
const SECRET: &str = "secret";

/// Why a backup cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is none.
    #[error(
        "there is no backup in {dir}: it has no manifest.json. A backup that was cut off before its end is none: run it again"
    )]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory is used for something else.
    #[error("{dir} holds {found}, which is no part of a backup: choose an empty directory")]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// What is in it.
        found: String,
    },
    /// Another process writes it.
    #[error("another process is writing a backup into {dir}: wait for its end")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{file} cannot be used: {source}. Check that the disk is not full, and who may use it")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A newer version wrote it.
    #[error(
        "{file} has format {found}, and this version reads formats up to {known}: use the version of Hakken that wrote it, or a newer one", known = FORMAT
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The format it has.
        found: u64,
    },
    /// The manifest is not as it was written.
    #[error("{file} is damaged: {reason}. {advice}", advice = OTHER)]
    Manifest {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A part is gone.
    #[error("{file} is missing, with the events {first} to {last}. {advice}", advice = OTHER)]
    PartMissing {
        /// The file.
        file: PathBuf,
        /// Its first event.
        first: Position,
        /// Its last event.
        last: Position,
    },
    /// A part is too short or too long.
    #[error(
        "{file} has {found} bytes and should have {bytes}: the events {first} to {last} are not all there. {advice}", advice = OTHER
    )]
    PartLength {
        /// The file.
        file: PathBuf,
        /// Bytes it has.
        found: u64,
        /// Bytes it should have.
        bytes: u64,
        /// Its first event.
        first: Position,
        /// Its last event.
        last: Position,
    },
    /// Bytes of a part are not as they were written.
    #[error("{file} is damaged behind position {after}, at byte {offset}: {reason}. {advice}", advice = OTHER)]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The last event that is good.
        after: Position,
        /// Where the block begins that is not.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Events do not go on where those before end.
    #[error("{file} is not the part that belongs there: {wrong}. {advice}", advice = OTHER)]
    Order {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        wrong: NotNext,
    },
    /// Events are in order, and still are not those that were written.
    #[error(
        "{file} has other events than those that were backed up, up to {last}: {what} differs. {advice}", advice = OTHER
    )]
    Other {
        /// The file.
        file: PathBuf,
        /// Its last event.
        last: Position,
        /// Which digest.
        what: &'static str,
    },
    /// The secret is not there, or is another one.
    #[error("{file}: {reason}. {advice}", advice = OTHER)]
    Secret {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The secret cannot be read.
    #[error(transparent)]
    UnreadableSecret(#[from] SecretError),
    /// The store's events are out of order.
    #[error("the store is damaged, or its positions have gaps, which no backup can have: {0}")]
    NotNext(#[from] NotNext),
    /// The store is not the one that was backed up here.
    #[error(
        "the events {first} to {last} of the store are not those in {file}: this is another store, or one that was restored to an earlier point and went on from there. {advice}", advice = ELSEWHERE
    )]
    OtherHistory {
        /// The part.
        file: PathBuf,
        /// Its first event.
        first: Position,
        /// Its last event.
        last: Position,
    },
    /// The store has fewer events than were backed up here.
    #[error(
        "the store ends at position {head}, and the backup in {dir} at {last}: this is another store, or one that has lost its newest events. {advice}", advice = ELSEWHERE
    )]
    Shorter {
        /// The directory.
        dir: PathBuf,
        /// Where the store ends.
        head: Position,
        /// Where the backup ends.
        last: Position,
    },
}

const OTHER: &str = "This copy is not complete: take another one to restore from, and make a new \
                     backup in a new directory";

const ELSEWHERE: &str = "Nothing was changed: keep this backup, and back up into a new directory";

impl BackupError {
    fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source }
    }
}

/// Up to where a history is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All of it.
    End,
    /// Up to this position, which is taken too.
    Position(Position),
    /// What was recorded by then.
    Time(Timestamp),
}

impl std::str::FromStr for Until {
    type Err = NotATime;

    /// A number is a position; anything else must be a time.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        match text.parse() {
            Ok(position) => Ok(Self::Position(Position(position))),
            Err(_) => text.parse().map(Self::Time),
        }
    }
}
