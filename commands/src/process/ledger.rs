//! What of a long history is answered already, as its own events tell.
//!
//! A process whose checkpoint is lost (the store was restored or copied, or its directory cleared
//! of what is derived) would answer everything again. That changes nothing, but who pays meanwhile
//! waits behind all of it. So a process that is far behind reads to the end first, without asking
//! anybody, and then answers only what no later event proves answered.

use std::collections::{HashMap, HashSet};

use hakken_domain::{
    Event,
    envelope::{Position, StoredEvent},
    inventory,
    names::{EventId, RefundId},
    order, ticket,
};

/// Gathers what is not answered yet. In doubt an event is unanswered: answering it again changes
/// nothing.
pub trait Ledger: Send {
    /// Takes the next event.
    fn note(&mut self, event: &StoredEvent);

    /// The events that the process concerns itself with and that no event proves answered.
    fn open(self: Box<Self>) -> HashSet<Position>;
}

/// Of the checkout: paid orders whose tickets are all made, and cancellations that are complete.
#[derive(Default)]
pub(super) struct CheckoutLedger {
    /// By the event that is to be answered, which every step names as its cause.
    asked: HashMap<EventId, Asked>,
    /// What is too rare to be followed up.
    others: HashSet<Position>,
}

struct Asked {
    at: Position,
    /// Places sold to the order in answer to the event, each of which gets a ticket.
    places: u64,
    confirmed: bool,
    created: u64,
    /// Tickets made that are to be issued at once and are not yet.
    to_issue: usize,
}

impl CheckoutLedger {
    fn ask(&mut self, event: &StoredEvent) {
        let asked =
            Asked { at: event.position, places: 0, confirmed: false, created: 0, to_issue: 0 };
        self.asked.insert(event.id, asked);
    }

    fn step(&mut self, cause: EventId, event: &Event) {
        use order::Event::{CancellationRefused, ItemsCancelled, OrderConfirmed, OrderUnfulfilled};
        let Some(asked) = self.asked.get_mut(&cause) else { return };
        match event {
            Event::Inventory(
                inventory::Event::HoldConfirmed(sold) | inventory::Event::OrderReseated(sold),
            ) => asked.places += sold.places.count(),
            Event::Order(OrderConfirmed(_)) => asked.confirmed = true,
            Event::Ticket(ticket::Event::TicketCreated(created)) => {
                asked.created += 1;
                asked.to_issue += usize::from(created.issue_until.is_none());
            }
            Event::Ticket(ticket::Event::TicketIssued(_)) => {
                asked.to_issue = asked.to_issue.saturating_sub(1);
            }
            Event::Order(OrderUnfulfilled(_) | ItemsCancelled(_) | CancellationRefused(_)) => {
                self.asked.remove(&cause);
                return;
            }
            _ => return,
        }
        if asked.confirmed && asked.created == asked.places && asked.to_issue == 0 {
            self.asked.remove(&cause);
        }
    }
}

impl Ledger for CheckoutLedger {
    fn note(&mut self, event: &StoredEvent) {
        match &*event.kind {
            "order-paid" | "cancellation-requested" => self.ask(event),
            kind if super::checkout::concerns(kind) => {
                self.others.insert(event.position);
            }
            _ => {}
        }
        if self.asked.is_empty() || !is_step(&event.kind) {
            return;
        }
        // What cannot be read proves nothing.
        let Ok(decoded) = event.decoded() else { return };
        if let Some(cause) = decoded.meta.cause {
            self.step(cause, &decoded.event);
        }
    }

    fn open(self: Box<Self>) -> HashSet<Position> {
        let mut open = self.others;
        open.extend(self.asked.into_values().map(|asked| asked.at));
        open
    }
}

/// Can an event of this kind prove something? Nothing else is decoded.
fn is_step(kind: &str) -> bool {
    matches!(
        kind,
        "hold-confirmed"
            | "order-reseated"
            | "order-confirmed"
            | "order-unfulfilled"
            | "items-cancelled"
            | "cancellation-refused"
            | "ticket-created"
            | "ticket-issued"
    )
}

/// Of the refunds: those that are settled or have failed, whoever said so.
#[derive(Default)]
pub(super) struct RefundsLedger(HashMap<RefundId, Position>);

impl Ledger for RefundsLedger {
    fn note(&mut self, event: &StoredEvent) {
        use order::Event::{RefundFailed, RefundRequested, RefundSettled};
        if !matches!(&*event.kind, "refund-requested" | "refund-settled" | "refund-failed") {
            return;
        }
        match event.decoded().map(|decoded| &decoded.event) {
            Ok(Event::Order(RefundRequested(asked))) => {
                self.0.insert(asked.refund, event.position);
            }
            Ok(Event::Order(RefundSettled(order::RefundSettled { refund, .. }))) => {
                self.0.remove(refund);
            }
            Ok(Event::Order(RefundFailed(order::RefundFailed { refund, .. }))) => {
                self.0.remove(refund);
            }
            _ => {}
        }
    }

    fn open(self: Box<Self>) -> HashSet<Position> {
        self.0.into_values().collect()
    }
}
