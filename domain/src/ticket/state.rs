//! What the rules of a ticket remember, and what others may ask of it.

use serde::{Deserialize, Serialize};

use super::events::{Event, TicketCreated};

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TicketStatus {
    /// Nobody has its code yet (未発券).
    Unissued,
    /// Its code is given out (発券済).
    Issued,
    /// Somebody came in with it at least once.
    Used,
    /// The right to enter is gone (取消済).
    Void,
}

/// What the rules remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    #[serde(with = "crate::as_json")]
    created: Option<TicketCreated>,
    /// Of the live code; 0 while nobody has one.
    generation: u16,
    code_key: Option<u8>,
    suspended: bool,
    void: bool,
    entries: u32,
    /// The generation of the code with which somebody came in who has not gone out.
    inside_with: Option<u16>,
}

impl State {
    /// What it is a right to; nothing before it is created.
    pub fn created(&self) -> Option<&TicketCreated> {
        self.created.as_ref()
    }

    /// Where it stands.
    pub fn status(&self) -> TicketStatus {
        if self.void {
            TicketStatus::Void
        } else if self.entries > 0 {
            TicketStatus::Used
        } else if self.generation > 0 {
            TicketStatus::Issued
        } else {
            TicketStatus::Unissued
        }
    }

    /// The generation of the live code; 0 while nobody has one. A void ticket keeps its last.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    /// Which of the organizer's keys signs the live code.
    pub fn code_key(&self) -> Option<u8> {
        self.code_key
    }

    /// The payment was taken back: no entry, no issuance.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// How often somebody came in with it.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Somebody came in with it and has not gone out.
    pub fn is_inside(&self) -> bool {
        self.inside_with.is_some()
    }

    /// The generation of the code with which the one inside came in.
    pub(super) fn inside_with(&self) -> Option<u16> {
        self.inside_with
    }
}

/// Folds one event in.
pub(super) fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::TicketCreated(e) => state.created = Some(e.clone()),
        Event::TicketIssued(e) => {
            state.generation = e.generation;
            state.code_key = Some(e.code_key);
        }
        Event::TicketReissued(e) => {
            state.generation = e.generation;
            state.code_key = Some(e.code_key);
        }
        Event::TicketSuspended(_) => state.suspended = true,
        Event::TicketReinstated(_) => state.suspended = false,
        Event::TicketVoided(_) => state.void = true,
        Event::TicketEntered(e) => {
            state.entries = state.entries.saturating_add(1);
            state.inside_with = Some(e.generation);
        }
        Event::TicketExited(_) => state.inside_with = None,
        // A refused scan changes nothing; it is there for those who look into it.
        Event::ScanRefused(_) => {}
    }
}
