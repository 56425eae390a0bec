//! `ringfence study sign`: a site's signature.

use std::path::PathBuf;

use ringfence_crypto::wire::json;

use crate::files;

/// Arguments of `ringfence study sign`.
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The study file; the signature is added to it.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    /// The site's secret identity file.
    #[arg(long)]
    identity: PathBuf,
}

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let identity = files::read_identity(&self.identity)?;
        let mut study = files::read_study(&self.study)?;
        study.study.check()?;
        identity.check_key(&study.study)?;
        study.sign(identity.site(), identity.signer())?;
        files::write(&self.study, &json::pretty(&study))?;
        let (signed, sites) = (study.signatures.len(), study.study.roster.len());
        println!("{} signed; {signed} of {sites} signatures", identity.site());
        Ok(())
    }
}
