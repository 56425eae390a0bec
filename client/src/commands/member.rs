//! Arguments that every command of a site in a study takes.

use std::path::PathBuf;
use std::time::Duration;

use super::identity::read_identity;
use super::read_study;
use ringfence_site::Site;
use ringfence_site::transport::Transport;

/// Which site in which study, and where.
#[derive(Debug, clap::Args)]
pub struct Member {
    /// The study file, signed by all.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    /// The site's secret identity file.
    #[arg(long)]
    identity: PathBuf,
    /// Folder for this site's durable state; never share it between sites.
    #[arg(long)]
    state: PathBuf,
    /// URL of the aggregator.
    #[arg(long, env = "RINGFENCE_SERVER")]
    server: String,
    /// Speak plain HTTP beyond loopback.
    #[arg(long)]
    allow_plain_http: bool,
    /// Seconds to wait for other sites in each step.
    #[arg(long, default_value_t = 600)]
    patience: u64,
}

impl Member {
    /// Folder of the site's durable state.
    pub(crate) fn state(&self) -> &std::path::Path {
        &self.state
    }

    /// Opens the site.
    ///
    /// # Errors
    /// When a file is wrong, the study unsigned, or the state in use.
    pub fn open(&self) -> anyhow::Result<Site> {
        let study = read_study(&self.study)?;
        let identity = read_identity(&self.identity)?;
        let transport = Transport::new(&self.server, self.allow_plain_http)?;
        let patience = Duration::from_secs(self.patience);
        Ok(Site::open(study, identity, &self.state, transport, patience)?)
    }
}
