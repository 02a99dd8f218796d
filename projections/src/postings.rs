//! Lists of positions: for every show, actor, kind, … where in the log the events are that are
//! about it. A read model that is made of them keeps no copy of the events and has no index:
//! what is asked for is found in the lists and read from the log.
//!
//! A list is a tail that grows and blocks that never change again. An entry takes a byte or two.
//! Where one block ends and the next begins depends on the entries alone, so that rows built
//! anew are equal to those that grew one by one.

mod log;
mod read;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr, sync::Arc};

use hakken_domain::{
    codec,
    envelope::{Position, StreamId},
    names::{ActorRef, OrderId, OrganizerId, ShowId},
};
pub(crate) use log::{events_within, first_events};
pub(crate) use read::{Elements, Lists, Taken, Wanted};

use crate::{
    cache::{AnyRows, Cache, Log, Record, bad, read_bytes, read_int, read_text},
    projection::Inconsistent,
    rows::{Column, Key, Row, RowError, Table, Value},
};

/// Bytes from which a tail becomes a block: what every commit writes again for each list that it
/// touches, and what a query reads at least.
const BLOCK_BYTES: usize = 1_024;
/// Lists that all orders share: each has about as many orders as the others.
const BUCKETS: u64 = 4_096;
/// Tails in memory.
const TAILS: usize = 12_000;

/// The newest entries of each list.
pub(crate) static TAIL_TABLE: Table =
    Table { name: "tails", noun: "tail of the list", columns: COLUMNS, key: 1, indexes: &[] };

/// The entries before them.
pub(crate) static BLOCK_TABLE: Table =
    Table { name: "blocks", noun: "block of the list", columns: COLUMNS, key: 2, indexes: &[] };

const COLUMNS: &[Column] = &[
    Column::text("list"),
    Column::int("first"),
    Column::int("last"),
    Column::int("entries"),
    Column::bytes("packed"),
];

/// What the events of a list have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum List {
    /// They belong to this tenant.
    Organizer(OrganizerId),
    /// They are about this show.
    Show(ShowId),
    /// This actor did them.
    Actor(ActorRef),
    /// They are of this kind.
    Kind(&'static str),
    /// They are of this stream.
    Stream(StreamId),
    /// They are about one of the orders of this bucket: each entry has the order's tag.
    Orders(u16),
}

impl List {
    /// The list that an order shares with others, and what tells it from most of them.
    pub(crate) fn of_order(order: OrderId) -> (Self, u32) {
        let id = order.0.0;
        let mixed = (id as u64 ^ (id >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = mixed ^ (mixed >> 29);
        (Self::Orders((mixed % BUCKETS) as u16), (mixed >> 32) as u32)
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organizer(id) => write!(f, "organizer:{id}"),
            Self::Show(id) => write!(f, "show:{id}"),
            Self::Actor(actor) => write!(f, "actor:{actor}"),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
            Self::Stream(stream) => write!(f, "stream:{stream}"),
            Self::Orders(bucket) => write!(f, "orders:{bucket}"),
        }
    }
}

impl FromStr for List {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (what, which) = text.split_once(':').ok_or(())?;
        Ok(match what {
            "organizer" => Self::Organizer(which.parse().map_err(drop)?),
            "show" => Self::Show(which.parse().map_err(drop)?),
            "actor" => Self::Actor(which.parse().map_err(drop)?),
            "kind" => Self::Kind(codec::known_kind(which).ok_or(())?),
            "stream" => Self::Stream(which.parse().map_err(drop)?),
            "orders" => Self::Orders(which.parse().map_err(drop)?),
            _ => return Err(()),
        })
    }
}

/// Entries one after another: how far each is from the one before, seven bits a byte, and its
/// tag where the list has tags.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Packed {
    first: u64,
    last: u64,
    entries: u32,
    bytes: Vec<u8>,
}

impl Packed {
    /// Whether it comes after those before, and is added.
    fn push(&mut self, position: u64, tag: Option<u32>) -> bool {
        if self.entries == 0 {
            (self.first, self.last) = (position, position);
        } else if position <= self.last {
            return false;
        }
        let mut distance = position - self.last;
        while distance >= 0x80 {
            self.bytes.push(distance as u8 | 0x80);
            distance >>= 7;
        }
        self.bytes.push(distance as u8);
        if let Some(tag) = tag {
            self.bytes.extend_from_slice(&tag.to_le_bytes());
        }
        self.last = position;
        self.entries += 1;
        true
    }

    /// Whether the next entry goes into another block.
    fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_BYTES
    }

    fn to_row(&self, list: &List) -> Row {
        let number = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        vec![
            Value::text(list),
            number(self.first),
            number(self.last),
            number(self.entries.into()),
            Value::Bytes(Arc::from(self.bytes.as_slice())),
        ]
    }

    /// From a row of either table.
    fn read(table: &'static Table, row: &Row) -> Result<Self, RowError> {
        let number = |column| read_int(table, row, column).map(i64::unsigned_abs);
        Ok(Self {
            first: number("first")?,
            last: number("last")?,
            entries: u32::try_from(number("entries")?).map_err(|_| bad(table, "entries"))?,
            bytes: read_bytes(table, row, "packed")?.to_vec(),
        })
    }

    /// The positions, in order: those with this tag where the list has tags, else all of them.
    fn positions(&self, tag: Option<u32>) -> Option<Vec<u64>> {
        let mut positions =
            Vec::with_capacity(if tag.is_some() { 16 } else { self.entries as usize });
        let (mut rest, mut position) = (self.bytes.as_slice(), self.first);
        while !rest.is_empty() {
            let (mut distance, mut shift) = (0_u64, 0);
            loop {
                let (byte, behind) = rest.split_first()?;
                rest = behind;
                distance |= u64::from(byte & 0x7f).checked_shl(shift)?;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            position = position.checked_add(distance)?;
            let is_wanted = match tag {
                None => true,
                Some(tag) => {
                    let (found, behind) = rest.split_first_chunk()?;
                    rest = behind;
                    u32::from_le_bytes(*found) == tag
                }
            };
            if is_wanted {
                positions.push(position);
            }
        }
        Some(positions)
    }
}

impl Record for Packed {
    type Key = List;
    fn table() -> &'static Table {
        &TAIL_TABLE
    }
    fn key_values(list: &List) -> Key {
        vec![Value::text(list)]
    }
    fn to_row(&self, list: &List) -> Row {
        Self::to_row(self, list)
    }
    fn from_row(row: &Row) -> Result<(List, Self), RowError> {
        let list = read_text(&TAIL_TABLE, row, "list")?;
        let list = list.parse().map_err(|()| bad(&TAIL_TABLE, "list"))?;
        Ok((list, Self::read(&TAIL_TABLE, row)?))
    }
}

/// The lists, as a fold writes them.
pub(crate) struct Postings {
    tails: Cache<Packed>,
    blocks: Log,
}

impl Default for Postings {
    fn default() -> Self {
        Self { tails: Cache::keeping(2 * TAILS), blocks: Log::new(&BLOCK_TABLE) }
    }
}

impl Postings {
    pub(crate) fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![&mut self.tails, &mut self.blocks]
    }

    /// Asks for what a list's next entry needs.
    pub(crate) fn need(&mut self, list: &List) {
        self.tails.need(list);
    }

    /// The event at this position belongs in the list. Positions come in order, each once; a list
    /// that has it already was written by a commit that nobody knows of yet.
    pub(crate) fn push(
        &mut self,
        list: &List,
        position: Position,
        tag: Option<u32>,
    ) -> Result<(), Inconsistent> {
        let tail = self.tails.get_or(list, Packed::default);
        if tail.is_full() {
            let block = std::mem::take(tail);
            self.blocks.push(block.to_row(list));
        }
        if tail.push(position.0, tag) {
            return Ok(());
        }
        Err(Inconsistent(format!("{list} goes on to {} already", tail.last)))
    }
}
