//! A process that dies at a chosen point: whenever the write side waits for a port, its life may
//! end, before anything is done, after it is done, or, when it appends, with only a part of it
//! done. From then on nothing of it goes on, and nobody hears from it again.

use std::{
    future::{Future, pending},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, future::BoxFuture, stream};
use hakken_commands::{
    payments::{Payments, PaymentsError, RefundOutcome, RefundRequest},
    store::{Append, Appended, EventStore, EventStream, SideStore, Snapshot, StoreError, Turn},
};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};
use tokio::sync::Notify;

/// How a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Nothing of the call is done.
    Before,
    /// Only so many streams are written, of the first append from then on that has more.
    Torn(usize),
    /// It is done, and nobody hears of it.
    After,
}

/// A call to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Of which port.
    pub port: &'static str,
    /// How many streams it appends to.
    pub streams: usize,
    /// It came back. A wait for the next events may never do so.
    pub is_done: bool,
}

impl Point {
    fn of(port: &'static str, streams: usize) -> Self {
        Self { port, streams, is_done: false }
    }
}

#[derive(Default)]
struct State {
    points: Vec<Point>,
    death: Option<(usize, Death)>,
    /// Not of any other call than an append, the first from then on.
    of_append: bool,
    /// What it died of.
    died: Option<(Point, Death)>,
}

/// The life of a process.
#[derive(Default)]
pub struct Life {
    state: Mutex<State>,
    ended: Notify,
}

impl Life {
    /// It will die at the `nth` call from now on, the next one being the first.
    pub fn die_at(&self, nth: usize, death: Death) {
        let mut state = self.state();
        state.death = Some((state.points.len() + nth, death));
        state.of_append = false;
    }

    /// It will die of the first append that is made at the `nth` call from now on or later.
    pub fn die_at_append(&self, nth: usize, death: Death) {
        self.die_at(nth, death);
        self.state().of_append = true;
    }

    /// It dies here and now, between two calls.
    pub fn kill(&self) {
        let point = Point::of("anything", 0);
        self.state().died.get_or_insert((point, Death::Before));
        self.ended.notify_waiters();
    }

    /// It will not die.
    pub fn spare(&self) {
        self.state().death = None;
    }

    /// What it died of.
    pub fn died(&self) -> Option<(Point, Death)> {
        self.state().died
    }

    /// Every call that it has made.
    pub fn points(&self) -> Vec<Point> {
        self.state().points.clone()
    }

    /// Waits for something, or until the process has died: then nothing comes.
    pub async fn unless_dead<T>(&self, wanted: impl Future<Output = T>) -> Option<T> {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if self.died().is_some() {
            return None;
        }
        tokio::select! {
            biased;
            () = ended => None,
            got = wanted => Some(got),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call; gives its number, and says how the process dies of it, if it does.
    fn call(&self, point: Point) -> (usize, Option<Death>) {
        let mut state = self.state();
        state.points.push(point);
        let count = state.points.len();
        let dies = |(at, death): &(usize, Death)| match death {
            Death::Torn(written) => *at <= count && *written < point.streams,
            _ if state.of_append => *at <= count && point.streams > 0,
            Death::Before | Death::After => *at == count,
        };
        (count, state.death.filter(dies).map(|(_, death)| death))
    }

    /// A call came back. What it brought goes with the process: a turn ends then.
    async fn ended<T>(&self, call: usize, point: Point, death: Option<Death>, done: T) -> T {
        self.state().points[call - 1].is_done = true;
        // Who waited for the next events may have been spared meanwhile. What is torn is torn.
        let spared = self.state().death.is_none();
        let death = death.filter(|death| matches!(death, Death::Torn(_)) || !spared);
        match death {
            None if self.died().is_none() => return done,
            _ => drop(done),
        }
        match death {
            Some(death) => self.end(point, death).await,
            None => pending().await,
        }
    }

    async fn end<T>(&self, point: Point, death: Death) -> T {
        self.state().died.get_or_insert((point, death));
        self.ended.notify_waiters();
        pending().await
    }

    /// Makes a call, if the process lives, and comes back if it does then.
    async fn through<T>(&self, port: &'static str, call: impl Future<Output = T>) -> T {
        if self.died().is_some() {
            return pending().await;
        }
        let point = Point::of(port, 0);
        let (number, death) = self.call(point);
        if death == Some(Death::Before) {
            return self.end(point, Death::Before).await;
        }
        let done = call.await;
        self.ended(number, point, death, done).await
    }

    async fn append<'a>(
        &self,
        append: impl FnOnce(Vec<Append>) -> BoxFuture<'a, Written>,
        mut batch: Vec<Append>,
    ) -> Written {
        if self.died().is_some() {
            drop(append);
            return pending().await;
        }
        let point = Point::of("append", batch.len());
        let (number, death) = self.call(point);
        match death {
            Some(Death::Before) => {
                // If it stood in a turn, this ends it.
                drop(append);
                return self.end(point, Death::Before).await;
            }
            Some(Death::Torn(streams)) => batch.truncate(streams),
            Some(Death::After) | None => {}
        }
        let appended = append(batch).await;
        self.ended(number, point, death, appended).await
    }
}

/// A port of a process that may die.
pub struct Mortal<T: ?Sized> {
    inner: Arc<T>,
    life: Arc<Life>,
}

impl<T: ?Sized> Mortal<T> {
    /// Of this process.
    pub fn new(inner: Arc<T>, life: Arc<Life>) -> Self {
        Self { inner, life }
    }
}

type Events = Vec<Arc<StoredEvent>>;

type Written = Result<Vec<Appended>, StoreError>;

impl EventStore for Mortal<dyn EventStore> {
    fn append(&self, batch: Vec<Append>, now: Timestamp) -> BoxFuture<'_, Written> {
        Box::pin(self.life.append(move |batch| self.inner.append(batch, now), batch))
    }

    fn turn(
        &self,
        known: Vec<(StreamId, Version)>,
    ) -> Option<BoxFuture<'static, Result<Turn, StoreError>>> {
        let (turn, life) = (self.inner.turn(known)?, self.life.clone());
        Some(Box::pin(async move {
            let mut turn = life.through("turn", turn).await?;
            let newer = std::mem::take(&mut turn.newer);
            Ok(Turn::new(newer, move |batch, now| {
                let append = move |batch| turn.append(batch, now);
                Box::pin(async move { life.append(append, batch).await })
            }))
        }))
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Events, StoreError>> {
        let read = self.inner.read_stream(stream, after, limit);
        Box::pin(self.life.through("read stream", read))
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Events, StoreError>> {
        Box::pin(self.life.through("read all", self.inner.read_all(after, limit)))
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(self.life.through("head", self.inner.head()))
    }

    fn is_sole_writer(&self) -> bool {
        self.inner.is_sole_writer()
    }

    fn follow(&self, after: Position) -> EventStream {
        let followed = (self.inner.follow(after), self.life.clone());
        Box::pin(stream::unfold(followed, |(mut events, life)| async move {
            let batch = life.through("feed", events.next()).await?;
            Some((batch, (events, life)))
        }))
    }
}

impl SideStore for Mortal<dyn SideStore> {
    fn load_snapshot(
        &self,
        stream: StreamId,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(self.life.through("load snapshot", self.inner.load_snapshot(stream)))
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        snapshot: Snapshot,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let save = async move { self.inner.save_snapshot(stream, snapshot).await };
        Box::pin(self.life.through("save snapshot", save))
    }

    fn load_checkpoint(
        &self,
        process: &'static str,
    ) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(self.life.through("load checkpoint", self.inner.load_checkpoint(process)))
    }

    fn save_checkpoint(
        &self,
        process: &'static str,
        position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        // The memory store would save as soon as it is asked; a dead process asks nothing.
        let save = async move { self.inner.save_checkpoint(process, position).await };
        Box::pin(self.life.through("save checkpoint", save))
    }
}

impl Payments for Mortal<dyn Payments> {
    fn refund(
        &self,
        request: RefundRequest,
    ) -> BoxFuture<'_, Result<RefundOutcome, PaymentsError>> {
        Box::pin(self.life.through("provider", self.inner.refund(request)))
    }
}
