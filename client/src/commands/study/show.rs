//! `ringfence study verify` and `show`: what a study says, and whether it holds.

use std::path::PathBuf;

use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Reach, Setting, SignedStudy, Study, Training, Weighting};
use ringfence_crypto::threshold::Threshold;

use crate::files::read_study;

/// Arguments of `ringfence study verify` and `show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The study file.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
}

impl Show {
    /// Checks that the study is sound and signed by all.
    pub(super) fn verify(self) -> anyhow::Result<()> {
        let study = read_study(&self.study)?;
        study.verify()?;
        println!("sound, and signed by all {} sites", study.study.roster.len());
        println!("study {}", study.study.id());
        Ok(())
    }

    /// Prints it.
    pub(super) fn run(self) -> anyhow::Result<()> {
        print!("{}", describe(&read_study(&self.study)?)?);
        Ok(())
    }
}

/// A study in a few lines.
pub(super) fn describe(signed: &SignedStudy) -> anyhow::Result<String> {
    let Study { roster, threshold, packing, layout, .. } = &signed.study;
    let id = signed.study.id();
    let sites: Vec<&str> = roster.iter().map(|site| site.id.as_str()).collect();
    let silent = match threshold.silent_tolerated() {
        0 => "no silent holder tolerated".to_owned(),
        1 => "1 silent holder tolerated".to_owned(),
        n => format!("{n} silent holders tolerated"),
    };
    let bytes = signed.study.body_bytes()?;
    let values = layout.values();
    let per_value = bytes as f64 / values.max(1) as f64;
    let described = format!(
        "study       {} ({id})\n\
         ring        {}\n\
         thresholds  m = {}, c = {}, l = {}, Q = {}, t = {}: {silent}\n\
         fewest      {} contributions, signatures {} of {}\n\
         times       a round {} to {} s, reviews {} s, a successor's turn after {} s\n\
         model       {} tensors, {values} values, initial model {}\n\
         encoding    {} bits a value, {} slots of {} bits, Delta = 2^{}; body {bytes} bytes ({per_value:.2} a value)\n",
        signed.study.name,
        sites.join(" -> "),
        threshold.holders,
        threshold.collusion,
        threshold.packing,
        threshold.endorsements,
        threshold.opening,
        signed.study.min_sites,
        signed.signatures.len(),
        roster.len(),
        signed.study.min_round_seconds,
        signed.study.longest_round_seconds,
        signed.study.review_seconds,
        signed.study.initiator_timeout_seconds,
        layout.tensors.len(),
        signed.study.initial_model.short(),
        packing.value_bits,
        packing.slots,
        packing.slot_bits,
        packing.delta_bits,
    );
    let names = names(threshold);
    Ok(described + &names + &weighting(&signed.study) + &training(&signed.study.training))
}

/// Whether a round that a contributor spoils names it.
pub(super) fn names(threshold: &Threshold) -> String {
    let Threshold { holders, collusion, packing, .. } = *threshold;
    match threshold.names() {
        true => format!(
            "culprits    a contributor that breaks the format is named, taken out and barred, up to c = {collusion} of them\n"
        ),
        false => format!(
            "culprits    NOBODY CAN BE NAMED: that needs m >= 3c + l key holders, and m = {holders}, c = {collusion}, l = {packing}; a contributor that breaks the format makes its round fail, and nobody learns who it was\n"
        ),
    }
}

/// How contributions count, and how far one site can move the mean.
fn weighting(study: &Study) -> String {
    let counts = match &study.weighting {
        Weighting::Equal => "all sites count alike".to_owned(),
        Weighting::SampleCounts(counts) => {
            let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
            format!("by sample counts {}, in the ring's order", counts.join(", "))
        }
    };
    format!("weighting   {counts}\n{}", reach_lines(study.reach()))
}

/// How far one site can move the mean, with all sites and in the worst set that may be opened.
fn reach_lines(reach: Reach) -> String {
    format!(
        "one site    moves the mean of all sites by {:.3} C at most, in the worst set that may be\n\
         \u{20}           opened by {:.3} C (C: the clip bound); a malicious one that guesses the sum of\n\
         \u{20}           the others moves it to anywhere from -C to C, and is named if it goes beyond\n",
        reach.of_all, reach.at_worst
    )
}

/// What the study pins of training.
fn training(training: &Training) -> String {
    let Some(digest) = training.digest() else {
        return "training    none pinned: the sites train with another framework, and nothing but their word says that they train alike\n".to_owned();
    };
    let setting = |Setting { name, value }: &Setting| format!("            {name} = {value}\n");
    let settings: String = training.settings().iter().map(setting).collect();
    format!("training    plan {digest}\n{settings}")
}
