//! KEM keys for single rounds: made and published ahead, destroyed when their round has ended.

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{HolderKeys, Manifest, RoundKeys};
use ringfence_keys::round_secret::{self, RoundSecret};

use crate::error::SiteError;
use crate::site::Site;
use crate::transport::present;

/// Rounds that one statement covers.
const BATCH: u32 = 16;

/// A new statement is published when fewer rounds than these are covered ahead.
const AHEAD: u32 = 4;

impl Site {
    /// Sees to it that this site's keys for the coming rounds are published, and destroys secrets
    /// of rounds that have ended. The secrets are durable before their public halves leave.
    ///
    /// # Errors
    /// [`SiteError`].
    pub async fn publish_round_keys(&self) -> Result<(), SiteError> {
        let journal = self.journal.round_keys(self.study_id)?;
        for round in journal.secret_rounds()? {
            if self.duties_done(round)? {
                journal.destroy(round)?;
            }
        }
        let next = self.next_round().await?;
        if journal.covered()?.0 < next.0.saturating_add(AHEAD) {
            let mut rng =
                ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
            let mut first = journal.covered()?.max(next);
            // A site that has lost its state has published keys that it knows nothing of any more.
            // It cannot hold in their rounds, but goes on after them.
            while let Some(published) = self.published(self.id(), first).await? {
                // Signed by this site and of this round: the aggregator cannot lead it on for longer
                // than it has published.
                RoundKeys::check(&published, &self.study, self.study_id)?;
                let RoundKeys { site, .. } = &published.statement;
                if site != self.id() || published.statement.key(first).is_none() {
                    return Err(SiteError::OtherRoundKeys { round: first, of: site.clone() });
                }
                let keys = u32::try_from(published.statement.keys.len()).unwrap_or(u32::MAX);
                let end = published.statement.first_round.0.saturating_add(keys);
                first = RoundNumber(end).max(first.next());
            }
            let secrets = (0..BATCH)
                .map(|_| RoundSecret::generate(&mut rng).map_err(SiteError::from))
                .collect::<Result<Vec<_>, _>>()?;
            let statement = round_secret::publish(&self.identity, self.study_id, first, &secrets);
            journal.save(&statement, &secrets)?;
        }
        // Sent again until the aggregator has it: the same statement is taken any number of times.
        for statement in journal.unsent()? {
            self.transport.put_round_keys(&statement).await?;
            journal.sent(&statement)?;
        }
        Ok(())
    }

    /// The digests that a manifest for `round` names: each holder's published keys, if it has any.
    pub(crate) async fn holder_keys(
        &self,
        round: RoundNumber,
    ) -> Result<Vec<Option<Digest>>, SiteError> {
        let mut digests = Vec::new();
        for holder in self.study.holders(round) {
            let keys = self.published(&holder.id, round).await?;
            // Keys that do not check are not used: the holder's long-term key counts then.
            let sound = keys.filter(|keys| {
                RoundKeys::check(keys, &self.study, self.study_id).is_ok()
                    && keys.statement.site == holder.id
                    && keys.statement.key(round).is_some()
            });
            digests.push(sound.map(|keys| keys.id()));
        }
        Ok(digests)
    }

    /// The keys that the holders of a checked manifest hold under.
    pub(crate) async fn resolve_holder_keys(
        &self,
        manifest: &Manifest,
    ) -> Result<HolderKeys, SiteError> {
        let mut statements = Vec::new();
        let named = manifest.holders.iter().zip(&manifest.holder_keys);
        for (holder, _) in named.filter(|(_, digest)| digest.is_some()) {
            statements.extend(self.published(holder, manifest.round).await?);
        }
        Ok(HolderKeys::resolve(&self.study, manifest, &statements)?)
    }

    /// This site's secret for a round, when the manifest names round keys of it.
    pub(crate) fn round_secret(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<RoundSecret>, SiteError> {
        let offset = self.study.holder_offset(manifest.round, self.id());
        let named = offset.and_then(|offset| manifest.holder_keys.get(offset).copied().flatten());
        let Some(named) = named else { return Ok(None) };
        let secret = self.journal.round_keys(self.study_id)?.secret(manifest.round, named)?;
        let missing = || SiteError::RoundSecret { round: manifest.round, statement: named };
        secret.ok_or_else(missing).map(Some)
    }

    /// Whether nothing that was sealed to this site in a round is needed again: its opening is on
    /// disk, or the round ended in an abort, or without it as a holder.
    fn duties_done(&self, round: RoundNumber) -> Result<bool, SiteError> {
        let journal = self.journal.round(self.study_id, round)?;
        let ended = journal.certificate()?;
        let idle = ended.is_some_and(|c| c.closing.statement.is_abort() || !self.holds(round));
        Ok(idle || journal.opening()?.is_some())
    }

    async fn published(
        &self,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<Signed<RoundKeys>>, SiteError> {
        Ok(present(self.transport.round_keys(self.study_id, site, round).await)?)
    }

    /// Destroys the secret of a round, once its duties are done.
    pub(crate) fn destroy_round_secret(&self, round: RoundNumber) -> Result<(), SiteError> {
        if self.duties_done(round)? {
            self.journal.round_keys(self.study_id)?.destroy(round)?;
        }
        Ok(())
    }
}
