//! Statements that this site's own disk has damaged are fetched again, where the aggregator has them.

use crate::error::SiteError;
use crate::journal::{JournalError, RoundJournal};
use crate::site::Site;
use crate::transport::TransportError;

impl Site {
    /// Fetches kept statements again that are damaged, before anything is judged or signed by them.
    ///
    /// # Errors
    /// [`SiteError::Journal`] names a damaged one that the aggregator does not show again as it was.
    pub(crate) async fn mend_damaged(&self) -> Result<(), SiteError> {
        for journal in self.journal.kept_rounds(self.study_id)? {
            let Some(round) = journal.number() else { continue };
            let at = self.at(round);
            if let Err(damage) = journal.manifest() {
                self.put_back(damage, &journal, "manifest.json", at.manifest().await)?;
            }
            if let Err(damage) = journal.freeze() {
                self.put_back(damage, &journal, "freeze.json", at.freeze().await)?;
            }
            if let Err(damage) = journal.closing() {
                self.put_back(damage, &journal, "closing.json", at.closing().await)?;
            }
            if let Err(damage) = journal.receipt() {
                let receipt = at.progress(self.id()).await.map(|progress| progress.receipt);
                self.put_back(damage, &journal, "receipt.json", receipt)?;
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

    fn put_back<T: serde::Serialize>(
        &self,
        damage: JournalError,
        journal: &RoundJournal,
        file: &str,
        fetched: Result<T, TransportError>,
    ) -> Result<(), SiteError> {
        let same = match fetched {
            Ok(fetched) => journal.put_back(file, &fetched)?,
            // The damage is what the operator can do something about.
            Err(_) => false,
        };
        if same { Ok(()) } else { Err(damage.into()) }
    }
}
