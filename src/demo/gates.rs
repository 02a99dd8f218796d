//! The doors: everybody is let in at several gates at once, and so are those who should not be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    dice::Dice,
    ledger::{Kind, Ledger},
    stage::Stage,
};

/// Scanners at each gate.
const SCANNERS: usize = 8;
/// After the show so many buyers get something back for the late start.
const GOODWILL: usize = 12;
/// Yen.
const GOODWILL_AMOUNT: u64 = 500;

/// Somebody at a gate.
#[derive(Debug, Clone)]
enum Visitor {
    /// With a good ticket.
    Guest(String),
    /// Two people with the same code, at two gates at the same moment.
    Copied(String),
    /// Shows the code again after coming in.
    Repeats(String),
    /// Goes out and comes in again.
    Smokes(String),
    /// Shows a code that was replaced.
    Revoked(String),
    /// Shows a code of a cancelled ticket.
    Void(String),
    /// Has a code that was never given out.
    Forged(String),
    /// Is a day too early: the gate belongs to another show.
    WrongShow(String),
}

/// The gates of tonight.
pub struct Gates {
    stage: Arc<Stage>,
    ledger: Arc<Ledger>,
    queue: Vec<Visitor>,
    next: AtomicUsize,
    asked: AtomicUsize,
}

impl Gates {
    /// Lines everybody up.
    pub fn new(stage: Arc<Stage>, ledger: Arc<Ledger>, seed: u64) -> Self {
        let mut dice = Dice::of(seed, u64::MAX);
        let queue = line_up(&ledger, &mut dice);
        Self { stage, ledger, queue, next: AtomicUsize::new(0), asked: AtomicUsize::new(0) }
    }

    /// How many stand there.
    pub fn visitors(&self) -> usize {
        self.queue.len()
    }

    /// Lets all of them try.
    pub async fn open(self: Arc<Self>) -> Result<()> {
        let mut scanners = JoinSet::new();
        for gate in 0..self.stage.gates.len() {
            for _ in 0..SCANNERS {
                let gates = self.clone();
                scanners.spawn(async move {
                    while let Some(visitor) = gates.next() {
                        gates.meet(gate, visitor).await?;
                    }
                    anyhow::Ok(())
                });
            }
        }
        while let Some(done) = scanners.join_next().await {
            done??;
        }
        Ok(())
    }

    /// After the show: some money back for some, and nothing for a ticket that was used.
    pub async fn afterwards(&self) -> Result<()> {
        let mut orders: Vec<String> = Vec::new();
        for holder in &self.ledger.told().tickets {
            if orders.len() <= GOODWILL && orders.last() != Some(&holder.order) {
                orders.push(holder.order.clone());
            }
        }
        let used = orders.pop();
        for (at, order) in orders.iter().enumerate() {
            let input = json!({
                "idempotencyKey": self.stage.key("goodwill", at as u64), "order": order,
                "amountMinor": GOODWILL_AMOUNT, "currency": "JPY",
            });
            self.stage.box_office.must(REFUND, input).await.context("a refund")?;
            self.ledger.count("refunds of goodwill");
            self.ledger.told().refunded_minor += GOODWILL_AMOUNT;
        }
        let Some(order) = used else { return Ok(()) };
        // Nobody who was inside gets a ticket cancelled: the recount would miss it.
        let input = json!({
            "idempotencyKey": self.stage.key("too-late", 0), "order": order,
            "reason": "入場後 wants the money back after the show",
        });
        if let Err(refusal) = self.stage.box_office.tell(CANCEL, input).await? {
            self.ledger.refused(&refusal.code);
        }
        Ok(())
    }

    fn next(&self) -> Option<Visitor> {
        self.queue.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }

    async fn meet(&self, gate: usize, visitor: Visitor) -> Result<()> {
        match visitor {
            Visitor::Guest(code) => self.expect(gate, "ENTRY", &code, "ADMITTED").await,
            Visitor::Copied(code) => {
                let other = (gate + 1) % self.stage.gates.len();
                let (one, two) = tokio::join!(
                    self.scan(gate, "ENTRY", &code, &self.stage.show),
                    self.scan(other, "ENTRY", &code, &self.stage.show)
                );
                let mut both = [one?, two?];
                both.sort();
                self.ledger.count("copied codes at two gates at once");
                if both != ["ADMITTED", "ALREADY_REDEEMED"] {
                    self.ledger.problem(format!("a copied code got {both:?}"));
                }
                Ok(())
            }
            Visitor::Repeats(code) => {
                self.expect(gate, "ENTRY", &code, "ADMITTED").await?;
                self.expect(gate, "ENTRY", &code, "ALREADY_REDEEMED").await
            }
            Visitor::Smokes(code) => {
                self.expect(gate, "EXIT", &code, "NOT_INSIDE").await?;
                self.expect(gate, "ENTRY", &code, "ADMITTED").await?;
                self.expect(gate, "EXIT", &code, "EXITED").await?;
                self.expect(gate, "ENTRY", &code, "ADMITTED").await?;
                self.ledger.count("went out and came back");
                Ok(())
            }
            Visitor::Revoked(code) => self.expect(gate, "ENTRY", &code, "REVOKED").await,
            Visitor::Void(code) => self.expect(gate, "ENTRY", &code, "CANCELED").await,
            Visitor::Forged(code) => self.expect(gate, "ENTRY", &code, "INVALID").await,
            Visitor::WrongShow(code) => {
                let answer = self.scan(gate, "ENTRY", &code, &self.stage.tomorrow).await?;
                self.check(&code, "WRONG_SHOW", &answer);
                self.expect(gate, "ENTRY", &code, "ADMITTED").await
            }
        }
    }

    async fn expect(&self, gate: usize, direction: &str, code: &str, wanted: &str) -> Result<()> {
        let answer = self.scan(gate, direction, code, &self.stage.show).await?;
        self.check(code, wanted, &answer);
        Ok(())
    }

    fn check(&self, code: &str, wanted: &str, answer: &str) {
        if answer != wanted {
            self.ledger.problem(format!("the code {code} got {answer}, not {wanted}"));
        }
    }

    /// The result, or the reason of a refusal.
    async fn scan(&self, gate: usize, direction: &str, code: &str, show: &str) -> Result<String> {
        let (name, scanner) = &self.stage.gates[gate];
        let number = self.asked.fetch_add(1, Ordering::Relaxed) as u64;
        let input = json!({
            "idempotencyKey": self.stage.key("scan", number), "show": show, "gate": name,
            "direction": direction, "code": code,
        });
        let begun = Instant::now();
        let payload = scanner.must(SCAN, input).await.context("a scan")?;
        self.ledger.answered(Kind::Scan, begun);
        if let Some(reason) = payload["reason"].as_str() {
            *self.ledger.told().scans_refused.entry(reason.to_owned()).or_default() += 1;
            return Ok(reason.to_owned());
        }
        Ok(payload["result"].as_str().context("a scan has a result")?.to_owned())
    }
}

/// Guests, and among them those who should not come in.
fn line_up(ledger: &Ledger, dice: &mut Dice) -> Vec<Visitor> {
    let told = ledger.told();
    let mut queue = Vec::new();
    for (at, holder) in told.tickets.iter().enumerate() {
        let code = holder.code.clone();
        // The first ones are of each kind, so that even a small hall sees all of them.
        let roll = if at < 4 { at } else { dice.below(100) };
        queue.push(match roll {
            0 => Visitor::Copied(code),
            1 => Visitor::Repeats(code),
            2 => Visitor::Smokes(code),
            3 => Visitor::WrongShow(code),
            4..7 => Visitor::Copied(code),
            7..9 => Visitor::Repeats(code),
            _ => Visitor::Guest(code),
        });
        if at % 50 == 0 {
            queue.push(Visitor::Forged(forged(&holder.code, dice)));
        }
    }
    queue.push(Visitor::Forged("T1.NOSUCHCODE".to_owned()));
    queue.push(Visitor::Forged("https://example.invalid/ticket?id=42".to_owned()));
    queue.extend(told.revoked.iter().cloned().map(Visitor::Revoked));
    queue.extend(told.void.iter().cloned().map(Visitor::Void));
    dice.shuffle(&mut queue);
    queue
}

/// The same code with one character changed.
fn forged(code: &str, dice: &mut Dice) -> String {
    let mut characters: Vec<char> = code.chars().collect();
    // Not the last one: some of its bits carry nothing.
    let at = 3 + dice.below(characters.len().saturating_sub(4));
    if let Some(character) = characters.get_mut(at) {
        *character = if *character == 'A' { 'B' } else { 'A' };
    }
    characters.into_iter().collect()
}

const SCAN: &str = "mutation($input: ScanTicketInput!) { scanTicket(input: $input) {
    result reason userErrors { code message field } } }";
const REFUND: &str = "mutation($input: RefundOrderInput!) { refundOrder(input: $input) {
    userErrors { code message field } } }";
const CANCEL: &str = "mutation($input: CancelOrderInput!) { cancelOrder(input: $input) {
    settled userErrors { code message field } } }";
