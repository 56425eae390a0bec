//! KEM keys for single rounds: made and published ahead, destroyed when their round has ended.

use std::fmt;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::log::{
    Checkpoint, CheckpointText, InclusionProof, LogEntry, NoteKey, TlogProof, origin,
};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, HolderKeys, Manifest, RoundKeys};
use ringfence_keys::round_secret::{self, RoundSecret};

use crate::error::{ServedError, SiteError};
use crate::journal::Published;
use crate::site::{Hidden, Site};
use crate::transport::{Openings, present, printable};

/// Rounds that one statement covers.
const BATCH: u32 = 16;

/// A new statement is published when fewer rounds than these are covered ahead.
const AHEAD: u32 = 4;

/// Whether the initiator of a manifest must have been shown a site's keys, `last` being the closing of
/// the round before. The first two do not rest on what the initiator says of its time.
fn must_name(manifest: &Manifest, published: &Published, last: Option<&Closing>) -> bool {
    // The initiator holds that closing, and has asked for keys after it.
    let logged = published.index.zip(last);
    let logged = logged.is_some_and(|(index, last)| index < last.checkpoint.size);
    let unopened = published.unopened.is_some_and(|next| next <= manifest.round);
    logged || unopened || !RoundKeys::may_be_unseen(manifest.opened_at, published.since)
}

fn not_logged(statement: Digest, reason: String) -> SiteError {
    SiteError::RoundKeysNotLogged { statement, reason: printable(&reason) }
}

/// What a manifest names as a holder's round keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedKey(pub Option<Digest>);

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(digest) => write!(f, "{digest}"),
            None => f.write_str("none"),
        }
    }
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
        published.await
    }

    async fn publish(&self) -> Result<(), SiteError> {
        self.help_if_behind().await?;
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
                    return Err(
                        ServedError::OtherRoundKeys { round: first, of: site.clone() }.into()
                    );
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
            let since = self.clock.now();
            let proof = self.proof_of(&statement).await?;
            journal.logged(&statement.statement, &proof)?;
            journal.sent(&statement, since)?;
        }
        Ok(())
    }

    /// Fetches what proves, signed by the aggregator, that the study's log contains round keys of
    /// this site.
    async fn proof_of(&self, statement: &Signed<RoundKeys>) -> Result<TlogProof, SiteError> {
        let note = self.transport.checkpoint(self.study_id).await?;
        let digest = statement.id();
        let signed = NoteKey::new(&origin(self.study_id), self.study.aggregator_key)
            .map_err(CheckpointError::from)
            .and_then(|key| CheckpointText::verified(&note, &key))
            .map_err(|error| not_logged(digest, error.to_string()))?;
        let inclusion = self.inclusion_of(digest, signed.checkpoint()).await?;
        TlogProof::new(inclusion, note, Vec::new())
            .map_err(|error| not_logged(digest, error.to_string()))
    }

    /// Fetches the proof that a log contains round keys of this site, and checks it.
    async fn inclusion_of(
        &self,
        statement: Digest,
        checkpoint: Checkpoint,
    ) -> Result<InclusionProof, SiteError> {
        let leaf = LogEntry::of::<RoundKeys>(statement).leaf();
        let size = checkpoint.size;
        let proofs = present(self.transport.inclusion(self.study_id, size, &[leaf]).await)?;
        let proof = proofs.and_then(|proofs| proofs.into_iter().next());
        let none = || format!("the aggregator shows no proof in its log of {size} statements");
        let proof = proof.ok_or_else(|| not_logged(statement, none()))?;
        proof
            .verify(leaf, &checkpoint)
            .map_err(|error| not_logged(statement, error.to_string()))?;
        Ok(proof)
    }

    /// Refuses a closing whose log lacks the round keys that this site holds under: without them
    /// nothing shows that the aggregator had them. The closing is kept as evidence; its signature
    /// has been checked.
    ///
    /// # Errors
    /// [`SiteError::RoundKeysNotLogged`].
    pub(crate) async fn own_round_keys_logged(
        &self,
        manifest: &Manifest,
        closing: &Signed<Closing>,
    ) -> Result<(), SiteError> {
        let Some(named) = self.named_round_keys(manifest) else { return Ok(()) };
        let logged = self.inclusion_of(named, closing.statement.checkpoint).await;
        if let Err(SiteError::RoundKeysNotLogged { .. }) = &logged {
            self.journal.round(self.study_id, manifest.round)?.save_refused(closing)?;
        }
        logged.map(drop)
    }

    /// The round keys that a manifest has this site hold under.
    fn named_round_keys(&self, manifest: &Manifest) -> Option<Digest> {
        let offset = self.study.holder_offset(manifest.round, self.id())?;
        manifest.holder_keys.get(offset).copied().flatten()
    }

    /// The digests that a manifest for `round` names: each holder's published keys, if it has any.
    pub(crate) async fn holder_keys(
        &self,
        round: RoundNumber,
    ) -> Result<Vec<Option<Digest>>, SiteError> {
        let mut digests = Vec::new();
        let journal = self.journal.round_keys(self.study_id)?;
        for holder in self.study.holders(round) {
            let keys = self.published(&holder.id, round).await?;
            // Keys that do not check are not used: the holder's long-term key counts then.
            let sound = keys.filter(|keys| self.are_sound(keys, &holder.id, round));
            match &sound {
                Some(keys) => journal.see(keys)?,
                // Hidden now, they were there before: a manifest without them would switch forward
                // secrecy off, which the aggregator must not be able to do.
                None => {
                    if let Some(seen) = journal.seen(&holder.id, round)? {
                        let (holder, seen) = (holder.id.clone(), seen.id());
                        return Err(SiteError::RoundKeysHidden { holder, round, seen });
                    }
                }
            }
            digests.push(sound.map(|keys| keys.id()));
        }
        Ok(digests)
    }

    fn are_sound(&self, keys: &Signed<RoundKeys>, holder: &SiteId, round: RoundNumber) -> bool {
        RoundKeys::check(keys, &self.study, self.study_id).is_ok()
            && keys.statement.site == *holder
            && keys.statement.key(round).is_some()
    }

    /// Refuses a manifest that leaves out the key that this site published for its round, or names
    /// another one.
    ///
    /// # Errors
    /// [`SiteError::RoundKeyLeftOut`].
    pub(crate) fn names_own_round_key(&self, manifest: &Manifest) -> Result<(), SiteError> {
        let Manifest { round, .. } = *manifest;
        if !self.holds(round) {
            return Ok(());
        }
        let journal = self.journal.round_keys(self.study_id)?;
        let Some(of) = journal.published(round)? else { return Ok(()) };
        let published = of.keys.id();
        let named = self.named_round_keys(manifest);
        let last = match round.before() {
            Some(last) => self.journal.round(self.study_id, last)?.certificate()?,
            None => None,
        };
        let last = last.as_ref().map(|certificate| &certificate.closing.statement);
        // Another key than this site's is never right.
        let sound = named == Some(published) || named.is_none() && !must_name(manifest, &of, last);
        if sound {
            return Ok(());
        }
        let (initiator, named) = (manifest.initiator.clone(), NamedKey(named));
        let proof = journal.proof_path(&of.keys.statement).display().to_string();
        Err(SiteError::RoundKeyLeftOut { round, initiator, published, named, proof })
    }

    /// The keys that the holders of a checked manifest hold under.
    pub(crate) async fn resolve_holder_keys(
        &self,
        manifest: &Manifest,
    ) -> Result<HolderKeys, SiteError> {
        let mut statements = Vec::new();
        let named = manifest.holders.iter().zip(&manifest.holder_keys);
        let journal = self.journal.round_keys(self.study_id)?;
        for (holder, _) in named.filter(|(_, digest)| digest.is_some()) {
            let keys = self.published(holder, manifest.round).await?;
            if let Some(keys) = keys.iter().find(|k| self.are_sound(k, holder, manifest.round)) {
                journal.see(keys)?;
            }
            statements.extend(keys);
        }
        Ok(HolderKeys::resolve(&self.study, manifest, &statements)?)
    }

    /// This site's secret for a round, when the manifest names round keys of it.
    pub(crate) fn round_secret(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<RoundSecret>, SiteError> {
        let Some(named) = self.named_round_keys(manifest) else { return Ok(None) };
        let secret = self.journal.round_keys(self.study_id)?.secret(manifest.round, named)?;
        let missing = || SiteError::RoundSecret { round: manifest.round, statement: named };
        secret.ok_or_else(missing).map(Some)
    }

    /// Whether nothing that was sealed to this site in a round is needed again: it is settled, or
    /// ended in an abort, or without it as a holder.
    fn duties_done(&self, round: RoundNumber) -> Result<bool, SiteError> {
        let journal = self.journal.round(self.study_id, round)?;
        let ended = journal.certificate()?;
        let idle = ended.is_some_and(|c| c.closing.statement.is_abort() || !self.holds(round));
        Ok(idle || journal.is_settled()?)
    }

    async fn published(
        &self,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<Signed<RoundKeys>>, SiteError> {
        Ok(present(self.transport.round_keys(self.study_id, site, round).await)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_crypto::id::{StudyId, UnixSeconds};
    use ringfence_crypto::statement::UNSEEN_SECONDS;
    use ringfence_crypto::wire::json;

    const PUBLISHED: u64 = 1000;

    fn manifest(opened_at: u64) -> Manifest {
        Manifest {
            study: StudyId(Digest::of(b"study")),
            round: RoundNumber(3),
            initiator: "site-0".parse().unwrap(),
            opened_at: UnixSeconds(opened_at),
            deadline: UnixSeconds(opened_at + 100),
            holders: Vec::new(),
            holder_keys: Vec::new(),
            base_model: Digest::of(b"keyed"),
            previous: None,
            trust: Digest::of(b"trust"),
        }
    }

    fn published(index: Option<u64>, unopened: Option<u32>) -> Published {
        let study = StudyId(Digest::of(b"study"));
        let (zero, site) = ("00".repeat(64), "site-1");
        let signed = format!(
            r#"{{"statement":{{"study":"{study}","site":"{site}","first_round":0,"keys":[]}},"signature":"{zero}"}}"#
        );
        let keys = json::parse(signed.as_bytes(), 1 << 20, "round keys").unwrap();
        let unopened = unopened.map(RoundNumber);
        Published { keys, since: UnixSeconds(PUBLISHED), index, unopened }
    }

    fn closing(size: u64) -> Closing {
        let zero = "00".repeat(32);
        let study = StudyId(Digest::of(b"study"));
        let statement = format!(
            r#"{{"study":"{study}","round":2,"manifest":"{zero}","freeze":"{zero}","closed_at":0,
            "included":[],"excluded":[],"reviews":[],"sum":null,"checkpoint":{{"size":{size},"root":"{zero}"}}}}"#
        );
        json::parse(statement.as_bytes(), 1 << 20, "closing").unwrap()
    }

    #[test]
    fn a_manifest_that_was_opened_later_must_name_a_key() {
        let unseen = published(None, None);
        assert!(must_name(&manifest(2000), &unseen, None));
        // Opened before they could be seen.
        assert!(!must_name(&manifest(PUBLISHED + UNSEEN_SECONDS), &unseen, None));
        assert!(must_name(&manifest(PUBLISHED + UNSEEN_SECONDS + 1), &unseen, None));
    }

    #[test]
    fn a_manifest_must_name_what_the_log_held_at_the_closing_before_whatever_its_time() {
        let logged = published(Some(7), None);
        assert!(!must_name(&manifest(0), &logged, None));
        assert!(!must_name(&manifest(0), &logged, Some(&closing(7))));
        assert!(must_name(&manifest(0), &logged, Some(&closing(8))));
    }

    #[test]
    fn a_manifest_must_name_what_was_published_well_before_its_round_was_open() {
        assert!(!must_name(&manifest(0), &published(None, Some(4)), None));
        assert!(must_name(&manifest(0), &published(None, Some(3)), None));
        assert!(must_name(&manifest(0), &published(None, Some(0)), None));
    }
}
