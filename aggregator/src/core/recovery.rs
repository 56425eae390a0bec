//! Taking back what a restored database lost: statements whose leaves are in the study's mark.
//!
//! Sites hold what they signed and what was signed for them. A statement is taken back exactly when
//! its leaf is the next one of the mark; what comes ahead of others waits in memory. When all are
//! back, the study goes on.

use std::sync::{Arc, PoisonError};

use ringfence_crypto::api::{MAX_PROOFS, Recovery, Returned};
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::log::{LogEntry, LogHash};
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Manifest;

use crate::core::log::Behind;
use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::rounds::LiveStudy;

impl LiveStudy {
    /// What is missing.
    pub(crate) fn recovery(&self) -> Recovery {
        let log = &self.served.log;
        let size = log.read().size();
        let Some(Behind { stored, marked, .. }) = log.behind() else {
            return Recovery { stored: size, marked: size, missing: Vec::new() };
        };
        let missing = (stored..marked).map_while(|index| log.marked_leaf(index));
        Recovery { stored, marked, missing: missing.take(MAX_PROOFS).collect() }
    }

    /// Takes back statements; answers with what is missing then.
    pub(crate) async fn take_back(
        self: &Arc<Self>,
        statements: Vec<Returned>,
    ) -> Result<Recovery, Refusal> {
        let study = self.clone();
        // A task of its own, as for every write: the client may hang up.
        let task = tokio::spawn(async move {
            let _one_at_a_time = study.opening.lock().await;
            study.take_in_order(statements).await
        });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn take_in_order(&self, statements: Vec<Returned>) -> Result<Recovery, Refusal> {
        let log = &self.served.log;
        let Some(behind) = log.behind() else { return Ok(self.recovery()) };
        if behind.common != behind.stored {
            return Err(log.refuse_behind(behind));
        }
        let missing: Vec<LogHash> =
            (behind.stored..behind.marked).map_while(|index| log.marked_leaf(index)).collect();
        for statement in statements {
            let leaf = statement.entry().map(|entry| entry.leaf());
            // What is there already, or was never acknowledged, changes nothing.
            if let Some(leaf) = leaf.filter(|leaf| missing.contains(leaf)) {
                self.waiting().insert(leaf, statement);
            }
        }
        for leaf in missing {
            let Some(statement) = self.waiting().remove(&leaf) else { break };
            match statement {
                Returned::Manifest(manifest) => self.take_manifest(manifest).await?,
                Returned::Epoch(epoch) => self.take_back_epoch(*epoch).await?,
                Returned::RoundKeys(keys) => self.take_back_round_keys(&keys).await?,
                Returned::Event(event) => self.round_with(&event).await?.take_back(event).await?,
            }
        }
        if log.behind().is_none() {
            tracing::info!(study = %self.served.id.short(), "everything is back");
            self.waiting().clear();
            self.drive_all();
        }
        Ok(self.recovery())
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<LogHash, Returned>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_manifest(&self, manifest: Signed<Manifest>) -> Result<(), Refusal> {
        let served = &self.in_force(manifest.statement.round);
        let previous = self.before(manifest.statement.round);
        Manifest::check(&manifest, &served.study, served.id, previous.as_ref())
            .map_err(ringfence_crypto::round::RoundError::from)?;
        let mut log = served.log.recovering_writer().await?;
        let leaf = log.reserve();
        let stored = served.statements().insert_round(served.first, &manifest, leaf).await?;
        if stored.leaf != Some(leaf) || stored.manifest != manifest {
            let round = manifest.statement.round;
            return Err(Refusal::conflict(format!("round {round} has another manifest")));
        }
        log.appended(LogEntry::of_signed(&manifest)).await?;
        self.load_round(manifest).await?;
        Ok(())
    }

    /// The round that a statement is of.
    async fn round_with(&self, event: &Event) -> Result<Arc<LiveRound>, Refusal> {
        let manifest: ManifestId = match event {
            Event::Announced(signed) => signed.statement.manifest,
            Event::Received(signed) => signed.statement.manifest,
            Event::Frozen(signed) => signed.statement.manifest,
            Event::Reviewed(signed) => signed.statement.manifest,
            Event::Closed(signed) => signed.statement.manifest,
            Event::Endorsed(signed) => return self.round(signed.statement.round).await,
            Event::Disputed(signed) => {
                return self.round(signed.statement.statement.round).await;
            }
            Event::Judged(signed) => return self.round(signed.statement.statement.round).await,
            Event::Opened(signed) => signed.statement.manifest,
            Event::Acknowledged(signed) => signed.statement.manifest,
            Event::Damaged { .. } | Event::Mended { .. } => {
                let detail = "a note of the aggregator's is no statement and is not taken back";
                return Err(Refusal::message(detail));
            }
        };
        let unknown = || Refusal::missing(format!("no round here has manifest {manifest}"));
        self.round_of(manifest).await.ok_or_else(unknown)?
    }
}
