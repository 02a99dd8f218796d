//! Best available: side by side in a row and not across an aisle, nearest the focal point,
//! leaving no single seat alone if any placement avoids it. Pure, whole numbers, no chance but
//! the seed.

use std::collections::BTreeSet;

use super::{
    BestAvailable, Rejection,
    layout::{Layout, RowSpan, SeatNo},
    seats::{Seats, Status},
    split,
    state::Sales,
};
use crate::legs::Legs;

/// Seats whose squared distance is at most one part in so many greater are equally good: about
/// 0.8 % of the distance, which covers mirrored places of a map with rounded coordinates.
const EQUALLY_GOOD: u128 = 64;

/// Who wants to sit together, when, and out of what.
pub(super) struct Party<'a> {
    pub ask: &'a BestAvailable,
    pub legs: Legs,
    pub allotment: Option<u32>,
}

/// The seats, in the order of the map; or why there are none.
pub(super) fn choose(sales: &Sales, party: &Party) -> Result<Vec<SeatNo>, Rejection> {
    let finder = Finder {
        layout: &sales.layout,
        seats: &sales.seats,
        filter: Filter::of(&sales.layout, party.ask)?,
        status: party.allotment.map_or(Status::Open, Status::Allotted),
        legs: party.legs,
        mask: party.legs.mask(),
    };
    let count = party.ask.count;
    if let Some(first) = finder.together(count, party.ask.seed) {
        return Ok((first..first + count).collect());
    }
    let mut runs = Vec::new();
    for row in finder.rows(1) {
        finder.runs(row, |run| runs.push(run));
    }
    let free = runs.iter().map(|run| u64::from(run.len)).sum::<u64>();
    if free < u64::from(count) {
        return Err(Rejection::NotEnoughSeats);
    }
    if !party.ask.may_split {
        return Err(Rejection::NoAdjacentSeats);
    }
    Ok(split::seat(&sales.layout, &runs, count))
}

/// Which seats a request is about, whether they are free or not.
pub(super) struct Filter<'a> {
    layout: &'a Layout,
    sections: Option<BTreeSet<u32>>,
    category: Option<u32>,
    wheelchair: bool,
}

impl<'a> Filter<'a> {
    /// Refused when no section or no seat's category has the name asked for.
    pub fn of(layout: &'a Layout, ask: &BestAvailable) -> Result<Self, Rejection> {
        let sections = ask.section.as_ref().map(|name| layout.sections_named(name));
        if sections.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(Rejection::NoSuchSeats);
        }
        let category = match &ask.category {
            None => None,
            Some(name) => Some(layout.categories.number(name).ok_or(Rejection::NoSuchSeats)?),
        };
        Ok(Self { layout, sections, category, wheelchair: ask.wheelchair })
    }

    /// The seat is one of those.
    pub fn admits(&self, seat: SeatNo) -> bool {
        let place = self.layout.seat(seat);
        self.admits_row(&self.layout.rows[place.row as usize])
            && self.admits_category(place.category)
            && place.wheelchair == self.wheelchair
    }

    fn admits_row(&self, row: &RowSpan) -> bool {
        self.sections.as_ref().is_none_or(|sections| sections.contains(&row.section))
    }

    fn admits_category(&self, category: u32) -> bool {
        self.category.is_none_or(|wanted| wanted == category)
    }
}

/// Seats side by side that the party may take, as many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub section: u32,
    pub first: SeatNo,
    pub len: u32,
    /// A single seat left at this end would not be alone: the seat next to it is free as well,
    /// though the party does not want it (another category).
    pub friend_before: bool,
    pub friend_after: bool,
}

impl Run {
    /// The last seat.
    pub fn last(&self) -> SeatNo {
        self.first + self.len - 1
    }
}

struct Finder<'a> {
    layout: &'a Layout,
    seats: &'a Seats,
    filter: Filter<'a>,
    status: Status,
    legs: Legs,
    mask: u64,
}

impl Finder<'_> {
    /// Rows that may have so many free seats, nearest the focal point first.
    fn rows(&self, at_least: u32) -> impl Iterator<Item = &RowSpan> {
        self.layout.nearest_rows.iter().filter_map(move |&number| {
            let row = &self.layout.rows[number as usize];
            let most = if self.filter.wheelchair {
                row.wheelchairs
            } else if self.status == Status::Open {
                self.seats.most_open(number, self.legs)
            } else {
                row.end - row.first
            };
            (most >= at_least && self.filter.admits_row(row)).then_some(row)
        })
    }

    /// Free for a party of this kind, whatever the category.
    fn is_free(&self, seat: SeatNo) -> bool {
        self.seats.is_free(seat, self.mask)
            && self.seats.status(seat) == self.status
            && self.layout.seat(seat).wheelchair == self.filter.wheelchair
    }

    fn may_take(&self, seat: SeatNo) -> bool {
        self.is_free(seat) && self.filter.admits_category(self.layout.seat(seat).category)
    }

    fn runs(&self, row: &RowSpan, mut each: impl FnMut(Run)) {
        // One sits beside the next seat of the row, unless an aisle lies between.
        let joins_next = |seat: SeatNo| seat + 1 < row.end && !self.layout.seat(seat).aisle_after;
        let mut seat = row.first;
        while seat < row.end {
            if self.may_take(seat) {
                let first = seat;
                while joins_next(seat) && self.may_take(seat + 1) {
                    seat += 1;
                }
                let has_before = first > row.first && joins_next(first - 1);
                each(Run {
                    section: row.section,
                    first,
                    len: seat + 1 - first,
                    friend_before: has_before && self.is_free(first - 1),
                    friend_after: joins_next(seat) && self.is_free(seat + 1),
                });
            }
            seat += 1;
        }
    }

    /// The first of so many seats side by side.
    fn together(&self, count: u32, seed: u64) -> Option<SeatNo> {
        let mut tidy = Shortlist::new(seed);
        let mut lonely = Shortlist::new(seed);
        let scale = u128::from(count) * u128::from(count);
        for row in self.rows(count) {
            if tidy.is_beyond(row.nearest * scale) {
                break;
            }
            self.runs(row, |run| {
                self.blocks(&run, count, |first, distance, leaves_one_alone| {
                    if !leaves_one_alone {
                        tidy.offer(distance, first);
                    } else if tidy.is_empty() {
                        lonely.offer(distance, first);
                    }
                });
            });
        }
        tidy.draw().or_else(|| lonely.draw())
    }

    /// Every way to seat so many in the run: the first seat, the squared distance of the centre
    /// from the focal point (times `count` squared, so that it stays a whole number), and whether
    /// it leaves a single seat alone.
    fn blocks(&self, run: &Run, count: u32, mut each: impl FnMut(SeatNo, u128, bool)) {
        if run.len < count {
            return;
        }
        let focus = self.layout.focus;
        let offset = |seat: SeatNo| {
            let at = self.layout.seat(seat).at;
            (i64::from(at.x) - i64::from(focus.x), i64::from(at.y) - i64::from(focus.y))
        };
        let (mut x, mut y) = (run.first..run.first + count)
            .map(offset)
            .fold((0, 0), |sum, at| (sum.0 + at.0, sum.1 + at.1));
        for before in 0..=run.len - count {
            let first = run.first + before;
            let after = run.len - count - before;
            let leaves_one_alone =
                before == 1 && !run.friend_before || after == 1 && !run.friend_after;
            each(first, squared_length(x, y), leaves_one_alone);
            if after > 0 {
                let (gone, come) = (offset(first), offset(first + count));
                (x, y) = (x - gone.0 + come.0, y - gone.1 + come.1);
            }
        }
    }
}

/// The square of the length of a vector.
pub(super) fn squared_length(x: i64, y: i64) -> u128 {
    let square = |v: i64| u128::from(v.unsigned_abs()) * u128::from(v.unsigned_abs());
    square(x) + square(y)
}

/// The nearest block so far, and with a seed those that are equally good.
struct Shortlist {
    seed: u64,
    nearest: u128,
    near: Vec<(u128, SeatNo)>,
}

impl Shortlist {
    fn new(seed: u64) -> Self {
        Self { seed, nearest: 0, near: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.near.is_empty()
    }

    /// Nothing at this distance or farther can be drawn any more.
    fn is_beyond(&self, distance: u128) -> bool {
        !self.is_empty() && distance > self.farthest()
    }

    fn farthest(&self) -> u128 {
        if self.seed == 0 { self.nearest } else { self.nearest + self.nearest / EQUALLY_GOOD }
    }

    fn offer(&mut self, distance: u128, first: SeatNo) {
        if self.is_beyond(distance) {
            return;
        }
        if self.is_empty() || distance < self.nearest {
            self.nearest = distance;
            let farthest = self.farthest();
            self.near.retain(|&(distance, _)| distance <= farthest);
        }
        self.near.push((distance, first));
    }

    /// Without a seed the first of the nearest, else any of those that are equally good.
    fn draw(&self) -> Option<SeatNo> {
        let seats = self.near.iter().map(|&(_, first)| first);
        if self.seed == 0 { seats.min() } else { seats.min_by_key(|&seat| self.lot(seat)) }
    }

    /// SplitMix64 of seed and seat.
    fn lot(&self, seat: SeatNo) -> u64 {
        let z = self.seed.wrapping_add(u64::from(seat).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
