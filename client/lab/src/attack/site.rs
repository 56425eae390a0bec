//! Site inference: which hospital does an update come from, or an image?
//!
//! The attacker has images of other patients of each hospital. He makes updates of them as a site
//! would, learns to tell these by their hospital ([`ridge`]), and names the hospital of what he sees.
//! Hospitals differ by their scanners, and by the classes of their patients.

mod origins;
mod ridge;

use std::fmt::Write;
use std::time::Instant;

use ringfence_learning::{Classification, Dataset, ModelName, Task};
use ringfence_weights::Weights;
use ringfence_words::listed;
use serde::{Deserialize, Serialize};

use self::origins::Origins;
use self::ridge::Ridge;
use super::kept::Kept;
use super::observe::{Round, Site};
use super::progress::Progress;
use super::terms::{AttackName, Stage};
use crate::threads::each;

/// Updates that the attacker makes up for each hospital.
const REFERENCES: u64 = 24;
/// Of a normal distribution, 95 % lie within so many deviations, and 99.7 % within so many: what lies
/// beyond is no guessing.
const DEVIATIONS: f64 = 1.959_964;
const NO_CHANCE: f64 = 3.0;
/// Epsilon of references under private training: the clipping counts, and hardly any noise.
const NEXT_TO_NO_NOISE: f64 = 1000.0;

/// A line of the report: an update, and whose it is said to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    stage: String,
    site: String,
    said: String,
    /// What is said by whoever knows how many images of each class there are, and nothing else.
    by_classes: String,
    seconds: f64,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    /// The attacked model.
    victim: &'static str,
    sites: Vec<String>,
    /// Sites with too few images.
    left_out: Vec<String>,
    /// Whether plain gradients tell their hospital.
    control_holds: bool,
    /// The plain gradient, whether asked for or not.
    control: Line,
    /// Single images.
    images: Line,
    lines: Vec<Line>,
    rows: Vec<Row>,
}

/// How often the hospital is named right.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    stage: String,
    about: String,
    /// How many were asked about.
    asked: usize,
    right: f64,
    /// Range of `right` (Wilson, 95 %).
    low: f64,
    high: f64,
    /// Share of whoever names the commonest hospital every time.
    right_guess: f64,
    /// Share of whoever knows how many images of each class there are, and nothing else.
    right_by_classes: Option<f64>,
    /// Of ciphertext: whether that is as good.
    equals_guess: Option<bool>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) model: Option<ModelName>,
    /// Updates a stage.
    pub(super) updates: usize,
    pub(super) seed: u64,
}

/// Refuses data that name fewer than two hospitals with enough images.
///
/// # Errors
/// Saying how many there are.
pub(super) fn check(dataset: &Dataset) -> anyhow::Result<()> {
    Origins::new(dataset, 0).map(drop)
}

/// A model, the hospitals, and what the attacker has learnt.
struct Attacker {
    task: Classification,
    classes: usize,
    weights: Weights,
    origins: Origins,
    seed: u64,
}

/// Makes the results that are missing, and sums all up.
///
/// # Errors
/// When fewer than two hospitals have enough images, or files cannot be read or written.
pub(super) fn run(
    request: &Request<'_>,
    stages: &[Stage],
    (kept, progress): (&Kept, &Progress),
) -> anyhow::Result<Section> {
    let (attack, Request { dataset, seed, updates, .. }) = (AttackName::Site, *request);
    let name = request.model.or_else(|| attack.models().first().copied());
    let name = name.unwrap_or(ModelName::CnnLight);
    let task = Classification::new(name, dataset.side, &dataset.classes)?;
    let weights = task.initial_weights(seed)?;
    let (classes, origins) = (dataset.classes.len(), Origins::new(dataset, seed)?);
    let attacker = Attacker { task, classes, weights, origins, seed };
    let mut all = stages.to_vec();
    if !all.contains(&Stage::Plain) {
        all.insert(0, Stage::Plain);
    }
    let place = |stage: Stage, number: usize| format!("{attack}/{stage}/{number:04}");
    let jobs = all.iter().flat_map(|stage| (0..updates).map(move |number| (*stage, number)));
    let missing: Vec<_> =
        jobs.filter(|(stage, number)| !kept.has(&place(*stage, *number))).collect();
    progress.plan(attack, missing.len());
    let mut needed: Vec<Stage> = Vec::new();
    for (stage, _) in &missing {
        let own = reference(*stage);
        if !needed.contains(&own) {
            needed.push(own);
        }
    }
    let learnt = each(u32::try_from(needed.len())?, |number| {
        let stage = needed.get(number as usize).copied().unwrap_or(Stage::Plain);
        Ok((stage, attacker.learn(stage)?))
    })?;
    each(u32::try_from(missing.len())?, |job| {
        let Some((stage, number)) = missing.get(job as usize).copied() else { return Ok(()) };
        let Some((_, ridges)) = learnt.iter().find(|(own, _)| *own == reference(stage)) else {
            return Ok(());
        };
        let before = Instant::now();
        kept.put(&place(stage, number), &attacker.name(stage, number, ridges)?)?;
        progress.ended(attack, stage, before.elapsed());
        Ok(())
    })?;
    let of_images = format!("{attack}/image/0000");
    if !kept.has(&of_images) {
        kept.put(&of_images, &attacker.origins.images(name)?)?;
    }
    let [asked, right, commonest] = kept.get(&of_images)?;
    let about = "an image itself, of a patient whom the attacker does not know".to_owned();
    let images = Line::of(("image".to_owned(), about), asked, (right, commonest));
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for stage in &all {
        let own = (0..updates).map(|number| kept.get(&place(*stage, number)));
        let own = own.collect::<anyhow::Result<Vec<Row>>>()?;
        lines.push(line(*stage, &own));
        if stages.contains(stage) {
            rows.extend(own);
        }
    }
    let is_plain = |line: &&Line| line.stage == Stage::Plain.to_string();
    let control = lines.iter().find(is_plain).unwrap_or(&images).clone();
    lines.retain(|line| stages.iter().any(|stage| stage.to_string() == line.stage));
    let Origins { names: sites, left_out, .. } = attacker.origins;
    let control_holds = control.low > control.right_guess;
    let victim = name.name();
    Ok(Section { victim, sites, left_out, control_holds, control, images, lines, rows })
}

/// What the attacker makes of his own images to learn what a stage shows: without the noise and
/// the other sites.
fn reference(stage: Stage) -> Stage {
    match stage {
        Stage::Ciphertext | Stage::Sum(_) => Stage::Sum(1),
        Stage::Dp(_) => Stage::Dp(NEXT_TO_NO_NOISE),
        other => other,
    }
}

impl Attacker {
    /// By updates, and by the numbers of images of each class alone.
    fn learn(&self, stage: Stage) -> anyhow::Result<[Ridge; 2]> {
        let kinds = self.origins.names.len();
        let (mut references, mut counts) = (Vec::new(), Vec::new());
        for kind in 0..kinds {
            for number in 0..REFERENCES {
                let sites = [self.origins.reference(kind, number, &self.weights)];
                let seed = self.seed.wrapping_add(number);
                let round = Round { task: &self.task, sites: &sites, seed };
                references.push((kind, round.see(stage)?.values));
                counts.push((kind, self.counts(&sites)));
            }
        }
        let like = Weights::from_values(
            &[("classes".into(), vec![self.classes])],
            vec![0.0; self.classes],
        )?;
        let by_classes = Ridge::learn(&like, &counts, kinds);
        Ok([Ridge::learn(&self.weights, &references, kinds), by_classes])
    }

    /// Images of each class at the first site.
    fn counts(&self, sites: &[Site]) -> Vec<f32> {
        let mut counts = vec![0.0; self.classes];
        for label in sites.iter().take(1).flat_map(|site| &site.samples).filter_map(|s| s.label) {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1.0;
            }
        }
        counts
    }

    fn name(
        &self,
        stage: Stage,
        number: usize,
        [by_update, by_classes]: &[Ridge; 2],
    ) -> anyhow::Result<Row> {
        let started = Instant::now();
        let own = number % self.origins.names.len().max(1);
        let sites = if let Stage::Sum(sites) = stage { sites } else { 1 };
        let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number as u64);
        let sites = self.origins.round(own, sites, &self.weights, seed);
        let seen = Round { task: &self.task, sites: &sites, seed }.see(stage)?;
        let name = |place: usize| self.origins.names.get(place).cloned().unwrap_or_default();
        Ok(Row {
            stage: stage.to_string(),
            site: name(own),
            said: name(by_update.kind(&seen.values)),
            by_classes: name(by_classes.kind(&self.counts(&sites))),
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}

fn line(stage: Stage, rows: &[Row]) -> Line {
    let right = rows.iter().filter(|row| row.site == row.said).count();
    let of_site = |site: &str| rows.iter().filter(|row| row.site == site).count();
    let commonest = rows.iter().map(|row| of_site(&row.site)).max().unwrap_or(0);
    let line = Line::of((stage.to_string(), stage.about()), rows.len(), (right, commonest));
    let guess = line.right_guess;
    let spread = (guess * (1.0 - guess) / rows.len().max(1) as f64).sqrt();
    let as_guessing = line.right <= guess + NO_CHANCE * spread;
    let by_classes = rows.iter().filter(|row| row.site == row.by_classes).count();
    Line {
        equals_guess: (stage == Stage::Ciphertext).then_some(as_guessing),
        right_by_classes: Some(by_classes as f64 / rows.len().max(1) as f64),
        ..line
    }
}

impl Line {
    fn of(
        (stage, about): (String, String),
        asked: usize,
        (right, commonest): (usize, usize),
    ) -> Self {
        let (low, high) = wilson(right, asked);
        let share = |count: usize| count as f64 / asked.max(1) as f64;
        let (right, right_guess) = (share(right), share(commonest));
        let (right_by_classes, equals_guess) = (None, None);
        Self { stage, about, asked, right, low, high, right_guess, right_by_classes, equals_guess }
    }
}

/// Where the probability lies of which so many of all have come true, at 95 % (Wilson, 1927).
fn wilson(right: usize, all: usize) -> (f64, f64) {
    let (count, square) = (all.max(1) as f64, DEVIATIONS * DEVIATIONS);
    let share = right as f64 / count;
    let middle = (share + square / (2.0 * count)) / (1.0 + square / count);
    let spread = share * (1.0 - share) / count + square / (4.0 * count * count);
    let half = DEVIATIONS * spread.sqrt() / (1.0 + square / count);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

impl Section {
    /// Updates whose hospital was named.
    pub(super) fn results(&self) -> usize {
        self.rows.len()
    }

    /// That the attack is too weak, or that the hospitals do not differ.
    pub(super) fn failed(&self) -> Option<String> {
        let Line { low, right_guess, .. } = &self.control;
        (!self.control_holds).then(|| {
            format!(
                "site inference from plain gradients: expected the hospital to be named right more often than by naming the commonest one ({:.0} %), found from {:.0} % on (more --images tell more; do the sites differ?)",
                100.0 * right_guess,
                100.0 * low
            )
        })
    }

    fn all(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.images).chain(&self.lines)
    }

    /// The table for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "\n{}  site inference from plain gradients: {:.0} % right, of whoever guesses {:.0} %\n\
             site, on the model {}, among {}; in brackets 95 % ranges\n\
             {:<12}{:>7}{:>18}{:>9}{:>12}\n",
            if self.control_holds { "holds" } else { "FAILS" },
            100.0 * self.control.right,
            100.0 * self.control.right_guess,
            self.victim,
            listed(&self.sites),
            "stage",
            "asked",
            "right",
            "guess",
            "by classes"
        );
        for line in self.all() {
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "{:<12}{:>7}{:>18}{:>7.0} %{:>12}{}",
                line.stage,
                line.asked,
                right(line),
                100.0 * line.right_guess,
                by_classes(line),
                note(line)
            );
        }
        text
    }

    /// The section of the page.
    ///
    /// # Errors
    /// Writing to a text does not fail.
    pub(super) fn html(&self) -> anyhow::Result<String> {
        let mut page = format!(
            "<h2>site, on the model {}</h2><p>Which hospital does an update come from, or an image? \
             Among {}. The attacker has the images of half of each one's patients; the updates are of \
             the others. In brackets 95 % ranges. Guessing names the commonest one every time. \
             <b>By classes</b> is who knows how many images of each class there are, and nothing \
             else.</p>",
            self.victim,
            escaped(&listed(&self.sites))
        );
        page.push_str(match self.control_holds {
            true => "<p class=\"good\">Plain gradients tell their hospital.</p>",
            false => {
                "<p class=\"bad\">Plain gradients do not tell their hospital: these rows prove \
                 nothing.</p>"
            }
        });
        page.push_str(
            "<table><tr><th>stage</th><th>asked</th><th>right</th><th>guess</th>\
             <th>by classes</th><th>what the attacker sees</th></tr>",
        );
        for line in self.all() {
            write!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.0} %</td><td>{}</td><td>{}{}</td></tr>",
                line.stage,
                line.asked,
                right(line),
                100.0 * line.right_guess,
                by_classes(line),
                line.about,
                note(line)
            )?;
        }
        page.push_str("</table>");
        Ok(page)
    }
}

fn right(line: &Line) -> String {
    let [right, low, high] = [line.right, line.low, line.high].map(|share| 100.0 * share);
    format!("{right:.0} % [{low:.0}, {high:.0}]")
}

fn by_classes(line: &Line) -> String {
    line.right_by_classes.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share))
}

/// A text as a browser takes it for a text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn note(line: &Line) -> &'static str {
    match line.equals_guess {
        Some(true) => "  as guessing",
        Some(false) => "  NOT AS GUESSING",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use ringfence_learning::data::phantom::{PhantomOptions, generate};

    use super::*;

    /// Hospitals whose scanners burn a mark of their own into each image.
    fn marked() -> Dataset {
        let options = PhantomOptions { side: 16, sites: 3, patients: 16, slices: 3, seed: 3 };
        let mut dataset = generate(&options).unwrap();
        for (place, site) in dataset.sites.iter_mut().enumerate() {
            let all = site.train.iter_mut().chain(&mut site.validation).chain(&mut site.test);
            for sample in all {
                let corner = sample.image.chunks_exact_mut(16).skip(5 * place).take(4);
                corner.for_each(|row| row[..4].fill(1.0));
            }
        }
        dataset
    }

    #[test]
    fn hospitals_that_mark_their_images_are_told_by_their_updates_and_not_by_ciphertext() {
        let (folder, dataset) = (tempfile::tempdir().unwrap(), marked());
        let kept = Kept::open(folder.path(), &serde_json::json!({})).unwrap();
        let model = Some(ModelName::Dense);
        let request = Request { dataset: &dataset, model, updates: 30, seed: 1 };
        let stages =
            [Stage::Plain, Stage::Update, Stage::Ciphertext, Stage::Sum(3), Stage::Dp(1.0)];
        let section = run(&request, &stages, (&kept, &Progress::new())).unwrap();
        assert!(section.control_holds && section.failed().is_none(), "{section:?}");
        let [plain, update, ciphertext, sum, private] = &section.lines[..] else {
            panic!("{section:?}")
        };
        assert!(plain.right > 0.9 && update.right > 0.8, "{section:?}");
        assert_eq!(ciphertext.equals_guess, Some(true), "{ciphertext:?}");
        assert!(sum.right < plain.right && private.right < plain.right, "{section:?}");
        // Their classes differ, too, and say less.
        assert!(plain.right_by_classes.unwrap() < plain.right, "{plain:?}");
        assert!(section.images.right > 0.8, "{:?}", section.images);
        assert!(
            section.text().contains("as guessing")
                && section.html().unwrap().contains("ciphertext")
        );
    }

    #[test]
    fn a_share_has_the_range_of_printed_tables() {
        // 8 of 10, as in Newcombe's "Two-sided confidence intervals", 1998, method 3.
        let (low, high) = wilson(8, 10);
        assert!((low - 0.4902).abs() < 1e-3 && (high - 0.9433).abs() < 1e-3, "{low} {high}");
        assert!(wilson(0, 10).0 < 1e-12 && wilson(10, 10).1 > 1.0 - 1e-12);
    }
}
