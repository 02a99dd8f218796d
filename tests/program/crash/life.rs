//! One buyer's way through the engine: what is asked next, and what was answered.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hakken_tests::sim::Chance;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::program::Client;

/// Whoever is told to ask again does so for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The price of every place.
pub const PRICE: u64 = 5_000;

/// What is on sale.
pub struct OnSale {
    pub show: String,
    pub seller: String,
    pub gate: String,
}

/// Something that a buyer has done for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Hold,
    Release,
    Order,
    Pay,
    Refund,
    Reissue,
    Scan,
    Cancel,
}

impl Step {
    /// The mutation, what is asked of it, and which parts of that never change.
    fn mutation(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Hold => ("holdSeats", "hold { id seats }", &["/hold/id"]),
            Self::Release => ("releaseHold", "hold { id status }", &["/hold"]),
            Self::Order => ("placeOrder", "order { id items { number seat pool } }", &["/order"]),
            Self::Pay => {
                let fields = "settled order { id payments { payment } tickets { id code } }";
                ("payOrder", fields, &["/order/id", "/order/payments"])
            }
            Self::Refund => ("refundOrder", "order { id refunds { id } }", &["/order/id"]),
            Self::Reissue => {
                ("reissueTicket", "ticket { id generation code }", &["/ticket/id", "/ticket/code"])
            }
            Self::Scan => ("scanTicket", "result reason", &["/result", "/reason"]),
            Self::Cancel => ("cancelOrder", "settled order { id }", &["/order/id"]),
        }
    }

    /// One of these events stands in the log once this is acknowledged.
    pub fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Hold => &["seats-held"],
            Self::Release => &["hold-released"],
            Self::Order => &["order-placed"],
            Self::Pay => &["payment-captured"],
            Self::Refund => &["refund-requested"],
            Self::Reissue => &["ticket-reissued"],
            Self::Scan => &["ticket-entered", "scan-refused"],
            Self::Cancel => &["cancellation-requested"],
        }
    }
}

/// What was asked and acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub step: Step,
    pub key: String,
    pub input: Value,
    /// What of the answer is the same for ever; the rest tells how things are now.
    pub answer: Vec<Value>,
    /// The seats that a hold was told to have.
    pub seats: Value,
}

/// Why a step has not come to its end.
#[derive(Debug)]
pub enum Stop {
    /// The server is gone. Nobody knows whether it happened.
    Gone,
    /// The rules say no.
    Refused(String),
}

/// A buyer.
pub struct Life {
    name: String,
    on_sale: Arc<OnSale>,
    wanted: Value,
    places: u64,
    pub ahead: VecDeque<Step>,
    hold: Value,
    order: Value,
    tickets: Value,
    code: Value,
}

impl Life {
    /// Somebody new, with plans.
    pub fn new(name: String, on_sale: Arc<OnSale>, chance: &mut Chance) -> Self {
        use Step::{Cancel, Hold, Order, Pay, Refund, Reissue, Release, Scan};
        const PLANS: [&[Step]; 9] = [
            &[Hold, Order, Pay, Scan],
            &[Hold, Order, Pay, Scan],
            &[Hold, Order, Pay, Scan, Refund],
            &[Hold, Order, Pay, Reissue, Scan],
            &[Hold, Order, Pay, Cancel],
            &[Hold, Order, Pay, Refund, Cancel],
            &[Hold, Order, Pay, Scan, Scan],
            &[Hold, Order],
            &[Hold, Release],
        ];
        let plan = PLANS[chance.below(PLANS.len())];
        let places = chance.between(1, 3);
        let wanted = if chance.percent(70) {
            json!({ "bestAvailable": { "count": places } })
        } else {
            json!({ "pools": [{ "pool": "floor", "count": places }] })
        };
        Self {
            name,
            on_sale,
            wanted,
            places,
            ahead: plan.iter().copied().collect(),
            hold: Value::Null,
            order: Value::Null,
            tickets: Value::Null,
            code: Value::Null,
        }
    }

    /// The next request, under a key that is the same each time it is sent.
    fn request(&self, step: Step) -> (String, Value) {
        let key = format!("{}-{}", self.name, self.ahead.len());
        let (show, name) = (&self.on_sale.show, &self.name);
        let mut input = match step {
            Step::Hold => {
                let mut input = self.wanted.clone();
                input["show"] = json!(show);
                input["buyer"] = json!(name);
                input
            }
            Step::Release => json!({ "show": show, "hold": self.hold }),
            Step::Order => json!({
                "buyer": name,
                "lines": [{ "show": show, "hold": self.hold, "ticketType": "adult" }]
            }),
            Step::Pay => json!({
                "order": self.order, "currency": "JPY",
                "payments": [{
                    "payment": name, "method": "card", "amountMinor": PRICE * self.places
                }]
            }),
            Step::Refund => json!({ "order": self.order, "currency": "JPY", "amountMinor": 1000 }),
            Step::Reissue => json!({ "ticket": self.tickets[0]["id"], "reason": "lost" }),
            Step::Scan => json!({ "show": show, "gate": "north", "code": self.code }),
            Step::Cancel => json!({ "order": self.order, "reason": "ill" }),
        };
        input["idempotencyKey"] = json!(key);
        (key, input)
    }

    /// Goes one step, or further on the one that was begun before the server went away.
    pub async fn go(&mut self, client: &Client) -> Result<Option<Acknowledged>, Stop> {
        let Some(&step) = self.ahead.front() else { return Ok(None) };
        if matches!(step, Step::Reissue | Step::Scan) && self.code.is_null() {
            self.fetch(client).await?;
        }
        let (key, input) = self.request(step);
        let payload = tell(client, &self.on_sale, step, &input).await?;
        match step {
            Step::Hold => self.hold = payload["hold"]["id"].clone(),
            Step::Order => self.order = payload["order"]["id"].clone(),
            Step::Pay => {
                self.tickets = payload["order"]["tickets"].clone();
                self.code = self.tickets[0]["code"].clone();
            }
            Step::Reissue => self.code = payload["ticket"]["code"].clone(),
            Step::Release | Step::Refund | Step::Scan | Step::Cancel => {}
        }
        self.ahead.pop_front();
        let (answer, seats) = (lasting(step, &payload), payload["hold"]["seats"].clone());
        Ok(Some(Acknowledged { step, key, input, answer, seats }))
    }

    /// Waits for tickets that were not there when the payment was answered.
    async fn fetch(&mut self, client: &Client) -> Result<(), Stop> {
        let client = client.with_key(&self.on_sale.seller);
        let query = "query($id: ID!) { order(id: $id) { tickets { id code } } }";
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let answer = client.try_ask(query, json!({ "id": self.order })).await;
            let mut answer = answer.map_err(|_| Stop::Gone)?;
            let tickets = answer["data"]["order"]["tickets"].take();
            if tickets[0]["code"].is_string() {
                self.code = tickets[0]["code"].clone();
                self.tickets = tickets;
                return Ok(());
            }
            pause().await;
        }
        panic!("{} paid long ago and has no ticket", self.name);
    }
}

/// The parts of an answer that are the same for ever.
fn lasting(step: Step, payload: &Value) -> Vec<Value> {
    let (_, _, parts) = step.mutation();
    parts.iter().map(|part| payload.pointer(part).cloned().unwrap_or_default()).collect()
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Asks until it is answered, refused, or the server is gone.
async fn tell(client: &Client, on_sale: &OnSale, step: Step, input: &Value) -> Result<Value, Stop> {
    let (mutation, fields, _) = step.mutation();
    let (first, rest) = mutation.split_at(1);
    let query = format!(
        "mutation($input: {}{rest}Input!) {{ {mutation}(input: $input) {{ {fields} repeated \
         userErrors {{ code }} }} }}",
        first.to_uppercase()
    );
    let key = if step == Step::Scan { &on_sale.gate } else { &on_sale.seller };
    let client = client.with_key(key);
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let answer = client.try_ask(&query, json!({ "input": input })).await;
        let mut answer = answer.map_err(|_| Stop::Gone)?;
        let payload = answer["data"][mutation].take();
        let code = payload["userErrors"][0]["code"].as_str().map(ToOwned::to_owned);
        match code {
            None if payload.is_object() => return Ok(payload),
            // Whoever pays and cancels at once meets the checkout now and then.
            Some(code) if code != "CHECKOUT_UNDER_WAY" => return Err(Stop::Refused(code)),
            // Or the server is stopping, or full: it says that it may be asked again.
            _ => pause().await,
        }
    }
    panic!("{mutation} is not answered: {input}");
}

impl Acknowledged {
    /// Asks again, under the same key: the answer must be the one that was given.
    pub async fn ask_again(&self, client: &Client, on_sale: &OnSale) -> Result<(), String> {
        let payload = match tell(client, on_sale, self.step, &self.input).await {
            Ok(payload) => payload,
            Err(stop) => return Err(format!("{self:?} was acknowledged, and is now: {stop:?}")),
        };
        let answer = lasting(self.step, &payload);
        if payload["repeated"] != true || answer != self.answer {
            return Err(format!("{self:?} was acknowledged, and now comes {payload}"));
        }
        Ok(())
    }
}

/// Asks for what was acknowledged, 16 at a time.
pub async fn ask_again(
    client: &Client,
    on_sale: &Arc<OnSale>,
    again: Vec<Acknowledged>,
) -> Result<(), String> {
    let again = Arc::new(Mutex::new(again));
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        // A client of its own, with a connection of its own.
        let (client, on_sale, again) = (client.another(), on_sale.clone(), again.clone());
        asking.spawn(async move {
            loop {
                let next = again.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(next) = next else { return Ok(()) };
                next.ask_again(&client, &on_sale).await?;
            }
        });
    }
    asking.join_all().await.into_iter().collect()
}
