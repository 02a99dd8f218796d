//! Best available for a party that nowhere finds enough seats side by side: the fewest groups,
//! in one section and near each other if possible, and no single seat left alone if any choice
//! of so few groups avoids it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{
    best::{Run, squared_length},
    layout::{Layout, SeatNo},
};

/// Seats a party. The runs together are long enough, and each alone is too short.
pub(super) fn seat(layout: &Layout, runs: &[Run], count: u32) -> Vec<SeatNo> {
    let groups = fewest_groups(runs, count).expect("there are enough seats");
    let mut by_section: BTreeMap<u32, Vec<Run>> = BTreeMap::new();
    for &run in runs {
        by_section.entry(run.section).or_default().push(run);
    }
    let within_one = by_section
        .values()
        .filter(|runs| fewest_groups(runs, count) == Some(groups))
        .map(|runs| Seating::of(layout, runs, count, groups))
        .min_by_key(|seating| (seating.leaves_one_alone, seating.distance));
    let seating = match within_one {
        Some(seating) if !seating.leaves_one_alone => seating,
        within_one => {
            let anywhere = Seating::of(layout, runs, count, groups);
            within_one.filter(|_| anywhere.leaves_one_alone).unwrap_or(anywhere)
        }
    };
    seating.seats
}

/// With how few of the runs so many people can be seated.
fn fewest_groups(runs: &[Run], count: u32) -> Option<u32> {
    let mut of_length = vec![0_u32; count as usize];
    for run in runs {
        of_length[run.len as usize] += 1;
    }
    let (mut left, mut groups) = (count, 0);
    for (length, runs) in (0..count).zip(of_length).skip(1).rev() {
        let needed = left.div_ceil(length);
        if needed <= runs {
            return Some(groups + needed);
        }
        left -= length * runs;
        groups += runs;
    }
    None
}

struct Seating {
    /// In the order of the map.
    seats: Vec<SeatNo>,
    leaves_one_alone: bool,
    /// Of the first group's run from the focal point, squared.
    distance: u128,
}

impl Seating {
    fn of(layout: &Layout, runs: &[Run], count: u32, groups: u32) -> Self {
        let mut chosen = near_each_other(layout, runs, count, groups);
        let spare = |chosen: &[Run]| chosen.iter().map(|run| run.len).sum::<u32>() - count;
        if spare(&chosen) == 1 && !chosen.iter().any(has_friend) {
            avoid_a_single_seat(layout, runs, &mut chosen);
        }
        let distance = distance(layout, &chosen[0], focus(layout));
        let spare = spare(&chosen);
        // The groups are as few as can be, so what is spare is less than any one of them, and one
        // run can shed it all.
        let last = chosen.len() - 1;
        let shedding =
            if spare == 1 { chosen.iter().position(has_friend).unwrap_or(last) } else { last };
        let leaves_one_alone = spare == 1 && !has_friend(&chosen[shedding]);
        let mut seats = Vec::with_capacity(count as usize);
        for (number, run) in chosen.iter().enumerate() {
            let shed = if number == shedding { spare } else { 0 };
            assert!(shed < run.len, "a group more than needed");
            let from_front = shed > 0 && sheds_from_front(layout, run, shed);
            let first = if from_front { run.first + shed } else { run.first };
            seats.extend(first..first + run.len - shed);
        }
        seats.sort_unstable();
        Self { seats, leaves_one_alone, distance }
    }
}

fn has_friend(run: &Run) -> bool {
    run.friend_before || run.friend_after
}

/// A single seat is shed where it has a friend, more of them where they are farther away.
fn sheds_from_front(layout: &Layout, run: &Run, shed: u32) -> bool {
    if shed == 1 && has_friend(run) {
        return run.friend_before;
    }
    let from_focus = |seat: SeatNo| {
        let (at, focus) = (layout.seat(seat).at, layout.focus);
        squared_length(i64::from(at.x) - i64::from(focus.x), i64::from(at.y) - i64::from(focus.y))
    };
    from_focus(run.first) > from_focus(run.last())
}

/// The nearest run to the focal point, and the nearest ones to it that complete the party; of
/// those only such that enough are left for it.
fn near_each_other(layout: &Layout, runs: &[Run], count: u32, groups: u32) -> Vec<Run> {
    let mut free = ByLength::new(layout, runs, focus(layout));
    let mut chosen: Vec<Run> = Vec::with_capacity(groups as usize);
    let mut left = count;
    for still in (0..groups).rev() {
        let at_least = left.saturating_sub(free.longest(still)).max(1);
        // The last one should not leave a single seat: exactly enough, or two more.
        let is_tidy = |length| still > 0 || length != left + 1;
        let run =
            free.take_nearest(at_least, is_tidy).or_else(|| free.take_nearest(at_least, |_| true));
        let run = run.expect("the longest runs are enough");
        left = left.saturating_sub(run.len);
        if chosen.is_empty() {
            let others: Vec<Run> = runs.iter().filter(|&other| *other != run).copied().collect();
            free = ByLength::new(layout, &others, twice_centre(layout, &run));
        }
        chosen.push(run);
    }
    chosen
}

/// One seat is spare and would be left alone. Any choice of as few groups that avoids it differs
/// in one run: longer, or by one shorter, or as long and with a free neighbour.
fn avoid_a_single_seat(layout: &Layout, runs: &[Run], chosen: &mut [Run]) {
    let origin = twice_centre(layout, &chosen[0]);
    let mut of_length: BTreeMap<u32, usize> = BTreeMap::new();
    of_length.extend(chosen.iter().enumerate().map(|(number, run)| (run.len, number)));
    let Some((&shortest, &shortest_at)) = of_length.first_key_value() else { return };
    let replaces = |run: &Run| {
        let at = |length| of_length.get(&length).copied();
        if chosen.contains(run) {
            None
        } else if run.len > shortest {
            Some(shortest_at)
        } else if has_friend(run) {
            at(run.len).or_else(|| at(run.len + 1))
        } else {
            at(run.len + 1)
        }
    };
    let better = runs
        .iter()
        .filter_map(|run| Some((distance(layout, run, origin), run, replaces(run)?)))
        .min_by_key(|(distance, run, _)| (*distance, run.first));
    if let Some((_, &run, at)) = better {
        chosen[at] = run;
    }
}

/// Free runs by their length, those of each length as a heap with the nearest on top.
struct ByLength(Vec<BinaryHeap<Reverse<(u128, Run)>>>);

impl ByLength {
    fn new(layout: &Layout, runs: &[Run], origin: (i64, i64)) -> Self {
        let longest = runs.iter().map(|run| run.len).max().unwrap_or(0);
        let mut lists = vec![Vec::new(); longest as usize + 1];
        for &run in runs {
            lists[run.len as usize].push(Reverse((distance(layout, &run, origin), run)));
        }
        Self(lists.into_iter().map(BinaryHeap::from).collect())
    }

    /// So many people fit into so many runs at most.
    fn longest(&self, groups: u32) -> u32 {
        let mut groups = groups as usize;
        let mut seats = 0;
        for (length, heap) in self.0.iter().enumerate().rev() {
            let taken = heap.len().min(groups);
            groups -= taken;
            seats += (length * taken) as u32;
        }
        seats
    }

    fn take_nearest(&mut self, at_least: u32, suits: impl Fn(u32) -> bool) -> Option<Run> {
        let (_, length) = (0..)
            .zip(&self.0)
            .skip(at_least as usize)
            .filter(|(length, _)| suits(*length))
            .filter_map(|(length, heap)| Some((heap.peek()?.0, length)))
            .min()?;
        self.0[length as usize].pop().map(|Reverse((_, run))| run)
    }
}

/// The focal point, doubled as [`twice_centre`] is.
fn focus(layout: &Layout) -> (i64, i64) {
    (2 * i64::from(layout.focus.x), 2 * i64::from(layout.focus.y))
}

/// The middle between the ends of a run, doubled so that it is whole.
fn twice_centre(layout: &Layout, run: &Run) -> (i64, i64) {
    let (a, b) = (layout.seat(run.first).at, layout.seat(run.last()).at);
    (i64::from(a.x) + i64::from(b.x), i64::from(a.y) + i64::from(b.y))
}

fn distance(layout: &Layout, run: &Run, origin: (i64, i64)) -> u128 {
    let (x, y) = twice_centre(layout, run);
    squared_length(x - origin.0, y - origin.1)
}
