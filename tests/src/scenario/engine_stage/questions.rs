//! What a script asks the read models.

use hakken_commands::clock::Clock;
use hakken_domain::{legs::Legs, names::OrderId};
use hakken_projections::{
    PageRequest,
    models::{
        audit_log::AuditFilter,
        issuance_history::IssuanceFilter,
        orders::RefundStatus,
        scans::{ScanFilter, refusal_word},
        seat_availability::{PoolAvailability, SeatStatus},
        tickets::TicketFilter,
    },
};

use super::{Args, EngineStage, Said, order_id, organizer, parse, show_id, ticket_id};

const ALL: usize = hakken_projections::MAX_PAGE;

fn or_none(said: Vec<String>) -> String {
    if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl EngineStage {
    /// The answer to a question.
    pub(super) async fn answer(&self, verb: &str, args: &mut Args) -> Said {
        match verb {
            "availability" => self.availability(args).await,
            "totals" => self.totals(args).await,
            "hold" => self.hold_status(args).await,
            "order" => self.order_status(args).await,
            "refunds" => self.refunds(args).await,
            "tickets" => self.tickets(args).await,
            "issuance" => self.issuance(args).await,
            "scans" => self.scans(args).await,
            "sales" => self.sales(args).await,
            "money" => self.money().await,
            "history" => self.history(args).await,
            other => Err(format!("nobody answers {other:?}")),
        }
    }

    /// `? availability S1 [A1 floor] [legs=0-2] [by=rival]`: of these places, or of all.
    async fn availability(&self, args: &mut Args) -> Said {
        let show = show_id(&args.word("the show")?);
        let legs = match args.option("legs") {
            None => None,
            Some(text) => {
                let (from, to) = text.split_once('-').ok_or("legs are written 0-2")?;
                Some(Legs::new(parse(from)?, parse(to)?).map_err(words)?)
            }
        };
        let tenant = organizer(args.option("by").as_deref().unwrap_or("organizer"));
        let now = Clock::now(&*self.world.clock);
        let answer = self.read.availability(Some(tenant), show, legs, now).await.map_err(words)?;
        let Some(answer) = answer else { return Ok("no such show".to_owned()) };
        let asked = args.rest();
        let wanted = |place: &str| asked.is_empty() || asked.iter().any(|asked| asked == place);
        let mut said = Vec::new();
        for (seat, status) in answer.map.seat_ids.iter().zip(&answer.seats) {
            if wanted(seat.as_str()) {
                let status = match status {
                    SeatStatus::Free => "free",
                    SeatStatus::Held => "held",
                    SeatStatus::Sold => "sold",
                    SeatStatus::Blocked => "blocked",
                    SeatStatus::Allotted => "allotted",
                };
                said.push(format!("{seat} {status}"));
            }
        }
        for pool in answer.pools.iter().filter(|pool| wanted(pool.pool.as_str())) {
            said.push(pool_words(pool));
        }
        Ok(or_none(said))
    }

    async fn totals(&self, args: &mut Args) -> Said {
        let show = show_id(&args.word("the show")?);
        let now = Clock::now(&*self.world.clock);
        let answer = self.read.availability(None, show, None, now).await.map_err(words)?;
        let Some(answer) = answer else { return Ok("no such show".to_owned()) };
        let totals = answer.totals;
        Ok(format!("free={} held={} sold={}", totals.free, totals.held, totals.sold))
    }

    async fn hold_status(&self, args: &mut Args) -> Said {
        let hold = self.known_hold(&args.word("the hold")?)?;
        let view = self.read.hold(None, hold.id).await.map_err(words)?;
        let Some(view) = view else { return Ok("no such hold".to_owned()) };
        let recorded = self.hold_state(hold).await.map(|state| format!("{state:?}").to_lowercase());
        let recorded = recorded.unwrap_or_default();
        let said = view.status.as_str();
        // The inventory says `live` of what the read model calls `held`.
        let own = if said == "held" { "live" } else { said };
        if !recorded.starts_with(own) {
            return Ok(format!("{said} by the read model, {recorded} by the inventory"));
        }
        Ok(said.to_owned())
    }

    async fn order_status(&self, args: &mut Args) -> Said {
        let order = order_id(&args.word("the order")?);
        let view = self.read.order(None, order).await.map_err(words)?;
        let Some(view) = view else { return Ok("no such order".to_owned()) };
        let paid = view.captured_minor - view.reversed_minor;
        let refunded = view.refund_settled_minor;
        Ok(format!("{} paid={paid} refunded={refunded}", view.status.as_str()))
    }

    async fn refunds(&self, args: &mut Args) -> Said {
        let order: OrderId = order_id(&args.word("the order")?);
        let refunds = self.read.refunds_of(None, order).await.map_err(words)?;
        let said = refunds.iter().map(|refund| {
            let status = match refund.status {
                RefundStatus::Requested => "requested",
                RefundStatus::Settled => "settled",
                RefundStatus::Failed => "failed",
            };
            format!("{} {status}", refund.amount_minor)
        });
        Ok(or_none(said.collect()))
    }

    /// `? tickets O1`
    async fn tickets(&self, args: &mut Args) -> Said {
        let order = order_id(&args.word("the order")?);
        let filter = TicketFilter { order: Some(order), ..TicketFilter::default() };
        let page =
            self.read.tickets(None, &filter, &PageRequest::first(ALL)).await.map_err(words)?;
        let mut tickets = page.into_nodes();
        tickets.sort_by_key(|ticket| ticket.item);
        let said = tickets.iter().map(|ticket| {
            let suspended = if ticket.suspended { " suspended" } else { "" };
            format!("{} {}{suspended}", ticket.item, ticket.status.as_str())
        });
        Ok(or_none(said.collect()))
    }

    /// `? issuance O1/1`
    async fn issuance(&self, args: &mut Args) -> Said {
        let ticket = ticket_id(&args.word("the ticket")?)?;
        let filter = IssuanceFilter { ticket: Some(ticket), ..IssuanceFilter::default() };
        let page = PageRequest::first(ALL);
        let page = self.read.issuance_history(None, &filter, &page).await.map_err(words)?;
        let said = page.into_nodes().into_iter().map(|entry| entry.act.as_str().to_owned());
        Ok(or_none(said.collect()))
    }

    /// `? scans S1`, or `? scans O1/1`
    async fn scans(&self, args: &mut Args) -> Said {
        let of = args.word("the show or the ticket")?;
        let mut filter = ScanFilter::default();
        if of.contains('/') {
            filter.ticket = Some(ticket_id(&of)?);
        } else {
            filter.show = Some(show_id(&of));
        }
        let page = self.read.scans(None, &filter, &PageRequest::first(ALL)).await.map_err(words)?;
        let said = page.into_nodes().into_iter().map(|scan| match scan.refused {
            None => format!("{:?}", scan.direction).to_lowercase(),
            Some(reason) => refusal_word(reason).to_owned(),
        });
        Ok(or_none(said.collect()))
    }

    async fn sales(&self, args: &mut Args) -> Said {
        let show = show_id(&args.word("the show")?);
        let sales = self.read.show_sales(None, show).await.map_err(words)?;
        let Some(sales) = sales else { return Ok("no such show".to_owned()) };
        let places = sales.places;
        let mut said =
            vec![format!("held={} sold={} returned={}", places.held, places.sold, places.returned)];
        for of_type in sales.types {
            let items = of_type.items;
            let mut words =
                format!("{} {}: {}", items.confirmed, of_type.ticket_type, items.gross_minor);
            if items.cancelled > 0 {
                words += &format!(" ({} cancelled: {})", items.cancelled, items.cancelled_minor);
            }
            said.push(words);
        }
        Ok(said.join(", "))
    }

    async fn money(&self) -> Said {
        let money = self.read.money(None).await.map_err(words)?;
        let said = money.iter().map(|of| {
            let money = of.money;
            format!(
                "{} captured={} reversed={} refunded={}",
                of.currency, money.captured_minor, money.reversed_minor, money.refund_settled_minor
            )
        });
        Ok(or_none(said.collect()))
    }

    /// `? history O1`: what the audit log has of it and its tickets.
    async fn history(&self, args: &mut Args) -> Said {
        let order = order_id(&args.word("the order")?);
        let filter = AuditFilter { order: Some(order), ..AuditFilter::default() };
        let page = PageRequest::first(ALL);
        let page = self.read.audit_log(None, &filter, &page).await.map_err(words)?;
        Ok(or_none(page.into_nodes().into_iter().map(|entry| entry.kind).collect()))
    }
}

fn pool_words(pool: &PoolAvailability) -> String {
    let mut said = format!("{} {} free", pool.pool, pool.free);
    for (count, word) in [(pool.held, "held"), (pool.sold, "sold"), (pool.allotted, "allotted")] {
        if count > 0 {
            said += &format!(" {count} {word}");
        }
    }
    said
}
