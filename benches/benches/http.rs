//! The program over GraphQL and HTTP, with the generator of load on the same processors: holds,
//! whole orders, scans and polls beside a bare route, a trivial query and a trivial mutation.
//!
//! `cargo bench -p hakken-benches --bench http` runs everything; `-- 5 holds trivial` five turns of
//! what is named so. The program is built and started as it is shipped, on an empty embedded store beside
//! the build. 64 callers each keep one connection open and send a request once the one before is
//! answered. Turns change places, and each figure is the median of its turns.

use std::{cell::RefCell, rc::Rc, time::Duration};

use anyhow::Result;
use hakken_benches::{
    http::{Caller, Figures, Plain, Program, Request, SEATS, Show, Stage, round},
    median,
    report::{Table, bench_dir, percent},
    thousands,
};

const CALLERS: usize = 64;
/// Turns, where the command line does not say otherwise with a number.
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(2);

const GUIDE: &str = "\
Things done a second, each answered after it was durable; one order is three requests. `share` is \
of the trivial request of the same kind (query or mutation) in this run; server µs and client µs \
are processor time for each thing done, of the program and of this generator of load, which share \
the same processors. The bare route shows what HTTP costs without Hakken.";

fn main() -> Result<()> {
    Plain::serve_if_asked()?;
    // One thread: what it uses, the program does not have.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run())
}

/// What is measured, with the figures of its turns.
struct Case {
    name: &'static str,
    /// The trivial case that it is compared with.
    beside: Option<&'static str>,
    turns: Vec<Figures>,
}

const CASES: [(&str, Option<&str>); 13] = [
    ("bare route", None),
    ("trivial query", None),
    ("trivial mutation", None),
    ("holds, named seat", Some("trivial mutation")),
    ("holds, best two", Some("trivial mutation")),
    ("holds, pool place", Some("trivial mutation")),
    ("orders", Some("trivial mutation")),
    ("scans, accepted", Some("trivial mutation")),
    ("scans, refused", Some("trivial mutation")),
    ("scans, forged", Some("trivial mutation")),
    ("polls, unchanged", Some("trivial query")),
    ("polls, whole map", Some("trivial query")),
    ("polls beside holds", Some("trivial query")),
];

async fn run() -> Result<()> {
    let words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let (turns, wanted): (Vec<String>, Vec<String>) =
        words.partition(|word| word.parse::<usize>().is_ok());
    let turns = turns.first().map_or(Ok(TURNS), |turns| turns.parse())?;
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let program = Program::build()?;
    let dir = tempfile::Builder::new().prefix("http").tempdir_in(bench_dir()?)?;
    let program = Program::serve(&program, dir.path())?;
    println!("the program is process {}", program.id());
    let plain = Plain::start()?;
    let mut stage = Stage::set(&program).await?;
    let mut cases: Vec<Case> = CASES
        .into_iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, beside)| Case { name, beside, turns: Vec::new() })
        .collect();
    let tickets = Rc::new(RefCell::new(Vec::new()));
    let quiet = stage.show().await?;
    for turn in 0..turns {
        for case in &mut cases {
            let turn = Turn {
                number: turn,
                program: &program,
                plain: &plain,
                quiet: &quiet,
                tickets: &tickets,
            };
            let figures = turn.run(case.name, &mut stage).await?;
            eprintln!("{}: {:.0}/s", case.name, figures.rate);
            case.turns.push(figures);
        }
    }
    print(&cases, turns);
    Ok(())
}

fn print(cases: &[Case], turns: usize) {
    let mut table = Table::new(
        format!("over GraphQL and HTTP, {CALLERS} callers (median of {turns} turns)"),
        GUIDE,
        &["", "a second", "share", "p50 ms", "p99 ms", "server µs", "client µs", "bytes"],
    );
    let middle = |case: &Case, of: fn(&Figures) -> f64| median(case.turns.iter().map(of).collect());
    for case in cases {
        let rate = middle(case, |figures| figures.rate);
        let trivial = cases.iter().find(|other| Some(other.name) == case.beside);
        let share = trivial.map(|trivial| percent(rate, middle(trivial, |figures| figures.rate)));
        table.row([
            case.name.to_owned(),
            thousands(rate),
            share.unwrap_or_default(),
            format!("{:.2}", middle(case, |figures| figures.p50)),
            format!("{:.2}", middle(case, |figures| figures.p99)),
            format!("{:.1}", middle(case, |figures| figures.server)),
            format!("{:.1}", middle(case, |figures| figures.client)),
            thousands(middle(case, |figures| figures.bytes)),
        ]);
    }
    table.print();
}

/// A ticket that was sold.
struct Ticket {
    show: String,
    code: String,
    /// Its holder has come in with it.
    inside: bool,
}

struct Turn<'a> {
    number: usize,
    program: &'a Program,
    plain: &'a Plain,
    /// A show of which no seat is sold.
    quiet: &'a Show,
    /// Tickets that were sold.
    tickets: &'a Rc<RefCell<Vec<Ticket>>>,
}

impl Turn<'_> {
    async fn run(&self, name: &str, stage: &mut Stage) -> Result<Figures> {
        let key = format!("{}-{}", name.replace([',', ' '], ""), self.number);
        match name {
            "bare route" => {
                let request = Request::new("hk_none", "{ hello }");
                let cpu = || self.plain.cpu();
                round(self.plain.address, CALLERS, TURN, cpu, async move |caller| {
                    caller.ask(&request, "").await?.expect("hello")?;
                    Ok(true)
                })
                .await
            }
            "trivial query" => self.ask(stage, "{ __typename }", "", "Query").await,
            // Everything but the engine: the key, the document, the input, the idempotency key.
            "trivial mutation" => {
                let variables = format!(
                    "\"input\":{{\"idempotencyKey\":\"k\",\"show\":\"{}\",\"buyer\":\"not opaque\"}}",
                    self.quiet.id
                );
                self.ask(stage, HOLD, &variables, "BAD_USER_INPUT").await
            }
            "orders" => self.orders(stage, key).await,
            name if name.starts_with("holds") => self.holds(stage, name, key).await,
            name if name.starts_with("scans") => self.scans(stage, name, key).await,
            name => self.polls(stage, name).await,
        }
    }

    /// The same request again and again.
    async fn ask(
        &self,
        stage: &mut Stage,
        document: &str,
        variables: &str,
        expected: &'static str,
    ) -> Result<Figures> {
        let (request, variables) = (Request::new(&stage.seller, document), variables.to_owned());
        self.round(stage, async move |caller| {
            caller.ask(&request, &variables).await?.expect(expected)?;
            Ok(true)
        })
        .await
    }

    async fn round<W>(&self, stage: &mut Stage, work: W) -> Result<Figures>
    where
        W: AsyncFn(&mut Caller) -> Result<bool> + 'static,
    {
        stage.settle().await?;
        round(self.program.address, CALLERS, TURN, || self.program.cpu(), work).await
    }

    async fn holds(&self, stage: &mut Stage, name: &str, key: String) -> Result<Figures> {
        let is_pool = name == "holds, pool place";
        let show = if is_pool { self.quiet.clone() } else { stage.show().await? };
        let request = Request::new(&stage.seller, HOLD);
        let kind = name.to_owned();
        let next = RefCell::new(0);
        self.round(stage, async move |caller| {
            let at = take(&next);
            let places = match kind.as_str() {
                "holds, named seat" if at >= SEATS => return Ok(false),
                "holds, named seat" => format!("\"seats\":[\"{}\"]", Show::seat(scattered(at))),
                // The last single seats of odd rows are no pairs.
                "holds, best two" if at >= SEATS / 2 - SEATS / 20 => return Ok(false),
                "holds, best two" => "\"bestAvailable\":{\"count\":2}".to_owned(),
                _ => "\"pools\":[{\"pool\":\"standing\",\"count\":1}]".to_owned(),
            };
            hold(caller, &request, &show, &format!("{key}-{at}"), &places).await?;
            Ok(true)
        })
        .await
    }

    /// Holds a seat, orders it, pays it, and has its ticket's code.
    async fn orders(&self, stage: &mut Stage, key: String) -> Result<Figures> {
        let show = stage.show().await?;
        let holds = Request::new(&stage.seller, HOLD);
        let orders = Request::new(&stage.seller, ORDER);
        let pays = Request::new(&stage.seller, PAY);
        let (next, tickets) = (RefCell::new(0), self.tickets.clone());
        self.round(stage, async move |caller| {
            let at = take(&next);
            if at >= SEATS {
                return Ok(false);
            }
            let key = format!("{key}-{at}");
            let seats = format!("\"seats\":[\"{}\"]", Show::seat(scattered(at)));
            let hold = hold(caller, &holds, &show, &key, &seats).await?;
            let buyer = caller.number;
            let answer = caller
                .ask(
                    &orders,
                    &format!(
                        "\"input\":{{\"idempotencyKey\":\"{key}\",\"buyer\":\"buyer-{buyer}\",\
                         \"lines\":[{{\"show\":\"{}\",\"hold\":\"{hold}\",\
                         \"ticketType\":\"adult\"}}]}}",
                        show.id
                    ),
                )
                .await?;
            let order = answer.text("\"order\":{\"id\":\"")?.to_owned();
            let answer = caller
                .ask(
                    &pays,
                    &format!(
                        "\"input\":{{\"idempotencyKey\":\"pay-{key}\",\"order\":\"{order}\",\
                         \"currency\":\"JPY\",\"payments\":[{{\"payment\":\"pi-{key}\",\
                         \"method\":\"card\",\"amountMinor\":5000}}]}}"
                    ),
                )
                .await?;
            answer.expect("\"settled\":\"DONE\"")?;
            let code = answer.text("\"code\":\"")?.to_owned();
            tickets.borrow_mut().push(Ticket { show: show.id.clone(), code, inside: false });
            Ok(true)
        })
        .await
    }

    async fn scans(&self, stage: &mut Stage, name: &str, key: String) -> Result<Figures> {
        if self.tickets.borrow().is_empty() {
            self.orders(stage, format!("{key}-sold")).await?;
        }
        let other_show = self.quiet.clone();
        let request = Request::new(&stage.gate, SCAN);
        let (next, tickets, kind) = (RefCell::new(0), self.tickets.clone(), name.to_owned());
        self.round(stage, async move |caller| {
            let at = take(&next);
            let (number, show, code, direction) = {
                let tickets = tickets.borrow();
                let number = at % tickets.len();
                let Ticket { show, code, inside } = &tickets[number];
                // Out and in again: tickets of these shows may.
                let direction = if *inside { "EXIT" } else { "ENTRY" };
                match kind.as_str() {
                    "scans, accepted" => (number, show.clone(), code.clone(), direction),
                    "scans, refused" => (number, other_show.id.clone(), code.clone(), "ENTRY"),
                    _ => (number, show.clone(), code[..code.len() - 4].to_owned(), "ENTRY"),
                }
            };
            let variables = format!(
                "\"input\":{{\"idempotencyKey\":\"{key}-{at}\",\"show\":\"{show}\",\
                 \"gate\":\"main\",\"direction\":\"{direction}\",\"code\":\"{code}\"}}"
            );
            let answer = caller.ask(&request, &variables).await?;
            if kind == "scans, accepted" {
                answer.expect(if direction == "EXIT" { "EXITED" } else { "ADMITTED" })?;
                tickets.borrow_mut()[number].inside = direction == "ENTRY";
            } else {
                answer.expect("REFUSED")?;
            }
            Ok(true)
        })
        .await
    }

    async fn polls(&self, stage: &mut Stage, name: &str) -> Result<Figures> {
        let show = self.quiet.clone();
        let request = Request::new(&stage.seller, POLL);
        stage.settle().await?;
        let mut caller = Caller::new(0, self.program.address).await?;
        let variables = format!("\"show\":\"{}\"", show.id);
        let answer = caller.ask(&request, &variables).await?;
        let version = answer.text("\"version\":\"")?.to_owned();
        if name == "polls, unchanged" {
            let variables = format!("{variables},\"known\":\"{version}\"");
            return self.ask(stage, POLL, &variables, "\"unchanged\":true").await;
        }
        if name == "polls, whole map" {
            return self.ask(stage, POLL, &variables, "FFFF").await;
        }
        // One in 64 callers holds; the others ask for what has changed since they asked last.
        let holds = Request::new(&stage.seller, HOLD);
        let known = RefCell::new(vec![version; CALLERS]);
        let (next, turn) = (RefCell::new(0), self.number);
        self.round(stage, async move |caller| {
            if caller.number == 0 {
                let at = take(&next);
                let pool = "\"pools\":[{\"pool\":\"standing\",\"count\":1}]";
                hold(caller, &holds, &show, &format!("beside-{turn}-{at}"), pool).await?;
                return Ok(true);
            }
            let number = caller.number;
            let variables = format!("{variables},\"known\":\"{}\"", known.borrow()[number]);
            let answer = caller.ask(&request, &variables).await?;
            answer.expect("\"unchanged\":")?;
            answer.text("\"version\":\"")?.clone_into(&mut known.borrow_mut()[number]);
            Ok(true)
        })
        .await
    }
}

async fn hold(
    caller: &mut Caller,
    request: &Request,
    show: &Show,
    key: &str,
    places: &str,
) -> Result<String> {
    let buyer = caller.number;
    let variables = format!(
        "\"input\":{{\"idempotencyKey\":\"{key}\",\"show\":\"{}\",\"buyer\":\"buyer-{buyer}\",\
         {places}}}",
        show.id
    );
    Ok(caller.ask(request, &variables).await?.text("\"hold\":{\"id\":\"")?.to_owned())
}

fn take(next: &RefCell<usize>) -> usize {
    next.replace_with(|at| *at + 1)
}

/// Every seat once, and never one beside the one before.
fn scattered(at: usize) -> usize {
    at * 7_919 % SEATS
}

const HOLD: &str = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
    hold { id seats expiresAt } userErrors { code message field } } }";
const ORDER: &str = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) {
    order { id total { amountMinor } } userErrors { code message field } } }";
const PAY: &str = "mutation($input: PayOrderInput!) { payOrder(input: $input) {
    order { id status tickets { id item code } } settled userErrors { code message field } } }";
const SCAN: &str = "mutation($input: ScanTicketInput!) { scanTicket(input: $input) {
    result reason ticket { seat ticketType } userErrors { code message field } } }";
const POLL: &str = "query($show: ID!, $known: String) {
    availability(show: $show, ifVersionIsNot: $known) {
        version unchanged seatLetters pools { pool free } totals { free } } }";
