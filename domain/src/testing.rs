//! The language of rule tests: `given(events).at(time).when(command).then(events)`.

use std::fmt::Debug;

use crate::{Context, Decider, Outcome, names::ActorRef, time::Timestamp};

/// A stream's past.
pub struct Given<D: Decider> {
    state: D::State,
    now: Timestamp,
}

/// What a command brought about.
pub struct When<D: Decider> {
    due: Vec<D::Event>,
    result: Result<Outcome<D::Event>, D::Rejection>,
}

/// The time at which tests begin: 2026-11-21T10:00:00Z.
pub const START: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

/// A stream on which these events happened.
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let mut state = D::State::default();
    for event in events {
        D::evolve(&mut state, &event);
    }
    Given { state, now: START }
}

impl<D: Decider> Given<D>
where
    D::Event: Debug + PartialEq + Clone,
    D::Rejection: Debug + PartialEq,
{
    /// So many seconds after the start.
    pub fn at(mut self, seconds: u64) -> Self {
        self.now = START.plus_seconds(seconds);
        self
    }

    /// Somebody asks for this. Whatever is due happens first.
    pub fn when(mut self, command: D::Command) -> When<D> {
        let context = Context { now: self.now, actor: ActorRef::new("test").expect("a good name") };
        let due = D::due(&self.state, self.now);
        for event in &due {
            D::evolve(&mut self.state, event);
        }
        let result = D::decide(&self.state, &command, &context);
        When { due, result }
    }

    /// What the rules remember.
    pub fn state(self) -> D::State {
        self.state
    }
}

impl<D: Decider> When<D>
where
    D::Event: Debug + PartialEq + Clone,
    D::Rejection: Debug + PartialEq,
{
    /// These events, what was due included, and no others.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) {
        let mut all = self.due;
        match self.result {
            Ok(Outcome::Happened(happened)) => {
                assert!(!happened.is_empty(), "Happened without events");
                all.extend(happened);
            }
            other => panic!("expected events, got {other:?}"),
        }
        assert_eq!(all, events.into_iter().collect::<Vec<_>>());
    }

    /// It is so already.
    #[track_caller]
    pub fn then_nothing(self) {
        assert_eq!(self.result, Ok(Outcome::AlreadyHappened));
    }

    /// Refused.
    #[track_caller]
    pub fn then_rejected(self, rejection: D::Rejection) {
        assert_eq!(self.result, Err(rejection));
    }
}

/// A snapshot of the state is read back as the same state, in the compact form in which it is
/// kept (postcard) and in JSON.
#[track_caller]
pub fn snapshot_keeps<S>(state: &S)
where
    S: Debug + PartialEq + serde::Serialize + serde::de::DeserializeOwned,
{
    let compact = postcard::to_stdvec(state).expect("a state can be written");
    assert_eq!(postcard::from_bytes::<S>(&compact).as_ref(), Ok(state));
    let json = serde_json::to_vec(state).expect("a state can be written");
    assert_eq!(&serde_json::from_slice::<S>(&json).expect("and read"), state);
}
