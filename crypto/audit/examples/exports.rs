//! Writes exports of honest studies, or of altered ones, for programs that check them:
//!
//! ```text
//! cargo run --release -p ringfence-audit --example exports -- honest|tampered FIRST COUNT DIR
//! ```
//!
//! `DIR/NUMBER` is an export; `DIR/NUMBER.json` says what was done to it and what must be named:
//! `{"what", "named": [[ROUND or null, CHECK]...], "unreadable"}`, where one of the named suffices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a tool for tests, with their code"
)]

#[path = "../tests/audit/export.rs"]
mod export;
#[path = "../tests/audit/lies.rs"]
mod lies;
#[path = "../tests/audit/studies.rs"]
mod studies;
#[path = "../tests/audit/tampering.rs"]
mod tampering;

use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("honest|tampered FIRST COUNT DIR");
    let (kind, first, count) =
        (next(), next().parse::<u64>().unwrap(), next().parse::<u64>().unwrap());
    let to = PathBuf::from(next());
    for number in first..first + count {
        let folder = to.join(number.to_string());
        let done = match kind.as_str() {
            "honest" => {
                export::export(&studies::random(number), &folder);
                serde_json::json!({"what": "nothing", "named": [], "unreadable": false})
            }
            "tampered" => {
                let tampering::Tampering { what, named, unreadable } =
                    tampering::tampered(number, &folder);
                serde_json::json!({"what": what, "named": named, "unreadable": unreadable})
            }
            other => panic!("expected honest or tampered, got {other}"),
        };
        std::fs::write(to.join(format!("{number}.json")), done.to_string()).unwrap();
    }
}
