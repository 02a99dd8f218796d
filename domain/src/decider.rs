//! What every aggregate is: events, a fold, and decisions. Three pure functions.

use crate::{names::ActorRef, time::Timestamp};

/// What a decision may know beside the state and the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The one time of this decision.
    pub now: Timestamp,
    /// Who asks.
    pub actor: ActorRef,
}

/// What a command did.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<E> {
    /// These events, in this order. Never empty.
    Happened(Vec<E>),
    /// What the command asks for is so already; nothing new is recorded.
    AlreadyHappened,
}

/// The rule book of one kind of stream.
pub trait Decider {
    /// What the rules must remember.
    type State: Default;
    /// What happens.
    type Event;
    /// What is asked for.
    type Command;
    /// Why it is refused. Its declaration order is the order of the checks.
    type Rejection;

    /// Folds one event in. Never fails, decides nothing.
    fn evolve(state: &mut Self::State, event: &Self::Event);

    /// Facts that are due by the passing of time alone (expired holds). They are recorded
    /// before the next decision, whatever that decides.
    fn due(_state: &Self::State, _now: Timestamp) -> Vec<Self::Event> {
        Vec::new()
    }

    /// A list of refusals, and then one "from here on it must succeed". `due` was applied.
    fn decide(
        state: &Self::State,
        command: &Self::Command,
        context: &Context,
    ) -> Result<Outcome<Self::Event>, Self::Rejection>;
}
