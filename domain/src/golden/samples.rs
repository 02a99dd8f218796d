//! One event of every kind, as full as it can be, and some as empty as they can be.

use ulid::Ulid;

use crate::{
    Event, apikey,
    envelope::{Fingerprint, Metadata, Position},
    gate, inventory,
    legs::Legs,
    money::Currency,
    names::*,
    operations, order, organizer,
    seatmap::{Point, Pool, Row, Seat, SeatMap, Section},
    show, ticket,
    time::Timestamp,
    venue,
};

/// Every sample, and whether its optional parts are absent.
pub fn events() -> Vec<(Event, bool)> {
    let streams = [
        inventory_holds(),
        inventory_rules(),
        orders(),
        order_ends(),
        refunds(),
        tickets(),
        scans(),
        shows(),
        settings(),
        decisions(),
    ];
    streams.into_iter().flatten().collect()
}

/// All fields.
pub fn metadata() -> Metadata {
    Metadata {
        organizer: Some(OrganizerId(id(1))),
        actor: ActorRef::new("key:01J00000000000000000000002").expect("a good name"),
        key: Some(CommandKey::new("確認 / 1").expect("a good name")),
        request: Some(Fingerprint(0x0123_4567_89ab_cdef)),
        cause: Some(EventId(id(3))),
        correlation: Some(EventId(id(4))),
    }
}

/// What an event that was due by time alone has.
pub fn minimal_metadata() -> Metadata {
    Metadata {
        organizer: None,
        actor: ActorRef::new("system:sweeper").expect("a good name"),
        key: None,
        request: None,
        cause: None,
        correlation: None,
    }
}

fn id(n: u128) -> Ulid {
    Ulid((0x0192_u128 << 112) + n)
}

/// So many seconds after 2026-11-21T18:30:00.123456+09:00.
fn at(seconds: u64) -> Timestamp {
    let start: Timestamp = "2026-11-21T09:30:00.123456Z".parse().expect("a good time");
    start.plus_seconds(seconds)
}

fn seat(text: &str) -> SeatId {
    SeatId::new(text).expect("a good name")
}

fn pool() -> PoolId {
    PoolId::new("standing").expect("a good name")
}

fn label(text: &str) -> Label {
    Label::new(text).expect("a good name")
}

fn reason() -> Reason {
    Reason::new("the buyer's \"wish\"").expect("a good name")
}

fn buyer() -> BuyerRef {
    BuyerRef::new("b-42").expect("a good name")
}

fn category() -> Category {
    Category::new("S席").expect("a good name")
}

fn adult() -> TicketTypeId {
    TicketTypeId::new("adult").expect("a good name")
}

fn sponsors() -> Allotment {
    Allotment::new("sponsors").expect("a good name")
}

fn gate_name() -> GateName {
    GateName::new("north").expect("a good name")
}

fn payment() -> PaymentId {
    PaymentId::new("pi_3Nx").expect("a good name")
}

fn hold() -> HoldId {
    HoldId(id(10))
}

fn order_id() -> OrderId {
    OrderId(id(11))
}

fn show_id() -> ShowId {
    ShowId(id(12))
}

fn legs() -> Legs {
    Legs::new(2, 5).expect("a good range")
}

fn places() -> inventory::Places {
    inventory::Places {
        seats: vec![seat("1階 い列 12番"), seat("A-2")],
        pools: vec![inventory::PoolPlaces { pool: pool(), count: 3 }],
        legs: legs(),
    }
}

fn one_seat() -> inventory::Places {
    inventory::Places { seats: vec![seat("A-1")], ..inventory::Places::default() }
}

fn sales_rules(max_places_per_buyer: Option<u32>) -> inventory::SalesRules {
    inventory::SalesRules {
        sales_from: at(0),
        sales_until: at(86_400),
        hold_ttl_seconds: 600,
        hold_extension_seconds: 1_200,
        max_places_per_hold: 10,
        max_places_per_buyer,
    }
}

fn seat_map() -> SeatMap {
    let seat = |name, wheelchair, aisle_after| Seat {
        id: seat(name),
        number: label("12"),
        at: Point { x: -150, y: 275 },
        category: category(),
        wheelchair,
        aisle_after,
    };
    let seats = vec![seat("A-1", true, true), seat("A-2", false, false)];
    SeatMap {
        name: label("大ホール"),
        focus: Point { x: 0, y: -500 },
        sections: vec![Section {
            name: label("1階"), rows: vec![Row { name: label("A"), seats }]
        }],
        pools: vec![Pool { id: pool(), capacity: 250, category: category() }],
    }
}

fn seats_only() -> SeatMap {
    SeatMap { pools: vec![], ..seat_map() }
}

fn inventory_holds() -> Vec<(Event, bool)> {
    use inventory::{
        Event as E, HoldConfirmed, HoldEnded, HoldExtended, PlacesReturned, SeatsHeld,
    };
    let held = |places, allotment| {
        E::SeatsHeld(SeatsHeld {
            hold: hold(),
            buyer: buyer(),
            places,
            allotment,
            expires_at: at(600),
        })
    };
    let sold = |places| HoldConfirmed { hold: hold(), order: order_id(), buyer: buyer(), places };
    let returned =
        PlacesReturned { hold: hold(), order: order_id(), items: vec![1, 2], places: places() };
    vec![
        (held(places(), Some(sponsors())).into(), false),
        (held(one_seat(), None).into(), true),
        (E::HoldExtended(HoldExtended { hold: hold(), expires_at: at(900) }).into(), false),
        (E::HoldConfirmed(sold(places())).into(), false),
        (E::HoldConfirmed(sold(one_seat())).into(), true),
        (E::OrderReseated(sold(places())).into(), false),
        (E::HoldReleased(HoldEnded { hold: hold(), places: places() }).into(), false),
        (E::HoldExpired(HoldEnded { hold: hold(), places: places() }).into(), false),
        (E::HoldExpired(HoldEnded { hold: hold(), places: one_seat() }).into(), true),
        (E::PlacesReturned(returned).into(), false),
    ]
}

fn inventory_rules() -> Vec<(Event, bool)> {
    use inventory::{
        AllotmentSet, Event as E, PoolPlaces, SalesClosed, SalesOpened, SeatsBlocked,
        SeatsUnblocked,
    };
    let opened = |seat_map, rules| {
        E::SalesOpened(SalesOpened { venue: VenueId(id(13)), seat_map, legs: 6, rules })
    };
    let kept = |seats, pools| E::AllotmentSet(AllotmentSet { allotment: sponsors(), seats, pools });
    let seats = || vec![seat("A-1"), seat("A-2")];
    let some = vec![PoolPlaces { pool: pool(), count: 20 }];
    vec![
        (opened(seat_map(), sales_rules(Some(6))).into(), false),
        (opened(seats_only(), sales_rules(None)).into(), true),
        (E::SalesRulesChanged(sales_rules(Some(4))).into(), false),
        (E::SalesRulesChanged(sales_rules(None)).into(), true),
        (E::SalesClosed(SalesClosed { reason: reason() }).into(), false),
        (E::SeatsBlocked(SeatsBlocked { seats: seats(), reason: reason() }).into(), false),
        (E::SeatsUnblocked(SeatsUnblocked { seats: seats() }).into(), false),
        (kept(seats(), some).into(), false),
        (kept(vec![], vec![]).into(), true),
    ]
}

fn item(number: u16, seat: Option<SeatId>, pool: Option<PoolId>, legs: Legs) -> order::Item {
    order::Item {
        item: number,
        show: show_id(),
        hold: hold(),
        seat,
        pool,
        legs,
        ticket_type: adult(),
        price_minor: 4_500,
    }
}

fn orders() -> Vec<(Event, bool)> {
    use order::{
        Event as E, OrderConfirmed, OrderPaid, OrderPlaced, PaymentCaptured, PaymentReversed,
    };
    let seated = item(1, Some(seat("A-1")), None, legs());
    let standing = item(2, None, Some(pool()), Legs::ONE);
    let method = PaymentMethod::new("konbini").expect("a good name");
    let placed = OrderPlaced {
        buyer: buyer(),
        currency: Currency::JPY,
        items: vec![seated, standing],
        total_minor: 9_000,
    };
    let captured = PaymentCaptured { payment: payment(), method, amount_minor: 9_000 };
    let reversed = PaymentReversed { payment: payment(), amount_minor: 4_500, reason: reason() };
    vec![
        (E::OrderPlaced(placed).into(), false),
        (E::PaymentCaptured(captured).into(), false),
        (E::PaymentReversed(reversed).into(), false),
        (E::OrderPaid(OrderPaid { paid_minor: 9_000 }).into(), false),
        (E::OrderConfirmed(OrderConfirmed {}).into(), false),
    ]
}

fn order_ends() -> Vec<(Event, bool)> {
    use order::{
        CancellationRefused, CancellationRequested, Event as E, ItemsCancelled, OrderCancelled,
        OrderUnfulfilled, RefundPolicy,
    };
    let cancellation = CancellationId(id(14));
    let items = || vec![1, 2];
    let wanted = |refund, even_if_used| {
        E::CancellationRequested(CancellationRequested {
            cancellation,
            items: items(),
            refund,
            even_if_used,
            reason: reason(),
        })
    };
    let refused = CancellationRefused { cancellation, items: items() };
    vec![
        (wanted(RefundPolicy::KeepFeeMinor(330), true).into(), false),
        (wanted(RefundPolicy::Full, false).into(), true),
        (E::ItemsCancelled(ItemsCancelled { cancellation, items: items() }).into(), false),
        (E::CancellationRefused(refused).into(), false),
        (E::OrderCancelled(OrderCancelled { reason: reason() }).into(), false),
        (E::OrderUnfulfilled(OrderUnfulfilled { hold: hold() }).into(), false),
    ]
}

fn refunds() -> Vec<(Event, bool)> {
    use order::{Event as E, RefundCause, RefundFailed, RefundRequested, RefundSettled};
    let refund = RefundId(id(15));
    let requested = |cause, retries| {
        let (payment, amount_minor) = (payment(), 4_170);
        E::RefundRequested(RefundRequested { refund, payment, amount_minor, cause, retries })
    };
    let reference = MoneyRef::new("re_3Nx").expect("a good name");
    vec![
        (requested(RefundCause::PaidAfterCancellation, Some(RefundId(id(16)))).into(), false),
        (requested(RefundCause::Goodwill, None).into(), true),
        (E::RefundSettled(RefundSettled { refund, reference }).into(), false),
        (E::RefundFailed(RefundFailed { refund, reason: reason() }).into(), false),
    ]
}

fn entry(reentry: bool) -> ticket::EntryRule {
    ticket::EntryRule { valid_from: at(0), valid_until: at(7_200), reentry }
}

fn tickets() -> Vec<(Event, bool)> {
    use ticket::{
        Channel, Event as E, TicketCreated, TicketIssued, TicketReinstated, TicketReissued,
        TicketSuspended, TicketVoided,
    };
    let seated = TicketCreated {
        order: order_id(),
        item: 1,
        show: show_id(),
        seat: Some(seat("A-1")),
        pool: None,
        legs: legs(),
        ticket_type: adult(),
        buyer: buyer(),
        entry: entry(true),
        issue_until: Some(at(3_600)),
    };
    let standing = TicketCreated {
        seat: None,
        pool: Some(pool()),
        legs: Legs::ONE,
        entry: entry(false),
        issue_until: None,
        ..seated.clone()
    };
    let channel = Channel::ConvenienceStore;
    let again = TicketReissued { generation: 2, code_key: 7, channel, reason: reason() };
    let issued = TicketIssued { generation: 1, code_key: 7, channel: Channel::Online };
    vec![
        (E::TicketCreated(seated).into(), false),
        (E::TicketCreated(standing).into(), true),
        (E::TicketIssued(issued).into(), false),
        (E::TicketReissued(again).into(), false),
        (E::TicketSuspended(TicketSuspended { reason: reason() }).into(), false),
        (E::TicketReinstated(TicketReinstated {}).into(), false),
        (E::TicketVoided(TicketVoided { reason: reason() }).into(), false),
    ]
}

fn scans() -> Vec<(Event, bool)> {
    use ticket::{Direction, Event as E, ScanRefusal, ScanRefused, TicketScanned};
    let scanned = TicketScanned { gate: gate_name(), generation: 2 };
    let refused = ScanRefused {
        gate: gate_name(),
        direction: Direction::Entry,
        generation: 1,
        show: show_id(),
        reason: ScanRefusal::AlreadyRedeemed,
    };
    let forged = gate::Event::CodeRefused(gate::CodeRefused {
        gate: gate_name(),
        direction: Direction::Exit,
        reason: ScanRefusal::Invalid,
        code_digest: "0123456789abcdef".to_owned(),
    });
    vec![
        (E::TicketEntered(scanned.clone()).into(), false),
        (E::TicketExited(scanned).into(), false),
        (E::ScanRefused(refused).into(), false),
        (forged.into(), false),
    ]
}

fn shows() -> Vec<(Event, bool)> {
    use show::{
        Event as E, Fare, Issuance, ShowCancelled, ShowScheduled, TicketType, TicketTypeWithdrawn,
    };
    let trip = ShowScheduled {
        name: label("のぞみ 1号"),
        venue: VenueId(id(13)),
        starts_at: at(0),
        ends_at: at(7_200),
        stops: vec![label("東京"), label("名古屋"), label("新大阪")],
        currency: Currency::JPY,
        entry: entry(true),
        issuance: Issuance::OnRequest { until: at(3_600) },
    };
    let concert = ShowScheduled {
        stops: vec![],
        entry: entry(false),
        issuance: Issuance::Immediate,
        ..trip.clone()
    };
    let by_leg = TicketType {
        ticket_type: adult(),
        name: label("大人"),
        price_minor: 14_000,
        fares: vec![Fare { legs: legs(), price_minor: 9_500 }],
        categories: vec![category()],
        pools: vec![pool()],
    };
    let plain = TicketType { fares: vec![], categories: vec![], pools: vec![], ..by_leg.clone() };
    let withdrawn = TicketTypeWithdrawn { ticket_type: adult() };
    vec![
        (E::ShowScheduled(trip).into(), false),
        (E::ShowScheduled(concert).into(), true),
        (E::TicketTypeOffered(by_leg).into(), false),
        (E::TicketTypeOffered(plain).into(), true),
        (E::TicketTypeWithdrawn(withdrawn).into(), false),
        (E::ShowCancelled(ShowCancelled { reason: reason() }).into(), false),
    ]
}

fn settings() -> Vec<(Event, bool)> {
    use apikey::{ApiKeyCreated, ApiKeyRevoked, Role};
    use organizer::{CodeKeyAdded, CodeKeyDisabled, OrganizerRegistered};
    use venue::{SeatMapReplaced, VenueRegistered};
    let registered = VenueRegistered { name: label("県民ホール"), seat_map: seat_map() };
    let replaced = SeatMapReplaced { seat_map: seats_only() };
    let tenant = OrganizerRegistered { name: label("ホール社") };
    let key = |role, organizer| {
        let hash = "0123456789abcdef".repeat(4);
        apikey::Event::ApiKeyCreated(ApiKeyCreated { label: label("North"), role, organizer, hash })
    };
    vec![
        (venue::Event::VenueRegistered(registered).into(), false),
        (venue::Event::SeatMapReplaced(replaced).into(), false),
        (organizer::Event::OrganizerRegistered(tenant).into(), false),
        (organizer::Event::CodeKeyAdded(CodeKeyAdded { code_key: 255 }).into(), false),
        (organizer::Event::CodeKeyDisabled(CodeKeyDisabled { code_key: 1 }).into(), false),
        (key(Role::BoxOffice, Some(OrganizerId(id(1)))).into(), false),
        (key(Role::Operator, None).into(), true),
        (apikey::Event::ApiKeyRevoked(ApiKeyRevoked {}).into(), false),
    ]
}

fn decisions() -> Vec<(Event, bool)> {
    use operations::{Event as E, EventSkipped, SkipWithdrawn};
    let projection = ProjectionName::new("issuance_history").expect("a good name");
    let skipped = EventSkipped {
        projection: projection.clone(),
        event: EventId(id(14)),
        position: Position(1_234_567),
        kind: "ticket-voided".to_owned(),
        reason: reason(),
    };
    let withdrawn = SkipWithdrawn { projection, event: EventId(id(14)), reason: reason() };
    vec![(E::EventSkipped(skipped).into(), false), (E::SkipWithdrawn(withdrawn).into(), false)]
}
