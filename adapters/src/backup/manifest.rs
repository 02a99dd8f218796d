//! What a backup says of itself: `manifest.json`.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use hakken_domain::{chain::Chain, envelope::Position, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    BackupError, MANIFEST,
    part::{DRAFT_ENDING, ENDING},
    sha256_of,
};
use crate::data_dir::sync_dir;

/// The newest format that is known here.
pub const FORMAT: u32 = 1;

/// A backup's manifest. THESE NAMES ARE THE STORAGE FORMAT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this file and of the parts.
    pub format: u32,
    /// The version of Hakken that wrote it last.
    pub engine: String,
    /// The kind of store that it was made from.
    pub store: String,
    /// The position of its first event; 0 if there is none.
    pub first: Position,
    /// The position of its last event; 0 if there is none.
    pub last: Position,
    /// How many events there are.
    pub events: u64,
    /// When the last one was recorded.
    pub last_recorded_at: Option<Timestamp>,
    /// The digest of the whole history (see `hakken_domain::chain`).
    pub chain: String,
    /// The engine's secret; none if it is kept elsewhere.
    pub secret: Option<SecretFile>,
    /// The files of events, oldest first.
    pub parts: Vec<Part>,
    /// Each time that a backup was made into this directory, oldest first.
    pub runs: Vec<Run>,
    /// SHA-256 of this file without this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

/// The file of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFile {
    /// Its length.
    pub bytes: u64,
    /// Of its bytes.
    pub sha256: String,
}

/// A file of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the directory.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Of its bytes.
    pub sha256: String,
    /// The position of its first event.
    pub first: Position,
    /// The position of its last event.
    pub last: Position,
    /// When the last one was recorded.
    pub last_recorded_at: Timestamp,
    /// The digest of the history up to its end.
    pub chain: String,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When.
    pub taken_at: Timestamp,
    /// Up to where.
    pub position: Position,
    /// How far each process had answered the events. All its answers are at this position or
    /// before.
    pub checkpoints: BTreeMap<String, Position>,
}

/// Writes a small file, whole and durable or not at all.
pub(super) fn put(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), BackupError> {
    let (path, draft) = (dir.join(name), dir.join(format!("{name}{DRAFT_ENDING}")));
    let write = || {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        sync_dir(dir)
    };
    write().map_err(|error| BackupError::io(&path, error))
}

fn no_chain() -> String {
    Chain::default().digest()
}

impl Manifest {
    /// Of a backup without events.
    pub(super) fn empty() -> Self {
        Self {
            format: FORMAT,
            engine: String::new(),
            store: String::new(),
            first: Position(0),
            last: Position(0),
            events: 0,
            last_recorded_at: None,
            chain: no_chain(),
            secret: None,
            parts: Vec::new(),
            runs: Vec::new(),
            check: None,
        }
    }

    /// Reads that of a directory. None if there is none.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, BackupError> {
        let file = dir.join(MANIFEST);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BackupError::io(&file, error)),
        };
        let damaged = |reason: String| BackupError::Manifest { file: file.clone(), reason };
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if let Some(found) = value["format"].as_u64().filter(|found| *found > FORMAT.into()) {
            return Err(BackupError::Newer { file, found });
        }
        let manifest: Self =
            serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        if manifest.sealed().1 != bytes {
            return Err(damaged("it is not as it was written".to_owned()));
        }
        manifest.agrees().map_err(damaged)?;
        Ok(Some(manifest))
    }

    /// With its check, and as it stands in the file.
    pub(super) fn sealed(&self) -> (Self, Vec<u8>) {
        let text = |manifest: &Self| {
            let mut text = serde_json::to_vec_pretty(manifest).expect("a manifest has a JSON form");
            text.push(b'\n');
            text
        };
        let mut sealed = Self { check: None, ..self.clone() };
        sealed.check = Some(sha256_of(&text(&sealed)));
        let text = text(&sealed);
        (sealed, text)
    }

    /// Whether what it says of the whole is what it says of the parts.
    fn agrees(&self) -> Result<(), String> {
        let mut last = Position(0);
        for part in &self.parts {
            if part.first.0 != last.0 + 1 || part.last < part.first {
                return Err(format!("{} does not go on behind position {last}", part.file));
            }
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
            if !part.file.chars().all(plain) || !part.file.ends_with(ENDING) {
                return Err(format!("{:?} is no name of a part", part.file));
            }
            last = part.last;
        }
        let newest = self.parts.last();
        let agrees = self.first == self.parts.first().map_or(Position(0), |part| part.first)
            && self.last == last
            && self.events == last.0
            && self.chain == newest.map_or_else(no_chain, |part| part.chain.clone())
            && self.last_recorded_at == newest.map(|part| part.last_recorded_at)
            && self.runs.last().map_or(Position(0), |run| run.position) == last;
        if agrees { Ok(()) } else { Err("its parts are not what it says of the whole".to_owned()) }
    }

    /// Writes it into its directory: it is the whole one there, or the one before stays.
    pub(super) fn write(&self, dir: &Path) -> Result<Self, BackupError> {
        let (sealed, text) = self.sealed();
        put(dir, MANIFEST, &text, 0o644)?;
        Ok(sealed)
    }

    /// How far each process had answered the events when the history went no further than to this
    /// position. What it answered later is not in that history.
    pub fn checkpoints_at(&self, position: Position) -> BTreeMap<String, Position> {
        let fit = self.runs.iter().rev().find(|run| run.position <= position);
        fit.map(|run| run.checkpoints.clone()).unwrap_or_default()
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}
