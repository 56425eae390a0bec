//! Encodings: canonical bytes (signed), JSON (control messages), bincode frames (envelopes).
//!
//! Signatures and digests cover canonical bytes, never JSON and never bincode. Nothing outside
//! this module names serde_json or bincode.
#![warn(clippy::indexing_slicing, reason = "bytes come from strangers")]

pub(crate) mod byte_string;
pub mod canonical;
pub mod frame;
pub mod json;
