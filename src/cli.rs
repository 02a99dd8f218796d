//! The command line: what one may ask of `hakken`, with its help.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use hakken_domain::{
    envelope::{NotAStream, Position, StreamId, StreamKind},
    names::{HoldId, Label, OrganizerId, PoolId, read_ulid},
    time::Timestamp,
};
use hakken_projections::models::seat_availability::AsOf;

use crate::{
    store::{ReadModelsIn, StoreAddress},
    tools,
};

const EXIT_CODES: &str = "\
Exit codes:
    0  it did what was asked, or stopped when it was told to
    1  it could not: the reason, and what to do next, stand on standard error
    2  the command line is wrong
   70  serve: the event store can no longer be written. All that was acknowledged is on disk:
       look for the cause, then start it again
  130  demo: interrupted";

/// Hakken (発券): an event-sourced ticketing engine.
///
/// Every reservation, payment, issuance, scan and refund is an immutable event in one store.
/// Begin with `hakken demo`: it sells a whole hall before your eyes.
#[derive(Debug, Parser)]
#[command(name = "hakken", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the GraphQL API, on an embedded store or on a database that several servers share.
    Serve(Serve),
    /// Sell a hall: buyers fight for it over HTTP, tickets are paid, issued and scanned, some are
    /// cancelled; read models are rebuilt meanwhile; all of it is verified and told.
    Demo(Demo),
    /// Check a seat map (pretix seating plan or Hakken's own form) and make it a venue.
    Import(Import),
    /// Print the GraphQL schema (SDL).
    Schema,
    /// Make, list and revoke API keys. The server on this data directory must be stopped; a
    /// running one is asked through GraphQL (`createApiKey`, `revokeApiKey`).
    #[command(subcommand)]
    Keys(Keys),
    /// Print recorded events, oldest first; `--follow` waits for more. Works beside a running
    /// server.
    Events(Events),
    /// Export a whole list of a running server as JSON lines: orders, tickets, scans, the audit
    /// log. What is cut off goes on where it was.
    Export(Export),
    /// Print a stream's history and the state that it leads to, as it is or as it stood. Works
    /// beside a running server.
    Replay(Replay),
    /// Rebuild read models from the events, compare, and swap them in. With `--url` a running
    /// server does it while it serves; without, the server must be stopped.
    Rebuild(tools::projections::Rebuild),
    /// Copy a whole history from one store to another, and prove that both are the same. What was
    /// cut off goes on where it was. Works beside a server on the source.
    Copy(crate::tools::copy::Options),
    /// Check a store and its read models, and say in words what is wrong and what mends it. Changes
    /// nothing, and works beside a running server.
    Doctor(crate::tools::doctor::Options),
    /// Fold the events afresh and compare with what is served; says the first difference in
    /// words. Exit code 1 if there is one.
    Verify(Projections),
    /// Say how the read models are. Exit code 1 if one has stopped.
    Projections(Projections),
    /// Let a read model leave out the event at which it stopped, and go on. The decision is
    /// recorded for ever, with its reason: every rebuild leaves it out as well.
    Skip(tools::skip::Skip),
    /// Copy all events and the secret into a directory, also while a server runs.
    Backup(tools::backup::Options),
    /// Read a whole backup and say whether it is complete; exit code 1 if it is not.
    VerifyBackup(tools::backup::VerifyOptions),
    /// Make a store of a backup, all of it or up to a position or a time.
    Restore(tools::restore::Options),
}

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub struct Data {
    /// Where the events are: `embedded` (in the data directory),
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE, or esdb://HOST:2113?tls=false for an
    /// EventStoreDB (kurrentdb:// is the same; several hosts with commas for a cluster). Any
    /// number of servers may share these two, each with a data directory of its own and the same
    /// `secret` in it.
    #[arg(
        long,
        value_name = "STORE",
        default_value = "embedded",
        env = "HAKKEN_STORE",
        hide_env_values = true
    )]
    pub store: StoreAddress,
    /// Keep the read models in the database too, under this name, and not in the data directory.
    /// Every server folds its own: two with the same name stop each other.
    #[arg(long, value_name = "NAME", env = "HAKKEN_READ_MODELS")]
    pub read_models: Option<String>,
    /// The PostgreSQL database of `--read-models`, if it is another one than that of the events:
    /// beside an EventStoreDB, or for a store in the data directory.
    #[arg(
        long,
        value_name = "URL",
        requires = "read_models",
        env = "HAKKEN_READ_MODELS_IN",
        hide_env_values = true
    )]
    pub read_models_in: Option<ReadModelsIn>,
    /// Directory of the events, the read models and the engine's secret.
    #[arg(long, value_name = "DIR", default_value = "hakken-data", env = "HAKKEN_DATA")]
    pub data: PathBuf,
}

/// `hakken serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090", env = "HAKKEN_LISTEN")]
    pub listen: SocketAddr,
    /// Where the data is.
    #[command(flatten)]
    pub data: Data,
    /// Who moves money back.
    #[arg(long, value_enum, default_value_t = PaymentsMode::Manual, env = "HAKKEN_PAYMENTS")]
    pub payments: PaymentsMode,
    /// How the log is written to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "HAKKEN_LOG_FORMAT")]
    pub log: LogFormat,
    /// Send traces (OTLP over HTTP, protobuf) to this collector, such as http://127.0.0.1:4318.
    /// The standard's variables are heard, too: OTEL_EXPORTER_OTLP_ENDPOINT in the place of this,
    /// OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER (such as parentbased_traceidratio) with
    /// OTEL_TRACES_SAMPLER_ARG (such as 0.01), OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_….
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Which documents are carried out.
    #[command(flatten)]
    pub documents: Documents,
    /// How much at once.
    #[command(flatten)]
    pub limits: ServeLimits,
}

/// Which GraphQL documents a server carries out: all of them, if nothing is said.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Documents")]
pub struct Documents {
    /// Documents that clients may send by their names or hashes alone: a .graphql file, a .json
    /// collection of a build tool (names and documents, or Apollo's manifest), or a directory of
    /// such files. May be given several times.
    #[arg(long, value_name = "PATH", env = "HAKKEN_TRUSTED_DOCUMENTS")]
    pub trusted_documents: Vec<PathBuf>,
    /// Carry out no other documents. GraphiQL, which asks for the schema, has nothing to show then.
    #[arg(long, requires = "trusted_documents", env = "HAKKEN_ONLY_TRUSTED")]
    pub only_trusted: bool,
}

/// How much a server does at once. What comes beyond is refused at once, with `THROTTLED`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct ServeLimits {
    /// Connections at once, WebSockets included. One more is answered with 503 and closed.
    #[arg(
        long, value_name = "N", default_value_t = 4_096, env = "HAKKEN_MAX_CONNECTIONS",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_connections: u32,
    /// Requests at once, over all connections. One more is answered with 503.
    #[arg(
        long, value_name = "N", default_value_t = 8_192, env = "HAKKEN_MAX_REQUESTS",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_requests: u32,
    /// Commands and questions that may wait for the write loop at once.
    #[arg(
        long, value_name = "N", default_value_t = 8_192, env = "HAKKEN_MAX_WAITING",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_waiting: u32,
    /// Fewest events of a show between two snapshots of it: with more snapshots, less is read when
    /// a show is used for the first time after a start.
    #[arg(
        long, value_name = "N", default_value_t = 2_000, env = "HAKKEN_SNAPSHOT_EVENTS",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub snapshot_events: u32,
    /// Most points that a key can have saved up to pay for what it asks; 0 for no bound. An object
    /// costs about one, a mutation 10 more: `extensions.cost` tells it to whoever asks.
    #[arg(long, value_name = "N", default_value_t = 10_000_000, env = "HAKKEN_KEY_POINTS")]
    pub key_points: u64,
    /// Points that come back to each key in a second.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000_000,
        env = "HAKKEN_KEY_POINTS_PER_SECOND"
    )]
    pub key_points_per_second: u64,
    /// Operations of one key at once, subscriptions included; 0 for no bound.
    #[arg(long, value_name = "N", default_value_t = 4_096, env = "HAKKEN_KEY_OPERATIONS")]
    pub key_operations: u32,
}

/// Who moves money back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PaymentsMode {
    /// You do, and say so with `settleRefund`.
    Manual,
    /// Nobody: refunds settle at once. For trials only.
    Simulated,
}

impl PaymentsMode {
    /// As the API tells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Simulated => "simulated",
        }
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `hakken demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// A seat map to sell instead of the hall that Hakken ships: a pretix seating plan, or
    /// Hakken's own form.
    #[arg(long, value_name = "FILE")]
    pub hall: Option<PathBuf>,
    /// How many buyers come at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub buyers: u16,
    /// Decides who wants what.
    #[arg(long, value_name = "N", default_value_t = 20_261_121)]
    pub seed: u64,
    /// Where to listen; a free port by default.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Keep the data here; by default a directory that goes away at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Leave at the end, with exit code 0 if everything held and 1 if not.
    #[arg(long)]
    pub exit: bool,
    /// Print one JSON object instead of the story. Implies `--exit`.
    #[arg(long)]
    pub json: bool,
}

/// `hakken import`
#[derive(Debug, Args)]
pub struct Import {
    /// The seat map.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only check it and say what it holds.
    #[arg(long)]
    pub check: bool,
    /// What people call the venue; the map's own name by default.
    #[arg(long, value_name = "NAME")]
    pub name: Option<Label>,
    /// Whose venue it is.
    #[arg(long, value_name = "ORGANIZER", required_unless_present = "check")]
    pub organizer: Option<OrganizerId>,
    /// Seats of this category are wheelchair places. May be given several times.
    #[arg(long = "wheelchair", value_name = "CATEGORY")]
    pub wheelchair: Vec<String>,
    /// Unnumbered capacity, as NAME=PLACES or NAME=PLACES:CATEGORY. May be given several times.
    #[arg(long = "pool", value_name = "NAME=PLACES[:CATEGORY]", value_parser = parse_pool)]
    pub pools: Vec<PoolOption>,
    /// Where people want to look, in the map's own units, as X,Y.
    #[arg(long, value_name = "X,Y", value_parser = parse_focus, allow_hyphen_values = true)]
    pub focus: Option<(f64, f64)>,
    /// Write a picture of it (SVG).
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
    /// Where the data is. The server on it must be stopped; give a running one the file with
    /// `registerVenue`.
    #[command(flatten)]
    pub data: Data,
}

/// A pool given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOption {
    /// Its name.
    pub id: PoolId,
    /// Its places.
    pub capacity: u32,
    /// Its price category; its own name if absent.
    pub category: Option<String>,
}

fn parse_pool(text: &str) -> Result<PoolOption, String> {
    let (name, rest) = text.split_once('=').ok_or("a pool is NAME=PLACES, such as standing=300")?;
    let (places, category) = match rest.split_once(':') {
        Some((places, category)) => (places, Some(category.to_owned())),
        None => (rest, None),
    };
    Ok(PoolOption {
        id: PoolId::new(name).map_err(|error| error.to_string())?,
        capacity: places.parse().map_err(|_| format!("{places:?} is no number of places"))?,
        category,
    })
}

fn parse_focus(text: &str) -> Result<(f64, f64), String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    text.split_once(',')
        .and_then(|(x, y)| Some((number(x)?, number(y)?)))
        .ok_or_else(|| "a focus is X,Y, such as 435,0".to_owned())
}

/// `hakken keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key. It is shown once.
    Create {
        /// What it may do.
        #[arg(long, value_enum)]
        role: RoleName,
        /// For whom; not for operators.
        #[arg(long, value_name = "ORGANIZER")]
        organizer: Option<OrganizerId>,
        /// What people call it.
        #[arg(long)]
        label: Label,
        /// Where the data is.
        #[command(flatten)]
        data: Data,
    },
    /// List keys; never their secrets.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// Where the data is.
        #[command(flatten)]
        data: Data,
    },
    /// Let a key open nothing any more.
    Revoke {
        /// The part of the key after `hk_`: 26 characters.
        key: hakken_domain::names::ApiKeyId,
        /// Where the data is.
        #[command(flatten)]
        data: Data,
    },
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Everything of one organizer.
    Organizer,
    /// Sell, issue, cancel and refund.
    BoxOffice,
    /// Scan.
    Gate,
    /// Read everything of one organizer, change nothing.
    Auditor,
    /// Run the engine.
    Operator,
}

/// `hakken events`
#[derive(Debug, Args)]
pub struct Events {
    /// Only those after this position.
    #[arg(long, value_name = "POSITION", default_value = "0", value_parser = parse_position)]
    pub after: Position,
    /// Only the newest N.
    #[arg(long, value_name = "N", conflicts_with = "after")]
    pub tail: Option<u64>,
    /// Only this stream, such as inventory-01J….
    #[arg(long)]
    pub stream: Option<StreamId>,
    /// Only this kind, such as seats-held. May be given several times.
    #[arg(long)]
    pub kind: Vec<String>,
    /// Only what this actor did, such as key:01J… or system:checkout.
    #[arg(long)]
    pub actor: Option<String>,
    /// Wait for more.
    #[arg(long, short)]
    pub follow: bool,
    /// One JSON object a line, with data and metadata as stored.
    #[arg(long)]
    pub json: bool,
    /// Where the data is.
    #[command(flatten)]
    pub data: Data,
}

/// `hakken export`
#[derive(Debug, Args)]
pub struct Export {
    /// The list, as the API names it: organizers, apiKeys, venues, shows, holds, orders, refunds,
    /// tickets, scans, issuanceHistory or auditLog.
    #[arg(value_name = "LIST", value_parser = parse_list)]
    pub list: String,
    /// The server, such as http://127.0.0.1:8090.
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// A key that may see the list.
    #[arg(long, value_name = "KEY", env = "HAKKEN_KEY", hide_env_values = true)]
    pub key: String,
    /// Write to this file; one that holds a part of the export is gone on with.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The list's own filter as JSON, such as '{"status": "CONFIRMED"}'.
    #[arg(long, value_name = "JSON")]
    pub filter: Option<String>,
    /// For operators: only what is this organizer's, such as organizer_01J….
    #[arg(long, value_name = "ID")]
    pub organizer: Option<String>,
    /// Wait until everything up to this position is in the list, such as the position that a sale
    /// was answered with: up to 5 seconds at a time, and a few times.
    #[arg(long, value_name = "POSITION", value_parser = parse_position)]
    pub at_least: Option<Position>,
    /// Of scans, issuanceHistory and auditLog: only up to this position.
    #[arg(long, value_name = "POSITION", value_parser = parse_position)]
    pub up_to: Option<Position>,
}

/// A name, which becomes a part of an address.
fn parse_list(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic());
    is_name.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is no name of a list"))
}

/// `hakken replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// A stream, such as ticket-01J… or inventory-01J…, or the public id of a ticket, order, show,
    /// hold, venue, organizer or key, such as ticket_01J….
    #[arg(value_name = "STREAM|ID", value_parser = parse_what)]
    pub what: Replayed,
    /// As it stood then: after the event at this position, or after everything that was recorded
    /// until this time (RFC 3339, such as 2026-11-21T18:30:00Z).
    #[arg(long, value_name = "POSITION|TIME", value_parser = parse_as_of)]
    pub as_of: Option<AsOf>,
    /// As it stood at this time (RFC 3339): the same as --as-of with a time.
    #[arg(long, value_name = "TIME", conflicts_with = "as_of")]
    pub as_of_time: Option<Timestamp>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Where the data is.
    #[command(flatten)]
    pub data: Data,
}

/// `hakken rebuild`, `hakken verify` and `hakken projections`
#[derive(Debug, Args)]
pub struct Projections {
    /// Which read models; all by default.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// One JSON object a read model instead of progress bars.
    #[arg(long)]
    pub json: bool,
    /// Let this running server do it, such as http://127.0.0.1:8090.
    #[arg(long, value_name = "URL", requires = "key")]
    pub url: Option<String>,
    /// An operator's key for that server.
    #[arg(long, value_name = "KEY", env = "HAKKEN_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Where the data is.
    #[command(flatten)]
    pub data: Data,
}

/// What may be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// All of a stream.
    Stream(StreamId),
    /// Of an inventory, what is about this hold.
    Hold(HoldId),
}

fn parse_what(text: &str) -> Result<Replayed, String> {
    let Some((kind, id)) = text.split_once('_') else {
        return text.parse().map(Replayed::Stream).map_err(|error: NotAStream| error.to_string());
    };
    let wrong = || {
        format!(
            "{text:?} is no id of anything that can be replayed: one is a kind (ticket, order, \
             show, hold, venue, organizer, key), an underscore and a ULID, such as \
             ticket_01ARZ3NDEKTSV4RRFFQ69G5FAV"
        )
    };
    let id = read_ulid(id).ok_or_else(wrong)?;
    let kind = match kind {
        "hold" => return Ok(Replayed::Hold(HoldId(id))),
        "ticket" => StreamKind::Ticket,
        "order" => StreamKind::Order,
        "show" => StreamKind::Show,
        "venue" => StreamKind::Venue,
        "organizer" => StreamKind::Organizer,
        "key" => StreamKind::Key,
        _ => return Err(wrong()),
    };
    Ok(Replayed::Stream(StreamId { kind, id }))
}

fn parse_as_of(text: &str) -> Result<AsOf, String> {
    if let Ok(position) = text.parse() {
        return Ok(AsOf::Position(Position(position)));
    }
    text.parse().map(AsOf::Time).map_err(|_| {
        format!(
            "{text:?} is neither a position (a whole number) nor a time in RFC 3339, such as \
             2026-11-21T18:30:00Z"
        )
    })
}

pub(crate) fn parse_position(text: &str) -> Result<Position, String> {
    text.parse().map(Position).map_err(|_| format!("{text:?} is no position: a whole number"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_replayed_is_named_by_its_stream_or_its_public_id() {
        let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        let order = parse_what(&format!("order_{id}"));
        assert_eq!(order, parse_what(&format!("order-{id}")));
        assert!(matches!(parse_what(&format!("hold_{id}")), Ok(Replayed::Hold(_))));
        for wrong in ["seat_01ARZ3NDEKTSV4RRFFQ69G5FAV", "order_1", "order", "hold-1", ""] {
            let error = parse_what(wrong).unwrap_err();
            assert!(error.contains(wrong) && error.contains("ULID"), "{error}");
        }
        assert_eq!(parse_as_of("12"), Ok(AsOf::Position(Position(12))));
        assert!(matches!(parse_as_of("2026-11-21T18:30:00Z"), Ok(AsOf::Time(_))));
        assert!(parse_as_of("yesterday").unwrap_err().contains("neither a position"));
    }

    #[test]
    fn pools_and_focus_read_as_people_write_them() {
        let pool = parse_pool("立見=300:standing").unwrap();
        assert_eq!((pool.id.as_str(), pool.capacity), ("立見", 300));
        assert!(parse_pool("standing").is_err());
        assert!(parse_pool("standing=many").is_err());
        assert_eq!(parse_focus("4.5, -2"), Ok((4.5, -2.0)));
        assert!(parse_focus("NaN,1").is_err());
    }
}
