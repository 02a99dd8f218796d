//! The next file, written full of zeros before it is needed.
//!
//! A sync of bytes in blocks that were never written costs the file system an entry in its own
//! journal as well: half as much again as a sync of bytes that replace others (107 and 162 µs in a
//! probe). So while one file fills, a thread writes the next, slowly enough that it is in nobody's
//! way. It is a help only: without it, or before it is done, the file system's reserved blocks do.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use super::segment::reserve;

/// Written and synced at once.
const CHUNK_BYTES: u64 = 512 * 1024;

/// Of so many times as long as a chunk takes, the disk is left to others.
const REST: u32 = 3;

/// Smaller files are not worth a thread.
const LEAST_BYTES: u64 = 1 << 20;

/// A file that is being prepared, if any.
#[derive(Default)]
pub(super) struct Spare(Mutex<Option<Making>>);

struct Making {
    path: PathBuf,
    size: u64,
    enough: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<File>>,
}

impl Spare {
    /// Begins to prepare a file of this size, in the place of one that was begun before.
    pub(super) fn prepare(&self, dir: &Path, size: u64) {
        self.discard();
        if size < LEAST_BYTES {
            return;
        }
        // Not the name that a file gets which is made at once.
        let path = dir.join("next.draft");
        let enough = Arc::new(AtomicBool::new(false));
        let (draft, told) = (path.clone(), Arc::clone(&enough));
        let write = move || write_zeros(&draft, size, &told);
        match thread::Builder::new().name("next-file".into()).spawn(write) {
            Ok(thread) => *self.lock() = Some(Making { path, size, enough, thread }),
            Err(error) => tracing::debug!(%error, "the next file is not prepared"),
        }
    }

    /// The file, if it has this size, as far as it has come.
    pub(super) fn take(&self, size: u64) -> Option<(PathBuf, File)> {
        let making = self.lock().take()?;
        let (path, is_fit) = (making.path.clone(), making.size == size);
        match making.end() {
            Ok(file) if is_fit => Some((path, file)),
            made => {
                if let Err(error) = made {
                    tracing::debug!(%error, "the next file was not prepared");
                }
                remove(&path);
                None
            }
        }
    }

    /// Ends what was begun.
    pub(super) fn discard(&self) {
        if let Some(making) = self.lock().take() {
            let path = making.path.clone();
            drop(making.end());
            remove(&path);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Making>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.discard();
    }
}

impl Making {
    /// Nothing writes the file any more after that. Waits for one chunk at most.
    fn end(self) -> io::Result<File> {
        self.enough.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    }
}

/// What is left of it is removed at the next start, too.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

fn write_zeros(path: &Path, size: u64, enough: &AtomicBool) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    reserve(&file, size)?;
    let zeros = vec![0; CHUNK_BYTES as usize];
    let mut at = 0;
    while at < size && !enough.load(Ordering::Acquire) {
        let began = Instant::now();
        let length = (size - at).min(CHUNK_BYTES);
        file.write_all_at(&zeros[..length as usize], at)?;
        file.sync_data()?;
        at += length;
        if at < size {
            thread::park_timeout(began.elapsed() * REST);
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn zeros(path: &Path) -> u64 {
        let bytes = fs::read(path).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.len() as u64
    }

    #[test]
    fn a_file_that_is_ready_or_not_has_its_size_and_nothing_in_it() {
        let dir = tempfile::tempdir().unwrap();
        for wait in [Duration::ZERO, Duration::from_millis(300)] {
            let spare = Spare::default();
            spare.prepare(dir.path(), 3 << 20);
            thread::sleep(wait);
            let (path, file) = spare.take(3 << 20).expect("it was begun");
            assert_eq!((zeros(&path), file.metadata().unwrap().len()), (3 << 20, 3 << 20));
            assert!(spare.take(3 << 20).is_none(), "it is given once");
        }
    }

    #[test]
    fn what_nobody_takes_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let left = || fs::read_dir(dir.path()).unwrap().count();
        let spare = Spare::default();
        spare.prepare(dir.path(), 2 << 20);
        assert!(spare.take(4 << 20).is_none(), "another size");
        assert_eq!(left(), 0);
        spare.prepare(dir.path(), 2 << 20);
        spare.prepare(dir.path(), 4 << 20);
        drop(spare);
        assert_eq!(left(), 0);
    }

    #[test]
    fn where_it_cannot_be_made_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let spare = Spare::default();
        spare.prepare(&dir.path().join("missing"), 2 << 20);
        assert!(spare.take(2 << 20).is_none());
    }
}
