//! Sets the scene over the API: an organizer with its keys, the venue, the shows, what they cost,
//! and the opening of sales.

use anyhow::{Context, Result};
use hakken_adapters::system::SystemClock;
use hakken_commands::clock::Clock;
use serde_json::{Value, json};

use super::hall::Hall;
use crate::client::Client;

/// Most places that one buyer may hold and own at once.
pub const BUYER_LIMIT: usize = 8;
/// Their names in idempotency keys, and for people.
pub const GATES: [(&str, &str); 4] =
    [("north", "北口 North"), ("main", "正面 Main"), ("east", "東口 East"), ("box", "VIP")];

/// Everything that the people of the demo share.
pub struct Stage {
    /// What is sold.
    pub hall: Hall,
    /// Tells this run's idempotency keys from those of earlier runs on the same data.
    pub run: String,
    /// Rebuilds and verifies.
    pub operator: Client,
    /// Sells.
    pub box_office: Client,
    /// Reads everything and changes nothing.
    pub auditor: Client,
    /// The auditor's key.
    pub auditor_key: String,
    /// Scan, by the name of their gate.
    pub gates: Vec<(&'static str, Client)>,
    /// The organizer's key, for whoever wants to look around afterwards.
    pub organizer_key: String,
    /// Its global id.
    pub organizer: String,
    /// Global id of the show that is sold.
    pub show: String,
    /// The position at which its sales were opened.
    pub opened_at: u64,
    /// Global id of the show of the next day, which nobody has tickets for.
    pub tomorrow: String,
}

impl Stage {
    /// Sets it.
    pub async fn set(server: &str, operator_key: &str, hall: Hall) -> Result<Self> {
        let now = SystemClock.now();
        let run = format!("demo-{:x}", now.as_micros());
        let operator = Client::new(server, operator_key)?;
        let setup = Setup { run: &run, operator: &operator };
        let organizer = setup.organizer().await?;
        let organizer_key = setup.key(&organizer, "organizer", "主催者 Organizer").await?;
        let seller = setup.key(&organizer, "box_office", "窓口 Box office").await?;
        let auditor = setup.key(&organizer, "auditor", "監査 Auditor").await?;
        let mut gates = Vec::new();
        for (id, name) in GATES {
            let key = setup.key(&organizer, "gate", &format!("検札 Gate {id}")).await?;
            gates.push((name, operator.with_key(&key)));
        }
        let owner = operator.with_key(&organizer_key);
        let venue = setup.venue(&owner, &hall).await?;
        let begins = now.plus_seconds(3_600);
        let (show, tomorrow) = (
            setup.show(&owner, &venue, "響の夕べ An Evening of Echoes", "tonight", begins).await?,
            setup
                .show(&owner, &venue, "響の朝 Matinee", "tomorrow", begins.plus_seconds(86_400))
                .await?,
        );
        setup.ticket_types(&owner, &show, &hall).await?;
        let rules = json!({
            "salesFrom": now.minus_seconds(3_600).to_string(),
            "salesUntil": begins.to_string(),
            "holdTtlSeconds": 600,
            "maxPlacesPerHold": 10,
            "maxPlacesPerBuyer": BUYER_LIMIT,
        });
        let input = json!({ "idempotencyKey": run, "show": show, "rules": rules });
        let opened = owner.must(OPEN_SALES, input).await.context("sales are not opened")?;
        Ok(Self {
            box_office: operator.with_key(&seller),
            auditor: operator.with_key(&auditor),
            auditor_key: auditor,
            organizer_key,
            hall,
            organizer,
            gates,
            show,
            opened_at: opened["position"].as_u64().context("sales were opened nowhere")?,
            tomorrow,
            operator,
            run,
        })
    }

    /// An idempotency key of this run.
    pub fn key(&self, what: &str, number: u64) -> String {
        format!("{}-{what}-{number}", self.run)
    }
}

struct Setup<'a> {
    run: &'a str,
    operator: &'a Client,
}

impl Setup<'_> {
    async fn organizer(&self) -> Result<String> {
        let input = json!({ "idempotencyKey": self.run, "name": "響ホール Hibiki Productions" });
        let done = self.operator.must(REGISTER_ORGANIZER, input).await?;
        id_of(&done["organizer"])
    }

    async fn key(&self, organizer: &str, role: &str, label: &str) -> Result<String> {
        let input = json!({
            "idempotencyKey": format!("{}-{label}", self.run),
            "label": label,
            "role": role.to_uppercase(),
            "organizer": organizer,
        });
        let done = self.operator.must(CREATE_KEY, input).await?;
        Ok(done["secret"].as_str().context("a new key has a secret")?.to_owned())
    }

    async fn venue(&self, owner: &Client, hall: &Hall) -> Result<String> {
        let input = json!({
            "idempotencyKey": self.run,
            "name": hall.map.name.as_str(),
            "seatMap": { "json": hall.text },
        });
        let done =
            owner.must(REGISTER_VENUE, input).await.context("the venue is not registered")?;
        id_of(&done["venue"])
    }

    async fn show(
        &self,
        owner: &Client,
        venue: &str,
        name: &str,
        key: &str,
        begins: hakken_domain::time::Timestamp,
    ) -> Result<String> {
        let input = json!({
            "idempotencyKey": format!("{}-{key}", self.run),
            "name": name,
            "venue": venue,
            "startsAt": begins.to_string(),
            "endsAt": begins.plus_seconds(3 * 3_600).to_string(),
            "currency": "JPY",
            "entry": { "reentry": true },
        });
        let done = owner.must(SCHEDULE_SHOW, input).await.context("the show is not scheduled")?;
        id_of(&done["show"])
    }

    async fn ticket_types(&self, owner: &Client, show: &str, hall: &Hall) -> Result<()> {
        for (at, category) in hall.categories.iter().enumerate() {
            let kinds = [
                ("adult", "一般 Adult", category.price),
                ("child", "子ども Child", category.price / 2),
            ];
            for (id, name, price) in kinds {
                let input = json!({
                    "idempotencyKey": format!("{}-{id}-{at}", self.run),
                    "show": show,
                    "ticketType": ticket_type(id == "child", at),
                    "name": format!("{} {name}", category.name),
                    "priceMinor": price,
                    "categories": [category.name],
                });
                owner.must(OFFER, input).await.context("a ticket type is not offered")?;
            }
        }
        Ok(())
    }
}

/// The short name of a ticket type of a category.
pub fn ticket_type(child: bool, category: usize) -> String {
    format!("{}-{}", if child { "child" } else { "adult" }, category + 1)
}

fn id_of(thing: &Value) -> Result<String> {
    Ok(thing["id"].as_str().context("the server gave no id")?.to_owned())
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
