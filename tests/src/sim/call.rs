//! What somebody asks a process, and what comes back.

use std::sync::Arc;

use hakken_commands::{
    desk::{Desk, DeskError, PlaceOrder, ScanRequest},
    engine::{Asker, CommandError, Receipt},
};
use hakken_domain::{
    Command,
    envelope::{Fingerprint, Position, StoredEvent, StreamId},
    inventory::SalesRules,
    money::Currency,
    names::{ActorRef, CommandKey, OrderId, OrganizerId, Reason, ShowId, TicketId},
    order::{self, Payment},
    ticket::Channel,
};

use crate::scenario::{desk_refusal, refusal};

/// What is wanted.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Ask(StreamId, Box<Command>),
    OpenSales(ShowId, SalesRules),
    CallOff(ShowId, Reason),
    PlaceOrder(OrderId, PlaceOrder),
    Pay {
        order: OrderId,
        payments: Vec<Payment>,
        currency: Currency,
        partial: bool,
    },
    Cancel(OrderId, order::Command),
    Issue(TicketId, Channel),
    Reissue(TicketId, Channel, Reason),
    Scan(ScanRequest),
    /// Looks at the live code of a ticket.
    Code(TicketId, ShowId),
}

/// What must come back, whatever the weather: this, or trouble.
#[derive(Debug, Clone)]
pub(super) enum Expectation {
    /// Whatever the rules say.
    Anything,
    /// What the first call with the same key brought about.
    Same(Vec<Arc<StoredEvent>>),
    /// `key_reused`
    KeyReused,
    /// Nothing of somebody else's changes.
    NothingHappens,
}

/// A call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) organizer: OrganizerId,
    pub(super) key: String,
    pub(super) fingerprint: u64,
    pub(super) wish: Wish,
    pub(super) expectation: Expectation,
}

/// What comes back.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// These events, durable.
    Done(Receipt),
    /// A ticket's code.
    Code(TicketId, ShowId, String),
    /// The rules say no, in their words.
    Refused(String),
    /// It is not known, or it is to be tried again.
    Trouble(&'static str),
    /// Whoever asked did not wait for the answer.
    NotAwaited,
    /// The process died before it answered.
    Died,
}

impl Answer {
    /// In a word or two.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Done(receipt) => match (receipt.events.first(), receipt.repeated) {
                (Some(event), false) => event.kind.to_string(),
                (Some(event), true) => format!("{} again", event.kind),
                (None, _) => "so already".to_owned(),
            },
            Self::Code(..) => "a code".to_owned(),
            Self::Refused(code) => code.clone(),
            Self::Trouble(what) => (*what).to_owned(),
            Self::NotAwaited => "not awaited".to_owned(),
            Self::Died => "the process died".to_owned(),
        }
    }

    /// Read models that have come this far show it.
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Self::Done(receipt) => Some(receipt.position),
            Self::Code(..)
            | Self::Refused(_)
            | Self::Trouble(_)
            | Self::NotAwaited
            | Self::Died => None,
        }
    }

    fn of(result: Result<Receipt, CommandError>) -> Self {
        match result {
            Ok(receipt) => Self::Done(receipt),
            Err(CommandError::Rejected(rejection)) => Self::Refused(refusal(&rejection)),
            Err(CommandError::KeyReused) => Self::Refused("key_reused".to_owned()),
            Err(CommandError::NotYours) => Self::Refused("not_yours".to_owned()),
            Err(CommandError::Busy) => Self::Trouble("busy"),
            Err(CommandError::Contended { .. }) => Self::Trouble("contended"),
            Err(CommandError::Unavailable) => Self::Trouble("unavailable"),
        }
    }

    fn of_desk(result: Result<Receipt, DeskError>) -> Self {
        match result {
            Ok(receipt) => Self::Done(receipt),
            Err(DeskError::Command(error)) => Self::of(Err(error)),
            Err(DeskError::Refused(rejection)) => Self::Refused(desk_refusal(&rejection)),
        }
    }
}

impl Call {
    fn asker(&self) -> Asker {
        Asker {
            organizer: Some(self.organizer),
            actor: ActorRef::new("key:simulation").expect("a good name"),
            key: Some((
                CommandKey::new(&self.key).expect("a good key"),
                Fingerprint(self.fingerprint),
            )),
            cause: None,
            correlation: None,
        }
    }

    /// Asks a process.
    pub(super) async fn give(&self, desk: &Desk) -> Answer {
        let asker = self.asker();
        match self.wish.clone() {
            Wish::Ask(stream, command) => Answer::of(desk.ask(asker, stream, *command).await),
            Wish::OpenSales(show, rules) => {
                Answer::of_desk(desk.open_sales(asker, show, rules).await)
            }
            Wish::CallOff(show, reason) => Answer::of(desk.cancel_show(asker, show, reason).await),
            Wish::PlaceOrder(order, wanted) => {
                Answer::of_desk(desk.place_order(asker, order, wanted).await)
            }
            Wish::Pay { order, payments, currency, partial } => {
                let paid = desk.pay(asker, order, payments, currency, partial).await;
                Answer::of(paid.map(|(receipt, _)| receipt))
            }
            Wish::Cancel(order, command) => {
                let cancelled = desk.cancel(asker, order, command).await;
                Answer::of(cancelled.map(|(receipt, _)| receipt))
            }
            Wish::Issue(ticket, channel) => {
                Answer::of_desk(desk.issue_ticket(asker, ticket, channel).await)
            }
            Wish::Reissue(ticket, channel, reason) => {
                Answer::of_desk(desk.reissue_ticket(asker, ticket, channel, reason).await)
            }
            Wish::Scan(scan) => {
                Answer::of_desk(desk.scan(asker, scan).await.map(|scanned| scanned.receipt))
            }
            Wish::Code(ticket, show) => match desk.code_of(&asker, ticket).await {
                Ok(code) => Answer::Code(ticket, show, code),
                Err(error) => Answer::of_desk(Err(error)),
            },
        }
    }

    /// Says what is wrong with an answer.
    pub(super) fn judge(&self, answer: &Answer) -> Result<(), String> {
        let wrong = || Err(format!("{} {} was answered {}", self.name, self.key, answer.word()));
        match (&self.expectation, answer) {
            (_, Answer::Trouble(_) | Answer::NotAwaited | Answer::Died)
            | (Expectation::Anything, _) => Ok(()),
            (Expectation::Same(before), Answer::Done(receipt)) => {
                if receipt.events == *before && receipt.repeated { Ok(()) } else { wrong() }
            }
            (Expectation::KeyReused, Answer::Refused(code)) if code == "key_reused" => Ok(()),
            (Expectation::NothingHappens, Answer::Refused(_) | Answer::Code(..)) => Ok(()),
            (Expectation::NothingHappens, Answer::Done(receipt)) => {
                // At its own gates, and of its own tickets, whatever is tried is recorded.
                let is_refused = |kind: &str| kind == "code-refused" || kind == "scan-refused";
                let only_refused = receipt.events.iter().all(|event| is_refused(&event.kind));
                if only_refused { Ok(()) } else { wrong() }
            }
            (Expectation::Same(_) | Expectation::KeyReused, _) => wrong(),
        }
    }
}
