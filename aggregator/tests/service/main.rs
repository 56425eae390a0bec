//! The service as its users meet it: the real binary as a child process, real HTTP, and sites that
//! sign real statements over random bytes (the aggregator cannot tell them from ciphertexts).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

mod access;
mod backup;
mod child;
mod command;
mod crash;
mod damage;
mod dashboard;
mod disputes;
mod drafts;
mod engines;
mod engines_round;
mod evidence;
mod extract;
mod log;
mod openapi;
mod operate;
mod play;
mod recovery;
mod refusals;
mod replay;
mod replicas;
mod restored;
mod roster;
mod round_keys;
mod rounds;
mod signing;
mod studies;
mod tiles;
mod tls;
mod traces;
mod uploads;
mod versions;
mod whole;
mod with;
