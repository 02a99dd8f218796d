//! The seat map as tables: derived once when sales open, and never changed after.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    names::{Category, Label, SeatId},
    seatmap::{Point, SeatMap},
};

/// The number of a seat in the order of the map.
pub(super) type SeatNo = u32;

/// Names and their numbers. Only the names are stored; the way back is built on reading.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Index<Id: Eq + Hash> {
    names: Vec<Id>,
    numbers: HashMap<Id, u32>,
}

impl<Id: Eq + Hash + Clone> Index<Id> {
    /// The number of a name, if it has one.
    pub fn number(&self, name: &Id) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The name of a number that [`Index::number`] gave.
    pub fn name(&self, number: u32) -> &Id {
        &self.names[number as usize]
    }

    /// The number of a name; the next one if it is new.
    pub fn number_or_next(&mut self, name: &Id) -> u32 {
        if let Some(number) = self.number(name) {
            return number;
        }
        let number = as_number(self.names.len());
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }
}

impl<Id: Eq + Hash> Default for Index<Id> {
    fn default() -> Self {
        Self { names: Vec::new(), numbers: HashMap::new() }
    }
}

impl<Id: Eq + Hash + Clone> FromIterator<Id> for Index<Id> {
    fn from_iter<I: IntoIterator<Item = Id>>(names: I) -> Self {
        let names = Vec::from_iter(names);
        let numbers = names.iter().cloned().zip(0..).collect();
        Self { names, numbers }
    }
}

impl<Id: Eq + Hash + Serialize> Serialize for Index<Id> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names.serialize(serializer)
    }
}

impl<'de, Id: Eq + Hash + Clone + Deserialize<'de>> Deserialize<'de> for Index<Id> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Id>::deserialize(deserializer).map(Self::from_iter)
    }
}

/// What never changes about a seat.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct SeatPlace {
    /// Where it stands.
    pub at: Point,
    /// Its row's number.
    pub row: u32,
    /// Its category's number.
    pub category: u32,
    /// Never given to a general request.
    pub wheelchair: bool,
    /// No party sits across the gap behind it.
    pub aisle_after: bool,
}

/// A row: its seats have consecutive numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct RowSpan {
    /// Its section's number.
    pub section: u32,
    /// Its first seat.
    pub first: SeatNo,
    /// The seat after its last.
    pub end: SeatNo,
    /// How many of its seats are wheelchair places.
    pub wheelchairs: u32,
    /// No block of this row has its centre nearer to the focal point (a squared distance).
    pub nearest: u128,
}

/// The seat map as tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// Where people want to look.
    pub focus: Point,
    /// The ids of the seats.
    pub ids: Index<SeatId>,
    /// The seats, in the order of the map.
    pub seats: Vec<SeatPlace>,
    /// The rows that have seats, in the order of the map.
    pub rows: Vec<RowSpan>,
    /// The numbers of the rows, nearest the focal point first.
    pub nearest_rows: Vec<u32>,
    /// The names of the sections; two sections may have the same.
    pub sections: Vec<Label>,
    /// The categories of the seats.
    pub categories: Index<Category>,
}

impl Layout {
    /// The tables of a map.
    pub fn of(map: &SeatMap) -> Self {
        let mut categories = Index::default();
        let mut seats: Vec<SeatPlace> = Vec::new();
        let mut rows: Vec<RowSpan> = Vec::new();
        for (section, rows_of_section) in (0..).zip(map.sections.iter().map(|s| &s.rows)) {
            for row in rows_of_section.iter().filter(|row| !row.seats.is_empty()) {
                let first = as_number(seats.len());
                seats.extend(row.seats.iter().map(|seat| SeatPlace {
                    at: seat.at,
                    row: as_number(rows.len()),
                    category: categories.number_or_next(&seat.category),
                    wheelchair: seat.wheelchair,
                    aisle_after: seat.aisle_after,
                }));
                let of_row = &seats[first as usize..];
                rows.push(RowSpan {
                    section,
                    first,
                    end: as_number(seats.len()),
                    wheelchairs: as_number(of_row.iter().filter(|s| s.wheelchair).count()),
                    nearest: nearest(map.focus, of_row),
                });
            }
        }
        let mut nearest_rows: Vec<u32> = (0..as_number(rows.len())).collect();
        nearest_rows.sort_by_key(|&row| rows[row as usize].nearest);
        Self {
            focus: map.focus,
            ids: map.seats().map(|seat| seat.id.clone()).collect(),
            seats,
            rows,
            nearest_rows,
            sections: map.sections.iter().map(|section| section.name.clone()).collect(),
            categories,
        }
    }

    /// A seat.
    pub fn seat(&self, seat: SeatNo) -> &SeatPlace {
        &self.seats[seat as usize]
    }

    /// The numbers of the sections with this name.
    pub fn sections_named(&self, name: &str) -> BTreeSet<u32> {
        (0..).zip(&self.sections).filter(|(_, s)| s.as_str() == name).map(|(n, _)| n).collect()
    }
}

/// `SeatMap::check` bounds all that is counted here far below this limit.
pub(super) fn as_number(count: usize) -> u32 {
    u32::try_from(count).expect("a checked seat map has fewer than 2^32 of anything")
}

/// The squared distance of the focal point from the smallest upright rectangle around the seats.
/// The centre of any block of them lies within it.
fn nearest(focus: Point, seats: &[SeatPlace]) -> u128 {
    let outside = |focus: i32, along: fn(&SeatPlace) -> i32| {
        let from = seats.iter().map(along).min().unwrap_or(focus);
        let to = seats.iter().map(along).max().unwrap_or(focus);
        u128::from(focus.clamp(from, to).abs_diff(focus))
    };
    let (x, y) = (outside(focus.x, |s| s.at.x), outside(focus.y, |s| s.at.y));
    x * x + y * y
}
