//! What the first event of a stream says, for folds that need it again later. It is never stored
//! a second time: what is not in memory any more is read from the events.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use hakken_domain::{
    envelope::{Decoded, StreamId, StreamKind},
    names::ShowId,
};
use ulid::Ulid;

/// What an engine brings to a fold.
pub trait AnyOrigins {
    /// Streams whose first events were asked for and are not known; they count as asked for.
    fn missing(&mut self) -> Vec<StreamId>;

    /// The first event of one of them, if it can be read.
    fn take(&mut self, stream: StreamId, first: Option<&Decoded>);
}

/// An id in eight-byte words: a third less memory than as one number of sixteen bytes.
type Words = [u64; 2];

fn words(id: Ulid) -> Words {
    [(id.0 >> 64) as u64, id.0 as u64]
}

/// An id as it stands in an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedId(Words);

impl PackedId {
    pub(crate) fn new(id: Ulid) -> Self {
        Self(words(id))
    }

    pub(crate) fn ulid(self) -> Ulid {
        Ulid(u128::from(self.0[0]) << 64 | u128::from(self.0[1]))
    }
}

/// Few shows are named by many origins: each by its number here.
#[derive(Default)]
pub(crate) struct ShowNumbers {
    shows: Vec<ShowId>,
    numbers: HashMap<ShowId, u32>,
}

/// A show by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShowNumber(u32);

impl ShowNumbers {
    pub(crate) fn number(&mut self, show: ShowId) -> ShowNumber {
        let shows = &mut self.shows;
        ShowNumber(*self.numbers.entry(show).or_insert_with(|| {
            shows.push(show);
            u32::try_from(shows.len() - 1).expect("fewer shows than events fit in a history")
        }))
    }

    pub(crate) fn show(&self, number: ShowNumber) -> ShowId {
        self.shows[number.0 as usize]
    }
}

/// How an origin is read from a first event; nothing where it is not what a stream begins with.
type Read<T> = fn(&Decoded, &mut ShowNumbers) -> Option<T>;

/// Bounded memory of what the first events of one kind of stream say.
pub(crate) struct Origins<T> {
    kind: StreamKind,
    read: Read<T>,
    shows: ShowNumbers,
    known: Generation<T>,
    /// Those that were not asked for lately; they are dropped when the others take their place.
    older: Generation<T>,
    wanted: HashSet<StreamId>,
    kept: usize,
}

type Generation<T> = HashMap<Words, Option<T>, BuildHasherDefault<Mixed>>;

/// Mixes the two words of an id, which is drawn or a digest: nobody chooses it.
#[derive(Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 29;
    }
}

impl<T> Origins<T> {
    /// Remembers at most so many of this kind of stream.
    pub(crate) fn keeping(kept: usize, kind: StreamKind, read: Read<T>) -> Self {
        let (known, older) = (Generation::default(), Generation::default());
        let shows = ShowNumbers::default();
        Self { kind, read, shows, known, older, wanted: HashSet::new(), kept }
    }

    /// The show with this number.
    pub(crate) fn show(&self, number: ShowNumber) -> ShowId {
        self.shows.show(number)
    }

    /// A stream begins with this event.
    pub(crate) fn begin(&mut self, stream: StreamId, first: &Decoded) {
        self.take(stream, Some(first));
    }

    /// What is known of a stream; its first event is asked for where that is not known.
    pub(crate) fn need(&mut self, stream: StreamId) -> Option<&T> {
        let id = words(stream.id);
        if !self.known.contains_key(&id) {
            match self.older.remove(&id) {
                Some(origin) => {
                    self.known.insert(id, origin);
                }
                None => {
                    self.wanted.insert(stream);
                    return None;
                }
            }
        }
        self.known.get(&id).and_then(Option::as_ref)
    }

    /// Whether a stream's first event was asked for and is not there yet.
    pub(crate) fn waits_for(&self, stream: StreamId) -> bool {
        self.wanted.contains(&stream)
    }

    /// What is known of a stream, which was asked for.
    pub(crate) fn get(&self, stream: StreamId) -> Option<&T> {
        let id = words(stream.id);
        let origin = self.known.get(&id).or_else(|| self.older.get(&id));
        origin.and_then(Option::as_ref)
    }
}

impl<T> AnyOrigins for Origins<T> {
    fn missing(&mut self) -> Vec<StreamId> {
        // Once in a batch at most: a batch is smaller than what is kept.
        if self.known.len() > self.kept / 2 {
            self.older = std::mem::take(&mut self.known);
        }
        self.wanted.drain().collect()
    }

    fn take(&mut self, stream: StreamId, first: Option<&Decoded>) {
        if stream.kind == self.kind {
            let origin = first.and_then(|first| (self.read)(first, &mut self.shows));
            self.known.insert(words(stream.id), origin);
        }
    }
}
