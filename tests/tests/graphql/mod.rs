//! The API as its users see it: over HTTP and WebSocket, with few actors.

mod access;
mod http;
mod limits;
mod queries;
mod refusals;
mod retries;
mod selling;
mod sockets;
pub(crate) mod stage;
mod validation;
