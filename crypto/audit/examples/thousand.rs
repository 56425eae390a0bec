//! How long the evidence of a round takes: `cargo run --release -p ringfence-audit --example thousand`.
//!
//! Prints, for a round of so many sites (1,000 unless given: `-- 10000`), the bytes of its file and the
//! seconds that it takes to check the study, to read the file and to verify it, on one core; and then, for
//! its export as a whole, with all bodies, the seconds and the most memory that the command takes. The
//! command is the one beside this program: `cargo build --release -p ringfence-audit` makes it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement for people")]

#[path = "../tests/audit/export.rs"]
mod export;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_crypto::evidence::{RoundProof, Verifier};
use ringfence_testkit::{CLIP, Parties, Record, Setup, rng};

fn main() {
    let sites = std::env::args().nth(1).map_or(1000, |sites| sites.parse().unwrap());
    let setup = Setup { sites, threshold: None, parameters: 2, clip: CLIP, value_bits: 16 };
    let mut record = Record::of(Arc::new(Parties::drafted(setup, |_| (), &mut rng(1))));
    record.run(b"model 0", b"model 1", &mut rng(2));
    let (study, bytes) = (record.study_file(), record.proof(0).to_bytes());
    let threshold = study.study.threshold;
    let start = Instant::now();
    let verifier = Verifier::new(study).unwrap();
    let checked = start.elapsed();
    let start = Instant::now();
    let proof = RoundProof::parse(&bytes).unwrap();
    let read = start.elapsed();
    let start = Instant::now();
    let verified = verifier.verify(&proof, None);
    let took = start.elapsed();
    assert!(verified.holds());
    println!(
        "{sites} sites, m = {}: a file of {} bytes with {} statements; study checked in {:.3} s, file read in {:.3} s, verified in {:.3} s",
        threshold.holders,
        bytes.len(),
        proof.entries().len(),
        checked.as_secs_f64(),
        read.as_secs_f64(),
        took.as_secs_f64()
    );
    let folder = tempfile::tempdir().unwrap();
    export::export(&record, folder.path());
    drop((record, proof, verified, verifier, bytes));
    whole(folder.path());
}

/// The command over a whole export: how long, and how much memory at most.
fn whole(folder: &Path) {
    let program =
        std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("ringfence-audit");
    let start = Instant::now();
    let mut child = Command::new(program).arg(folder).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let code = loop {
        // Of a process that has ended nothing is told any more.
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = most.and_then(|most| most.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(peak);
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(code, Some(0));
    let took = start.elapsed().as_secs_f64();
    println!("the whole export, with its bodies: {took:.1} s, {} MB at most", peak / 1000);
}
