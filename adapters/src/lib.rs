//! Hakken.

pub mod seating;
