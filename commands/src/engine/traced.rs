//! What is noted of a sampled command while it is on its way.

use std::sync::Arc;

use hakken_domain::{
    Command,
    envelope::{Position, StreamKind},
};
use tokio::time::Instant;

use super::{CommandKind, Outcome};
use crate::{
    store::NewEvent,
    trace::{CommandSpan, SpanName, Tracer, current},
};

/// The notes. They are told when dropped, however the command ends.
pub(super) struct Traced {
    tracer: Arc<dyn Tracer>,
    span: CommandSpan,
}

impl Traced {
    /// Begins them, if the request is sampled.
    pub(super) fn begin(
        tracer: &Arc<dyn Tracer>,
        command: &Command,
        stream: StreamKind,
    ) -> Option<Box<Self>> {
        let parent = current()?;
        let kind = CommandKind::of(command);
        let asked = Instant::now();
        let span = CommandSpan {
            name: tracer.below(parent),
            parent,
            kind,
            stream,
            asked,
            taken: None,
            decided: None,
            attempts: 0,
            batch: None,
            outcome: None,
            positions: None,
            ended: asked,
        };
        Some(Box::new(Self { tracer: tracer.clone(), span }))
    }

    /// Its name.
    pub(super) fn name(&self) -> SpanName {
        self.span.name
    }

    /// The loop begins to decide it.
    pub(super) fn taken(&mut self, attempts: u32) {
        let now = Instant::now();
        self.span.taken.get_or_insert(now);
        self.span.decided = Some((now, now));
        self.span.attempts = attempts;
    }

    /// It is decided.
    pub(super) fn decided(&mut self) {
        if let Some((_, end)) = &mut self.span.decided {
            *end = Instant::now();
        }
    }

    /// Its events are about to be handed to the store.
    pub(super) fn appending(&self, events: &[NewEvent]) {
        self.tracer.appending(self.span.name, &mut events.iter().map(|event| event.id));
    }

    /// It is about to be answered.
    pub(super) fn answered(
        &mut self,
        outcome: Outcome,
        batch: Option<SpanName>,
        positions: Option<(Position, Position)>,
    ) {
        self.span.outcome = Some(outcome);
        self.span.batch = batch;
        self.span.positions = positions;
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.span.ended = Instant::now();
        self.tracer.command(&self.span);
    }
}
