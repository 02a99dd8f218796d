//! Panics that somebody caught: a task of the runtime that panics ends without a word, and its
//! caller sees a lost answer. Here every panic of a thread is noted, wherever it is caught.

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

/// A panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    /// The source file, as the compiler names it.
    pub file: String,
    /// The line.
    pub line: u32,
    /// What it said.
    pub message: String,
}

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

thread_local! {
    /// `None` while nobody watches.
    static SEEN: RefCell<Option<Vec<Panicked>>> = const { RefCell::new(None) };
}

/// Does work and says what panicked on this thread meanwhile, caught or not. The result is `None`
/// if the work itself did. What is noted here is not printed.
pub fn watch<T>(work: impl FnOnce() -> T) -> (Option<T>, Vec<Panicked>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !note(info) {
                before(info);
            }
        }));
    });
    let outer = SEEN.with(|seen| seen.replace(Some(Vec::new())));
    let done = panic::catch_unwind(AssertUnwindSafe(work)).ok();
    let seen = SEEN.with(|seen| seen.replace(outer));
    (done, seen.unwrap_or_default())
}

/// Takes back what was noted and is as it should be.
pub fn forgive(is_right: impl Fn(&Panicked) -> bool) {
    SEEN.with(|seen| {
        if let Some(seen) = seen.borrow_mut().as_mut() {
            seen.retain(|panicked| !is_right(panicked));
        }
    });
}

/// How many panics are noted on this thread just now.
pub fn count() -> usize {
    SEEN.with(|seen| seen.borrow().as_ref().map_or(0, Vec::len))
}

fn note(info: &panic::PanicHookInfo<'_>) -> bool {
    SEEN.with(|seen| match seen.try_borrow_mut().as_deref_mut() {
        Ok(Some(seen)) => {
            let message = info.payload_as_str().unwrap_or("no text").to_owned();
            let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
            seen.push(Panicked { file: file.to_owned(), line, message });
            true
        }
        _ => false,
    })
}
