//! The newest refusals and errors, for whoever runs the engine.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use hakken_commands::trace;
use hakken_domain::{
    names::{ApiKeyId, OrganizerId},
    text::shortened_within,
    time::Timestamp,
};

use crate::auth::Caller;

/// How many are kept.
const MOST: usize = 50;
/// Most bytes that are kept of what was said.
const MAX_MESSAGE: usize = 300;

/// A mutation that was refused, or a field that could not be answered.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) at: Timestamp,
    /// The field at the root, as the schema names it.
    pub(crate) field: Option<String>,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) key: Option<ApiKeyId>,
    pub(crate) organizer: Option<OrganizerId>,
    /// Of the sampled trace in which it happened.
    pub(crate) trace: Option<u128>,
}

impl Notice {
    /// Happened just now, to this caller.
    pub(crate) fn now(
        at: Timestamp,
        caller: Option<&Caller>,
        field: Option<&str>,
        message: &str,
    ) -> Self {
        Self {
            at,
            field: field.map(str::to_owned),
            code: String::new(),
            message: shortened_within(message, MAX_MESSAGE),
            key: caller.map(|caller| caller.key),
            organizer: caller.and_then(|caller| caller.organizer),
            trace: trace::current().map(|span| span.trace),
        }
    }
}

/// The newest of them.
#[derive(Debug, Default)]
pub(crate) struct Newest(Mutex<VecDeque<Notice>>);

impl Newest {
    pub(super) fn keep(&self, refused: Notice) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.pop_back();
        }
        kept.push_front(refused);
    }

    /// The newest first.
    pub(crate) fn all(&self) -> Vec<Notice> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_kept_and_what_they_say_is_cut() {
        let newest = Newest::default();
        for micros in 0..200 {
            let at = Timestamp::from_micros(micros);
            newest.keep(Notice::now(at, None, Some("holdSeats"), &"x".repeat(5_000)));
        }
        let kept = newest.all();
        assert_eq!(kept.len(), MOST);
        assert_eq!((kept[0].at.as_micros(), kept[MOST - 1].at.as_micros()), (199, 150));
        // The place where it was cut is one character more.
        assert!(kept.iter().all(|refused| refused.message.chars().count() == MAX_MESSAGE + 1));
    }
}
