//! Membership inference: was an image among those that the final model was trained on?
//!
//! Many models are trained, each on a random half of the images, as the sites of a study train them,
//! and each is attacked by whoever has all the others ([`ratio`]). A model that was trained far too
//! long on few images comes first: where the attack fails on that, its failure elsewhere proves
//! nothing.

mod ratio;
mod shadow;

use std::fmt::Write;
use std::time::Instant;

use anyhow::ensure;
use ringfence_learning::{Dataset, ModelName};
use serde::Serialize;

use self::ratio::{Answers, Power, by_loss, by_ratio};
use self::shadow::{Made, Pool};
use super::kept::Kept;
use super::progress::Progress;
use super::terms::{AttackName, DELTA, Stage};
use super::thresholds::Thresholds;
use crate::threads::each;

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    /// The attacked model.
    victim: &'static str,
    /// Models of each kind; each is attacked with the others as the attacker's.
    models: usize,
    /// The model that was trained far too long.
    control: Line,
    /// AUC that the control must be above, by the likelihood ratio.
    control_asked: f64,
    control_holds: bool,
    lines: Vec<Line>,
}

/// A kind of model under attack.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    stage: String,
    about: String,
    /// Images that are asked about; about half of them were trained on.
    images: usize,
    /// Share of the images that the model names right, of those that it was trained on and of the
    /// others.
    right_members: f64,
    right_others: f64,
    ratio: Power,
    loss: Power,
    /// What epsilon lets any attack find at most, where 1 % and 10 % of the others are taken for
    /// trained on.
    allowed: Option<[f64; 2]>,
    /// Of ciphertext: whether the likelihood ratio is as good as guessing.
    equals_guess: Option<bool>,
}

/// What is trained.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) model: Option<ModelName>,
    pub(super) models: usize,
    pub(super) seed: u64,
}

/// Refuses stages none of which shows a final model, and data with too few patients.
///
/// # Errors
/// Naming what is expected.
pub(super) fn check(stages: &[Stage], dataset: &Dataset) -> anyhow::Result<()> {
    shadow::check(dataset)?;
    ensure!(
        stages.iter().any(|stage| Made::at(*stage).is_some()),
        "--attack membership: none of the stages shows a final model; expected update, ciphertext, sum-N of 2 sites or more, or dp-E (--stage)"
    );
    Ok(())
}

/// Trains the models that are missing, and attacks all.
///
/// # Errors
/// When there are too few images, or files cannot be read or written.
pub(super) fn run(
    request: &Request<'_>,
    stages: &[Stage],
    (kept, progress): (&Kept, &Progress),
    thresholds: &Thresholds,
) -> anyhow::Result<Section> {
    let attack = AttackName::Membership;
    let shown = stages.iter().filter_map(|stage| Some((*stage, Made::at(*stage)?)));
    let name = request.model.or_else(|| attack.models().first().copied());
    let name = name.unwrap_or(ModelName::CnnLight);
    let pool = Pool::new(request.dataset, name, request.seed)?;
    let kinds: Vec<(String, Stage, Made)> =
        std::iter::once(("control".to_owned(), Stage::Update, Made::Control))
            .chain(shown.map(|(stage, made)| (stage.to_string(), stage, made)))
            .collect();
    let jobs = kinds.iter().flat_map(|kind| (0..request.models).map(move |number| (kind, number)));
    let place = |kind: &str, number: usize| format!("{attack}/{kind}/{number:04}");
    let missing: Vec<_> =
        jobs.filter(|((kind, _, _), number)| !kept.has(&place(kind, *number))).collect();
    progress.plan(attack, missing.len());
    each(u32::try_from(missing.len())?, |job| {
        let Some(((kind, stage, made), number)) = missing.get(job as usize) else { return Ok(()) };
        let before = Instant::now();
        kept.put(&place(kind, *number), &pool.answers(*made, *number)?)?;
        progress.ended(attack, *stage, before.elapsed());
        Ok(())
    })?;
    let mut lines = Vec::new();
    for (kind, _, made) in &kinds {
        let answers = (0..request.models).map(|number| kept.get(&place(kind, number)));
        let answers = answers.collect::<anyhow::Result<Vec<Answers>>>()?;
        lines.push(line(kind, *made, &answers, request.seed));
    }
    let control = lines.remove(0);
    let control_asked = thresholds.control_membership_auc;
    Ok(Section {
        victim: name.name(),
        models: request.models,
        control_holds: control.ratio.auc.low > control_asked,
        control,
        control_asked,
        lines,
    })
}

fn line(kind: &str, made: Made, answers: &[Answers], seed: u64) -> Line {
    let right = |member: bool| {
        let pairs = answers.iter().flat_map(|one| one.members.iter().zip(&one.right));
        let own: Vec<bool> =
            pairs.filter(|(is, _)| **is == member).map(|(_, right)| *right).collect();
        own.iter().filter(|right| **right).count() as f64 / own.len().max(1) as f64
    };
    let ratio = Power::of(by_ratio(answers), seed);
    let allowed = match made {
        Made::Private(epsilon) => Some([0.01, 0.1].map(|share| allowed(epsilon, share))),
        _ => None,
    };
    Line {
        stage: kind.to_owned(),
        about: made.about(),
        images: answers.first().map_or(0, |one| one.members.len()),
        right_members: right(true),
        right_others: right(false),
        ratio,
        loss: Power::of(by_loss(answers), seed),
        allowed,
        equals_guess: (made == Made::Ciphertext).then(|| ratio.may_be_guessing()),
    }
}

/// The most that any test finds at a share of false alarms, by the definition of differential privacy,
/// for a finding and for its complement.
fn allowed(epsilon: f64, alarms: f64) -> f64 {
    let found = epsilon.exp() * alarms + DELTA;
    found.min(1.0 - (-epsilon).exp() * (1.0 - DELTA - alarms)).min(1.0)
}

impl Section {
    /// Models that were attacked.
    pub(super) fn results(&self) -> usize {
        self.models * (self.lines.len() + 1)
    }

    /// That the attack is too weak, where it is.
    pub(super) fn failed(&self) -> Option<String> {
        let Self { control, control_asked, control_holds, .. } = self;
        (!control_holds).then(|| {
            format!(
                "membership inference on a model that was trained far too long: expected an AUC whose whole range is above {control_asked}, found {}",
                auc(&control.ratio)
            )
        })
    }

    fn all(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.control).chain(&self.lines)
    }

    /// The table for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "\n{}  membership inference on a model that was trained far too long, AUC above {}\n\
             membership, on the model {}, {} of them a stage; in brackets 95 % ranges\n\
             {:<12}{:>7}{:>15}{:>18}{:>18}{:>18}{:>10}{:>18}\n",
            if self.control_holds { "holds" } else { "FAILS" },
            self.control_asked,
            self.victim,
            self.models,
            "stage",
            "images",
            "model right",
            "AUC",
            "found at 1 %",
            "at 10 %",
            "accuracy",
            "AUC by loss"
        );
        for line in self.all() {
            let right =
                format!("{:.0} %, {:.0} %", 100.0 * line.right_members, 100.0 * line.right_others);
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "{:<12}{:>7}{right:>15}{:>18}{:>18}{:>18}{:>10.2}{:>18}{}",
                line.stage,
                line.images,
                auc(&line.ratio),
                percent(&line.ratio.found_at_1),
                percent(&line.ratio.found_at_10),
                line.ratio.accuracy.value,
                auc(&line.loss),
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
            "<h2>membership, on the model {}</h2><p>Was an image among those that the final model \
             was trained on? {} models a stage, each trained on a random half of the images; each \
             is attacked with the others. By likelihood ratio, and beside it by the loss alone. \
             Guessing has an AUC of 0.50, an accuracy of 0.50, and finds 1 % at 1 %. In brackets \
             ranges that hold 95 % of other draws of the images.</p>",
            self.victim, self.models
        );
        page.push_str(match self.control_holds {
            true => {
                "<p class=\"good\">The attack succeeds on a model that was trained too long.</p>"
            }
            false => {
                "<p class=\"bad\">The attack fails on a model that was trained far too long: these \
                 rows prove nothing.</p>"
            }
        });
        page.push_str(
            "<table><tr><th>stage</th><th>images</th><th>model right: trained on, others</th>\
             <th>AUC</th><th>found at 1 % false alarms</th><th>at 10 %</th><th>accuracy</th>\
             <th>AUC by loss</th><th>what the attacker sees</th></tr>",
        );
        for line in self.all() {
            write!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{:.0} %, {:.0} %</td><td>{}</td><td>{}</td>\
                 <td>{}</td><td>{:.2}</td><td>{}</td><td>{}{}</td></tr>",
                line.stage,
                line.images,
                100.0 * line.right_members,
                100.0 * line.right_others,
                auc(&line.ratio),
                percent(&line.ratio.found_at_1),
                percent(&line.ratio.found_at_10),
                line.ratio.accuracy.value,
                auc(&line.loss),
                line.about,
                note(line)
            )?;
        }
        page.push_str("</table>");
        Ok(page)
    }
}

fn auc(power: &Power) -> String {
    let ratio::Measure { value, low, high } = power.auc;
    format!("{value:.2} [{low:.2}, {high:.2}]")
}

fn percent(measure: &ratio::Measure) -> String {
    let [value, low, high] = [measure.value, measure.low, measure.high].map(|share| 100.0 * share);
    format!("{value:.0} % [{low:.0}, {high:.0}]")
}

/// What is to be said of a line beside its numbers.
fn note(line: &Line) -> String {
    match (line.equals_guess, line.allowed) {
        (Some(true), _) => "  as guessing".to_owned(),
        (Some(false), _) => "  NOT AS GUESSING".to_owned(),
        (None, Some([at_1, at_10])) => {
            format!("  epsilon allows {:.0} % and {:.0} %", 100.0 * at_1, 100.0 * at_10)
        }
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_bounds_what_is_found() {
        assert!((allowed(1.0, 0.01) - 0.027_192_8).abs() < 1e-6);
        // At 10 nearly all may be found, and the complement says how many not.
        assert!((allowed(10.0, 0.1) - (1.0 - (-10_f64).exp() * (0.9 - DELTA))).abs() < 1e-12);
        assert!(allowed(1e-3, 0.5) < 0.501);
    }
}
