//! What an experiment shows: a table, a JSON file, charts and prediction sheets.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use ringfence_learning::chart::{self, Bars, Curve};
use ringfence_learning::picture::Heading;
use ringfence_learning::{Dataset, TaskName, TrainingPlan, picture};
use ringfence_options::score::{marked, one_class_note};
use serde::Serialize;

use super::run::{Run, Table, mean};
use super::start::Start;
use crate::files;

/// So many sites have a column each in tables and charts, and a sheet of predictions. Of more, these
/// show the mean.
const SITES_SHOWN: usize = 12;

/// One row of the table: a method's runs.
#[derive(Serialize)]
struct Row<'a> {
    name: String,
    runs: Vec<&'a Run>,
    of: Model,
}

/// Which model of a run a row is of.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Model {
    /// The one that counts.
    Run,
    /// That one fine-tuned at each site.
    FineTuned,
    /// The one that does best on validation images, beside one that was not chosen.
    Best,
}

impl Model {
    fn tables(self, run: &Run) -> Option<&Table> {
        match self {
            Self::Run => Some(&run.test),
            Self::FineTuned => run.personalised.as_ref(),
            Self::Best => Some(&run.private.as_ref()?.chosen.as_ref()?.1),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Run => "",
            Self::FineTuned => ", fine-tuned",
            Self::Best => ", best round",
        }
    }
}

impl Row<'_> {
    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.runs.iter().filter_map(|run| self.of.tables(run))
    }

    /// One score on all sites' images together in each run that has it.
    fn together(&self, score: &str) -> Vec<f64> {
        let of = |run: &&Run| run.private.as_ref()?.together.get(score);
        let counts = self.of == Model::Run;
        self.runs.iter().filter(|_| counts).filter_map(of).collect()
    }

    /// What its runs' privacy amounts to; several where their noise differs.
    fn statements(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for statement in self.runs.iter().filter_map(|run| run.private.as_ref()) {
            let text = statement.statement.to_string();
            if !all.contains(&text) {
                all.push(text);
            }
        }
        all
    }

    /// One score of a site in each run where it is defined.
    fn of_site(&self, site: &str, score: &str) -> Vec<f64> {
        let of = |table: &Table| table.iter().find(|of| of.site == site)?.get(score);
        self.tables().filter_map(of).collect()
    }

    /// The mean over sites in each run where it is defined.
    fn means(&self, score: &str) -> Vec<f64> {
        self.tables().filter_map(|table| mean(table, score)).collect()
    }
}

/// The sites of the runs, each with the class that its test images are of where in a run there is
/// but one.
fn sites(runs: &[Run]) -> Vec<(String, Option<String>)> {
    let Some(first) = runs.first() else { return Vec::new() };
    let one_class = |site: &str| {
        let mut all = runs.iter().flat_map(|run| &run.test).filter(|of| of.site == site);
        all.find_map(|of| of.one_class.clone())
    };
    first.test.iter().map(|of| (of.site.clone(), one_class(&of.site))).collect()
}

/// Prints the tables, and writes `report.json`, `curves.svg` and `bars.svg`.
pub(super) fn write(
    out: &Path,
    task: TaskName,
    runs: &[Run],
    start: Option<&Start>,
) -> anyhow::Result<()> {
    let rows = rows(runs);
    let Some(first) = runs.first() else { return Ok(()) };
    let sites = sites(runs);
    let shown = if sites.len() > SITES_SHOWN { &[] } else { &*sites };
    let scores = first.test.first().map(|site| site.scores.clone()).unwrap_or_default();
    for (score, _) in &scores {
        print!("{}", table(score, shown, &rows));
    }
    if shown.is_empty() {
        println!("({} sites, too many for a column each: report.json has them)", sites.len());
    }
    let one_class = sites.iter().filter_map(|(site, class)| Some((&**site, class.as_deref()?)));
    print!("{}", one_class_note(one_class.clone()));
    let untrained: Vec<String> =
        runs.iter().filter_map(|run| Some(format!("{}: {}", run.key, run.untrained()?))).collect();
    let Some((primary, _)) = scores.first() else { return Ok(()) };
    let summary = rows.iter().map(|row| {
        let all = scores.iter().map(|(score, _)| {
            let means = row.means(score);
            let (mean, deviation) = spread(&means);
            (
                score.clone(),
                match means.is_empty() {
                    true => serde_json::Value::Null,
                    false => {
                        serde_json::json!({"mean": mean, "deviation": deviation, "runs": means})
                    }
                },
            )
        });
        serde_json::json!({
            "row": row.name,
            "mean_of_sites": all.collect::<serde_json::Map<_, _>>(),
            "privacy": row.statements(),
        })
    });
    let json = serde_json::json!({
        "task": task.to_string(),
        "summary": summary.collect::<Vec<_>>(),
        "test_images_of_one_class": one_class.collect::<BTreeMap<_, _>>(),
        "untrained": untrained,
        "start": start,
        "runs": runs,
    });
    files::write(&out.join("report.json"), &serde_json::to_vec_pretty(&json)?)?;

    let curves: Vec<Curve> = rows
        .iter()
        .filter(|row| match row.runs.iter().any(|run| run.key.method.is_personal()) {
            true => row.of == Model::FineTuned,
            false => row.of == Model::Run,
        })
        .map(|row| {
            let rounds = row.runs.iter().map(|run| run.validation.len()).min().unwrap_or(0);
            let at = |round: usize| row.runs.iter().map(|run| run.validation[round]).collect();
            let points = (0..rounds).map(|round| (round as u32, at(round))).collect();
            Curve { name: row.name.clone(), points }
        })
        .collect();
    let title = "Validation images, mean of sites (line: mean of seeds, band: their range)";
    chart::curves(&out.join("curves.svg"), title, ("rounds done", primary.as_str()), &curves)?;
    let bars: Vec<Bars> = rows
        .iter()
        .map(|row| {
            let of_site = |(site, _): &(String, _)| row.of_site(site, primary);
            let mut values: Vec<_> = shown.iter().map(of_site).collect();
            values.push(row.means(primary));
            Bars { name: row.name.clone(), values }
        })
        .collect();
    let names = shown.iter().map(|(site, class)| marked(site, class.as_deref()));
    let groups: Vec<String> = names.chain(["mean".to_owned()]).collect();
    let title = "Test images by site (bar: mean of seeds, line: their range)";
    chart::bars(&out.join("bars.svg"), title, primary, &groups, &bars)?;
    println!(
        "\nwritten to {}: report.json, curves.svg, bars.svg, predictions-*.png",
        out.display()
    );
    Ok(())
}

/// Draws what each method's model makes of the first sites' test images; `generated` says whether
/// these are phantoms.
pub(super) fn pictures(
    out: &Path,
    plan: &TrainingPlan,
    dataset: &Dataset,
    runs: &[&Run],
    (object, generated): (&str, bool),
) -> anyhow::Result<()> {
    let task = plan.task()?;
    for site in dataset.sites.iter().take(SITES_SHOWN) {
        let mut models = Vec::new();
        // A mixture is two models, whose pictures are those of the methods that it is made from.
        for run in runs.iter().filter(|run| run.shares.is_none()) {
            models.push((run.key.row(), run.model(out, &site.site)?));
        }
        let columns: Vec<_> = models.iter().map(|(name, model)| (name.as_str(), model)).collect();
        let samples = picture::spread(&site.test, 4);
        let path = out.join(format!("predictions-{}.png", site.site));
        let title = picture::title(&site.site, generated);
        let heading = Heading { title: &title, object };
        picture::save_sheet(&path, task.as_ref(), heading, &samples, &columns)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn rows(runs: &[Run]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for run in runs {
        for of in [Model::Run, Model::FineTuned, Model::Best] {
            if of.tables(run).is_none() {
                continue;
            }
            let name = run.key.row() + of.suffix();
            match rows.iter_mut().find(|row| row.name == name) {
                Some(row) => row.runs.push(run),
                None => rows.push(Row { name, runs: vec![run], of }),
            }
        }
    }
    rows
}

fn table(score: &str, sites: &[(String, Option<String>)], rows: &[Row<'_>]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(score.len());
    let names = sites.iter().map(|(site, class)| marked(site, class.as_deref()));
    let private = rows.iter().any(|row| !row.statements().is_empty());
    let together = private.then(|| "all images".to_owned());
    let columns: Vec<String> = names.chain(["mean".to_owned()]).chain(together).collect();
    let mut table = format!("\n{score:<width$}");
    columns.iter().for_each(|column| table += &format!("  {column:>15}"));
    for row in rows {
        table += &format!("\n{:<width$}", row.name);
        let values = sites.iter().map(|(site, _)| row.of_site(site, score));
        let values = values.chain([row.means(score)]);
        for values in values.chain(private.then(|| row.together(score))) {
            let (mean, deviation) = spread(&values);
            let cell = match values.len() {
                0 if row.of == Model::Best => "-".to_owned(),
                0 => "undefined".to_owned(),
                1 => format!("{mean:.3}"),
                _ => format!("{mean:.3} +- {deviation:.3}"),
            };
            table += &format!("  {cell:>15}");
        }
        if private {
            table += &format!("  {}", row.statements().join("; "));
        }
    }
    if rows.iter().any(|row| row.means(score).len() > 1) {
        table += "\n(mean +- standard deviation of the seeds)";
    }
    table + "\n"
}

/// Mean and standard deviation of a sample (by `n - 1`).
fn spread(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}
