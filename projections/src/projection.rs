//! What a projection is: a name, a version, tables, and a fold from events to rows.

use std::collections::HashSet;

use hakken_domain::{
    codec::DecodeError,
    envelope::{StoredEvent, StreamId, StreamKind},
    names::{ShowId, read_ulid},
};

use crate::{
    cache::AnyRows,
    feed::Interest,
    origins::AnyOrigins,
    rows::{Changes, Key, Row, RowError, Table, Tables, Value},
};

/// A projection. Its fold is a new one for every build and after every failure.
#[derive(Debug, Clone, Copy)]
pub struct Projection {
    /// Its name, unique.
    pub name: &'static str,
    /// Changes with every change of its tables or of its fold; the read model is then built
    /// again by itself.
    pub version: u32,
    /// Its tables.
    pub tables: Tables,
    /// The kinds of streams it deals with. Events of others only move its checkpoint, and are
    /// not even decoded.
    pub streams: &'static [StreamKind],
    /// Kinds of events in these streams that it passes over just the same.
    pub passes_over: &'static [&'static str],
    /// Its fold looks at decoded events: where there are many, they are decoded ahead of it. Not
    /// for one that reads less of them than all.
    pub decoded_ahead: bool,
    /// Makes an empty fold.
    pub fold: fn() -> Box<dyn Fold>,
    /// Tables of which each row is made of the events of one stream alone.
    pub own: &'static [OwnStream],
    /// How the rows of one show are told from all others; none where they cannot be, since rows
    /// are of several shows at once.
    pub by_show: Option<ByShow>,
}

/// Of which stream alone a row of a table is made.
#[derive(Debug, Clone, Copy)]
pub struct OwnStream {
    /// The table.
    pub table: &'static Table,
    /// The column with the id of the stream; a row with nothing there has no stream of its own.
    pub column: &'static str,
    /// The kind of the stream.
    pub kind: StreamKind,
}

impl OwnStream {
    /// The stream of a row.
    pub(crate) fn of(&self, row: &[Value]) -> Option<StreamId> {
        let id = read_ulid(row.get(self.table.column(self.column))?.as_text()?)?;
        Some(StreamId { kind: self.kind, id })
    }
}

/// How the rows of one show are told from those of others.
#[derive(Debug, Clone, Copy)]
pub struct ByShow {
    /// Tables with rows of shows, and the column of each that names the show.
    pub tables: &'static [(&'static Table, &'static str)],
    /// What these rows are made of.
    pub events: ShowEvents,
}

/// The events that the rows of one show are made of.
#[derive(Debug, Clone, Copy)]
pub enum ShowEvents {
    /// Those of one stream.
    Stream(fn(ShowId) -> StreamId),
    /// Those of all events that this says; asked about them in order. What it must remember of
    /// streams, it keeps in the set, which begins empty. Of an event that cannot be read it says
    /// whether it would be one of them as far as that can be seen.
    Among(fn(ShowId, &StoredEvent, &mut HashSet<StreamId>) -> bool),
}

impl Projection {
    /// How a row of a table leads to its stream, if it has one.
    pub(crate) fn own(&self, table: &Table) -> Option<&'static OwnStream> {
        self.own.iter().find(|own| own.table == table)
    }

    /// Whether an event means something to it.
    pub(crate) fn wants(&self, event: &StoredEvent) -> bool {
        self.interest().includes(event.stream.kind, &event.kind)
    }

    /// The events that mean something to it.
    pub(crate) fn interest(&self) -> Interest {
        Interest { streams: self.streams, passes_over: self.passes_over }
    }
}

/// An event that cannot be read, or does not fit what came before it: a newer version wrote it, a
/// bug, or events that were tampered with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Inconsistent(pub String);

impl From<&DecodeError> for Inconsistent {
    fn from(error: &DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// From events to rows: pure, synchronous, and never sees the store. The engine calls `needs`
/// for every event of a batch and loads what is missing in bulk, again until nothing is missing
/// (a row may tell which other rows are needed), and then calls `apply` for every event.
pub trait Fold: Send {
    /// The rows that it knows, table by table.
    fn rows(&mut self) -> Vec<&mut dyn AnyRows>;

    /// What it must know of the first events of streams, if that is anything.
    fn origins(&mut self) -> Vec<&mut dyn AnyOrigins> {
        Vec::new()
    }

    /// Asks for the rows that `apply` will look at. What is wrong with the event, `apply` says.
    fn needs(&mut self, event: &StoredEvent);

    /// Folds one event in. After a failure the whole fold is thrown away.
    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent>;
}

/// Rows that are changed and not handed out.
pub(crate) fn pending(fold: &mut dyn Fold) -> usize {
    fold.rows().into_iter().map(|rows| rows.pending()).sum()
}

/// Rows that were asked for and are not known yet.
pub(crate) fn missing(fold: &mut dyn Fold) -> Vec<(&'static Table, Vec<Key>)> {
    let rows = fold.rows().into_iter().map(|rows| (rows.table(), rows.missing()));
    rows.filter(|(_, keys)| !keys.is_empty()).collect()
}

/// Takes what the store has of the rows that were asked for.
pub(crate) fn take_loaded(
    fold: &mut dyn Fold,
    table: &'static Table,
    loaded: Vec<Row>,
) -> Result<(), RowError> {
    for rows in fold.rows() {
        if rows.table() == table {
            return rows.load(loaded);
        }
    }
    Ok(())
}

/// What changed since the last time.
pub(crate) fn changes(fold: &mut dyn Fold) -> Changes {
    let mut changes = Changes::new();
    for rows in fold.rows() {
        let change = rows.changes();
        if !change.upserts.is_empty() || !change.deletes.is_empty() {
            changes.push(change);
        }
    }
    changes
}
