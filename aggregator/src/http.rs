//! How the service is reached: HTTP/1.1 and JSON, RFC 9457 problems, streams of bytes.
//!
//! Handlers are thin: they parse, call the core, and answer.
#![warn(clippy::indexing_slicing, reason = "what peers send must not be able to stop the service")]

mod access;
mod answer;
mod blob;
mod chunks;
mod doors;
mod extract;
mod front;
pub(crate) mod openapi;
mod paced;
mod pages;
mod problem;
mod routes;
pub(crate) mod server;
pub(crate) mod service;
mod sessions;
mod watch;
mod with;
