//! `ringfence contribute`: an update from any framework, encrypted and sent.

use ringfence_crypto::id::RoundNumber;
use ringfence_site::{Clipping, Prepared, Sealing, Site};
use ringfence_weights::Weights;

use crate::member::{Member, which_round};
use crate::update_arg::{Update, UpdateArg};

/// Arguments of `ringfence contribute`.
#[derive(Debug, clap::Args)]
pub(crate) struct Contribute {
    #[command(flatten)]
    member: Member,
    /// The round; the latest unless given. One that is not open yet is waited for (--patience).
    #[arg(long)]
    round: Option<RoundNumber>,
    #[command(flatten)]
    update: UpdateArg,
}

/// What is contributed, and to which round.
pub(super) struct Given {
    round: RoundNumber,
    update: Update,
}

impl Contribute {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (site, given) = self.begin().await?;
        let prepared = self.prepare(&site, given).await?;
        let contributed = prepared.send().await?;
        let (round, receipt) = (contributed.round(), contributed.receipt());
        println!("round {round}: receipt for contribution {}", receipt.header);
        tell(contributed.clipping(), contributed.sealing());
        Ok(())
    }

    /// The site, which charges the ledger that is named, and what it contributes to which round.
    pub(super) async fn begin(&self) -> anyhow::Result<(Site, Given)> {
        let site = self.update.open(&self.member).await?;
        let update = self.update.read(&site)?;
        let (site, round) = which_round(site, self.round).await?;
        Ok((site, Given { round, update }))
    }

    /// The contribution to the round, made and on disk.
    pub(super) async fn prepare<'a>(
        &self,
        site: &'a Site,
        Given { round, update }: Given,
    ) -> anyhow::Result<Prepared<'a>> {
        let site = site.for_round(round);
        seal_to_newcomers(site, round, &update.base).await;
        site.compare_ledger_with_log().await?;
        self.update.prepare(site, round, update).await
    }
}

/// In the first round under a roster, seals the model that it starts from to the sites that have come: with
/// it they are given the check keys by which they know that others have it, too.
pub(super) async fn seal_to_newcomers(site: &Site, round: RoundNumber, base: &Weights) {
    let Some(last) = round.before() else { return };
    for to in site.seals_to(round) {
        let sealed = || site.send_snapshot(&to, (last, base, Vec::new()));
        match site.patiently(sealed).await {
            Ok(()) => println!("sealed the model after round {last} to {to}, which has come"),
            Err(error) => eprintln!("{to} has no model after round {last} of this site: {error}"),
        }
    }
}

/// Says what there is to know of a contribution beside that it was made.
pub(super) fn tell(clipping: Option<&Clipping>, sealing: &Sealing) {
    if let Some(clipping) = clipping {
        println!("{clipping}");
    }
    let sealing = sealing.to_string();
    if !sealing.is_empty() {
        println!("{sealing}");
    }
}
