//! Lists that leave the core to others while a large answer is made. A hall of 40,000 seats takes
//! a tenth of a second and more to be told, and nothing else would run on that core meanwhile.
//!
//! Elements take turns: so many of one answer are resolved before whoever else waits gets the core.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_graphql::{
    ContextSelectionSet, OutputType, Positioned, ServerResult, Value, parser::types::Field,
    registry::Registry, resolver_utils::resolve_list,
};
use tokio::task::{spawn_blocking, yield_now};

/// Elements that are resolved at once: some milliseconds, at some microseconds for each.
const AT_ONCE: u64 = 512;
/// An answer of more turns is large: it is written beside those who wait for something else.
const LARGE: u64 = 4;
/// The number of the round stands above the turns that were asked for in it.
const ROUND: u32 = 32;

/// How far the making of one answer is: the round, and the turns that were asked for in it.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// Waits until one more element may be resolved.
    async fn turn(&self) {
        loop {
            let before = self.0.fetch_add(1, Ordering::Relaxed);
            let round = before >> ROUND;
            if before & ((1 << ROUND) - 1) < AT_ONCE {
                return;
            }
            yield_now().await;
            // Who comes back first begins the next round, for all.
            let next = (round + 1) << ROUND;
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now >> ROUND == round).then_some(next)
            });
        }
    }

    /// Does what is to be done with the whole answer, away from the core if it is large; then
    /// another answer begins. None if the runtime ends before.
    pub(crate) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.ends_large() { spawn_blocking(work).await.ok() } else { Some(work()) }
    }

    /// Ends an answer. True if so much was resolved that writing it down takes its time, too.
    fn ends_large(&self) -> bool {
        self.0.swap(0, Ordering::Relaxed) >> ROUND >= LARGE
    }
}

/// The pace of the answer that this is a part of; the schema alone, as tests ask it, has none.
fn pace<'a>(ctx: &ContextSelectionSet<'a>) -> Option<&'a Arc<Pace>> {
    ctx.data_opt::<Arc<Pace>>()
}

/// A list whose elements are resolved together, so that what they link to is asked for together.
#[derive(Debug, Clone)]
pub struct Together<T>(pub Vec<T>);

/// A list of plain values, whose elements link to nothing: one is resolved after the other, which
/// takes less memory and time.
#[derive(Debug, Clone)]
pub struct OneByOne<T>(pub Vec<T>);

impl<T> FromIterator<T> for Together<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

impl<T> FromIterator<T> for OneByOne<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

/// An element that waits for its turn.
struct InTurn<'a, T>(&'a T);

impl<T: OutputType> OutputType for InTurn<'_, T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        T::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        if let Some(pace) = pace(ctx) {
            pace.turn().await;
        }
        self.0.resolve(ctx, field).await
    }
}

impl<T: OutputType> OutputType for Together<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        resolve_list(ctx, field, self.0.iter().map(InTurn), Some(self.0.len())).await
    }
}

impl<T: OutputType> OutputType for OneByOne<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let pace = pace(ctx);
        let mut values = Vec::with_capacity(self.0.len());
        for (at, element) in self.0.iter().enumerate() {
            if let Some(pace) = pace {
                pace.turn().await;
            }
            let ctx = ctx.with_index(at);
            let value = element.resolve(&ctx, field).await;
            values.push(value.map_err(|error| ctx.set_error_path(error))?);
        }
        Ok(Value::List(values))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use async_graphql::{EmptyMutation, EmptySubscription, Object, Request, Schema, SimpleObject};

    use super::*;

    #[derive(Debug, SimpleObject)]
    struct Inner {
        values: OneByOne<Plain>,
    }

    #[derive(Debug, SimpleObject)]
    struct Plain {
        value: usize,
    }

    struct Query;

    #[Object]
    impl Query {
        async fn together(&self, outer: usize, inner: usize) -> Together<Inner> {
            (0..outer).map(|_| Inner { values: (0..inner).map(plain).collect() }).collect()
        }
    }

    fn plain(value: usize) -> Plain {
        Plain { value }
    }

    /// Carries a query out, and counts how often it had the core.
    async fn steps(outer: usize, inner: usize) -> (usize, Arc<Pace>) {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let pace = Arc::new(Pace::default());
        let text =
            format!("{{ together(outer: {outer}, inner: {inner}) {{ values {{ value }} }} }}");
        let mut answer = pin!(schema.execute(Request::new(text).data(pace.clone())));
        let mut steps = 0;
        let response = poll_fn(|context| {
            steps += 1;
            answer.as_mut().poll(context)
        });
        let response = response.await;
        assert!(response.is_ok(), "{:?}", response.errors);
        let data = response.data.into_json().unwrap();
        let lists = data["together"].as_array().unwrap();
        assert_eq!(lists.len(), outer);
        for list in lists {
            let values = list["values"].as_array().unwrap();
            let values: Vec<_> = values.iter().map(|it| it["value"].as_u64()).collect();
            assert_eq!(values, (0..inner as u64).map(Some).collect::<Vec<_>>());
        }
        (steps, pace)
    }

    #[tokio::test]
    async fn a_small_answer_is_made_at_once() {
        let (steps, pace) = steps(20, 20).await;
        assert_eq!(steps, 1);
        assert!(!pace.ends_large());
    }

    #[tokio::test]
    async fn a_large_answer_gives_the_core_away_again_and_again() {
        for (outer, inner) in [(1, 40_000), (400, 100), (20_000, 1), (4_000, 0)] {
            let (steps, pace) = steps(outer, inner).await;
            let rounds = (outer * (inner + 1)) as u64 / AT_ONCE;
            assert!(steps as u64 >= rounds / 2, "{outer} of {inner}: {steps} steps");
            assert!(pace.ends_large(), "{outer} of {inner}");
            assert!(!pace.ends_large(), "the next answer is another one");
        }
    }
}
