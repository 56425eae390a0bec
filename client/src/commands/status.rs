//! `ringfence status`: where a study stands.

use ringfence_clock::Clock;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::wire::json;

use crate::member::Server;

/// Arguments of `ringfence status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// The study's digest (see `ringfence study verify`).
    #[arg(long)]
    digest: StudyId,
    #[command(flatten)]
    server: Server,
    /// Print the status as JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let transport = self.server.connect(Clock::system())?;
        let status = transport.status(self.digest).await?;
        if self.json {
            println!("{}", String::from_utf8_lossy(&json::pretty(&status)));
            return Ok(());
        }
        println!("study {} ({}), {} rounds", status.name, status.study.short(), status.rounds);
        let Some(round) = status.latest else { return Ok(()) };
        println!("round {}: {:?}, opened by {}", round.round, round.state, round.initiator);
        println!("  deadline      {}", round.deadline.utc());
        println!("  holders       {}", names(&round.holders));
        println!("  contributions {}", names(&round.received));
        println!(
            "  endorsements  {} (needed {})",
            names(&round.endorsed),
            round.endorsements_needed
        );
        println!("  openings      {} (needed {})", names(&round.opened), round.openings_needed);
        println!("  acknowledged  {}", names(&round.acknowledged));
        Ok(())
    }
}

fn names(sites: &[SiteId]) -> String {
    sites.iter().map(SiteId::as_str).collect::<Vec<_>>().join(" ")
}
