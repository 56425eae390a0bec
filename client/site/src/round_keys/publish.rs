//! Publishing: keys are made ahead, in the log before they count, and sent again where they are gone.

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::log::{
    Checkpoint, CheckpointText, InclusionProof, LogEntry, NoteKey, TlogProof, origin,
};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::RoundKeys;
use ringfence_keys::round_secret::{self, RoundSecret};

use crate::error::{ServedError, SiteError};
use crate::site::{Hidden, Site};
use crate::transport::{Openings, present, printable};

/// Rounds that one statement covers.
const BATCH: u32 = 16;

/// A new statement is published when fewer rounds than these are covered ahead.
const AHEAD: u32 = 4;

/// How long what was published is taken to be in the log still, by whoever joins a round.
const AGAIN: Duration = Duration::from_secs(10);

/// How long what was proved to be in the log is taken to be there still. A manifest that lacks a
/// key which was proved is refused in any case.
pub(crate) const PROVED: Duration = Duration::from_secs(60);

fn not_logged(statement: Digest, reason: String) -> SiteError {
    SiteError::RoundKeysNotLogged { statement, reason: printable(&reason) }
}

impl Site {
    /// Sees to it that this site's keys for the coming rounds are published and in the study's log,
    /// and destroys secrets of rounds that have ended. The secrets are durable before their public
    /// halves leave.
    ///
    /// # Errors
    /// [`SiteError`].
    pub async fn publish_round_keys(&self) -> Result<(), SiteError> {
        let published: Hidden<'_, ()> = Box::pin(self.publish());
        published.await?;
        self.published.done(self.clock.moment());
        Ok(())
    }

    /// The same, unless it was done a moment ago.
    pub(crate) async fn see_round_keys_published(&self) -> Result<(), SiteError> {
        match self.published.is_within(AGAIN, self.clock.moment()) {
            true => Ok(()),
            false => self.publish_round_keys().await,
        }
    }

    async fn publish(&self) -> Result<(), SiteError> {
        self.help_if_behind().await?;
        for site in self.all() {
            site.destroy_ended().await?;
        }
        if !self.is_own {
            return Ok(());
        }
        let journal = self.journal.round_keys(self.study_id)?;
        // Rounds before are of another roster, and of other keys.
        let next = self.next_under_any_lately().await?.max(self.first);
        let covered = journal.covered()?;
        if covered.0 < next.0.saturating_add(AHEAD) {
            // The first round of a roster stands in the epoch that was signed: nobody has to show it.
            if covered < next && next > self.first {
                self.was_opened_before(next).await?;
            }
            let mut rng =
                ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
            let mut first = covered.max(next);
            // A site that has lost its state has published keys that it knows nothing of any more.
            // It cannot hold in their rounds, but goes on after them.
            while let Some(published) = self.published(self.id(), first).await? {
                // Signed by this site and of this round: the aggregator cannot lead it on for longer
                // than it has published.
                RoundKeys::check(&published, &self.study, self.study_id)?;
                let RoundKeys { site, .. } = &published.statement;
                if site != self.id() || published.statement.key(first).is_none() {
                    return Err(
                        ServedError::OtherRoundKeys { round: first, of: site.clone() }.into()
                    );
                }
                first = published.statement.end().max(first.next());
            }
            let secrets = (0..BATCH)
                .map(|_| RoundSecret::generate(&mut rng).map_err(SiteError::from))
                .collect::<Result<Vec<_>, _>>()?;
            let statement = round_secret::publish(&self.identity, self.study_id, first, &secrets);
            journal.save(&statement, &secrets)?;
        }
        // Sent again until the aggregator has it: the same statement is taken any number of times.
        let mut proved = BTreeSet::new();
        for statement in journal.unsent()? {
            match self.transport.put_round_keys(self.first_study, &statement).await {
                // For rounds that are far off: what is needed now must not wait for it.
                Err(refusal) if refusal.is_refusal() && statement.statement.first_round > next => {
                    continue;
                }
                sent => sent?,
            }
            let since = self.clock.now();
            let proof = match self.proof_of(&statement).await {
                // On their way, in a bundle: they count once the log is shown to have them.
                Err(SiteError::Transport(error)) if error.is_by_hand() => continue,
                proof => proof?,
            };
            journal.logged(&statement.statement, &proof)?;
            journal.sent(&statement, since)?;
            proved.insert(statement.id());
        }
        let now = self.clock.moment();
        if self.proved.is_within(PROVED, now) {
            return Ok(journal.sync_noted()?);
        }
        // What was proved may be gone: the aggregator has lied, or lost its folder. Since when it had
        // the keys stays as it was: it is not told that they were new.
        let before = journal.in_use(next)?;
        for statement in before.into_iter().filter(|keys| !proved.contains(&keys.id())) {
            if let Err(SiteError::RoundKeysNotLogged { .. }) = self.proof_of(&statement).await {
                self.transport.put_round_keys(self.first_study, &statement).await?;
                let proof = self.proof_of(&statement).await?;
                journal.logged(&statement.statement, &proof)?;
            }
        }
        self.proved.done(now);
        Ok(journal.sync_noted()?)
    }

    /// Destroys the secrets of rounds that are over.
    async fn destroy_ended(&self) -> Result<(), SiteError> {
        let journal = self.journal.round_keys(self.study_id)?;
        for round in journal.secret_rounds()? {
            let of = self.journal.round(self.study_id, round)?;
            if of.opening(Openings::Sum)?.is_some()
                && let Some(certificate) = of.certificate()?
            {
                self.settle_if_agreed(round, certificate.closing.id()).await?;
            }
            if self.duties_done(round)? {
                journal.destroy(round)?;
            }
        }
        Ok(())
    }

    /// Refuses to leave rounds without keys because of a number that nobody signs: that a round is the
    /// next one shows in the manifest of the round before, which stands on all before it.
    async fn was_opened_before(&self, next: RoundNumber) -> Result<(), SiteError> {
        let Some(last) = next.before() else { return Ok(()) };
        let source = match self.for_round(last).manifest(last).await {
            Ok(_) => return Ok(()),
            // It is asked for by the next bundle.
            Err(SiteError::Transport(error)) if error.is_by_hand() => return Err(error.into()),
            Err(error) => Box::new(error),
        };
        Err(SiteError::RoundsNotShown { next, source })
    }

    /// Fetches what proves, signed by the aggregator, that the study's log contains round keys of
    /// this site.
    async fn proof_of(&self, statement: &Signed<RoundKeys>) -> Result<TlogProof, SiteError> {
        let note = self.transport.checkpoint(self.first_study).await?;
        let digest = statement.id();
        let signed = NoteKey::new(&origin(self.first_study), self.study.aggregator_key)
            .map_err(CheckpointError::from)
            .and_then(|key| CheckpointText::verified(&note, &key))
            .map_err(|error| not_logged(digest, error.to_string()))?;
        let inclusion = self.inclusion_of(digest, signed.checkpoint()).await?;
        TlogProof::new(inclusion, note, Vec::new())
            .map_err(|error| not_logged(digest, error.to_string()))
    }

    /// Fetches the proof that a log contains round keys of this site, and checks it.
    pub(super) async fn inclusion_of(
        &self,
        statement: Digest,
        checkpoint: Checkpoint,
    ) -> Result<InclusionProof, SiteError> {
        let leaf = LogEntry::of::<RoundKeys>(statement).leaf();
        let size = checkpoint.size;
        let proofs = present(self.transport.inclusion(self.first_study, size, &[leaf]).await)?;
        let proof = proofs.and_then(|proofs| proofs.into_iter().next());
        let none = || format!("the aggregator shows no proof in its log of {size} statements");
        let proof = proof.ok_or_else(|| not_logged(statement, none()))?;
        proof
            .verify(leaf, &checkpoint)
            .map_err(|error| not_logged(statement, error.to_string()))?;
        Ok(proof)
    }

    /// Whether nothing that was sealed to this site in a round is needed again: it is settled, or
    /// ended in an abort, or without it as a holder.
    fn duties_done(&self, round: RoundNumber) -> Result<bool, SiteError> {
        let journal = self.journal.round(self.study_id, round)?;
        let ended = journal.certificate()?;
        let idle = ended.is_some_and(|c| c.closing.statement.is_abort() || !self.holds(round));
        Ok(idle || journal.is_settled()?)
    }
}
