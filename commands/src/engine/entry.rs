//! A stream in memory: its state, what its keys stand for, and how far it is durable.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use hakken_domain::{
    SNAPSHOT_FORMAT, State,
    envelope::{Decoded, Fingerprint, Metadata, Position, StreamKind, Version},
    names::{CommandKey, OrganizerId},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Pending;
use crate::store::Snapshot;

/// The first 128 bits of the SHA-256 of a command key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyHash(u128);

impl KeyHash {
    pub(super) fn of(key: &CommandKey) -> Self {
        let digest = Sha256::digest(key.as_str().as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(first))
    }
}

impl std::hash::Hash for KeyHash {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0 as u64);
    }
}

/// The keys are hashes already.
#[derive(Debug, Default, Clone)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only KeyHash is hashed");
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// What a key stands for: the request, and the events that it brought about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) request: Fingerprint64,
    pub(super) first: Version,
    pub(super) count: u32,
}

/// A fingerprint in the compact form of a snapshot.
pub(super) type Fingerprint64 = u64;

type Memory = HashMap<KeyHash, Remembered, BuildHasherDefault<Identity>>;

/// The facts of a stream that decisions need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) state: State,
    pub(super) version: Version,
    /// Who made the stream; unknown while it is empty.
    pub(super) owner: Option<Option<OrganizerId>>,
    /// Position of the newest durable event.
    pub(super) position: Position,
    pub(super) memory: Memory,
}

impl Facts {
    pub(super) fn empty(kind: StreamKind) -> Self {
        Self {
            state: State::initial(kind),
            version: 0,
            owner: None,
            position: Position::default(),
            memory: Memory::default(),
        }
    }

    /// Folds the stream's next event in, whether it is durable already or not.
    pub(super) fn evolve(&mut self, decoded: &Decoded) {
        self.version += 1;
        self.state.evolve(&decoded.event);
        self.owner.get_or_insert(decoded.meta.organizer);
        self.remember(&decoded.meta);
    }

    fn remember(&mut self, meta: &Metadata) {
        let (Some(key), Some(Fingerprint(request))) = (&meta.key, meta.request) else { return };
        let version = self.version;
        self.memory
            .entry(KeyHash::of(key))
            .and_modify(|remembered| remembered.count += 1)
            .or_insert(Remembered { request, first: version, count: 1 });
    }

    pub(super) fn recall(&self, key: KeyHash) -> Option<Remembered> {
        self.memory.get(&key).copied()
    }

    /// About how many bytes it takes.
    fn weight(&self) -> usize {
        let state = match &self.state {
            State::Inventory(inventory) => inventory.weight(),
            _ => 2_048,
        };
        state + self.memory.len() * 48
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let bytes = postcard::to_stdvec(self).expect("states have a postcard form");
        Snapshot { version: self.version, format: snapshot_format(), bytes: bytes.into() }
    }

    /// What a snapshot holds; nothing if another version of the program wrote it or it is
    /// damaged: it is a cache, the events are the truth.
    pub(super) fn from_snapshot(snapshot: &Snapshot) -> Option<Self> {
        if snapshot.format != snapshot_format() {
            return None;
        }
        let facts: Self = postcard::from_bytes(&snapshot.bytes).ok()?;
        (facts.version == snapshot.version).then_some(facts)
    }
}

/// The shape of [`Facts`] itself is the high half.
const fn snapshot_format() -> u32 {
    const FACTS_FORMAT: u32 = 1;
    (FACTS_FORMAT << 16) | SNAPSHOT_FORMAT
}

/// A stream in memory.
pub(super) struct Entry {
    /// None while it is being read.
    pub(super) facts: Option<Facts>,
    /// Which reading it waits for: what an older one has found is of no use any more.
    pub(super) reading: u64,
    /// Questions that wait until it is read, or for a turn.
    pub(super) waiting: VecDeque<Box<Pending>>,
    /// Taken as empty without looking.
    pub(super) assumed: bool,
    /// How many turns must still bring nothing newer before it is decided without one; 0 of a
    /// stream on which no conflict was met for a while.
    pub(super) contended: u32,
    /// How many events are decided and not durable yet, in the batch under way and in the open
    /// one.
    pub(super) under_way: usize,
    pub(super) open: usize,
    /// Version of the newest snapshot.
    pub(super) snapshot: Version,
    pub(super) weight: usize,
}

impl Entry {
    pub(super) fn loading() -> Self {
        Self {
            facts: None,
            reading: 0,
            waiting: VecDeque::new(),
            assumed: false,
            contended: 0,
            under_way: 0,
            open: 0,
            snapshot: 0,
            weight: 0,
        }
    }

    pub(super) fn assumed_empty(kind: StreamKind) -> Self {
        Self { facts: Some(Facts::empty(kind)), assumed: true, weight: 2_048, ..Self::loading() }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.under_way + self.open > 0
    }

    /// May it be forgotten? Never while something depends on it.
    pub(super) fn is_idle(&self) -> bool {
        self.facts.is_some() && !self.is_dirty()
    }

    /// Measures the facts anew; returns by how much the weight changed.
    pub(super) fn weigh(&mut self) -> isize {
        let weight = self.facts.as_ref().map_or(0, Facts::weight) + 256;
        let change = weight as isize - self.weight as isize;
        self.weight = weight;
        change
    }
}
