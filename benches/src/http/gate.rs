//! The same engine and the same schema behind two doors: Hakken's own gate, and the plain handler
//! of the GraphQL library. Everything is in memory, so that nothing hides what the doors cost.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hakken_adapters::{
    memory::MemoryStore,
    payments::ManualPayments,
    seating::{ImportOptions, parse},
    system::{RandomIds, SystemClock, random_bytes},
};
use hakken_api::{
    ApiContext, Bare, KeyLimits, LiveLimits, SeatMapOptions, SeatMapProblem, SeatMapReader,
    SecretSource, Telemetry, create_operator_key, router,
};
use hakken_commands::{
    WriteOptions, WriteSide,
    desk::EngineSecret,
    engine::Ports,
    store::{EventStore, SideStore},
};
use hakken_domain::seatmap::SeatMap;
use hakken_projections::{ReadModels, feed::EventFeed, rows::MemoryRows};

use super::Program;

/// Tells this program which door it is to serve.
const DOOR: &str = "HAKKEN_BENCH_DOOR";

/// A door to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Hakken's own.
    Gate,
    /// What the library's own handler does with a body of JSON, and the check of the key.
    Plain,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Plain => "plain",
        }
    }

    /// Starts this very program again, which calls [`Door::serve_if_asked`] first of all.
    pub fn open(self) -> Result<Program> {
        Program::again(DOOR, self.name())
    }

    /// Serves a door and never returns, if this is the program that was started for it.
    pub fn serve_if_asked() -> Result<()> {
        let Some(name) = std::env::var_os(DOOR) else { return Ok(()) };
        let door = if name == Self::Gate.name() { Self::Gate } else { Self::Plain };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(door.serve())
    }

    /// The door in this very program, and an operator's key.
    pub async fn here(self) -> Result<(Router, String)> {
        let api = engine().await?;
        let key = create_operator_key(api.write.desk(), &api.secret, &Secrets).await?;
        let router = match self {
            Self::Gate => router(api),
            Self::Plain => plain(api),
        };
        Ok((router, key))
    }

    async fn serve(self) -> Result<()> {
        let (router, key) = self.here().await?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("Hakken serves http://{}/graphql\n{key}", listener.local_addr()?);
        Ok(axum::serve(listener, router).await?)
    }
}

fn plain(api: ApiContext) -> Router {
    async fn handler(State(bare): State<Bare>, headers: HeaderMap, body: Bytes) -> Response {
        match bare.answer(&headers, &body).await {
            Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
            Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        }
    }
    // The hall of 40,000 seats comes in one body; the gate has its own bound.
    let whole = DefaultBodyLimit::disable();
    Router::new().route("/graphql", post(handler)).layer(whole).with_state(Bare::new(api))
}

async fn engine() -> Result<ApiContext> {
    let memory = Arc::new(MemoryStore::new());
    let clock = Arc::new(SystemClock);
    let ports = Ports {
        store: memory.clone() as Arc<dyn EventStore>,
        side: memory.clone() as Arc<dyn SideStore>,
        clock: clock.clone(),
        ids: Arc::new(RandomIds::new().context("random numbers")?),
    };
    let secret = EngineSecret(Arc::new([7; 32]));
    let options = WriteOptions { patience: Duration::from_secs(10), ..WriteOptions::default() };
    let write = WriteSide::start(ports, Arc::new(ManualPayments), secret.clone(), options);
    let feed = memory as Arc<dyn EventFeed>;
    let models = ReadModels::start(feed.clone(), Arc::new(MemoryRows::default()), clock).await?;
    Ok(ApiContext {
        write: Arc::new(write),
        models,
        feed,
        secret,
        seat_maps: Arc::new(SeatMaps),
        pictures: None,
        payments_mode: "manual".to_owned(),
        version: "bench".to_owned(),
        live: LiveLimits::default(),
        limits: KeyLimits::default(),
        telemetry: Telemetry::default(),
    })
}

struct SeatMaps;

impl SeatMapReader for SeatMaps {
    fn read(&self, text: &str, _: &SeatMapOptions) -> Result<SeatMap, SeatMapProblem> {
        parse(text.as_bytes(), &ImportOptions::default())
            .map_err(|error| SeatMapProblem { at: String::new(), reason: error.to_string() })
    }
}

struct Secrets;

impl SecretSource for Secrets {
    fn secret(&self) -> [u8; 32] {
        random_bytes().expect("the system gives random numbers")
    }
}
