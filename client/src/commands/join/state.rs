//! What a site knows of the study's rounds, on disk.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ringfence_crypto::id::RoundNumber;
use ringfence_learning::TrainingPlan;
use ringfence_site::{Site, Start, model};
use ringfence_weights::{MeanStepState, Weights, WeightsError};
use serde::{Deserialize, Serialize};

use crate::files;

/// Where a site begins that has come later: the round, and what the mean step remembers, as bits.
#[derive(Serialize, Deserialize)]
struct Begun {
    round: RoundNumber,
    memory: Vec<u64>,
}

/// The common model as of the rounds that are done.
///
/// On disk is the mean of each opened round, and an empty file for an aborted one. The model and
/// the mean step's memory follow from the initial model and the means, in order: there are not
/// two files that could disagree after a crash.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    model: Weights,
    mean_step: MeanStepState,
    done: u32,
    trained: u32,
}

impl State {
    /// Opens the folder and applies the means that are there. The site holds the lock on its state,
    /// so that nobody else writes here.
    pub(super) fn open(
        state: &Path,
        site: &Site,
        plan: &TrainingPlan,
        initial: Weights,
    ) -> anyhow::Result<Self> {
        let folder = state.join("training").join(site.first_study().to_string());
        files::make_folder(&folder)?;
        ringfence_durable::clear_unfinished(&folder)
            .with_context(|| format!("cannot clear {}", folder.display()))?;
        let mean_step = MeanStepState::new(plan.mean_step);
        let mut this = Self { folder, model: initial, mean_step, done: 0, trained: 0 };
        this.resume()?;
        loop {
            let path = this.mean_path();
            if path.exists() {
                let mean = Weights::load(&path)?;
                model::check_layout(&mean, &site.study().layout)
                    .with_context(|| path.display().to_string())?;
                this.apply(&mean)?;
            } else if this.abort_path().exists() {
                this.done += 1;
            } else {
                break;
            }
        }
        Ok(this)
    }

    /// Begins where a site begins that has come later, if this is one.
    fn resume(&mut self) -> anyhow::Result<()> {
        let path = self.begun_path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let Begun { round, memory } = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged; remove it", path.display()))?;
        let model = Weights::load(&self.begun_model_path())?;
        let memory = memory.into_iter().map(f64::from_bits).collect();
        self.mean_step = MeanStepState::resume(self.mean_step.rule(), model.len(), memory)?;
        // Whichever of the rounds before have changed it.
        (self.model, self.done, self.trained) = (model, round.0, round.0);
        Ok(())
    }

    /// Whether the mean step can remember what another site says that it does: what cannot be would stand
    /// on disk, and stop every later start.
    ///
    /// # Errors
    /// [`WeightsError`] with what is expected.
    pub(super) fn fits(&self, start: &Start) -> Result<(), WeightsError> {
        let (rule, memory) = (self.mean_step.rule(), start.memory.clone());
        MeanStepState::resume(rule, start.model.len(), memory).map(|_| ())
    }

    /// Begins with what another site has sealed to this one, durably.
    pub(super) fn begin(&mut self, start: &Start) -> anyhow::Result<()> {
        start.model.save_whole(&self.begun_model_path())?;
        let memory = start.memory.iter().map(|value| value.to_bits()).collect();
        let begun = Begun { round: start.round, memory };
        files::write_whole(&self.begun_path(), &serde_json::to_vec(&begun)?)?;
        self.resume()
    }

    /// What the mean step remembers, for a site that comes later.
    pub(super) fn memory(&self) -> Vec<f64> {
        self.mean_step.memory()
    }

    /// How many rounds are done.
    pub(super) fn done(&self) -> u32 {
        self.done
    }

    /// How many of them have changed the model: none that was aborted has.
    pub(super) fn trained(&self) -> u32 {
        self.trained
    }

    /// The round that comes next.
    pub(super) fn next(&self) -> RoundNumber {
        RoundNumber(self.done)
    }

    /// The model that it starts from.
    pub(super) fn model(&self) -> &Weights {
        &self.model
    }

    /// Where the checkpoint of this round's training lies.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.folder.join("checkpoint.safetensors")
    }

    /// Where the model lies that this site has trained alone.
    pub(super) fn alone(&self) -> PathBuf {
        self.folder.join("alone.safetensors")
    }

    /// Where the shadow defence keeps its decoders and masks.
    pub(super) fn shadow(&self) -> PathBuf {
        self.folder.join("shadow.safetensors")
    }

    /// Where the secret of private training lies.
    pub(super) fn noise_seed(&self) -> PathBuf {
        self.folder.join("noise.seed")
    }

    /// The scores of the rounds so far.
    pub(super) fn history(&self) -> PathBuf {
        self.folder.join("history.json")
    }

    /// What the openings of the rounds so far showed.
    pub(super) fn opened_rounds(&self) -> PathBuf {
        self.folder.join("opened.json")
    }

    /// The folders that results of this study were written to.
    pub(super) fn results(&self) -> PathBuf {
        self.folder.join("results.json")
    }

    /// How the shares of the rounds so far were sealed.
    pub(super) fn sealings(&self) -> PathBuf {
        self.folder.join("sealings.json")
    }

    /// Keeps an opened round's mean and goes on to the next round. One that a power cut takes is opened
    /// again.
    pub(super) fn opened(&mut self, mean: &Weights) -> anyhow::Result<()> {
        mean.save_whole(&self.mean_path())?;
        self.apply(mean)
    }

    /// Notes that a round was aborted: the model stays.
    pub(super) fn aborted(&mut self) -> anyhow::Result<()> {
        files::write_whole(&self.abort_path(), b"")?;
        self.done += 1;
        Ok(())
    }

    fn apply(&mut self, mean: &Weights) -> anyhow::Result<()> {
        let next = self.mean_step.apply(&self.model, mean)?;
        ensure!(
            next.check_finite().is_ok(),
            "round {}: the model is not finite any more",
            self.done
        );
        self.model = next;
        self.done += 1;
        self.trained += 1;
        Ok(())
    }

    fn mean_path(&self) -> PathBuf {
        self.folder.join(format!("mean-{:05}.safetensors", self.done))
    }

    fn begun_path(&self) -> PathBuf {
        self.folder.join("begun.json")
    }

    fn begun_model_path(&self) -> PathBuf {
        self.folder.join("begun.safetensors")
    }

    fn abort_path(&self) -> PathBuf {
        self.folder.join(format!("aborted-{:05}", self.done))
    }
}
