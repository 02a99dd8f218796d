//! Writing a backup, or adding to one what is new.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hakken_domain::{
    chain::Chain,
    envelope::{Position, StoredEvent},
    time::Timestamp,
};

use super::{
    BackupError, MANIFEST, SECRET,
    manifest::{Manifest, Run, SecretFile, put},
    order::Order,
    part::{DRAFT_ENDING, ENDING, PartWriter},
    reader::{self, BackupEvents},
    sha256_of,
};
use crate::{
    data_dir::{DataDir, DirLock, LockError, sync_dir},
    system::EngineSecret,
};

/// A part ends once it has so many bytes.
const PART_BYTES: u64 = 64 << 20;

/// A backup that is being written. Until [`BackupWriter::finish`] the directory has what it had
/// before, and nothing else counts.
pub struct BackupWriter {
    dir: PathBuf,
    manifest: Manifest,
    secret: Option<EngineSecret>,
    chain: Chain,
    order: Order,
    /// How many of the known parts the store was found to have.
    compared: usize,
    part: Option<PartWriter>,
    /// How many events are new.
    added: u64,
    _lock: DirLock,
}

impl BackupWriter {
    /// Opens a directory for a backup, with the secret that is to be in it. One that does not exist
    /// is made; one that has a backup keeps it, and gets what is new.
    pub fn open(dir: &Path, secret: Option<&EngineSecret>) -> Result<Self, BackupError> {
        let io = |error| BackupError::io(dir, error);
        DataDir::at(dir).create().map_err(io)?;
        let known = Manifest::read(dir)?;
        if known.is_none()
            && let Some(found) = foreign(dir).map_err(io)?
        {
            return Err(BackupError::Foreign { dir: dir.to_owned(), found });
        }
        let lock = lock(dir)?;
        let manifest = match known {
            Some(known) => known,
            // Parts without a manifest are told by this from those whose manifest was lost.
            None => Manifest::empty().write(dir)?,
        };
        let kept = reader::secret(dir, &manifest)?;
        if let (Some(kept), Some(secret)) = (&kept, secret)
            && kept != secret
        {
            let reason = "the backup that is there belongs to an engine with another secret";
            return Err(BackupError::Secret { file: dir.join(SECRET), reason: reason.to_owned() });
        }
        Ok(Self {
            dir: dir.to_owned(),
            secret: secret.cloned().filter(|_| kept.is_none()),
            manifest,
            chain: Chain::default(),
            order: Order::default(),
            compared: 0,
            part: None,
            added: 0,
            _lock: lock,
        })
    }

    /// What is there already.
    pub fn known(&self) -> &Manifest {
        &self.manifest
    }

    /// Does without comparing what is there already with the store, but for the newest event of it,
    /// which is answered: the store must have the same.
    pub fn pass_over_known(&mut self) -> Result<Option<Arc<StoredEvent>>, BackupError> {
        let Some(mut events) = BackupEvents::of_last(&self.dir, &self.manifest.parts) else {
            return Ok(None);
        };
        let mut newest = None;
        loop {
            let mut block = events.next_block()?;
            let Some(event) = block.pop() else { break };
            newest = Some(event);
        }
        self.chain = events.chain().clone();
        self.order = Order::behind(self.manifest.last, self.manifest.last_recorded_at);
        self.compared = self.manifest.parts.len();
        Ok(newest)
    }

    /// Takes the store's next event. One that is in the backup already is compared with it.
    pub fn take(&mut self, event: &StoredEvent) -> Result<(), BackupError> {
        self.order.next(event)?;
        self.chain.add(event);
        if event.position <= self.manifest.last {
            let part = &self.manifest.parts[self.compared];
            if event.position == part.last {
                if self.chain.digest() != part.chain {
                    let file = self.dir.join(&part.file);
                    return Err(BackupError::OtherHistory {
                        file,
                        first: part.first,
                        last: part.last,
                    });
                }
                self.compared += 1;
            }
            return Ok(());
        }
        let part = match &mut self.part {
            Some(part) => part,
            None => self.part.insert(PartWriter::create(&self.dir, event.position)?),
        };
        part.add(event)?;
        self.added += 1;
        if part.bytes >= PART_BYTES {
            self.end_part()?;
        }
        Ok(())
    }

    pub(super) fn end_part(&mut self) -> Result<(), BackupError> {
        if let Some(part) = self.part.take() {
            let part = part.finish(&self.dir, &self.chain)?;
            self.manifest.parts.push(part);
            self.compared = self.manifest.parts.len();
        }
        Ok(())
    }

    /// How many events are new so far.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Makes the backup whole: what was taken is in it from here on. Every event that was there
    /// before must have been taken too, or passed over.
    pub fn finish(
        mut self,
        now: Timestamp,
        store: &str,
        engine: &str,
        checkpoints: BTreeMap<String, Position>,
    ) -> Result<Manifest, BackupError> {
        let head = self.order.head();
        if head < self.manifest.last {
            let last = self.manifest.last;
            return Err(BackupError::Shorter { dir: self.dir, head, last });
        }
        self.end_part()?;
        if let Some(secret) = &self.secret {
            let bytes = secret.to_file();
            put(&self.dir, SECRET, &bytes, 0o600)?;
            self.manifest.secret =
                Some(SecretFile { bytes: bytes.len() as u64, sha256: sha256_of(&bytes) });
        }
        let manifest = &mut self.manifest;
        manifest.engine = engine.to_owned();
        manifest.store = store.to_owned();
        manifest.first = manifest.parts.first().map_or(Position(0), |part| part.first);
        manifest.last = head;
        manifest.events = head.0;
        manifest.last_recorded_at = manifest.parts.last().map(|part| part.last_recorded_at);
        manifest.chain = self.chain.digest();
        manifest.runs.push(Run { taken_at: now, position: head, checkpoints });
        let written = manifest.write(&self.dir)?;
        // What a run that was cut off has left. It does not count, and is only in the way.
        if let Err(error) = remove_unnamed(&self.dir, &written) {
            tracing::warn!(%error, "what a backup that was cut off had left could not be removed");
        }
        Ok(written)
    }
}

fn lock(dir: &Path) -> Result<DirLock, BackupError> {
    DirLock::take(&DataDir::at(dir)).map_err(|error| match error {
        LockError::Taken => BackupError::InUse { dir: dir.to_owned() },
        LockError::Io { path, source } => BackupError::io(&path, source),
    })
}

/// Something in a directory without a manifest that no backup has left there at its beginning.
fn foreign(dir: &Path) -> io::Result<Option<String>> {
    let draft = format!("{MANIFEST}{DRAFT_ENDING}");
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // Of a disk's own.
        if name != "LOCK" && name != draft && name != "lost+found" {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn remove_unnamed(dir: &Path, manifest: &Manifest) -> io::Result<()> {
    let named: HashSet<&str> = manifest.parts.iter().map(|part| part.file.as_str()).collect();
    let mut removed = false;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_ours = name.ends_with(DRAFT_ENDING) || name.ends_with(ENDING);
        if is_ours && !named.contains(name) {
            fs::remove_file(entry.path())?;
            removed = true;
        }
    }
    if removed { sync_dir(dir) } else { Ok(()) }
}
