//! What holds after any history: random commands against a naive model, which knows nothing but
//! the recorded events and counts seat by seat and leg by leg.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed},
};

use super::{decide::RuleBook, tests, *};
use crate::{
    Context, Decider, Outcome, codec,
    legs::Legs,
    names::{ActorRef, Allotment, BuyerRef, Category, HoldId, OrderId, PoolId, Reason, SeatId},
    seatmap::{Pool, SeatMap},
    testing::START,
    time::Timestamp,
};

const LEGS: u8 = 3;
const BUYER_LIMIT: u32 = 6;
const SEATS: [&str; 9] = ["A1", "A2", "A3", "A4", "A5", "B1", "B2", "B3", "B4"];
const POOLS: [(&str, u32); 2] = [("lawn", 5), ("standing", 3)];
const BUYERS: [&str; 3] = ["ann", "bob", "eve"];
const ALLOTMENTS: [&str; 2] = ["fans", "press"];

fn hall() -> SeatMap {
    let category = Category::new("S").unwrap();
    let pool = |(id, capacity)| Pool { id: tests::pool(id), capacity, category: category.clone() };
    let mut map = tests::map([tests::section(
        "stalls",
        [tests::row("A", 1, "..|..w"), tests::row("B", 2, "....")],
    )]);
    map.pools = POOLS.map(pool).to_vec();
    map
}

/// What somebody tries. Where it names a hold, the model says what is known of it.
#[derive(Debug, Clone)]
enum Step {
    Hold(HoldSeats),
    Extend {
        hold: HoldId,
        ttl_seconds: Option<u32>,
    },
    Release(HoldId),
    /// By its own buyer and for what it had, or for somebody else or something else.
    Confirm {
        hold: HoldId,
        order: OrderId,
        exactly: bool,
    },
    /// These of its places, numbered from the first on.
    Return {
        hold: HoldId,
        order: OrderId,
        items: BTreeSet<u16>,
    },
    Plain(Command),
}

fn any_hold() -> impl Strategy<Value = HoldId> {
    (0_u32..12).prop_map(|number| HoldId::derived("test", &number.to_string()))
}

fn any_order() -> impl Strategy<Value = OrderId> {
    (0_u32..3).prop_map(|number| OrderId::derived("test", &number.to_string()))
}

fn any_seats(most: usize) -> impl Strategy<Value = Vec<SeatId>> {
    vec(prop_oneof![60 => select(&SEATS[..]), 1 => Just("Z9")].prop_map(tests::seat), 0..=most)
}

fn any_pools() -> impl Strategy<Value = Vec<PoolPlaces>> {
    let places = (select(&POOLS[..]), 1_u32..4)
        .prop_map(|((id, _), count)| PoolPlaces { pool: tests::pool(id), count });
    vec(places, 0..=2)
}

fn any_legs() -> impl Strategy<Value = Option<Legs>> {
    let range = (0..LEGS, 1..=LEGS).prop_map(|(from, len)| Legs::new(from, from + len).ok());
    prop_oneof![1 => Just(None), 2 => range]
}

fn any_allotment() -> impl Strategy<Value = Allotment> {
    select(&ALLOTMENTS[..]).prop_map(|name| Allotment::new(name).unwrap())
}

fn any_best() -> impl Strategy<Value = BestAvailable> {
    let wheelchair = proptest::bool::weighted(0.1);
    (1_u32..5, wheelchair, any::<bool>(), 0_u64..3).prop_map(
        |(count, wheelchair, may_split, seed)| BestAvailable {
            count,
            wheelchair,
            may_split,
            seed,
            ..BestAvailable::default()
        },
    )
}

fn any_ask() -> impl Strategy<Value = HoldSeats> {
    let seats = prop_oneof![
        3 => any_seats(3).prop_map(SeatChoice::Named),
        2 => any_best().prop_map(SeatChoice::BestAvailable),
    ];
    let buyer = select(&BUYERS[..]).prop_map(|name| BuyerRef::new(name).unwrap());
    let allotment = proptest::option::weighted(0.3, any_allotment());
    let ttl_seconds = proptest::option::of(0_u32..400);
    (any_hold(), buyer, seats, any_pools(), any_legs(), allotment, ttl_seconds).prop_map(
        |(hold, buyer, seats, pools, legs, allotment, ttl_seconds)| HoldSeats {
            hold,
            buyer,
            seats,
            pools,
            legs,
            allotment,
            ttl_seconds,
        },
    )
}

fn any_plain() -> impl Strategy<Value = Command> {
    let reason = || Reason::new("test").unwrap();
    prop_oneof![
        4 => any_seats(2).prop_map(move |seats| Command::BlockSeats { seats, reason: reason() }),
        4 => any_seats(1).prop_map(|seats| Command::UnblockSeats { seats }),
        6 => (any_allotment(), any_seats(3), any_pools())
            .prop_map(|(allotment, seats, pools)| Command::SetAllotment { allotment, seats, pools }),
        2 => Just(Command::Sweep),
        1 => (0_u32..200).prop_map(|hold_extension_seconds| {
            Command::ChangeSalesRules(SalesRules { hold_extension_seconds, ..rules() })
        }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let items = proptest::collection::btree_set(0_u16..5, 0..4);
    prop_oneof![
        8 => any_ask().prop_map(Step::Hold),
        1 => (any_hold(), proptest::option::of(0_u32..900))
            .prop_map(|(hold, ttl_seconds)| Step::Extend { hold, ttl_seconds }),
        2 => any_hold().prop_map(Step::Release),
        6 => (any_hold(), any_order(), proptest::bool::weighted(0.9))
            .prop_map(|(hold, order, exactly)| Step::Confirm { hold, order, exactly }),
        4 => (any_hold(), any_order(), items)
            .prop_map(|(hold, order, items)| Step::Return { hold, order, items }),
        3 => any_plain().prop_map(Step::Plain),
    ]
}

fn rules() -> SalesRules {
    SalesRules { max_places_per_buyer: Some(BUYER_LIMIT), ..tests::rules() }
}

/// What the events say, counted one by one.
#[derive(Default)]
struct Model {
    /// Whose each seat is on each leg.
    seats: BTreeMap<(SeatId, u8), HoldId>,
    /// How many places of each pool each hold has on each leg.
    pools: BTreeMap<(PoolId, u8), BTreeMap<HoldId, u32>>,
    blocked: BTreeSet<SeatId>,
    allotments: BTreeMap<Allotment, AllotmentSet>,
    /// What each hold had at first.
    holds: BTreeMap<HoldId, SeatsHeld>,
    live: BTreeMap<HoldId, Timestamp>,
    returned: BTreeSet<(HoldId, u16)>,
    places_of: BTreeMap<BuyerRef, i64>,
}

impl Model {
    fn record(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::SeatsHeld(held) => {
                self.may_have(&held.places, held.allotment.as_ref());
                assert!(held.expires_at > now);
                assert!(self.holds.insert(held.hold, held.clone()).is_none(), "held twice");
                self.live.insert(held.hold, held.expires_at);
                self.take(held.hold, &held.places);
                let has = self.places_of[&held.buyer];
                assert!(has <= i64::from(BUYER_LIMIT), "{} has {has} places", held.buyer);
            }
            Event::HoldExtended(extended) => {
                let before = self.live.insert(extended.hold, extended.expires_at);
                assert!(before.is_some_and(|before| now < before && before < extended.expires_at));
            }
            Event::HoldConfirmed(confirmed) => {
                let end = self.live.remove(&confirmed.hold).expect("only a live hold is sold");
                assert!(now < end);
                assert_eq!(confirmed.places, self.holds[&confirmed.hold].places);
            }
            Event::HoldReleased(ended) => {
                assert!(self.live.remove(&ended.hold).is_some_and(|end| now < end));
                self.free(ended.hold, &ended.places);
            }
            Event::HoldExpired(ended) => {
                assert!(self.live.remove(&ended.hold).is_some_and(|end| end <= now));
                self.free(ended.hold, &ended.places);
            }
            Event::OrderReseated(reseated) => {
                assert!(!self.live.contains_key(&reseated.hold));
                let allotment = self.holds[&reseated.hold].allotment.clone();
                self.may_have(&reseated.places, allotment.as_ref());
                self.take(reseated.hold, &reseated.places);
            }
            Event::PlacesReturned(returned) => {
                for &item in &returned.items {
                    assert!(self.returned.insert((returned.hold, item)), "item returned twice");
                }
                self.free(returned.hold, &returned.places);
            }
            Event::SeatsBlocked(blocked) => self.blocked.extend(blocked.seats.iter().cloned()),
            Event::SeatsUnblocked(unblocked) => {
                self.blocked.retain(|seat| !unblocked.seats.contains(seat));
            }
            Event::AllotmentSet(set) => {
                self.allotments.insert(set.allotment.clone(), set.clone());
            }
            Event::SalesOpened(_) | Event::SalesRulesChanged(_) | Event::SalesClosed(_) => {}
        }
        self.check();
    }

    fn may_have(&self, places: &Places, allotment: Option<&Allotment>) {
        for seat in &places.seats {
            assert!(!self.blocked.contains(seat), "{seat} is blocked");
            let keeper = self.allotments.iter().find(|(_, set)| set.seats.contains(seat));
            assert!(keeper.is_none_or(|(name, _)| Some(name) == allotment), "{seat} is kept");
        }
    }

    fn take(&mut self, hold: HoldId, places: &Places) {
        for leg in places.legs.from()..places.legs.to() {
            for seat in &places.seats {
                let before = self.seats.insert((seat.clone(), leg), hold);
                assert_eq!(before, None, "{seat} is given twice on leg {leg}");
            }
            for PoolPlaces { pool, count } in &places.pools {
                let of_leg = self.pools.entry((pool.clone(), leg)).or_default();
                *of_leg.entry(hold).or_default() += count;
            }
        }
        let buyer = self.holds[&hold].buyer.clone();
        *self.places_of.entry(buyer).or_default() += places.count() as i64;
    }

    fn free(&mut self, hold: HoldId, places: &Places) {
        for leg in places.legs.from()..places.legs.to() {
            for seat in &places.seats {
                assert_eq!(self.seats.remove(&(seat.clone(), leg)), Some(hold), "{seat} on {leg}");
            }
            for PoolPlaces { pool, count } in &places.pools {
                let of_leg = self.pools.get_mut(&(pool.clone(), leg)).unwrap();
                let has = of_leg.get_mut(&hold).unwrap();
                *has = has.checked_sub(*count).expect("more comes back than was given");
            }
        }
        *self.places_of.get_mut(&self.holds[&hold].buyer).unwrap() -= places.count() as i64;
    }

    /// On every leg of every pool, what is given to the public and what is kept for allotments
    /// fit into its capacity, and what an allotment gave fits into what is kept for it.
    fn check(&self) {
        for ((pool, leg), holds) in &self.pools {
            let capacity = POOLS.iter().find(|(id, _)| *id == pool.as_str()).unwrap().1;
            let given: u32 = holds.values().sum();
            assert!(given <= capacity, "{pool} has {given} of {capacity} given on leg {leg}");
            let mut rest = capacity;
            for (name, set) in &self.allotments {
                let kept = set.pools.iter().find(|p| p.pool == *pool).map_or(0, |p| p.count);
                rest = rest.checked_sub(kept).expect("more is kept than there is");
                let of_it = |hold: &HoldId| self.holds[hold].allotment.as_ref() == Some(name);
                let live_of_it: u32 = holds
                    .iter()
                    .filter(|(hold, _)| of_it(hold) && self.live.contains_key(hold))
                    .map(|(_, count)| count)
                    .sum();
                assert!(live_of_it <= kept, "{name} gave {live_of_it} of {kept} in {pool}");
            }
            let public = holds.iter().filter(|(hold, _)| self.holds[*hold].allotment.is_none());
            let public: u32 = public.map(|(_, count)| count).sum();
            assert!(public <= rest, "the public got {public} of {rest} in {pool} on leg {leg}");
        }
    }

    fn command(&self, step: &Step) -> Command {
        match step {
            Step::Hold(ask) => Command::HoldSeats(ask.clone()),
            Step::Extend { hold, ttl_seconds } => {
                Command::ExtendHold { hold: *hold, ttl_seconds: *ttl_seconds }
            }
            Step::Release(hold) => Command::ReleaseHold { hold: *hold },
            Step::Confirm { hold, order, exactly } => {
                let held = self.holds.get(hold);
                let buyer = held.map_or_else(|| BuyerRef::new("ann").unwrap(), |h| h.buyer.clone());
                let mut places = held.map_or_else(Places::default, |held| held.places.clone());
                if !exactly {
                    places.seats.push(tests::seat("A1"));
                }
                Command::ConfirmHold { hold: *hold, order: *order, buyer, places }
            }
            Step::Return { hold, order, items } => {
                let places = self.holds.get(hold).map(|held| one_by_one(&held.places));
                let places = (0..).zip(places.unwrap_or_default());
                let items = places.filter(|(item, _)| items.contains(item)).collect();
                Command::ReturnPlaces { hold: *hold, order: *order, items }
            }
            Step::Plain(command) => command.clone(),
        }
    }
}

fn one_by_one(places: &Places) -> Vec<Place> {
    let seats = places.seats.iter().cloned().map(Place::Seat);
    let pools = places.pools.iter();
    let pools = pools.flat_map(|p| (0..p.count).map(|_| Place::Pool(p.pool.clone())));
    seats.chain(pools).collect()
}

/// Live state, model and history, which must agree.
struct Run {
    state: State,
    model: Model,
    history: Vec<Event>,
    now: Timestamp,
}

impl Run {
    fn new() -> Self {
        let mut run =
            Self { state: State::default(), model: Model::default(), history: vec![], now: START };
        let venue = crate::names::VenueId::derived("test", "venue");
        let (seat_map, rules) = (Box::new(hall()), rules());
        run.decide(&Command::OpenSales { venue, seat_map, legs: LEGS, rules }).unwrap();
        run
    }

    fn record(&mut self, events: Vec<Event>) {
        for event in events {
            RuleBook::evolve(&mut self.state, &event);
            self.model.record(&event, self.now);
            self.history.push(event);
        }
    }

    fn decide(&mut self, command: &Command) -> Result<(), Rejection> {
        self.record(RuleBook::due(&self.state, self.now));
        let context = Context { now: self.now, actor: ActorRef::new("test").unwrap() };
        match RuleBook::decide(&self.state, command, &context)? {
            Outcome::AlreadyHappened => {}
            Outcome::Happened(events) => {
                assert!(!events.is_empty());
                self.record(events);
                let again = RuleBook::decide(&self.state, command, &context);
                assert!(
                    matches!(again, Ok(Outcome::AlreadyHappened) | Err(_)),
                    "{command:?} again: {again:?}"
                );
            }
        }
        Ok(())
    }

    fn check(&self) {
        for buyer in BUYERS.map(|name| BuyerRef::new(name).unwrap()) {
            let counted = self.model.places_of.get(&buyer).copied().unwrap_or(0);
            assert_eq!(i64::from(self.state.places_of(&buyer)), counted, "places of {buyer}");
        }
        assert_eq!(self.state.next_expiry(), self.model.live.values().min().copied());

        let mut folded = State::default();
        for event in &self.history {
            let event = crate::Event::Inventory(event.clone());
            let (kind, schema) = codec::kind_of(&event);
            let stored = codec::decode_event(kind, schema, &codec::encode(&event)).unwrap();
            assert_eq!(stored, event);
            let crate::Event::Inventory(stored) = stored else { panic!("another stream") };
            RuleBook::evolve(&mut folded, &stored);
        }
        assert_eq!(folded, self.state, "what is folded from the store is the live state");

        let bytes = postcard::to_stdvec(&self.state).unwrap();
        assert_eq!(postcard::from_bytes::<State>(&bytes).unwrap(), self.state);
        let json = serde_json::to_vec(&self.state).unwrap();
        assert_eq!(serde_json::from_slice::<State>(&json).unwrap(), self.state);
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 400,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn the_rules_hold_after_any_history(steps in vec((0_u64..150, any_step()), 1..60)) {
        let mut run = Run::new();
        for (seconds, step) in steps {
            run.now = run.now.plus_seconds(seconds);
            let command = run.model.command(&step);
            // A refusal is an answer like any other here.
            let _ = run.decide(&command);
        }
        run.check();
    }
}

/// Random histories are worth something only if they get far: each kind of event happens.
#[test]
fn random_histories_see_every_kind_of_event() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let config = Config { rng_seed: RngSeed::Fixed(2), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let mut kinds = BTreeSet::new();
    for _ in 0..100 {
        let steps = vec((0_u64..150, any_step()), 60).new_tree(&mut runner).unwrap().current();
        let mut run = Run::new();
        for (seconds, step) in steps {
            run.now = run.now.plus_seconds(seconds);
            let command = run.model.command(&step);
            let _ = run.decide(&command);
        }
        let events = run.history.into_iter().map(crate::Event::Inventory);
        kinds.extend(events.map(|event| codec::kind_of(&event).0));
    }
    // Nobody closes the sales here: it would end most histories early.
    assert_eq!(kinds.len(), 12, "{kinds:?}");
}
