//! What the demo reports: a table of sites, and a JSON file.

use std::path::Path;
use std::time::Duration;

use ringfence_federation::Federation;
use ringfence_learning::{Scores, TrainingPlan};
use ringfence_options::score::{marked, one_class_note, score};

use super::demo_round::DemoRound;
use super::gain::{Gain, Row};
use super::ring;
use crate::commands::best_model::BestModel;
use crate::files;

/// One site's test scores.
#[derive(Debug)]
pub(super) struct SiteScores {
    site: String,
    before: Scores,
    pub(super) local: Option<Scores>,
    pub(super) federated: Option<Scores>,
    /// After fine-tuning the federated model at the site.
    pub(super) personal: Option<Scores>,
    /// Which of its models is best on its validation images.
    pub(super) best: Option<BestModel>,
}

impl SiteScores {
    pub(super) fn start(site: &str, before: Scores) -> Self {
        Self {
            site: site.to_owned(),
            before,
            local: None,
            federated: None,
            personal: None,
            best: None,
        }
    }

    /// Each of these scores with its columns; `null` where it is undefined.
    fn json(&self, metrics: &[&str]) -> serde_json::Value {
        let row = |metric: &&str| {
            let values = self.row(metric).into_iter();
            let mut row: serde_json::Map<_, _> =
                values.map(|(column, value)| (column.replace(' ', "_"), value.into())).collect();
            row.insert("metric".into(), (*metric).into());
            row
        };
        serde_json::json!({
            "site": self.site,
            "test_images_of_one_class": self.before.one_class(),
            "best_on_validation": self.best,
            "scores": metrics.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// The scores of this name in the columns that there are: `None` where it is undefined.
    fn row(&self, name: &str) -> Row {
        let columns = [
            ("before", Some(&self.before)),
            ("local only", self.local.as_ref()),
            ("federated", self.federated.as_ref()),
            ("personalised", self.personal.as_ref()),
        ];
        let get = |(column, scores): (_, Option<&Scores>)| Some((column, scores?.get(name)));
        columns.into_iter().filter_map(get).collect()
    }

    /// The site's name, marked where its test images are of one class.
    fn name(&self) -> String {
        marked(&self.site, self.before.one_class())
    }
}

/// What a run has shown.
pub(super) struct Outcome<'a> {
    /// Where the images came from; `None` for generated ones.
    pub(super) data: Option<&'a Path>,
    pub(super) plan: &'a TrainingPlan,
    pub(super) federation: &'a Federation,
    pub(super) rounds: &'a [DemoRound],
    pub(super) sites: &'a [SiteScores],
    pub(super) elapsed: Duration,
}

/// The report of a run.
pub(super) struct Report {
    json: serde_json::Value,
    ring: String,
    table: String,
}

impl Report {
    pub(super) fn of(outcome: &Outcome<'_>) -> Self {
        let Outcome { plan, federation, rounds, sites, elapsed, .. } = *outcome;
        let names: Vec<&str> = federation.sites().iter().map(|site| site.id().as_str()).collect();
        let mut table = String::new();
        if let Some(last) = federation.rounds().last() {
            table += &format!("\nring      {}\n", ring::line(&names, last));
            table += "          (* opened the last round, [] held its keys; both duties move one site on each round)\n";
        }
        let metrics: Vec<&str> = sites
            .first()
            .map(|s| s.before.iter().map(|score| score.name).collect())
            .unwrap_or_default();
        let mut gains = Vec::new();
        for metric in &metrics {
            table += &metric_table(metric, sites);
            // The first score is the primary one.
            if gains.is_empty() {
                let rows: Vec<Row> = sites.iter().map(|site| site.row(metric)).collect();
                gains = Gain::all(metric, &rows);
                gains.iter().for_each(|gain| table += &format!("\n{gain}"));
                table += "\n";
            }
        }
        let one_class =
            sites.iter().filter_map(|site| Some((&*site.site, site.before.one_class()?)));
        table += &one_class_note(one_class);
        table += "\n";
        for (site, best) in sites.iter().filter_map(|of| Some((&of.site, of.best.as_ref()?))) {
            table += &format!("{site}: {best}\n");
        }
        table += &format!("\nwhole run  {:.0} s\n", elapsed.as_secs_f64());
        let study = federation.study();
        let json = serde_json::json!({
            "plan": plan,
            "data": outcome.data.map_or("generated phantoms".to_owned(), |path| {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            }),
            "sites": names,
            "study": federation.study_id(),
            "threshold": study.threshold,
            "packing": study.packing,
            "rounds": rounds,
            "scores": sites.iter().map(|site| site.json(&metrics)).collect::<Vec<_>>(),
            "gains": gains,
            "seconds": elapsed.as_secs_f64(),
        });
        Self { json, ring: ring::svg(&names, federation.rounds()), table }
    }

    pub(super) fn print(&self) {
        print!("{}", self.table);
    }

    /// Writes `report.json` and `ring.svg`.
    pub(super) fn save(&self, folder: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(&self.json)?;
        for (name, bytes) in [("report.json", json.as_slice()), ("ring.svg", self.ring.as_bytes())]
        {
            files::write(&folder.join(name), bytes)?;
        }
        Ok(())
    }
}

fn metric_table(metric: &str, sites: &[SiteScores]) -> String {
    let rows: Vec<_> = sites.iter().map(|site| (site.name(), site.row(metric))).collect();
    let Some((_, first)) = rows.first() else { return String::new() };
    let mean = first.iter().enumerate().map(|(index, (column, _))| {
        let values = rows.iter().filter_map(|(_, row)| row.get(index)?.1);
        let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
        (*column, (count > 0).then(|| sum / f64::from(count)))
    });
    let mut table = format!("\n{metric:<26}");
    first.iter().for_each(|(column, _)| table += &format!(" {column:>12}"));
    for (site, row) in rows.iter().cloned().chain([("mean of sites".to_owned(), mean.collect())]) {
        table += &format!("\n  {site:<24}");
        row.iter().for_each(|(_, value)| table += &format!(" {:>12}", score(*value)));
    }
    table + "\n"
}
