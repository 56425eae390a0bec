//! `ringfence mean`: opening the sum, and the model that follows.

use std::path::PathBuf;

use ringfence_crypto::id::RoundNumber;
use ringfence_site::model;

use crate::files::read_weights;
use crate::member::{Member, which_round};
use crate::results_arg::ResultsArg;

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
    #[command(flatten)]
    results: ResultsArg,
}

impl Mean {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.results.check()?;
        let site = self.member.open().await?;
        let id = model::id(&read_weights(&self.base, site.study())?);
        let (site, round) = which_round(site, self.round).await?;
        let site = site.for_round(round);
        let joined = site.join(round).await?;
        joined.check_base(id)?;
        // It is read again then: a large model is not held while others are waited for.
        let base = || read_weights(&self.base, site.study());
        self.results.write(joined.finish().await?, id, base).await
    }
}
