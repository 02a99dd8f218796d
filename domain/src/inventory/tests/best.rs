//! Best available, in pictures. A line is a row, the first one nearest the focal point, which is
//! in front of its middle: `.` free, `x` blocked, `a` allotted to the fans, `w` a wheelchair
//! place, `B` a free seat of category B, `|` an aisle. `#` is what the party gets.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed},
};

use super::*;
use crate::{Context, Decider, Outcome, names::ActorRef};

/// The sections are separated by `=`.
fn hall_of(lines: &[String]) -> SeatMap {
    let mut sections = Vec::new();
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(lines) {
        if line == "=" {
            sections.push(std::mem::take(&mut rows));
        } else {
            rows.push(row(&format!("{number}-"), number, line));
        }
    }
    sections.push(rows);
    map((1..).zip(sections).map(|(number, rows)| section(&format!("S{number}"), rows)))
}

fn marked(map: &SeatMap, lines: &[String], mark: char) -> Vec<SeatId> {
    let marks = lines.iter().filter(|line| *line != "=").flat_map(|line| line.chars());
    let marks = marks.filter(|&mark| mark != '|');
    map.seats()
        .zip(marks)
        .filter(|(_, found)| *found == mark)
        .map(|(seat, _)| seat.id.clone())
        .collect()
}

fn state_of(lines: &[String]) -> State {
    state_of_map(hall_of(lines), lines)
}

fn state_of_map(map: SeatMap, lines: &[String]) -> State {
    let (shut, kept) = (marked(&map, lines, 'x'), marked(&map, lines, 'a'));
    let rules = SalesRules { max_places_per_hold: 100, ..rules() };
    let mut past = vec![Event::SalesOpened(opening(map, 1, rules))];
    if !shut.is_empty() {
        past.push(Event::SeatsBlocked(SeatsBlocked { seats: shut, reason: reason() }));
    }
    let fans = AllotmentSet { allotment: allotment("fans"), seats: kept, pools: some_standing(1) };
    past.push(Event::AllotmentSet(fans));
    given(past).state()
}

fn decide(state: &State, ask: HoldSeats) -> Result<Vec<SeatId>, Rejection> {
    let context = Context { now: START, actor: ActorRef::new("test").unwrap() };
    match RuleBook::decide(state, &Command::HoldSeats(ask), &context)? {
        Outcome::Happened(events) => match &events[..] {
            [Event::SeatsHeld(held)] => Ok(held.places.seats.clone()),
            other => panic!("not one hold: {other:?}"),
        },
        Outcome::AlreadyHappened => panic!("a new hold did not happen"),
    }
}

fn best(count: u32) -> BestAvailable {
    BestAvailable { count, ..BestAvailable::default() }
}

fn asking(best: BestAvailable) -> HoldSeats {
    HoldSeats { seats: SeatChoice::BestAvailable(best), ..ask("H", []) }
}

fn lines<const N: usize>(lines: [&str; N]) -> Vec<String> {
    lines.map(str::to_owned).to_vec()
}

/// The party gets the seats of the second picture.
#[track_caller]
fn check_ask<const N: usize>(before: [&str; N], ask: HoldSeats, after: [&str; N]) {
    let before = lines(before);
    let map = hall_of(&before);
    let taken = decide(&state_of(&before), ask).unwrap_or_else(|refused| panic!("{refused:?}"));
    let expected = marked(&map, &lines(after), '#');
    assert_eq!(taken, expected);
}

#[track_caller]
fn check<const N: usize>(before: [&str; N], wanted: BestAvailable, after: [&str; N]) {
    check_ask(before, asking(wanted), after);
}

#[track_caller]
fn refused<const N: usize>(before: [&str; N], wanted: BestAvailable, rejection: Rejection) {
    assert_eq!(decide(&state_of(&lines(before)), asking(wanted)), Err(rejection));
}

#[test]
fn a_party_sits_in_the_middle_of_the_front_row() {
    check(["........", "........"], best(4), ["..####..", "........"]);
}

#[test]
fn the_middle_of_a_row_behind_is_better_than_the_edge() {
    check(["..xxxxxxxx", ".........."], best(2), ["..xxxxxxxx", "....##...."]);
    check(["xxx..xxxxx", ".........."], best(2), ["xxx##xxxxx", ".........."]);
}

#[test]
fn the_nearest_row_may_stand_anywhere_in_the_map() {
    let lines = lines(["....", "=", "....", "...."]);
    let mut map = hall_of(&lines);
    map.focus = Point { x: 0, y: 400 };
    assert_eq!(decide(&state_of_map(map, &lines), asking(best(4))).unwrap()[0], seat("4-1"));
}

#[test]
fn no_party_sits_across_an_aisle() {
    check(["...|...", "......."], best(4), ["...|...", "####..."]);
}

#[test]
fn no_single_seat_is_left_alone() {
    check(["x.....x"], best(2), ["x##...x"]);
    check(["x...x"], best(1), ["x#..x"]);
    check(["x...xxx", "......."], best(2), ["x...xxx", "..##..."]);
    check(["..|...|..", "........."], best(2), ["..|...|..", "...##...."]);
}

#[test]
fn the_last_possible_seating_is_never_refused() {
    check(["x...x"], best(2), ["x##.x"]);
    check(["x..x"], best(1), ["x#.x"]);
}

#[test]
fn a_seat_that_was_alone_before_does_not_count() {
    check(["x.x..x", "......"], best(2), ["x.x##x", "......"]);
}

#[test]
fn a_seat_is_not_alone_beside_a_free_one_of_another_category() {
    let of_a = |count| BestAvailable { category: Some(Category::new("A").unwrap()), ..best(count) };
    check(["B...B"], of_a(2), ["B##.B"]);
    check(["x...x", "..BB.", "....."], of_a(2), ["x...x", "##BB.", "....."]);
}

#[test]
fn a_wheelchair_place_is_for_who_needs_one() {
    check(["..w..", "....."], best(3), ["..w..", "###.."]);
    refused(["w.w"], BestAvailable { may_split: true, ..best(2) }, Rejection::NotEnoughSeats);
    let wheelchair = |count| BestAvailable { wheelchair: true, ..best(count) };
    check([".....", "..w.."], wheelchair(1), [".....", "..#.."]);
    refused(["...", ".w."], wheelchair(2), Rejection::NotEnoughSeats);
}

#[test]
fn a_seat_beside_a_wheelchair_place_is_alone() {
    check(["w...w", "....."], best(2), ["w...w", "##..."]);
}

#[test]
fn a_party_may_choose_its_section_and_category() {
    let in_section = |name: &str| BestAvailable { section: Some(name.to_owned()), ..best(2) };
    check(["....", "=", "...."], in_section("S2"), ["....", "=", "##.."]);
    let of_b = BestAvailable { category: Some(Category::new("B").unwrap()), ..best(2) };
    check(["....", ".BB."], of_b.clone(), ["....", ".##."]);
    refused(["....", "B..B"], of_b.clone(), Rejection::NoAdjacentSeats);
    refused(["....", "B..."], of_b.clone(), Rejection::NotEnoughSeats);
    refused(["...."], of_b, Rejection::NoSuchSeats);
    refused(["...."], in_section("S3"), Rejection::NoSuchSeats);
}

#[test]
fn an_allotment_gives_only_its_own_seats() {
    let fans = HoldSeats { allotment: Some(allotment("fans")), ..asking(best(2)) };
    check_ask(["....", "aaa."], fans.clone(), ["....", "a##."]);
    check(["aaaa", "...."], best(2), ["aaaa", "##.."]);
    let state = state_of(&lines(["....", "a..."]));
    assert_eq!(decide(&state, fans), Err(Rejection::NotEnoughSeats));
}

#[test]
fn a_seat_beside_one_that_is_allotted_is_alone() {
    check(["a...a", "....."], best(2), ["a...a", "##..."]);
}

#[test]
fn a_seat_is_free_when_it_is_so_on_every_leg_asked_for() {
    let map = map([section("S1", [row("A", 1, "....")])]);
    let rules = SalesRules { max_places_per_hold: 100, ..rules() };
    let taken = HoldSeats { legs: Some(legs(1, 2)), ..ask("G", ["A2"]) };
    let opened = Event::SalesOpened(opening(map, 3, rules));
    let state = given([opened, held_at(0, taken)]).state();
    let on = |from, to| HoldSeats { legs: Some(legs(from, to)), ..asking(best(4)) };
    assert_eq!(decide(&state, on(0, 1)), Ok(seats(["A1", "A2", "A3", "A4"])));
    assert_eq!(decide(&state, on(2, 3)), Ok(seats(["A1", "A2", "A3", "A4"])));
    assert_eq!(decide(&state, on(0, 2)), Err(Rejection::NotEnoughSeats));
    let pair = HoldSeats { legs: Some(legs(0, 3)), ..asking(best(2)) };
    assert_eq!(decide(&state, pair), Ok(seats(["A3", "A4"])));
}

#[test]
fn enough_seats_but_nowhere_together() {
    refused(["..x..", "x..xx"], best(3), Rejection::NoAdjacentSeats);
    refused(["..x..", "x..xx"], best(7), Rejection::NotEnoughSeats);
}

#[test]
fn a_party_is_split_into_the_fewest_groups() {
    let split = |count| BestAvailable { may_split: true, ..best(count) };
    check(["x.xx.x", "...xxx"], split(4), ["x#xx.x", "###xxx"]);
    check(["...x...", "xxxxxxx"], split(6), ["###x###", "xxxxxxx"]);
}

#[test]
fn a_split_party_stays_in_one_section() {
    let split = BestAvailable { may_split: true, ..best(4) };
    check(
        ["..xxxx", "=", "xx..xx", "..xxxx", "=", "xxxx.."],
        split,
        ["..xxxx", "=", "xx##xx", "##xxxx", "=", "xxxx.."],
    );
}

#[test]
fn a_split_party_leaves_no_single_seat_alone_either() {
    let split = |count| BestAvailable { may_split: true, ..best(count) };
    check(["...x...x..", "xxxxxxxxxx"], split(5), ["...x###x##", "xxxxxxxxxx"]);
    check(["...x...", "xxxxxxx"], split(5), ["###x##.", "xxxxxxx"]);
}

#[test]
fn a_seed_draws_among_equally_good_seats() {
    let state = state_of(&lines(["xxx...xx...xxx"]));
    let of_seed = |seed| decide(&state, asking(BestAvailable { seed, ..best(3) })).unwrap();
    let drawn: Vec<_> = (0..20).map(of_seed).collect();
    assert!(drawn.contains(&seats(["1-4", "1-5", "1-6"])));
    assert!(drawn.contains(&seats(["1-9", "1-10", "1-11"])));
    assert_eq!(drawn[0], seats(["1-4", "1-5", "1-6"]), "without a seed the first of the map");
    assert_eq!(of_seed(7), of_seed(7));
}

/// What a party may take, and how it looks after a take: judged seat by seat, without rows' or
/// runs' bookkeeping.
struct Naive<'a> {
    map: &'a SeatMap,
    marks: Vec<char>,
    wanted: BestAvailable,
    of_fans: bool,
}

impl Naive<'_> {
    fn is_free(&self, seat: usize) -> bool {
        match self.marks[seat] {
            'x' => false,
            'a' => self.of_fans && !self.wanted.wheelchair,
            'w' => self.wanted.wheelchair && !self.of_fans,
            _ => !self.of_fans && !self.wanted.wheelchair,
        }
    }

    fn seats(&self) -> Vec<&Seat> {
        self.map.seats().collect()
    }

    fn takeable(&self) -> Vec<usize> {
        let of_category = |seat: usize| {
            self.wanted.category.as_ref().is_none_or(|c| *c == self.seats()[seat].category)
        };
        (0..self.marks.len()).filter(|&seat| self.is_free(seat) && of_category(seat)).collect()
    }

    /// The number of its section and row.
    fn place(&self, seat: usize) -> (usize, usize) {
        let rows = self.map.sections.iter().enumerate();
        let mut of_seat = rows.flat_map(|(number, section)| {
            section
                .rows
                .iter()
                .enumerate()
                .flat_map(move |(r, row)| row.seats.iter().map(move |_| (number, r)))
        });
        of_seat.nth(seat).unwrap()
    }

    /// The two sit side by side.
    fn joined(&self, a: usize, b: usize) -> bool {
        b == a + 1 && self.place(a) == self.place(b) && !self.seats()[a].aisle_after
    }

    fn groups(&self, taken: &[usize]) -> usize {
        taken.len() - taken.windows(2).filter(|two| self.joined(two[0], two[1])).count()
    }

    fn is_alone(&self, seat: usize, taken: &[usize]) -> bool {
        let is_free = |other: usize| self.is_free(other) && !taken.contains(&other);
        let before = seat > 0 && self.joined(seat - 1, seat) && is_free(seat - 1);
        let after = seat + 1 < self.marks.len() && self.joined(seat, seat + 1) && is_free(seat + 1);
        !before && !after
    }

    fn leaves_one_alone(&self, taken: &[usize]) -> bool {
        self.takeable()
            .into_iter()
            .any(|s| !taken.contains(&s) && self.is_alone(s, taken) && !self.is_alone(s, &[]))
    }

    fn sections(&self, taken: &[usize]) -> usize {
        let sections: Vec<usize> = taken.iter().map(|&seat| self.place(seat).0).collect();
        1 + sections.windows(2).filter(|two| two[0] != two[1]).count()
    }

    fn distance(&self, taken: &[usize]) -> i64 {
        let seats = self.seats();
        let sum = |from: i32, of: fn(&Seat) -> i32| {
            taken.iter().map(|&s| i64::from(of(seats[s]) - from)).sum::<i64>()
        };
        let focus = self.map.focus;
        sum(focus.x, |s| s.at.x).pow(2) + sum(focus.y, |s| s.at.y).pow(2)
    }

    /// Every choice of so many seats.
    fn choices(&self) -> Vec<Vec<usize>> {
        let mut choices = vec![Vec::new()];
        for seat in self.takeable() {
            let with: Vec<Vec<usize>> = choices
                .iter()
                .filter(|chosen| chosen.len() < self.wanted.count as usize)
                .map(|chosen| [&chosen[..], &[seat]].concat())
                .collect();
            choices.extend(with);
        }
        choices.retain(|chosen| chosen.len() == self.wanted.count as usize);
        choices
    }

    fn check(&self, result: Result<Vec<usize>, Rejection>) {
        let choices = self.choices();
        let Some(fewest) = choices.iter().map(|choice| self.groups(choice)).min() else {
            assert_eq!(result, Err(Rejection::NotEnoughSeats));
            return;
        };
        if fewest > 1 && !self.wanted.may_split {
            assert_eq!(result, Err(Rejection::NoAdjacentSeats));
            return;
        }
        let taken = result.expect("there are such seats");
        assert!(choices.contains(&taken), "{taken:?} is no choice of free seats");
        assert_eq!(self.groups(&taken), fewest, "{taken:?} has more groups than needed");
        let best: Vec<_> = choices.iter().filter(|choice| self.groups(choice) == fewest).collect();
        let leaves = self.leaves_one_alone(&taken);
        let is_as_tidy = |choice: &&&Vec<usize>| leaves || !self.leaves_one_alone(choice);
        assert!(
            !leaves || best.iter().all(|choice| self.leaves_one_alone(choice)),
            "{taken:?} leaves a seat alone, which can be avoided"
        );
        if fewest > 1 {
            let together = best.iter().filter(is_as_tidy).any(|c| self.sections(c) == 1);
            assert!(!together || self.sections(&taken) == 1, "{taken:?} is in several sections");
            return;
        }
        let nearest = best.iter().filter(is_as_tidy).map(|choice| self.distance(choice)).min();
        let (nearest, distance) = (nearest.unwrap(), self.distance(&taken));
        let tolerance = if self.wanted.seed == 0 { 0 } else { nearest / 64 };
        assert!(distance <= nearest + tolerance, "{distance} is farther than {nearest}");
    }
}

fn any_row() -> impl Strategy<Value = String> {
    let seat = prop_oneof![6 => Just("."), 5 => Just("x"), 1 => Just("B"), 1 => Just("a"), 1 => Just("w"), 1 => Just(".|")];
    prop_oneof![6 => vec(seat, 1..8).prop_map(|marks| marks.concat()), 1 => Just("=".to_owned())]
}

proptest! {
    #![proptest_config(Config {
        cases: 1_500,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn best_available_is_the_best_of_all_choices(
        lines in vec(any_row(), 1..5),
        count in 1_u32..6,
        of_b in proptest::bool::weighted(0.1),
        of_a in proptest::bool::weighted(0.2),
        wheelchair in proptest::bool::weighted(0.1),
        of_fans in proptest::bool::weighted(0.1),
        may_split in proptest::bool::weighted(0.7),
        seed in prop_oneof![Just(0), any::<u64>()],
        (x, y) in (-300..300, 0..600),
    ) {
        let mut map = hall_of(&lines);
        map.focus = Point { x, y };
        let category = if of_b { Some("B") } else if of_a { Some("A") } else { None };
        let category = category.map(|name| Category::new(name).unwrap());
        let known = category.as_ref().is_none_or(|c| map.seats().any(|seat| seat.category == *c));
        prop_assume!(known && map.seats().count() <= 16);
        let wanted = BestAvailable { count, section: None, category, wheelchair, may_split, seed };
        let marks = lines.iter().filter(|line| *line != "=").flat_map(|line| line.chars());
        let naive = Naive {
            map: &map,
            marks: marks.filter(|&mark| mark != '|').collect(),
            wanted: wanted.clone(),
            of_fans,
        };
        let state = state_of_map(map.clone(), &lines);
        let allotment = of_fans.then(|| allotment("fans"));
        let result = decide(&state, HoldSeats { allotment, ..asking(wanted) });
        let ids: Vec<&SeatId> = map.seats().map(|seat| &seat.id).collect();
        let number = |seat: &SeatId| ids.iter().position(|id| *id == seat).unwrap();
        naive.check(result.map(|seats| seats.iter().map(number).collect()));
    }
}
