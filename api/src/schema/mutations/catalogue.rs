//! What there is to sell: venues, shows, ticket types.

use async_graphql::{Context, ID, InputObject, Object};
use hakken_domain::{
    Command, State,
    envelope::StreamId,
    legs,
    names::{ShowId, VenueId},
    seatmap::{self, Point},
    show::{self, Issuance, ShowScheduled},
    ticket::EntryRule,
    venue,
};

use super::command::{Ask, Stamp, Stop, bad_input, carry_out, payload};
use crate::{
    auth::Right,
    codes::{ErrorCode, UserError},
    ports::SeatMapOptions,
    refusals,
    schema::{
        context::Answer,
        load,
        scalars::{CurrencyCode, DateTime, MinorUnits},
        types::{IssuanceMode, LegsInput, Show, Venue},
    },
};

/// A point of a seat map, in hundredths of the map's own unit; y grows downwards.
#[derive(Debug, Clone, Copy, InputObject)]
pub struct PointInput {
    /// To the right.
    x: i32,
    /// Down.
    y: i32,
}

/// Unnumbered capacity that is added to a seat map.
#[derive(Debug, InputObject)]
pub struct PoolInput {
    /// Its name, unique in the map: `floor`.
    name: String,
    /// How many places it has.
    capacity: u32,
    /// Its price category: `S`.
    category: String,
}

/// The text of a seat map, and what it does not say itself.
#[derive(Debug, InputObject)]
pub struct SeatMapInput {
    /// A pretix seating plan, or Hakken's own form, as JSON in a text. Send it in a variable:
    /// `{"name": "Hall", …}`.
    json: String,
    /// Another name than the one in the text: `Main Hall`.
    name: Option<String>,
    /// The price categories whose seats are wheelchair places, where the format cannot say so:
    /// `["wheelchair"]`. By default those with a name that says so.
    wheelchair_categories: Option<Vec<String>>,
    /// Unnumbered capacity, where the format has none.
    #[graphql(default)]
    pools: Vec<PoolInput>,
    /// Where people want to look, where the format does not say so.
    focus: Option<PointInput>,
}

/// A new venue.
#[derive(Debug, InputObject)]
pub struct RegisterVenueInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// What people call it: `Main Hall`.
    name: String,
    /// Its seats and pools.
    seat_map: SeatMapInput,
}

payload! {
    /// What came of `registerVenue`.
    RegisterVenuePayload {
        /// The new venue.
        venue: Venue,
    }
}

/// Another seat map of a venue.
#[derive(Debug, InputObject)]
pub struct ReplaceSeatMapInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which venue: `venue_01J…`.
    venue: ID,
    /// Its seats and pools.
    seat_map: SeatMapInput,
}

payload! {
    /// What came of `replaceSeatMap`.
    ReplaceSeatMapPayload {
        /// The venue, with its new map.
        venue: Venue,
    }
}

/// When one may come in.
#[derive(Debug, InputObject)]
pub struct EntryInput {
    /// No entry before; two hours before the show if absent.
    valid_from: Option<DateTime>,
    /// No entry from then on; the end of the show if absent.
    valid_until: Option<DateTime>,
    /// Who went out may come in again.
    #[graphql(default)]
    reentry: bool,
}

/// How and until when tickets are given out.
#[derive(Debug, InputObject)]
pub struct IssuanceInput {
    /// By themselves, or when the buyer fetches them.
    mode: IssuanceMode,
    /// The last moment to fetch them (発券期限), for `ON_REQUEST`.
    until: Option<DateTime>,
}

/// A new show.
#[derive(Debug, InputObject)]
pub struct ScheduleShowInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// What people call it: `Spring Concert`.
    name: String,
    /// Where it takes place: `venue_01J…`.
    venue: ID,
    /// When it begins.
    starts_at: DateTime,
    /// When it ends.
    ends_at: DateTime,
    /// The names of its stops, one more than it has legs: `["Tokyo", "Nagoya", "Osaka"]`. Leave it
    /// out for a concert.
    #[graphql(default)]
    stops: Vec<String>,
    /// Of every price: `JPY`.
    #[graphql(default_with = "CurrencyCode(\"JPY\".to_owned())")]
    currency: CurrencyCode,
    /// When one may come in.
    entry: Option<EntryInput>,
    /// How its tickets are given out; by themselves if absent.
    issuance: Option<IssuanceInput>,
}

/// The price for one range of legs.
#[derive(Debug, InputObject)]
pub struct FareInput {
    /// From where to where.
    legs: LegsInput,
    /// For one place, in minor units of the show's currency.
    price_minor: MinorUnits,
}

/// A ticket type (券種), or its new terms.
#[derive(Debug, InputObject)]
pub struct OfferTicketTypeInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which show: `show_01J…`.
    show: ID,
    /// Its short name, unique in the show: `adult`, `学生`. One that is offered already gets
    /// these terms; what is ordered already keeps its price.
    ticket_type: String,
    /// What people call it: `Adult`.
    name: String,
    /// For one place, on any legs for which `fares` says nothing; in minor units.
    price_minor: MinorUnits,
    /// Prices for certain ranges of legs.
    #[graphql(default)]
    fares: Vec<FareInput>,
    /// Only for seats and pools of these categories; for all if empty. `["S", "A"]`, say.
    #[graphql(default)]
    categories: Vec<String>,
    /// Only for these pools, whatever their category: `["floor"]`.
    #[graphql(default)]
    pools: Vec<String>,
}

/// A ticket type that is offered no more.
#[derive(Debug, InputObject)]
pub struct WithdrawTicketTypeInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which show: `show_01J…`.
    show: ID,
    /// Its short name: `adult`.
    ticket_type: String,
}

/// A show that will not take place.
#[derive(Debug, InputObject)]
pub struct CancelShowInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which show: `show_01J…`.
    show: ID,
    /// Why, in words that the audit log keeps: `rain`.
    reason: String,
}

macro_rules! show_payloads {
    ($($name:ident of $mutation:literal;)*) => {
        $(payload! {
            #[doc = $mutation]
            $name {
                /// The show as it is now.
                show: Show,
            }
        })*
    };
}

show_payloads! {
    ScheduleShowPayload of "What came of `scheduleShow`.";
    OfferTicketTypePayload of "What came of `offerTicketType`.";
    WithdrawTicketTypePayload of "What came of `withdrawTicketType`.";
    CancelShowPayload of "What came of `cancelShow`.";
}

#[derive(Default)]
pub(super) struct CatalogueMutation;

#[Object]
impl CatalogueMutation {
    /// Registers a place with its seats and pools. Needs the role ORGANIZER.
    async fn register_venue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RegisterVenueInput,
    ) -> Answer<RegisterVenuePayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let organizer = ask.organizer()?;
            let venue = VenueId::derived(&organizer.to_string(), ask.key().as_str());
            let name = ask.read("name", &input.name)?;
            let seat_map = Box::new(seat_map(&ask, input.seat_map).await?);
            let command = venue::Command::RegisterVenue { name, seat_map };
            let (venue, stamp) = tell_venue(&ask, venue, command).await?;
            Ok(RegisterVenuePayload::done(stamp, venue))
        })
        .await
    }

    /// Gives a venue another seat map. Shows that are on sale keep theirs. Needs the role
    /// ORGANIZER.
    async fn replace_seat_map(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ReplaceSeatMapInput,
    ) -> Answer<ReplaceSeatMapPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let venue: VenueId = ask.id("venue", &input.venue)?;
            let seat_map = Box::new(seat_map(&ask, input.seat_map).await?);
            let command = venue::Command::ReplaceSeatMap { seat_map };
            let (venue, stamp) = tell_venue(&ask, venue, command).await?;
            Ok(ReplaceSeatMapPayload::done(stamp, venue))
        })
        .await
    }

    /// Announces that a show takes place. Offer ticket types and open its sales next. Needs the
    /// role ORGANIZER.
    async fn schedule_show(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ScheduleShowInput,
    ) -> Answer<ScheduleShowPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let organizer = ask.organizer()?;
            let show = ShowId::derived(&organizer.to_string(), ask.key().as_str());
            let scheduled = scheduled(&ask, input)?;
            let known = load::look(ask.asked.api, Some(organizer), scheduled.venue, |state, _| {
                let State::Venue(venue) = state else { return None };
                venue.name().map(|_| ())
            });
            if known.await?.is_none() {
                let kind = hakken_domain::envelope::StreamKind::Venue;
                return Err(ask.stop(refusals::not_yours(kind)));
            }
            let command = show::Command::ScheduleShow(Box::new(scheduled));
            let (show, stamp) = tell_show(&ask, show, command).await?;
            Ok(ScheduleShowPayload::done(stamp, show))
        })
        .await
    }

    /// Offers a ticket type of a show, or changes its terms. Needs the role ORGANIZER.
    async fn offer_ticket_type(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: OfferTicketTypeInput,
    ) -> Answer<OfferTicketTypePayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let show = ask.id("show", &input.show)?;
            let terms = Box::new(terms(&ask, &input)?);
            let command = show::Command::OfferTicketType(terms);
            let (show, stamp) = tell_show(&ask, show, command).await?;
            Ok(OfferTicketTypePayload::done(stamp, show))
        })
        .await
    }

    /// Offers a ticket type no more. What is ordered already stays. Needs the role ORGANIZER.
    async fn withdraw_ticket_type(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: WithdrawTicketTypeInput,
    ) -> Answer<WithdrawTicketTypePayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let show = ask.id("show", &input.show)?;
            let ticket_type = ask.read("ticketType", &input.ticket_type)?;
            let command = show::Command::WithdrawTicketType { ticket_type };
            let (show, stamp) = tell_show(&ask, show, command).await?;
            Ok(WithdrawTicketTypePayload::done(stamp, show))
        })
        .await
    }

    /// Calls a show off and ends its sales. Its orders stay: cancel each with what its buyer gets
    /// back. Needs the role ORGANIZER.
    async fn cancel_show(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CancelShowInput,
    ) -> Answer<CancelShowPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let organizer = ask.organizer()?;
            let show: ShowId = ask.id("show", &input.show)?;
            let reason = ask.read("reason", &input.reason)?;
            let desk = ask.asked.api.write.desk();
            let outcome = desk.cancel_show(ask.asker(Some(organizer)), show, reason).await;
            let receipt = ask.told(StreamId::show(show), outcome)?;
            let fresh = load::show(ask.asked.api, Some(organizer), show).await?;
            Ok(CancelShowPayload::done((&receipt).into(), fresh))
        })
        .await
    }
}

async fn tell_venue(
    ask: &Ask<'_>,
    venue: VenueId,
    command: venue::Command,
) -> Result<(Option<Venue>, Stamp), Stop> {
    let stamp = tell(ask, venue, command).await?;
    Ok((load::venue(ask.asked.api, Some(ask.organizer()?), venue).await?, stamp))
}

async fn tell_show(
    ask: &Ask<'_>,
    show: ShowId,
    command: show::Command,
) -> Result<(Option<Show>, Stamp), Stop> {
    let stamp = tell(ask, StreamId::show(show), command).await?;
    Ok((load::show(ask.asked.api, Some(ask.organizer()?), show).await?, stamp))
}

async fn tell(
    ask: &Ask<'_>,
    stream: impl Into<StreamId>,
    command: impl Into<Command>,
) -> Result<Stamp, Stop> {
    let stream = stream.into();
    let asker = ask.asker(Some(ask.organizer()?));
    let receipt = ask.told(stream, ask.asked.api.write.desk().ask(asker, stream, command).await)?;
    Ok((&receipt).into())
}

/// Reads the text of a seat map, beside the requests that wait: a large one takes a while.
async fn seat_map(ask: &Ask<'_>, input: SeatMapInput) -> Result<seatmap::SeatMap, Stop> {
    let pool = |(at, pool): (usize, &PoolInput)| {
        Ok(seatmap::Pool {
            id: ask.read(&format!("seatMap.pools.{at}.name"), &pool.name)?,
            capacity: pool.capacity,
            category: ask.read(&format!("seatMap.pools.{at}.category"), &pool.category)?,
        })
    };
    let categories = input.wheelchair_categories.as_deref();
    let options = SeatMapOptions {
        wheelchair_categories: categories
            .map(|names| ask.list("seatMap.wheelchairCategories", names))
            .transpose()?,
        pools: input.pools.iter().enumerate().map(pool).collect::<Result<_, Stop>>()?,
        focus: input.focus.map(|point| Point { x: point.x, y: point.y }),
    };
    let name = ask.maybe("seatMap.name", input.name.as_deref())?;
    let reader = ask.asked.api.seat_maps.clone();
    let read = tokio::task::spawn_blocking(move || reader.read(&input.json, &options));
    let read = read.await.map_err(|error| crate::faults::Fault::Internal(error.to_string()))?;
    let renamed = |map: seatmap::SeatMap| match name {
        Some(name) => seatmap::SeatMap { name, ..map },
        None => map,
    };
    read.map(renamed).map_err(|problem| {
        let message = if problem.at.is_empty() {
            format!("{}.", problem.reason)
        } else {
            format!("At {}: {}.", problem.at, problem.reason)
        };
        let field = Some("seatMap.json".to_owned());
        Stop::Refused(UserError { code: ErrorCode::SeatMapInvalid, message, field })
    })
}

fn scheduled(ask: &Ask<'_>, input: ScheduleShowInput) -> Result<ShowScheduled, Stop> {
    const DOORS_OPEN_SECONDS: u64 = 2 * 3_600;
    let (starts_at, ends_at) = (input.starts_at.0, input.ends_at.0);
    let entry =
        input.entry.unwrap_or(EntryInput { valid_from: None, valid_until: None, reentry: false });
    let doors = starts_at.minus_seconds(DOORS_OPEN_SECONDS);
    let issuance = match input.issuance {
        None => Issuance::Immediate,
        Some(IssuanceInput { mode: IssuanceMode::Immediate, until: None }) => Issuance::Immediate,
        Some(IssuanceInput { mode: IssuanceMode::OnRequest, until: Some(until) }) => {
            Issuance::OnRequest { until: until.0 }
        }
        Some(_) => {
            return Err(bad_input(
                Some("issuance.until"),
                "ON_REQUEST needs the last moment to fetch tickets, IMMEDIATE has none",
            ));
        }
    };
    Ok(ShowScheduled {
        name: ask.read("name", &input.name)?,
        venue: ask.id("venue", &input.venue)?,
        starts_at,
        ends_at,
        stops: ask.list("stops", &input.stops)?,
        currency: ask.read("currency", &input.currency.0)?,
        entry: EntryRule {
            valid_from: entry.valid_from.map_or(doors, |from| from.0),
            valid_until: entry.valid_until.map_or(ends_at, |until| until.0),
            reentry: entry.reentry,
        },
        issuance,
    })
}

fn terms(ask: &Ask<'_>, input: &OfferTicketTypeInput) -> Result<show::TicketType, Stop> {
    let fare = |(at, fare): (usize, &FareInput)| {
        let legs = legs::Legs::new(fare.legs.from, fare.legs.to);
        let field = format!("fares.{at}.legs");
        Ok(show::Fare {
            legs: legs.map_err(|error| bad_input(Some(&field), error))?,
            price_minor: fare.price_minor.0,
        })
    };
    Ok(show::TicketType {
        ticket_type: ask.read("ticketType", &input.ticket_type)?,
        name: ask.read("name", &input.name)?,
        price_minor: input.price_minor.0,
        fares: input.fares.iter().enumerate().map(fare).collect::<Result<_, Stop>>()?,
        categories: ask.list("categories", &input.categories)?,
        pools: ask.list("pools", &input.pools)?,
    })
}
