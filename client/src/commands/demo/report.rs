//! What the demo reports: a block a round, a table of sites, and a JSON file.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use ringfence_crypto::statement::{SiteId, Statement, Study};
use ringfence_keys::open::NoiseReport;
use serde::Serialize;

use super::federation::Federation;
use super::{DemoOptions, ring};
use ringfence_learning::{Scores, TrainingPlan};

/// One round, as it is printed and written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RoundSummary {
    pub(crate) round: u32,
    pub(crate) initiator: String,
    pub(crate) holders: Vec<String>,
    pub(crate) opened_by: Vec<String>,
    pub(crate) contributions: usize,
    /// Values in which the opened sum or its mean differs from the plain one, over all recipients.
    pub(crate) mismatches: usize,
    pub(crate) parameters: usize,
    pub(crate) noise_margin_bits: f64,
    pub(crate) noise_largest: u64,
    pub(crate) noise_bound: u64,
    /// Header, body and envelopes of one contribution.
    pub(crate) upload_bytes: u64,
    /// Largest time of a site from joining to its receipt: encrypt, make durable, send.
    pub(crate) contribute_seconds: f64,
    pub(crate) train_seconds: f64,
    /// From the manifest to the last acknowledgement.
    pub(crate) seconds: f64,
    pub(crate) unusable_openings: Vec<(String, String)>,
}

impl RoundSummary {
    pub(crate) fn new(round: u32, initiator: SiteId, study: Option<&Study>) -> Self {
        let holders =
            study.map(|study| study.holders(round).map(|holder| holder.id.to_string()).collect());
        Self {
            round,
            initiator: initiator.to_string(),
            holders: holders.unwrap_or_default(),
            opened_by: Vec::new(),
            contributions: 0,
            mismatches: 0,
            parameters: 0,
            noise_margin_bits: 0.0,
            noise_largest: 0,
            noise_bound: 0,
            upload_bytes: 0,
            contribute_seconds: 0.0,
            train_seconds: 0.0,
            seconds: 0.0,
            unusable_openings: Vec::new(),
        }
    }

    pub(crate) fn contributed(&mut self, site: &SiteId, sent: u64, seconds: f64, held: bool) {
        self.contributions += usize::from(sent > 0);
        self.upload_bytes = self.upload_bytes.max(sent);
        self.contribute_seconds = self.contribute_seconds.max(seconds);
        if held {
            self.opened_by.push(site.to_string());
        }
    }

    /// Compares one recipient's opened sum with the plain one and its mean with that one's, value by
    /// value and to the bit. The mean is opened by itself, as every site does.
    pub(crate) fn compare(&mut self, sums: (&[u64], &[u64]), means: (&[f32], &[f32])) {
        let same_sum = |at: usize| sums.0.get(at) == sums.1.get(at);
        let bits = |mean: &[f32], at: usize| mean.get(at).map(|value| value.to_bits());
        let same_mean = |at: usize| bits(means.0, at) == bits(means.1, at);
        let lengths = [sums.0.len(), sums.1.len(), means.0.len(), means.1.len()];
        let longest = lengths.into_iter().max().unwrap_or(0);
        self.mismatches += (0..longest).filter(|at| !same_sum(*at) || !same_mean(*at)).count();
        self.parameters = sums.0.len();
    }

    /// Notes how one recipient's opening went.
    pub(crate) fn opened(&mut self, noise: NoiseReport, unusable: &[(SiteId, String)]) {
        self.noise_margin_bits = noise.margin_bits;
        self.noise_largest = noise.largest;
        self.noise_bound = noise.bound;
        self.unusable_openings =
            unusable.iter().map(|(site, why)| (site.to_string(), why.clone())).collect();
    }

    pub(crate) fn print(&self) {
        let all = self.holders.len();
        println!(
            "round {:<3} opened by {}; {} contributions; {} of {all} key holders opened",
            self.round,
            self.initiator,
            self.contributions,
            self.opened_by.len()
        );
        println!(
            "  proof    opened sum = plain integer sum: {} mismatches over {} parameters",
            self.mismatches, self.parameters
        );
        println!(
            "  noise    largest {} of {} allowed, margin {:.1} bits",
            self.noise_largest, self.noise_bound, self.noise_margin_bits
        );
        println!(
            "  cost     {} a site up ({:.2} bytes a parameter); {:.2} s to encrypt and send, {:.2} s for the round, {:.1} s training before it",
            mebibytes(self.upload_bytes),
            self.upload_bytes as f64 / self.parameters.max(1) as f64,
            self.contribute_seconds,
            self.seconds,
            self.train_seconds
        );
        for (holder, reason) in &self.unusable_openings {
            println!("  opening  of {holder} not used: {reason}");
        }
    }
}

/// One site's test scores.
#[derive(Debug)]
pub(crate) struct SiteScores {
    site: String,
    before: Scores,
    pub(crate) local: Option<Scores>,
    pub(crate) federated: Option<Scores>,
    /// After fine-tuning the federated model at the site.
    pub(crate) personal: Option<Scores>,
}

impl SiteScores {
    pub(crate) fn start(site: &str, before: Scores) -> Self {
        Self { site: site.to_owned(), before, local: None, federated: None, personal: None }
    }

    /// The scores of this name that there are, each with its column's.
    fn row(&self, name: &str) -> Vec<(&'static str, f64)> {
        let columns = [
            ("before", Some(&self.before)),
            ("local only", self.local.as_ref()),
            ("federated", self.federated.as_ref()),
            ("personalised", self.personal.as_ref()),
        ];
        let get = |(column, scores): (_, Option<&Scores>)| Some((column, scores?.get(name)?));
        columns.into_iter().filter_map(get).collect()
    }
}

/// The whole run.
pub(crate) struct Report {
    json: serde_json::Value,
    ring: String,
    table: String,
}

impl Report {
    pub(crate) fn new(
        options: &DemoOptions,
        plan: &TrainingPlan,
        federation: &Federation,
        sites: Vec<SiteScores>,
        elapsed: Duration,
    ) -> Self {
        let names: Vec<&str> = federation.sites().map(SiteId::as_str).collect();
        let mut table = String::new();
        if let Some(last) = federation.rounds.last() {
            table += &format!("\nring      {}\n", ring::line(&names, last));
            table += "          (* opened the last round, [] held its keys; both duties move one site on each round)\n";
        }
        let metrics: Vec<&str> = sites
            .first()
            .map(|s| s.before.iter().map(|score| score.name).collect())
            .unwrap_or_default();
        for metric in &metrics {
            table += &metric_table(metric, &sites);
        }
        table += &format!("\nwhole run  {:.0} s\n", elapsed.as_secs_f64());
        let json = serde_json::json!({
            "plan": plan,
            "data": options.data.as_ref().map_or("generated phantoms".to_owned(), |path| {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            }),
            "sites": names,
            "study": federation.study().map(Study::digest),
            "threshold": federation.study().map(|study| study.threshold),
            "packing": federation.study().map(|study| study.packing),
            "rounds": federation.rounds,
            "scores": sites.iter().map(|site| {
                let rows: Vec<_> = metrics.iter().map(|metric| {
                    let values = site.row(metric).into_iter();
                    let mut row: serde_json::Map<_, _> = values
                        .map(|(column, value)| (column.replace(' ', "_"), value.into()))
                        .collect();
                    row.insert("metric".into(), (*metric).into());
                    row
                }).collect();
                serde_json::json!({"site": site.site, "scores": rows})
            }).collect::<Vec<_>>(),
            "seconds": elapsed.as_secs_f64(),
        });
        Self { json, ring: ring::svg(&names, &federation.rounds), table }
    }

    pub(crate) fn print(&self) {
        print!("{}", self.table);
    }

    /// Writes `report.json` and `ring.svg`.
    pub(crate) fn save(&self, folder: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(&self.json)?;
        for (name, bytes) in [("report.json", json.as_slice()), ("ring.svg", self.ring.as_bytes())]
        {
            let path = folder.join(name);
            std::fs::write(&path, bytes)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn metric_table(metric: &str, sites: &[SiteScores]) -> String {
    let rows: Vec<_> = sites.iter().map(|site| (site.site.as_str(), site.row(metric))).collect();
    let Some((_, first)) = rows.first() else { return String::new() };
    let mean = first.iter().enumerate().map(|(index, (column, _))| {
        let values = rows.iter().filter_map(|(_, row)| row.get(index));
        (*column, values.map(|(_, value)| value).sum::<f64>() / rows.len() as f64)
    });
    let mut table = format!("\n{metric:<26}");
    first.iter().for_each(|(column, _)| table += &format!(" {column:>12}"));
    for (site, row) in rows.iter().cloned().chain([("mean of sites", mean.collect())]) {
        table += &format!("\n  {site:<24}");
        row.iter().for_each(|(_, value)| table += &format!(" {value:>12.3}"));
    }
    table + "\n"
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / (1 << 20) as f64)
}
