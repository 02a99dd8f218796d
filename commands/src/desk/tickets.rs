//! Issuing tickets, their codes, and scanning them.

use hakken_domain::{
    Rejection, State,
    code::{self, CodeSecret},
    envelope::StreamId,
    gate,
    names::{GateName, OrganizerId, Reason, ShowId, TicketId},
    ticket::{self, Channel, Direction, ScanRefusal},
};
use sha2::{Digest, Sha256};

use super::{Desk, DeskError, DeskRejection};
use crate::engine::{Asker, CommandError, Receipt, Tenant};

/// A code was read at a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRequest {
    /// The show that the gate belongs to.
    pub show: ShowId,
    /// Where.
    pub gate: GateName,
    /// Which way.
    pub direction: Direction,
    /// What was read.
    pub code: String,
}

/// What came of a scan.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// The recorded event: accepted or refused.
    pub receipt: Receipt,
    /// Of which ticket, if the code is one of ours.
    pub ticket: Option<TicketId>,
}

impl Desk {
    /// Gives a ticket's code out.
    pub async fn issue_ticket(
        &self,
        asker: Asker,
        ticket: TicketId,
        channel: Channel,
    ) -> Result<Receipt, DeskError> {
        let code_key = self.signing_key(&asker).await?;
        let command = ticket::Command::IssueTicket { code_key, channel };
        Ok(self.ask(asker, ticket, command).await?)
    }

    /// Gives a new code out; the old one is dead.
    pub async fn reissue_ticket(
        &self,
        asker: Asker,
        ticket: TicketId,
        channel: Channel,
        reason: Reason,
    ) -> Result<Receipt, DeskError> {
        let code_key = self.signing_key(&asker).await?;
        let command = ticket::Command::ReissueTicket { code_key, channel, reason };
        Ok(self.ask(asker, ticket, command).await?)
    }

    /// The live code of an issued ticket.
    pub async fn code_of(&self, asker: &Asker, ticket: TicketId) -> Result<String, DeskError> {
        let organizer = asker.organizer.ok_or(DeskRejection::OrganizerMissing)?;
        let known = self.engine.read(Tenant::Of(Some(organizer)), ticket, |state, _| {
            let State::Ticket(ticket) = state else { unreachable!("a ticket's stream") };
            let show = ticket.created()?.show;
            Some((show, ticket.code_key(), ticket.generation()))
        });
        let (show, code_key, generation) = match known.await {
            Ok(found) => found.ok_or(DeskRejection::TicketUnknown)?,
            Err(CommandError::NotYours) => return Err(DeskRejection::TicketUnknown.into()),
            Err(error) => return Err(error.into()),
        };
        let code_key = code_key.ok_or(DeskRejection::TicketNotIssued)?;
        Ok(self.sign_code(organizer, code_key, ticket, show, generation))
    }

    /// The code of a ticket of this generation. Whoever asks has seen that the ticket is the
    /// organizer's.
    pub fn sign_code(
        &self,
        organizer: OrganizerId,
        code_key: u8,
        ticket: TicketId,
        show: ShowId,
        generation: u16,
    ) -> String {
        let secret = self.code_secret(organizer, code_key);
        code::sign(&secret, code_key, ticket, show, generation)
    }

    /// Records a scan. What is refused is recorded too: look into the receipt's event.
    pub async fn scan(&self, asker: Asker, scan: ScanRequest) -> Result<Scanned, DeskError> {
        let organizer = asker.organizer.ok_or(DeskRejection::OrganizerMissing)?;
        let code = scan.code.trim();
        // Whether its key is still good is the ticket's to judge, so that one stream alone
        // answers a scan and remembers it.
        let Some((content, key_enabled)) = self.read_code(organizer, code).await? else {
            return self.refuse_code(asker, &scan, code).await;
        };
        let command = ticket::Command::Scan {
            show: scan.show,
            gate: scan.gate.clone(),
            direction: scan.direction,
            generation: content.generation,
            key_disabled: !key_enabled,
        };
        match self.ask(asker.clone(), content.ticket, command).await {
            Ok(receipt) => Ok(Scanned { receipt, ticket: Some(content.ticket) }),
            // A code that we signed for a ticket that is not there, or not yet given out: of a
            // history that was rolled back, say. To the gate it is as good as forged.
            Err(CommandError::NotYours | CommandError::Rejected(Rejection::Ticket(_))) => {
                self.refuse_code(asker, &scan, code).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn refuse_code(
        &self,
        asker: Asker,
        scan: &ScanRequest,
        code: &str,
    ) -> Result<Scanned, DeskError> {
        self.own_show(&asker, scan.show).await?;
        let digest = Sha256::digest(code.as_bytes());
        let refused = gate::CodeRefused {
            gate: scan.gate.clone(),
            direction: scan.direction,
            reason: ScanRefusal::Invalid,
            code_digest: digest[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let stream = StreamId::gate(scan.show);
        let receipt = self.ask(asker, stream, gate::Command::RefuseCode(refused)).await?;
        Ok(Scanned { receipt, ticket: None })
    }

    /// Nobody writes at the gates of a show that is another organizer's.
    async fn own_show(&self, asker: &Asker, show: ShowId) -> Result<(), DeskError> {
        let tenant = Tenant::Of(asker.organizer);
        let stream = StreamId::show(show);
        match self.engine.read(tenant, stream, |_, version| version > 0).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(CommandError::NotYours) => Err(DeskRejection::ShowUnknown(show).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// What a code says, if the organizer signed it, and whether its key is still good.
    async fn read_code(
        &self,
        organizer: OrganizerId,
        code: &str,
    ) -> Result<Option<(code::CodeContent, bool)>, CommandError> {
        let mut named = None;
        // Which key a code names is known only once it is read; its signature is not looked at
        // in this first pass.
        let _ = code::verify(code, |key| {
            named = Some(key);
            None
        });
        let Some(code_key) = named else { return Ok(None) };
        let enabled = self
            .engine
            .read(Tenant::Any, organizer, move |state, _| {
                let State::Organizer(organizer) = state else { unreachable!("its stream") };
                organizer.may_verify(code_key)
            })
            .await?;
        let content = code::verify(code, |key| Some(self.code_secret(organizer, key)));
        Ok(content.ok().map(|content| (content, enabled)))
    }

    fn code_secret(&self, organizer: OrganizerId, code_key: u8) -> CodeSecret {
        CodeSecret::derive(&self.secret.0, organizer, code_key)
    }

    async fn signing_key(&self, asker: &Asker) -> Result<u8, DeskError> {
        let organizer = asker.organizer.ok_or(DeskRejection::OrganizerMissing)?;
        let key = self
            .engine
            .read(Tenant::Any, organizer, |state, _| {
                let State::Organizer(organizer) = state else { unreachable!("its stream") };
                organizer.signing_key()
            })
            .await?;
        key.ok_or_else(|| DeskRejection::OrganizerMissing.into())
    }
}
