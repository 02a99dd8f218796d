//! The events: read once for each part of the history, so that memory stays bounded however long
//! it is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use hakken_domain::{
    Event, State,
    apikey::Role,
    audit::{Audit, Part},
    envelope::{Position, StoredEvent, StreamId, StreamKind, Version},
    names::ShowId,
    show,
    time::Timestamp,
};
use hakken_projections::feed::EventFeed;
use indicatif::ProgressBar;

use super::finding::{Findings, Severity};

/// Events of one part: what is kept of each takes some 600 bytes.
const PART_EVENTS: u64 = 1_000_000;

const PAGE: usize = 5_000;

/// Streams that are looked up one by one, unless all are wanted.
const SAMPLE: usize = 16;

const RESTORE: &str = "keep a copy of the store, then restore it from a backup or a replica \
                       (`hakken copy` proves that two stores are the same)";
const WRONG: &str = "no command mends what was recorded wrongly: keep a copy of the store, and \
                     look at the stream with `hakken replay`";

/// What the checks of the events go by.
pub struct Question<'a> {
    /// The events.
    pub feed: &'a dyn EventFeed,
    /// Up to here.
    pub head: Position,
    /// The time.
    pub now: Timestamp,
    /// What happened less long ago than this may still be under way.
    pub grace_seconds: u64,
    /// A server runs.
    pub served: bool,
    /// There is something that finds streams, and it is not known to be wrong.
    pub indexed: bool,
    /// Look up every stream.
    pub deep: bool,
    /// Up to where streams have snapshots.
    pub snapshots: HashMap<StreamId, Version>,
}

/// Reads everything and says what is wrong.
pub async fn check(question: &Question<'_>, bar: &ProgressBar, findings: &mut Findings) {
    let parts = question.head.0.div_ceil(PART_EVENTS).max(1);
    bar.set_length(question.head.0 * parts);
    let mut seen = Seen::default();
    for index in 0..parts {
        let part = Part { index, of: parts };
        let mut reading = Reading::new(part);
        if let Err(error) = read(question, &mut reading, &mut seen, bar, findings).await {
            let what = format!("the events cannot be read behind position {}: {error}", seen.last);
            findings.broken("events", what, RESTORE);
            return;
        }
        reading.at_rest(question, &seen, findings);
        look_up(question, &reading.audit, findings).await;
    }
    if question.head > Position(0) && seen.operators == 0 {
        findings.attention(
            "keys",
            "no operator's key is left that opens anything".to_owned(),
            "stop the server, then `hakken keys create --role operator --label …`",
        );
    }
    findings.looked_at.push(format!("{} events of {} streams", seen.events, seen.streams));
}

/// What is known of all parts together.
#[derive(Default)]
struct Seen {
    last: Position,
    recorded_at: Timestamp,
    events: u64,
    streams: u64,
    operators: usize,
    /// What people call the shows.
    names: BTreeMap<ShowId, String>,
}

/// What is kept of one part.
struct Reading {
    part: Part,
    audit: Audit,
    /// None where an event did not follow: nothing more is said of that stream.
    states: HashMap<StreamId, Option<State>>,
    /// Streams of which the audit has found something: what follows from it is not told.
    told: HashSet<StreamId>,
}

async fn read(
    question: &Question<'_>,
    reading: &mut Reading,
    seen: &mut Seen,
    bar: &ProgressBar,
    findings: &mut Findings,
) -> Result<(), hakken_projections::feed::FeedError> {
    let first = reading.part.index == 0;
    let mut after = Position(0);
    while after < question.head {
        let page = question.feed.read_all(after, PAGE).await?;
        let Some(last) = page.last() else {
            let what = format!("the events end at position {after}, not at {}", question.head);
            findings.broken("events", what, RESTORE);
            return Ok(());
        };
        for event in page.iter().take_while(|event| event.position <= question.head) {
            if first {
                seen.order(event, question, findings);
            }
            reading.event(event, seen, findings);
        }
        bar.inc(last.position.0.min(question.head.0) - after.0);
        after = last.position;
        // A reader that is asked for much must not keep everybody else from working.
        tokio::task::yield_now().await;
    }
    let operators = reading.states.values().flatten().filter(|state| is_operator(state)).count();
    seen.operators += operators;
    seen.streams += reading.audit.versions().len() as u64;
    Ok(())
}

fn is_operator(state: &State) -> bool {
    let State::Key(key) = state else { return false };
    !key.is_revoked() && key.created().is_some_and(|created| created.role == Role::Operator)
}

impl Seen {
    /// The order of all events, and what shows are called.
    fn order(&mut self, event: &StoredEvent, question: &Question<'_>, findings: &mut Findings) {
        let position = event.position;
        if position <= self.last {
            let what = format!("position {position} comes behind {}", self.last);
            findings.broken("events", what, RESTORE);
        } else if position.0 != self.last.0 + 1 {
            let what = format!("positions {} to {} are missing", self.last.0 + 1, position.0 - 1);
            findings.broken("events", what, RESTORE);
        }
        if event.recorded_at < self.recorded_at {
            let what = format!("position {position} was recorded before the position before it");
            findings.broken("events", what, WRONG);
        }
        let soon = question.now.plus_seconds(question.grace_seconds);
        if event.recorded_at > soon && self.recorded_at <= soon {
            let what = format!(
                "position {position} was recorded at {}, in the future: every later event gets \
                 at least that time",
                event.recorded_at
            );
            findings.attention("clock", what, "set the clock of this machine, or wait until then");
        }
        self.last = position;
        self.recorded_at = self.recorded_at.max(event.recorded_at);
        self.events += 1;
        if let Ok(decoded) = event.decoded()
            && let Event::Show(show::Event::ShowScheduled(scheduled)) = &decoded.event
        {
            self.names.insert(ShowId(event.stream.id), scheduled.name.to_string());
        }
    }

    /// A show with its name.
    fn show(&self, show: ShowId) -> String {
        match self.names.get(&show) {
            Some(name) => format!("show {show} ({name})"),
            None => format!("show {show}"),
        }
    }
}

impl Reading {
    fn new(part: Part) -> Self {
        Self { part, audit: Audit::of(part), states: HashMap::new(), told: HashSet::new() }
    }

    fn event(&mut self, event: &StoredEvent, seen: &Seen, findings: &mut Findings) {
        let (stream, position) = (event.stream, event.position);
        let own = self.part.covers(stream.id);
        let expected = self.audit.versions().get(&stream).copied().unwrap_or(0) + 1;
        if own && event.version != expected && self.told.insert(stream) {
            let version = event.version;
            let what = format!(
                "position {position}: {stream} has version {version} where {expected} comes next"
            );
            findings.broken("events", what, RESTORE);
        }
        let decoded = match event.decoded() {
            Ok(decoded) => decoded,
            Err(error) => {
                // Once, and not again for what comes behind it.
                if own && self.states.insert(stream, None).is_none_or(|state| state.is_some()) {
                    let what =
                        format!("position {position}, {stream} version {}: {error}", event.version);
                    let mend = "use the version of Hakken that wrote it, or a newer one; if none \
                                can read it, restore the store from a backup";
                    findings.broken("kinds", what, mend);
                }
                self.told.insert(stream);
                return;
            }
        };
        if own {
            let state = self.states.entry(stream);
            let state = state.or_insert_with(|| Some(State::initial(stream.kind)));
            if let Some(known) = state {
                let folded = catch_unwind(AssertUnwindSafe(|| known.evolve(&decoded.event)));
                if folded.is_err() {
                    *state = None;
                    let what = format!(
                        "position {position}: it does not follow from the events of {stream} \
                         before it, so nobody can use that stream"
                    );
                    findings.broken("folds", what, WRONG);
                    self.told.insert(stream);
                }
            }
        }
        let audited = catch_unwind(AssertUnwindSafe(|| self.audit.read_next(event)));
        let wrong = match audited {
            Ok(Ok(())) => return,
            Ok(Err(wrong)) => wrong,
            Err(_) => "it does not go with what was before it".to_owned(),
        };
        if self.told.insert(stream) {
            let about = match stream.kind {
                StreamKind::Inventory => seen.show(ShowId(stream.id)),
                _ => stream.to_string(),
            };
            findings.broken("facts", format!("position {position}, {about}: {wrong}"), WRONG);
        }
    }

    /// What is left half done.
    fn at_rest(&self, question: &Question<'_>, seen: &Seen, findings: &mut Findings) {
        let until = question.now.minus_seconds(question.grace_seconds);
        let mend = if question.served {
            "the server should have done it: look at its log and at `/metrics`, then start it anew"
        } else {
            "start the server: it goes on where it was"
        };
        for (stream, wrong) in self.audit.unrest(until) {
            if !self.told.contains(&stream) {
                findings.attention("orders", wrong, mend);
            }
        }
        for (show, count, first) in self.audit.lapsed_of_shows(until) {
            let severity = if question.served { Severity::Attention } else { Severity::Note };
            let what = format!(
                "{}: {count} holds have ended since {first}, and nobody recorded it; their seats \
                 are free",
                seen.show(show)
            );
            findings.add(severity, "holds", what, question.served.then(|| mend.to_owned()));
        }
    }
}

/// Streams as the index finds them, and what stands in snapshots.
async fn look_up(question: &Question<'_>, audit: &Audit, findings: &mut Findings) {
    let versions = audit.versions();
    for (stream, snapshot) in &question.snapshots {
        if let Some(version) = versions.get(stream).filter(|version| *version < snapshot) {
            let what = format!("{stream} has version {version}, its snapshot version {snapshot}");
            findings.attention("side.db", what, SIDE);
        }
    }
    if !question.indexed {
        return;
    }
    let step = if question.deep { 1 } else { (versions.len() / SAMPLE).max(1) };
    for (stream, version) in versions.iter().step_by(step) {
        let before = version.saturating_sub(1);
        let wrong = match question.feed.read_stream(*stream, before, 1).await {
            Ok(found) => match found.first() {
                Some(event) if event.version == *version && event.stream == *stream => continue,
                _ => format!("version {version} is not found"),
            },
            Err(error) => error.to_string(),
        };
        findings.attention("index", format!("{stream}: {wrong}"), INDEX);
    }
}

/// How the index is mended.
pub const INDEX: &str = "stop the server, delete index.db and what stands beside it (-wal, -shm), \
                         and start it: it is made anew from the events";
/// How snapshots and checkpoints are mended.
pub const SIDE: &str = "stop the server, delete side.db and what stands beside it (-wal, -shm), \
                        and start it: nothing is lost, processes look through the events again";
