//! Opening a store: whose it is, whether it can be read, what is in it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hakken_commands::store::StoreError;
use hakken_domain::{envelope::Position, time::Timestamp};
use tokio::sync::Mutex;

use super::{
    EmbeddedReader, EmbeddedStore, Reads, Shared,
    db::{DerivedError, DerivedOpenError},
    index::{self, Index},
    log::{self, Log, LogFault, LogOptions, Tail},
    side::{self, Side},
    writer::Writer,
};
use crate::{
    data_dir::{DataDir, DirLock, LockError},
    live::LiveFeed,
};

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Most bytes that the events may take; more is refused like a full disk. None: as
    /// many as the disk takes.
    pub max_events_bytes: Option<u64>,
    /// Bytes of a file of events; the first ones are smaller.
    pub segment_bytes: u64,
    /// The newest events are indexed in memory; so many of them become a part of `index.db` at
    /// once.
    pub index_flush_events: usize,
    /// Open it also while it holds a part of a history only, to bring the rest (see
    /// `unfinished`).
    pub may_be_unfinished: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            max_events_bytes: None,
            segment_bytes: 64 << 20,
            index_flush_events: 65_536,
            may_be_unfinished: false,
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open for writing.
    #[error(
        "{dir} is in use by another Hakken process: stop that one first, or use another data directory"
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// There is a file, and it is no Hakken store.
    #[error("{file} is not a Hakken event store: choose another data directory")]
    NotAStore {
        /// The file.
        file: PathBuf,
    },
    /// A history is on its way here, or was cut off on it.
    #[error(
        "{dir} holds a part of a history only: what was bringing it here (`hakken restore`) has not come to its end. Run that again, or use another data directory"
    )]
    Unfinished {
        /// The data directory.
        dir: PathBuf,
    },
    /// There is nothing to read.
    #[error("{file} does not exist: is this the data directory of a Hakken server?")]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{file} has format {found}, and this version reads formats up to {known}: use the version of Hakken that wrote it, or a newer one"
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest format that is known here.
        known: u64,
    },
    /// A version before the first release wrote it, in a form that is read no more.
    #[error(
        "{file} has events in a form that only the version of Hakken that wrote it can read: use that version, or another data directory"
    )]
    Older {
        /// The file.
        file: PathBuf,
    },
    /// What is stored is broken.
    #[error(
        "{file} is damaged: {source}. Keep a copy of the file, then restore it from a backup or a replica"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The newest events are cut off, although they were acknowledged.
    #[error(
        "{file} breaks off within what stands behind position {head}, but {witness} has seen the events up to position {seen}: they were acknowledged, and are lost here. Keep a copy of the data directory, then restore the file from a backup or a replica. To go on without these events, remove index.db and side.db first"
    )]
    CutOff {
        /// The file of events.
        file: PathBuf,
        /// The newest event that is whole.
        head: Position,
        /// The newest event that was acknowledged, as far as anybody knows.
        seen: Position,
        /// The file that knows of it.
        witness: PathBuf,
    },
    /// The newest events are missing, although they were acknowledged.
    #[error(
        "{file} ends with position {head}, but {witness} has seen the events up to position {seen}: they were acknowledged, and are missing here. Keep a copy of the data directory, then restore the events from a backup or a replica. To go on without these events, as after putting an older backup back, remove index.db and side.db first"
    )]
    Missed {
        /// The newest file of events.
        file: PathBuf,
        /// The newest event that is there.
        head: Position,
        /// The newest event that was acknowledged, as far as anybody knows.
        seen: Position,
        /// The file that knows of it.
        witness: PathBuf,
    },
    /// A file cannot be read or written.
    #[error(
        "{file} cannot be opened: {source}. Check that the disk is not full, and that this user may read and write the data directory"
    )]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn unusable(
    file: PathBuf,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OpenError {
    OpenError::Unusable { file, source: error.into() }
}

/// What a fault of the log while opening means.
fn log_failed(fault: LogFault) -> OpenError {
    match fault {
        LogFault::Io { file, error } => unusable(file, error),
        LogFault::Damaged { file, damage } => OpenError::Damaged { file, source: damage.into() },
        LogFault::Foreign { file } => OpenError::NotAStore { file },
        LogFault::OtherFormat { file, format } => {
            OpenError::Newer { file, found: format.into(), known: log::FORMAT.into() }
        }
    }
}

fn store_failed(dir: &DataDir, error: StoreError) -> OpenError {
    let file = dir.events.clone();
    match error.kind {
        hakken_commands::store::StoreErrorKind::Corrupt => {
            OpenError::Damaged { file, source: error.source }
        }
        _ => OpenError::Unusable { file, source: error.source },
    }
}

fn derived_failed(dir: &DataDir, file: &Path, error: DerivedOpenError) -> OpenError {
    match error {
        DerivedOpenError::File(DerivedError::Sqlite(error)) => unusable(file.to_owned(), error),
        DerivedOpenError::File(DerivedError::Io(error)) => unusable(file.to_owned(), error),
        DerivedOpenError::Store(error) => store_failed(dir, error),
    }
}

/// Takes the lock of a data directory, which is made if it is missing.
fn lock(dir: &DataDir) -> Result<DirLock, OpenError> {
    DirLock::take(dir).map_err(|error| match error {
        LockError::Taken => OpenError::InUse { dir: dir.root.clone() },
        LockError::Io { path, source } => unusable(path, source),
    })
}

async fn last_recorded_at(log: &Log, head: Position) -> Result<Timestamp, StoreError> {
    let newest = log.read_all(Position(head.0.saturating_sub(1)), 1).await?;
    Ok(newest.first().map_or(Timestamp::default(), |event| event.recorded_at))
}

/// The newest position that the files beside the events have seen, and which of them has.
async fn seen(dir: &DataDir, log: &Log, head: Position) -> Option<(Position, PathBuf)> {
    let index = index::seen(&dir.index, log, head).await.map(|seen| (seen, dir.index.clone()));
    let side = side::seen(&dir.side, &log.store_id()).await.map(|seen| (seen, dir.side.clone()));
    index.into_iter().chain(side).max_by_key(|(seen, _)| *seen)
}

/// Opens the events for writing. What a crash had left of an append is dropped, unless somebody
/// knows that it was whole once: then it was acknowledged. `index.db` and `side.db` take note of
/// events only when these are durable, so what they have seen and is not there is lost.
async fn open_log(dir: &DataDir, options: &OpenOptions) -> Result<(Log, Position), OpenError> {
    let options =
        LogOptions { segment_bytes: options.segment_bytes, max_bytes: options.max_events_bytes };
    let (log, tail) = Log::open(&dir.events, &options).map_err(log_failed)?;
    let head = log.head().await.map_err(|error| store_failed(dir, error))?;
    if let Some((seen, witness)) = seen(dir, &log, head).await.filter(|(seen, _)| *seen > head) {
        let file = log.newest_file();
        return Err(match tail {
            Tail::CutOff { .. } => OpenError::CutOff { file, head, seen, witness },
            Tail::Clean => OpenError::Missed { file, head, seen, witness },
        });
    }
    if let Tail::CutOff { used_end } = tail {
        log.drop_cut_off(used_end).map_err(log_failed)?;
        tracing::warn!("an append that was cut off, and so never acknowledged, was dropped");
    }
    Ok((log, head))
}

/// Opens a store for writing.
pub(super) async fn open(dir: &DataDir, options: &OpenOptions) -> Result<EmbeddedStore, OpenError> {
    let lock = lock(dir)?;
    if dir.unfinished.exists() && !options.may_be_unfinished {
        return Err(OpenError::Unfinished { dir: dir.root.clone() });
    }
    // Taken for an empty store, it would be as good as lost.
    let older = dir.root.join("events.db");
    if older.exists() {
        return Err(OpenError::Older { file: older });
    }
    let (log, head) = open_log(dir, options).await?;
    let failed = |error| store_failed(dir, error);
    let newest = last_recorded_at(&log, head).await.map_err(failed)?;
    let flush_events = options.index_flush_events.max(1);
    let (index, keeper) = Index::open(&dir.index, &log, head, flush_events)
        .await
        .map_err(|error| derived_failed(dir, &dir.index, error))?;
    let side = Side::open(&dir.side, &log.store_id(), head)
        .await
        .map_err(|error| derived_failed(dir, &dir.side, error))?;
    log.prepare();
    Ok(EmbeddedStore {
        shared: Arc::new(Shared {
            reads: Reads { log, index },
            writer: Mutex::new(Writer::new(head, newest, lock)),
            unfinished: dir.unfinished.clone(),
            live: Arc::new(LiveFeed::new(head)),
            side,
        }),
        keeper: tokio::spawn(keeper.keep()),
    })
}

/// Opens a store for reading, while a server may be writing it.
pub(super) async fn open_read_only(dir: &DataDir) -> Result<EmbeddedReader, OpenError> {
    let Some(log) = Log::open_read_only(&dir.events).map_err(log_failed)? else {
        return Err(OpenError::Missing { file: dir.events.clone() });
    };
    let failed = |error| store_failed(dir, error);
    let before = log.head().await.map_err(failed)?;
    if let Some((seen, witness)) = seen(dir, &log, before).await {
        // What was seen by then is there by now, whoever writes meanwhile.
        let head = log.head().await.map_err(failed)?;
        if seen > head {
            return Err(OpenError::Missed { file: log.newest_file(), head, seen, witness });
        }
    }
    Ok(EmbeddedReader { log, index: dir.index.clone(), side: dir.side.clone() })
}
