//! The desk: what a seller, a buyer or a gate asks for where one stream alone does not know
//! enough. It looks at other streams, builds the command, and lets one stream decide. Nothing it
//! has seen needs to be true still when the command is decided: whatever must be true at once is
//! a rule of that stream.

mod orders;
mod sales;
mod tickets;

use std::{sync::Arc, time::Duration};

use hakken_domain::{
    Command,
    envelope::StreamId,
    names::{HoldId, PoolId, SeatId, ShowId, TicketTypeId},
};

pub use orders::{Line, PlaceOrder, PlaceWish, Settled, TicketWish};
pub use tickets::{ScanRequest, Scanned};

use crate::{
    engine::{Asker, CommandError, Engine, Receipt, Request},
    process::ProcessHandle,
};

/// Why the desk did not even ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskRejection {
    /// No show has this id.
    ShowUnknown(ShowId),
    /// The show will not take place.
    ShowCancelled(ShowId),
    /// The show's venue is not there.
    VenueUnknown,
    /// No hold of this show has this id.
    HoldUnknown(HoldId),
    /// The hold is over: its time has passed, or it was given back.
    HoldOver(HoldId),
    /// The hold is sold already.
    HoldConfirmed(HoldId),
    /// The hold is another buyer's.
    BuyerDiffers(HoldId),
    /// The same hold twice in one order.
    HoldRepeated(HoldId),
    /// A ticket type is asked for a place that the hold does not have.
    PlaceNotHeld(HoldId, PlaceName),
    /// A place of the hold has no ticket type.
    TicketTypeMissing(HoldId, PlaceName),
    /// The ticket type is not offered for this place on these legs.
    TicketTypeNotOffered(TicketTypeId, PlaceName),
    /// The shows of one order must have one currency.
    CurrencyDiffers(ShowId),
    /// More than 100 places in one order.
    TooManyItems,
    /// No ticket has this id.
    TicketUnknown,
    /// Nobody has the ticket's code yet.
    TicketNotIssued,
    /// Only who belongs to an organizer can do this.
    OrganizerMissing,
}

/// A seat or a pool, to be named in a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceName {
    /// A numbered seat.
    Seat(SeatId),
    /// A pool.
    Pool(PoolId),
}

/// Why something did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskError {
    /// The desk did not even ask.
    Refused(DeskRejection),
    /// It asked, and this is the answer.
    Command(CommandError),
}

impl From<CommandError> for DeskError {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<DeskRejection> for DeskError {
    fn from(rejection: DeskRejection) -> Self {
        Self::Refused(rejection)
    }
}

/// The secret of this engine, from which ticket codes and API keys are derived.
#[derive(Clone)]
pub struct EngineSecret(pub Arc<[u8; 32]>);

impl std::fmt::Debug for EngineSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EngineSecret(…)")
    }
}

/// The desk. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    engine: Engine,
    checkout: Arc<ProcessHandle>,
    secret: EngineSecret,
    patience: Duration,
}

impl Desk {
    /// A desk that waits for its checkout at most as long as `patience`.
    pub fn new(
        engine: Engine,
        checkout: Arc<ProcessHandle>,
        secret: EngineSecret,
        patience: Duration,
    ) -> Self {
        Self { engine, checkout, secret, patience }
    }

    /// The write loop.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Asks one stream.
    pub async fn ask(
        &self,
        asker: Asker,
        stream: impl Into<StreamId>,
        command: impl Into<Command>,
    ) -> Result<Receipt, CommandError> {
        let (stream, command) = (stream.into(), command.into());
        self.engine.execute(Request { stream, command, asker, creates: false }).await
    }

    /// Asks a stream that is probably new.
    pub async fn create(
        &self,
        asker: Asker,
        stream: impl Into<StreamId>,
        command: impl Into<Command>,
    ) -> Result<Receipt, CommandError> {
        let (stream, command) = (stream.into(), command.into());
        self.engine.execute(Request { stream, command, asker, creates: true }).await
    }

    /// What the desk refuses may have been granted to the same key before: then that answer
    /// stands.
    async fn unless_granted(
        &self,
        asker: Asker,
        stream: StreamId,
        rejection: DeskRejection,
    ) -> Result<Receipt, DeskError> {
        match self.engine.recall(stream, asker).await {
            Ok(Some(receipt)) => Ok(receipt),
            // To another organizer the stream is not there at all.
            Ok(None) | Err(CommandError::NotYours) => Err(rejection.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// A part of a command that needs a command of its own: its key is derived.
    fn part(asker: &Asker, part: &str) -> Asker {
        use hakken_domain::{envelope::Fingerprint, names::CommandKey};
        let key = asker.key.as_ref().map(|(key, Fingerprint(request))| {
            let derived =
                hakken_domain::names::derived_ulid(&["part", part, key.as_str()]).to_string();
            let key = CommandKey::new(&derived).expect("a ULID is a good key");
            (key, Fingerprint(*request))
        });
        Asker { key, ..asker.clone() }
    }
}
