//! Calls: one client at a time, made anew whenever it may be of no use any more.
//!
//! The client of the crate `eventstore` has faults that are lived with here:
//! - After one connection that failed it answers «connection closed» for ever, and after a fault
//!   of the node it asks the same node again: it is thrown away after both, and the next call
//!   makes another one, which looks for the leader afresh.
//! - It sends deadlines to the server and does not keep them itself: every call has one here.
//! - Its task panics before the first connection if another part of the program has installed a
//!   TLS provider, or if the machine's certificates cannot be read: a first call that finds the
//!   task gone is told as what it is.
//! - Its batch session ends with the first refusal, and tells nobody who was refused: unary
//!   appends are used.
//! - A subscription that the server ends in good order spins in it for ever, and blocks its
//!   thread: $all is read instead.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eventstore::{Client, Error};
use futures_util::future::BoxFuture;
use hakken_commands::store::StoreError;
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use crate::fault::unavailable;

/// How much longer than the server's deadline a call may take: the server gives up first.
const GRACE: f64 = 1.25;

/// How long a server that cannot be reached is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so many nodes that are not the leader, the cluster is asked who is.
const FOLLOWED: u32 = 3;

/// Result codes of gRPC, <https://grpc.io/docs/guides/status-codes/>.
const CANCELLED: i32 = 1;
const RESOURCE_EXHAUSTED: i32 = 8;
const ABORTED: i32 = 10;

/// What a failed call means for who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It was not sent.
    NotSent,
    /// The node is not the leader, did nothing, and said who is.
    NotLeader,
    /// It may have been carried out, or not.
    Unknown,
    /// The server refused it, and will again.
    Refused,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// No answer in time.
    #[error("EventStoreDB did not answer in time")]
    Late,
    /// What the client says.
    #[error("EventStoreDB: {0}")]
    Client(#[from] Error),
    /// The client's task ended before it did anything.
    #[error(
        "the client of EventStoreDB ended at once. Its log says why: the machine's certificates cannot be read, or another part of this program installed a TLS provider before it"
    )]
    Stillborn,
}

impl Fault {
    /// The server answered, and will answer the same again.
    pub(super) fn is_refused(&self) -> bool {
        self.verdict() == Verdict::Refused
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Late => Verdict::Unknown,
            Self::Stillborn => Verdict::Refused,
            Self::Client(error) => match error {
                Error::ConnectionClosed | Error::GrpcConnectionError(_) => Verdict::NotSent,
                Error::NotLeaderException(_) => Verdict::NotLeader,
                Error::ServerError(_) | Error::DeadlineExceeded => Verdict::Unknown,
                Error::Grpc { code, .. }
                    if [CANCELLED, RESOURCE_EXHAUSTED, ABORTED].contains(&i32::from(*code)) =>
                {
                    Verdict::Unknown
                }
                _ => Verdict::Refused,
            },
        }
    }
}

/// The client, and how many there were before it.
#[derive(Default)]
struct Place {
    client: Option<Client>,
    generation: u64,
    /// One of the clients has done something.
    alive: bool,
}

/// The way to the server.
pub(super) struct Link {
    address: Address,
    place: Mutex<Place>,
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn new(address: Address) -> Self {
        Self { address, place: Mutex::default() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<(Client, u64), Error> {
        let mut place = self.place();
        if let Some(client) = &place.client {
            return Ok((client.clone(), place.generation));
        }
        let client = Client::new(self.address.settings.clone())?;
        place.client = Some(client.clone());
        Ok((client, place.generation))
    }

    /// Throws a client away, unless somebody else has.
    fn renew(&self, generation: u64) {
        let mut place = self.place();
        if place.generation == generation {
            place.client = None;
            place.generation += 1;
        }
    }

    /// Asks once.
    async fn once<T>(
        &self,
        question: impl FnOnce(Client) -> BoxFuture<'static, Result<T, Error>>,
    ) -> (Result<T, Fault>, u64) {
        let (client, generation) = match self.client() {
            Ok(client) => client,
            Err(error) => return (Err(error.into()), self.place().generation),
        };
        let answer = match timeout(self.address.deadline.mul_f64(GRACE), question(client)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Error::ConnectionClosed)) if !self.place().alive => Err(Fault::Stillborn),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Fault::Late),
        };
        if !matches!(answer, Err(Fault::Stillborn)) {
            self.place().alive = true;
        }
        (answer, generation)
    }

    /// Asks what may be asked twice: again, for some seconds, while the fault may pass.
    pub(super) async fn ask<T>(
        &self,
        question: impl Fn(Client) -> BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, Fault> {
        self.insist(question, |verdict| verdict != Verdict::Refused).await
    }

    /// Asks what must not be done twice: again only while nothing can have been done.
    pub(super) async fn ask_once<T>(
        &self,
        question: impl Fn(Client) -> BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, Fault> {
        self.insist(question, |verdict| matches!(verdict, Verdict::NotSent | Verdict::NotLeader))
            .await
    }

    async fn insist<T>(
        &self,
        question: impl Fn(Client) -> BoxFuture<'static, Result<T, Error>>,
        may_pass: impl Fn(Verdict) -> bool,
    ) -> Result<T, Fault> {
        let since = Instant::now();
        let mut pause = Duration::from_millis(5);
        let mut followed = 0;
        loop {
            let (answer, generation) = self.once(&question).await;
            let fault = match answer {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let verdict = fault.verdict();
            match verdict {
                // The client goes to the node that it was told of, by itself.
                Verdict::NotLeader if followed < FOLLOWED => followed += 1,
                Verdict::Refused => {}
                _ => self.renew(generation),
            }
            if !may_pass(verdict) || since.elapsed() > PATIENCE {
                return Err(fault);
            }
            tracing::debug!(error = %fault, "EventStoreDB is asked again");
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }
}

pub(super) fn failed(fault: Fault) -> StoreError {
    unavailable(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_sent_or_not_done_may_be_sent_again() {
        let closed = Fault::from(Error::ConnectionClosed);
        assert_eq!(closed.verdict(), Verdict::NotSent);
        assert_eq!(Fault::from(Error::ServerError(String::new())).verdict(), Verdict::Unknown);
        assert_eq!(Fault::from(Error::DeadlineExceeded).verdict(), Verdict::Unknown);
        assert_eq!(Fault::Late.verdict(), Verdict::Unknown);
        assert_eq!(Fault::from(Error::AccessDenied).verdict(), Verdict::Refused);
        assert_eq!(Fault::Stillborn.verdict(), Verdict::Refused);
    }
}
