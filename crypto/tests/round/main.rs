//! A round from its manifest to its end, and a bad case of every rule that it decides by.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

mod closings;
mod disputes;
mod ends;
mod freezes;
mod groups;
mod parties;
