//! Issuing tickets and scanning them.

use async_graphql::{Context, Enum, ID, InputObject, Object};
use hakken_commands::{
    desk::{DeskError, ScanRequest},
    engine::Receipt,
};
use hakken_domain::{
    Event,
    envelope::StreamId,
    gate,
    names::{ShowId, TicketId},
    ticket,
};

use super::command::{Ask, Stop, carry_out, payload};
use crate::{
    auth::Right,
    faults::Fault,
    schema::{context::Answer, load, types::Ticket},
};

/// How a ticket reaches its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "ticket::Channel")]
pub enum Channel {
    /// By itself, or over the web.
    Online,
    /// At a counter.
    BoxOffice,
    /// At a convenience store's terminal.
    ConvenienceStore,
}

/// Which ticket `issueTicket` gives out.
#[derive(Debug, InputObject)]
pub struct IssueTicketInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which ticket: `ticket_01J…`.
    ticket: ID,
    /// Where it is given out.
    #[graphql(default_with = "Channel::Online")]
    channel: Channel,
}

payload! {
    /// What came of `issueTicket`.
    IssueTicketPayload {
        /// The ticket, with its code.
        ticket: Ticket,
    }
}

/// Which ticket `reissueTicket` gives out again.
#[derive(Debug, InputObject)]
pub struct ReissueTicketInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which ticket: `ticket_01J…`.
    ticket: ID,
    /// Where it is given out.
    #[graphql(default_with = "Channel::BoxOffice")]
    channel: Channel,
    /// Why, in words that the audit log keeps: `rain`.
    reason: String,
}

payload! {
    /// What came of `reissueTicket`.
    ReissueTicketPayload {
        /// The ticket, with its new code. The old one is refused as `REVOKED`.
        ticket: Ticket,
    }
}

/// Which way somebody wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "ticket::Direction")]
pub enum Direction {
    /// Somebody wants to come in.
    Entry,
    /// Somebody wants to go out.
    Exit,
}

/// What came of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ScanResult {
    /// Let them in.
    Admitted,
    /// Let them out.
    Exited,
    /// Do not let them through: `reason` says why.
    Refused,
}

/// Why a scan was refused, in the words that the field uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "ticket::ScanRefusal")]
pub enum ScanRefusal {
    /// The code is none of ours: forged, damaged, or of another organizer.
    Invalid,
    /// The ticket is cancelled.
    Canceled,
    /// The ticket was issued again, and this is an older code.
    Revoked,
    /// The ticket is for another show.
    WrongShow,
    /// The payment was taken back.
    Unpaid,
    /// Too early or too late.
    InvalidTime,
    /// Somebody came in with it already.
    AlreadyRedeemed,
    /// Nobody is inside with it, so nobody can go out.
    NotInside,
}

/// A code that was read at a gate.
#[derive(Debug, InputObject)]
pub struct ScanTicketInput {
    /// Makes it safe to send the request again when the answer was lost. A fresh key for each
    /// reading of a code: the same code read again is another scan. `gate-2-000817`, say.
    idempotency_key: Option<String>,
    /// The show that the gate belongs to: `show_01J…`.
    show: ID,
    /// Where it was read: `north`.
    gate: String,
    /// Which way somebody wants to go.
    #[graphql(default_with = "Direction::Entry")]
    direction: Direction,
    /// What was read: `T1.AEAY…`.
    code: String,
}

payload! {
    /// What came of `scanTicket`. A refused scan is a result, not an error: it is recorded too.
    ScanTicketPayload {
        /// Whether to let them through.
        result: ScanResult,
        /// Why not, if not.
        reason: ScanRefusal,
        /// What the ticket is for; null if the code belongs to none.
        ticket: Ticket,
    }
}

#[derive(Default)]
pub(super) struct TicketsMutation;

#[Object]
impl TicketsMutation {
    /// Gives a ticket's code out (発券), where its show issues on request. Needs the role
    /// ORGANIZER or BOX_OFFICE.
    async fn issue_ticket(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: IssueTicketInput,
    ) -> Answer<IssueTicketPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let id: TicketId = ask.id("ticket", &input.ticket)?;
            let asker = ask.asker(Some(ask.organizer()?));
            let desk = ask.asked.api.write.desk();
            let outcome = desk.issue_ticket(asker, id, input.channel.into()).await;
            let (ticket, receipt) = issued(&ask, id, outcome).await?;
            Ok(IssueTicketPayload::done((&receipt).into(), ticket))
        })
        .await
    }

    /// Gives a new code out after loss (再発行); the old one is dead. Needs the role ORGANIZER or
    /// BOX_OFFICE.
    async fn reissue_ticket(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ReissueTicketInput,
    ) -> Answer<ReissueTicketPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let id: TicketId = ask.id("ticket", &input.ticket)?;
            let reason = ask.read("reason", &input.reason)?;
            let asker = ask.asker(Some(ask.organizer()?));
            let desk = ask.asked.api.write.desk();
            let outcome = desk.reissue_ticket(asker, id, input.channel.into(), reason).await;
            let (ticket, receipt) = issued(&ask, id, outcome).await?;
            Ok(ReissueTicketPayload::done((&receipt).into(), ticket))
        })
        .await
    }

    /// Records that a code was read at a gate, and says whether to let its holder through. Needs
    /// the role GATE or ORGANIZER.
    async fn scan_ticket(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ScanTicketInput,
    ) -> Answer<ScanTicketPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Scan, key, |ask| scan(ask, input)).await
    }
}

async fn issued(
    ask: &Ask<'_>,
    ticket: TicketId,
    outcome: Result<Receipt, DeskError>,
) -> Result<(Option<Ticket>, Receipt), Stop> {
    let receipt = ask.desk(ticket, outcome)?;
    let ticket = load::ticket(ask.asked.api, Some(ask.organizer()?), ticket).await?;
    Ok((ticket, receipt))
}

async fn scan(ask: Ask<'_>, input: ScanTicketInput) -> Result<ScanTicketPayload, Stop> {
    let show: ShowId = ask.id("show", &input.show)?;
    let organizer = ask.organizer()?;
    let request = ScanRequest {
        show,
        gate: ask.read("gate", &input.gate)?,
        direction: input.direction.into(),
        code: input.code,
    };
    let desk = ask.asked.api.write.desk();
    let outcome = desk.scan(ask.asker(Some(organizer)), request).await;
    let scanned = ask.desk(StreamId::show(show), outcome)?;
    let (result, reason) = verdict(&scanned.receipt)?;
    let ticket = match scanned.ticket {
        Some(ticket) => load::ticket(ask.asked.api, Some(organizer), ticket).await?,
        None => None,
    };
    Ok(ScanTicketPayload::done((&scanned.receipt).into(), result, reason, ticket))
}

/// What the recorded event says.
fn verdict(receipt: &Receipt) -> Result<(ScanResult, Option<ScanRefusal>), Stop> {
    let events = receipt.events.iter().rev();
    let verdict = events.filter_map(|stored| stored.decoded().ok()).find_map(|decoded| {
        Some(match &decoded.event {
            Event::Ticket(ticket::Event::TicketEntered(_)) => (ScanResult::Admitted, None),
            Event::Ticket(ticket::Event::TicketExited(_)) => (ScanResult::Exited, None),
            Event::Ticket(ticket::Event::ScanRefused(refused)) => {
                (ScanResult::Refused, Some(refused.reason.into()))
            }
            Event::Gate(gate::Event::CodeRefused(refused)) => {
                (ScanResult::Refused, Some(refused.reason.into()))
            }
            _ => return None,
        })
    });
    verdict.ok_or_else(|| Fault::Internal("a scan left no trace".to_owned()).into())
}
