//! Recorded events, and what is made of them for auditors.

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use hakken_domain::envelope::StoredEvent;
use hakken_projections::models::{
    audit_log,
    issuance_history::{self, IssuanceEntry},
    scans::ScanView,
};

use super::{Legs, Show, Ticket, order::linked_show};
use crate::{
    auth::Right,
    ids::GlobalId,
    schema::{
        context::{Answer, Asked, answer},
        mutations::{Channel, Direction, ScanRefusal},
        scalars::{DateTime, PositionScalar},
    },
};

/// A recorded fact. It never changes.
#[derive(Debug, Clone, SimpleObject)]
pub struct Event {
    /// Its global id: `event_…`.
    pub id: ID,
    /// Its place among all events.
    pub position: PositionScalar,
    /// When the store took it. Never earlier than that of the position before.
    pub recorded_at: DateTime,
    /// Its kind: `seats-held`, `ticket-issued`.
    pub kind: String,
    /// The schema version of its data.
    pub schema_version: u16,
    /// Its stream: a kind and a ULID, such as `inventory-01J…`.
    pub stream: String,
    /// Its place in the stream, from 1 without gaps.
    pub version: u64,
    /// The id of the organizer that it belongs to; null for what is the engine's own.
    pub organizer_id: Option<ID>,
    /// Who did it: `key:` and the ULID of an API key, or `system:` and a process.
    pub actor: String,
    /// The idempotency key of the request that brought it about.
    pub idempotency_key: Option<String>,
    /// The id of the event that a process answered with it.
    pub cause_id: Option<ID>,
    /// The id of the first event of the chain that led to it.
    pub correlation_id: Option<ID>,
    /// What happened, as JSON.
    pub data: Json<serde_json::Value>,
    /// The same, byte for byte as it is stored.
    pub raw: String,
}

fn json(raw: &str) -> Json<serde_json::Value> {
    Json(serde_json::from_str(raw).unwrap_or_default())
}

impl Event {
    /// None if what is stored cannot be read.
    pub(crate) fn from_stored(event: &StoredEvent) -> Option<Self> {
        let meta = &event.decoded().ok()?.meta;
        let raw = std::str::from_utf8(&event.data).ok()?.to_owned();
        Some(Self {
            id: event.id.global(),
            position: PositionScalar(event.position),
            recorded_at: DateTime(event.recorded_at),
            kind: event.kind.to_string(),
            schema_version: event.schema,
            stream: event.stream.to_string(),
            version: event.version,
            organizer_id: meta.organizer.map(GlobalId::global),
            actor: meta.actor.to_string(),
            idempotency_key: meta.key.as_ref().map(ToString::to_string),
            cause_id: meta.cause.map(GlobalId::global),
            correlation_id: meta.correlation.map(GlobalId::global),
            data: json(&raw),
            raw,
        })
    }
}

/// Who did anything, when, and what it was about (監査ログ).
#[derive(Debug, Clone, SimpleObject)]
pub struct AuditEntry {
    /// The event.
    pub event: Event,
    /// The id of the show that it is about; of an order over several shows, the one that was
    /// asked for or the first.
    pub show_id: Option<ID>,
    /// The id of the order that it is about.
    pub order_id: Option<ID>,
    /// The id of the ticket that it is about.
    pub ticket_id: Option<ID>,
}

impl From<audit_log::AuditEntry> for AuditEntry {
    fn from(entry: audit_log::AuditEntry) -> Self {
        Self {
            event: Event {
                id: entry.event.global(),
                position: PositionScalar(entry.position),
                recorded_at: DateTime(entry.recorded_at),
                kind: entry.kind,
                schema_version: entry.schema,
                stream: entry.stream.to_string(),
                version: entry.version,
                organizer_id: entry.organizer.map(GlobalId::global),
                actor: entry.actor.to_string(),
                idempotency_key: entry.key.map(|key| key.to_string()),
                cause_id: entry.cause.map(GlobalId::global),
                correlation_id: entry.correlation.map(GlobalId::global),
                data: json(&entry.data),
                raw: entry.data,
            },
            show_id: entry.show.map(GlobalId::global),
            order_id: entry.order.map(GlobalId::global),
            ticket_id: entry.ticket.map(GlobalId::global),
        }
    }
}

/// What was done with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "issuance_history::IssuanceAct")]
pub enum IssuanceAct {
    /// The right to enter came to be (未発券).
    Created,
    /// Its code was given out (発券).
    Issued,
    /// A new code was given out, the old one is dead (再発行).
    Reissued,
    /// No entry until it is paid again.
    Suspended,
    /// Paid again.
    Reinstated,
    /// The right to enter is gone (取消).
    Voided,
}

/// Who issued what, when (発券履歴).
#[derive(Debug, Clone)]
pub struct Issuance(IssuanceEntry);

impl From<IssuanceEntry> for Issuance {
    fn from(entry: IssuanceEntry) -> Self {
        Self(entry)
    }
}

/// Who issued what, when (発券履歴).
#[Object]
impl Issuance {
    /// The place of its event among all events.
    async fn position(&self) -> PositionScalar {
        PositionScalar(self.0.position)
    }

    /// When it was recorded.
    async fn recorded_at(&self) -> DateTime {
        DateTime(self.0.recorded_at)
    }

    /// Who did it: `key:` and the ULID of an API key, or `system:` and a process.
    async fn actor(&self) -> &str {
        self.0.actor.as_str()
    }

    /// What was done.
    async fn act(&self) -> IssuanceAct {
        self.0.act.into()
    }

    /// The id of the ticket.
    async fn ticket_id(&self) -> ID {
        self.0.ticket.global()
    }

    /// The id of its order.
    async fn order_id(&self) -> ID {
        self.0.issued_for.order.global()
    }

    /// The id of its show.
    async fn show_id(&self) -> ID {
        self.0.issued_for.show.global()
    }

    /// Which item of the order it is.
    async fn item(&self) -> u16 {
        self.0.issued_for.item
    }

    /// The numbered seat; null for a place of a pool.
    async fn seat(&self) -> Option<&str> {
        self.0.issued_for.seat.as_ref().map(|seat| seat.as_str())
    }

    /// The pool; null for a numbered seat.
    async fn pool(&self) -> Option<&str> {
        self.0.issued_for.pool.as_ref().map(|pool| pool.as_str())
    }

    /// On these legs of the show.
    async fn legs(&self) -> Legs {
        self.0.issued_for.legs.into()
    }

    /// As what.
    async fn ticket_type(&self) -> &str {
        self.0.issued_for.ticket_type.as_str()
    }

    /// Whose order it is, as the integrator knows them.
    async fn buyer(&self) -> &str {
        self.0.issued_for.buyer.as_str()
    }

    /// Which of the ticket's codes was the live one afterwards; 0 before the first.
    async fn generation(&self) -> u16 {
        self.0.issued_for.generation
    }

    /// Where a code was given out; null if none was.
    async fn channel(&self) -> Option<Channel> {
        self.0.channel.map(Into::into)
    }
}

/// A code that was read at a gate (検札).
#[derive(Debug, Clone)]
pub struct Scan(ScanView);

impl From<ScanView> for Scan {
    fn from(view: ScanView) -> Self {
        Self(view)
    }
}

/// A code that was read at a gate (検札).
#[Object]
impl Scan {
    /// The place of its event among all events.
    async fn position(&self) -> PositionScalar {
        PositionScalar(self.0.position)
    }

    /// When it was recorded.
    async fn recorded_at(&self) -> DateTime {
        DateTime(self.0.recorded_at)
    }

    /// Who scanned: `key:` and the ULID of an API key.
    async fn actor(&self) -> &str {
        self.0.actor.as_str()
    }

    /// At a gate of which show.
    async fn show(&self, ctx: &Context<'_>) -> Answer<Show> {
        linked_show(ctx, self.0.show).await
    }

    /// At which gate.
    async fn gate(&self) -> &str {
        self.0.gate.as_str()
    }

    /// Which way somebody wanted to go.
    async fn direction(&self) -> Direction {
        self.0.direction.into()
    }

    /// They were let through.
    async fn accepted(&self) -> bool {
        self.0.refused.is_none()
    }

    /// Why they were not.
    async fn reason(&self) -> Option<ScanRefusal> {
        self.0.refused.map(Into::into)
    }

    /// Which ticket; null for a code of no ticket.
    async fn ticket(&self, ctx: &Context<'_>) -> Answer<Ticket> {
        let (asked, ticket) = (Asked::of(ctx), self.0.ticket);
        answer(async move {
            let caller = asked.with(Right::SeeTickets)?;
            let Some(ticket) = ticket else { return Ok(None) };
            asked.links(caller).ticket(ticket).await
        })
        .await
    }
}
