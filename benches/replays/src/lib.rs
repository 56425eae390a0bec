//! Runs that outlive outages, replayed: whole studies in one process, on a mock clock and lines in
//! memory, through the code of both sides that is shipped. Sites are cut off for minutes to hours, in
//! the middle of requests, too; they are killed at any moment, also by power cuts that take what was not
//! synced; the aggregator is killed and comes back; a site may be gone for good.
//!
//! ```text
//! replay   one replay: the study, its outages, what must be so in the end
//!   life   a site, as `ringfence join` is one, with an hour of training in a moment
//!   line   a site's line to the aggregator       server  the aggregator
//!   power  what a power cut takes                tally   what is noted from outside
//!   rest   whether all rests, so that the clock may be turned
//!   lot    draws from a seed                    study   sites, and what they agree on
//!   total  what all replays come to
//! processes  the same with real processes and real time, which are killed
//! ```
#![forbid(unsafe_code)]

mod life;
mod line;
mod lot;
mod power;
mod processes;
mod replay;
mod rest;
mod server;
mod study;
mod tally;
mod total;

pub use processes::{ProcessCounts, processes};
pub use replay::{Size, replay};
pub use tally::Counts;
pub use total::{Row, Total};

/// What the aggregator is called.
const URL: &str = "http://127.0.0.1:80";
