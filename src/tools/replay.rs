//! `hakken replay`: one thing's history, and the state that the rules make of it, as it is or as it
//! stood at a position or a time.

use std::{panic, sync::Arc};

use anyhow::{Context, Result, bail};
use hakken_adapters::{data_dir::DataDir, system::SystemClock};
use hakken_commands::clock::Clock;
use hakken_domain::{
    Event, State,
    envelope::{Position, StoredEvent, StreamId, StreamKind},
    inventory,
    names::{HoldId, ShowId},
};
use hakken_projections::{
    feed::{EventFeed, Interest},
    models::{holds::HoldView, seat_availability::AsOf},
    past,
};
use serde_json::{Value, json};

use super::{events, print_line};
use crate::{
    cli::{self, Replayed},
    store,
};

const PAGE: usize = 5_000;

/// Runs it.
pub async fn run(options: cli::Replay) -> Result<()> {
    let dir = DataDir::at(&options.data.data);
    let opened = store::Events::open(&options.data.store, &dir).await?;
    let feed = opened.feed();
    let as_of = options.as_of.or(options.as_of_time.map(AsOf::Time));
    not_in_the_future(feed, as_of).await.with_context(|| opened.unreadable(&dir))??;
    let unreadable = || opened.unreadable(&dir);
    match options.what {
        Replayed::Stream(stream) => whole(feed, stream, as_of, options.json, &unreadable).await,
        Replayed::Hold(hold) => of_hold(feed, hold, as_of, options.json, &unreadable).await,
    }
}

/// What has not happened yet cannot be told.
async fn not_in_the_future(
    feed: &dyn EventFeed,
    as_of: Option<AsOf>,
) -> Result<Result<()>, hakken_projections::feed::FeedError> {
    Ok(match as_of {
        Some(AsOf::Position(position)) => {
            let head = feed.head().await?;
            match position > head {
                true => Err(anyhow::anyhow!(
                    "position {position} has not happened yet: the newest event is at {head}"
                )),
                false => Ok(()),
            }
        }
        Some(AsOf::Time(time)) if time > SystemClock.now() => {
            Err(anyhow::anyhow!("{time} is in the future: leave --as-of out for how it is now"))
        }
        _ => Ok(()),
    })
}

/// Had it been recorded by then?
fn stood(event: &StoredEvent, as_of: Option<AsOf>) -> bool {
    match as_of {
        None => true,
        Some(AsOf::Position(position)) => event.position <= position,
        Some(AsOf::Time(time)) => event.recorded_at <= time,
    }
}

/// Gives each event of a stream that had been recorded by then.
async fn each(
    feed: &dyn EventFeed,
    stream: StreamId,
    as_of: Option<AsOf>,
    unreadable: &impl Fn() -> String,
    mut take: impl FnMut(Arc<StoredEvent>) -> Result<()>,
) -> Result<()> {
    let mut version = 0;
    loop {
        let page = feed.read_stream(stream, version, PAGE).await.with_context(unreadable)?;
        let Some(last) = page.last() else { return Ok(()) };
        version = last.version;
        for event in page {
            if !stood(&event, as_of) {
                return Ok(());
            }
            take(event)?;
        }
    }
}

fn tell(event: &StoredEvent, json: bool) {
    print_line(&if json { events::json(event) } else { events::text(event) });
}

/// All of a stream, and its state.
async fn whole(
    feed: &dyn EventFeed,
    stream: StreamId,
    as_of: Option<AsOf>,
    json: bool,
    unreadable: &impl Fn() -> String,
) -> Result<()> {
    let mut state = State::initial(stream.kind);
    let mut newest = None;
    let mut poison = None;
    each(feed, stream, as_of, unreadable, |event| {
        tell(&event, json);
        // What comes behind an event that cannot be folded is told, and folded no more.
        if poison.is_none() {
            match event.decoded() {
                Ok(decoded) => poison = evolve(&mut state, &event, &decoded.event).err(),
                Err(error) => poison = Some(format!("position {}: {error}", event.position)),
            }
        }
        newest = Some(event);
        Ok(())
    })
    .await?;
    if let Some(poison) = poison {
        bail!("{poison}: there is no state");
    }
    let Some(newest) = newest else {
        let first = feed.read_stream(stream, 0, 1).await.with_context(unreadable)?;
        match first.first() {
            Some(first) => bail!(
                "{stream} has no events then: its first is at position {}, recorded at {}",
                first.position,
                first.recorded_at
            ),
            None => bail!("{stream} has no events: see `hakken events` for the streams there are"),
        }
    };
    let state = unfolded(serde_json::to_value(&state)?);
    if json {
        let object = json!({
            "stream": stream, "version": newest.version, "position": newest.position,
            "recorded_at": newest.recorded_at, "state": state,
        });
        print_line(&object.to_string());
    } else {
        let (version, position) = (newest.version, newest.position);
        print_line(&format!("\nstate at version {version}, position {position}:"));
        print_line(&serde_json::to_string_pretty(&state)?);
        if stream.kind == StreamKind::Show {
            let inventory = StreamId::inventory(ShowId(stream.id));
            print_line(&format!("\nits seats and holds: hakken replay {inventory}"));
        }
    }
    Ok(())
}

/// The rules refuse by a panic what they cannot have decided.
fn evolve(state: &mut State, event: &StoredEvent, fact: &Event) -> Result<(), String> {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let evolved = panic::catch_unwind(panic::AssertUnwindSafe(|| state.evolve(fact)));
    panic::set_hook(loud);
    evolved.map_err(|_| {
        format!("position {}: it does not follow from the events before it", event.position)
    })
}

/// What of a show's inventory is about one hold, and the hold.
async fn of_hold(
    feed: &dyn EventFeed,
    hold: HoldId,
    as_of: Option<AsOf>,
    json: bool,
    unreadable: &impl Fn() -> String,
) -> Result<()> {
    let Some(first) = first_of(feed, hold).await.with_context(unreadable)? else {
        bail!("hold_{hold} was never made: see `hakken events --kind seats-held`");
    };
    if !stood(&first, as_of) {
        bail!(
            "hold_{hold} was not made then: that was at position {}, recorded at {}",
            first.position,
            first.recorded_at
        );
    }
    each(feed, first.stream, as_of, unreadable, |event| {
        match event.decoded() {
            Ok(decoded) if is_about(&decoded.event, hold) => tell(&event, json),
            Ok(_) => {}
            Err(error) => bail!("position {}: {error}", event.position),
        }
        Ok(())
    })
    .await?;
    let moment = as_of.unwrap_or(AsOf::Time(SystemClock.now()));
    let view = past::hold_then(feed, ShowId(first.stream.id), hold, moment).await?;
    let view = view.context("the hold cannot be folded")?;
    let now = past::time_of(feed, moment).await.with_context(unreadable)?;
    let state = view_json(&view, now)?;
    if json {
        print_line(&json!({ "stream": first.stream, "state": state }).to_string());
    } else {
        print_line(&format!("\nthe hold as it counts at {now}:"));
        print_line(&serde_json::to_string_pretty(&state)?);
    }
    Ok(())
}

/// A hold that is over by time alone is still held as far as anything is recorded.
fn view_json(view: &HoldView, now: hakken_domain::time::Timestamp) -> Result<Value> {
    let mut state = serde_json::to_value(view)?;
    state["lasts"] = view.lasts(now).into();
    Ok(state)
}

/// The event that made a hold. Nothing but the events tells of which show it is.
async fn first_of(
    feed: &dyn EventFeed,
    hold: HoldId,
) -> Result<Option<Arc<StoredEvent>>, hakken_projections::feed::FeedError> {
    let interest = Interest { streams: &[StreamKind::Inventory], passes_over: &["sales-opened"] };
    let mut after = Position(0);
    loop {
        let page = feed.read_wanted(after, PAGE, interest).await?;
        let Some(last) = page.last() else { return Ok(None) };
        after = last.position;
        let made = page.into_iter().find(|event| {
            event.kind == "seats-held"
                && event.decoded().is_ok_and(|decoded| is_about(&decoded.event, hold))
        });
        if made.is_some() {
            return Ok(made);
        }
    }
}

fn is_about(event: &Event, hold: HoldId) -> bool {
    use inventory::Event as E;
    let Event::Inventory(fact) = event else { return false };
    match fact {
        E::SeatsHeld(fact) => fact.hold == hold,
        E::HoldExtended(fact) => fact.hold == hold,
        E::HoldConfirmed(fact) | E::OrderReseated(fact) => fact.hold == hold,
        E::HoldReleased(fact) | E::HoldExpired(fact) => fact.hold == hold,
        E::PlacesReturned(fact) => fact.hold == hold,
        E::SalesOpened(_)
        | E::SalesRulesChanged(_)
        | E::SalesClosed(_)
        | E::SeatsBlocked(_)
        | E::SeatsUnblocked(_)
        | E::AllotmentSet(_) => false,
    }
}

/// Snapshots keep some events as JSON in a text: readers want to see what is in it.
fn unfolded(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('{') => {
            serde_json::from_str(&text).map_or(Value::String(text), unfolded)
        }
        Value::Array(items) => items.into_iter().map(unfolded).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, unfolded(value))).collect()
        }
        other => other,
    }
}
