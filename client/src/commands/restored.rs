//! `ringfence restored`: after a site's state came back from a backup.

use crate::member::Member;

/// Arguments of `ringfence restored`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restored {
    #[command(flatten)]
    member: Member,
}

impl Restored {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let through = self.member.open()?.abstain().await?;
        println!("this site abstains from contributing and endorsing through round {through}");
        Ok(())
    }
}
