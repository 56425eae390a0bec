//! This site as a witness of the study's log: each checkpoint that it is shown must continue all that it
//! has seen. It keeps the last one, cosigns it, and compares with another site's.
//!
//! Nothing waits for a cosignature, and none is needed: an aggregator that takes none, or shows none,
//! stops nothing. One that shows two histories is found by whoever compares, and this site goes on no
//! further in the study then.

use std::path::PathBuf;

use ringfence_crypto::id::SiteId;
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::log::{Checkpoint, CheckpointText, NoteKey, SignedNote, Witness, origin};
use ringfence_crypto::statement::RosterEntry;

use crate::error::SiteError;
use crate::journal::{Fork, SignedHead};
use crate::site::{Hidden, LOOK_AGAIN, Site};
use crate::transport::{TransportError, present, printable};

/// Seconds for which a cosignature is new enough at the end of another round: rounds that follow each
/// other in moments are cosigned together.
const AGAIN: u64 = 60;

/// How often a proof is asked for that the aggregator does not have: one of several that serve one study
/// may be a moment behind the others.
const ATTEMPTS: u32 = 5;

/// What became of the log as this site has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// The state that it cosigned last.
    pub checkpoint: Checkpoint,
    /// The note with its cosignature, to be shown to others.
    pub note: String,
    /// Why the aggregator did not take the cosignature, if it did not.
    pub refused: Option<String>,
    /// The other site whose cosigned checkpoint the aggregator showed, which is of the same log.
    pub like: Option<SiteId>,
}

/// A head of the log and the note that says so.
struct Head {
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl Head {
    fn signed(&self) -> SignedHead {
        let Self { checkpoint, note } = self;
        SignedHead { checkpoint: *checkpoint, note: Some(note.to_string()), closing: None }
    }
}

impl Site {
    /// Refuses to go on in a study whose log was found to be forked.
    ///
    /// # Errors
    /// [`SiteError::LogForkKnown`].
    pub(crate) fn check_one_history(&self) -> Result<(), SiteError> {
        match self.journal.is_forked(self.first_study)? {
            true => Err(SiteError::LogForkKnown(self.fork_file())),
            false => Ok(()),
        }
    }

    fn fork_file(&self) -> PathBuf {
        self.journal.fork_file(self.first_study)
    }

    /// Holds the log against all that this site has seen of it, keeps its head and cosigns it, and
    /// compares it with the last one of another site.
    ///
    /// # Errors
    /// [`SiteError::LogForked`] when the log that is shown does not continue what was seen: both signed
    /// heads are on disk then, and this site goes on no further. Others when the aggregator does not
    /// answer.
    pub async fn witness(&self) -> Result<Witnessed, SiteError> {
        let witnessed: Hidden<'_, Witnessed> = Box::pin(self.witness_log());
        witnessed.await
    }

    /// The same at the end of a round, unless it was done a moment ago; an aggregator that does not
    /// answer is no reason to stop.
    pub(crate) async fn witness_in_passing(&self) -> Result<(), SiteError> {
        // A bundle has no proofs that were not foreseen; a holder's own check is made all the same.
        if self.transport.is_by_hand() || self.cosigned_lately()? {
            return Ok(());
        }
        match self.witness().await {
            Ok(_) | Err(SiteError::Transport(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether this site has cosigned the log a moment ago, in this process or in one before.
    fn cosigned_lately(&self) -> Result<bool, SiteError> {
        let Some(kept) = self.journal.witnessed(self.first_study)? else { return Ok(false) };
        // Under other keys it is done anew.
        let last = self.as_witness()?.verify(&kept).ok();
        let now = self.clock.now();
        Ok(last.is_some_and(|last| last.time <= now && now < last.time.after(AGAIN)))
    }

    fn as_witness(&self) -> Result<Witness, SiteError> {
        let RosterEntry { id, signature_key, .. } = self.identity.public();
        let witness = Witness::site(self.first_study, &id, signature_key);
        Ok(witness.map_err(CheckpointError::from)?)
    }

    async fn witness_log(&self) -> Result<Witnessed, SiteError> {
        self.check_one_history()?;
        let head = self.head_of(self.transport.checkpoint(self.first_study).await?)?;
        let kept = self.journal.witnessed(self.first_study)?.map(|note| self.head_of(note));
        let damaged =
            |error: SiteError| self.journal.damaged_checkpoint(self.first_study, error.to_string());
        let kept = kept.transpose().map_err(damaged)?;
        if let Some(closing) = self.last_closing()? {
            let checkpoint = closing.statement.checkpoint;
            let seen = SignedHead { checkpoint, note: None, closing: Some(Box::new(closing)) };
            self.one_log(seen, &head, "this site").await?;
        }
        if let Some(kept) = &kept {
            self.one_log(kept.signed(), &head, "this site").await?;
        }
        // An answer that was overtaken is no newer state.
        let newest = match kept {
            Some(kept) if kept.checkpoint.size >= head.checkpoint.size => kept,
            _ => self.cosigned(head)?,
        };
        let sent = self.transport.put_cosignature(self.first_study, self.id(), &newest.note).await;
        let refused = match sent {
            Ok(()) => None,
            Err(error) => {
                let so = "nothing waits for that; others see one witness less";
                self.tell_refused("this site's cosignature of the log", &error, so);
                Some(error.to_string())
            }
        };
        let like = self.like_another(&newest).await?;
        let (checkpoint, note) = (newest.checkpoint, newest.note.to_string());
        Ok(Witnessed { checkpoint, note, refused, like })
    }

    /// Holds a checkpoint that came from elsewhere, another site or an export, against the log as this
    /// site is shown it; answers with its state, and this site's.
    ///
    /// # Errors
    /// [`SiteError::Checkpoint`] when it is none of this log; otherwise as for [`Site::witness`].
    pub async fn compare(
        &self,
        note: SignedNote,
        from: &str,
    ) -> Result<(Checkpoint, Witnessed), SiteError> {
        let other = self.head_of(note)?;
        let own = self.witness().await?;
        let head = self.head_of(self.transport.checkpoint(self.first_study).await?)?;
        self.one_log(other.signed(), &head, from).await?;
        Ok((other.checkpoint, own))
    }

    /// The state that a note says, if the aggregator has signed it.
    fn head_of(&self, note: SignedNote) -> Result<Head, SiteError> {
        let key = NoteKey::new(&origin(self.first_study), self.study.aggregator_key)
            .map_err(CheckpointError::from)?;
        let checkpoint = CheckpointText::verified(&note, &key)?.checkpoint();
        Ok(Head { checkpoint, note })
    }

    /// Cosigns a state and keeps it, before the cosignature leaves.
    fn cosigned(&self, head: Head) -> Result<Head, SiteError> {
        let witness = self.as_witness()?;
        let Head { checkpoint, mut note } = head;
        // Only its own: others' may be no cosignatures, and fill it.
        note.keep_only(&origin(self.first_study));
        let cosignature = witness.cosign(&note, self.clock.now(), self.identity.signer());
        witness.attach(&mut note, &cosignature);
        self.journal.save_witnessed(self.first_study, &note)?;
        Ok(Head { checkpoint, note })
    }

    /// Compares with the last checkpoint of another site, as far as the aggregator shows it: another one
    /// whenever the log has grown. The aggregator may hide it; what it shows, it has signed.
    async fn like_another(&self, head: &Head) -> Result<Option<SiteId>, SiteError> {
        let others: Vec<&RosterEntry> =
            self.study.roster.iter().filter(|site| site.id != *self.id()).collect();
        let place = head.checkpoint.size.checked_rem(others.len() as u64).unwrap_or_default();
        let Some(other) = usize::try_from(place).ok().and_then(|place| others.get(place)) else {
            return Ok(None);
        };
        let note = match self.transport.cosignature(self.first_study, &other.id).await {
            Ok(note) => note,
            // None, or none that is shown.
            Err(_) => return Ok(None),
        };
        let witness = Witness::site(self.first_study, &other.id, other.signature_key);
        let is_theirs = witness.is_ok_and(|witness| witness.verify(&note).is_ok());
        let Some(seen) = self.head_of(note).ok().filter(|_| is_theirs) else { return Ok(None) };
        let seen_by = other.id.as_str();
        match self.one_log(seen.signed(), head, seen_by).await {
            Ok(()) => Ok(Some(other.id.clone())),
            Err(SiteError::Transport(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Refuses a head that is not of one log with what somebody has seen, whichever is the longer one.
    async fn one_log(&self, seen: SignedHead, head: &Head, seen_by: &str) -> Result<(), SiteError> {
        let shown = head.checkpoint;
        match self.disagreement(seen.checkpoint, shown).await? {
            None => Ok(()),
            Some(reason) => Err(self.forked(seen, head, (seen_by, reason)).await?),
        }
    }

    /// Why two states are not of one log; none where they are.
    async fn disagreement(
        &self,
        one: Checkpoint,
        other: Checkpoint,
    ) -> Result<Option<String>, TransportError> {
        let (old, new) = if one.size <= other.size { (one, other) } else { (other, one) };
        if old.size == new.size {
            let differ = || format!("two roots of {} leaves were signed", old.size);
            return Ok((old.root != new.root).then(differ));
        }
        let mut attempt = 0;
        loop {
            let proof = self.transport.consistency(self.first_study, old.size, new.size).await;
            match present(proof)? {
                Some(proof) => {
                    let verified = proof.verify(&old, &new);
                    return Ok(verified.err().map(|error| printable(&error.to_string())));
                }
                None if attempt < ATTEMPTS => {
                    attempt += 1;
                    self.clock.sleep(LOOK_AGAIN).await;
                }
                None => {
                    return Ok(Some(format!(
                        "the aggregator has signed a log of {} leaves and says that it has no such log",
                        new.size
                    )));
                }
            }
        }
    }

    /// Keeps both heads.
    async fn forked(
        &self,
        seen: SignedHead,
        head: &Head,
        (seen_by, reason): (&str, String),
    ) -> Result<SiteError, SiteError> {
        let at = self.transport.checkpoint_at(self.first_study, seen.checkpoint.size).await;
        let at = at.ok().filter(|note| self.head_of(note.clone()).is_ok());
        let fork = Fork {
            study: self.first_study,
            found_at: self.clock.now(),
            seen_by: seen_by.to_owned(),
            shown: head.signed(),
            shown_at_that_size: at.map(|note| note.to_string()),
            seen,
            reason,
        };
        let evidence = self.journal.save_fork(&fork)?;
        Ok(SiteError::LogForked { fork: Box::new(fork), evidence })
    }
}
