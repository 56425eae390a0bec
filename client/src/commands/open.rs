//! `ringfence open`: opening a round.

use std::path::PathBuf;

use anyhow::{Context, bail};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::RoundState;
use ringfence_options::at_least_one;
use ringfence_site::{Site, model};
use ringfence_words::{counted, listed};

use crate::files::read_weights;
use crate::member::{Member, next_round};

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
        let site = self.member.open().await?;
        let base = read_weights(&self.base, site.study())?;
        site.check_round_seconds(self.seconds).context("--seconds")?;
        let (site, round) = next_round(site).await?;
        let site = site.for_round(round);
        check_over(site, round).await?;
        let turn = site.turn(round).await?;
        if !turn.has_come() {
            let until = site.clock().now().after(site.patience().as_secs());
            println!("{turn}; waiting until {} at most (--patience)", until.utc());
        }
        let status = site.initiate(round, model::id(&base), self.seconds).await?;
        if status.initiator != *site.id() {
            println!("round {round} was opened by {} meanwhile", status.initiator);
        }
        // In the roster's order, as everywhere.
        let mut holders = status.holders;
        holders.sort_by_key(|holder| site.study().position(holder));
        println!("round {round} is open; key holders: {}", listed(&holders));
        Ok(())
    }
}

/// Refuses to open a round while the one before it is open.
async fn check_over(site: &Site, next: RoundNumber) -> anyhow::Result<()> {
    let Some(round) = next.before() else { return Ok(()) };
    let Some(status) = site.for_round(round).opened(round).await? else { return Ok(()) };
    if let RoundState::Collecting | RoundState::Reviewing | RoundState::Closed = status.state {
        bail!(
            "round {round} is open already, opened by {}: it is {}, with {} by now (the time for them ends {}); nothing was opened, and round {next} can be once round {round} is over",
            status.initiator,
            status.state,
            counted(status.received.len() as u64, "contribution"),
            status.deadline.utc()
        );
    }
    Ok(())
}
