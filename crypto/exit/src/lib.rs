//! How a program ends: what it says when it failed, also to write, and quietly where nobody reads on.
#![forbid(unsafe_code)]

mod failure;
mod output;

pub use failure::failure;
pub use output::{CLOSED_PIPE, end_on_lost_output};

/// What a program ends with that has done what it could, and left out what it could not read.
pub const INCOMPLETE: u8 = 3;
