//! `ringfence round`: a site's whole part in one round, with an update from any framework.

use anyhow::{Context, ensure};
use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_durable::advice_on_room;
use ringfence_exit::failure;
use ringfence_options::at_least_one;
use ringfence_site::{RoundEnd, Site, SiteError, model};

use super::{contribute, hold};
use crate::files::read_weights;
use crate::member::{Member, next_round};
use crate::results_arg::ResultsArg;
use crate::update_arg::{Update, UpdateArg};

/// Arguments of `ringfence round`.
#[derive(Debug, clap::Args)]
pub(crate) struct Round {
    #[command(flatten)]
    member: Member,
    /// The round; unless given, the one that starts from --base: the latest, or the next one where the
    /// latest is over and led to that model, or was aborted.
    #[arg(long)]
    round: Option<RoundNumber>,
    /// Seconds that contributions may take where this site opens the round, within the study's bounds.
    #[arg(long, default_value_t = 3600, value_parser = at_least_one::<u32>)]
    seconds: u32,
    #[command(flatten)]
    update: UpdateArg,
    #[command(flatten)]
    results: ResultsArg,
}

impl Round {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.results.check()?;
        let site = self.update.open(&self.member).await?;
        site.check_round_seconds(self.seconds).context("--seconds")?;
        let update = self.update.read(&site)?;
        let base = model::id(&update.base);
        let (site, next) = next_round(site).await?;
        if let Some(round) = self.round {
            ensure!(
                round <= next,
                "--round {round}: expected {next} at most, the round that comes next; give that one, or none",
            );
        }
        let round = match self.round {
            Some(round) => round,
            None => site.round_from(base).await?,
        };
        let site = site.for_round(round);
        contribute::seal_to_newcomers(site, round, &update.base).await;
        site.compare_ledger_with_log().await?;
        let status = site.open_or_await(round, base, self.seconds).await?;
        println!("round {round} is open, opened by {}", status.initiator);
        // The others depend on this site's duty as key holder also where its own part fails.
        let part = async {
            let end = self.part(site, round, base, update).await;
            if let Err(error) = &end
                && site.holds(round)
                && !waits_for_a_bundle(error)
            {
                let reason = failure(error.as_ref(), advice_on_room);
                eprintln!("round {round}: this site's own part failed: {reason}");
                eprintln!("round {round}: its duty as key holder goes on");
            }
            end
        };
        let (end, ()) = tokio::join!(part, duty(site, round));
        let again = || read_weights(&self.update.base, site.study());
        self.results.write(end?, base, again).await
    }

    /// Contributes, if the round takes it, and opens what comes of the round.
    async fn part<'a>(
        &self,
        site: &'a Site,
        round: RoundNumber,
        base: ModelId,
        update: Update,
    ) -> anyhow::Result<RoundEnd<'a>> {
        site.join(round).await?.check_base(base)?;
        let contributed = match self.update.prepare(site, round, update).await {
            Ok(prepared) => prepared.send().await,
            Err(error) => Err(error.downcast::<SiteError>()?),
        };
        match contributed {
            Ok(contributed) => {
                let header = contributed.receipt().header;
                println!("round {round}: receipt for contribution {header}");
                contribute::tell(contributed.clipping(), contributed.sealing());
                Ok(contributed.finish().await?)
            }
            Err(error) => {
                // It goes on with the others' mean.
                site.refrain(error, (round, true)).await?;
                Ok(site.join(round).await?.finish().await?)
            }
        }
    }
}

/// Whether a part can do no more before the next bundle: it has not failed.
fn waits_for_a_bundle(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(SiteError::Transport(error)) if error.is_by_hand())
}

/// A key holder's duties, where this site is one. What stands in their way concerns this holder alone:
/// the others do without it up to the study's bound, so that its own part goes on.
async fn duty(site: &Site, round: RoundNumber) {
    if !site.holds(round) {
        return;
    }
    match site.hold(round).await {
        Ok(report) => hold::tell(round, &report),
        // Nothing has failed: it goes on after the next bundle.
        Err(SiteError::Transport(error)) if error.is_by_hand() => {
            println!("round {round}, as key holder: {error}");
        }
        Err(error) => {
            let reason = failure(&error, advice_on_room);
            eprintln!("round {round}: this site's duty as key holder failed: {reason}");
        }
    }
}
