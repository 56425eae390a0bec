//! What a site sees of its study: scores by round, a curve, and at the end models and pictures.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ringfence_crypto::id::RoundNumber;
use ringfence_durable::place;
use ringfence_learning::chart::{self, Curve};
use ringfence_learning::picture::Heading;
use ringfence_learning::{SiteData, Training, TrainingPlan, evaluate, picture, simulation};
use ringfence_options::score;
use ringfence_site::Sealing;
use ringfence_weights::Weights;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::aside;
use super::opened::OpenedRound;
use super::output::Output;
use super::participant::Participant;
use super::said::Said;
use super::state::State;
use crate::commands::best_model::{BestModel, OWN};
use crate::files;

/// A model's scores on this site's validation images after a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Rounds done.
    pub(super) rounds: u32,
    /// `null` where a score is undefined.
    scores: Vec<(String, Option<f64>)>,
    /// The class that all validation images are of, where there is but one.
    #[serde(default)]
    one_class: Option<String>,
}

impl Entry {
    pub(super) fn line(&self) -> String {
        score::line(&self.scores, self.one_class.as_deref())
    }

    /// The first score that is defined.
    fn leading(&self) -> Option<&str> {
        let (name, _) = self.scores.iter().find(|(_, value)| value.is_some())?;
        Some(name)
    }
}

/// The final report, `report.json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    plan: &'a TrainingPlan,
    /// The opened rounds, with the precision of each mean.
    opened: Vec<OpenedRound>,
    /// The rounds that this site contributed to, with the holders that its shares were sealed to
    /// under long-term keys or not at all.
    sealings: Vec<SealedRound>,
    validation: Vec<Entry>,
    /// Rounds whose mean is in the model; without any it is the study's untrained one.
    trained_rounds: u32,
    test: Vec<TestScores>,
    /// Which of these models is best on this site's validation images.
    best_on_validation: BestModel,
}

/// How the shares of one round's contribution were sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SealedRound {
    round: RoundNumber,
    sealing: Sealing,
}

/// The scores of a final model on this site's test images.
#[derive(Debug, Serialize)]
pub(super) struct TestScores {
    /// `local only`, `federated` or `personalised`.
    pub(super) model: &'static str,
    /// `null` where a score is undefined.
    scores: Vec<(String, Option<f64>)>,
    /// The class that all test images are of, where there is but one.
    one_class: Option<String>,
}

impl TestScores {
    pub(super) fn line(&self) -> String {
        score::line(&self.scores, self.one_class.as_deref())
    }
}

/// What the folder of results gets, in the order in which it is told of.
const MODEL: &str = "model.safetensors";
const ALONE: &str = "model-alone.safetensors";
const PERSONAL: &str = "model-personal.safetensors";
const REPORT: &str = "report.json";
const CURVE: &str = "curve.svg";
const PREDICTIONS: &str = "predictions.png";

/// Under which name the kept model of a site alone has what it follows from.
const MADE_FROM: &str = "made_from";

/// Refuses a folder with results that are not of this site and study, and notes it as theirs.
pub(super) fn check_own(folder: &Path, state: &State) -> anyhow::Result<()> {
    let path = state.results();
    let mut own: Vec<PathBuf> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged; remove it", path.display()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    if own.contains(&folder) {
        return Ok(());
    }
    check_unused(&folder)?;
    own.push(folder);
    files::write_whole(&path, &serde_json::to_vec(&own)?)
}

fn check_unused(folder: &Path) -> anyhow::Result<()> {
    for name in [MODEL, ALONE, PERSONAL, REPORT, CURVE, PREDICTIONS] {
        let path = folder.join(name);
        place::check_new_file(&path, "this site has written nothing of this study there, so it is another's or of another study; give another folder as --out")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Scores the common model on this site's validation images, where that is not recorded, and draws the
/// curve so far. A process that is killed may leave either undone after a round: the next one begins
/// with it.
pub(super) async fn progress(
    out: &Output,
    folder: &Path,
    plan: &TrainingPlan,
    data: &Arc<SiteData>,
    state: &State,
) -> anyhow::Result<()> {
    if data.validation.is_empty() || state.done() == 0 {
        return Ok(());
    }
    let mut history: Vec<Entry> = recorded(out, &state.history(), "scores");
    history.retain(|entry| entry.rounds <= state.done());
    if history.last().is_none_or(|last| last.rounds < state.done()) {
        let (task, model, of) = (plan.task()?, state.model().clone(), Arc::clone(data));
        let scores = aside(move || Ok(evaluate(task.as_ref(), &model, &of.validation)?)).await?;
        let one_class = scores.one_class().map(str::to_owned);
        let entry = Entry { rounds: state.done(), scores: scores.pairs(), one_class };
        out.say(&Said::Validation(&entry));
        history.push(entry);
        files::write_whole(&state.history(), &serde_json::to_vec(&history)?)?;
    }
    let Some(leading) = history.last().and_then(Entry::leading) else { return Ok(()) };
    let curve = Curve { name: data.site.clone(), points: points(&history, leading) };
    let title = "Common model on this site's validation images";
    chart::curves(&folder.join(CURVE), title, ("after round", leading), &[curve])?;
    Ok(())
}

/// A score after each round where it is defined. Rounds are counted from 0, as wherever they are named.
fn points(history: &[Entry], score: &str) -> Vec<(u32, Vec<f64>)> {
    let point = |entry: &Entry| {
        let (_, value) = entry.scores.iter().find(|(name, _)| name == score)?;
        Some((entry.rounds.checked_sub(1)?, vec![(*value)?]))
    };
    history.iter().filter_map(point).collect()
}

/// Writes the common model, the personalised one if the plan has it, the one that this site has trained
/// alone if there is one, scores and pictures, and says which is best here.
pub(super) async fn finish(
    out: &Output,
    (folder, object): (&Path, &str),
    (plan, alone): (&TrainingPlan, Option<Weights>),
    data: &Arc<SiteData>,
    state: &State,
) -> anyhow::Result<()> {
    let task = plan.task()?;
    let common = state.model();
    plan.save(common, &folder.join(MODEL))?;
    let mut written = vec![MODEL];
    let mut models: Vec<(&'static str, Weights)> = Vec::new();
    if let Some(alone) = alone {
        plan.save(&alone, &folder.join(ALONE))?;
        written.push(ALONE);
        models.push((OWN, alone));
    }
    models.push(("federated", common.clone()));
    let (of, start, trained) = (plan.clone(), common.clone(), Arc::clone(data));
    if let Some(personal) = aside(move || Ok(of.personalise(&start, &trained)?)).await? {
        plan.save(&personal, &folder.join(PERSONAL))?;
        written.push(PERSONAL);
        models.push(("personalised", personal));
    }
    if state.trained() == 0 {
        out.say(&Said::Untrained);
    }
    let mut test = Vec::new();
    for (name, model) in &models {
        let (task, model, of) = (plan.task()?, model.clone(), Arc::clone(data));
        let scores = aside(move || Ok(evaluate(task.as_ref(), &model, &of.test)?)).await?;
        let one_class = scores.one_class().map(str::to_owned);
        let of = TestScores { model: name, scores: scores.pairs(), one_class };
        out.say(&Said::Test(&of));
        test.push(of);
    }
    let (task_of_best, of, compared) = (plan.task()?, Arc::clone(data), models.clone());
    let best_on_validation = aside(move || {
        let models: Vec<_> = compared.iter().map(|(name, model)| (*name, model)).collect();
        Ok(BestModel::of(task_of_best.as_ref(), &of, &models)?)
    });
    let best_on_validation = best_on_validation.await?;
    out.say(&Said::BestModel(&best_on_validation));
    let opened = recorded(out, &state.opened_rounds(), "openings");
    let sealings = recorded(out, &state.sealings(), "sealings");
    let validation = recorded(out, &state.history(), "scores");
    let trained_rounds = state.trained();
    let report =
        Report { plan, opened, sealings, validation, trained_rounds, test, best_on_validation };
    files::write(&folder.join(REPORT), &serde_json::to_vec_pretty(&report)?)?;
    let columns: Vec<_> = models.iter().map(|(name, model)| (*name, model)).collect();
    let samples = picture::spread(&data.test, 4);
    let title = picture::title(&data.site, false);
    let heading = Heading { title: &title, object };
    let sheet = folder.join(PREDICTIONS);
    picture::save_sheet(&sheet, task.as_ref(), heading, &samples, &columns)?;
    written.push(REPORT);
    // Without validation images there is no curve.
    if folder.join(CURVE).exists() {
        written.push(CURVE);
    }
    written.push(PREDICTIONS);
    out.say(&Said::Written { folder, files: &written });
    Ok(())
}

/// Trains this site's own model on its images alone, from the study's first weights, or takes the one
/// that it has trained before. A process that is killed meanwhile trains it anew.
pub(super) async fn alone(
    at_work: &Participant<'_>,
    initial: Weights,
    state: &State,
) -> anyhow::Result<Weights> {
    let Participant { site, plan, data, out, writes, .. } = *at_work;
    let place = site.study().position(site.id());
    let place = place.with_context(|| format!("{} is not on the study's roster", site.id()))?;
    // Made anew where it would be another: of other images, settings or first weights.
    let (task, options, path) = (plan.task()?, plan.at(place, 0), state.alone());
    let (start, samples) = (&initial, &data.train);
    let name = Training { task: task.as_ref(), start, samples, options: &options }.name("alone")?;
    let made_from = format!("{} {} {}", name.made_from(), plan.rounds, data.validation.len());
    if let Ok((kept, metadata)) = Weights::load_with(&path)
        && metadata.get(MADE_FROM) == Some(&made_from)
        && kept.check_finite().is_ok()
    {
        return Ok(kept);
    }
    let (images, rounds, epochs) = (data.train.len(), plan.rounds, plan.training.epochs);
    out.say(&Said::TrainsAlone { images, rounds, epochs });
    let bar = out.progress_bar("training alone");
    bar.set_length(u64::from(rounds));
    let (plan, data, writes) = (plan.clone(), Arc::clone(data), writes.clone());
    aside(move || {
        let (model, _) = simulation::alone(&plan, (place, &data), &initial, &mut |_| bar.inc(1))?;
        bar.finish_and_clear();
        writes.whole(|| model.save_with(&path, &[(MADE_FROM, &made_from)]))?;
        Ok(model)
    })
    .await
}

/// Records what a round's opening showed, before its mean is applied.
pub(super) fn record(out: &Output, state: &State, opened: OpenedRound) -> anyhow::Result<()> {
    let mut rounds: Vec<OpenedRound> = recorded(out, &state.opened_rounds(), "openings");
    rounds.retain(|earlier| earlier.round < opened.round);
    rounds.push(opened);
    files::write_whole(&state.opened_rounds(), &serde_json::to_vec(&rounds)?)
}

/// Records how a contribution's shares were sealed. What was recorded when it was made stays: a
/// repeat knows less.
pub(super) fn record_sealing(
    out: &Output,
    state: &State,
    round: RoundNumber,
    sealing: &Sealing,
) -> anyhow::Result<()> {
    let mut rounds: Vec<SealedRound> = recorded(out, &state.sealings(), "sealings");
    if rounds.iter().any(|earlier| earlier.round == round) {
        return Ok(());
    }
    rounds.push(SealedRound { round, sealing: sealing.clone() });
    files::write_whole(&state.sealings(), &serde_json::to_vec(&rounds)?)
}

/// What was recorded of earlier rounds; what cannot be read is done without, and said.
fn recorded<T: DeserializeOwned>(out: &Output, path: &Path, what: &'static str) -> Vec<T> {
    let read = match std::fs::read(path) {
        // Before the first round.
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => Err(error.to_string()),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
    };
    read.unwrap_or_else(|reason| {
        out.say(&Said::Unread { what, path: path.to_owned(), reason });
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_counts_rounds_as_what_is_said_does() {
        let entry = |rounds, value| Entry {
            rounds,
            scores: vec![("accuracy".to_owned(), value)],
            one_class: None,
        };
        let history = [entry(1, Some(0.25)), entry(2, None), entry(3, Some(0.5))];
        assert_eq!(points(&history, "accuracy"), [(0, vec![0.25]), (2, vec![0.5])]);
        let said = Said::Validation(&history[2]).to_string();
        assert!(said.starts_with("after round 2, "), "{said}");
    }
}
