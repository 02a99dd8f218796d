//! What an organizer and a buyer do with the seats of a show.

use hakken_commands::engine::Asker;
use hakken_domain::{
    envelope::StreamId,
    inventory::{
        self, BestAvailable, HoldSeats, HoldView, PoolPlaces, SalesRules, SeatChoice, SeatsHeld,
    },
    legs::Legs,
    money::Currency,
    names::{HoldId, Label, PoolId, Reason, SeatId, VenueId},
    seatmap::{Point, Pool, Row, Seat, SeatMap, Section},
    show::{self, Fare, Issuance, ShowScheduled, TicketType},
    ticket::EntryRule,
    venue,
};

use super::{
    Args, EngineStage, Hold, Said, after_start, done, parse, refused, refused_at_desk, show_id,
};
use crate::world::{asker_of, name, open_rules};

/// Seats and pools as a script writes them: `A1`, `A1-10`, `い12:wheelchair`, `floor*50`.
#[derive(Default)]
struct Places {
    seats: Vec<(String, u32, Option<String>)>,
    pools: Vec<(String, u32)>,
    /// An aisle stands after these many seats.
    aisles: Vec<usize>,
}

fn places(words: &[String]) -> Result<Places, String> {
    let mut places = Places::default();
    for word in words {
        if word == "|" {
            places.aisles.push(places.seats.len());
            continue;
        }
        if let Some((pool, count)) = word.split_once('*') {
            places.pools.push((pool.to_owned(), parse(count)?));
            continue;
        }
        let (seats, mark) = match word.split_once(':') {
            Some((seats, mark)) => (seats, Some(mark.to_owned())),
            None => (word.as_str(), None),
        };
        let row = seats.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let numbers = &seats[row.len()..];
        if row.is_empty() || numbers.is_empty() {
            return Err(format!("{word:?} is no place"));
        }
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        for number in parse::<u32>(first)?..=parse::<u32>(last)? {
            places.seats.push((row.to_owned(), number, mark.clone()));
        }
    }
    Ok(places)
}

impl Places {
    fn seat_ids(&self) -> Result<Vec<SeatId>, String> {
        self.seats.iter().map(|(row, number, _)| parse(&format!("{row}{number}"))).collect()
    }

    fn pool_places(&self) -> Result<Vec<PoolPlaces>, String> {
        let pool = |(pool, count): &(String, u32)| {
            Ok(PoolPlaces { pool: parse::<PoolId>(pool)?, count: *count })
        };
        self.pools.iter().map(pool).collect()
    }

    /// Rows in the order in which they come, the stage before the first.
    fn map(&self) -> Result<SeatMap, String> {
        let mut rows: Vec<Row> = Vec::new();
        let widest = self.seats.iter().map(|(_, number, _)| *number).max().unwrap_or(0);
        for (at, (row, number, mark)) in self.seats.iter().enumerate() {
            let known = rows.iter().position(|known| known.name.as_str() == row);
            let place = known.unwrap_or(rows.len());
            if known.is_none() {
                rows.push(Row { name: parse(row)?, seats: Vec::new() });
            }
            let wheelchair = mark.as_deref() == Some("wheelchair");
            let category = mark.as_deref().filter(|_| !wheelchair).unwrap_or("stalls");
            rows[place].seats.push(Seat {
                id: parse(&format!("{row}{number}"))?,
                number: parse(&number.to_string())?,
                at: Point { x: *number as i32 * 100, y: (place as i32 + 1) * 100 },
                category: parse(category)?,
                wheelchair,
                aisle_after: self.aisles.contains(&(at + 1)),
            });
        }
        let pool = |(pool, capacity): &(String, u32)| {
            Ok(Pool { id: parse(pool)?, capacity: *capacity, category: parse(pool)? })
        };
        Ok(SeatMap {
            name: name("map"),
            focus: Point { x: (widest as i32 + 1) * 50, y: 0 },
            sections: vec![Section { name: name("hall"), rows }],
            pools: self.pools.iter().map(pool).collect::<Result<_, String>>()?,
        })
    }
}

/// `0-2`
fn legs_of(text: &str) -> Result<Legs, String> {
    let (from, to) = text.split_once('-').ok_or("legs are written 0-2")?;
    Legs::new(parse(from)?, parse(to)?).map_err(|error| error.to_string())
}

fn rules(args: &mut Args) -> Result<SalesRules, String> {
    let usual = open_rules();
    let seconds = |found: Option<u64>| found.map(|s| u32::try_from(s).unwrap_or(u32::MAX));
    Ok(SalesRules {
        sales_from: args.seconds("sales-from")?.map_or(usual.sales_from, after_start),
        sales_until: args.seconds("sales-until")?.map_or(usual.sales_until, after_start),
        hold_ttl_seconds: seconds(args.seconds("ttl")?).unwrap_or(usual.hold_ttl_seconds),
        hold_extension_seconds: seconds(args.seconds("extension")?)
            .unwrap_or(usual.hold_extension_seconds),
        max_places_per_hold: args.parsed("per-hold")?.unwrap_or(usual.max_places_per_hold),
        max_places_per_buyer: args.parsed("limit")?,
    })
}

impl EngineStage {
    /// `show S1 A1-10 floor*50 [legs=3 | stops=東京,名古屋] [limit=4] [price=5000] …`: a venue with
    /// this map, a show, the ticket type `adult`, and sales.
    pub(super) async fn list(
        &mut self,
        args: &mut Args,
        asker: hakken_commands::engine::Asker,
    ) -> Said {
        let called = args.word("the show")?;
        let label = args.option("name").unwrap_or_else(|| called.clone());
        let stops: Vec<String> = match (args.option("stops"), args.parsed::<u8>("legs")?) {
            (Some(stops), _) => stops.split(',').map(str::to_owned).collect(),
            (None, Some(legs)) if legs > 1 => {
                (0..=legs).map(|stop| format!("stop-{stop}")).collect()
            }
            (None, _) => Vec::new(),
        };
        let currency: Currency = args.parsed("currency")?.unwrap_or(Currency::JPY);
        let price_minor: u64 = args.parsed("price")?.unwrap_or(5_000);
        let ends = args.seconds("ends")?.unwrap_or(90_000);
        let issuance = match (args.option("issuance").as_deref(), args.seconds("until")?) {
            (None | Some("immediate"), None) => Issuance::Immediate,
            (Some("on-request"), Some(until)) => Issuance::OnRequest { until: after_start(until) },
            _ => return Err("issuance=on-request until=3600s".to_owned()),
        };
        let entry = EntryRule {
            valid_from: after_start(args.seconds("doors")?.unwrap_or(0)),
            valid_until: after_start(ends),
            reentry: args.flag("reentry"),
        };
        let rules = rules(args)?;
        let map = places(&args.rest())?.map()?;

        let (id, venue) = (show_id(&called), VenueId::derived("scenario", &called));
        let schedule = show::Command::ScheduleShow(Box::new(ShowScheduled {
            name: parse::<Label>(&label)?,
            venue,
            starts_at: after_start(ends.saturating_sub(3_600)),
            ends_at: after_start(ends),
            stops: stops.iter().map(|stop| parse(stop)).collect::<Result<_, String>>()?,
            currency,
            entry,
            issuance,
        }));
        let register = venue::Command::RegisterVenue {
            name: parse(&format!("{label}の会場"))?,
            seat_map: Box::new(map),
        };
        let offer = show::Command::OfferTicketType(Box::new(TicketType {
            ticket_type: name("adult"),
            name: name("大人"),
            price_minor,
            fares: Vec::new(),
            categories: Vec::new(),
            pools: Vec::new(),
        }));
        let desk = self.world.desk();
        let stream = StreamId::show(id);
        if let Err(error) = desk.ask(asker.clone(), venue, register).await {
            return Ok(refused(&error));
        }
        if let Err(error) = desk.ask(asker.clone(), stream, schedule).await {
            return Ok(refused(&error));
        }
        let organizer = asker.organizer.expect("scripts have organizers");
        let offering = asker_of(organizer, &format!("{called}:adult"));
        if let Err(error) = desk.ask(offering, stream, offer).await {
            return Ok(refused(&error));
        }
        let opened = desk.open_sales(asker, id, rules).await;
        self.stops.insert(called, stops);
        Ok(opened.map_or_else(|error| refused_at_desk(&error), |_| "listed".to_owned()))
    }

    /// `offer S1 child price=2500 [category=…] [pool=floor] [fares=0-1:800,0-2:1500]`
    pub(super) async fn offer(&mut self, args: &mut Args, asker: Asker) -> Said {
        let (show, called) = (args.word("the show")?, args.word("the ticket type")?);
        let list = |text: Option<String>| -> Vec<String> {
            text.map_or(Vec::new(), |text| text.split(',').map(str::to_owned).collect())
        };
        let fare = |text: &String| {
            let (legs, price) = text.split_once(':').ok_or("fares are written 0-2:800")?;
            Ok(Fare { legs: legs_of(legs)?, price_minor: parse(price)? })
        };
        let categories = list(args.option("category"));
        let pools = list(args.option("pool"));
        let offer = show::Command::OfferTicketType(Box::new(TicketType {
            ticket_type: parse(&called)?,
            name: parse(&called)?,
            price_minor: args.parsed("price")?.unwrap_or(0),
            fares: list(args.option("fares")).iter().map(fare).collect::<Result<_, String>>()?,
            categories: categories.iter().map(|c| parse(c)).collect::<Result<_, String>>()?,
            pools: pools.iter().map(|p| parse(p)).collect::<Result<_, String>>()?,
        }));
        let stream = StreamId::show(show_id(&show));
        Ok(done(self.world.desk().ask(asker, stream, offer).await, "offered"))
    }

    pub(super) async fn withdraw(&mut self, args: &mut Args, asker: Asker) -> Said {
        let stream = StreamId::show(show_id(&args.word("the show")?));
        let ticket_type = parse(&args.word("the ticket type")?)?;
        let command = show::Command::WithdrawTicketType { ticket_type };
        Ok(done(self.world.desk().ask(asker, stream, command).await, "withdrawn"))
    }

    /// `rules S1 limit=2 ttl=300`: what is not named is as usual.
    pub(super) async fn change_rules(&mut self, args: &mut Args, asker: Asker) -> Said {
        let show = args.word("the show")?;
        let command = inventory::Command::ChangeSalesRules(rules(args)?);
        self.inventory(&show, asker, command, "changed").await
    }

    pub(super) async fn close(&mut self, args: &mut Args, asker: Asker) -> Said {
        let show = args.word("the show")?;
        let command = inventory::Command::CloseSales { reason: name::<Reason>("sold enough") };
        self.inventory(&show, asker, command, "closed").await
    }

    pub(super) async fn call_off(&mut self, args: &mut Args, asker: Asker) -> Said {
        let show = show_id(&args.word("the show")?);
        let called_off = self.world.desk().cancel_show(asker, show, name("台風のため")).await;
        Ok(done(called_off, "called off"))
    }

    pub(super) async fn block(&mut self, args: &mut Args, asker: Asker) -> Said {
        let show = args.word("the show")?;
        let seats = places(&args.rest())?.seat_ids()?;
        let command = inventory::Command::BlockSeats { seats, reason: name("カメラ席") };
        self.inventory(&show, asker, command, "blocked").await
    }

    pub(super) async fn unblock(&mut self, args: &mut Args, asker: Asker) -> Said {
        let show = args.word("the show")?;
        let seats = places(&args.rest())?.seat_ids()?;
        self.inventory(&show, asker, inventory::Command::UnblockSeats { seats }, "unblocked").await
    }

    /// `allot S1 sponsors A1 A2 floor*5`
    pub(super) async fn allot(&mut self, args: &mut Args, asker: Asker) -> Said {
        let show = args.word("the show")?;
        let allotment = parse(&args.word("the allotment")?)?;
        let places = places(&args.rest())?;
        let (seats, pools) = (places.seat_ids()?, places.pool_places()?);
        let command = inventory::Command::SetAllotment { allotment, seats, pools };
        self.inventory(&show, asker, command, "allotted").await
    }

    async fn inventory(
        &self,
        show: &str,
        asker: Asker,
        command: inventory::Command,
        word: &str,
    ) -> Said {
        let stream = StreamId::inventory(show_id(show));
        Ok(done(self.world.desk().ask(asker, stream, command).await, word))
    }

    /// `hold H1 S1 A1 A2 floor*2 [buyer=b1] [ttl=600] [legs=0-2 | from=東京 to=名古屋]
    /// [allotment=sponsors]`, or `hold H1 S1 best=2 [wheelchair] [category=…] [split]`
    pub(super) async fn hold(&mut self, args: &mut Args, asker: Asker) -> Said {
        let (called, show) = (args.word("the hold")?, args.word("the show")?);
        let buyer = args.option("buyer").unwrap_or_else(|| "buyer".to_owned());
        let legs = match (args.option("legs"), args.option("from"), args.option("to")) {
            (Some(legs), None, None) => Some(legs_of(&legs)?),
            (None, Some(from), Some(to)) => {
                let stops = self.stops.get(&show).ok_or("no line lists that show")?;
                let stop = |called: &str| {
                    let at = stops.iter().position(|stop| stop == called);
                    let at = at.ok_or_else(|| format!("no stop {called}"))?;
                    u8::try_from(at).map_err(|_| "too many stops".to_owned())
                };
                Some(Legs::new(stop(&from)?, stop(&to)?).map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        let best = args.parsed::<u32>("best")?;
        let choice = BestAvailable {
            count: best.unwrap_or(0),
            section: None,
            category: args.parsed("category")?,
            wheelchair: args.flag("wheelchair"),
            may_split: args.flag("split"),
            seed: 0,
        };
        let ttl = args.seconds("ttl")?;
        let allotment = args.parsed("allotment")?;
        let wanted = places(&args.rest())?;
        let seats = match best {
            Some(_) => SeatChoice::BestAvailable(choice),
            None => SeatChoice::Named(wanted.seat_ids()?),
        };
        let id = HoldId::derived("scenario", &called);
        let command = inventory::Command::HoldSeats(HoldSeats {
            hold: id,
            buyer: parse(&buyer)?,
            seats,
            pools: wanted.pool_places()?,
            legs,
            allotment,
            ttl_seconds: ttl.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        });
        let stream = StreamId::inventory(show_id(&show));
        let held = self.world.desk().ask(asker, stream, command).await;
        match held {
            Err(error) => Ok(refused(&error)),
            Ok(receipt) => {
                self.holds.insert(called, Hold { id, show, buyer });
                let seats =
                    receipt.events.iter().find_map(|event| match event.decoded().ok()?.event {
                        hakken_domain::Event::Inventory(inventory::Event::SeatsHeld(ref held)) => {
                            Some(seat_list(held))
                        }
                        _ => None,
                    });
                Ok(match (best, seats) {
                    (Some(_), Some(seats)) => format!("held {seats}"),
                    _ => "held".to_owned(),
                })
            }
        }
    }

    pub(super) async fn extend(&mut self, args: &mut Args, asker: Asker) -> Said {
        let called = args.word("the hold")?;
        let ttl_seconds = args.seconds("ttl")?.map(|s| u32::try_from(s).unwrap_or(u32::MAX));
        let hold = self.known_hold(&called)?;
        let command = inventory::Command::ExtendHold { hold: hold.id, ttl_seconds };
        self.inventory(&hold.show.clone(), asker, command, "extended").await
    }

    pub(super) async fn release(&mut self, args: &mut Args, asker: Asker) -> Said {
        let called = args.word("the hold")?;
        let hold = self.known_hold(&called)?;
        let command = inventory::Command::ReleaseHold { hold: hold.id };
        self.inventory(&hold.show.clone(), asker, command, "released").await
    }

    pub(super) fn known_hold(&self, called: &str) -> Result<&Hold, String> {
        self.holds.get(called).ok_or_else(|| format!("no line holds {called}"))
    }

    /// What the inventory itself says of a hold, without any read model.
    pub(super) async fn hold_state(&self, hold: &Hold) -> Option<HoldView> {
        let (id, stream) = (hold.id, StreamId::inventory(show_id(&hold.show)));
        let engine = self.world.write.engine();
        let read = engine.read(hakken_commands::engine::Tenant::Any, stream, move |state, _| {
            let hakken_domain::State::Inventory(inventory) = state else { unreachable!() };
            inventory.hold(id)
        });
        read.await.expect("it can be read")
    }
}

fn seat_list(held: &SeatsHeld) -> String {
    held.places.seats.iter().map(SeatId::as_str).collect::<Vec<_>>().join(" ")
}
