//! What the first event of a stream says, for folds that need it again later. It is never stored
//! a second time: what is not in memory any more is read from the events.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasherDefault,
};

use hakken_domain::envelope::{Decoded, StreamId};

/// What an engine brings to a fold.
pub trait AnyOrigins {
    /// Streams whose first events were asked for and are not known; they count as asked for.
    fn missing(&mut self) -> Vec<StreamId>;

    /// The first event of one of them, if it can be read.
    fn take(&mut self, stream: StreamId, first: Option<&Decoded>);
}

/// Bounded memory of what first events say.
pub(crate) struct Origins<T> {
    read: fn(&Decoded) -> Option<T>,
    known: Generation<T>,
    /// Those that were not asked for lately; they are dropped when the others take their place.
    older: Generation<T>,
    wanted: HashSet<StreamId>,
    kept: usize,
}

/// The random part of an id is as good as a hash.
type Generation<T> = HashMap<StreamId, Option<T>, BuildHasherDefault<Mixed>>;

/// Mixes the few numbers that a stream's id is made of.
#[derive(Default)]
pub(crate) struct Mixed(u64);

impl std::hash::Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 29;
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }
}

impl<T> Origins<T> {
    /// Remembers about so many. `read` takes what is wanted out of a first event.
    pub(crate) fn keeping(kept: usize, read: fn(&Decoded) -> Option<T>) -> Self {
        let (known, older) = (Generation::default(), Generation::default());
        Self { read, known, older, wanted: HashSet::new(), kept }
    }

    /// The stream begins with this event.
    pub(crate) fn begin(&mut self, stream: StreamId, first: &Decoded) {
        let origin = (self.read)(first);
        self.put(stream, origin);
    }

    fn put(&mut self, stream: StreamId, origin: Option<T>) {
        self.known.insert(stream, origin);
    }

    /// Asks for a stream's first event, unless it is known.
    pub(crate) fn need(&mut self, stream: StreamId) {
        if !self.known.contains_key(&stream) {
            match self.older.remove(&stream) {
                Some(origin) => self.put(stream, origin),
                None => {
                    self.wanted.insert(stream);
                }
            }
        }
    }

    /// What is known of a stream, which was asked for.
    pub(crate) fn get(&self, stream: StreamId) -> Option<&T> {
        let origin = self.known.get(&stream).or_else(|| self.older.get(&stream));
        origin.and_then(Option::as_ref)
    }

    /// Whether it was brought, if it was asked for.
    pub(crate) fn knows(&self, stream: StreamId) -> bool {
        self.known.contains_key(&stream) || self.older.contains_key(&stream)
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
        let origin = first.and_then(self.read);
        self.put(stream, origin);
    }
}
