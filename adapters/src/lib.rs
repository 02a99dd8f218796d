//! Hakken.

pub mod payments;
pub mod seating;
