//! What a show sells and when: opening sales, their rules, blocked seats, allotments.

use async_graphql::{Context, ID, InputObject, Object};
use hakken_domain::{
    envelope::StreamId,
    inventory::{self, Command},
    names::ShowId,
};

use super::{
    command::{Ask, Stamp, Stop, carry_out, payload},
    sales::pool_places,
};
use crate::{
    auth::Right,
    schema::{
        context::Answer,
        load,
        types::{PoolPlacesInput, SalesRulesInput, Show},
    },
};

/// Which show `openSales` puts on sale, and by which rules.
#[derive(Debug, InputObject)]
pub struct OpenSalesInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which show: `show_01J…`.
    show: ID,
    /// When and how much one may buy.
    rules: SalesRulesInput,
}

/// The rules by which a show is sold from now on.
#[derive(Debug, InputObject)]
pub struct ChangeSalesRulesInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which show: `show_01J…`.
    show: ID,
    /// When and how much one may buy.
    rules: SalesRulesInput,
}

/// Which show is no longer sold.
#[derive(Debug, InputObject)]
pub struct CloseSalesInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which show: `show_01J…`.
    show: ID,
    /// Why, in words that the audit log keeps: `rain`.
    reason: String,
}

/// Seats that are taken out of sale.
#[derive(Debug, InputObject)]
pub struct BlockSeatsInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which show: `show_01J…`.
    show: ID,
    /// Which seats, by their names in the seat map: `["A1", "A2"]`. They must be free.
    seats: Vec<String>,
    /// Why, in words that the audit log keeps: `rain`.
    reason: String,
}

/// Seats that are put back on sale.
#[derive(Debug, InputObject)]
pub struct UnblockSeatsInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which show: `show_01J…`.
    show: ID,
    /// Which seats, by their names in the seat map: `["A1", "A2"]`.
    seats: Vec<String>,
}

/// Seats and places that are kept for somebody, as a whole: it replaces what the allotment had.
#[derive(Debug, InputObject)]
pub struct SetAllotmentInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which show: `show_01J…`.
    show: ID,
    /// For whom: `sponsors`, `fan-club`. Holds that name it get its places.
    allotment: String,
    /// Seats only for them, by their names in the seat map: `["A1", "A2"]`.
    #[graphql(default)]
    seats: Vec<String>,
    /// Pool places only for them. Without seats and pools the allotment is dissolved.
    #[graphql(default)]
    pools: Vec<PoolPlacesInput>,
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
    OpenSalesPayload of "What came of `openSales`.";
    ChangeSalesRulesPayload of "What came of `changeSalesRules`.";
    CloseSalesPayload of "What came of `closeSales`.";
    BlockSeatsPayload of "What came of `blockSeats`.";
    UnblockSeatsPayload of "What came of `unblockSeats`.";
    SetAllotmentPayload of "What came of `setAllotment`.";
}

#[derive(Default)]
pub(super) struct InventoryMutation;

#[Object]
impl InventoryMutation {
    /// Puts a show on sale, with its venue's seat map as it is now. Needs the role ORGANIZER.
    async fn open_sales(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: OpenSalesInput,
    ) -> Answer<OpenSalesPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let show: ShowId = ask.id("show", &input.show)?;
            let asker = ask.asker(Some(ask.organizer()?));
            let rules = inventory::SalesRules::from(input.rules);
            let outcome = ask.asked.api.write.desk().open_sales(asker, show, rules).await;
            let receipt = ask.desk(StreamId::inventory(show), outcome)?;
            Ok(OpenSalesPayload::done((&receipt).into(), fresh(&ask, show).await?))
        })
        .await
    }

    /// Changes when and how much one may buy. What is held and sold stays. Needs the role
    /// ORGANIZER.
    async fn change_sales_rules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ChangeSalesRulesInput,
    ) -> Answer<ChangeSalesRulesPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let command = Command::ChangeSalesRules(input.rules.into());
            let (show, stamp) = tell(&ask, &input.show, command).await?;
            Ok(ChangeSalesRulesPayload::done(stamp, show))
        })
        .await
    }

    /// Ends the sales of a show. What is held may still be paid. Needs the role ORGANIZER.
    async fn close_sales(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CloseSalesInput,
    ) -> Answer<CloseSalesPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let reason = ask.read("reason", &input.reason)?;
            let (show, stamp) = tell(&ask, &input.show, Command::CloseSales { reason }).await?;
            Ok(CloseSalesPayload::done(stamp, show))
        })
        .await
    }

    /// Takes free seats out of sale. Needs the role ORGANIZER.
    async fn block_seats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: BlockSeatsInput,
    ) -> Answer<BlockSeatsPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let seats = ask.list("seats", &input.seats)?;
            let reason = ask.read("reason", &input.reason)?;
            let command = Command::BlockSeats { seats, reason };
            let (show, stamp) = tell(&ask, &input.show, command).await?;
            Ok(BlockSeatsPayload::done(stamp, show))
        })
        .await
    }

    /// Puts blocked seats back on sale. Needs the role ORGANIZER.
    async fn unblock_seats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: UnblockSeatsInput,
    ) -> Answer<UnblockSeatsPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let seats = ask.list("seats", &input.seats)?;
            let (show, stamp) = tell(&ask, &input.show, Command::UnblockSeats { seats }).await?;
            Ok(UnblockSeatsPayload::done(stamp, show))
        })
        .await
    }

    /// Keeps seats and pool places for somebody. Needs the role ORGANIZER.
    async fn set_allotment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SetAllotmentInput,
    ) -> Answer<SetAllotmentPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Manage, key, |ask| async move {
            let command = Command::SetAllotment {
                allotment: ask.read("allotment", &input.allotment)?,
                seats: ask.list("seats", &input.seats)?,
                pools: pool_places(&ask, &input.pools)?,
            };
            let (show, stamp) = tell(&ask, &input.show, command).await?;
            Ok(SetAllotmentPayload::done(stamp, show))
        })
        .await
    }
}

async fn fresh(ask: &Ask<'_>, show: ShowId) -> Result<Option<Show>, Stop> {
    Ok(load::show(ask.asked.api, Some(ask.organizer()?), show).await?)
}

async fn tell(ask: &Ask<'_>, show: &ID, command: Command) -> Result<(Option<Show>, Stamp), Stop> {
    let show: ShowId = ask.id("show", show)?;
    let stream = StreamId::inventory(show);
    let asker = ask.asker(Some(ask.organizer()?));
    let receipt = ask.told(stream, ask.asked.api.write.desk().ask(asker, stream, command).await)?;
    Ok((fresh(ask, show).await?, (&receipt).into()))
}
