//! KEM keys for single rounds: which a manifest must name, and what sites hold under.

mod publish;

use std::collections::BTreeMap;
use std::fmt;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use ringfence_crypto::Digest;
use ringfence_crypto::api::LoggedKeys;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, HolderKeys, Manifest, RoundKeys};
use ringfence_keys::round_secret::RoundSecret;

pub(crate) use self::publish::PROVED;

use crate::error::SiteError;
use crate::journal::{Published, RoundKeysJournal};
use crate::site::Site;
use crate::transport::present;

/// Sites whose round keys are asked for at the same time, at most.
const AT_ONCE: usize = 8;

/// Whether the initiator of a manifest must have been shown a site's keys, `last` being the closing of
/// the round before. The first two do not rest on what the initiator says of its time.
fn must_name(manifest: &Manifest, published: &Published, last: Option<&Closing>) -> bool {
    // The initiator holds that closing, and has asked for keys after it.
    let logged = published.index.zip(last);
    let logged = logged.is_some_and(|(index, last)| index < last.checkpoint.size);
    let unopened = published.unopened.is_some_and(|next| next <= manifest.round);
    logged || unopened || !RoundKeys::may_be_unseen(manifest.opened_at, published.since)
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
    /// Refuses a closing whose log lacks the round keys that this site holds under: without them
    /// nothing shows that the aggregator had them.
    ///
    /// # Errors
    /// [`SiteError::RoundKeysNotLogged`].
    pub(crate) async fn own_round_keys_logged(
        &self,
        manifest: &Manifest,
        closing: &Signed<Closing>,
    ) -> Result<(), SiteError> {
        let Some(named) = self.named_round_keys(manifest) else { return Ok(()) };
        self.inclusion_of(named, closing.statement.checkpoint).await.map(drop)
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
        let logged = self.logged_keys(round).await;
        let mut asking = Vec::new();
        for holder in self.study.holders(round) {
            let kept = self.kept_keys(&journal, &holder.id, round)?;
            asking.push(self.shown_keys(&holder.id, round, (logged.get(&holder.id), kept)));
        }
        // A few at a time, in the order of the window.
        let shown: Vec<_> = stream::iter(asking).buffered(AT_ONCE).try_collect().await?;
        for (holder, keys) in self.study.holders(round).zip(shown) {
            // Keys that do not check are not used: the holder's long-term key counts then.
            let sound = keys.filter(|keys| self.are_sound(keys, &holder.id, round));
            // Its own are kept as they were made.
            if let Some(keys) = sound.as_ref().filter(|_| holder.id != *self.id()) {
                journal.see(keys)?;
            }
            let known = match &sound {
                Some(keys) => Some(keys.id()),
                None => self.shown_before(&journal, &holder.id, round).await?,
            };
            digests.push(known);
        }
        journal.sync_noted()?;
        Ok(digests)
    }

    /// Which round keys the aggregator says that the log has of each holder; of nobody where it does not
    /// say it.
    async fn logged_keys(&self, round: RoundNumber) -> BTreeMap<SiteId, Option<Digest>> {
        // A bundle has the statements themselves.
        if self.transport.is_by_hand() {
            return BTreeMap::new();
        }
        let logged = self.transport.logged_keys(self.first_study, round).await.unwrap_or_default();
        logged.into_iter().map(|LoggedKeys { holder, keys }| (holder, keys)).collect()
    }

    /// The round keys that the aggregator shows of a holder: fetched, unless the list of what is `logged`
    /// says that it has none, or those that are kept here.
    async fn shown_keys(
        &self,
        holder: &SiteId,
        round: RoundNumber,
        (logged, kept): (Option<&Option<Digest>>, Option<Signed<RoundKeys>>),
    ) -> Result<Option<Signed<RoundKeys>>, SiteError> {
        match (logged, kept) {
            (Some(None), _) => Ok(None),
            (Some(Some(digest)), Some(kept)) if kept.id() == *digest => Ok(Some(kept)),
            _ => self.published(holder, round).await,
        }
    }

    /// Whether this site is about to ask for the round keys of several holders of a round, one after the
    /// other; of the last round, whichever it is, where it has seen none of any site. Of one holder, as
    /// in most rounds, it asks for them alone: all of them are long.
    pub(crate) fn lacks_holder_keys(&self, round: Option<RoundNumber>) -> Result<bool, SiteError> {
        let journal = self.journal.round_keys(self.study_id)?;
        let Some(round) = round else { return Ok(!journal.has_seen()?) };
        let mut lacking = 0;
        for holder in self.study.holders(round) {
            let lacks = self.kept_keys(&journal, &holder.id, round)?.is_none();
            let has_come = self.transport.has_round_keys(self.first_study, &holder.id, round);
            lacking += usize::from(lacks && !has_come);
        }
        Ok(lacking > 1)
    }

    /// Round keys that this site has made itself, or has seen and checked.
    fn kept_keys(
        &self,
        journal: &RoundKeysJournal,
        holder: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<Signed<RoundKeys>>, SiteError> {
        Ok(match holder == self.id() {
            true => journal.published(round)?.map(|published| published.keys),
            false => journal.seen(holder, round)?,
        })
    }

    /// Round keys that the aggregator does not show, and that this site has seen or made itself, given
    /// to the aggregator again: whoever does not show them, a manifest without them would switch
    /// forward secrecy off.
    async fn shown_before(
        &self,
        journal: &RoundKeysJournal,
        holder: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<Digest>, SiteError> {
        let known = self.kept_keys(journal, holder, round)?;
        let Some(known) = known else { return Ok(None) };
        let (holder, seen) = (holder.clone(), known.id());
        match self.transport.put_round_keys(self.first_study, &known).await {
            Ok(()) => Ok(Some(seen)),
            Err(error) if error.is_refusal() => {
                Err(SiteError::RoundKeysHidden { holder, round, seen })
            }
            Err(error) => Err(error.into()),
        }
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
            Some(last) => self.journal.round(self.for_round(last).study_id, last)?.certificate()?,
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
        let mut asking = Vec::new();
        let named = manifest.holders.iter().zip(&manifest.holder_keys);
        let journal = self.journal.round_keys(self.study_id)?;
        for (holder, named) in named.filter(|(_, digest)| digest.is_some()) {
            // The digest says that it is the statement that is on disk: it need not be fetched again.
            let kept = self.kept_keys(&journal, holder, manifest.round)?;
            asking.push(self.shown_keys(holder, manifest.round, (Some(named), kept)));
        }
        let statements: Vec<_> = stream::iter(asking).buffered(AT_ONCE).try_collect().await?;
        let statements: Vec<_> = statements.into_iter().flatten().collect();
        for keys in &statements {
            let holder = &keys.statement.site;
            let kept = self.kept_keys(&journal, holder, manifest.round)?;
            if kept.is_none() && self.are_sound(keys, holder, manifest.round) {
                journal.see(keys)?;
            }
        }
        journal.sync_noted()?;
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

    async fn published(
        &self,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<Signed<RoundKeys>>, SiteError> {
        Ok(present(self.transport.round_keys(self.first_study, site, round).await)?)
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
