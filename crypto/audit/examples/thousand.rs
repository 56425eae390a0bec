//! How long the evidence of a round takes: `cargo run --release -p ringfence-audit --example thousand`.
//!
//! Prints, for a round of so many sites (1,000 unless given), the bytes of its file and the seconds
//! that it takes to check the study, to read the file and to verify it, on one core.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement for people")]

use std::sync::Arc;
use std::time::Instant;

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
}
