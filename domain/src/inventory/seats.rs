//! Which seat is taken on which leg, and who may have it.

use serde::{Deserialize, Serialize};

use super::layout::{Layout, SeatNo};
use crate::legs::Legs;

/// Who may have a seat that is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    /// Everybody.
    Open,
    /// Nobody.
    Blocked,
    /// The allotment with this number.
    Allotted(u32),
}

/// What changes about the seats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Seats {
    /// A bit for each leg on which the seat is held or sold.
    taken: Vec<u64>,
    status: Vec<Status>,
    legs: u8,
    /// For each row and leg: seats that are open, free there and no wheelchair places. Tells best
    /// available which rows it need not look at.
    open_in_row: Vec<u32>,
}

impl Seats {
    /// All open and free.
    pub fn new(layout: &Layout, legs: u8) -> Self {
        let open_in_row = layout
            .rows
            .iter()
            .flat_map(|row| {
                std::iter::repeat_n(row.end - row.first - row.wheelchairs, usize::from(legs))
            })
            .collect();
        let count = layout.seats.len();
        Self { taken: vec![0; count], status: vec![Status::Open; count], legs, open_in_row }
    }

    /// Who may have it.
    pub fn status(&self, seat: SeatNo) -> Status {
        self.status[seat as usize]
    }

    /// Free on all of these legs, whoever may have it.
    pub fn is_free(&self, seat: SeatNo, mask: u64) -> bool {
        self.taken[seat as usize] & mask == 0
    }

    /// A bit for each leg on which it is held or sold.
    pub fn taken(&self, seat: SeatNo) -> u64 {
        self.taken[seat as usize]
    }

    /// At most so many seats of the row are open and free on all of these legs.
    pub fn most_open(&self, row: u32, legs: Legs) -> u32 {
        let first = row as usize * usize::from(self.legs);
        let of_row = &self.open_in_row[first..first + usize::from(self.legs)];
        of_row[legs.indices()].iter().copied().min().unwrap_or(0)
    }

    /// Held or sold from now on.
    pub fn take(&mut self, layout: &Layout, seat: SeatNo, mask: u64) {
        assert!(self.is_free(seat, mask), "seat {seat} is given twice");
        self.change(layout, seat, self.status(seat), self.taken(seat) | mask);
    }

    /// Neither held nor sold from now on.
    pub fn give_back(&mut self, layout: &Layout, seat: SeatNo, mask: u64) {
        assert!(self.taken(seat) & mask == mask, "seat {seat} is given back but was not taken");
        self.change(layout, seat, self.status(seat), self.taken(seat) & !mask);
    }

    /// Somebody else may have it from now on.
    pub fn set_status(&mut self, layout: &Layout, seat: SeatNo, status: Status) {
        self.change(layout, seat, status, self.taken(seat));
    }

    fn change(&mut self, layout: &Layout, seat: SeatNo, status: Status, taken: u64) {
        let place = layout.seat(seat);
        let before = self.open_on(seat);
        self.status[seat as usize] = status;
        self.taken[seat as usize] = taken;
        if place.wheelchair {
            return;
        }
        let after = self.open_on(seat);
        let first = place.row as usize * usize::from(self.legs);
        let mut changed = before ^ after;
        while changed != 0 {
            let leg = changed.trailing_zeros();
            let count = &mut self.open_in_row[first + leg as usize];
            if after >> leg & 1 == 1 {
                *count += 1
            } else {
                *count -= 1
            }
            changed &= changed - 1;
        }
    }

    /// A bit for each leg on which everybody may have it.
    fn open_on(&self, seat: SeatNo) -> u64 {
        let all = u64::MAX >> (64 - u32::from(self.legs));
        if self.status(seat) == Status::Open { !self.taken(seat) & all } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::{map, row, section};

    #[test]
    fn every_row_knows_how_many_of_its_seats_are_open_on_each_leg() {
        let rows = [row("A", 1, "...w"), row("B", 2, "..")];
        let layout = Layout::of(&map([section("stalls", rows)]));
        let mut seats = Seats::new(&layout, 3);
        let legs = |from, to| Legs::new(from, to).unwrap();
        let counts = |seats: &Seats| {
            [(0, 1), (1, 2), (2, 3), (0, 3)].map(|(from, to)| {
                (seats.most_open(0, legs(from, to)), seats.most_open(1, legs(from, to)))
            })
        };
        assert_eq!(counts(&seats), [(3, 2), (3, 2), (3, 2), (3, 2)]);
        seats.take(&layout, 0, legs(1, 3).mask());
        seats.take(&layout, 3, legs(0, 3).mask());
        seats.take(&layout, 4, legs(0, 1).mask());
        assert_eq!(counts(&seats), [(3, 1), (2, 2), (2, 2), (2, 1)]);
        seats.set_status(&layout, 0, Status::Blocked);
        assert_eq!(counts(&seats), [(2, 1), (2, 2), (2, 2), (2, 1)]);
        seats.give_back(&layout, 0, legs(1, 3).mask());
        seats.give_back(&layout, 4, legs(0, 1).mask());
        assert_eq!(counts(&seats), [(2, 2), (2, 2), (2, 2), (2, 2)]);
        seats.set_status(&layout, 0, Status::Open);
        assert_eq!(seats, Seats { taken: vec![0, 0, 0, 7, 0, 0], ..Seats::new(&layout, 3) });
    }
}
