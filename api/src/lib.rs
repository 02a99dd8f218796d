//! The API of Hakken: GraphQL over HTTP and WebSocket, health, metrics and GraphiQL. The binary
//! wires its ports ([`ApiContext`]) and serves the router.

mod auth;
mod codes;
mod document;
mod faults;
mod graphiql;
mod http;
mod ids;
mod limits;
mod metrics;
mod ports;
mod refusals;
mod schema;

pub use auth::{NewKey, create_key, create_operator_key};
pub use codes::ErrorCode;
pub use document::{DocumentGate, NotPassed, Passed, Reason};
pub use http::router;
pub use ids::{BadId, GlobalId};
pub use limits::KeyLimits;
pub use ports::{
    ApiContext, SeatMapOptions, SeatMapPicture, SeatMapProblem, SeatMapReader, SeatMark,
    SecretSource,
};
pub use schema::sdl;
