//! `ringfence restored`: after a site's state came back from a backup.

use ringfence_crypto::id::RoundNumber;
use ringfence_site::RestoreRun;

use crate::member::Member;

/// Arguments of `ringfence restored`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restored {
    #[command(flatten)]
    member: Member,
    /// Abstain through this round, by the operator's own word: ask every other site (not the
    /// aggregator) for the highest round that it knows, the last folder in its
    /// STATE/studies/STUDY/rounds, and give one more than the highest.
    #[arg(long, conflicts_with = "continue_waiting")]
    through: Option<RoundNumber>,
    /// Go on waiting for the answers to the last run's question. Never after another restore.
    #[arg(long = "continue")]
    continue_waiting: bool,
}

impl Restored {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open()?;
        let through = match self.through {
            Some(through) => {
                site.abstain(through)?;
                through
            }
            None => {
                let run = match self.continue_waiting {
                    true => RestoreRun::Continue,
                    false => RestoreRun::Ask,
                };
                site.meet().await?;
                println!(
                    "asking the other sites how far they know the study to be; they answer while they run, within a minute"
                );
                site.restored(run).await?
            }
        };
        let noted = site.abstention()?.map(|noted| noted.restored_at.utc().to_string());
        println!(
            "this site abstains from contributing and holding keys through round {through}, and in every round that was opened before {}",
            noted.unwrap_or_else(|| "now".to_owned())
        );
        Ok(())
    }
}
