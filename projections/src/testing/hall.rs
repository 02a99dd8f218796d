//! A small hall and its life, as events.

use hakken_domain::{
    apikey,
    envelope::StreamId,
    gate,
    inventory::{self, HoldConfirmed, HoldEnded, Places, PoolPlaces, SalesOpened, SalesRules},
    legs::Legs,
    money::Currency,
    names::{
        ApiKeyId, BuyerRef, CancellationId, GateName, HoldId, Label, MoneyRef, OrderId,
        OrganizerId, PaymentId, PaymentMethod, PoolId, Reason, RefundId, SeatId, ShowId, TicketId,
        TicketTypeId, VenueId, derived_ulid,
    },
    order, organizer,
    seatmap::{Point, Pool, Row, Seat, SeatMap, Section},
    show,
    ticket::{self, Direction, EntryRule, ScanRefusal},
    venue,
};

use super::{MemoryFeed, feed::START};

macro_rules! ids {
    ($($name:ident: $id:ident),* $(,)?) => {
        $(
            #[doc = concat!("The id that this word stands for.")]
            pub fn $name(word: &str) -> $id {
                $id(derived_ulid(&[stringify!($name), word]))
            }
        )*
    };
}

ids!(
    organizer: OrganizerId, venue: VenueId, show: ShowId, hold: HoldId, order: OrderId,
    ticket: TicketId, refund: RefundId, cancellation: CancellationId, key: ApiKeyId,
);

macro_rules! texts {
    ($($name:ident: $id:ident),* $(,)?) => {
        $(
            #[doc = concat!("This text.")]
            pub fn $name(text: &str) -> $id {
                $id::new(text).expect("a good name")
            }
        )*
    };
}

texts!(
    seat: SeatId, pool: PoolId, label: Label, reason: Reason, buyer: BuyerRef,
    ticket_type: TicketTypeId, gate_name: GateName,
);

/// Two rows of five seats and a pool of ten places.
pub fn seat_map() -> SeatMap {
    let row = |name: &str| Row {
        name: label(name),
        seats: (1..=5)
            .map(|number| Seat {
                id: seat(&format!("{name}{number}")),
                number: label(&number.to_string()),
                at: Point::default(),
                category: "standard".parse().expect("a good name"),
                wheelchair: false,
                aisle_after: false,
            })
            .collect(),
    };
    SeatMap {
        name: label("Small hall"),
        focus: Point::default(),
        sections: vec![Section { name: label("Stalls"), rows: vec![row("A"), row("B")] }],
        pools: vec![Pool {
            id: pool("standing"),
            capacity: 10,
            category: "standing".parse().expect("a good name"),
        }],
    }
}

/// Holds last ten minutes.
pub fn rules() -> SalesRules {
    SalesRules {
        sales_from: START,
        sales_until: START.plus_seconds(30 * 86_400),
        hold_ttl_seconds: 600,
        hold_extension_seconds: 1_800,
        max_places_per_hold: 10,
        max_places_per_buyer: None,
    }
}

/// These seats on the one leg of a concert.
pub fn seats(names: &[&str]) -> Places {
    on(Legs::ONE, names)
}

/// These seats on these legs.
pub fn on(legs: Legs, names: &[&str]) -> Places {
    Places { seats: names.iter().map(|name| seat(name)).collect(), pools: Vec::new(), legs }
}

/// So many places of the pool.
pub fn standing(count: u32) -> Places {
    let pools = vec![PoolPlaces { pool: pool("standing"), count }];
    Places { seats: Vec::new(), pools, legs: Legs::ONE }
}

/// Says what happens in a hall, in short words. Every word stands for an id.
impl MemoryFeed {
    /// A tenant, whose name is the word.
    pub fn organizer_registered(&self, name: &str) {
        self.organizer(organizer(name));
        let event = organizer::OrganizerRegistered { name: label(name) };
        self.record(organizer(name), organizer::Event::OrganizerRegistered(event));
    }

    /// A venue with the small hall.
    pub fn venue_registered(&self, name: &str) {
        let event = venue::VenueRegistered { name: label(name), seat_map: seat_map() };
        self.record(venue(name), venue::Event::VenueRegistered(event));
    }

    /// A key.
    pub fn key_created(&self, name: &str, of: Option<&str>) {
        let role = if of.is_some() { apikey::Role::BoxOffice } else { apikey::Role::Operator };
        let created = apikey::ApiKeyCreated {
            label: label(name),
            role,
            organizer: of.map(organizer),
            hash: "0".repeat(64),
        };
        self.record(key(name), apikey::Event::ApiKeyCreated(created));
    }

    /// A show in the hall, with one ticket type.
    pub fn show_scheduled(&self, name: &str) {
        let scheduled = show::ShowScheduled {
            name: label(name),
            venue: venue("hall"),
            starts_at: START.plus_seconds(86_400),
            ends_at: START.plus_seconds(90_000),
            stops: Vec::new(),
            currency: Currency::JPY,
            entry: entry(),
            issuance: show::Issuance::Immediate,
        };
        let stream = StreamId::show(show(name));
        self.record(stream, show::Event::ShowScheduled(scheduled));
        let offered = show::TicketType {
            ticket_type: ticket_type("general"),
            name: label("General"),
            price_minor: 5_000,
            fares: Vec::new(),
            categories: Vec::new(),
            pools: Vec::new(),
        };
        self.record(stream, show::Event::TicketTypeOffered(offered));
    }

    /// An event of a show's inventory.
    pub fn inventory(&self, of: &str, event: inventory::Event) {
        self.record(StreamId::inventory(show(of)), event);
    }

    /// Sales with so many legs.
    pub fn sales_opened(&self, of: &str, legs: u8) {
        let (seat_map, rules) = (seat_map(), rules());
        let opened = SalesOpened { venue: venue("hall"), seat_map, legs, rules };
        self.inventory(of, inventory::Event::SalesOpened(opened));
    }

    /// A hold until ten minutes from now.
    pub fn held(&self, of: &str, word: &str, places: Places) {
        let held = inventory::SeatsHeld {
            hold: hold(word),
            buyer: buyer(&format!("buyer-{word}")),
            places,
            allotment: None,
            expires_at: self.now().plus_seconds(600),
        };
        self.inventory(of, inventory::Event::SeatsHeld(held));
    }

    /// A hold became the order of the same word.
    pub fn confirmed(&self, of: &str, word: &str, places: Places) {
        let confirmed = HoldConfirmed {
            hold: hold(word),
            order: order(word),
            buyer: buyer(&format!("buyer-{word}")),
            places,
        };
        self.inventory(of, inventory::Event::HoldConfirmed(confirmed));
    }

    /// A hold is over by time.
    pub fn expired(&self, of: &str, word: &str, places: Places) {
        let ended = HoldEnded { hold: hold(word), places };
        self.inventory(of, inventory::Event::HoldExpired(ended));
    }

    /// A place of an order is free again.
    pub fn returned(&self, of: &str, word: &str, item: u16, places: Places) {
        let (hold, order) = (hold(word), order(word));
        let returned = inventory::PlacesReturned { hold, order, items: vec![item], places };
        self.inventory(of, inventory::Event::PlacesReturned(returned));
    }

    /// An event of an order.
    pub fn order(&self, word: &str, event: order::Event) {
        self.record(order(word), event);
    }

    /// An order for seats of shows, 5,000 each.
    pub fn placed(&self, word: &str, wanted: &[(&str, &str)]) {
        let items: Vec<_> = (1..)
            .zip(wanted)
            .map(|(item, (of, at))| order::Item {
                item,
                show: show(of),
                hold: hold(word),
                seat: Some(seat(at)),
                pool: None,
                legs: Legs::ONE,
                ticket_type: ticket_type("general"),
                price_minor: 5_000,
            })
            .collect();
        let placed = order::OrderPlaced {
            buyer: buyer(&format!("buyer-{word}")),
            currency: Currency::JPY,
            total_minor: 5_000 * items.len() as u64,
            items,
        };
        self.order(word, order::Event::OrderPlaced(placed));
    }

    /// All of an order's money came in.
    pub fn paid(&self, word: &str, amount_minor: u64) {
        let captured = order::PaymentCaptured {
            payment: PaymentId::new(&format!("pay-{word}")).expect("a good name"),
            method: PaymentMethod::new("card").expect("a good name"),
            amount_minor,
        };
        self.order(word, order::Event::PaymentCaptured(captured));
        let paid = order::OrderPaid { paid_minor: amount_minor };
        self.order(word, order::Event::OrderPaid(paid));
    }

    /// Every place of an order is sold.
    pub fn order_confirmed(&self, word: &str) {
        self.order(word, order::Event::OrderConfirmed(order::OrderConfirmed {}));
    }

    /// One item of an order is cancelled, and its price goes back.
    pub fn item_cancelled(&self, word: &str, item: u16) {
        let cancellation = cancellation(&format!("{word}-{item}"));
        let requested = order::CancellationRequested {
            cancellation,
            items: vec![item],
            refund: order::RefundPolicy::Full,
            even_if_used: false,
            reason: reason("ill"),
        };
        self.order(word, order::Event::CancellationRequested(requested));
        let cancelled = order::ItemsCancelled { cancellation, items: vec![item] };
        self.order(word, order::Event::ItemsCancelled(cancelled));
        let refund = refund(&format!("{word}-{item}"));
        let requested = order::RefundRequested {
            refund,
            payment: PaymentId::new(&format!("pay-{word}")).expect("a good name"),
            amount_minor: 5_000,
            cause: order::RefundCause::Cancelled,
            retries: None,
        };
        self.order(word, order::Event::RefundRequested(requested));
    }

    /// Its refund has gone out.
    pub fn refund_settled(&self, word: &str, item: u16) {
        let settled = order::RefundSettled {
            refund: refund(&format!("{word}-{item}")),
            reference: MoneyRef::new("bank-1").expect("a good name"),
        };
        self.order(word, order::Event::RefundSettled(settled));
    }

    /// An event of a ticket.
    pub fn ticket(&self, word: &str, event: ticket::Event) {
        self.record(ticket(word), event);
    }

    /// A ticket of an order, with its code given out.
    pub fn issued(&self, word: &str, of_order: &str, of: &str, at: &str) {
        let created = ticket::TicketCreated {
            order: order(of_order),
            item: 1,
            show: show(of),
            seat: Some(seat(at)),
            pool: None,
            legs: Legs::ONE,
            ticket_type: ticket_type("general"),
            buyer: buyer(&format!("buyer-{of_order}")),
            entry: entry(),
            issue_until: None,
        };
        self.ticket(word, ticket::Event::TicketCreated(created));
        let channel = ticket::Channel::Online;
        let issued = ticket::TicketIssued { generation: 1, code_key: 1, channel };
        self.ticket(word, ticket::Event::TicketIssued(issued));
    }

    /// A new code.
    pub fn reissued(&self, word: &str, generation: u16) {
        let reissued = ticket::TicketReissued {
            generation,
            code_key: 1,
            channel: ticket::Channel::BoxOffice,
            reason: reason("lost"),
        };
        self.ticket(word, ticket::Event::TicketReissued(reissued));
    }

    /// The right to enter is gone.
    pub fn voided(&self, word: &str) {
        let voided = ticket::TicketVoided { reason: reason("cancelled") };
        self.ticket(word, ticket::Event::TicketVoided(voided));
    }

    /// Somebody came in at the west gate.
    pub fn entered(&self, word: &str, generation: u16) {
        let scanned = ticket::TicketScanned { gate: gate_name("west"), generation };
        self.ticket(word, ticket::Event::TicketEntered(scanned));
    }

    /// A code was shown at the west gate and refused.
    pub fn scan_refused(&self, word: &str, of: &str, why: ScanRefusal) {
        let refused = ticket::ScanRefused {
            gate: gate_name("west"),
            direction: Direction::Entry,
            generation: 1,
            show: show(of),
            reason: why,
        };
        self.ticket(word, ticket::Event::ScanRefused(refused));
    }

    /// A forged code was shown at the east gate.
    pub fn code_refused(&self, of: &str) {
        let refused = gate::CodeRefused {
            gate: gate_name("east"),
            direction: Direction::Entry,
            reason: ScanRefusal::Invalid,
            code_digest: "0123456789abcdef".to_owned(),
        };
        self.record(StreamId::gate(show(of)), gate::Event::CodeRefused(refused));
    }

    /// A whole life: two shows of one organizer and one of another, orders, tickets, scans, a
    /// cancellation, and holds that ended in every way.
    pub fn whole_life(&self) {
        self.key_created("root", None);
        self.organizer_registered("one");
        self.key_created("counter", Some("one"));
        self.venue_registered("hall");
        for of in ["concert", "match"] {
            self.show_scheduled(of);
            self.sales_opened(of, 1);
        }
        self.held("concert", "h1", seats(&["A1", "A2"]));
        self.held("concert", "h2", seats(&["A3"]));
        self.placed("h1", &[("concert", "A1"), ("concert", "A2")]);
        self.paid("h1", 10_000);
        self.confirmed("concert", "h1", seats(&["A1", "A2"]));
        self.order_confirmed("h1");
        self.issued("t1", "h1", "concert", "A1");
        self.issued("t2", "h1", "concert", "A2");
        self.expired("concert", "h2", seats(&["A3"]));
        self.held("match", "h3", standing(4));
        self.confirmed("match", "h3", standing(4));
        self.entered("t1", 1);
        self.scan_refused("t1", "concert", ScanRefusal::AlreadyRedeemed);
        self.code_refused("concert");
        self.item_cancelled("h1", 2);
        self.voided("t2");
        self.returned("concert", "h1", 2, seats(&["A2"]));
        self.refund_settled("h1", 2);
        self.placed("both", &[("concert", "B1"), ("match", "B1")]);
        self.organizer_registered("two");
        self.show_scheduled("rival");
        self.sales_opened("rival", 3);
        let front = on(Legs::new(0, 2).expect("a good range"), &["A1"]);
        let back = on(Legs::new(2, 3).expect("a good range"), &["A1"]);
        self.held("rival", "h4", front.clone());
        self.held("rival", "h5", back);
        self.confirmed("rival", "h4", front);
    }
}

fn entry() -> EntryRule {
    EntryRule { valid_from: START, valid_until: START.plus_seconds(90_000), reentry: true }
}
