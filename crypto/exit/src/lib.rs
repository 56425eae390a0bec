//! How a program ends: what it says when it failed, and quietly where nobody reads on.
#![forbid(unsafe_code)]

mod failure;
mod pipe;

pub use failure::failure;
pub use pipe::{CLOSED_PIPE, quiet_on_closed_pipes};
