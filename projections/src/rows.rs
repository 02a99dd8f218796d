//! The port to the rows of the read models: typed tables, bulk reads and writes, and the
//! checkpoint in the same transaction. It asks for nothing that SQLite and Postgres do not both
//! have. The same suite (`testing::rows`) runs over every adapter.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use hakken_domain::{envelope::Position, names::EventId, time::Timestamp};

mod memory;

pub use memory::MemoryRows;

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Nothing. Sorts before everything else; a key never has it.
    Null,
    /// A number.
    Int(i64),
    /// A text; sorts by its UTF-8 bytes.
    Text(Arc<str>),
    /// Packed numbers that only their read model understands; nobody sorts or filters by them.
    Bytes(Arc<[u8]>),
}

impl Value {
    /// A text.
    pub fn text(text: impl fmt::Display) -> Self {
        Self::Text(text.to_string().into())
    }

    /// A text, or nothing.
    pub fn maybe(text: Option<impl fmt::Display>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// An instant, as microseconds since 1970.
    pub fn time(time: Timestamp) -> Self {
        Self::Int(time.as_micros())
    }

    /// A position.
    pub fn position(position: Position) -> Self {
        Self::Int(i64::try_from(position.0).unwrap_or(i64::MAX))
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The bytes, if it has some.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// One value for each column of the table.
pub type Row = Vec<Value>;

/// The values of a table's key columns, or of the columns that a query sorts by.
pub type Key = Vec<Value>;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A text or nothing.
    Text,
    /// A number or nothing.
    Int,
    /// JSON as text; nobody filters by it.
    Doc,
    /// Packed numbers; nobody filters by them.
    Bytes,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name: lower-case letters and `_`.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
}

impl Column {
    /// A text column.
    pub const fn text(name: &'static str) -> Self {
        Self { name, kind: ColumnKind::Text }
    }

    /// A number column.
    pub const fn int(name: &'static str) -> Self {
        Self { name, kind: ColumnKind::Int }
    }

    /// A column with packed numbers.
    pub const fn bytes(name: &'static str) -> Self {
        Self { name, kind: ColumnKind::Bytes }
    }

    /// A column with JSON.
    pub const fn doc(name: &'static str) -> Self {
        Self { name, kind: ColumnKind::Doc }
    }
}

/// A table of a read model. Two are the same when their names are.
#[derive(Debug)]
pub struct Table {
    /// Its name, unique in its projection: lower-case letters and `_`.
    pub name: &'static str,
    /// What one row is, in words: `ticket`.
    pub noun: &'static str,
    /// The key columns first.
    pub columns: &'static [Column],
    /// How many columns make the key.
    pub key: usize,
    /// What is looked up by other columns: each list is one index.
    pub indexes: &'static [&'static [&'static str]],
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Table {}

impl Table {
    /// The place of a column. A column that the table has not is a bug.
    pub fn column(&self, name: &str) -> usize {
        self.columns
            .iter()
            .position(|column| column.name == name)
            .unwrap_or_else(|| panic!("{} has no column {name}", self.name))
    }

    /// The names of the key columns.
    pub fn key_names(&self) -> Vec<&'static str> {
        self.columns[..self.key].iter().map(|column| column.name).collect()
    }
}

/// One build of a projection's tables: each rebuild makes a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(pub i64);

/// What a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Queries read it. At most one of a projection.
    Served,
    /// It is being built, to be served.
    Rebuild,
    /// The same, and somebody halted it.
    Halted,
    /// It is being built, to be compared and thrown away.
    Scratch,
    /// It was served. It is kept for a while, to be served again if somebody wants that.
    Retired,
}

impl Purpose {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Rebuild => "rebuild",
            Self::Halted => "halted",
            Self::Scratch => "scratch",
            Self::Retired => "retired",
        }
    }

    /// From what is stored.
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Served, Self::Rebuild, Self::Halted, Self::Scratch, Self::Retired]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

/// How far a build has come: the last event that counts in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its position; 0 before the first.
    pub position: Position,
    /// Its id, so that rows of another event store are recognised.
    pub event: Option<EventId>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

impl Checkpoint {
    /// Before the first event.
    pub const START: Self =
        Self { position: Position(0), event: None, recorded_at: Timestamp::from_micros(0) };
}

/// A build that the row store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Which.
    pub id: BuildId,
    /// The name of its projection.
    pub projection: String,
    /// The version of the projection that made it.
    pub version: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// How far it has come.
    pub checkpoint: Checkpoint,
    /// Since when it is for that; the beginning of 1970 if that is not known.
    pub since: Timestamp,
}

/// What a batch of events did to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChanges {
    /// The table.
    pub table: &'static Table,
    /// Rows that are new or different now; each replaces the one with its key.
    pub upserts: Vec<Row>,
    /// Keys of rows that are gone. No key is also among the upserts.
    pub deletes: Vec<Key>,
}

/// What a batch of events did.
pub type Changes = Vec<TableChanges>;

/// A condition on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Has this value.
    Equal(&'static str, Value),
    /// Has one of these values.
    OneOf(&'static str, Vec<Value>),
    /// Is this number or more.
    AtLeast(&'static str, i64),
    /// Is this number or less.
    AtMost(&'static str, i64),
}

impl Filter {
    /// `Equal` with an id or a name.
    pub fn is(column: &'static str, value: impl fmt::Display) -> Self {
        Self::Equal(column, Value::text(value))
    }

    /// The column.
    pub fn column(&self) -> &'static str {
        match self {
            Self::Equal(column, _)
            | Self::OneOf(column, _)
            | Self::AtLeast(column, _)
            | Self::AtMost(column, _) => column,
        }
    }

    /// Whether a value meets it. `Null` meets none.
    pub fn holds(&self, value: &Value) -> bool {
        if *value == Value::Null {
            return false;
        }
        match self {
            Self::Equal(_, wanted) => value == wanted,
            Self::OneOf(_, wanted) => wanted.contains(value),
            Self::AtLeast(_, least) => value.as_int().is_some_and(|number| number >= *least),
            Self::AtMost(_, most) => value.as_int().is_some_and(|number| number <= *most),
        }
    }
}

/// Rows that meet every filter, in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Of which table.
    pub table: &'static Table,
    /// All of these hold.
    pub filters: Vec<Filter>,
    /// Sorted by these columns, which together are unique and never `Null`.
    pub order: Vec<&'static str>,
    /// The greatest first.
    pub descending: bool,
    /// Only rows behind this place in the order.
    pub after: Option<Key>,
    /// At most so many.
    pub limit: usize,
}

impl Query {
    /// Every row of a table, in the order of its key.
    pub fn all(table: &'static Table, after: Option<Key>, limit: usize) -> Self {
        Self {
            table,
            filters: Vec::new(),
            order: table.key_names(),
            descending: false,
            after,
            limit,
        }
    }
}

/// Why the row store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// It cannot be read or written just now.
    #[error("the read models cannot be reached: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The checkpoint is not where the writer left it: somebody else writes this build.
    #[error("build {build:?} stands at {found}, not at {expected}: somebody else writes it")]
    Moved {
        /// Which build.
        build: BuildId,
        /// Where the writer left it.
        expected: Position,
        /// Where it is; nowhere if there is no such build.
        found: Position,
    },
    /// What a row holds cannot be read.
    #[error(
        "a row of {table} cannot be read: {reason}. The read models may be deleted while no server runs: they are made anew from the events"
    )]
    BadRow {
        /// The table.
        table: &'static str,
        /// Why.
        reason: String,
    },
}

/// The tables of a projection.
pub type Tables = &'static [&'static Table];

/// Where the rows of the read models stand. All of it can be built again from the events.
pub trait RowStore: Send + Sync + 'static {
    /// Every build that exists.
    fn builds(&self) -> BoxFuture<'_, Result<Vec<Build>, RowError>>;

    /// Makes empty tables, without indexes, for a build of a projection. Its checkpoint is
    /// [`Checkpoint::START`].
    fn create(
        &self,
        projection: &'static str,
        version: u32,
        purpose: Purpose,
        tables: Tables,
    ) -> BoxFuture<'_, Result<BuildId, RowError>>;

    /// Makes what queries need to be quick; does nothing where it is there already.
    fn index(&self, build: BuildId, tables: Tables) -> BoxFuture<'_, Result<(), RowError>>;

    /// The rows with these keys, in any order; keys without a row are left out.
    fn load(
        &self,
        build: BuildId,
        table: &'static Table,
        keys: Vec<Key>,
    ) -> BoxFuture<'_, Result<Vec<Row>, RowError>>;

    /// Changes rows and moves the checkpoint from `expected`, together or not at all.
    fn commit<'a>(
        &'a self,
        build: BuildId,
        changes: &'a Changes,
        expected: Position,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), RowError>>;

    /// Rows. Goes on while others write.
    fn query(&self, build: BuildId, query: Query) -> BoxFuture<'_, Result<Vec<Row>, RowError>>;

    /// How many rows meet every filter.
    fn count(
        &self,
        build: BuildId,
        table: &'static Table,
        filters: Vec<Filter>,
    ) -> BoxFuture<'_, Result<u64, RowError>>;

    /// In one step, this build is the served one of its projection, and the one before is
    /// retired, since now.
    fn serve(&self, build: BuildId, now: Timestamp) -> BoxFuture<'_, Result<(), RowError>>;

    /// Says what a build that is not served is for, since now. Does nothing if there is none.
    fn mark(
        &self,
        build: BuildId,
        purpose: Purpose,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), RowError>>;

    /// Takes a build and its tables away; does nothing if there is none.
    fn remove(&self, build: BuildId) -> BoxFuture<'_, Result<(), RowError>>;
}
