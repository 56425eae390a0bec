//! `ringfence study register`: a signed study, made known to the aggregator.

use std::path::PathBuf;

use ringfence_clock::Clock;

use super::drafts::standing;
use crate::files;
use crate::member::Server;

/// Arguments of `ringfence study register`.
#[derive(Debug, clap::Args)]
pub(crate) struct Register {
    /// The study file. Not signed by all, it waits at the aggregator for the others' signatures, which
    /// their sites send by `ringfence study sign --server`.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    #[command(flatten)]
    server: Server,
    /// File with the aggregator's admin token.
    #[arg(long)]
    admin_token_file: PathBuf,
}

impl Register {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let study = files::read_study(&self.study)?;
        let missing = study.missing()?;
        let token = files::read_token(&self.admin_token_file)?;
        let transport = self.server.connect(Clock::system())?;
        if let Some(apart) = transport.meet(&study.study.aggregator_key).await? {
            eprintln!("warning: {apart}");
        }
        if missing.is_empty() {
            let status = transport.register(&study, &token).await?;
            println!("registered study {}", status.study);
            return Ok(());
        }
        let status = transport.post_draft(&study, &token).await?;
        println!("study {}: {}", status.study, standing(&status));
        Ok(())
    }
}
