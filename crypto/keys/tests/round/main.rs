//! Rounds through the shipped machines, without network or disk: those that must succeed, and what
//! must be refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test program")]

mod cohorts;
mod disputed;
mod disputing;
mod logged;
mod noise;
mod opened;
mod recount;
mod refusals;
mod refused_openings;
mod reviewing;
mod times;
