//! What happens at counters and gates.

use hakken_commands::desk::ScanRequest;
use hakken_domain::ticket::{Channel, Direction};

use super::{
    super::known::{Known, Show},
    Actors, Call, Wish,
};
use crate::world::name;

impl Actors {
    pub(super) fn issue(&mut self, known: &Known) -> Option<Call> {
        let ticket = self.chance.pick(&known.tickets)?.clone();
        let channel =
            if self.chance.percent(50) { Channel::ConvenienceStore } else { Channel::BoxOffice };
        Some(self.call("issue", ticket.organizer, Wish::Issue(ticket.id, channel)))
    }

    pub(super) fn reissue(&mut self, known: &Known) -> Option<Call> {
        let ticket = self.chance.pick(&known.tickets)?.clone();
        let wish = Wish::Reissue(ticket.id, Channel::BoxOffice, name("紛失"));
        Some(self.call("reissue", ticket.organizer, wish))
    }

    pub(super) fn look_at_code(&mut self, known: &Known) -> Option<Call> {
        let ticket = self.chance.pick(&known.tickets)?.clone();
        Some(self.call("look at code", ticket.organizer, Wish::Code(ticket.id, ticket.show)))
    }

    pub(in super::super) fn scan(&mut self, known: &Known) -> Option<Call> {
        let is_suspended = |id| known.tickets.iter().any(|known| known.id == id && known.suspended);
        let suspended: Vec<_> = self.codes.iter().filter(|(of, ..)| is_suspended(*of)).collect();
        let (ticket, show, mut code) = match self.chance.pick(&suspended) {
            Some(suspended) if self.chance.percent(15) => (*suspended).clone(),
            _ => self.chance.pick(&self.codes)?.clone(),
        };
        if self.chance.percent(20)
            && let Some((.., oldest)) = self.codes.iter().find(|(of, ..)| *of == ticket)
        {
            code.clone_from(oldest);
        }
        let ticket = known.tickets.iter().find(|known| known.id == ticket)?;
        let is_other = |s: &&Show| s.organizer == ticket.organizer && s.id != show;
        let others: Vec<_> = known.shows.iter().filter(is_other).collect();
        let at = match self.chance.pick(&others) {
            Some(other) if self.chance.percent(15) => other.id,
            _ if self.chance.percent(5) => self.chance.pick(&known.shows)?.id,
            _ => show,
        };
        match self.chance.below(30) {
            0 => code.truncate(20),
            1..=3 => {
                // Somewhere in the signature, which is the last 26 characters.
                let at = code.len() - self.chance.between(2, 20) as usize;
                let other = if code[at..].starts_with('A') { "B" } else { "A" };
                code.replace_range(at..=at, other);
            }
            4 => code = "HELLO".to_owned(),
            _ => {}
        }
        let direction = if self.chance.percent(70) { Direction::Entry } else { Direction::Exit };
        let gate = name(if self.chance.percent(50) { "北口" } else { "南口" });
        let wish = Wish::Scan(ScanRequest { show: at, gate, direction, code });
        let organizer = known.shows.iter().find(|known| known.id == at)?.organizer;
        Some(self.call("scan", organizer, wish))
    }
}
