//! Reading a backup. Everything is checked before it is given out.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hakken_domain::{
    chain::Chain,
    envelope::{Position, StoredEvent},
};

use super::{
    BackupError, SECRET, Until,
    manifest::{Manifest, Part},
    order::{NotNext, Order},
    part::PartReader,
    sha256_of,
};
use crate::{data_dir::DataDir, system::EngineSecret};

/// A backup that came to its end.
#[derive(Debug)]
pub struct Backup {
    dir: PathBuf,
    manifest: Manifest,
}

/// What a whole look at a backup came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Of the events.
    pub chain: Chain,
    /// How many streams they are of.
    pub streams: usize,
}

impl Backup {
    /// Opens that of a directory. Only the manifest is looked at.
    pub fn open(dir: &Path) -> Result<Self, BackupError> {
        match Manifest::read(dir)?.filter(|manifest| !manifest.runs.is_empty()) {
            Some(manifest) => Ok(Self { dir: dir.to_owned(), manifest }),
            None => Err(BackupError::Missing { dir: dir.to_owned() }),
        }
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The engine's secret, if it is in it.
    pub fn secret(&self) -> Result<Option<EngineSecret>, BackupError> {
        secret(&self.dir, &self.manifest)
    }

    /// The events, from the first on.
    pub fn events(&self) -> BackupEvents<'_> {
        BackupEvents::of(&self.dir, &self.manifest.parts)
    }

    /// Reads everything. `told` hears how many bytes were read so far.
    pub fn verify(&self, mut told: impl FnMut(u64)) -> Result<Verified, BackupError> {
        self.secret()?;
        let mut events = self.events();
        while !events.next_block()?.is_empty() {
            told(events.bytes);
        }
        Ok(Verified { streams: events.order.streams().unwrap_or(0), chain: events.chain })
    }

    /// The last position up to one at which no command's events are cut apart: what one command
    /// brought about is recorded together or not at all, and no rule knows half of it.
    fn whole_until(&self, wanted: Position) -> Result<Position, BackupError> {
        let parts = &self.manifest.parts;
        let with = parts.partition_point(|part| part.last < wanted);
        let (mut before, mut begins) = (None, Position(0));
        for part in &parts[with.saturating_sub(1)..] {
            let mut reader = PartReader::open(&self.dir, part)?;
            loop {
                let block = reader.next_block()?;
                if block.is_empty() {
                    break;
                }
                for event in block {
                    let goes_on = before
                        .replace((event.stream, event.meta.clone()))
                        .is_some_and(|of| of == (event.stream, event.meta.clone()));
                    if !goes_on {
                        begins = event.position;
                    }
                    if event.position > wanted {
                        return Ok(if goes_on { Position(begins.0 - 1) } else { wanted });
                    }
                }
            }
        }
        Ok(wanted)
    }

    /// The last position up to a point. Where that is a time, all parts that ended by then are
    /// passed over unread.
    pub fn last_until(&self, until: Until) -> Result<Position, BackupError> {
        let time = match until {
            Until::End => return Ok(self.manifest.last),
            Until::Position(position) => return self.whole_until(position.min(self.manifest.last)),
            Until::Time(time) => time,
        };
        let parts = &self.manifest.parts;
        let whole = parts.partition_point(|part| part.last_recorded_at <= time);
        let mut last = whole.checked_sub(1).map_or(Position(0), |at| parts[at].last);
        let Some(part) = parts.get(whole) else { return Ok(last) };
        let mut reader = PartReader::open(&self.dir, part)?;
        loop {
            let block = reader.next_block()?;
            let within = block.partition_point(|event| event.recorded_at <= time);
            last = within.checked_sub(1).map_or(last, |at| block[at].position);
            if within < block.len() || block.is_empty() {
                return Ok(last);
            }
        }
    }
}

/// The secret of a backup with this manifest.
pub(super) fn secret(dir: &Path, manifest: &Manifest) -> Result<Option<EngineSecret>, BackupError> {
    let Some(known) = &manifest.secret else { return Ok(None) };
    let file = dir.join(SECRET);
    let wrong =
        |reason: &str| BackupError::Secret { file: file.clone(), reason: reason.to_owned() };
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(wrong("the secret is missing"));
        }
        Err(error) => return Err(BackupError::io(&file, error)),
    };
    if bytes.len() as u64 != known.bytes || sha256_of(&bytes) != known.sha256 {
        return Err(wrong("the secret is not as it was written"));
    }
    Ok(EngineSecret::find(&DataDir::at(dir))?)
}

/// The events of parts that follow one another, block by block.
pub struct BackupEvents<'a> {
    dir: &'a Path,
    parts: std::slice::Iter<'a, Part>,
    open: Option<PartReader<'a>>,
    chain: Chain,
    order: Order,
    bytes: u64,
}

impl<'a> BackupEvents<'a> {
    fn of(dir: &'a Path, parts: &'a [Part]) -> Self {
        let (chain, order) = (Chain::default(), Order::default());
        Self { dir, parts: parts.iter(), open: None, chain, order, bytes: 0 }
    }

    /// Those of the last of several parts, which go on behind the others.
    pub(super) fn of_last(dir: &'a Path, parts: &'a [Part]) -> Option<Self> {
        let [before @ .., _] = parts else { return None };
        let (chain, order) = match before.last() {
            None => (Chain::default(), Order::default()),
            Some(before) => (
                Chain::resumed(before.last.0, &before.chain)?,
                Order::behind(before.last, Some(before.last_recorded_at)),
            ),
        };
        let parts = parts[before.len()..].iter();
        Some(Self { dir, parts, open: None, chain, order, bytes: 0 })
    }

    /// Some events; none at the end.
    pub fn next_block(&mut self) -> Result<Vec<Arc<StoredEvent>>, BackupError> {
        loop {
            let reader = match &mut self.open {
                Some(reader) => reader,
                None => match self.parts.next() {
                    Some(part) => self.open.insert(PartReader::open(self.dir, part)?),
                    None => return Ok(Vec::new()),
                },
            };
            let before = reader.offset();
            let block = reader.next_block()?;
            self.bytes += reader.offset() - before;
            for event in &block {
                self.order.next(event).map_err(|wrong| misplaced(reader, wrong))?;
                self.chain.add(event);
            }
            if !block.is_empty() {
                return Ok(block);
            }
            if let Some(reader) = self.open.take() {
                reader.finish(&self.chain)?;
            }
        }
    }

    /// Of the events that were given.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

fn misplaced(reader: &PartReader<'_>, wrong: NotNext) -> BackupError {
    BackupError::Order { file: reader.path().to_owned(), wrong }
}
