//! Which seats stand side by side. A plan's rows are what its maker grouped: mostly rows in order,
//! but real plans also have rows in any order and whole blocks as one row. What the coordinates
//! show decides, so that best available gives seats that really are neighbours.

use std::collections::HashMap;

use hakken_domain::{
    names::Label,
    seatmap::{Point, Row, Seat},
};

/// Rows of more seats keep the order of the file.
const MAX_SPOTS: usize = 20_000;
/// So do blocks with more seats on a square of about two by two: they are no rows, and looking at
/// each seat's neighbours would be looking at all seats for each.
const MAX_CROWD: usize = 64;
/// The nearest seat is among so many on either side along an axis.
const MAX_LOOKS: usize = 256;
/// A distance of so many times the usual one is an aisle.
const AISLE: f64 = 1.6;
/// Seats within so many times the usual distance are next to each other: less than the diagonal.
const NEAR: f64 = 1.3;
/// An aisle within a row is at most so many usual distances wide.
const WIDEST_AISLE: f64 = 6.0;

/// A seat's place, and its number if it is one.
#[derive(Debug, Clone, Copy)]
struct Spot {
    x: f64,
    y: f64,
    number: Option<i64>,
}

impl Spot {
    fn of(seat: &Seat) -> Self {
        let number = seat.number.as_str().parse().ok();
        Self { x: seat.at.x.into(), y: seat.at.y.into(), number }
    }

    fn to(self, other: Self) -> (f64, f64) {
        (other.x - self.x, other.y - self.y)
    }

    fn distance(self, other: Self) -> f64 {
        length(self.to(other))
    }
}

fn length((x, y): (f64, f64)) -> f64 {
    (x * x + y * y).sqrt()
}

/// The cosine of the angle between two directions; 1 if one of them is none.
fn cosine(a: (f64, f64), b: (f64, f64)) -> f64 {
    let lengths = length(a) * length(b);
    if lengths > 0.0 { (a.0 * b.0 + a.1 * b.1) / lengths } else { 1.0 }
}

/// One row of a file as the rows that it is made of, nearest to the focus first, each in order and
/// with its aisles.
pub(super) fn ordered(row: Row, focus: Point) -> Vec<Row> {
    let Row { name, seats } = row;
    let spots: Vec<Spot> = seats.iter().map(Spot::of).collect();
    let mut lines = lines(&spots);
    let focus = Spot { x: focus.x.into(), y: focus.y.into(), number: None };
    let far = |line: &Vec<usize>| {
        line.iter().map(|&at| spots[at].distance(focus)).sum::<f64>() / line.len().max(1) as f64
    };
    lines.sort_by(|a, b| far(a).total_cmp(&far(b)));
    let several = lines.len() > 1;
    let mut seats: Vec<Option<Seat>> = seats.into_iter().map(Some).collect();
    let parts = lines.iter().enumerate().map(|(index, line)| {
        let mut part: Vec<Seat> = line.iter().filter_map(|&at| seats[at].take()).collect();
        mark_aisles(&mut part);
        let name = if several { numbered(&name, index + 1) } else { name.clone() };
        Row { name, seats: part }
    });
    parts.collect()
}

/// The row's name with a number, or the number alone if nothing in the name can be read aloud.
fn numbered(name: &Label, number: usize) -> Label {
    let suffix = format!("-{number}");
    let room = Label::MAX_CHARS - suffix.len();
    let start: String = name.as_str().chars().take(room).collect();
    let text =
        if start.contains(char::is_alphanumeric) { start + &suffix } else { number.to_string() };
    Label::new(&text).expect("a name that was one, shortened")
}

/// Marks each seat after which the distance is clearly larger than usual in the row.
fn mark_aisles(seats: &mut [Seat]) {
    let steps: Vec<f64> =
        seats.windows(2).map(|pair| Spot::of(&pair[0]).distance(Spot::of(&pair[1]))).collect();
    let usual = median(steps.clone());
    for (seat, step) in seats.iter_mut().zip(steps) {
        seat.aisle_after = step > AISLE * usual;
    }
}

/// The lower one of the middle; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// The seats, by index, as lines of neighbours.
fn lines(spots: &[Spot]) -> Vec<Vec<usize>> {
    let in_file: Vec<usize> = (0..spots.len()).collect();
    if spots.is_empty() {
        return Vec::new();
    }
    if spots.len() > MAX_SPOTS || walks(spots) {
        return vec![in_file];
    }
    let usual = usual_distance(spots);
    if usual == 0.0 {
        return vec![in_file];
    }
    let chains = match paths(spots, usual) {
        Some(paths) => paths,
        None => along_best_axis(spots, usual),
    };
    joined(spots, chains, usual)
}

/// Whether the file's order is a walk along the row: it never turns back, never jumps aside, and
/// never comes back beside itself (but for its two ends, as around a table).
fn walks(spots: &[Spot]) -> bool {
    if spots.len() < 3 {
        return true;
    }
    let steps: Vec<(f64, f64)> = spots.windows(2).map(|pair| pair[0].to(pair[1])).collect();
    let usual = median(steps.iter().map(|step| length(*step)).collect());
    let straight = steps.windows(2).all(|pair| {
        let long = pair.iter().any(|step| length(*step) > AISLE * usual);
        cosine(pair[0], pair[1]) > if long { 0.7 } else { -0.2 }
    });
    if !straight {
        return false;
    }
    let near = Neighbours::new(spots, NEAR * usual);
    let last = spots.len() - 1;
    (0..spots.len()).all(|at| {
        near.of(at)
            .all(|other| at.abs_diff(other) <= 1 || at.min(other) == 0 && at.max(other) == last)
    })
}

/// The median distance to the nearest seat.
fn usual_distance(spots: &[Spot]) -> f64 {
    // Sorted along a slanted axis, on which no usual plan has many seats at one place, the nearest
    // seat is among the next few.
    let along = |spot: Spot| spot.x * 0.866_754_3 + spot.y * 0.498_731_9;
    let mut order: Vec<(f64, usize)> =
        spots.iter().enumerate().map(|(at, spot)| (along(*spot), at)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = |index: usize| {
        let (here, at) = order[index];
        let mut best = f64::INFINITY;
        let mut look = |(there, other): (f64, usize)| {
            let ahead = (there - here).abs() < best;
            if ahead {
                best = best.min(spots[at].distance(spots[other]));
            }
            ahead
        };
        let _ = order[index + 1..].iter().take(MAX_LOOKS).all(|entry| look(*entry));
        let _ = order[..index].iter().rev().take(MAX_LOOKS).all(|entry| look(*entry));
        best
    };
    median((0..order.len()).map(nearest).collect())
}

/// Seats by square cells of one size, to find those within that size.
struct Neighbours<'s> {
    spots: &'s [Spot],
    reach: f64,
    cells: HashMap<(i64, i64), Vec<usize>>,
}

impl<'s> Neighbours<'s> {
    fn new(spots: &'s [Spot], reach: f64) -> Self {
        let mut found = Self { spots, reach: reach.max(1.0), cells: HashMap::new() };
        for (at, spot) in spots.iter().enumerate() {
            let cell = found.cell(*spot);
            found.cells.entry(cell).or_default().push(at);
        }
        found
    }

    fn cell(&self, spot: Spot) -> (i64, i64) {
        ((spot.x / self.reach).floor() as i64, (spot.y / self.reach).floor() as i64)
    }

    fn is_crowded(&self) -> bool {
        self.cells.values().any(|cell| cell.len() > MAX_CROWD)
    }

    fn of(&self, at: usize) -> impl Iterator<Item = usize> {
        let here = self.spots[at];
        let (x, y) = self.cell(here);
        (-1..=1)
            .flat_map(move |dx| (-1..=1).map(move |dy| (x + dx, y + dy)))
            .filter_map(|cell| self.cells.get(&cell))
            .flatten()
            .copied()
            .filter(move |&other| other != at && here.distance(self.spots[other]) <= self.reach)
    }
}

/// Lines of seats of which each has at most two near ones: straight, curved or around corners.
/// `None` if a seat has more, as in a block.
fn paths(spots: &[Spot], usual: f64) -> Option<Vec<Vec<usize>>> {
    let near = Neighbours::new(spots, NEAR * usual);
    let mut links = vec![[None; 2]; spots.len()];
    for (at, link) in links.iter_mut().enumerate() {
        let mut found = near.of(at);
        *link = [found.next(), found.next()];
        if found.next().is_some() {
            return None;
        }
    }
    Some(chains(spots, &links))
}

/// Follows links from end to end; what is left are rings, which begin at their first seat.
fn chains(spots: &[Spot], links: &[[Option<usize>; 2]]) -> Vec<Vec<usize>> {
    let mut free = vec![true; links.len()];
    let mut chains = Vec::new();
    let ends = (0..links.len()).filter(|&at| links[at].contains(&None));
    for start in ends.chain(0..links.len()) {
        if !free[start] {
            continue;
        }
        let mut chain = vec![start];
        free[start] = false;
        let mut here = start;
        while let Some(next) = links[here].into_iter().flatten().find(|&next| free[next]) {
            free[next] = false;
            chain.push(next);
            here = next;
        }
        chains.push(forwards(spots, chain));
    }
    chains
}

/// From left to right, or from top to bottom where it stands upright.
fn forwards(spots: &[Spot], mut chain: Vec<usize>) -> Vec<usize> {
    let (x, y) = spots[chain[0]].to(spots[chain[chain.len() - 1]]);
    let backwards = if x.abs() >= y.abs() { x < 0.0 } else { y < 0.0 };
    if backwards {
        chain.reverse();
    }
    chain
}

/// A block's rows: along the axis on which most seats have a neighbour, and on which their numbers
/// go on by one.
fn along_best_axis(spots: &[Spot], usual: f64) -> Vec<Vec<usize>> {
    let near = Neighbours::new(spots, AISLE * usual);
    if near.is_crowded() {
        return vec![(0..spots.len()).collect()];
    }
    let slope = usual_slope(spots, &near);
    let mut best = (0, Vec::new());
    for angle in [0.0, 90.0, slope, slope + 90.0] {
        let links = side_by_side(spots, &near, angle, usual);
        let score = score(spots, &links);
        if score > best.0 {
            best = (score, links);
        }
    }
    if best.1.is_empty() {
        return (0..spots.len()).map(|at| vec![at]).collect();
    }
    chains(spots, &best.1)
}

/// The most frequent direction to near seats, in degrees from 0 to 90.
fn usual_slope(spots: &[Spot], near: &Neighbours) -> f64 {
    let mut votes = [0_u32; 90];
    for at in 0..spots.len() {
        for other in near.of(at).take(8) {
            let (x, y) = spots[at].to(spots[other]);
            let degrees = y.atan2(x).to_degrees().rem_euclid(90.0);
            votes[(degrees.round() as usize) % 90] += 1;
        }
    }
    let most = votes.iter().max().copied().unwrap_or(0);
    votes.iter().position(|&count| count == most).unwrap_or(0) as f64
}

/// Links of seats that are each other's nearest to the right and to the left.
fn side_by_side(
    spots: &[Spot],
    near: &Neighbours,
    degrees: f64,
    usual: f64,
) -> Vec<[Option<usize>; 2]> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let beside = |at: usize, sign: f64| {
        let candidates = near.of(at).filter_map(|other| {
            let (x, y) = spots[at].to(spots[other]);
            let (along, across) = ((x * cos + y * sin) * sign, y * cos - x * sin);
            (along > 0.3 * usual && across.abs() < 0.5 * usual)
                .then_some((along + across.abs(), other))
        });
        candidates.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, other)| other)
    };
    let right: Vec<Option<usize>> = (0..spots.len()).map(|at| beside(at, 1.0)).collect();
    let left: Vec<Option<usize>> = (0..spots.len()).map(|at| beside(at, -1.0)).collect();
    let mutual = |at: usize| {
        [
            left[at].filter(|&other| right[other] == Some(at)),
            right[at].filter(|&other| left[other] == Some(at)),
        ]
    };
    (0..spots.len()).map(mutual).collect()
}

/// Links, those between following numbers three times.
fn score(spots: &[Spot], links: &[[Option<usize>; 2]]) -> usize {
    let follow = |a: Spot, b: Spot| match (a.number, b.number) {
        (Some(a), Some(b)) => a.abs_diff(b) == 1,
        _ => false,
    };
    let each = links.iter().enumerate().flat_map(|(at, pair)| {
        pair.iter().flatten().map(move |&other| if follow(spots[at], spots[other]) { 3 } else { 1 })
    });
    each.sum()
}

/// Joins lines that go on in the same direction behind an aisle.
fn joined(spots: &[Spot], lines: Vec<Vec<usize>>, usual: f64) -> Vec<Vec<usize>> {
    /// More lines than this are no halls with aisles.
    const MAX_LINES: usize = 1_000;
    if lines.len() > MAX_LINES {
        return lines;
    }
    // Lines run from left to right or from top to bottom, so the end of one meets the start of
    // another. The narrowest aisle is crossed first.
    let long: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].len() > 1).collect();
    let pairs = long.iter().flat_map(|&at| long.iter().map(move |&to| (at, to)));
    let mut aisles: Vec<(f64, usize, usize)> = pairs
        .filter(|(at, to)| at != to)
        .filter_map(|(at, to)| Some((gap(spots, &lines[at], &lines[to], usual)?, at, to)))
        .collect();
    aisles.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut next = vec![None; lines.len()];
    let mut entered = vec![false; lines.len()];
    for (_, at, to) in aisles {
        if next[at].is_none() && !entered[to] {
            next[at] = Some(to);
            entered[to] = true;
        }
    }
    let mut joined = Vec::new();
    let mut lines: Vec<Option<Vec<usize>>> = lines.into_iter().map(Some).collect();
    let first_ones = (0..lines.len()).filter(|&at| !entered[at]);
    for start in first_ones.chain(0..lines.len()) {
        let Some(mut line) = lines[start].take() else { continue };
        let mut here = start;
        while let Some(to) = next[here]
            && let Some(tail) = lines[to].take()
        {
            line.extend(tail);
            here = to;
        }
        joined.push(line);
    }
    joined
}

/// How wide the aisle is between the end of one line and the start of another that goes on in its
/// direction.
fn gap(spots: &[Spot], line: &[usize], other: &[usize], usual: f64) -> Option<f64> {
    let last = spots[line[line.len() - 1]];
    let first = spots[other[0]];
    let gap = last.distance(first);
    if gap > WIDEST_AISLE * usual {
        return None;
    }
    let across = last.to(first);
    let before = spots[line[line.len() - 2]].to(last);
    let after = first.to(spots[other[1]]);
    // Within about ten degrees of both: the row behind begins farther aside.
    let straight = cosine(before, across) > 0.985 && cosine(across, after) > 0.985;
    straight.then_some(gap)
}
