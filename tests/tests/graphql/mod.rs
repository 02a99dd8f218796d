//! The API as its users see it: over HTTP and WebSocket, with few actors.

mod access;
mod event_streams;
mod feed;
mod http;
mod http_documents;
mod http_polls;
mod queries;
mod refusals;
mod retries;
mod selling;
mod sockets;
pub(crate) mod stage;
