//! The API as its users see it: over HTTP and WebSocket, with few actors.

mod access;
mod codes;
mod event_streams;
mod export;
mod feed;
mod http;
mod http_documents;
mod http_polls;
mod large;
mod limits;
mod lists;
mod operations;
mod past;
mod queries;
mod recipes;
mod refusals;
mod retries;
mod schema;
mod selling;
mod sockets;
pub(crate) mod stage;
mod validation;
