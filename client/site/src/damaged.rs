//! Statements that this site's own disk has damaged are fetched again, where the aggregator has them.

use crate::error::SiteError;
use crate::journal::{DamagedKeys, JournalError};
use crate::site::Site;
use crate::transport::TransportError;

impl Site {
    /// Fetches kept statements again that are damaged, before anything is judged or signed by them.
    ///
    /// # Errors
    /// [`SiteError::Journal`] names a damaged one that the aggregator does not show again as it was.
    pub(crate) async fn mend_damaged(&self) -> Result<(), SiteError> {
        let keys = self.journal.round_keys(self.study_id)?;
        for damaged in keys.damaged()? {
            let site = damaged.site.as_ref().unwrap_or(self.id());
            let fetched =
                self.transport.round_keys(self.first_study, site, damaged.first_round).await;
            let DamagedKeys { name, damage, .. } = damaged;
            put_back(damage, fetched, |fetched| keys.put_back(&name, fetched))?;
        }
        for journal in self.journal.kept_rounds(self.study_id)? {
            let Some(round) = journal.number() else { continue };
            let at = self.at(round);
            if let Err(damage) = journal.manifest() {
                put_back(damage, at.manifest().await, |fetched| {
                    journal.put_back("manifest", fetched)
                })?;
            }
            if let Err(damage) = journal.freeze() {
                put_back(damage, at.freeze().await, |fetched| journal.put_back("freeze", fetched))?;
            }
            if let Err(damage) = journal.closing() {
                put_back(damage, at.closing().await, |fetched| {
                    journal.put_back("closing", fetched)
                })?;
            }
            if let Err(damage) = journal.receipt() {
                let receipt = at.progress(self.id()).await.map(|progress| progress.receipt);
                put_back(damage, receipt, |fetched| journal.put_back("receipt", fetched))?;
            }
            if let Err(damage) = journal.certificate() {
                // Endorsements may have come since, so it may be another file. One that is missing is
                // fetched and checked the same.
                let manifest = journal.manifest()?.ok_or(SiteError::NoManifest(round))?;
                let Ok(fetched) = at.certificate().await else { return Err(damage.into()) };
                fetched.check(&self.study, &manifest.statement)?;
                journal.save_certificate(&fetched)?;
            }
        }
        Ok(())
    }
}

/// Puts a statement back that was fetched again, or reports the damage: it is what the operator can do
/// something about.
fn put_back<T>(
    damage: JournalError,
    fetched: Result<T, TransportError>,
    put: impl FnOnce(&T) -> Result<bool, JournalError>,
) -> Result<(), SiteError> {
    match fetched {
        Ok(fetched) if put(&fetched)? => Ok(()),
        _ => Err(damage.into()),
    }
}
