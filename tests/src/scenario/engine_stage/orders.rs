//! What a buyer and an organizer do with an order.

use hakken_commands::{
    desk::{Line as OrderLine, PlaceOrder, PlaceWish, TicketWish},
    engine::{Asker, Receipt},
};
use hakken_domain::{
    Event,
    money::Currency,
    names::{CancellationId, OrderId, PaymentId, PaymentMethod, RefundId},
    order::{self, OrderStatus, Payment, RefundPolicy, RefundState},
};

use super::{Args, EngineStage, Said, done, order_id, parse, refused, refused_at_desk};
use crate::world::name;

fn order_event(receipt: &Receipt) -> impl Iterator<Item = &order::Event> {
    receipt.events.iter().filter_map(|event| match &event.decoded().ok()?.event {
        Event::Order(event) => Some(event),
        _ => None,
    })
}

fn join(items: impl IntoIterator<Item = u16>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

impl EngineStage {
    /// `order O1 H1 A2:child floor*2:child H2 [as=adult] [buyer=b1]`: everything that the holds
    /// have, as `adult` unless a word behind the hold says otherwise.
    pub(super) async fn order(&mut self, args: &mut Args, asker: Asker) -> Said {
        let called = args.word("the order")?;
        let usual = args.option("as").unwrap_or_else(|| "adult".to_owned());
        let buyer = args.option("buyer");
        let mut lines: Vec<OrderLine> = Vec::new();
        let mut owner = buyer;
        for word in args.rest() {
            let Some((place, ticket_type)) = word.split_once(':') else {
                let hold = self.known_hold(&word)?;
                owner.get_or_insert_with(|| hold.buyer.clone());
                lines.push(OrderLine {
                    show: super::show_id(&hold.show),
                    hold: hold.id,
                    ticket_type: Some(parse(&usual)?),
                    tickets: Vec::new(),
                });
                continue;
            };
            let line = lines.last_mut().ok_or("a place stands before any hold")?;
            let place = match place.split_once('*') {
                Some((pool, count)) => PlaceWish::Pool(parse(pool)?, parse(count)?),
                None => PlaceWish::Seat(parse(place)?),
            };
            line.tickets.push(TicketWish { place, ticket_type: parse(ticket_type)? });
        }
        let buyer = parse(&owner.unwrap_or_else(|| "buyer".to_owned()))?;
        let placed =
            self.world.desk().place_order(asker, order_id(&called), PlaceOrder { buyer, lines });
        match placed.await {
            Err(error) => Ok(refused_at_desk(&error)),
            Ok(receipt) => {
                if !self.orders.contains(&called) {
                    self.orders.push(called);
                }
                let total = order_event(&receipt).find_map(|event| match event {
                    order::Event::OrderPlaced(placed) => Some(placed.total_minor),
                    _ => None,
                });
                Ok(total.map_or("placed already".to_owned(), |total| format!("placed {total}")))
            }
        }
    }

    /// `pay O1 [5000] [id=p1] [currency=EUR] [method=card] [partial]`: all that is due, unless an
    /// amount stands there. The answer is where the order stands then.
    pub(super) async fn pay(&mut self, args: &mut Args, asker: Asker, key: &str) -> Said {
        let called = args.word("the order")?;
        let order = order_id(&called);
        let partial = args.flag("partial");
        let method = args.option("method").unwrap_or_else(|| "card".to_owned());
        let id = args.option("id").unwrap_or_else(|| format!("pay-{called}-{key}"));
        let currency = args.parsed::<Currency>("currency")?;
        let amount = args.maybe_word().map(|amount| parse::<u64>(&amount)).transpose()?;
        let (payment, currency) = match self.payments.get(key) {
            Some(same) => same.clone(),
            None => {
                let state = self.world.order_state(order).await;
                let payment = Payment {
                    payment: parse::<PaymentId>(&id)?,
                    method: parse::<PaymentMethod>(&method)?,
                    amount_minor: amount.unwrap_or_else(|| state.due_minor()),
                };
                let currency = currency.or(state.currency()).unwrap_or(Currency::JPY);
                self.payments.insert(key.to_owned(), (payment.clone(), currency));
                (payment, currency)
            }
        };
        match self.world.desk().pay(asker, order, vec![payment], currency, partial).await {
            Err(error) => Ok(refused(&error)),
            Ok(_) => {
                self.world.rest().await;
                Ok(self.standing(order).await)
            }
        }
    }

    /// Where an order stands, by its own stream.
    async fn standing(&self, order: OrderId) -> String {
        let state = self.world.order_state(order).await;
        match (state.status(), state.due_minor()) {
            (OrderStatus::Pending | OrderStatus::Confirmed, due) if due > 0 => format!("due {due}"),
            (status, _) => format!("{status:?}").to_lowercase(),
        }
    }

    /// `cancel O1 [1 2] [keep=500 | keep=all] [even-if-used]`
    pub(super) async fn cancel(&mut self, args: &mut Args, asker: Asker) -> Said {
        let order = order_id(&args.word("the order")?);
        let refund = match args.option("keep").as_deref() {
            None => RefundPolicy::Full,
            Some("all") => RefundPolicy::Nothing,
            Some(fee) => RefundPolicy::KeepFeeMinor(parse(fee)?),
        };
        let even_if_used = args.flag("even-if-used");
        let items = args.rest().iter().map(|item| parse(item)).collect::<Result<Vec<u16>, _>>()?;
        let key = asker.key.as_ref().map_or("", |(key, _)| key.as_str());
        let command = order::Command::Cancel {
            cancellation: CancellationId::derived(&order.to_string(), key),
            items,
            refund,
            even_if_used,
            reason: name("都合により"),
        };
        let receipt = match self.world.desk().cancel(asker, order, command).await {
            Err(error) => return Ok(refused(&error)),
            Ok((receipt, _)) => receipt,
        };
        self.world.rest().await;
        let asked = order_event(&receipt).find_map(|event| match event {
            order::Event::CancellationRequested(asked) => Some(asked.items.clone()),
            _ => None,
        });
        let Some(asked) = asked else { return Ok("cancelled".to_owned()) };
        let state = self.world.order_state(order).await;
        let is_cancelled = |item: &u16| state.item(*item).is_some_and(|item| item.cancelled);
        let (cancelled, used): (Vec<u16>, Vec<u16>) = asked.into_iter().partition(is_cancelled);
        let mut said = Vec::new();
        if !cancelled.is_empty() {
            said.push(format!("cancelled {}", join(cancelled)));
        }
        if !used.is_empty() {
            said.push(format!("used {}", join(used)));
        }
        Ok(said.join(", "))
    }

    /// `refund O1 1000 [currency=EUR] [as=goodwill-1]`
    pub(super) async fn refund(&mut self, args: &mut Args, asker: Asker) -> Said {
        let order = order_id(&args.word("the order")?);
        let amount_minor = parse(&args.word("the amount")?)?;
        let currency = args.parsed("currency")?.unwrap_or(Currency::JPY);
        let key = asker.key.as_ref().map_or("", |(key, _)| key.as_str()).to_owned();
        let called = args.option("as").unwrap_or(key);
        let refund = RefundId::derived("scenario", &called);
        let command = order::Command::RefundMoney { refund, amount_minor, currency };
        Ok(done(self.world.desk().ask(asker, order, command).await, "refunding"))
    }

    /// `retry O1`: the first refund that failed and was not tried again.
    pub(super) async fn retry(&mut self, args: &mut Args, asker: Asker, key: &str) -> Said {
        let order = order_id(&args.word("the order")?);
        let failed = match self.retries.get(key) {
            Some(same) => *same,
            None => {
                let state = self.world.order_state(order).await;
                let failed = state.refunds().iter().find(|refund| {
                    matches!(refund.state, RefundState::Failed { retried_by: None })
                });
                failed.map(|refund| refund.request.refund).ok_or("no refund has failed")?
            }
        };
        self.retries.insert(key.to_owned(), failed);
        let refund = RefundId::derived(&failed.to_string(), key);
        let command = order::Command::RetryRefund { failed, refund };
        Ok(done(self.world.desk().ask(asker, order, command).await, "refunding"))
    }

    /// `reverse O1 [id=p1]`: the bank of the payer takes the last payment back.
    pub(super) async fn reverse(&mut self, args: &mut Args, asker: Asker, key: &str) -> Said {
        let order = order_id(&args.word("the order")?);
        let named = args.parsed::<PaymentId>("id")?;
        let payment = match self.reversals.get(key).cloned().or(named) {
            Some(same) => same,
            None => {
                let state = self.world.order_state(order).await;
                let left = state.payments().iter().rfind(|p| p.reversed_minor.is_none());
                left.map(|payment| payment.payment.clone()).ok_or("nothing was paid")?
            }
        };
        self.reversals.insert(key.to_owned(), payment.clone());
        let command = order::Command::ReversePayment { payment, reason: name("chargeback") };
        Ok(done(self.world.desk().ask(asker, order, command).await, "reversed"))
    }
}
