//! What organizers do: putting shows on sale, and changing what is on sale.

use hakken_domain::{
    envelope::StreamId,
    inventory::{self, PoolPlaces, SalesRules},
    money::Currency,
    names::{Category, Label, OrganizerId, SeatId, ShowId, VenueId},
    organizer,
    seatmap::SeatMap,
    show::{self, Issuance, ShowScheduled, TicketType},
    ticket::EntryRule,
    venue,
};

use super::{
    super::known::{Known, Show},
    Actors, Call, Wish, organizers,
};
use crate::world::{START, hall, name, open_rules};

const HOUR: u64 = 3_600;

impl Actors {
    /// Everything that stands at the beginning, in order: each call must be done before the next.
    pub(in super::super) fn opening(&mut self) -> Vec<Call> {
        let [first, second] = organizers();
        let mut calls = Vec::new();
        for (organizer, called) in [(first, "第一興行"), (second, "第二興行")] {
            let register = organizer::Command::RegisterOrganizer { name: name(called) };
            calls.push(self.ask("register", organizer, organizer, register));
        }
        let mut limited = open_rules();
        limited.max_places_per_buyer = Some(6);
        let later = Issuance::OnRequest { until: START.plus_seconds(8 * HOUR) };
        let mut chairs = hall(2, 6, 5);
        chairs.sections[0].rows[1].seats[5].wheelchair = true;
        chairs.sections[0].rows[0].seats[2].aisle_after = true;
        self.show(&mut calls, first, "武道館", hall(3, 6, 8), 1, limited, Issuance::Immediate);
        self.show(&mut calls, first, "のぞみ", hall(2, 4, 3), 4, open_rules(), Issuance::Immediate);
        self.show(&mut calls, second, "歌舞伎座", chairs, 1, open_rules(), later);
        calls
    }

    #[expect(clippy::too_many_arguments, reason = "one row of the table above")]
    fn show(
        &mut self,
        calls: &mut Vec<Call>,
        organizer: OrganizerId,
        called: &str,
        map: SeatMap,
        legs: u8,
        rules: SalesRules,
        issuance: Issuance,
    ) {
        let venue = VenueId::derived("simulation", called);
        let show = ShowId::derived("simulation", called);
        let register =
            venue::Command::RegisterVenue { name: name(called), seat_map: Box::new(map) };
        calls.push(self.ask("register", organizer, venue, register));
        let reentry = issuance != Issuance::Immediate;
        let stop = |at: u8| name::<Label>(&format!("駅{at}"));
        let schedule = show::Command::ScheduleShow(Box::new(ShowScheduled {
            name: name(called),
            venue,
            starts_at: START.plus_seconds(20 * HOUR),
            ends_at: START.plus_seconds(24 * HOUR),
            stops: if legs > 1 { (0..=legs).map(stop).collect() } else { Vec::new() },
            currency: Currency::JPY,
            entry: EntryRule {
                valid_from: START,
                valid_until: START.plus_seconds(24 * HOUR),
                reentry,
            },
            issuance,
        }));
        let stream = StreamId::show(show);
        calls.push(self.ask("schedule", organizer, stream, schedule));
        for (ticket_type, price_minor) in [("adult", 5_000), ("student", 3_000)] {
            let offer = offer(ticket_type, price_minor, Vec::new());
            calls.push(self.ask("offer", organizer, stream, offer));
        }
        calls.push(self.call("open sales", organizer, Wish::OpenSales(show, rules)));
    }

    /// Another show, which is not on sale yet.
    pub(super) fn schedule(&mut self, known: &Known) -> Option<Call> {
        if known.scheduled.len() >= 8 {
            return None;
        }
        let venue = VenueId::derived("simulation", "武道館");
        let show = ShowId::derived("simulation", &format!("show-{}", self.count + 1));
        let schedule = show::Command::ScheduleShow(Box::new(ShowScheduled {
            name: name("追加公演"),
            venue,
            starts_at: START.plus_seconds(20 * HOUR),
            ends_at: START.plus_seconds(24 * HOUR),
            stops: Vec::new(),
            currency: Currency::JPY,
            entry: EntryRule {
                valid_from: START,
                valid_until: START.plus_seconds(24 * HOUR),
                reentry: false,
            },
            issuance: Issuance::Immediate,
        }));
        Some(self.ask("schedule", organizers()[0], StreamId::show(show), schedule))
    }

    /// One puts a show on sale when another calls it off.
    pub(in super::super) fn rivals(&mut self, known: &Known) -> Vec<Call> {
        let waiting: Vec<_> =
            known.scheduled.iter().filter(|(show, _)| !known.is_on_sale(*show)).collect();
        if waiting.is_empty() || !self.chance.percent(20) {
            return Vec::new();
        }
        let (show, organizer) = **self.chance.pick(&waiting).expect("one of them");
        let mut rivals =
            vec![self.call("open sales", organizer, Wish::OpenSales(show, open_rules()))];
        for _ in 0..self.chance.below(3) {
            rivals.push(self.call("call off", organizer, Wish::CallOff(show, name("台風"))));
        }
        rivals
    }

    fn some_seats(&mut self, show: &Show) -> Vec<SeatId> {
        let from = self.chance.below(show.seats.len());
        let count = self.chance.between(1, 2) as usize;
        show.seats[from..].iter().take(count).cloned().collect()
    }

    pub(super) fn block(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let seats = self.some_seats(&show);
        let command = inventory::Command::BlockSeats { seats, reason: name("カメラ席") };
        Some(self.ask("block", show.organizer, StreamId::inventory(show.id), command))
    }

    pub(super) fn unblock(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let seats = match self.chance.percent(85) {
            true => show.blocked.clone(),
            false => self.some_seats(&show),
        };
        let command = inventory::Command::UnblockSeats { seats };
        Some(self.ask("unblock", show.organizer, StreamId::inventory(show.id), command))
    }

    pub(super) fn allot(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let allotment = name(if self.chance.percent(50) { "協賛" } else { "報道" });
        let (mut seats, mut pools) = (Vec::new(), Vec::new());
        if self.chance.percent(60) {
            seats = self.some_seats(&show);
            if let Some(pool) = show.pools.first().filter(|_| self.chance.percent(50)) {
                pools.push(PoolPlaces { pool: pool.clone(), count: 1 });
            }
        }
        let command = inventory::Command::SetAllotment { allotment, seats, pools };
        Some(self.ask("allot", show.organizer, StreamId::inventory(show.id), command))
    }

    pub(super) fn change_rules(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let mut rules = open_rules();
        rules.max_places_per_buyer = self.chance.percent(80).then_some(6);
        rules.hold_ttl_seconds = self.chance.between(300, 900) as u32;
        let command = inventory::Command::ChangeSalesRules(rules);
        Some(self.ask("change rules", show.organizer, StreamId::inventory(show.id), command))
    }

    pub(super) fn offer(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let price = self.chance.between(20, 60) * 100;
        let command = offer("student", price, Vec::new());
        Some(self.ask("offer", show.organizer, StreamId::show(show.id), command))
    }

    pub(super) fn withdraw(&mut self, known: &Known) -> Option<Call> {
        let show = self.chance.pick(&known.shows)?.clone();
        let command = show::Command::WithdrawTicketType { ticket_type: name("student") };
        Some(self.ask("withdraw", show.organizer, StreamId::show(show.id), command))
    }

    pub(super) fn rotate_key(&mut self, _known: &Known) -> Option<Call> {
        let organizer = organizers()[self.chance.below(2)];
        let command = organizer::Command::RotateCodeKey;
        Some(self.ask("rotate key", organizer, organizer, command))
    }

    /// Most often one that has signed codes.
    pub(super) fn disable_key(&mut self, known: &Known) -> Option<Call> {
        let mut organizer = organizers()[self.chance.below(2)];
        let mut code_key = self.chance.between(1, 3) as u8;
        if self.chance.percent(70)
            && let Some(ticket) = self.chance.pick(&known.tickets)
            && let Some(key) = ticket.keys.last()
        {
            (organizer, code_key) = (ticket.organizer, *key);
        }
        let command = organizer::Command::DisableCodeKey { code_key };
        Some(self.ask("disable key", organizer, organizer, command))
    }

    /// Nothing more is sold, or the show is called off.
    pub(in super::super) fn end_a_show(&mut self, known: &Known) -> Call {
        let show = self.chance.pick(&known.shows).expect("a show is on sale").clone();
        if self.chance.percent(50) {
            return self.call("call off", show.organizer, Wish::CallOff(show.id, name("台風")));
        }
        let command = inventory::Command::CloseSales { reason: name("完売") };
        self.ask("close", show.organizer, StreamId::inventory(show.id), command)
    }
}

fn offer(called: &str, price_minor: u64, categories: Vec<Category>) -> show::Command {
    show::Command::OfferTicketType(Box::new(TicketType {
        ticket_type: name(called),
        name: name(called),
        price_minor,
        fares: Vec::new(),
        categories,
        pools: Vec::new(),
    }))
}
