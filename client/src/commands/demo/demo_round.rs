//! A round of the demo, as it is printed and written.

use ringfence_federation::RoundReport;
use ringfence_keys::open::failure_in_words;
use ringfence_words::counted;
use serde::Serialize;

/// What a round showed, and how long the training before it took.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DemoRound {
    #[serde(flatten)]
    pub(super) report: RoundReport,
    pub(super) train_seconds: f64,
}

impl DemoRound {
    pub(super) fn print(&self) {
        let report = &self.report;
        let all = report.holders.len();
        println!(
            "round {:<3} opened by {}; {}; {} of {all} key holders opened",
            report.round.0,
            report.initiator,
            counted(report.contributions as u64, "contribution"),
            report.opened_by.len()
        );
        for (site, faults) in &report.played {
            println!("  played   {site} {faults} (simulated)");
        }
        for finding in report.findings.to_string().lines() {
            println!("  found    {finding}");
        }
        for (site, mended) in &report.flipped {
            let so = if *mended { "is mended: its site sent it again" } else { "is not mended" };
            println!("  disk     the body of {site} {so}");
        }
        println!(
            "  proof    opened sum = plain integer sum{}: {} mismatches over {} parameters",
            self.whose(),
            report.mismatches,
            report.parameters
        );
        println!(
            "  noise    largest {} of {} accepted; {}",
            report.noise_largest,
            report.noise_bound,
            failure_in_words(report.noise_failure_probability)
        );
        if let Some(precision) = &report.precision {
            println!("  rounding {precision}");
            if let Some(warning) = precision.warning() {
                println!("  rounding {warning}");
            }
        }
        println!(
            "  cost     {} a site up ({:.2} bytes a parameter); {:.2} s to encrypt and send, {:.2} s for the round, {:.1} s training before it",
            mebibytes(report.upload_bytes),
            report.upload_bytes as f64 / report.parameters.max(1) as f64,
            report.contribute_seconds,
            report.seconds,
            self.train_seconds
        );
        for (holder, reason) in &report.unusable_openings {
            println!("  opening  of {holder} not used: {reason}");
        }
    }

    /// Over which sites the plain sum is, where some that contributed are not in it.
    fn whose(&self) -> &'static str {
        let findings = &self.report.findings;
        match findings.removed.is_empty() && findings.excluded.is_empty() {
            true => "",
            false => " of the others",
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / (1 << 20) as f64)
}
