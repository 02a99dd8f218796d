//! The rule book of Hakken. Pure: nothing here waits, reads a clock, draws a number or does
//! input and output. Each aggregate has the same parts in the same order: `events.rs` (the
//! storage format), `command.rs` (what one may ask, and every refusal in the order of the
//! checks), `state.rs` (the fold), `decide.rs` (the rules), `tests.rs`.

pub mod apikey;
mod as_json;
pub mod audit;
pub mod chain;
pub mod code;
pub mod codec;
mod decider;
pub mod envelope;
mod from_text;
pub mod gate;
#[cfg(test)]
mod golden;
pub mod guard;
pub mod inventory;
pub mod legs;
pub mod money;
pub mod names;
pub mod operations;
pub mod order;
pub mod organizer;
pub mod seatmap;
pub mod show;
#[cfg(test)]
mod testing;
pub mod text;
pub mod ticket;
pub mod time;
pub mod venue;

pub use decider::{Context, Decider, Outcome};
use envelope::StreamKind;
use serde::{Deserialize, Serialize};

macro_rules! aggregates {
    ($($kind:ident => $module:ident),* $(,)?) => {
        /// A fact of any stream.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event { $(
            #[doc = concat!("Of `", stringify!($module), "`.")]
            $kind($module::Event),
        )* }

        /// A command to any stream.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Command { $(
            #[doc = concat!("To `", stringify!($module), "`.")]
            $kind($module::Command),
        )* }

        /// A refusal of any stream.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Rejection { $(
            #[doc = concat!("Of `", stringify!($module), "`.")]
            $kind($module::Rejection),
        )* }

        /// What the rules of one stream remember. Its serde form is a snapshot: a cache that may
        /// be thrown away, and is when [`SNAPSHOT_FORMAT`] changes.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum State { $(
            #[doc = concat!("Of `", stringify!($module), "`.")]
            $kind(Box<$module::State>),
        )* }

        impl State {
            /// The state of an empty stream.
            pub fn initial(kind: StreamKind) -> Self {
                match kind { $(StreamKind::$kind => Self::$kind(Box::default()),)* }
            }

            /// Folds one event in. An event of another kind of stream, or one that the rules cannot
            /// have decided after those before it, is a bug or was tampered with, and panics: who
            /// folds what is stored catches it.
            pub fn evolve(&mut self, event: &Event) {
                match (self, event) {
                    $((Self::$kind(state), Event::$kind(event)) =>
                        <$module::State as Rules>::Decider::evolve(state, event),)*
                    (state, event) => panic!(
                        "a {} does not belong in a stream of the kind {}",
                        codec::kind_of(event).0,
                        state.kind().as_str()
                    ),
                }
            }

            /// The kind of stream that it is of.
            pub fn kind(&self) -> StreamKind {
                match self { $(Self::$kind(_) => StreamKind::$kind,)* }
            }

            /// Facts that are due by the passing of time alone.
            pub fn due(&self, now: time::Timestamp) -> Vec<Event> {
                match self {
                    $(Self::$kind(state) => <$module::State as Rules>::Decider::due(state, now)
                        .into_iter().map(Event::$kind).collect(),)*
                }
            }

            /// Decides. A command to another kind of stream is a bug.
            pub fn decide(
                &self,
                command: &Command,
                context: &Context,
            ) -> Result<Outcome<Event>, Rejection> {
                match (self, command) {
                    $((Self::$kind(state), Command::$kind(command)) => {
                        match <$module::State as Rules>::Decider::decide(state, command, context) {
                            Ok(Outcome::Happened(events)) => Ok(Outcome::Happened(
                                events.into_iter().map(Event::$kind).collect(),
                            )),
                            Ok(Outcome::AlreadyHappened) => Ok(Outcome::AlreadyHappened),
                            Err(rejection) => Err(Rejection::$kind(rejection)),
                        }
                    })*
                    (state, command) => panic!(
                        "{command:?} does not belong to a stream of the kind {}",
                        state.kind().as_str()
                    ),
                }
            }
        }

        $(
            impl From<$module::Command> for Command {
                fn from(command: $module::Command) -> Self { Self::$kind(command) }
            }
            impl From<$module::Event> for Event {
                fn from(event: $module::Event) -> Self { Self::$kind(event) }
            }
            impl From<$module::Rejection> for Rejection {
                fn from(rejection: $module::Rejection) -> Self { Self::$kind(rejection) }
            }
        )*
    };
}

/// Ties a state to its rules.
pub trait Rules {
    /// The rules.
    type Decider;
}

/// Changes with every change of a `State`'s shape or of its fold.
pub const SNAPSHOT_FORMAT: u32 = 1;

aggregates! {
    Inventory => inventory,
    Order => order,
    Ticket => ticket,
    Show => show,
    Venue => venue,
    Organizer => organizer,
    Key => apikey,
    Gate => gate,
    Operations => operations,
}
