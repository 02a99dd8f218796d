//! The API of Hakken: GraphQL over HTTP and WebSocket, health, metrics and GraphiQL. The binary
//! wires its ports ([`ApiContext`]) and serves the router.

mod auth;
#[cfg(feature = "bare")]
mod bare;
mod codes;
mod document;
mod faults;
mod graphiql;
mod http;
mod ids;
mod limits;
mod metrics;
mod ops;
mod ports;
mod refusals;
mod schema;
mod telemetry;
mod trusted;

pub use auth::{NewKey, create_key, create_operator_key};
#[cfg(feature = "bare")]
pub use bare::Bare;
pub use codes::ErrorCode;
pub use document::{DocumentGate, NotPassed, Passed, Reason};
pub use http::{LiveLimits, router, router_with};
pub use ids::{BadId, GlobalId};
pub use limits::KeyLimits;
pub use ports::{
    ApiContext, SeatMapOptions, SeatMapPicture, SeatMapProblem, SeatMapReader, SeatMark,
    SecretSource,
};
pub use schema::{sdl, subgraph_sdl};
pub use telemetry::{
    Ended, Host, LastBackup, OpenSpan, OperationHead, RequestHead, RequestTracer, Telemetry, Vitals,
};
pub use trusted::{BadDocuments, DocumentRules, TrustedDocuments};
