//! `ringfence mean`: opening the sum, and the model that follows.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use ringfence_crypto::id::RoundNumber;
use ringfence_keys::open::failure_in_words;
use ringfence_site::{RoundEnd, model};
use ringfence_weights::Weights;

use crate::files::{Replacing, read_weights};
use crate::member::{Member, which_round};

/// Arguments of `ringfence mean`.
#[derive(Debug, clap::Args)]
pub(crate) struct Mean {
    #[command(flatten)]
    member: Member,
    /// The round; the latest unless given. One that is not open yet is waited for (--patience).
    #[arg(long)]
    round: Option<RoundNumber>,
    /// The model that the updates started from (safetensors).
    #[arg(long)]
    base: PathBuf,
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

impl Mean {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.out != self.model_out,
            "expected two files, got {} for both --out and --model-out",
            self.out.display()
        );
        [&self.out, &self.model_out].into_iter().try_for_each(|path| self.replacing.check(path))?;
        let site = self.member.open().await?;
        let base = read_weights(&self.base, site.study())?;
        let (site, round) = which_round(site, self.round).await?;
        let site = site.for_round(round);
        let joined = site.join(round).await?;
        joined.check_base(model::id(&base))?;
        let mut done = match joined.finish().await? {
            RoundEnd::Done(done) => done,
            RoundEnd::Aborted(abort) => bail!("there is no mean: {abort}"),
        };
        if let Some(reason) = &done.left_out {
            println!("round {round}: this site's contribution is not in the mean: {reason}");
        }
        for (holder, reason) in &done.unusable {
            println!("round {round}: the opening of {holder} was not used: {reason}");
        }
        for line in done.findings().to_string().lines() {
            println!("round {round}: {line}");
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
