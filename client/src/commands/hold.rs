//! `ringfence hold`: a key holder's duties in a round.

use ringfence_crypto::id::RoundNumber;
use ringfence_site::HoldReport;

use crate::member::{Member, which_round};

/// Arguments of `ringfence hold`.
#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    #[command(flatten)]
    member: Member,
    /// The round; the latest unless given. One that is not open yet is waited for (--patience).
    #[arg(long)]
    round: Option<RoundNumber>,
}

impl Hold {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open().await?;
        let (site, round) = which_round(site, self.round).await?;
        let site = site.for_round(round);
        let report = site.hold(round).await?;
        tell(round, &report);
        Ok(())
    }
}

/// Says what a key holder did in a round.
pub(super) fn tell(round: RoundNumber, report: &HoldReport) {
    for complaint in &report.complaints {
        println!("round {round}: complained: {complaint}");
    }
    for dealer in &report.cheated_by {
        println!(
            "round {round}: {dealer} dealt this site no share: it cannot open, and the others do without it"
        );
    }
    if report.opened {
        println!("round {round}: endorsed the closing and opened its certified set");
    } else if report.cheated_by.is_empty() {
        println!("round {round}: endorsed the abort; nothing is opened");
    }
}
