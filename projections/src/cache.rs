//! What a fold knows of its rows: decoded once, changed in memory, written in bulk.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    mem,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::rows::{Key, Row, RowError, Table, TableChanges, Value};

/// Most rows that a fold keeps of one table between two batches, if they are as large as most.
const MAX_KEPT: usize = 20_000;

/// One row, typed.
pub trait Record: Clone + PartialEq + Send + 'static {
    /// What it is found by.
    type Key: Clone + Eq + Hash + Send;

    /// Its table.
    fn table() -> &'static Table;

    /// The values of the key columns.
    fn key_values(key: &Self::Key) -> Key;

    /// The whole row, the key columns first.
    fn to_row(&self, key: &Self::Key) -> Row;

    /// From a stored row.
    fn from_row(row: &Row) -> Result<(Self::Key, Self), RowError>;
}

/// The rows of one table, as the engine sees them.
pub trait AnyRows {
    /// The table.
    fn table(&self) -> &'static Table;

    /// Keys that were asked for and are not known yet; from now on they count as asked for.
    fn missing(&mut self) -> Vec<Key>;

    /// What the store has of the missing ones; the others do not exist.
    fn load(&mut self, rows: Vec<Row>) -> Result<(), RowError>;

    /// How many rows changed since the last time.
    fn pending(&self) -> usize;

    /// What changed since the last time.
    fn changes(&mut self) -> TableChanges;
}

#[derive(Debug)]
struct Slot<R> {
    record: Option<R>,
    /// Whether the store has a row for it, once what was handed out is written.
    stored: bool,
    dirty: bool,
}

/// Rows that a fold looks at again. Whoever reads a row must have asked for it with `need`.
#[derive(Debug)]
pub struct Cache<R: Record> {
    slots: HashMap<R::Key, Slot<R>>,
    /// Rows that were not asked for lately; they are dropped when the others take their place.
    older: HashMap<R::Key, Slot<R>>,
    wanted: HashSet<R::Key>,
    dirty: Vec<R::Key>,
    /// Most rows that stay between two batches.
    kept: usize,
}

impl<R: Record> Default for Cache<R> {
    fn default() -> Self {
        let (slots, older) = (HashMap::new(), HashMap::new());
        let (wanted, dirty) = (HashSet::new(), Vec::new());
        Self { slots, older, wanted, dirty, kept: MAX_KEPT }
    }
}

impl<R: Record> Cache<R> {
    /// One that keeps nothing between two batches: for big rows that seldom change.
    pub fn transient() -> Self {
        Self { kept: 0, ..Self::default() }
    }

    /// One that keeps at most so many rows between two batches.
    pub fn keeping(rows: usize) -> Self {
        Self { kept: rows, ..Self::default() }
    }

    /// Asks for a row.
    pub fn need(&mut self, key: &R::Key) {
        if !self.slots.contains_key(key) {
            match self.older.remove_entry(key) {
                Some((key, slot)) => {
                    self.slots.insert(key, slot);
                }
                None => {
                    self.wanted.insert(key.clone());
                }
            }
        }
    }

    /// The row, if there is one.
    pub fn get(&self, key: &R::Key) -> Option<&R> {
        debug_assert!(self.slots.contains_key(key), "{} was not asked for", R::table().name);
        self.slots.get(key).and_then(|slot| slot.record.as_ref())
    }

    /// The row, if it is known already and there is one.
    pub fn known(&self, key: &R::Key) -> Option<&R> {
        let slot = self.slots.get(key).or_else(|| self.older.get(key));
        slot.and_then(|slot| slot.record.as_ref())
    }

    /// The row, if there is one, to be changed.
    pub fn get_mut(&mut self, key: &R::Key) -> Option<&mut R> {
        debug_assert!(self.slots.contains_key(key), "{} was not asked for", R::table().name);
        let slot = self.slots.get_mut(key)?;
        if slot.record.is_some() && !mem::replace(&mut slot.dirty, true) {
            self.dirty.push(key.clone());
        }
        slot.record.as_mut()
    }

    /// The row, to be changed; a new one if there was none.
    pub fn get_or(&mut self, key: &R::Key, new: impl FnOnce() -> R) -> &mut R {
        debug_assert!(self.slots.contains_key(key), "{} was not asked for", R::table().name);
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot {
            record: None,
            stored: false,
            dirty: false,
        });
        if !mem::replace(&mut slot.dirty, true) {
            self.dirty.push(key.clone());
        }
        slot.record.get_or_insert_with(new)
    }

    /// Puts a row, whether there was one or not. It need not have been asked for.
    pub fn put(&mut self, key: R::Key, record: R) {
        self.older.remove(&key);
        // A row that was not asked for may be stored: a delete must then reach the store.
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot {
            record: None,
            stored: true,
            dirty: false,
        });
        slot.record = Some(record);
        if !mem::replace(&mut slot.dirty, true) {
            self.dirty.push(key);
        }
    }

    /// Puts a row that was never there before. It need not have been asked for.
    pub fn add(&mut self, key: R::Key, record: R) {
        let (record, stored, dirty) = (Some(record), false, true);
        if self.slots.insert(key.clone(), Slot { record, stored, dirty }).is_none_or(|s| !s.dirty) {
            self.dirty.push(key);
        }
    }

    /// Takes a row away.
    pub fn remove(&mut self, key: &R::Key) {
        debug_assert!(self.slots.contains_key(key), "{} was not asked for", R::table().name);
        if let Some(slot) = self.slots.get_mut(key) {
            slot.record = None;
            if !mem::replace(&mut slot.dirty, true) {
                self.dirty.push(key.clone());
            }
        }
    }
}

impl<R: Record> AnyRows for Cache<R> {
    fn table(&self) -> &'static Table {
        R::table()
    }

    fn missing(&mut self) -> Vec<Key> {
        let mut keys = Vec::with_capacity(self.wanted.len());
        for key in self.wanted.drain() {
            keys.push(R::key_values(&key));
            self.slots.insert(key, Slot { record: None, stored: false, dirty: false });
        }
        keys
    }

    fn load(&mut self, rows: Vec<Row>) -> Result<(), RowError> {
        for row in rows {
            let (key, record) = R::from_row(&row)?;
            self.slots.insert(key, Slot { record: Some(record), stored: true, dirty: false });
        }
        Ok(())
    }

    fn pending(&self) -> usize {
        self.dirty.len()
    }

    fn changes(&mut self) -> TableChanges {
        let mut changes =
            TableChanges { table: R::table(), upserts: Vec::new(), deletes: Vec::new() };
        for key in self.dirty.drain(..) {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.dirty = false;
            match &slot.record {
                Some(record) => changes.upserts.push(record.to_row(&key)),
                None if slot.stored => changes.deletes.push(R::key_values(&key)),
                None => {}
            }
            slot.stored = slot.record.is_some();
        }
        // In the order of their keys, so that what stands together is changed together.
        let key = R::table().key;
        changes.upserts.sort_unstable_by(|a, b| a[..key].cmp(&b[..key]));
        if self.slots.len() > self.kept / 2 {
            self.older = mem::take(&mut self.slots);
            if self.older.len() > self.kept {
                self.older = HashMap::new();
            }
        }
        changes
    }
}

/// Rows that are written once and never looked at again.
#[derive(Debug)]
pub struct Log {
    table: &'static Table,
    rows: Vec<Row>,
}

impl Log {
    /// An empty one.
    pub fn new(table: &'static Table) -> Self {
        Self { table, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }
}

impl AnyRows for Log {
    fn table(&self) -> &'static Table {
        self.table
    }

    fn missing(&mut self) -> Vec<Key> {
        Vec::new()
    }

    fn load(&mut self, _rows: Vec<Row>) -> Result<(), RowError> {
        Ok(())
    }

    fn pending(&self) -> usize {
        self.rows.len()
    }

    fn changes(&mut self) -> TableChanges {
        let upserts = mem::take(&mut self.rows);
        TableChanges { table: self.table, upserts, deletes: Vec::new() }
    }
}

/// A document column's value.
pub(crate) fn doc(document: &impl Serialize) -> Value {
    let json = serde_json::to_string(document).expect("documents have only string keys");
    Value::Text(json.into())
}

/// The document of a row.
pub(crate) fn read_doc<T: DeserializeOwned>(
    table: &'static Table,
    row: &Row,
    column: &str,
) -> Result<T, RowError> {
    let text = read_text(table, row, column)?;
    serde_json::from_str(text)
        .map_err(|error| RowError::BadRow { table: table.name, reason: error.to_string() })
}

/// The document of a row, which borrows from it.
pub(crate) fn borrow_doc<'a, T: serde::Deserialize<'a>>(
    table: &'static Table,
    row: &'a Row,
    column: &str,
) -> Result<T, RowError> {
    let text = read_text(table, row, column)?;
    serde_json::from_str(text)
        .map_err(|error| RowError::BadRow { table: table.name, reason: error.to_string() })
}

/// The text of a row's column.
pub(crate) fn read_text<'a>(
    table: &'static Table,
    row: &'a Row,
    column: &str,
) -> Result<&'a str, RowError> {
    row.get(table.column(column)).and_then(Value::as_text).ok_or_else(|| bad(table, column))
}

/// The bytes of a row's column.
pub(crate) fn read_bytes<'a>(
    table: &'static Table,
    row: &'a Row,
    column: &str,
) -> Result<&'a [u8], RowError> {
    row.get(table.column(column)).and_then(Value::as_bytes).ok_or_else(|| bad(table, column))
}

/// The number of a row's column.
pub(crate) fn read_int(table: &'static Table, row: &Row, column: &str) -> Result<i64, RowError> {
    row.get(table.column(column)).and_then(Value::as_int).ok_or_else(|| bad(table, column))
}

/// The id or name of a row's column.
pub(crate) fn read<T: std::str::FromStr>(
    table: &'static Table,
    row: &Row,
    column: &str,
) -> Result<T, RowError> {
    read_text(table, row, column)?.parse().map_err(|_| bad(table, column))
}

/// The id or name of a row's column, if it has one.
pub(crate) fn read_maybe<T: std::str::FromStr>(
    table: &'static Table,
    row: &Row,
    column: &str,
) -> Result<Option<T>, RowError> {
    match row.get(table.column(column)) {
        Some(Value::Null) => Ok(None),
        _ => read(table, row, column).map(Some),
    }
}

pub(crate) fn bad(table: &'static Table, column: &str) -> RowError {
    RowError::BadRow { table: table.name, reason: format!("column {column} is not as expected") }
}
