//! Recorded events, and what is made of them for auditors.

use std::{borrow::Cow, sync::Arc};

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use hakken_domain::{
    envelope::{Metadata, Position, StoredEvent},
    names::OrganizerId,
};
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
        scalars::{AnyJson, DateTime, PositionScalar},
    },
};

/// A recorded fact. It never changes.
#[derive(Debug, Clone)]
pub struct Event {
    stored: Arc<StoredEvent>,
    /// The tenant.
    organizer: Option<OrganizerId>,
}

impl Event {
    /// None if what is stored cannot be read.
    pub(crate) fn from_stored(event: Arc<StoredEvent>) -> Option<Self> {
        std::str::from_utf8(&event.data).ok()?;
        let organizer = event.decoded().ok()?.meta.organizer;
        Some(Self { stored: event, organizer })
    }

    /// Its place among all events.
    pub(crate) fn at(&self) -> Position {
        self.stored.position
    }

    /// What it takes in memory and in an answer, about.
    pub(crate) fn bytes(&self) -> usize {
        self.stored.data.len() + self.stored.meta.len()
    }

    /// Something of its metadata; what cannot be read has none.
    fn of_meta<T>(&self, read: impl FnOnce(&Metadata) -> Option<T>) -> Option<T> {
        self.stored.decoded().ok().and_then(|decoded| read(&decoded.meta))
    }
}

/// A recorded fact. It never changes.
#[Object]
impl Event {
    /// Its global id: `event_01J…`.
    async fn id(&self) -> ID {
        self.stored.id.global()
    }

    /// Its place among all events.
    async fn position(&self) -> PositionScalar {
        PositionScalar(self.stored.position)
    }

    /// When the store took it. Never earlier than that of the position before.
    async fn recorded_at(&self) -> DateTime {
        DateTime(self.stored.recorded_at)
    }

    /// Its kind: `seats-held`, `ticket-issued`.
    async fn kind(&self) -> &str {
        &self.stored.kind
    }

    /// The schema version of its data.
    async fn schema_version(&self) -> u16 {
        self.stored.schema
    }

    /// Its stream: a kind and a ULID, such as `inventory-01J…`.
    async fn stream(&self) -> String {
        self.stored.stream.to_string()
    }

    /// Its place in the stream, from 1 without gaps.
    async fn version(&self) -> u64 {
        self.stored.version
    }

    /// The id of the organizer that it belongs to, `organizer_01J…`; null for what is the engine's
    /// own.
    async fn organizer_id(&self) -> Option<ID> {
        self.organizer.map(GlobalId::global)
    }

    /// Who did it: `key:` and the ULID of an API key, or `system:` and a process.
    async fn actor(&self) -> String {
        self.of_meta(|meta| Some(meta.actor.to_string())).unwrap_or_default()
    }

    /// The idempotency key of the request that brought it about: `order-7f3a-1`.
    async fn idempotency_key(&self) -> Option<String> {
        self.of_meta(|meta| meta.key.as_ref().map(ToString::to_string))
    }

    /// The id of the event that a process answered with it: `event_01J…`.
    async fn cause_id(&self) -> Option<ID> {
        self.of_meta(|meta| meta.cause).map(GlobalId::global)
    }

    /// The id of the first event of the chain that led to it: `event_01J…`.
    async fn correlation_id(&self) -> Option<ID> {
        self.of_meta(|meta| meta.correlation).map(GlobalId::global)
    }

    /// What happened, as JSON.
    async fn data(&self) -> AnyJson {
        AnyJson(serde_json::from_slice(&self.stored.data).unwrap_or_default())
    }

    /// The same, byte for byte as it is stored: `{"hold":"01J…"}`.
    async fn raw(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stored.data)
    }
}

/// Who did anything, when, and what it was about (監査ログ).
#[derive(Debug, Clone, SimpleObject)]
pub struct AuditEntry {
    /// The event.
    pub event: Event,
    /// The id of the show that it is about, `show_01J…`; of an order over several shows, the one
    /// that was asked for or the first.
    pub show_id: Option<ID>,
    /// The id of the order that it is about: `order_01J…`.
    pub order_id: Option<ID>,
    /// The id of the ticket that it is about: `ticket_01J…`.
    pub ticket_id: Option<ID>,
}

impl From<audit_log::AuditEntry> for AuditEntry {
    fn from(entry: audit_log::AuditEntry) -> Self {
        Self {
            event: Event { stored: entry.stored, organizer: entry.organizer },
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

    /// The id of the ticket: `ticket_01J…`.
    async fn ticket_id(&self) -> ID {
        self.0.ticket.global()
    }

    /// The id of its order: `order_01J…`.
    async fn order_id(&self) -> ID {
        self.0.issued_for.order.global()
    }

    /// The id of its show: `show_01J…`.
    async fn show_id(&self) -> ID {
        self.0.issued_for.show.global()
    }

    /// Which item of the order it is.
    async fn item(&self) -> u16 {
        self.0.issued_for.item
    }

    /// The numbered seat, `A1`; null for a place of a pool.
    async fn seat(&self) -> Option<&str> {
        self.0.issued_for.seat.as_ref().map(|seat| seat.as_str())
    }

    /// The pool, `floor`; null for a numbered seat.
    async fn pool(&self) -> Option<&str> {
        self.0.issued_for.pool.as_ref().map(|pool| pool.as_str())
    }

    /// On these legs of the show.
    async fn legs(&self) -> Legs {
        self.0.issued_for.legs.into()
    }

    /// As what: `adult`.
    async fn ticket_type(&self) -> &str {
        self.0.issued_for.ticket_type.as_str()
    }

    /// Whose order it is, as the integrator knows them: `b-42`.
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

    /// The id of the show at whose gate it was: `show_01J…`.
    async fn show_id(&self) -> ID {
        self.0.show.global()
    }

    /// At a gate of which show.
    async fn show(&self, ctx: &Context<'_>) -> Answer<Show> {
        linked_show(ctx, self.0.show).await
    }

    /// At which gate: `north`.
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

    /// The id of the ticket, `ticket_01J…`; null for a code of no ticket.
    async fn ticket_id(&self) -> Option<ID> {
        self.0.ticket.map(GlobalId::global)
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
