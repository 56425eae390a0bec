//! `ringfence study sign`: a site's signature.

use std::path::PathBuf;

use anyhow::ensure;
use ringfence_clock::Clock;
use ringfence_crypto::time::MAX_CLOCK_AHEAD;
use ringfence_crypto::wire::json;

use crate::files;
use crate::identity::IdentityArg;

/// Arguments of `ringfence study sign`.
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The study file; the signature is added to it.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    #[command(flatten)]
    identity: IdentityArg,
}

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let identity = self.identity.read()?;
        let mut study = files::read_study(&self.study)?;
        study.study.check()?;
        let (created_at, now) = (study.study.created_at, Clock::system().now());
        // Nothing may be opened before that time.
        ensure!(
            created_at <= now.after(MAX_CLOCK_AHEAD),
            "the study was made at {}, more than {MAX_CLOCK_AHEAD} s ahead of this machine's clock, which shows {}; look at both clocks, and make the study again if its author's was wrong",
            created_at.utc(),
            now.utc()
        );
        identity.check_key(&study.study)?;
        study.sign(identity.site(), identity.signer())?;
        files::write(&self.study, &json::pretty(&study))?;
        let (signed, sites) = (study.signatures.len(), study.study.roster.len());
        println!("{} signed; {signed} of {sites} signatures", identity.site());
        Ok(())
    }
}
