//! The data directory: which file is where, and whose it is.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
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

/// A data directory taken for this process alone, as long as this value lives.
///
/// Dropping it unlocks the file and does not only close it: a child of this process that has not
/// begun its own program yet has a copy of every descriptor, and would keep the lock by it.
#[derive(Debug)]
pub struct DirLock(File);

/// Why a directory cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("another process uses the data directory")]
    Taken,
    /// It, or its file, cannot be made or used.
    #[error("{path}: {source}")]
    Io {
        /// Which of them.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl DirLock {
    /// Takes a directory, which is made if it does not exist.
    pub fn take(dir: &DataDir) -> Result<Self, LockError> {
        let failed = |path: &Path, source| LockError::Io { path: path.to_owned(), source };
        dir.create().map_err(|error| failed(&dir.root, error))?;
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&dir.lock);
        let file = file.map_err(|error| failed(&dir.lock, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken),
            Err(TryLockError::Error(error)) => Err(failed(&dir.lock, error)),
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // What fails here is done by closing the file.
        let _ = self.0.unlock();
    }
}

/// Makes what was created or renamed in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path().join("data"));
        let owner = DirLock::take(&dir).unwrap();
        assert!(matches!(DirLock::take(&dir), Err(LockError::Taken)));
        drop(owner);
        DirLock::take(&dir).unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("letter.txt");
        fs::write(&file, "dear").unwrap();
        let below = DataDir::at(file.join("data"));
        let refused = DirLock::take(&below).unwrap_err();
        assert!(matches!(refused, LockError::Io { path, .. } if path == below.root));
        let dir = DataDir::at(temp.path());
        fs::create_dir(&dir.lock).unwrap();
        let refused = DirLock::take(&dir).unwrap_err();
        assert!(matches!(refused, LockError::Io { path, .. } if path == dir.lock));
    }

    #[test]
    fn a_descriptor_that_a_child_has_inherited_does_not_keep_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        let owner = DirLock::take(&dir).unwrap();
        let inherited = owner.0.try_clone().unwrap();
        drop(owner);
        DirLock::take(&dir).unwrap();
        drop(inherited);
    }
}
