//! `ringfence open`: opening a round.

use std::path::PathBuf;

use ringfence_site::model;

use crate::files::read_weights;
use crate::member::Member;

/// Arguments of `ringfence open`.
#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    #[command(flatten)]
    member: Member,
    /// The model that this round's updates start from (safetensors).
    #[arg(long)]
    base: PathBuf,
    /// Seconds that contributions may take; at least the study's minimum.
    #[arg(long, default_value_t = 3600)]
    seconds: u32,
}

impl Open {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open()?;
        let base = read_weights(&self.base, site.study())?;
        let status = site.open_round(model::id(&base), self.seconds).await?;
        let holders: Vec<&str> = status.holders.iter().map(|holder| holder.as_str()).collect();
        println!("round {} is open; key holders: {}", status.round, holders.join(", "));
        Ok(())
    }
}
