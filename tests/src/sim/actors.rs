//! Buyers, organizers, gates, banks and intruders: they choose what to ask, from what they may
//! know, and often enough something that cannot be had.

mod buyers;
mod gates;
mod organizers;

use std::{collections::HashMap, sync::Arc};

use hakken_domain::{
    Command,
    envelope::{StoredEvent, StreamId, StreamKind},
    names::{OrganizerId, ShowId, TicketId},
};

use super::{
    call::{Answer, Call, Expectation, Wish},
    chance::Chance,
    known::Known,
};

/// Everybody who acts.
pub(super) struct Actors {
    chance: Chance,
    count: u64,
    /// Codes that somebody has seen, old ones too.
    codes: Vec<(TicketId, ShowId, String)>,
    /// What was acknowledged, with the call that it answered.
    acked: Vec<(Call, Vec<Arc<StoredEvent>>)>,
    by_key: HashMap<String, usize>,
}

type Choice = fn(&mut Actors, &Known) -> Option<Call>;

const CHOICES: &[(u32, Choice)] = &[
    (14, Actors::hold_named),
    (8, Actors::hold_best),
    (7, Actors::hold_in_pool),
    (2, Actors::extend),
    (2, Actors::release),
    (16, Actors::place_order),
    (20, Actors::pay),
    (5, Actors::cancel),
    (2, Actors::refund),
    (3, Actors::reverse),
    (1, Actors::retry_refund),
    (5, Actors::issue),
    (3, Actors::reissue),
    (8, Actors::look_at_code),
    (14, Actors::scan),
    (2, Actors::block),
    (2, Actors::unblock),
    (2, Actors::allot),
    (1, Actors::change_rules),
    (1, Actors::offer),
    (1, Actors::withdraw),
    (1, Actors::schedule),
    (2, Actors::rotate_key),
    (3, Actors::disable_key),
    (6, Actors::ask_again),
    (2, Actors::reuse_key),
    (4, Actors::intrude),
];

/// The ticket that passed a gate by this answer.
pub(super) fn passed(answer: &Answer) -> Option<TicketId> {
    let Answer::Done(receipt) = answer else { return None };
    let passes =
        |event: &&Arc<StoredEvent>| matches!(&*event.kind, "ticket-entered" | "ticket-exited");
    receipt.events.iter().find(passes).map(|event| TicketId(event.stream.id))
}

/// Who sells.
pub(super) fn organizers() -> [OrganizerId; 2] {
    ["first", "second"].map(|called| OrganizerId::derived("simulation", called))
}

impl Actors {
    pub(super) fn new(chance: Chance) -> Self {
        let (codes, acked, by_key) = (Vec::new(), Vec::new(), HashMap::new());
        Self { chance, count: 0, codes, acked, by_key }
    }

    /// What somebody wants next.
    pub(super) fn next(&mut self, known: &Known) -> Call {
        loop {
            let all: u32 = CHOICES.iter().map(|(weight, _)| weight).sum();
            let mut drawn = self.chance.below(all as usize) as u32;
            let choice = CHOICES.iter().find(|(weight, _)| {
                let found = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                found
            });
            let (_, choice) = choice.expect("one of them is drawn");
            if let Some(call) = choice(self, known) {
                return call;
            }
        }
    }

    /// Only what fights for seats.
    pub(super) fn next_hold(&mut self, known: &Known) -> Call {
        self.hold_named(known).expect("a show is on sale")
    }

    /// Takes the answer in; says what is wrong with it.
    pub(super) fn hear(
        &mut self,
        call: &Call,
        answer: &Answer,
        known: &Known,
    ) -> Result<(), String> {
        call.judge(answer)?;
        self.genuine(call, answer, known)?;
        match answer {
            Answer::Code(ticket, show, code) => {
                let seen = (*ticket, *show, code.clone());
                if !self.codes.contains(&seen) {
                    self.codes.push(seen);
                }
            }
            Answer::Done(receipt) if !receipt.events.is_empty() => match self.by_key.get(&call.key)
            {
                None => {
                    self.by_key.insert(call.key.clone(), self.acked.len());
                    self.acked.push((call.clone(), receipt.events.clone()));
                }
                Some(at) if self.acked[*at].1 == receipt.events => {}
                Some(_) => {
                    return Err(format!("{} {} brought two things about", call.name, call.key));
                }
            },
            _ => {}
        }
        Ok(())
    }

    /// Was this code given out for this ticket?
    pub(super) fn is_genuine(&self, ticket: TicketId, code: &str) -> bool {
        self.codes.iter().any(|(of, _, known)| *of == ticket && known == code.trim())
    }

    /// Whoever passed a gate had a code that was given out, for that ticket.
    fn genuine(&self, call: &Call, answer: &Answer, known: &Known) -> Result<(), String> {
        let (Wish::Scan(scan), Some(ticket)) = (&call.wish, passed(answer)) else { return Ok(()) };
        if !self.is_genuine(ticket, &scan.code) {
            return Err(format!("{}: a code that nobody gave out opened a gate", call.key));
        }
        let show = known.tickets.iter().find(|known| known.id == ticket).map(|known| known.show);
        if show != Some(scan.show) {
            return Err(format!("{}: a ticket of another show opened a gate", call.key));
        }
        Ok(())
    }

    /// What a call is about: two at once about the same are rivals.
    pub(super) fn subject(&self, call: &Call, known: &Known) -> Option<StreamId> {
        let of_ticket = |ticket: TicketId| {
            known.tickets.iter().find(|known| known.id == ticket).map(|known| known.order.into())
        };
        match &call.wish {
            Wish::Ask(stream, _) => match stream.kind {
                StreamKind::Ticket => of_ticket(TicketId(stream.id)),
                _ => Some(*stream),
            },
            Wish::OpenSales(show, _) | Wish::CallOff(show, _) => Some(StreamId::inventory(*show)),
            Wish::PlaceOrder(order, _) | Wish::Pay { order, .. } | Wish::Cancel(order, _) => {
                Some((*order).into())
            }
            Wish::Issue(ticket, _) | Wish::Reissue(ticket, ..) | Wish::Code(ticket, _) => {
                of_ticket(*ticket)
            }
            Wish::Scan(scan) => {
                let code = self.codes.iter().find(|(.., code)| *code == scan.code);
                code.and_then(|(ticket, ..)| of_ticket(*ticket))
            }
        }
    }

    /// Everything that was acknowledged.
    pub(super) fn acked(&self) -> &[(Call, Vec<Arc<StoredEvent>>)] {
        &self.acked
    }

    pub(super) fn call(&mut self, name: &'static str, organizer: OrganizerId, wish: Wish) -> Call {
        self.count += 1;
        let key = format!("{name}-{}", self.count);
        let fingerprint = self.count;
        Call { name, organizer, key, fingerprint, wish, expectation: Expectation::Anything }
    }

    pub(super) fn ask(
        &mut self,
        name: &'static str,
        organizer: OrganizerId,
        stream: impl Into<StreamId>,
        command: impl Into<Command>,
    ) -> Call {
        self.call(name, organizer, Wish::Ask(stream.into(), Box::new(command.into())))
    }

    /// The same again, maybe long after.
    fn ask_again(&mut self, _known: &Known) -> Option<Call> {
        let (call, events) = self.chance.pick(&self.acked)?;
        let expectation = Expectation::Same(events.clone());
        Some(Call { name: "ask again", expectation, ..call.clone() })
    }

    /// Another request with a key that was used.
    fn reuse_key(&mut self, _known: &Known) -> Option<Call> {
        let (call, _) = self.chance.pick(&self.acked)?;
        let fingerprint = !call.fingerprint;
        let expectation = Expectation::KeyReused;
        Some(Call { name: "reuse key", fingerprint, expectation, ..call.clone() })
    }

    /// Somebody tries what is another organizer's.
    fn intrude(&mut self, known: &Known) -> Option<Call> {
        const TARGETS: [Choice; 9] = [
            Actors::hold_named,
            Actors::place_order,
            Actors::pay,
            Actors::cancel,
            Actors::refund,
            Actors::reissue,
            Actors::look_at_code,
            Actors::scan,
            Actors::block,
        ];
        let choice = TARGETS[self.chance.below(TARGETS.len())];
        let call = choice(self, known)?;
        let other = organizers().into_iter().find(|organizer| *organizer != call.organizer)?;
        let expectation = Expectation::NothingHappens;
        Some(Call { name: "intrude", organizer: other, expectation, ..call })
    }
}
