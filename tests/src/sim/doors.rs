//! Those who come through the API: its schema is carried out in this process, without a socket.
//! What they are told when they ask is compared with the audit of the events at that very
//! position; what they do is found among the events.

mod operators;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use hakken_api::{GlobalId, NewKey, create_key};
use hakken_commands::{clock::Clock, desk::ScanRequest};
use hakken_domain::{
    Command,
    apikey::Role,
    inventory::{self, HoldSeats, SeatChoice},
    names::{ActorRef, OrderId, OrganizerId, ShowId, TicketId},
    ticket::Direction,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    Simulation,
    actors::organizers,
    call::{Call, Wish},
    known::{Order, Show},
};
use crate::{
    edge::{FixedSecret, api_context, engine_secret},
    world::name,
};

const AVAILABILITY: &str = "query($id: ID!, $at: Position) {
    availability(show: $id, atLeast: $at) { seatLetters } }";
const ORDER: &str = "query($id: ID!, $at: Position) { order(id: $id, atLeast: $at) {
    total { amountMinor } paid { amountMinor } items { number cancelled } tickets { id } } }";
const ORDERS: &str = "query($after: String, $at: Position) {
    orders(first: 7, after: $after, atLeast: $at) {
        edges { node { id } } pageInfo { hasNextPage endCursor } } }";
const HOLD: &str = "mutation($input: HoldSeatsInput!) { done: holdSeats(input: $input) {
    hold { id } position repeated userErrors { code } } }";
const PAY: &str = "mutation($input: PayOrderInput!) { done: payOrder(input: $input) {
    order { id } position repeated userErrors { code } } }";
const SCAN: &str = "mutation($input: ScanTicketInput!) { done: scanTicket(input: $input) {
    result ticket { id } position repeated userErrors { code } } }";

/// Who comes through the API.
#[derive(Default)]
pub(super) struct Doors {
    /// An API key for each organizer.
    keys: Vec<(OrganizerId, String)>,
    /// What was acknowledged.
    acked: Vec<(Mutation, Value)>,
    /// The key of an operator.
    operator: String,
    /// Keys that operators made.
    made: Vec<operators::Made>,
}

/// A mutation.
#[derive(Clone)]
struct Mutation {
    organizer: OrganizerId,
    name: &'static str,
    document: &'static str,
    input: Value,
    wish: Wish,
}

impl Mutation {
    /// What a call asks for, as the API has it; nothing if it is none of these.
    fn of(call: &Call) -> Option<Self> {
        let (name, document, mut input) = match &call.wish {
            Wish::Ask(stream, command) => match &**command {
                Command::Inventory(inventory::Command::HoldSeats(hold)) => {
                    ("holdSeats", HOLD, hold_input(ShowId(stream.id), hold)?)
                }
                _ => return None,
            },
            Wish::Pay { order, payments, currency, partial } => {
                let payment = |payment: &hakken_domain::order::Payment| {
                    let (method, amount) = (payment.method.to_string(), payment.amount_minor);
                    let payment = payment.payment.to_string();
                    json!({ "payment": payment, "method": method, "amountMinor": amount })
                };
                let payments: Vec<Value> = payments.iter().map(payment).collect();
                let (order, currency) = (order.global().to_string(), currency.to_string());
                let input = json!({
                    "order": order, "currency": currency, "partial": partial, "payments": payments
                });
                ("payOrder", PAY, input)
            }
            Wish::Scan(ScanRequest { show, gate, direction, code }) => {
                let direction = match direction {
                    Direction::Entry => "ENTRY",
                    Direction::Exit => "EXIT",
                };
                let (show, gate) = (show.global().to_string(), gate.to_string());
                let input =
                    json!({ "show": show, "gate": gate, "direction": direction, "code": code });
                ("scanTicket", SCAN, input)
            }
            _ => return None,
        };
        input["idempotencyKey"] = json!(format!("api:{}", call.key.replace(' ', "-")));
        Some(Self { organizer: call.organizer, name, document, input, wish: call.wish.clone() })
    }
}

fn hold_input(show: ShowId, hold: &HoldSeats) -> Option<Value> {
    let SeatChoice::Named(seats) = &hold.seats else { return None };
    let seats: Vec<String> = seats.iter().map(ToString::to_string).collect();
    let pools: Vec<Value> = hold
        .pools
        .iter()
        .map(|pool| json!({ "pool": pool.pool.to_string(), "count": pool.count }))
        .collect();
    let (show, buyer) = (show.global().to_string(), hold.buyer.to_string());
    Some(json!({ "show": show, "buyer": buyer, "seats": seats, "pools": pools }))
}

/// What the API answers.
enum Told {
    /// The value of the one field that was asked for.
    Data(Value),
    /// Nothing, for this reason: to be tried again.
    Trouble(String),
}

impl Simulation {
    /// Everybody gets a key.
    pub(super) async fn open_doors(&mut self) -> Result<(), String> {
        for (at, organizer) in (1..).zip(organizers()) {
            let new = NewKey {
                label: name("simulation"),
                role: Role::Organizer,
                organizer: Some(organizer),
            };
            let actor = ActorRef::new("system:simulation").expect("a good name");
            let desk = self.nodes[0].world.desk();
            let made = create_key(desk, &engine_secret(), &FixedSecret(at), actor, new).await;
            let (key, _) = made.map_err(|error| error.to_string())?;
            self.doors.keys.push((organizer, key));
        }
        let new = NewKey { label: name("operator"), role: Role::Operator, organizer: None };
        let actor = ActorRef::new("system:simulation").expect("a good name");
        let desk = self.nodes[0].world.desk();
        let made = create_key(desk, &engine_secret(), &FixedSecret(9), actor, new).await;
        (self.doors.operator, _) = made.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Somebody comes through the API, if anybody does in this step.
    pub(super) async fn through_the_doors(&mut self) -> Result<(), String> {
        if self.options.only_holds || !self.chance.percent(40) {
            return Ok(());
        }
        match self.chance.below(100) {
            0..=49 => self.command().await,
            50..=79 => self.compare_answers().await,
            _ => self.operate_through_the_door().await,
        }
    }

    /// The API over a process, as it is wired now.
    fn router(&mut self, node: usize) -> Router {
        let wired = self.readings;
        let (read, feed) = (self.read.clone(), self.feed.clone());
        let node = &mut self.nodes[node];
        match &node.router {
            Some((of, router)) if *of == wired => router.clone(),
            _ => {
                let api = api_context(node.world.write.clone(), read, feed);
                let router = hakken_api::router(api);
                node.router = Some((wired, router.clone()));
                router
            }
        }
    }

    /// An organizer's key.
    fn key_of(&self, organizer: OrganizerId) -> Result<String, String> {
        let key = self.doors.keys.iter().find(|(of, _)| *of == organizer);
        key.map(|(_, key)| key.clone()).ok_or_else(|| "an organizer without a key".to_owned())
    }

    /// Sends an operation of one field to a process, and takes down what it met.
    async fn send(
        &mut self,
        name: &str,
        node: usize,
        key: &str,
        document: &str,
        variables: Value,
    ) -> Result<Told, String> {
        let before = self.nodes[node].dial().met.clone();
        let told = self.ask_door(node, key, document, variables).await;
        for fault in self.met_by(&self.nodes[node], &before) {
            self.coverage.met(&format!("api {name}"), fault);
        }
        told
    }

    async fn ask_door(
        &mut self,
        node: usize,
        key: &str,
        document: &str,
        variables: Value,
    ) -> Result<Told, String> {
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .body(Body::from(json!({ "query": document, "variables": variables }).to_string()))
            .map_err(|error| error.to_string())?;
        let (router, life) = (self.router(node), self.nodes[node].life.clone());
        let Some(answer) = life.unless_dead(router.oneshot(request)).await else {
            return Ok(Told::Trouble("process died".to_owned()));
        };
        let response = answer.unwrap_or_else(|never| match never {});
        let bytes = to_bytes(response.into_body(), usize::MAX).await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        if let Some(error) = answer["errors"].get(0) {
            let code = error["extensions"]["code"].as_str().unwrap_or("no code").to_lowercase();
            // What cannot be told just now, and nothing else, may stand in the place of data.
            let may_be = ["unavailable", "throttled", "not_yet_visible", "busy", "contended"];
            return match may_be.iter().any(|known| code.contains(known)) {
                true => Ok(Told::Trouble(code)),
                false => Err(format!("the API answered {error}")),
            };
        }
        let data = answer["data"].as_object().and_then(|data| data.values().next());
        let mut data = data.cloned().ok_or_else(|| format!("the API answered {answer}"))?;
        if let Some(distorts) = self.options.distorts {
            distorts(&mut data);
        }
        Ok(Told::Data(data))
    }

    fn came_through(&mut self, what: &str) {
        self.coverage.saw(format!("api {what}"));
        self.note(format!("through the API: {what}"));
    }

    /// A hold, a payment or a scan; now and then one that was asked for before.
    async fn command(&mut self) -> Result<(), String> {
        let again = match self.chance.percent(20) {
            true => self.chance.pick(&self.doors.acked).cloned(),
            false => None,
        };
        let (mutation, before) = match again {
            Some((mutation, before)) => (mutation, Some(before)),
            None => {
                let call = match self.chance.below(10) {
                    0..=2 => self.actors.hold_named(&self.known),
                    3 => self.actors.hold_in_pool(&self.known),
                    4..=6 => self.actors.pay(&self.known),
                    _ => self.actors.scan(&self.known),
                };
                let Some(mutation) = call.as_ref().and_then(Mutation::of) else { return Ok(()) };
                (mutation, None)
            }
        };
        let node = self.chance.below(self.nodes.len());
        let variables = json!({ "input": mutation.input });
        let name = mutation.name;
        let key = self.key_of(mutation.organizer)?;
        let told = self.send(name, node, &key, mutation.document, variables).await?;
        self.look().await?;
        let done = match told {
            Told::Trouble(what) => {
                self.came_through(&format!("{name} trouble {what}"));
                return Ok(());
            }
            Told::Data(done) => done,
        };
        if let Some(error) = done["userErrors"].get(0) {
            let code = error["code"].as_str().unwrap_or_default().to_lowercase();
            self.came_through(&format!("userError {code}"));
            let is_trouble = ["busy", "contended", "unavailable"].contains(&code.as_str());
            return match before {
                Some(_) if !is_trouble => Err(format!("{name} again was refused: {code}")),
                _ => Ok(()),
            };
        }
        if let Some(before) = before {
            let (id, same) = (result_id(&before), result_id(&done));
            // What a payment has set in motion counts too: its position may be a later one.
            let is_later = name == "payOrder" && number(&done["position"]) > Some(1);
            let is_same = id == same && (is_later || done["position"] == before["position"]);
            // What was so already brought nothing about, and is so already again.
            let is_repeated = json!(self.has_brought_about(&mutation));
            self.came_through(&format!("{name} again"));
            return match is_same && done["repeated"] == is_repeated {
                true => Ok(()),
                false => Err(format!("{name} again was answered {done}, before {before}")),
            };
        }
        self.came_through(name);
        self.judge_done(&mutation, &done)?;
        self.doors.acked.push((mutation, done));
        Ok(())
    }

    /// Are there events with its key?
    fn has_brought_about(&self, mutation: &Mutation) -> bool {
        let key = mutation.input["idempotencyKey"].as_str().unwrap_or_default();
        self.keys.keys().any(|known| known.split_once(' ').is_some_and(|(_, known)| known == key))
    }

    /// What was acknowledged is recorded, and allowed.
    fn judge_done(&self, mutation: &Mutation, done: &Value) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{} was answered {done}: {why}", mutation.name));
        let position: u64 = number(&done["position"]).unwrap_or(u64::MAX);
        if position == 0 || position > self.ids.len() as u64 {
            return wrong("there is no such event");
        }
        let id = result_id(done);
        match &mutation.wish {
            Wish::Pay { order, payments, .. } => {
                let known = self.known.orders.iter().find(|known| known.id == *order);
                let is_in = |known: &Order| {
                    payments.iter().all(|payment| known.payments.contains(&payment.payment))
                };
                if id != Some(&order.global()) || !known.is_some_and(is_in) {
                    return wrong("no such payment is recorded");
                }
            }
            Wish::Scan(scan) if done["result"] != json!("REFUSED") => {
                let ticket = id.and_then(|id| TicketId::parse(id).ok());
                if !ticket.is_some_and(|ticket| self.actors.is_genuine(ticket, &scan.code)) {
                    return wrong("a code that nobody gave out opened a gate");
                }
            }
            Wish::Scan(_) => {}
            _ => {
                let is_it = |hold: &super::known::Hold| id == Some(&*hold.id.global());
                if !self.known.holds.iter().any(is_it) {
                    return wrong("no such hold is recorded");
                }
            }
        }
        Ok(())
    }

    /// Asks, and compares with what the events say, unless events came in between again and again.
    async fn compare_answers(&mut self) -> Result<(), String> {
        let node = self.chance.below(self.nodes.len());
        let (what, drawn) = (self.chance.below(3), self.chance.next());
        for _ in 0..3 {
            self.look().await?;
            let before = self.seen;
            let result = match what {
                0 => self.compare_availability(node, drawn).await?,
                1 => self.compare_order(node, drawn).await?,
                _ => self.compare_orders(node, drawn).await?,
            };
            let Some((name, result)) = result else { return Ok(()) };
            self.look().await?;
            if self.seen == before {
                self.came_through(name);
                return result;
            }
        }
        self.came_through("overtaken");
        Ok(())
    }

    async fn ask_for(
        &mut self,
        name: &str,
        node: usize,
        organizer: OrganizerId,
        document: &str,
        mut variables: Value,
    ) -> Result<Option<Value>, String> {
        variables["at"] = json!(self.seen.to_string());
        let key = self.key_of(organizer)?;
        match self.send(name, node, &key, document, variables).await? {
            Told::Data(data) => Ok(Some(data)),
            Told::Trouble(what) => {
                self.came_through(&format!("read trouble {what}"));
                Ok(None)
            }
        }
    }

    async fn compare_availability(&mut self, node: usize, drawn: u64) -> Result<Compared, String> {
        let Some(show) = one(&self.known.shows, drawn).cloned() else { return Ok(None) };
        let Show { id, organizer, seats, .. } = show;
        let variables = json!({ "id": id.global().to_string() });
        let Some(told) =
            self.ask_for("availability", node, organizer, AVAILABILITY, variables).await?
        else {
            return Ok(None);
        };
        let letters = told["seatLetters"].as_str().unwrap_or_default();
        let told: String =
            letters.chars().map(|letter| if letter == 'F' { 'F' } else { '-' }).collect();
        let now = self.ground.clock.now();
        let is_free = |seat| if self.audit.is_free(id, seat, now) { 'F' } else { '-' };
        let own: String = seats.iter().map(is_free).collect();
        let same = equal(&format!("availability of {id}"), &told, &own);
        Ok(Some(("availability", same)))
    }

    async fn compare_order(&mut self, node: usize, drawn: u64) -> Result<Compared, String> {
        let Some(order) = one(&self.known.orders, drawn).cloned() else { return Ok(None) };
        let variables = json!({ "id": order.id.global().to_string() });
        let Some(told) = self.ask_for("order", node, order.organizer, ORDER, variables).await?
        else {
            return Ok(None);
        };
        let cancelled = |number: u16| order.cancelled.contains(&number);
        let items: Vec<Value> = order
            .items
            .iter()
            .map(|item| json!({ "number": item.item, "cancelled": cancelled(item.item) }))
            .collect();
        let mut tickets: Vec<String> = self
            .known
            .tickets
            .iter()
            .filter(|ticket| ticket.order == order.id)
            .map(|ticket| ticket.id.global().to_string())
            .collect();
        tickets.sort();
        // An order waits for its own read model alone: that of its tickets may be behind.
        let tickets_at = self.read.checkpoint("tickets").map_err(|error| error.to_string())?;
        let mut told_tickets: Vec<String> = told["tickets"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|ticket| ticket["id"].as_str().map(str::to_owned))
            .collect();
        told_tickets.sort();
        if tickets_at.position < self.seen {
            (tickets, told_tickets) = (Vec::new(), Vec::new());
        }
        let amounts = (number(&told["total"]["amountMinor"]), number(&told["paid"]["amountMinor"]));
        let own_amounts = (Some(order.total_minor), Some(order.paid_minor));
        let told = format!("{amounts:?} {} {told_tickets:?}", told["items"]);
        let own = format!("{own_amounts:?} {} {tickets:?}", Value::from(items));
        Ok(Some(("order", equal(&format!("order {}", order.id), &told, &own))))
    }

    /// All orders of an organizer, page by page.
    async fn compare_orders(&mut self, node: usize, drawn: u64) -> Result<Compared, String> {
        let all = organizers();
        let organizer = *one(&all, drawn).ok_or("nobody sells")?;
        let (mut told, mut after) = (Vec::new(), Value::Null);
        loop {
            let variables = json!({ "after": after });
            let Some(page) = self.ask_for("orders", node, organizer, ORDERS, variables).await?
            else {
                return Ok(None);
            };
            let edges = page["edges"].as_array().cloned().unwrap_or_default();
            told.extend(edges.iter().map(|edge| edge["node"]["id"].clone()));
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] != json!(true) || edges.is_empty() {
                break;
            }
        }
        let own = self.known.orders.iter().filter(|order| order.organizer == organizer);
        let own: Vec<Value> = own.map(|order| id_of(order.id)).collect();
        let same = equal("orders", &Value::from(told).to_string(), &Value::from(own).to_string());
        Ok(Some(("orders", same)))
    }
}

/// What was compared, and whether it is the same; nothing if there was no answer.
type Compared = Option<(&'static str, Result<(), String>)>;

fn id_of(order: OrderId) -> Value {
    json!(order.global().to_string())
}

fn one<T>(from: &[T], drawn: u64) -> Option<&T> {
    from.get((drawn % from.len().max(1) as u64) as usize)
}

/// A number, however it is written.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The id of what a mutation was about.
fn result_id(done: &Value) -> Option<&str> {
    ["hold", "order", "ticket"].iter().find_map(|what| done[what]["id"].as_str())
}

fn equal(what: &str, told: &str, own: &str) -> Result<(), String> {
    match told == own {
        true => Ok(()),
        false => Err(format!("the API says of {what}: {told}, but the events: {own}")),
    }
}
