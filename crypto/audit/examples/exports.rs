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

#[path = "../tests/audit/cosigned.rs"]
mod cosigned;
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
                let study = studies::random(number);
                export::export(&study, &folder);
                // Half of them say who has cosigned the log: nobody, or a few sites.
                if number.is_multiple_of(2) {
                    let sites: Vec<usize> = (0..(number / 2 % 5) as usize).collect();
                    let note = cosigned::cosigned(&study, &sites, 1_800_000_000);
                    cosigned::put_cosigned(&folder, &[note]);
                }
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
