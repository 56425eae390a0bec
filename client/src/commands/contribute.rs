//! `ringfence contribute`: an update from any framework, encrypted and sent.

use std::path::PathBuf;

use anyhow::Context;
use ringfence_crypto::id::RoundNumber;
use ringfence_site::model;

use crate::files::read_weights;
use crate::member::{Member, which_round};

/// Arguments of `ringfence contribute`.
#[derive(Debug, clap::Args)]
pub(crate) struct Contribute {
    #[command(flatten)]
    member: Member,
    /// The round; the latest unless given. One that is not open yet is waited for (--patience).
    #[arg(long)]
    round: Option<RoundNumber>,
    /// The model that the update starts from (safetensors).
    #[arg(long)]
    base: PathBuf,
    /// The update, trained model minus base model (safetensors, float32).
    #[arg(long)]
    update: PathBuf,
}

impl Contribute {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open()?;
        let base = read_weights(&self.base, site.study())?;
        let update = read_weights(&self.update, site.study())?;
        update.check_finite().with_context(|| self.update.display().to_string())?;
        let round = which_round(&site, self.round).await?;
        if let Some(plan) = site.study().training.digest() {
            println!(
                "the study pins the training plan {}: this command cannot see how an update was trained; that it was trained by the plan is yours to keep (`ringfence study show` lists it)",
                plan.short()
            );
        }
        let values: Vec<f32> = update.values().collect();
        let joined = site.join(round).await?;
        joined.check_origin(&base)?;
        let contributed = joined.contribute(model::id(&base), &values, |_| ()).await?;
        let receipt = contributed.receipt();
        println!("round {round}: receipt for contribution {}", receipt.header);
        if let Some(clipped) = contributed.clipped() {
            println!("{clipped}");
        }
        let sealing = contributed.sealing().to_string();
        if !sealing.is_empty() {
            println!("{sealing}");
        }
        Ok(())
    }
}
