use async_graphql::{Context, Enum, ID, Object};
use hakken_domain::{
    names::TicketId,
    ticket::{self, TicketCreated},
    time::Timestamp,
};
use hakken_projections::models::tickets::{self, TicketView};

use super::{Entry, Legs, Order, Show, order::linked_show};
use crate::{
    auth::Right,
    ids::GlobalId,
    schema::{
        context::{Answer, Asked, answer},
        scalars::DateTime,
    },
};

/// The right to enter, with one live code (券).
#[derive(Debug, Clone)]
pub struct Ticket {
    pub(crate) id: TicketId,
    facts: TicketCreated,
    status: TicketStatus,
    suspended: bool,
    generation: u16,
    /// With which its live code is signed; none before there is one.
    code_key: Option<u8>,
    entries: u32,
    inside: bool,
    /// Where they are at hand.
    times: Option<TicketTimes>,
}

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum TicketStatus {
    /// Nobody has its code yet (未発券).
    Unissued,
    /// Its code is given out (発券済).
    Issued,
    /// Somebody came in with it at least once (入場済).
    Used,
    /// The right to enter is gone (取消済).
    Void,
}

impl From<ticket::TicketStatus> for TicketStatus {
    fn from(status: ticket::TicketStatus) -> Self {
        match status {
            ticket::TicketStatus::Unissued => Self::Unissued,
            ticket::TicketStatus::Issued => Self::Issued,
            ticket::TicketStatus::Used => Self::Used,
            ticket::TicketStatus::Void => Self::Void,
        }
    }
}

impl From<tickets::TicketStatus> for TicketStatus {
    fn from(status: tickets::TicketStatus) -> Self {
        match status {
            tickets::TicketStatus::Unissued => Self::Unissued,
            tickets::TicketStatus::Issued => Self::Issued,
            tickets::TicketStatus::Used => Self::Used,
            tickets::TicketStatus::Void => Self::Void,
        }
    }
}

impl From<TicketStatus> for tickets::TicketStatus {
    fn from(status: TicketStatus) -> Self {
        match status {
            TicketStatus::Unissued => Self::Unissued,
            TicketStatus::Issued => Self::Issued,
            TicketStatus::Used => Self::Used,
            TicketStatus::Void => Self::Void,
        }
    }
}

impl Ticket {
    /// None if there is no such ticket.
    pub(crate) fn from_state(id: TicketId, state: &ticket::State) -> Option<Self> {
        Some(Self {
            id,
            facts: state.created()?.clone(),
            status: state.status().into(),
            suspended: state.is_suspended(),
            generation: state.generation(),
            code_key: state.code_key(),
            entries: state.entries(),
            inside: state.is_inside(),
            times: None,
        })
    }

    pub(crate) fn item_number(&self) -> u16 {
        self.facts.item
    }
}

impl From<TicketView> for Ticket {
    fn from(view: TicketView) -> Self {
        let times = Some(TicketTimes::from(&view));
        Self {
            id: view.ticket,
            times,
            facts: TicketCreated {
                order: view.order,
                item: view.item,
                show: view.show,
                seat: view.seat,
                pool: view.pool,
                legs: view.legs,
                ticket_type: view.ticket_type,
                buyer: view.buyer,
                entry: view.entry,
                issue_until: view.issue_until,
            },
            status: view.status.into(),
            suspended: view.suspended,
            generation: view.generation,
            code_key: view.code_key,
            entries: view.entries,
            inside: view.inside,
        }
    }
}

/// The right to enter, with one live code (券).
#[Object]
impl Ticket {
    /// Its global id: `ticket_…`.
    pub async fn id(&self) -> ID {
        self.id.global()
    }

    /// Where it stands.
    async fn status(&self) -> TicketStatus {
        self.status
    }

    /// The payment was taken back: no entry until it is paid again.
    async fn suspended(&self) -> bool {
        self.suspended
    }

    /// The id of the show: `show_01J…`.
    async fn show_id(&self) -> ID {
        self.facts.show.global()
    }

    /// To what.
    async fn show(&self, ctx: &Context<'_>) -> Answer<Show> {
        linked_show(ctx, self.facts.show).await
    }

    /// The id of its order: `order_01J…`.
    async fn order_id(&self) -> ID {
        self.facts.order.global()
    }

    /// Of which order. A gate does not see it.
    async fn order(&self, ctx: &Context<'_>) -> Answer<Order> {
        let (asked, id) = (Asked::of(ctx), self.facts.order);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            asked.links(caller).order(id).await
        })
        .await
    }

    /// Which item of the order it is, from 1.
    async fn item(&self) -> u16 {
        self.facts.item
    }

    /// The numbered seat, `A1`; null for a place of a pool.
    async fn seat(&self) -> Option<&str> {
        self.facts.seat.as_ref().map(|seat| seat.as_str())
    }

    /// The pool, `floor`; null for a numbered seat.
    async fn pool(&self) -> Option<&str> {
        self.facts.pool.as_ref().map(|pool| pool.as_str())
    }

    /// On these legs of the show.
    async fn legs(&self) -> Legs {
        self.facts.legs.into()
    }

    /// As what: `adult`.
    async fn ticket_type(&self) -> &str {
        self.facts.ticket_type.as_str()
    }

    /// Whose order it is, as the integrator knows them: `b-42`.
    async fn buyer(&self) -> &str {
        self.facts.buyer.as_str()
    }

    /// How often and when one may come in.
    async fn entry(&self) -> Entry {
        Entry::from(&self.facts.entry)
    }

    /// The issuance deadline (発券期限): it cannot be issued from then on.
    async fn issue_until(&self) -> Option<DateTime> {
        self.facts.issue_until.map(DateTime)
    }

    /// Counts the codes given out for it: 0 while nobody has one, 1 once it is issued, one more
    /// with each reissue. Only the newest code opens the gate.
    async fn generation(&self) -> u16 {
        self.generation
    }

    /// Its live code, `T1.AEA2YP6L…`, to be shown as a QR code; null while it is not issued, and
    /// once it is void. Only who sells for its organizer sees it: whoever knows it can enter.
    async fn code(&self, ctx: &Context<'_>) -> Answer<String> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeCodes)?;
            // Whoever sees codes sells for an organizer, and sees that one's tickets alone.
            let (Some(organizer), Some(code_key)) = (caller.organizer, self.code_key) else {
                return Ok(None);
            };
            if self.status == TicketStatus::Void {
                return Ok(None);
            }
            let desk = asked.api.write.desk();
            let (show, generation) = (self.facts.show, self.generation);
            Ok(Some(desk.sign_code(organizer, code_key, self.id, show, generation)))
        })
        .await
    }

    /// How often somebody came in with it.
    async fn entries(&self) -> u32 {
        self.entries
    }

    /// Somebody came in with it and has not gone out.
    async fn inside(&self) -> bool {
        self.inside
    }

    /// When it was made, issued and used.
    async fn times(&self, ctx: &Context<'_>) -> Answer<TicketTimes> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeTickets)?;
            if let Some(times) = &self.times {
                return Ok(Some(times.clone()));
            }
            let view = asked.api.models.ticket(caller.organizer, self.id).await?;
            Ok(view.as_ref().map(TicketTimes::from))
        })
        .await
    }
}

/// When a ticket was made, issued and used, as its read model has it: null in the answer to a
/// mutation that has just made it.
#[derive(Debug, Clone)]
pub struct TicketTimes {
    created_at: Timestamp,
    issued_at: Option<Timestamp>,
    first_entered_at: Option<Timestamp>,
    voided_at: Option<Timestamp>,
}

impl From<&TicketView> for TicketTimes {
    fn from(view: &TicketView) -> Self {
        Self {
            created_at: view.created_at,
            issued_at: view.issued_at,
            first_entered_at: view.first_entered_at,
            voided_at: view.voided_at,
        }
    }
}

/// When a ticket was made, issued and used, as its read model has it: null in the answer to a
/// mutation that has just made it.
#[Object]
impl TicketTimes {
    /// When the right to enter came to be.
    async fn created_at(&self) -> DateTime {
        DateTime(self.created_at)
    }

    /// When its newest code was given out.
    async fn issued_at(&self) -> Option<DateTime> {
        self.issued_at.map(DateTime)
    }

    /// When somebody came in with it for the first time.
    async fn first_entered_at(&self) -> Option<DateTime> {
        self.first_entered_at.map(DateTime)
    }

    /// When the right to enter was taken away.
    async fn voided_at(&self) -> Option<DateTime> {
        self.voided_at.map(DateTime)
    }
}
