//! Deciding a question on the facts of its stream.

use std::sync::atomic::Ordering;

use hakken_domain::{
    Context, Outcome,
    envelope::{Decoded, Metadata, Position, StreamId},
    guard::Guard,
    names::ActorRef,
    time::Timestamp,
};
use tokio::time::Duration;

use super::{
    super::{
        Ask, CommandError, Pending, Ports, Sight, Tenant,
        batch::{Answer, Batch, Item},
        entry::{Entry, Facts},
    },
    Loop,
};
use crate::store::NewEvent;

/// What became of a question that was taken up.
pub(super) enum Taken {
    /// Its answer is noted.
    Noted,
    /// Nothing but the assumption that the stream is empty stands behind its answer: the stream
    /// must be read first.
    Unfounded(Box<Pending>),
    /// No append stands behind its answer, and others may have written the stream since it was
    /// read: what they wrote must be read first.
    Unproven(Box<Pending>),
}

impl Loop {
    /// Takes a question in: decides it if its stream is in memory, else lets the stream be read.
    pub(super) fn take(&mut self, pending: Box<Pending>, now: Timestamp) {
        let stream = pending.stream;
        if self.streams.get(&stream).is_none() {
            let entry = if pending.creates && pending.attempts == 0 {
                let entry = Entry::assumed_empty(stream.kind);
                self.cache_bytes += entry.weight;
                entry
            } else {
                return self.reload(stream, vec![pending], Duration::ZERO);
            };
            self.streams.put(stream, entry);
        }
        let entry = self.streams.get_mut(&stream).expect("it was put there");
        if entry.contended > 0 {
            return self.wait_for_turn(pending);
        }
        let Some(mut facts) = entry.facts.take() else {
            return entry.waiting.push_back(pending);
        };
        let assumed = entry.assumed;
        match self.decide(pending, &mut facts, assumed, now) {
            Taken::Noted => {
                let entry = self.streams.get_mut(&stream).expect("nobody removed it");
                entry.facts = Some(facts);
            }
            Taken::Unfounded(pending) => self.reload(stream, vec![pending], Duration::ZERO),
            Taken::Unproven(pending) => self.read_on(stream, facts, pending),
        }
    }

    /// Decides one question on the facts, which it evolves, and notes its answer, if enough stands
    /// behind it.
    pub(super) fn decide(
        &mut self,
        mut pending: Box<Pending>,
        facts: &mut Facts,
        assumed: bool,
        now: Timestamp,
    ) -> Taken {
        pending.attempts += 1;
        let (stream, attempts) = (pending.stream, pending.attempts);
        if let Some(trace) = &mut pending.trace {
            trace.taken(attempts);
        }
        if let (Tenant::Of(asking), Some(owner)) = (pending.ask.tenant(), facts.owner)
            && Guard::NotYours.sees(asking != owner)
        {
            pending.ask.fail(CommandError::NotYours);
            return Taken::Noted;
        }
        if let Some(answer) = remembered(&pending, facts) {
            self.note(Item { pending, answer }, facts.position);
            return Taken::Noted;
        }
        let answer = match &mut pending.ask {
            Ask::Recall { .. } => Answer::NothingRecalled,
            Ask::Read { question, .. } => {
                let is_durable = self.streams.peek(&stream).is_some_and(|entry| !entry.is_dirty());
                if self.sole_writer && is_durable {
                    self.shelf.show(stream, facts);
                }
                Answer::Seen(question(&facts.state, facts.version))
            }
            Ask::Execute { command, asker, .. } => {
                self.shelf.take_down(stream);
                let due = facts.state.due(now);
                if Guard::HoldLapsed.sees(!due.is_empty()) {
                    let meta = expiry_metadata(facts, &self.expiry_actor);
                    Self::happen(&mut self.open, &self.ports, stream, facts, due, &meta, now);
                }
                let context = Context { now, actor: asker.actor.clone() };
                match facts.state.decide(command, &context) {
                    Err(rejection) => Answer::Rejected(rejection),
                    Ok(Outcome::AlreadyHappened) => Answer::AlreadyHappened,
                    Ok(Outcome::Happened(events)) => {
                        let meta = asker.metadata();
                        Answer::Happened(Self::happen(
                            &mut self.open,
                            &self.ports,
                            stream,
                            facts,
                            events,
                            &meta,
                            now,
                        ))
                    }
                }
            }
        };
        if let Some(trace) = &mut pending.trace {
            trace.decided();
        }
        if assumed && facts.version == 0 {
            return Taken::Unfounded(pending);
        }
        let item = Item { pending, answer };
        let entry = self.streams.peek(&stream).expect("being decided");
        if entry.under_way == 0 && self.open.place(stream).is_none() && !self.is_proven(&item) {
            return Taken::Unproven(item.pending);
        }
        self.note(item, facts.position);
        Taken::Noted
    }

    /// Is the answer good without any append behind it? What a stream remembers of a key never
    /// changes; anything else may be otherwise since another process wrote the stream.
    pub(super) fn is_proven(&self, item: &Item) -> bool {
        use Answer::{Happened, KeyReused, Repeated};
        self.sole_writer
            || Guard::Unproven.is_out()
            || item.pending.fresh
            || matches!(item.answer, Happened(_) | Repeated { .. } | KeyReused)
    }

    /// Evolves the facts by events and adds them to the open batch.
    pub(super) fn happen(
        open: &mut Batch,
        ports: &Ports,
        stream: StreamId,
        facts: &mut Facts,
        events: Vec<hakken_domain::Event>,
        meta: &Metadata,
        now: Timestamp,
    ) -> std::ops::Range<usize> {
        let expected = facts.version;
        let decoded = events.into_iter().map(|event| {
            let decoded = Decoded { event, meta: meta.clone() };
            facts.evolve(&decoded);
            // Encoded here, while the batch before is being made durable, and not when it is this
            // batch's turn: then everybody would wait for it.
            NewEvent::encode(ports.ids.event_id(now), decoded)
        });
        open.push(stream, expected, decoded)
    }

    /// Answers now if nothing undurable stands behind the answer, else when the batch behind it
    /// is durable. `position` is that of the stream's newest durable event.
    pub(super) fn note(&mut self, item: Item, position: Position) {
        let stream = item.pending.stream;
        let entry = self.streams.get_mut(&stream).expect("being decided");
        entry.open = self.open.place(stream).map_or(0, |at| self.open.parts[at].events.len());
        if Guard::NotDurable.is_out() {
            return self.answer(item.early(), &[], position);
        }
        // Where others write too, what is decided may yet meet a conflict and be thrown away; so
        // may what stands on the assumption that the stream is empty.
        let glances = self.sole_writer
            && !entry.assumed
            && matches!(item.pending.ask, Ask::Read { sight: Sight::Decided, .. });
        if entry.is_dirty() && glances {
            self.glanced = true;
            self.counters.glances.fetch_add(1, Ordering::Relaxed);
            self.answer(item, &[], position);
        } else if entry.is_dirty() {
            // Also when only the batch under way stands behind it: batches become durable in
            // order, and its own answer is then a moment later, never earlier.
            self.open.items.push(item);
        } else {
            self.answer(item, &[], position);
        }
    }
}

/// What the stream remembers of the question's key.
fn remembered(pending: &Pending, facts: &Facts) -> Option<Answer> {
    let known = facts.recall(pending.key_hash?).filter(|_| Guard::KeyKnown.stands())?;
    let (_, request) = pending.ask.asker()?.key.as_ref()?;
    Some(if Guard::KeyReused.sees(known.request != request.0) {
        Answer::KeyReused
    } else {
        Answer::Repeated { first: known.first, count: known.count }
    })
}

/// Nobody asked for what is due by time alone.
fn expiry_metadata(facts: &Facts, actor: &ActorRef) -> Metadata {
    Metadata {
        organizer: facts.owner.flatten(),
        actor: actor.clone(),
        key: None,
        request: None,
        cause: None,
        correlation: None,
    }
}
