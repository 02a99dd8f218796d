//! What is told live, over WebSocket and event streams.

use std::{sync::Arc, time::Duration};

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt, stream};
use hakken_domain::{
    legs::Legs,
    names::{OrganizerId, ShowId},
};
use hakken_projections::models::seat_availability::Availability;
use tokio::{sync::watch, time::sleep};

use super::{
    connection::{argument, sees},
    context::Asked,
    feed::{self, FeedPlace, Wanted},
    queries::legs_argument,
    scalars::PositionScalar,
    types::{AvailabilityChange, Event, LegsInput, version_of},
};
use crate::{auth::Right, faults::Fault, ports::ApiContext};

/// What is told live: over WebSocket with the subprotocol `graphql-transport-ws`, and as an event
/// stream with the protocol of `graphql-sse`.
#[derive(Default)]
pub struct Subscription;

/// What is told live: over WebSocket with the subprotocol `graphql-transport-ws`, and as an event
/// stream with the protocol of `graphql-sse`.
#[Subscription]
impl Subscription {
    /// What is free of a show: first everything, then every change, holds that end by themselves
    /// included. Changes that come close together may come as one.
    async fn availability_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id of the show, which must be on sale: `show_01J…`.")]
        show: ID,
        #[graphql(desc = "On these legs; on all legs of the show if absent.")] legs: Option<
            LegsInput,
        >,
    ) -> async_graphql::Result<impl Stream<Item = AvailabilityChange> + use<>> {
        let asked = Asked::of(ctx);
        let sees = asked.with(Right::SeeShows)?.organizer;
        let show: ShowId = argument("show", &show)?;
        let legs = legs_argument(legs)?;
        let (api, models) = (asked.api.clone(), &asked.api.models);
        let now = api.write.engine().clock().now();
        // Whose show it is must be known before anything is told of it.
        let changes = models.watch_availability(sees, show, now).await.map_err(Fault::from)?;
        let unknown = || Fault::argument("show", "no show with this id is on sale");
        let changes = changes.ok_or_else(unknown)?;
        let mut watcher = Watcher { api, sees, show, legs, changes, told: None };
        let now = watcher.look().await?.ok_or_else(unknown)?;
        let first = AvailabilityChange::between(None, &now);
        watcher.told = Some(now);
        let later = stream::unfold(watcher, |mut watcher| async move {
            let change = watcher.next().await?;
            Some((change, watcher))
        });
        Ok(stream::once(async move { first }).chain(later))
    }

    /// The recorded events from a position on, and then as they happen: each once, in order,
    /// without a gap. To go on after a cut, give the position of the last one that you have.
    /// Needs the role ORGANIZER, AUDITOR or OPERATOR.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only events behind this position: 0 is the beginning; only what happens \
                          from now on if absent."
        )]
        after: Option<PositionScalar>,
        #[graphql(desc = "Only of these kinds, such as `ticket-issued`; at most 50.")]
        kinds: Option<Vec<String>>,
        #[graphql(desc = "Only of this stream: `order-01J…`.")] stream: Option<String>,
        #[graphql(desc = "For operators: only what is this organizer's, `organizer_01J…`.")]
        organizer: Option<ID>,
    ) -> async_graphql::Result<impl Stream<Item = Event> + use<>> {
        let asked = Asked::of(ctx);
        let caller = asked.with(Right::Audit)?;
        let wanted = Wanted::new(sees(caller, organizer.as_ref())?, kinds, stream)?;
        let after = match after {
            Some(after) => after.0,
            None => asked.api.feed.head().await.map_err(|_| Fault::ReadsUnavailable)?,
        };
        let place = ctx.data_opt::<Arc<FeedPlace>>().cloned().unwrap_or_default();
        Ok(feed::follow(asked.api, wanted, after, place))
    }
}

/// Watches what is free of one show.
struct Watcher {
    api: ApiContext,
    sees: Option<OrganizerId>,
    show: ShowId,
    legs: Option<Legs>,
    changes: watch::Receiver<u64>,
    told: Option<Arc<Availability>>,
}

/// The shortest time between two looks: what changes faster comes as one change.
const BREATH: Duration = Duration::from_millis(20);
/// How often is looked when nothing is known to happen.
const IDLE: Duration = Duration::from_secs(60);

impl Watcher {
    async fn look(&self) -> Result<Option<Arc<Availability>>, Fault> {
        let now = self.api.write.engine().clock().now();
        Ok(self.api.models.availability(self.sees, self.show, self.legs, now).await?)
    }

    /// The next change; none once the read side has ended.
    async fn next(&mut self) -> Option<AvailabilityChange> {
        loop {
            let expiry = self.until_expiry();
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = sleep(expiry) => {}
            }
            sleep(BREATH).await;
            let now = match self.look().await {
                Ok(Some(now)) => now,
                // The read model cannot be read just now: look again a little later.
                Ok(None) | Err(_) => continue,
            };
            let before = self.told.as_deref();
            if before.is_some_and(|before| version_of(before) == version_of(&now)) {
                continue;
            }
            let change = AvailabilityChange::between(before, &now);
            self.told = Some(now);
            if !change.is_empty() {
                return Some(change);
            }
        }
    }

    /// Until the next hold ends by itself.
    fn until_expiry(&self) -> Duration {
        let expiry = self.told.as_ref().and_then(|told| told.next_expiry);
        let Some(expiry) = expiry else { return IDLE };
        let now = self.api.write.engine().clock().now();
        let micros = expiry.as_micros().saturating_sub(now.as_micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or(0)).clamp(BREATH, IDLE)
    }
}
