//! `ringfence study new`: a study file for a roster and an initial model.

use std::path::PathBuf;

use anyhow::Context;
use ringfence_clock::Clock;
use ringfence_crypto::letters::is_unseen;
use ringfence_crypto::statement::{PrivacyPolicy, RosterEntry, SignedStudy, Training, Weighting};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::json;
use ringfence_keys::study::draft::StudyDraft;
use ringfence_keys::study::spending::check_budget;
use ringfence_learning::{PlanError, TrainOptions, TrainingPlan};
use ringfence_options::{USUAL_SEED, number, pinned, private_options};
use ringfence_site::model;
use ringfence_site::transport::escaped;
use ringfence_weights::Weights;

use super::describe::summary;
use super::privacy::PrivacyArgs;
use crate::files;

/// What the study pins of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TrainingName {
    /// The training plan in the model's file, every setting of it: the sites run `ringfence join`.
    Plan,
    /// Nothing: the sites train with another framework, and see to it themselves that they train
    /// alike.
    None,
}

/// Arguments of `ringfence study new`.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// Name of the study, for people.
    #[arg(long)]
    name: String,
    /// Public site files in ring order, one --site each.
    #[arg(long = "site", required = true)]
    sites: Vec<PathBuf>,
    /// The aggregator's public key, which `ringfence-aggregator keygen` prints: its 64 hexadecimal
    /// digits, or a file that holds them.
    #[arg(long, value_name = "KEY|FILE")]
    aggregator_key: String,
    /// The model before round 0 (safetensors): its tensors are the layout of every update.
    #[arg(long)]
    model: PathBuf,
    /// What the study pins of training: the plan that `ringfence init` wrote into the model's file,
    /// or none.
    #[arg(long, value_enum, default_value_t = TrainingName::Plan)]
    training: TrainingName,
    /// Updates are clipped to [-CLIP, CLIP] before they are weighted and quantized.
    #[arg(long, value_parser = number::<f32>)]
    clip: f32,
    /// Bits of a quantized value.
    #[arg(long, default_value_t = 16)]
    bits: u8,
    /// Key holders a round (m); recommended unless given: all sites up to 16.
    #[arg(long)]
    holders: Option<u16>,
    /// Sites that may collude (c).
    #[arg(long)]
    collusion: Option<u16>,
    /// Key words a sharing polynomial (l); as many as cost no further opening unless given.
    #[arg(long)]
    packing: Option<u16>,
    /// Fewest contributions a sum is opened for.
    #[arg(long)]
    min_sites: Option<u16>,
    /// Training samples of each site, in the order of --site, that contributions are weighted by;
    /// public, and all equal unless given.
    #[arg(long, value_delimiter = ',')]
    sample_counts: Option<Vec<u32>>,
    #[command(flatten)]
    privacy: PrivacyArgs,
    /// A round must stay open at least this many seconds.
    #[arg(long, default_value_t = 60)]
    min_round_seconds: u32,
    /// A round may stay open at most this many seconds; 90 days is the most.
    #[arg(long, alias = "longest-round", default_value_t = 7 * 24 * 3600)]
    longest_round_seconds: u32,
    /// Seconds that key holders have to review the envelopes.
    #[arg(long, default_value_t = 600)]
    review_seconds: u32,
    /// Seconds after which the initiator's successor on the ring may open the round.
    #[arg(long, default_value_t = 3600)]
    initiator_timeout_seconds: u32,
    /// Where to write the study file.
    #[arg(long, default_value = "study.json")]
    out: PathBuf,
    #[command(flatten)]
    replacing: files::Replacing,
}

/// Whether a model is the one that the usual seed makes of its plan: the likeliest that sites have
/// contributed from before.
fn is_usual(plan: &TrainingPlan, weights: &Weights) -> bool {
    let training = TrainOptions { seed: USUAL_SEED, ..plan.training.clone() };
    let usual = TrainingPlan { training, ..plan.clone() };
    usual.initial_weights().is_ok_and(|usual| model::id(&usual) == model::id(weights))
}

/// What to do where the model's file has no plan.
const NO_PLAN: &str = "a study pins how its sites train; for a model of another framework say --training none, and then nothing but the sites' word says that they train alike";

impl New {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.replacing.check(&self.out)?;
        // It stands in reports and on pages, where such letters turn or hide what is beside them.
        anyhow::ensure!(
            !self.name.chars().any(is_unseen),
            "the study's name has letters that are not seen or turn others round: \"{}\"; leave them out",
            escaped(&self.name)
        );
        let aggregator_key = files::read_aggregator_key(&self.aggregator_key)?;
        let (training, plan, weights) = self.training()?;
        let rounds = training.rounds();
        let roster: Vec<RosterEntry> = self
            .sites
            .iter()
            .map(|path| files::read_public(path))
            .collect::<anyhow::Result<_>>()?;
        let Self { holders, collusion, packing, .. } = self;
        // Of fewer than three sites the draft says what is wrong.
        let threshold = match roster.len() {
            ..3 => None,
            sites => Some(Threshold::choose(sites, holders, collusion, packing)?),
        };
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let mut draft = StudyDraft {
            name: self.name,
            created_at: Clock::system().now(),
            roster,
            aggregator_key,
            threshold,
            min_sites: self.min_sites,
            value_bits: self.bits,
            layout: model::layout(&weights, self.clip),
            initial_model: model::id(&weights),
            weighting: self.sample_counts.map_or(Weighting::Equal, Weighting::SampleCounts),
            privacy: PrivacyPolicy::None,
            training,
            min_round_seconds: self.min_round_seconds,
            longest_round_seconds: self.longest_round_seconds,
            review_seconds: self.review_seconds,
            initiator_timeout_seconds: self.initiator_timeout_seconds,
        };
        draft.privacy = self.privacy.policy(&draft, rounds)?;
        let study = draft.into_study(&mut rng)?;
        if let (PrivacyPolicy::RecordLevel(policy), Some(plan)) = (&study.privacy, &plan) {
            private_options(policy).check_with(&plan.training)?;
        }
        if let Some(rounds) = rounds {
            check_budget(&study, rounds)?;
        }
        let signed = SignedStudy::unsigned(study);
        files::write(&self.out, &json::pretty(&signed))?;
        print!("{}", summary(&signed));
        if let Some(plan) = plan.filter(|plan| is_usual(plan, &weights)) {
            println!(
                "warning: the model is what every `ringfence init --seed {USUAL_SEED}` of this kind ({}) begins with, and a site contributes from one initial model in one study only: a site that did so in another study is refused by `join`; unless this is the first study of all its sites from it, make another model (`ringfence init` draws a seed)",
                plan.model
            );
        }
        println!("written to {}; next, every site runs `ringfence study sign`", self.out.display());
        Ok(())
    }

    /// What the study pins of training, the plan if it pins one, and the model.
    fn training(&self) -> anyhow::Result<(Training, Option<TrainingPlan>, Weights)> {
        let path = || self.model.display().to_string();
        let (training, plan, weights) = match self.training {
            TrainingName::None => (Training::None, None, Weights::load(&self.model)?),
            TrainingName::Plan => {
                let (plan, weights) = TrainingPlan::load(&self.model).map_err(|error| {
                    let missing = matches!(error, PlanError::Missing(_));
                    let error = anyhow::Error::from(error);
                    if missing { error.context(NO_PLAN) } else { error }
                })?;
                (pinned(&plan)?, Some(plan), weights)
            }
        };
        weights.check_finite().with_context(path)?;
        Ok((training, plan, weights))
    }
}
