//! Where the mean of a round and the model that follows are written.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use ringfence_crypto::id::ModelId;
use ringfence_keys::open::failure_in_words;
use ringfence_site::{RoundEnd, SiteError, model};
use ringfence_weights::Weights;

use crate::files::Replacing;

/// Files for the mean and for the model that follows.
#[derive(Debug, clap::Args)]
pub(crate) struct ResultsArg {
    /// Where to write the mean update; the file's metadata say how precise it is.
    #[arg(long)]
    out: PathBuf,
    /// Where to write the new model, base plus mean: the base of the next round.
    #[arg(long)]
    model_out: PathBuf,
    #[command(flatten)]
    replacing: Replacing,
}

/// Key of the mean's precision, as JSON, in the metadata of its file.
const PRECISION: &str = "ringfence.precision";

impl ResultsArg {
    /// Refuses files that cannot be written, before the work whose results they are for.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.out != self.model_out,
            "expected two files, got {} for both --out and --model-out",
            self.out.display()
        );
        [&self.out, &self.model_out].into_iter().try_for_each(|path| self.replacing.check(path))
    }

    /// Says how a round ended, writes its mean and the model that follows from `base`, and acknowledges
    /// that model. `started` is the base's id, as it was checked.
    ///
    /// # Errors
    /// An aborted round, which has no mean; a base that is another one by now.
    pub(crate) async fn write(
        &self,
        end: RoundEnd<'_>,
        started: ModelId,
        base: impl FnOnce() -> anyhow::Result<Weights>,
    ) -> anyhow::Result<()> {
        let mut done = match end {
            RoundEnd::Done(done) => done,
            RoundEnd::Aborted(abort) => bail!("there is no mean: {abort}"),
        };
        let round = done.round();
        if let Some(reason) = &done.left_out {
            println!("round {round}: this site's contribution is not in the mean: {reason}");
        }
        for (holder, reason) in &done.unusable {
            println!("round {round}: the opening of {holder} was not used: {reason}");
        }
        for line in done.findings().to_string().lines() {
            println!("round {round}: {line}");
        }
        let base = base()?;
        let got = model::id(&base);
        if got != started {
            return Err(SiteError::BaseModel { round, got }.into());
        }
        let mean = Weights::from_values(&base.shapes(), done.take_mean())?;
        let model = base.plus(&mean)?;
        let precision = done.precision();
        let recorded = serde_json::to_string(&precision)?;
        // It is what the model has and its base has not.
        mean.save_unsynced(&self.out, &[(PRECISION, &recorded)])?;
        model.save_whole(&self.model_out)?;
        let (sites, noise) = (done.opened.sites, done.opened.noise);
        done.acknowledge(model::id(&model)).await?;
        println!(
            "round {round}: mean of {sites} sites over {} values; {}",
            mean.len(),
            failure_in_words(noise.failure_probability)
        );
        println!("round {round}: {precision}");
        if let Some(warning) = precision.warning() {
            println!("round {round}: {warning}");
        }
        Ok(())
    }
}
