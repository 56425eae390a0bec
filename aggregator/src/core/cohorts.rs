//! What the sums of a study's rounds could tell of few sites together, from the certified sets alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringfence_crypto::cohorts::{CohortReport, OpenedSet, measure};
use ringfence_crypto::id::{RoundNumber, SiteId};
use tokio::sync::Mutex;

use crate::core::refusal::Refusal;
use crate::core::rounds::LiveStudy;
use crate::core::shared::blocking;

/// What a report was made of: the rounds with a certified set, and who was barred.
type MadeOf = (Vec<RoundNumber>, BTreeSet<SiteId>);

/// The last report.
#[derive(Debug, Default)]
pub(crate) struct LastCohorts(Mutex<Option<(MadeOf, Arc<CohortReport>)>>);

impl LiveStudy {
    /// What the certified sets of all rounds could tell of few sites. Whether their sums were opened,
    /// whoever colludes with holders may know alone.
    ///
    /// # Errors
    /// A [`Refusal`] when it could not be worked out.
    pub(crate) async fn cohorts(&self) -> Result<Arc<CohortReport>, Refusal> {
        // Held while it is worked out: others wait and are shown the same.
        let mut last = self.last_cohorts.0.lock().await;
        let (sets, barred) = self.rounds.certified_sets();
        let of: MadeOf = (sets.keys().copied().collect(), barred);
        if let Some((before, report)) = &*last
            && *before == of
        {
            return Ok(report.clone());
        }
        let named: BTreeMap<RoundNumber, Vec<SiteId>> = sets
            .into_iter()
            .map(|(round, set)| {
                let study = self.in_force(round).study;
                (round, set.sites(&study.roster).cloned().collect())
            })
            .collect();
        let corrupt = of.1.clone();
        let report = blocking(move || {
            let opened: Vec<OpenedSet<'_>> = named
                .iter()
                .map(|(round, sites)| OpenedSet { round: *round, sites: sites.iter().collect() })
                .collect();
            Arc::new(measure(&opened, &corrupt))
        })
        .await?;
        *last = Some((of, report.clone()));
        Ok(report)
    }
}
