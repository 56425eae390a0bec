//! `ringfence study sign`: a site's signature.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use ringfence_clock::Clock;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::SignedStudy;
use ringfence_crypto::time::MAX_CLOCK_AHEAD;
use ringfence_crypto::wire::json;

use super::drafts::standing;
use crate::files;
use crate::identity::IdentityArg;
use crate::member::Gatherer;

/// Arguments of `ringfence study sign`.
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The study file; the signature is added to it.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    #[command(flatten)]
    identity: IdentityArg,
    #[command(flatten)]
    gatherer: Gatherer,
}

impl Sign {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let identity = self.identity.read()?;
        let mut study = files::read_study(&self.study)?;
        study.study.check()?;
        let clock = Clock::system();
        let (created_at, now) = (study.study.created_at, clock.now());
        // Nothing may be opened before that time.
        ensure!(
            created_at <= now.after(MAX_CLOCK_AHEAD),
            "the study was made at {}, more than {MAX_CLOCK_AHEAD} s ahead of this machine's clock, which shows {}; look at both clocks, and make the study again if its author's was wrong",
            created_at.utc(),
            now.utc()
        );
        identity.check_key(&study.study)?;
        let Some(transport) = self.gatherer.connect(clock)? else {
            study.sign(identity.site(), identity.signer())?;
            files::write(&self.study, &json::pretty(&study))?;
            let (signed, sites) = (study.signatures.len(), study.study.roster.len());
            println!("{} signed; {signed} of {sites} signatures", identity.site());
            return Ok(());
        };
        // Its own alone, and made anew: who has signed before sends the same again.
        let mut own = SignedStudy::unsigned(study.study.clone());
        own.sign(identity.site(), identity.signer())?;
        if let Some(apart) = transport.meet(&study.study.aggregator_key).await? {
            eprintln!("warning: {apart}");
        }
        let signature = own.signatures.pop().context("no signature was made")?;
        let (id, site) = (study.study.id(), identity.site().clone());
        let transport = transport.of_site(Arc::new(identity));
        let status = transport.put_study_signature(id, &signature).await?;
        if study.signatures.iter().all(|known| known.site != site) {
            study.signatures.push(signature);
            files::write(&self.study, &json::pretty(&study))?;
        }
        println!("{site} signed; {}", standing(&status));
        Ok(())
    }
}
