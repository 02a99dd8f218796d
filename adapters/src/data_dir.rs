//! The data directory: which file is where.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The paths below a data directory. Only `events` and `secret` must be kept (and backed up);
/// everything else is derived from them and may be deleted while no server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    /// The directory itself.
    pub root: PathBuf,
    /// The events: a directory of files.
    pub events: PathBuf,
    /// Which stream has its events where in the log; derived.
    pub index: PathBuf,
    /// Snapshots and checkpoints; derived.
    pub side: PathBuf,
    /// Read models; derived.
    pub read_models: PathBuf,
    /// The engine's secret: without it every ticket code and API key is dead.
    pub secret: PathBuf,
    /// Locked by the process that writes.
    pub lock: PathBuf,
    /// There while a history is on its way here: the events may be a part only.
    pub unfinished: PathBuf,
}

impl DataDir {
    /// The layout below `root`. Touches nothing.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            events: root.join("events"),
            index: root.join("index.db"),
            side: root.join("side.db"),
            read_models: root.join("read-models.db"),
            secret: root.join("secret"),
            lock: root.join("LOCK"),
            unfinished: root.join("UNFINISHED"),
            root,
        }
    }

    /// Makes the directory if it does not exist, durably.
    pub fn create(&self) -> io::Result<()> {
        if self.root.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.root)?;
        match self.root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => sync_dir(parent),
            None => sync_dir(Path::new(".")),
        }
    }
}

/// Makes what was created or renamed in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
