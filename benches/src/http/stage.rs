//! Sets the scene over the API: an organizer with its keys, a venue of 40,000 seats, and shows in
//! it.

use std::time::Duration;

use anyhow::{Context, Result};
use hakken_adapters::system::SystemClock;
use hakken_commands::clock::Clock;
use hakken_domain::{
    names::{Category, Label, PoolId, SeatId},
    seatmap::{Point, Pool, Row, Seat, SeatMap, Section},
};
use serde_json::{Value, json};

use super::{Caller, Program, Request};

/// Numbered seats of each show.
pub const SEATS: usize = 40_000;
const SECTIONS: usize = 40;
const ROWS: usize = 20;
const STANDING: u32 = 10_000_000;

/// What is on.
pub struct Stage {
    /// Sells.
    pub seller: String,
    /// Scans.
    pub gate: String,
    operator: String,
    owner: String,
    venue: String,
    shows: usize,
    caller: Caller,
}

/// A show that is on sale.
#[derive(Clone)]
pub struct Show {
    /// Its global id.
    pub id: String,
}

impl Stage {
    /// Sets it on a new store.
    pub async fn set(program: &Program) -> Result<Self> {
        let operator = program.key.as_deref().context("the store is not new")?;
        let mut caller = Caller::new(0, program.address).await?;
        let input = json!({ "idempotencyKey": "bench", "name": "Bench" });
        let made = tell(&mut caller, operator, REGISTER_ORGANIZER, &input).await?;
        let organizer = text_of(&made["organizer"]["id"])?;
        let mut keys = Vec::new();
        for role in ["ORGANIZER", "BOX_OFFICE", "GATE"] {
            let input = json!({
                "idempotencyKey": role, "label": role, "role": role, "organizer": organizer,
            });
            let made = tell(&mut caller, operator, CREATE_KEY, &input).await?;
            keys.push(text_of(&made["secret"])?);
        }
        let [owner, seller, gate] = keys.try_into().ok().context("three keys")?;
        let input = json!({
            "idempotencyKey": "venue", "name": "Arena",
            "seatMap": { "json": serde_json::to_string(&seat_map()?)? },
        });
        let made = tell(&mut caller, &owner, REGISTER_VENUE, &input).await?;
        let venue = text_of(&made["venue"]["id"])?;
        let operator = operator.to_owned();
        Ok(Self { seller, gate, operator, owner, venue, shows: 0, caller })
    }

    /// Waits until every read model is where the events are, so that no case pays for the one
    /// before.
    pub async fn settle(&mut self) -> Result<()> {
        let request = Request::new(&self.operator, "{ projections { lagPositions } }");
        loop {
            let answer = self.caller.ask(&request, "").await?;
            answer.expect("lagPositions")?;
            if answer.body.matches("\"lagPositions\":").count()
                == answer.body.matches("\"lagPositions\":0}").count()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A hall of one row with so many seats; gives its global id.
    pub async fn hall(&mut self, seats: usize) -> Result<String> {
        let seats = (0..seats).map(|at| seat(&format!("H{at:03}"), at, at * 50, 0));
        let name = Label::new("1")?;
        let rows = vec![Row { name, seats: seats.collect::<Result<_>>()? }];
        let map = SeatMap {
            name: Label::new("Hall")?,
            focus: Point { x: 0, y: -200 },
            sections: vec![Section { name: Label::new("Stalls")?, rows }],
            pools: Vec::new(),
        };
        let input = json!({
            "idempotencyKey": "hall", "name": "Hall",
            "seatMap": { "json": serde_json::to_string(&map)? },
        });
        let made = tell(&mut self.caller, &self.owner, REGISTER_VENUE, &input).await?;
        text_of(&made["venue"]["id"])
    }

    /// Puts one more show on sale, to which one may already come in.
    pub async fn show(&mut self) -> Result<Show> {
        self.shows += 1;
        let number = self.shows;
        let now = SystemClock.now();
        let begins = now.plus_seconds(3_600);
        let input = json!({
            "idempotencyKey": format!("show-{number}"), "name": format!("Show {number}"),
            "venue": self.venue, "startsAt": begins.to_string(),
            "endsAt": begins.plus_seconds(3 * 3_600).to_string(), "currency": "JPY",
            "entry": { "reentry": true },
        });
        let made = tell(&mut self.caller, &self.owner, SCHEDULE_SHOW, &input).await?;
        let id = text_of(&made["show"]["id"])?;
        let input = json!({
            "idempotencyKey": format!("type-{number}"), "show": id, "ticketType": "adult",
            "name": "Adult", "priceMinor": 5_000, "categories": ["general", "standing"],
        });
        tell(&mut self.caller, &self.owner, OFFER, &input).await?;
        let input = json!({
            "idempotencyKey": format!("open-{number}"), "show": id,
            "rules": {
                "salesFrom": now.minus_seconds(3_600).to_string(),
                "salesUntil": begins.to_string(), "holdTtlSeconds": 3_600,
                "holdExtensionSeconds": 3_600,
            },
        });
        tell(&mut self.caller, &self.owner, OPEN_SALES, &input).await?;
        Ok(Show { id })
    }
}

impl Show {
    /// The name of one of its seats.
    pub fn seat(at: usize) -> String {
        let (row, seat) = (at / (SEATS / SECTIONS / ROWS), at % (SEATS / SECTIONS / ROWS));
        format!("S{:02}-{:02}-{:02}", row / ROWS + 1, row % ROWS + 1, seat + 1)
    }
}

/// A text that must be there.
fn text_of(value: &Value) -> Result<String> {
    Ok(value.as_str().context("the answer lacks a text")?.to_owned())
}

async fn tell(caller: &mut Caller, key: &str, document: &str, input: &Value) -> Result<Value> {
    let request = Request::new(key, document);
    let answer = caller.ask(&request, &format!("\"input\":{input}")).await?;
    answer.expect("\"userErrors\":[]")?;
    let answer: Value = serde_json::from_str(answer.body)?;
    let Value::Object(fields) = &answer["data"] else { anyhow::bail!("no data in {answer}") };
    fields.values().next().cloned().context("a mutation has a payload")
}

fn seat(name: &str, at: usize, x: usize, y: usize) -> Result<Seat> {
    Ok(Seat {
        id: SeatId::new(name)?,
        number: Label::new(&(at + 1).to_string())?,
        at: Point { x: i32::try_from(x)?, y: i32::try_from(y)? },
        category: Category::new("general")?,
        wheelchair: false,
        aisle_after: false,
    })
}

fn seat_map() -> Result<SeatMap> {
    let mut sections = Vec::new();
    let seats = SEATS / SECTIONS / ROWS;
    for section in 0..SECTIONS {
        let mut rows = Vec::new();
        for row in 0..ROWS {
            let seat = |at: usize| {
                let name = Show::seat((section * ROWS + row) * seats + at);
                let (x, y) = (section % 8 * 6_000 + at * 100, section / 8 * 3_000 + row * 120);
                seat(&name, at, x, y)
            };
            let name = Label::new(&(row + 1).to_string())?;
            rows.push(Row { name, seats: (0..seats).map(seat).collect::<Result<_>>()? });
        }
        sections.push(Section { name: Label::new(&format!("S{:02}", section + 1))?, rows });
    }
    let standing = Pool {
        id: PoolId::new("standing")?,
        capacity: STANDING,
        category: Category::new("standing")?,
    };
    let focus = Point { x: 24_000, y: -1_000 };
    Ok(SeatMap { name: Label::new("Arena")?, focus, sections, pools: vec![standing] })
}

const REGISTER_ORGANIZER: &str = "mutation($input: RegisterOrganizerInput!) {
    registerOrganizer(input: $input) { organizer { id } userErrors { code message field } } }";
const CREATE_KEY: &str = "mutation($input: CreateApiKeyInput!) {
    createApiKey(input: $input) { secret userErrors { code message field } } }";
const REGISTER_VENUE: &str = "mutation($input: RegisterVenueInput!) {
    registerVenue(input: $input) { venue { id } userErrors { code message field } } }";
const SCHEDULE_SHOW: &str = "mutation($input: ScheduleShowInput!) {
    scheduleShow(input: $input) { show { id } userErrors { code message field } } }";
const OFFER: &str = "mutation($input: OfferTicketTypeInput!) {
    offerTicketType(input: $input) { userErrors { code message field } } }";
const OPEN_SALES: &str = "mutation($input: OpenSalesInput!) {
    openSales(input: $input) { position userErrors { code message field } } }";
