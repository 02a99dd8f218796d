//! An organizer with a hall, and one show after the other in it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    super::program::{Client, hall},
    life::{OnSale, PRICE},
};

/// Who sells, and what is on sale just now.
pub struct Sale {
    /// The organizer's own key.
    owner: String,
    seller: String,
    gate: String,
    venue: Value,
    shows: u64,
    show: String,
}

impl Sale {
    /// A hall with so many seats and half as many places on its floor, whose first show is on
    /// sale.
    pub async fn open(operator: &Client, seats: usize) -> Self {
        let input = json!({ "idempotencyKey": "organizer", "name": "Test" });
        let organizer = operator.tell("registerOrganizer", "organizer { id }", input).await;
        let mut keys = Vec::new();
        for role in ["ORGANIZER", "BOX_OFFICE", "GATE"] {
            let input = json!({
                "idempotencyKey": role, "label": role, "role": role,
                "organizer": organizer["organizer"]["id"]
            });
            let made = operator.tell("createApiKey", "secret", input).await;
            keys.push(made["secret"].as_str().expect("a secret").to_owned());
        }
        let map = json!({ "idempotencyKey": "venue", "name": "Hall", "seatMap": {
            "json": hall(seats).to_string(),
            "pools": [{ "name": "floor", "capacity": seats / 2, "category": "floor" }]
        } });
        let [owner, seller, gate] = <[String; 3]>::try_from(keys).expect("three keys");
        let client = operator.with_key(&owner);
        let venue = client.tell("registerVenue", "venue { id }", map).await["venue"]["id"].take();
        let show = put_on_sale(&client, &venue, 0).await;
        Self { owner, seller, gate, venue, shows: 1, show }
    }

    /// What is on sale.
    pub fn on_sale(&self) -> Arc<OnSale> {
        let Self { show, seller, gate, .. } = self;
        let (show, seller, gate) = (show.clone(), seller.clone(), gate.clone());
        Arc::new(OnSale { show, seller, gate })
    }

    /// Another show is on sale from now on.
    pub async fn another_show(&mut self, client: &Client) {
        let client = client.with_key(&self.owner);
        self.show = put_on_sale(&client, &self.venue, self.shows).await;
        self.shows += 1;
    }
}

/// Puts one more show on sale. The server may have trouble just now, and is asked again.
async fn put_on_sale(owner: &Client, venue: &Value, number: u64) -> String {
    let key = |name: &str| format!("{name}-{number}");
    let input = json!({
        "idempotencyKey": key("show"), "name": key("Show"), "venue": venue,
        "startsAt": "2098-01-01T10:00:00Z", "endsAt": "2098-01-01T12:00:00Z",
        "entry": { "validFrom": "2020-01-01T00:00:00Z" }
    });
    let show =
        owner.tell_patiently("scheduleShow", "show { id }", input).await["show"]["id"].take();
    let input = json!({
        "idempotencyKey": key("adult"), "show": show, "ticketType": "adult", "name": "Adult",
        "priceMinor": PRICE
    });
    owner.tell_patiently("offerTicketType", "show { id }", input).await;
    let rules = json!({
        "salesFrom": "2020-01-01T00:00:00Z", "salesUntil": "2098-01-01T00:00:00Z"
    });
    let input = json!({ "idempotencyKey": key("sales"), "show": show, "rules": rules });
    owner.tell_patiently("openSales", "position", input).await;
    show.as_str().expect("an id").to_owned()
}
