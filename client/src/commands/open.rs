//! `ringfence open`: opening a round.

use std::path::PathBuf;

use anyhow::Context;
use ringfence_options::at_least_one;
use ringfence_site::model;
use ringfence_words::listed;

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
    /// Seconds that contributions may take, within the study's bounds.
    #[arg(long, default_value_t = 3600, value_parser = at_least_one::<u32>)]
    seconds: u32,
}

impl Open {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open()?;
        let base = read_weights(&self.base, site.study())?;
        site.check_round_seconds(self.seconds).context("--seconds")?;
        site.meet().await?;
        let round = site.next_round().await?;
        let turn = site.turn(round).await?;
        if !turn.has_come() {
            let until = site.clock().now().after(site.patience().as_secs());
            println!("{turn}; waiting until {} at most (--patience)", until.utc());
        }
        let status = site.initiate(round, model::id(&base), self.seconds).await?;
        if status.initiator != *site.id() {
            println!("round {round} was opened by {} meanwhile", status.initiator);
        }
        println!("round {round} is open; key holders: {}", listed(&status.holders));
        Ok(())
    }
}
