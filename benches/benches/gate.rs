//! What the gate before the schema costs: Hakken's own handler beside the plain handler of the
//! GraphQL library, over the same schema and an engine in memory, each in a process of its own.
//!
//! `cargo bench -p hakken-benches --bench gate` runs everything; `-- 9 hold` nine turns of what is
//! named so. 16 callers each keep one connection open and send a request once the one before is
//! answered. The doors take turns, and each figure is the median of the turns.

use std::{cell::Cell, time::Duration};

use anyhow::Result;
use hakken_benches::{
    http::{Door, Figures, Program, Request, Show, Stage, round},
    median,
    report::Table,
};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLERS: usize = 16;
/// Turns, where the command line does not say otherwise with a number.
const TURNS: usize = 7;
const TURN: Duration = Duration::from_millis(1_500);
/// Seats of the hall whose list is asked for.
const SEATS: usize = 50;

const GUIDE: &str = "\
server µs: processor time of the server for each request, HTTP included. `ratio` is the gate's \
beside the plain handler's: at most 1.10 is wanted. The plain handler neither negotiates nor \
bounds anything; both check the key. `afresh`: a document that neither has seen before.";

const CASES: [&str; 5] = ["trivial", "hold", "list of 50", "hold afresh", "list of 50 afresh"];

fn main() -> Result<()> {
    Door::serve_if_asked()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run())
}

/// A door with what is asked behind it.
struct Side {
    program: Program,
    stage: Stage,
    show: Show,
    hall: String,
}

impl Side {
    async fn open(door: Door) -> Result<Self> {
        let program = door.open()?;
        let mut stage = Stage::set(&program).await?;
        let show = stage.show().await?;
        let hall = stage.hall(SEATS).await?;
        Ok(Self { program, stage, show, hall })
    }

    async fn turn(&mut self, case: &'static str, turn: usize) -> Result<Figures> {
        self.stage.settle().await?;
        let (document, expected) = match case {
            "trivial" => ("{ __typename }", "Query"),
            case if case.starts_with("hold") => (HOLD, "\"userErrors\":[]"),
            _ => (LIST, "\"category\""),
        };
        let is_afresh = case.ends_with("afresh");
        let (key, show, hall) =
            (self.stage.seller.clone(), self.show.id.clone(), self.hall.clone());
        let request = Request::new(&key, document);
        let next = Cell::new(0);
        let work = async move |caller: &mut hakken_benches::http::Caller| {
            let at = next.replace(next.get() + 1);
            let variables = match document {
                HOLD => format!(
                    "\"input\":{{\"idempotencyKey\":\"{case}-{turn}-{at}\",\"show\":\"{show}\",\
                     \"buyer\":\"buyer-{}\",\"pools\":[{{\"pool\":\"standing\",\"count\":1}}]}}",
                    caller.number
                ),
                LIST => format!("\"venue\":\"{hall}\""),
                _ => String::new(),
            };
            let other;
            let request = if is_afresh {
                other = Request::new(&key, &format!("{document}#{turn}-{at}"));
                &other
            } else {
                &request
            };
            caller.ask(request, &variables).await?.expect(expected)?;
            Ok(true)
        };
        round(self.program.address, CALLERS, TURN, || self.program.cpu(), work).await
    }
}

async fn run() -> Result<()> {
    let words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let (turns, wanted): (Vec<String>, Vec<String>) =
        words.partition(|word| word.parse::<usize>().is_ok());
    let turns = turns.first().map_or(Ok(TURNS), |turns| turns.parse())?;
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let cases: Vec<&'static str> = CASES.into_iter().filter(|name| is_wanted(name)).collect();
    let mut gate = Side::open(Door::Gate).await?;
    let mut plain = Side::open(Door::Plain).await?;
    let mut table = Table::new(
        format!("the gate beside the plain handler, {CALLERS} callers (median of {turns} turns)"),
        GUIDE,
        &["", "gate server µs", "plain server µs", "ratio", "gate/s", "plain/s", "bytes"],
    );
    let mut found: Vec<Vec<(Figures, Figures)>> = cases.iter().map(|_| Vec::new()).collect();
    for turn in 0..turns {
        for (case, found) in cases.iter().zip(&mut found) {
            let ours = gate.turn(case, turn).await?;
            let theirs = plain.turn(case, turn).await?;
            eprintln!("{case}: {:.1} beside {:.1} µs", ours.server, theirs.server);
            found.push((ours, theirs));
        }
    }
    for (case, found) in cases.iter().zip(&found) {
        let middle = |of: fn(&(Figures, Figures)) -> f64| median(found.iter().map(of).collect());
        let ratio = middle(|(ours, theirs)| ours.server / theirs.server);
        table.row([
            (*case).to_owned(),
            format!("{:.1}", middle(|(ours, _)| ours.server)),
            format!("{:.1}", middle(|(_, theirs)| theirs.server)),
            format!("{ratio:.2}"),
            format!("{:.0}", middle(|(ours, _)| ours.rate)),
            format!("{:.0}", middle(|(_, theirs)| theirs.rate)),
            format!("{:.0}", middle(|(ours, _)| ours.bytes)),
        ]);
    }
    table.print();
    Ok(())
}

const HOLD: &str = "mutation($input: HoldSeatsInput!) {
    holdSeats(input: $input) { hold { id expiresAt } userErrors { code message field } } }";
const LIST: &str = "query($venue: ID!) { venue(id: $venue) { seatMap { sections { rows {
    seats { name number at { x y } category wheelchair } } } } } }";
