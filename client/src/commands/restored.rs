//! `ringfence restored`: after a site's state came back from a backup.

use anyhow::Context;
use ringfence_crypto::id::RoundNumber;
use ringfence_site::RestoreRun;

use crate::ledger_arg::LedgerArg;

use crate::member::Member;

/// Arguments of `ringfence restored`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restored {
    #[command(flatten)]
    member: Member,
    /// Abstain through this round, by the operator's own word: ask every other site (not the
    /// aggregator) for the highest round that it knows, the number of the last
    /// file in its STATE/studies/STUDY/rounds that ends in .journal, and give one more than the highest.
    /// It is never taken back by a smaller one.
    #[arg(
        long,
        conflicts_with = "continue_waiting",
        allow_negative_numbers = true,
        value_parser = round_number
    )]
    through: Option<RoundNumber>,
    /// Go on waiting for the answers to the last run's question. Never after another restore.
    #[arg(long = "continue")]
    continue_waiting: bool,
    #[command(flatten)]
    ledger: LedgerArg,
    /// Say that the study is charged to this --ledger, though this site's state knows of no study that
    /// is, and of others that are charged elsewhere.
    #[arg(long, requires = "ledger")]
    unfamiliar_ledger: bool,
}

/// A round's number.
fn round_number(text: &str) -> Result<RoundNumber, String> {
    let expected =
        |_| format!("expected the number of a round, from 0 to {}, got {text}", u32::MAX);
    text.parse::<RoundNumber>().map_err(expected)
}

impl Restored {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open().await?;
        self.ledger.check_for(&site)?;
        match self.through {
            Some(through) => site.abstain(through)?,
            None => {
                let run = match self.continue_waiting {
                    true => RestoreRun::Continue,
                    false => RestoreRun::Ask,
                };
                println!(
                    "asking the other sites how far they know the study to be; they answer while they run, within a minute"
                );
                site.restored(run).await?;
            }
        }
        // Of all runs: one that is corrected by a smaller number stands all the same.
        let noted = site.abstention()?;
        let noted = noted.and_then(|noted| Some((noted.restored_at, noted.through?)));
        let (restored_at, through) = noted.context("expected an abstention on disk, found none")?;
        println!(
            "this site abstains from contributing and holding keys through round {through}, and in every round that was opened before {}",
            restored_at.utc()
        );
        if let Some(given) = self.through.filter(|given| *given < through) {
            println!(
                "an earlier run of this command said {through}: that stands, and {given} does not take it back"
            );
        }
        if self.ledger.settle(&site, self.unfamiliar_ledger)? {
            return Ok(());
        }
        if site.study().privacy.budget().is_some() {
            println!(
                "what the privacy ledger may have forgotten is charged by the next `ringfence join` of this study, or now by this command with --through {through} --ledger DIR; until then no study of this state is charged to it"
            );
        }
        Ok(())
    }
}
