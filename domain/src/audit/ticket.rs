//! Who came in with what.

use crate::ticket;

use super::must;

#[derive(Default)]
pub(super) struct Ticket {
    pub(super) generation: u16,
    pub(super) void: bool,
    made: bool,
    suspended: bool,
    inside: bool,
    entries: u32,
    reentry: bool,
}

impl Ticket {
    pub(super) fn event(&mut self, event: &ticket::Event) -> Result<(), String> {
        use ticket::Event as E;
        match event {
            E::TicketCreated(created) => {
                must!(!self.made, "a ticket is made twice");
                self.made = true;
                self.reentry = created.entry.reentry;
            }
            E::TicketIssued(issued) => {
                must!(self.generation == 0 && issued.generation == 1, "issued twice");
                must!(!self.void && !self.suspended, "a dead ticket is issued");
                self.generation = 1;
            }
            E::TicketReissued(reissued) => {
                must!(self.generation > 0, "issued again, but never before");
                must!(reissued.generation == self.generation + 1, "a generation is left out");
                must!(!self.void && !self.suspended, "a dead ticket is issued again");
                must!(self.entries == 0 || self.reentry, "a used ticket comes back to life");
                self.generation = reissued.generation;
            }
            E::TicketVoided(_) => {
                must!(!self.void, "voided twice");
                self.void = true;
            }
            E::TicketEntered(scan) => {
                must!(!self.void, "a void ticket came in");
                must!(!self.suspended, "an unpaid ticket came in");
                must!(scan.generation == self.generation, "a dead code came in");
                must!(!self.inside, "came in twice");
                must!(self.entries == 0 || self.reentry, "came in again against its rule");
                self.inside = true;
                self.entries += 1;
            }
            E::TicketExited(_) => {
                must!(self.inside, "went out without being inside");
                self.inside = false;
            }
            E::TicketSuspended(_) => self.suspended = true,
            E::TicketReinstated(_) => self.suspended = false,
            E::ScanRefused(_) => {}
        }
        Ok(())
    }
}
