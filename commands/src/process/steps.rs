//! The commands with which a process answers one event.

use hakken_domain::{
    Command, Rejection, State,
    envelope::{Fingerprint, Metadata, StoredEvent, StreamId},
    names::{ActorRef, CommandKey, OrganizerId},
};

use super::Retry;
use crate::engine::{Asker, CommandError, Engine, Receipt, Request, Tenant};

/// Sends commands whose keys are derived from the event.
pub(super) struct Steps<'a> {
    pub(super) engine: &'a Engine,
    pub(super) event: &'a StoredEvent,
    pub(super) process: &'static str,
}

impl Steps<'_> {
    /// Whose event it is.
    pub(super) fn organizer(&self) -> Option<OrganizerId> {
        self.meta().organizer
    }

    fn meta(&self) -> &Metadata {
        &self.event.decoded().expect("a process answers only what it understands").meta
    }

    /// Sends a command. A refusal by the rules is an answer; whatever else went wrong lets the
    /// event be answered again.
    pub(super) async fn send(
        &self,
        step: &str,
        stream: StreamId,
        command: impl Into<Command>,
    ) -> Result<Result<Receipt, Rejection>, Retry> {
        self.request(step, stream, command.into(), false).await
    }

    /// The same, for a stream that is probably new.
    pub(super) async fn create(
        &self,
        step: &str,
        stream: StreamId,
        command: impl Into<Command>,
    ) -> Result<Result<Receipt, Rejection>, Retry> {
        self.request(step, stream, command.into(), true).await
    }

    async fn request(
        &self,
        step: &str,
        stream: StreamId,
        command: Command,
        creates: bool,
    ) -> Result<Result<Receipt, Rejection>, Retry> {
        let meta = self.meta();
        let key = format!("{}:{}:{step}", self.process, self.event.id);
        let fingerprint = Fingerprint::of(key.as_bytes());
        let key = CommandKey::new(&key).expect("steps have short names");
        let actor = ActorRef::new(&format!("system:{}", self.process)).expect("a good name");
        let asker = Asker {
            organizer: meta.organizer,
            actor,
            key: Some((key, fingerprint)),
            cause: Some(self.event.id),
            correlation: Some(meta.correlation.unwrap_or(self.event.id)),
        };
        match self.engine.execute(Request { stream, command, asker, creates }).await {
            Ok(receipt) => Ok(Ok(receipt)),
            Err(CommandError::Rejected(rejection)) => Ok(Err(rejection)),
            Err(error) => Err(Retry(format!("{step} on {stream}: {error}"))),
        }
    }

    /// Looks at a stream.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        stream: StreamId,
        mut question: impl FnMut(&State) -> R + Send + 'static,
    ) -> Result<R, Retry> {
        self.engine
            .read(Tenant::Any, stream, move |state, _| question(state))
            .await
            .map_err(|error| Retry(format!("reading {stream}: {error}")))
    }
}
