//! What a site knows of the study's rounds, on disk.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use ringfence_learning::{ServerState, TrainingPlan};
use ringfence_site::model;
use ringfence_site::Site;
use ringfence_weights::Weights;

/// The common model as of the rounds that are done.
///
/// On disk is the mean of each opened round, and an empty file for an aborted one. The model and the
/// server optimiser's memory follow from the initial model and the means, in order: there are not
/// two files that could disagree after a crash.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    model: Weights,
    server: ServerState,
    next: u32,
}

impl State {
    /// Opens the folder and applies the means that are there.
    pub(super) fn open(
        state: &Path,
        site: &Site,
        plan: &TrainingPlan,
        initial: Weights,
    ) -> anyhow::Result<Self> {
        let folder = state.join("training").join(site.study_digest().to_string());
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let server = ServerState::new(plan.server);
        let mut this = Self { folder, model: initial, server, next: 0 };
        loop {
            let path = this.mean_path();
            if path.exists() {
                let mean = Weights::load(&path)?;
                model::check_layout(&mean, &site.study().layout)
                    .with_context(|| path.display().to_string())?;
                this.apply(&mean)?;
            } else if this.abort_path().exists() {
                this.next += 1;
            } else {
                break;
            }
        }
        Ok(this)
    }

    /// The round that comes next.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// The model that it starts from.
    pub(super) fn model(&self) -> &Weights {
        &self.model
    }

    /// Where the checkpoint of this round's training lies.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.folder.join("checkpoint.safetensors")
    }

    /// The scores of the rounds so far.
    pub(super) fn history(&self) -> PathBuf {
        self.folder.join("history.json")
    }

    /// Makes an opened round's mean durable and goes on to the next round.
    pub(super) fn opened(&mut self, mean: &Weights) -> anyhow::Result<()> {
        mean.save(&self.mean_path())?;
        self.apply(mean)
    }

    /// Notes that a round was aborted: the model stays.
    pub(super) fn aborted(&mut self) -> anyhow::Result<()> {
        let path = self.abort_path();
        let made = std::fs::File::create(&path).and_then(|file| file.sync_all());
        made.with_context(|| format!("cannot write {}", path.display()))?;
        self.next += 1;
        Ok(())
    }

    fn apply(&mut self, mean: &Weights) -> anyhow::Result<()> {
        let next = self.server.apply(&self.model, mean)?;
        ensure!(
            next.check_finite().is_ok(),
            "round {}: the model is not finite any more",
            self.next
        );
        self.model = next;
        self.next += 1;
        Ok(())
    }

    fn mean_path(&self) -> PathBuf {
        self.folder.join(format!("mean-{:05}.safetensors", self.next))
    }

    fn abort_path(&self) -> PathBuf {
        self.folder.join(format!("aborted-{:05}", self.next))
    }
}
