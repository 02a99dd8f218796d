//! The crowd: many buyers at once, until nothing is left. Each one's wishes come from the seed;
//! what they get is the server's affair.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    checkout,
    dice::Dice,
    ledger::{Kind, Ledger},
    stage::{BUYER_LIMIT, Stage},
};
use crate::client::Refusal;

/// Who finds nothing asks again after this, and then after twice as long.
const PATIENCE: Duration = Duration::from_millis(50);
const MOST_PATIENCE: Duration = Duration::from_millis(400);
/// Parties of 1 to 6: how many of a hundred.
const PARTIES: [usize; 6] = [16, 44, 12, 16, 6, 6];
/// Above this share of sold places nobody changes their mind any more, so that the hall fills.
const CALM_PERCENT: u64 = 85;

/// Everybody who wants to come.
pub struct Crowd {
    /// Where and what.
    pub stage: Arc<Stage>,
    /// What they were told.
    pub ledger: Arc<Ledger>,
    /// Which seats buyers believe to be taken; nobody is asked, so it is often wrong.
    believed_taken: Vec<AtomicBool>,
    seed: u64,
    next: AtomicU64,
    /// Holds that are let go on purpose and late payments, which end by themselves.
    loose_ends: tokio::sync::Mutex<JoinSet<Result<()>>>,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// These seats, by number.
    Named(Vec<usize>),
    /// The best ones.
    Best { count: usize, wheelchair: bool, may_split: bool },
    /// Places of a pool, by number.
    Pool { pool: usize, count: usize },
}

/// Seats and places that somebody holds.
pub struct Held {
    /// Global id.
    pub hold: String,
    /// Seats, by number.
    pub seats: Vec<usize>,
    /// Pool and count.
    pub pools: Vec<(usize, u32)>,
}

impl Held {
    /// Seats and places together.
    pub fn count(&self) -> usize {
        self.seats.len() + self.pools.iter().map(|(_, count)| *count as usize).sum::<usize>()
    }
}

/// What a buyer is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Pays at once.
    Plain,
    /// Gives the seats back.
    Releases,
    /// Never comes back.
    Abandons,
    /// Pays when the hold is over.
    PaysLate,
}

impl Crowd {
    /// Gathers it.
    pub fn new(stage: Arc<Stage>, ledger: Arc<Ledger>, seed: u64) -> Self {
        let seats = stage.hall.seats.len();
        Self {
            stage,
            ledger,
            believed_taken: std::iter::repeat_with(AtomicBool::default).take(seats).collect(),
            seed,
            next: AtomicU64::new(1),
            loose_ends: tokio::sync::Mutex::default(),
        }
    }

    /// So many at once buy until all is sold. Gives how long that took.
    pub async fn buy_everything(self: Arc<Self>, at_once: u16) -> Result<Duration> {
        let mut buyers = JoinSet::new();
        // They wait at the door, and then all come at the same moment.
        let door = Arc::new(Semaphore::new(0));
        for _ in 0..at_once {
            let (crowd, door) = (self.clone(), door.clone());
            buyers.spawn(async move {
                let _open = door.acquire().await?;
                let mut pause = PATIENCE;
                while !crowd.is_sold_out() {
                    let number = crowd.next.fetch_add(1, Ordering::Relaxed);
                    if Buyer::new(crowd.clone(), number).visit().await? {
                        pause = PATIENCE;
                    } else {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(MOST_PATIENCE);
                    }
                }
                anyhow::Ok(())
            });
        }
        let begun = Instant::now();
        door.add_permits(usize::from(at_once));
        while let Some(done) = buyers.join_next().await {
            done??;
        }
        let took = begun.elapsed();
        let mut loose_ends = std::mem::take(&mut *self.loose_ends.lock().await);
        while let Some(done) = loose_ends.join_next().await {
            done??;
        }
        Ok(took)
    }

    fn is_sold_out(&self) -> bool {
        self.ledger.sold() >= self.stage.hall.places()
    }

    /// Few enough places are left that nobody should let any go.
    pub fn is_calm(&self) -> bool {
        self.ledger.sold() * 100 >= self.stage.hall.places() * CALM_PERCENT
    }

    /// Buyers now believe that.
    pub fn believe(&self, seats: &[usize], taken: bool) {
        for &seat in seats {
            self.believed_taken[seat].store(taken, Ordering::Relaxed);
        }
    }

    fn is_taken(&self, seat: usize) -> bool {
        self.believed_taken[seat].load(Ordering::Relaxed)
    }
}

/// One person.
pub struct Buyer {
    /// Among whom.
    pub crowd: Arc<Crowd>,
    /// Which one.
    pub number: u64,
    /// What they decide by.
    pub dice: Dice,
    /// As orders name them.
    pub name: String,
    asked: u64,
}

impl Buyer {
    fn new(crowd: Arc<Crowd>, number: u64) -> Self {
        let dice = Dice::of(crowd.seed, number);
        let name = format!("{}:b{number:06}", crowd.stage.run);
        Self { crowd, number, dice, name, asked: 0 }
    }

    /// A fresh idempotency key.
    pub fn key(&mut self, what: &str) -> String {
        self.asked += 1;
        format!("{}-{}-{what}-{}", self.crowd.stage.run, self.number, self.asked)
    }

    /// Comes, tries to get seats, and does with them what people do. False if nothing was left.
    async fn visit(mut self) -> Result<bool> {
        let habit = self.habit();
        let ttl = match habit {
            Habit::Abandons | Habit::PaysLate => Some(1),
            Habit::Plain | Habit::Releases => None,
        };
        let Some(held) = self.get_seats(ttl).await? else { return Ok(false) };
        match habit {
            Habit::Plain => checkout::buy(&mut self, held).await?,
            Habit::Releases => checkout::release(&mut self, held).await?,
            Habit::Abandons => {
                self.crowd.ledger.count("holds abandoned");
                let crowd = self.crowd.clone();
                let wait = Duration::from_secs(1);
                self.crowd.loose_ends.lock().await.spawn(async move {
                    tokio::time::sleep(wait).await;
                    crowd.believe(&held.seats, false);
                    Ok(())
                });
            }
            Habit::PaysLate => {
                let crowd = self.crowd.clone();
                let task = async move { checkout::pay_late(&mut self, held).await };
                crowd.loose_ends.lock().await.spawn(task);
            }
        }
        Ok(true)
    }

    fn habit(&mut self) -> Habit {
        let roll = self.dice.below(100);
        if self.crowd.is_calm() {
            return Habit::Plain;
        }
        match roll {
            0..4 => Habit::Releases,
            4..8 => Habit::Abandons,
            8..13 => Habit::PaysLate,
            _ => Habit::Plain,
        }
    }

    /// Asks, and asks for less when refused. None if nothing is left at all.
    async fn get_seats(&mut self, ttl: Option<u32>) -> Result<Option<Held>> {
        let mut wish = self.first_wish();
        let mut kinds = self.other_kinds(&wish);
        loop {
            match self.hold(&wish, ttl).await? {
                Ok(held) => return Ok(Some(held)),
                Err(refusal) => match self.lesser(wish, &refusal) {
                    Some(lesser) => wish = lesser,
                    None => match kinds.pop() {
                        Some(other) => wish = other,
                        None => return Ok(None),
                    },
                },
            }
        }
    }

    fn party(&mut self) -> usize {
        let mut roll = self.dice.below(100);
        for (at, share) in PARTIES.iter().enumerate() {
            if roll < *share {
                return at + 1;
            }
            roll -= share;
        }
        1
    }

    fn first_wish(&mut self) -> Wish {
        let count = self.party();
        let hall = &self.crowd.stage.hall;
        let places = usize::try_from(hall.places()).unwrap_or(usize::MAX);
        let mut roll = self.dice.below(places);
        for (pool, each) in hall.pools.iter().enumerate() {
            if roll < each.capacity as usize {
                return Wish::Pool { pool, count };
            }
            roll -= each.capacity as usize;
        }
        if roll < hall.wheelchair {
            return Wish::Best { count: count.min(2), wheelchair: true, may_split: true };
        }
        if self.dice.percent(3) {
            // More than one may have: refused, and then they ask for less.
            return Wish::Best { count: BUYER_LIMIT + 1, wheelchair: false, may_split: false };
        }
        if self.dice.percent(45)
            && let Some(seats) = self.pick(count)
        {
            return Wish::Named(seats);
        }
        Wish::Best { count, wheelchair: false, may_split: false }
    }

    /// Seats side by side around one that everybody wants.
    fn pick(&mut self, count: usize) -> Option<Vec<usize>> {
        let crowd = self.crowd.clone();
        let hall = &crowd.stage.hall;
        let free = |seat: &usize| !crowd.is_taken(*seat);
        // A few want the very worst seats: there a late payment finds its seats still free.
        let anchor = if self.dice.percent(20) {
            let skip = self.dice.below(40);
            hall.wanted.iter().rev().copied().filter(free).nth(skip)
        } else {
            let skip = self.dice.below(12);
            hall.wanted.iter().copied().filter(free).nth(skip)
        }?;
        let mut seats = vec![anchor];
        let usable = |seat: usize| !hall.seats[seat].wheelchair && !crowd.is_taken(seat);
        while seats.len() < count {
            let (first, last) = (seats[0], seats[seats.len() - 1]);
            if hall.seats[last].next && usable(last + 1) {
                seats.push(last + 1);
            } else if hall.seats[first].previous && usable(first - 1) {
                seats.insert(0, first - 1);
            } else {
                break;
            }
        }
        Some(seats)
    }

    /// What else one might take when nothing of the first kind is left.
    fn other_kinds(&self, first: &Wish) -> Vec<Wish> {
        let hall = &self.crowd.stage.hall;
        let mut kinds: Vec<Wish> =
            (0..hall.pools.len()).map(|pool| Wish::Pool { pool, count: 2 }).collect();
        if hall.wheelchair > 0 {
            kinds.push(Wish::Best { count: 1, wheelchair: true, may_split: false });
        }
        if !hall.wanted.is_empty() {
            kinds.push(Wish::Best { count: 2, wheelchair: false, may_split: true });
        }
        kinds.retain(|kind| !kind.is_like(first));
        kinds
    }

    /// What one asks for after a refusal; nothing if this kind of place is gone.
    fn lesser(&mut self, wish: Wish, refusal: &Refusal) -> Option<Wish> {
        match (wish, refusal.code.as_str()) {
            (Wish::Named(seats), "SEAT_TAKEN" | "SEAT_BLOCKED" | "SEAT_ALLOTTED") => {
                let at = refusal.field.as_deref().and_then(|field| field.strip_prefix("seats."));
                let seat = at.and_then(|at| at.parse::<usize>().ok()).and_then(|at| seats.get(at));
                self.crowd.believe(seat.map_or(&seats[..], std::slice::from_ref), true);
                let again = self.dice.percent(60).then(|| self.pick(seats.len())).flatten();
                let count = seats.len();
                let best = Wish::Best { count, wheelchair: false, may_split: false };
                Some(again.map_or(best, Wish::Named))
            }
            (Wish::Best { count, wheelchair, .. }, "NO_ADJACENT_SEATS") if count > 1 => {
                let may_split = self.dice.percent(50);
                let count = if may_split { count } else { count - 1 };
                Some(Wish::Best { count, wheelchair, may_split })
            }
            (Wish::Best { count, wheelchair, .. }, "BUYER_LIMIT") => {
                let count = count.min(BUYER_LIMIT) / 2;
                Some(Wish::Best { count, wheelchair, may_split: false })
            }
            (Wish::Best { count, wheelchair, may_split }, "NOT_ENOUGH_SEATS") if count > 1 => {
                Some(Wish::Best { count: count / 2, wheelchair, may_split })
            }
            (Wish::Pool { pool, count }, "POOL_EXHAUSTED") if count > 1 => {
                Some(Wish::Pool { pool, count: count / 2 })
            }
            (_, "NOT_ENOUGH_SEATS" | "POOL_EXHAUSTED") => None,
            (wish, code) => {
                self.crowd.ledger.problem(format!("{wish:?} was refused as {code}"));
                None
            }
        }
    }

    /// Asks for a hold; some send the same request twice, as a shaky network does.
    async fn hold(&mut self, wish: &Wish, ttl: Option<u32>) -> Result<Result<Held, Refusal>> {
        let stage = self.crowd.stage.clone();
        let mut input = json!({
            "idempotencyKey": self.key("hold"), "show": stage.show, "buyer": self.name,
        });
        match wish {
            Wish::Named(seats) => {
                let names = seats.iter().map(|&seat| stage.hall.seats[seat].name.as_str());
                input["seats"] = names.collect();
            }
            Wish::Best { count, wheelchair, may_split } => {
                input["bestAvailable"] =
                    json!({ "count": count, "wheelchair": wheelchair, "maySplit": may_split });
            }
            Wish::Pool { pool, count } => {
                let name = &stage.hall.pools[*pool].name;
                input["pools"] = json!([{ "pool": name, "count": count }]);
            }
        }
        if let Some(ttl) = ttl {
            input["ttlSeconds"] = ttl.into();
        }
        if !self.dice.percent(8) {
            return self.read_hold(self.ask_hold(input).await?);
        }
        self.crowd.ledger.count("holds sent twice");
        let (one, other) = tokio::join!(self.ask_hold(input.clone()), self.ask_hold(input));
        let (one, other) = (self.read_hold(one?)?, self.read_hold(other?)?);
        match (&one, &other) {
            (Ok(one), Ok(other)) if one.hold != other.hold => {
                self.crowd.ledger.problem("the same request made two holds");
            }
            // A refusal is not remembered: the second may have found what the first did not.
            (Err(_), Ok(_)) => return Ok(other),
            _ => {}
        }
        Ok(one)
    }

    async fn ask_hold(&self, input: Value) -> Result<Result<Value, Refusal>> {
        let begun = Instant::now();
        let answer = self.crowd.stage.box_office.tell(HOLD, input).await?;
        self.crowd.ledger.answered(Kind::Hold, begun);
        if let Err(refusal) = &answer {
            self.crowd.ledger.refused(&refusal.code);
        }
        Ok(answer)
    }

    fn read_hold(&self, answer: Result<Value, Refusal>) -> Result<Result<Held, Refusal>> {
        let payload = match answer {
            Ok(payload) => payload,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let hall = &self.crowd.stage.hall;
        let hold = &payload["hold"];
        let seats =
            checkout::list(&hold["seats"]).filter_map(|seat| hall.by_name.get(seat.as_str()?));
        let pools = checkout::list(&hold["pools"]).filter_map(|places| {
            let number = hall.pools.iter().position(|pool| places["pool"] == *pool.name)?;
            Some((number, u32::try_from(places["count"].as_u64()?).ok()?))
        });
        let held = Held {
            hold: checkout::text(&hold["id"])?,
            seats: seats.copied().collect(),
            pools: pools.collect(),
        };
        self.crowd.believe(&held.seats, true);
        if payload["repeated"] == true {
            self.crowd.ledger.count("retries answered alike");
        } else {
            self.crowd.ledger.count("holds granted");
        }
        Ok(Ok(held))
    }
}

impl Wish {
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pool { pool: one, .. }, Self::Pool { pool: other, .. }) => one == other,
            (Self::Pool { .. }, _) | (_, Self::Pool { .. }) => false,
            (one, other) => one.is_wheelchair() == other.is_wheelchair(),
        }
    }

    fn is_wheelchair(&self) -> bool {
        matches!(self, Self::Best { wheelchair: true, .. })
    }
}

const HOLD: &str = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
    hold { id seats pools { pool count } } repeated userErrors { code message field } } }";
